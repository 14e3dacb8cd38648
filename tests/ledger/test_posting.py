"""Single postings on a real database: every outcome, and the balances that come back."""

import asyncio
from datetime import UTC, datetime

import pytest

from bookkeeping import Bookkeeper, new_id, outcomes, until_one_waits
from xinghan.kit.db import Connection
from xinghan.ledger import (
    Capture,
    Hold,
    Leg,
    Outcome,
    Post,
    Release,
    Request,
    Reverse,
    close_account,
    freeze_account,
    post_in,
    unfreeze_account,
)
from xinghan.ledger.model import AMOUNT_MAX_MINOR, LEGS_MAX, TURNOVER_MAX_MINOR
from xinghan.ledger.numbers import account_number


async def test_a_posting_gives_the_balances_that_then_stand(books: Bookkeeper) -> None:
    lin = await books.funded(1000)
    mei = await books.funded(50)
    result = await books.post(Leg(lin, mei, 300))
    (movement,) = result.movements
    assert (movement.debit, movement.credit, movement.amount_minor) == (lin, mei, 300)
    assert (movement.debit_balance_minor, movement.credit_balance_minor) == (700, 350)
    assert (movement.debit_available_minor, movement.credit_available_minor) == (700, 350)
    assert result.created_at is not None
    assert result.bucket == lin & 255
    assert await books.minor(lin, mei) == [700, 350]


async def test_legs_are_posted_in_order_and_together(books: Bookkeeper) -> None:
    lin = await books.funded(100)
    mei, fee = await books.open(), await books.open(kind="fee", striped=True)
    result = await books.post(Leg(lin, mei, 100), Leg(mei, fee, 2))
    assert [m.debit_balance_minor for m in result.movements] == [0, 98]
    assert await books.minor(lin, mei, fee) == [0, 98, 2]
    await books.refuse(
        Outcome.INSUFFICIENT_FUNDS, Post(new_id(), (Leg(mei, lin, 98), Leg(mei, fee, 1)))
    )


async def test_a_balance_of_a_debit_normal_account_has_its_own_sign(books: Bookkeeper) -> None:
    cash = await books.open(kind="cash", debit_normal=True)
    lin = await books.open()
    (movement,) = (await books.post(Leg(cash, lin, 70))).movements
    assert (movement.debit_balance_minor, movement.credit_balance_minor) == (70, 70)
    await books.refuse(Outcome.INSUFFICIENT_FUNDS, Post(new_id(), (Leg(lin, cash, 71),)))
    assert (await books.balance(cash)).balance_minor == 70


async def test_a_floor_may_allow_an_overdraft(books: Bookkeeper) -> None:
    lin = await books.open(floor_minor=-100)
    mei = await books.open()
    await books.post(Leg(lin, mei, 100))
    await books.refuse(Outcome.INSUFFICIENT_FUNDS, Post(new_id(), (Leg(lin, mei, 1),)))


async def test_a_debit_normal_account_keeps_its_bounds(books: Bookkeeper) -> None:
    cash = await books.open(kind="cash", debit_normal=True, ceiling_minor=100)
    lin = await books.open()
    await books.refuse(Outcome.CEILING_EXCEEDED, Post(new_id(), (Leg(cash, lin, 101),)))
    await books.post(Leg(cash, lin, 100))
    await books.hold(Leg(lin, cash, 60))
    await books.refuse(Outcome.INSUFFICIENT_FUNDS, Post(new_id(), (Leg(lin, cash, 41),)))


async def test_a_ceiling_counts_what_is_on_its_way(books: Bookkeeper) -> None:
    lin = await books.funded(1000)
    mei = await books.open(ceiling_minor=100)
    await books.hold(Leg(lin, mei, 60))
    await books.refuse(Outcome.CEILING_EXCEEDED, Post(new_id(), (Leg(lin, mei, 41),)))
    await books.post(Leg(lin, mei, 40))


