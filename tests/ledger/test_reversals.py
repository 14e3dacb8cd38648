"""A reversal is a new posting with the sides exchanged; a posting is reversed once."""

import asyncio

from bookkeeping import Bookkeeper, new_id, outcomes, until_one_waits
from xinghan.kit.db import Connection
from xinghan.ledger import Leg, Outcome, Post, Reverse, fetch_posting, post_in
from xinghan.ledger.model import Kind


async def test_a_posting_is_reversed_with_all_its_legs(books: Bookkeeper) -> None:
    lin, mei, fee = await books.funded(100), await books.open(), await books.open(striped=True)
    sale = await books.post(Leg(lin, mei, 60), Leg(mei, fee, 1))
    await books.refuse(Outcome.POSTING_NOT_FOUND, Reverse(new_id(), new_id(), sale.bucket))
    undo = Reverse(new_id(), sale.id, sale.bucket, metadata={"why": "wrong shop"})
    result = await books.ledger.post(undo)
    # The fee comes back first: the shop alone has too little.
    assert result.outcome is Outcome.POSTED
    assert await books.minor(lin, mei, fee) == [100, 0, 0]
    assert [movement.leg for movement in result.movements] == [0, 1]
    assert (await books.ledger.post(undo)).movements == result.movements
    async with books.database.acquire() as connection:
        written = await fetch_posting(connection, sale.bucket, undo.id)
        original = await fetch_posting(connection, sale.bucket, undo.posting)
    assert (written.kind, written.refers_to) == (Kind.REVERSAL, sale.id)
    assert original.reversed


async def test_a_posting_is_reversed_once(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    sale = Post(new_id(), (Leg(lin, mei, 60),))
    await books.accept(sale)
    doors = [Bookkeeper(books.database).ledger for _ in range(5)]
    results = await asyncio.gather(
        *(doors[n % 5].post(Reverse(new_id(), sale.id, lin & 255)) for n in range(20))
    )
    assert sorted(outcomes(results)) == ["already_reversed"] * 19 + ["posted"]
    assert await books.minor(lin, mei) == [100, 0]


async def test_a_reversal_cannot_be_reversed(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    sale = Post(new_id(), (Leg(lin, mei, 60),))
    await books.accept(sale)
    undo = Reverse(new_id(), sale.id, lin & 255)
    await books.accept(undo)
    await books.refuse(Outcome.NOT_REVERSIBLE, Reverse(new_id(), undo.id, lin & 255))


async def test_money_that_is_gone_cannot_be_reversed(books: Bookkeeper) -> None:
    lin, mei, wei = await books.funded(100), await books.open(), await books.open()
    sale = Post(new_id(), (Leg(lin, mei, 60),))
    await books.accept(sale)
    await books.post(Leg(mei, wei, 1))
    await books.refuse(Outcome.INSUFFICIENT_FUNDS, Reverse(new_id(), sale.id, lin & 255))


async def test_a_move_between_stripes_is_reversed_between_the_same(books: Bookkeeper) -> None:
    shop = await books.open(striped=True)
    await books.fund(shop, 50, bucket=4)
    move = await books.post(Leg(shop, shop, 30, 4, 5))
    undo = Reverse(new_id(), move.id, move.bucket)
    result = await books.accept(undo)
    assert result.movements[0].credit_balance_minor == 50


async def test_a_reversal_that_comes_too_early_is_told_so(
    books: Bookkeeper, owner: Connection
) -> None:
    """The posting is committed while the reversal's batch waits for another account."""
    lin, mei, wei = await books.funded(100), await books.open(), await books.open()
    sale = Post(new_id(), (Leg(lin, mei, 60),))
    undo = Reverse(new_id(), sale.id, lin & 255)
    batch = [(Post(new_id(), (Leg(lin, wei, 1),)),), (undo,)]
    async with books.database.transaction() as connection:
        await post_in(connection, [(sale,)])
        waiting = asyncio.ensure_future(books.run(lambda c: post_in(c, batch)))
        await until_one_waits(owner)
    assert [result.outcome for (result,) in await waiting] == [
        Outcome.POSTED,
        Outcome.POSTING_NOT_FOUND,
    ]
    await books.accept(undo)
