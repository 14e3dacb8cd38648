"""Linked groups stand or fall together."""

import asyncio
from dataclasses import replace

from bookkeeping import Bookkeeper, new_id, outcomes
from xinghan.ledger import Capture, Hold, Leg, Outcome, Post, Release, Reverse
from xinghan.ledger.model import Request


async def test_a_group_is_posted_together(books: Bookkeeper) -> None:
    lin, mei, wei = await books.funded(100), await books.open(), await books.open()
    group = [Post(new_id(), (Leg(lin, mei, 60),)), Post(new_id(), (Leg(mei, wei, 50),))]
    results = await books.ledger.post_linked(group)
    assert outcomes(results) == [Outcome.POSTED] * 2
    assert await books.minor(lin, mei, wei) == [40, 10, 50]
    assert outcomes(await books.ledger.post_linked(group)) == [Outcome.EXISTS] * 2
    async with books.database.acquire() as connection:
        linked = await connection.fetch(
            "SELECT DISTINCT linked_to FROM ledger.posting WHERE id = ANY($1)",
            [request.id for request in group],
        )
    assert [row[0] for row in linked] == [group[0].id]


async def test_a_group_that_fails_leaves_nothing(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    bucket = lin & 255
    standing = await books.hold(Leg(lin, mei, 30))
    sale = Post(new_id(), (Leg(lin, mei, 10),))
    await books.accept(sale)
    before = await books.everything()
    fresh = Hold(new_id(), (Leg(lin, mei, 5),))
    group: list[Request] = [
        Capture(new_id(), standing.id, bucket, 10),
        Release(new_id(), standing.id, bucket, 5),
        fresh,
        Capture(new_id(), fresh.id, bucket, 5),
        Reverse(new_id(), sale.id, bucket),
        Post(new_id(), (Leg(lin, mei, 1000),)),
    ]
    results = await books.ledger.post_linked(group)
    wanted = [Outcome.LINKED_FAILED] * 5
    assert outcomes(results) == [*wanted, Outcome.INSUFFICIENT_FUNDS]
    assert await books.everything() == before
    # Everything that was undone can still be done.
    results = await books.ledger.post_linked(group[:-1])
    assert outcomes(results) == [Outcome.POSTED] * 5


async def test_a_failing_group_does_not_disturb_its_neighbours(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    good = [Post(new_id(), (Leg(lin, mei, 40),)) for _ in range(3)]
    results = await asyncio.gather(
        books.ledger.post(good[0]),
        books.ledger.post_linked([good[1], Post(new_id(), (Leg(lin, mei, 41),))]),
        books.ledger.post(good[2]),
    )
    assert results[0].outcome is Outcome.POSTED
    assert outcomes(results[1]) == [Outcome.LINKED_FAILED, Outcome.INSUFFICIENT_FUNDS]
    assert results[2].outcome is Outcome.POSTED
    assert await books.minor(lin, mei) == [20, 80]


async def test_a_group_of_old_and_new_is_refused(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    old = Post(new_id(), (Leg(lin, mei, 1),))
    await books.accept(old)
    before = await books.everything()
    results = await books.ledger.post_linked([replace(old, id=new_id()), old])
    assert outcomes(results) == [Outcome.LINKED_FAILED, Outcome.EXISTS_WITH_OTHER_CONTENT]
    assert await books.everything() == before


async def test_groups_may_cross_buckets_and_currencies(books: Bookkeeper) -> None:
    lin = await books.funded(100, bucket=1)
    mei = await books.funded(100, bucket=2, currency="JPY")
    shop = await books.open(striped=True)
    shop_jpy = await books.open(striped=True, currency="JPY")
    group = [Post(new_id(), (Leg(lin, shop, 9),)), Post(new_id(), (Leg(mei, shop_jpy, 9),))]
    assert outcomes(await books.ledger.post_linked(group)) == [Outcome.POSTED] * 2
    assert await books.minor(lin, mei, shop, shop_jpy) == [91, 91, 9, 9]
