"""Holds: captured in parts, released, expired; the money kept back is never spent twice."""

import asyncio
from datetime import timedelta

import pytest

from bookkeeping import Bookkeeper, new_id, outcomes
from xinghan.kit.db import Connection
from xinghan.kit.ids import AccountId
from xinghan.ledger import (
    Capture,
    Hold,
    Leg,
    Outcome,
    Release,
    Reverse,
    close_account,
    expire_holds,
    fetch_posting,
    freeze_account,
)
from xinghan.ledger.model import AccountNotEmpty, Kind


async def soon_over(books: Bookkeeper, *legs: Leg) -> Hold:
    """Hold legs for so short a time that it is over when this returns."""
    async with books.database.acquire() as connection:
        now = await connection.fetchval("SELECT clock_timestamp()")
    hold = Hold(new_id(), legs, expires_at=now + timedelta(milliseconds=1))
    await books.accept(hold)
    await asyncio.sleep(0.01)
    return hold


async def available(books: Bookkeeper, account: AccountId) -> tuple[int, int]:
    balance = await books.balance(account)
    return balance.balance_minor, balance.available_minor


async def test_a_hold_keeps_back_and_moves_nothing(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    result = await books.accept(Hold(new_id(), (Leg(lin, mei, 60),)))
    (movement,) = result.movements
    assert (movement.debit_balance_minor, movement.debit_available_minor) == (100, 40)
    assert (movement.credit_balance_minor, movement.credit_available_minor) == (0, 0)
    pending = await books.balance(mei)
    assert (pending.balance_minor, pending.credits_pending_minor) == (0, 60)


async def test_a_hold_is_captured_in_parts_and_the_rest_released(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    bucket = lin & 255
    hold = await books.hold(Leg(lin, mei, 60))
    first = await books.accept(Capture(new_id(), hold.id, bucket, 25))
    assert first.movements[0].debit_available_minor == 40
    await books.accept(Capture(new_id(), hold.id, bucket, 25))
    await books.refuse(Outcome.HOLD_EXCEEDED, Capture(new_id(), hold.id, bucket, 11))
    await books.refuse(Outcome.HOLD_EXCEEDED, Release(new_id(), hold.id, bucket, 11))
    await books.accept(Release(new_id(), hold.id, bucket, 4))
    released = await books.accept(Release(new_id(), hold.id, bucket))
    assert released.movements[0].amount_minor == 6
    await books.refuse(Outcome.HOLD_SPENT, Capture(new_id(), hold.id, bucket, 1))
    await books.refuse(Outcome.HOLD_SPENT, Release(new_id(), hold.id, bucket))
    assert await available(books, lin) == (50, 50)
    assert await available(books, mei) == (50, 50)


async def test_each_leg_of_a_hold_is_its_own(books: Bookkeeper) -> None:
    lin, mei, wei = await books.funded(100), await books.open(), await books.open()
    bucket = lin & 255
    hold = await books.hold(Leg(lin, mei, 60), Leg(lin, wei, 30))
    await books.accept(Capture(new_id(), hold.id, bucket, 30, leg=1))
    await books.refuse(Outcome.HOLD_SPENT, Capture(new_id(), hold.id, bucket, 1, leg=1))
    await books.refuse(Outcome.HOLD_NOT_FOUND, Capture(new_id(), hold.id, bucket, 1, leg=2))
    await books.accept(Release(new_id(), hold.id, bucket, leg=0))
    assert await books.minor(lin, mei, wei) == [70, 0, 30]
    async with books.database.acquire() as connection:
        written = await fetch_posting(connection, bucket, hold.id)
    assert [leg.amount_minor for leg in written.legs] == [60, 30]


async def test_a_hold_into_a_striped_account_is_captured_where_it_was_made(
    books: Bookkeeper,
) -> None:
    lin, shop = await books.funded(100, bucket=9), await books.open(striped=True)
    hold = await books.hold(Leg(lin, shop, 60))
    await books.refuse(Outcome.HOLD_NOT_FOUND, Capture(new_id(), hold.id, 8, 1))
    await books.accept(Capture(new_id(), hold.id, 9, 60))
    async with books.database.acquire() as connection:
        stripes = await connection.fetch(
            "SELECT bucket FROM ledger.account WHERE id = $1 AND credits_posted = 60", shop
        )
    assert [row["bucket"] for row in stripes] == [9]


async def test_concurrent_captures_never_take_more_than_is_held(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    hold = await books.hold(Leg(lin, mei, 60))
    doors = [Bookkeeper(books.database).ledger for _ in range(5)]
    results = await asyncio.gather(
        *(doors[n % 5].post(Capture(new_id(), hold.id, lin & 255, 7)) for n in range(20))
    )
    assert outcomes(results).count(Outcome.POSTED) == 8
    assert outcomes(results).count(Outcome.HOLD_EXCEEDED) == 12
    assert await available(books, lin) == (44, 40)


async def test_a_hold_whose_time_is_over_cannot_be_captured(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    hold = await soon_over(books, Leg(lin, mei, 60))
    await books.refuse(Outcome.HOLD_EXPIRED, Capture(new_id(), hold.id, lin & 255, 1))
    await books.accept(Release(new_id(), hold.id, lin & 255))
    assert await available(books, lin) == (100, 100)


async def test_expired_holds_are_given_back_once(books: Bookkeeper) -> None:
    lin, mei = await books.funded(1000), await books.open()
    holds = [await soon_over(books, Leg(lin, mei, 10), Leg(lin, mei, 5)) for _ in range(4)]
    partly = await soon_over(books, Leg(lin, mei, 10))
    await books.accept(Release(new_id(), partly.id, lin & 255, 4))
    lasting = await books.hold(Leg(lin, mei, 100))

    async def expire(connection: Connection) -> int:
        return await expire_holds(connection, 100)

    released = await asyncio.gather(*(books.run(expire) for _ in range(6)))
    assert sum(released) == 9
    assert await books.run(expire) == 0
    assert await available(books, lin) == (1000, 900)
    async with books.database.acquire() as connection:
        kinds = await connection.fetch(
            "SELECT kind, count(*) FROM ledger.posting WHERE refers_to = ANY($1) GROUP BY 1",
            [hold.id for hold in holds],
        )
    assert [tuple(row) for row in kinds] == [(Kind.EXPIRY, 8)]
    await books.accept(Capture(new_id(), lasting.id, lin & 255, 100))


async def test_no_more_are_expired_than_asked(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    for _ in range(3):
        await soon_over(books, Leg(lin, mei, 10))
    counts = [await books.run(lambda c: expire_holds(c, 2)) for _ in range(3)]
    assert counts == [2, 1, 0]


async def test_what_was_held_before_a_freeze_can_be_captured(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    hold = await books.hold(Leg(lin, mei, 60))
    for account in (lin, mei):
        await books.run(lambda c, a=account: freeze_account(c, a, "operator", "test"))
    await books.accept(Capture(new_id(), hold.id, lin & 255, 40))
    await books.accept(Release(new_id(), hold.id, lin & 255))


async def test_an_account_with_a_hold_cannot_be_closed(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    await books.hold(Leg(lin, mei, 60))
    with pytest.raises(AccountNotEmpty):
        await books.run(lambda c: close_account(c, mei, "operator", "test"))


async def test_a_hold_cannot_be_reversed(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    hold = await books.hold(Leg(lin, mei, 60))
    await books.refuse(Outcome.NOT_REVERSIBLE, Reverse(new_id(), hold.id, lin & 255))
