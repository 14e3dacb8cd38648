"""A caller's id is the caller's for ever: the same content exists, other content is told apart."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from bookkeeping import Bookkeeper, new_id, outcomes
from xinghan.kit.ids import AccountId
from xinghan.ledger import Capture, Hold, Leg, Outcome, Post, Release, Reverse
from xinghan.ledger.model import Request

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass
class Scene:
    """Accounts, a hold and a posting that requests of every kind can speak of."""

    books: Bookkeeper
    lin: AccountId
    mei: AccountId
    hold: Hold
    sale: Post

    @property
    def bucket(self) -> int:
        return self.lin & 255


@pytest.fixture
async def scene(books: Bookkeeper) -> Scene:
    lin, mei = await books.funded(1000), await books.open()
    hold = await books.hold(Leg(lin, mei, 60), Leg(lin, mei, 70))
    sale = Post(new_id(), (Leg(lin, mei, 20),))
    await books.accept(sale)
    return Scene(books, lin, mei, hold, sale)


def build(scene: Scene, kind: str) -> Request:
    """Build a request of a kind with everything that it can say."""
    legs = (Leg(scene.lin, scene.mei, 5), Leg(scene.lin, scene.mei, 6))
    metadata = {"order": "7", "lines": [1, {"tea": 2.5}]}
    match kind:
        case "post":
            return Post(new_id(), legs, NOON, metadata)
        case "hold":
            return Hold(new_id(), legs, NOON + timedelta(days=9999), NOON, metadata)
        case "capture":
            return Capture(new_id(), scene.hold.id, scene.bucket, 5, 1, NOON)
        case "release":
            return Release(new_id(), scene.hold.id, scene.bucket, 5, 1)
        case _:
            return Reverse(new_id(), scene.sale.id, scene.bucket, NOON, metadata)


KINDS = ("post", "hold", "capture", "release", "reverse")


@pytest.mark.parametrize("kind", KINDS)
async def test_the_same_again_exists_and_moves_nothing(scene: Scene, kind: str) -> None:
    request = build(scene, kind)
    first, in_batch = await scene.books.ledger.post_batch([request, request])
    before = await scene.books.everything()
    later = await scene.books.ledger.post(request)
    (batched,) = await scene.books.ledger.post_batch([request])
    assert first.outcome is Outcome.POSTED
    wanted = first._replace(outcome=Outcome.EXISTS)
    assert (in_batch, later, batched) == (wanted, wanted, wanted)
    assert await scene.books.everything() == before


OTHER = {
    "post": [
        {"event_at": None},
        {"event_at": NOON + timedelta(microseconds=1)},
        {"metadata": None},
        {"metadata": {"order": "7", "lines": [1, {"tea": 2.6}]}},
    ],
    "hold": [
        {"expires_at": None},
        {"expires_at": NOON + timedelta(days=9998)},
        {"event_at": None},
        {"metadata": {}},
    ],
    "capture": [{"amount_minor": 6}, {"leg": 0}, {"event_at": None}, {"hold": new_id()}],
    "release": [{"amount_minor": 6}, {"leg": 0}, {"expiry": True}, {"hold": new_id()}],
    "reverse": [{"posting": new_id()}, {"event_at": None}, {"metadata": {"order": "8"}}],
}


@pytest.mark.parametrize("kind", KINDS)
async def test_other_content_under_the_same_id_is_told_apart(scene: Scene, kind: str) -> None:
    request = build(scene, kind)
    others = [replace(request, **change) for change in OTHER[kind]]
    results = await scene.books.ledger.post_batch([request, *others])
    told_apart = [Outcome.EXISTS_WITH_OTHER_CONTENT] * len(others)
    assert outcomes(results) == [Outcome.POSTED, *told_apart]
    for other in others:
        await scene.books.refuse(Outcome.EXISTS_WITH_OTHER_CONTENT, other)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("kind", [Post, Hold])
async def test_every_part_of_every_leg_counts(
    scene: Scene, kind: type[Post | Hold], place: int
) -> None:
    shop = await scene.books.funded(10, bucket=scene.bucket)
    request = kind(new_id(), (Leg(scene.lin, scene.mei, 5), Leg(scene.lin, scene.mei, 6)))
    await scene.books.accept(request)
    for change in ({"amount_minor": 7}, {"credit": shop}, {"debit": shop}):
        legs = list(request.legs)
        legs[place] = replace(legs[place], **change)
        if legs[place].debit == shop and not place:
            continue  # the id is the payer's own, and another payer is in another bucket
        await scene.books.refuse(
            Outcome.EXISTS_WITH_OTHER_CONTENT, replace(request, legs=tuple(legs))
        )


@pytest.mark.parametrize("kind", KINDS)
async def test_an_id_belongs_to_one_kind(scene: Scene, kind: str) -> None:
    request = build(scene, kind)
    await scene.books.accept(request)
    others = [replace(build(scene, other), id=request.id) for other in KINDS]
    results = await scene.books.ledger.post_batch(others)
    assert outcomes(results) == [
        Outcome.EXISTS if other == kind else Outcome.EXISTS_WITH_OTHER_CONTENT for other in KINDS
    ]


async def test_the_same_instant_in_another_zone_is_the_same(scene: Scene) -> None:
    request = Post(new_id(), (Leg(scene.lin, scene.mei, 1),), NOON)
    await scene.books.accept(request)
    elsewhere = NOON.astimezone(timezone(timedelta(hours=8)))
    again = await scene.books.ledger.post(replace(request, event_at=elsewhere))
    assert again.outcome is Outcome.EXISTS


async def test_a_release_of_all_that_is_left_exists_later(scene: Scene) -> None:
    request = Release(new_id(), scene.hold.id, scene.bucket)
    first = await scene.books.accept(request)
    again = await scene.books.ledger.post(request)
    assert again == first._replace(outcome=Outcome.EXISTS)


async def test_a_refused_id_may_be_used_again(scene: Scene) -> None:
    request = Post(new_id(), (Leg(scene.mei, scene.lin, 5000),))
    await scene.books.refuse(Outcome.INSUFFICIENT_FUNDS, request)
    await scene.books.accept(replace(request, legs=(Leg(scene.mei, scene.lin, 5),)))


async def test_a_stripe_that_is_named_is_the_same_as_the_one_that_follows(scene: Scene) -> None:
    shop = await scene.books.open(striped=True)
    request = Post(new_id(), (Leg(scene.lin, shop, 1),))
    await scene.books.accept(request)
    named = Leg(scene.lin, shop, 1, credit_bucket=scene.bucket)
    assert (await scene.books.ledger.post(replace(request, legs=(named,)))).done
    elsewhere = replace(named, credit_bucket=(scene.bucket + 1) % 64)
    await scene.books.refuse(Outcome.EXISTS_WITH_OTHER_CONTENT, replace(request, legs=(elsewhere,)))