async def test_what_is_held_cannot_be_spent(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    await books.hold(Leg(lin, mei, 60))
    await books.refuse(Outcome.INSUFFICIENT_FUNDS, Post(new_id(), (Leg(lin, mei, 41),)))
    await books.refuse(Outcome.INSUFFICIENT_FUNDS, Hold(new_id(), (Leg(lin, mei, 41),)))
    balance = await books.balance(lin)
    assert (balance.balance_minor, balance.available_minor) == (100, 40)


async def test_a_frozen_account_is_left_alone(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.funded(100)
    await books.run(lambda c: freeze_account(c, lin, "operator", "test", credits=False))
    await books.refuse(Outcome.FROZEN, Post(new_id(), (Leg(lin, mei, 1),)))
    await books.post(Leg(mei, lin, 1))
    await books.run(lambda c: freeze_account(c, lin, "operator", "test"))
    await books.refuse(Outcome.FROZEN, Hold(new_id(), (Leg(mei, lin, 1),)))
    await books.run(lambda c: unfreeze_account(c, lin, "operator", "test"))
    await books.post(Leg(lin, mei, 1))


async def test_a_closed_account_is_closed(books: Bookkeeper) -> None:
    lin, mei = await books.open(), await books.funded(100)
    await books.run(lambda c: close_account(c, lin, "operator", "test"))
    await books.refuse(Outcome.CLOSED, Post(new_id(), (Leg(mei, lin, 1),)))
    await books.refuse(Outcome.CLOSED, Post(new_id(), (Leg(lin, mei, 1),)))


async def test_one_account_cannot_pay_itself(books: Bookkeeper) -> None:
    lin = await books.funded(100)
    await books.refuse(Outcome.SAME_ACCOUNT, Post(new_id(), (Leg(lin, lin, 1),)))


async def test_an_account_must_exist(books: Bookkeeper) -> None:
    lin = await books.funded(100)
    for nobody in (account_number(2**40, 156, 3), account_number(2**40, 156, 200), 1, 2**63 - 1):
        await books.refuse(Outcome.ACCOUNT_NOT_FOUND, Post(new_id(), (Leg(lin, nobody, 1),)))
        await books.refuse(Outcome.ACCOUNT_NOT_FOUND, Post(new_id(), (Leg(nobody, lin, 1),)))


async def test_two_currencies_never_meet_in_one_leg(books: Bookkeeper) -> None:
    lin, euro = await books.funded(100), await books.open(currency="EUR")
    await books.refuse(Outcome.CURRENCY_MISMATCH, Post(new_id(), (Leg(lin, euro, 1),)))


@pytest.mark.parametrize("amount_minor", [0, -1, AMOUNT_MAX_MINOR + 1, 2**63, -(2**63), 10**40])
async def test_amounts_are_positive_and_bounded(books: Bookkeeper, amount_minor: int) -> None:
    lin, mei = await books.funded(100), await books.open()
    for request in (Post, Hold):
        await books.refuse(
            Outcome.AMOUNT_OUT_OF_BOUNDS, request(new_id(), (Leg(lin, mei, amount_minor),))
        )


async def test_the_number_of_legs_is_bounded(books: Bookkeeper) -> None:
    lin, mei = await books.funded(LEGS_MAX), await books.open()
    await books.refuse(Outcome.LEGS_OUT_OF_BOUNDS, Post(new_id(), ()))
    await books.refuse(
        Outcome.LEGS_OUT_OF_BOUNDS, Post(new_id(), (Leg(lin, mei, 1),) * (LEGS_MAX + 1))
    )
    result = await books.post(*(Leg(lin, mei, 1),) * LEGS_MAX)
    assert [movement.leg for movement in result.movements] == list(range(LEGS_MAX))
    assert await books.minor(lin, mei) == [0, LEGS_MAX]


async def test_what_refers_to_nothing_is_told_so(books: Bookkeeper) -> None:
    missing = new_id()
    await books.refuse(Outcome.HOLD_NOT_FOUND, Capture(new_id(), missing, 3, 1))
    await books.refuse(Outcome.HOLD_NOT_FOUND, Release(new_id(), missing, 3))
    await books.refuse(Outcome.POSTING_NOT_FOUND, Reverse(new_id(), missing, 3))


async def test_an_account_that_has_turned_over_all_it_can_refuses_more(books: Bookkeeper) -> None:
    """Without the bound, one account's overflow would fail the whole batch in the database."""
    source = await books.open(floor_minor=None, bucket=1)
    lin, mei = await books.open(bucket=1), await books.funded(5, bucket=1)
    legs = tuple(Leg(source, lin, AMOUNT_MAX_MINOR) for _ in range(LEGS_MAX))
    full = TURNOVER_MAX_MINOR // AMOUNT_MAX_MINOR // LEGS_MAX
    filling = await books.ledger.post_batch([Post(new_id(), legs) for _ in range(full)])
    assert set(outcomes(filling)) == {Outcome.POSTED}
    results = await books.ledger.post_batch(
        [
            Post(new_id(), (Leg(source, mei, 1),)),
            Post(new_id(), (Leg(mei, lin, 1),)),
            Hold(new_id(), (Leg(mei, lin, 1),)),
            Post(new_id(), (Leg(mei, source, 1),)),
        ]
    )
    ceiling = Outcome.CEILING_EXCEEDED
    assert outcomes(results) == [ceiling, ceiling, ceiling, Outcome.POSTED]


async def test_a_refusal_says_nothing_false_while_the_first_try_is_on_its_way(
    books: Bookkeeper, owner: Connection
) -> None:
    """The second try waits for the account and finds it empty: because the first one succeeded."""
    lin, mei = await books.funded(100), await books.open()
    sale = Post(new_id(), (Leg(lin, mei, 100),))
    await books.accept(sale)
    requests: list[Request] = [
        Reverse(new_id(), sale.id, lin & 255),
        Post(new_id(), (Leg(lin, mei, 100),)),
    ]
    for request in requests:
        async with books.database.transaction() as connection:
            ((first,),) = await post_in(connection, [(request,)])
            second = asyncio.ensure_future(books.run(lambda c, r=request: post_in(c, [(r,)])))
            await until_one_waits(owner)
        assert first.outcome is Outcome.POSTED
        assert [result.outcome for (result,) in await second] == [Outcome.EXISTS]


async def test_two_reversals_at_once_are_told_apart(books: Bookkeeper, owner: Connection) -> None:
    """The second one finds the money gone: because the first one gave it back."""
    lin, mei = await books.funded(100), await books.open()
    sale = Post(new_id(), (Leg(lin, mei, 100),))
    await books.accept(sale)
    first, second = (Reverse(new_id(), sale.id, lin & 255) for _ in range(2))
    async with books.database.transaction() as connection:
        await post_in(connection, [(first,)])
        waiting = asyncio.ensure_future(books.run(lambda c: post_in(c, [(second,)])))
        await until_one_waits(owner)
    assert [result.outcome for (result,) in await waiting] == [Outcome.ALREADY_REVERSED]


async def test_both_instants_are_kept(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    earlier = datetime(2020, 2, 29, 1, 2, 3, 456789, UTC)
    request = Post(new_id(), (Leg(lin, mei, 1),), earlier, {"order": "7", "items": [1, 2]})
    await books.accept(request)
    async with books.database.acquire() as connection:
        row = await connection.fetchrow("SELECT * FROM ledger.posting WHERE id = $1", request.id)
    assert row is not None
    assert (row["event_at"], row["metadata"]) == (earlier, {"order": "7", "items": [1, 2]})
    assert row["created_at"] > earlier


async def test_one_striped_account_takes_from_all_buckets_at_once(books: Bookkeeper) -> None:
    shop = await books.open(kind="merchant", striped=True)
    payers = [await books.funded(10, bucket=bucket) for bucket in (0, 7, 63)]
    results = await asyncio.gather(
        *(books.ledger.post(Post(new_id(), (Leg(payer, shop, 10),))) for payer in payers)
    )
    assert [result.bucket for result in results] == [0, 7, 63]
    assert [result.movements[0].credit_balance_minor for result in results] == [10, 10, 10]
    assert (await books.balance(shop)).balance_minor == 30


async def test_a_batch_of_nothing_is_nothing(books: Bookkeeper) -> None:
    assert await books.ledger.post_batch([]) == []
    assert await books.ledger.post_linked([]) == []
