"""The rules by themselves: no database, no clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import pytest

from bookkeeping import new_id, outcomes
from xinghan.ledger import Capture, Hold, Kind, Leg, Outcome, Post, Release, Reverse
from xinghan.ledger.books import Books, Counters
from xinghan.ledger.model import ACCOUNT_MAX, METADATA_MAX_BYTES, Request
from xinghan.ledger.numbers import account_number, row_key
from xinghan.ledger.rules import judge_alone, judge_linked
from xinghan.ledger.wellformed import well_formed

NOW: Final = datetime(2026, 1, 31, 8, 30, tzinfo=UTC)
LIN = account_number(1, 156, 3)
MEI = account_number(2, 156, 3)


def counters(account: int, credits_minor: int, flags: int = 0) -> Counters:
    return Counters(account, 3, flags, 0, None, (0, credits_minor), (0, 0), 1)


@pytest.fixture
def books() -> Books:
    return Books(NOW, {row_key(LIN, 3): counters(LIN, 100), row_key(MEI, 3): counters(MEI, 0)})


def state(books: Books) -> object:
    """Give everything that an undone group must leave as it was."""
    return (
        {key: row.snapshot() for key, row in books.accounts.items()},
        list(books.rows),
        {key: (hold.captured, hold.released) for key, hold in books.holds.items()},
        set(books.reversed),
        set(books.judged),
    )


def pay(amount_minor: int) -> Post:
    return Post(new_id(), (Leg(LIN, MEI, amount_minor),))


def test_each_request_sees_what_the_one_before_left(books: Books) -> None:
    results = [judge_alone(books, 3, pay(60)) for _ in range(2)]
    assert outcomes(results) == [Outcome.POSTED, Outcome.INSUFFICIENT_FUNDS]
    assert [row[4:9] for row in books.rows] == [(60, 2, 2, 40, 60)]


def test_a_failing_leg_undoes_the_legs_before_it(books: Books) -> None:
    before = state(books)
    request = Post(new_id(), (Leg(LIN, MEI, 60), Leg(LIN, MEI, 60)))
    assert judge_alone(books, 3, request).outcome is Outcome.INSUFFICIENT_FUNDS
    assert state(books) == before


def test_a_linked_group_is_undone_wholly(books: Books) -> None:
    stands = Hold(new_id(), (Leg(LIN, MEI, 10),))
    undone = Hold(new_id(), (Leg(LIN, MEI, 20),))
    sale = pay(5)
    assert judge_alone(books, 3, stands).done
    before = state(books)
    group: list[Request] = [
        sale,
        undone,
        Capture(new_id(), stands.id, 3, 4),
        Release(new_id(), undone.id, 3, 7),
        Reverse(new_id(), sale.id, 3),
        pay(1000),
        pay(1),
    ]
    results = judge_linked(books, [(3, request) for request in group])
    wanted = [Outcome.LINKED_FAILED] * 7
    wanted[5] = Outcome.INSUFFICIENT_FUNDS
    assert outcomes(results) == wanted
    assert state(books) == before


def test_a_linked_group_may_build_on_itself(books: Books) -> None:
    hold = Hold(new_id(), (Leg(LIN, MEI, 50),))
    group: list[Request] = [hold, Capture(new_id(), hold.id, 3, 30), Release(new_id(), hold.id, 3)]
    results = judge_linked(books, [(3, request) for request in group])
    assert outcomes(results) == [Outcome.POSTED] * 3
    assert {row[16] for row in books.rows} == {hold.id}
    assert [row[9] for row in books.rows] == [Kind.HOLD, Kind.CAPTURE, Kind.RELEASE]


def test_a_group_that_repeats_an_id_can_be_undone(books: Books) -> None:
    before = state(books)
    sale = pay(5)
    results = judge_linked(books, [(3, sale), (3, sale), (3, pay(1000))])
    assert results[2].outcome is Outcome.INSUFFICIENT_FUNDS
    assert state(books) == before


def test_a_group_of_old_and_new_is_refused(books: Books) -> None:
    old = pay(5)
    judge_alone(books, 3, old)
    before = state(books)
    results = judge_linked(books, [(3, pay(1)), (3, old)])
    assert outcomes(results) == [Outcome.LINKED_FAILED, Outcome.EXISTS_WITH_OTHER_CONTENT]
    assert state(books) == before


@pytest.mark.parametrize("kind", [Capture, Release])
@pytest.mark.parametrize("amount_minor", [0, -1])
def test_parts_of_a_hold_are_positive(
    books: Books, kind: type[Capture | Release], amount_minor: int
) -> None:
    hold = Hold(new_id(), (Leg(LIN, MEI, 10),))
    judge_alone(books, 3, hold)
    before = state(books)
    part = kind(new_id(), hold.id, 3, amount_minor)
    assert judge_alone(books, 3, part).outcome is Outcome.AMOUNT_OUT_OF_BOUNDS
    assert state(books) == before


def test_a_hold_expires_at_its_instant_and_not_before(books: Books) -> None:
    hold = Hold(new_id(), (Leg(LIN, MEI, 10),), expires_at=NOW)
    judge_alone(books, 3, hold)
    capture = Capture(new_id(), hold.id, 3, 1)
    assert judge_alone(books, 3, capture).outcome is Outcome.HOLD_EXPIRED
    books.now = NOW - timedelta(microseconds=1)
    assert judge_alone(books, 3, capture).outcome is Outcome.POSTED


GOOD: Final = Post(new_id(), (Leg(LIN, MEI, 1),))
GOOD_HOLD: Final = Hold(new_id(), (Leg(LIN, MEI, 1),))
PLUS_8: Final = timezone(timedelta(hours=8))
LOOP: Final[dict[str, Any]] = {}
LOOP["again"] = LOOP


@pytest.mark.parametrize(
    "leg",
    [
        {"amount_minor": 1.0},
        {"amount_minor": "1"},
        {"amount_minor": True},
        {"amount_minor": None},
        {"debit": 0},
        {"credit": -1},
        {"debit": ACCOUNT_MAX + 1},
        {"credit": "17"},
        {"debit": None},
        {"debit_bucket": -1},
        {"credit_bucket": 64},
        {"credit_bucket": 1.0},
        {"debit_bucket": "1"},
    ],
)
def test_legs_that_cannot_be_read(leg: dict[str, Any]) -> None:
    assert well_formed(GOOD)
    assert not well_formed(replace(GOOD, legs=(replace(GOOD.legs[0], **leg),)))
    assert not well_formed(replace(GOOD_HOLD, legs=(*GOOD.legs, replace(GOOD.legs[0], **leg))))


@pytest.mark.parametrize(
    "instant",
    [
        datetime(2026, 1, 1),  # noqa: DTZ001 (naive, which is the point)
        datetime(1, 1, 1, tzinfo=PLUS_8),
        datetime(9999, 12, 31, tzinfo=UTC),
        "2026-01-01T00:00:00Z",
        1767225600,
    ],
)
def test_instants_that_cannot_be_kept(instant: Any) -> None:  # noqa: ANN401
    assert well_formed(replace(GOOD, event_at=NOW))
    assert not well_formed(replace(GOOD, event_at=instant))
    assert not well_formed(replace(GOOD_HOLD, expires_at=instant))
    assert not well_formed(Capture(new_id(), new_id(), 3, 1, event_at=instant))
    assert not well_formed(Reverse(new_id(), new_id(), 3, event_at=instant))


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": object()},
        {(1, 2): 3},
        {"a": "\ud800"},
        {"a": "nul\0"},
        {"a": "x" * METADATA_MAX_BYTES},
        LOOP,
        [1],
        "text",
        7,
    ],
)
def test_metadata_that_cannot_be_kept(metadata: Any) -> None:  # noqa: ANN401
    assert well_formed(replace(GOOD, metadata={"a": ["茶", 1.5, None, {"b": True}]}))
    assert not well_formed(replace(GOOD, metadata=metadata))
    assert not well_formed(Reverse(new_id(), new_id(), 3, metadata=metadata))


@pytest.mark.parametrize(
    "request_",
    [
        replace(GOOD, id="17"),
        replace(GOOD, legs=None),
        replace(GOOD, legs=list(GOOD.legs)),
        replace(GOOD, legs=((LIN, MEI, 1),)),
        Capture(new_id(), "17", 3, 1),
        Capture(new_id(), new_id(), 64, 1),
        Capture(new_id(), new_id(), "3", 1),
        Capture(new_id(), new_id(), 3, 1.0),
        Capture(new_id(), new_id(), 3, None),
        Capture(new_id(), new_id(), 3, 1, leg=-1),
        Release(new_id(), new_id(), 3, 1, leg=100),
        Release(new_id(), new_id(), 3, 0.5),
        Release(new_id(), new_id(), True),
        Reverse(new_id(), None, 3),
        Reverse(new_id(), new_id(), -1),
    ],
)
def test_requests_that_cannot_be_read(request_: Request) -> None:
    assert not well_formed(request_)
