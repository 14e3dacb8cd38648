"""A striped account is as rich as all its stripes together."""

import asyncio

import pytest

from bookkeeping import Bookkeeper, new_id, outcomes
from xinghan.kit.ids import AccountId
from xinghan.ledger import (
    AccountNotFound,
    Hold,
    InsufficientFunds,
    Leg,
    Outcome,
    Post,
    freeze_account,
    limit_account,
    plan_sweep,
    post_sweeping,
    sweep_id,
)
from xinghan.ledger.model import Request, Result
from xinghan.ledger.numbers import account_number


async def stripes(books: Bookkeeper, account: AccountId) -> dict[int, int]:
    """Read the stripes that hold something."""
    async with books.database.acquire() as connection:
        rows = await connection.fetch(
            """
            SELECT bucket, credits_posted - debits_posted AS balance FROM ledger.account
            WHERE id = $1 AND credits_posted <> debits_posted
            """,
            account,
        )
    return {row["bucket"]: row["balance"] for row in rows}


async def shop_with(books: Bookkeeper, **stripes_minor: int) -> AccountId:
    shop = await books.open(kind="merchant", striped=True)
    for bucket, amount_minor in stripes_minor.items():
        await books.fund(shop, amount_minor, int(bucket.removeprefix("b")))
    return shop


async def sweeping(books: Bookkeeper, *group: Request) -> list[Result]:
    (results,) = await books.run(lambda c: post_sweeping(c, [group]))
    return results


async def test_the_richest_stripes_give_first(books: Bookkeeper) -> None:
    shop = await shop_with(books, b1=10, b2=50, b3=30, b4=5)
    legs = await books.run(lambda c: plan_sweep(c, shop, 4, 70))
    assert legs == (Leg(shop, shop, 50, 2, 4), Leg(shop, shop, 15, 3, 4))
    await books.post(*legs)
    assert await stripes(books, shop) == {1: 10, 3: 15, 4: 70}


async def test_nothing_moves_where_there_is_enough(books: Bookkeeper) -> None:
    shop = await shop_with(books, b1=10, b2=50)
    assert await books.run(lambda c: plan_sweep(c, shop, 1, 10)) == ()
    short = await books.open(striped=True, floor_minor=None)
    cash = await books.open(striped=True, debit_normal=True)
    for unbounded in (short, cash):
        assert await books.run(lambda c, a=unbounded: plan_sweep(c, a, 1, 10)) == ()


async def test_what_all_stripes_lack_is_refused(books: Bookkeeper) -> None:
    shop = await shop_with(books, b1=10, b2=50)
    lin = await books.open(bucket=9)
    await books.hold(Leg(shop, await books.open(bucket=2), 20))
    with pytest.raises(InsufficientFunds):
        await books.run(lambda c: plan_sweep(c, shop, 9, 41))
    before = await books.everything()
    results = await sweeping(books, Post(new_id(), (Leg(shop, lin, 41),)))
    assert outcomes(results) == [Outcome.INSUFFICIENT_FUNDS]
    assert await books.everything() == before
    assert outcomes(await sweeping(books, Post(new_id(), (Leg(shop, lin, 40),)))) == ["posted"]


async def test_floors_of_stripes_are_kept_and_used(books: Bookkeeper) -> None:
    shop = await shop_with(books, b1=10)
    await books.run(
        lambda c: limit_account(c, shop, "chen", "line", floor_minor=-5, ceiling_minor=None)
    )
    legs = await books.run(lambda c: plan_sweep(c, shop, 0, 20))
    assert legs == (Leg(shop, shop, 15, 1, 0),)


async def test_an_account_must_be_there_and_striped(books: Bookkeeper) -> None:
    lin = await books.open()
    for account in (lin, account_number(2**40, 156, None)):
        with pytest.raises(AccountNotFound):
            await books.run(lambda c, a=account: plan_sweep(c, a, 0, 1))


async def test_a_refund_finds_the_money_of_other_stripes(books: Bookkeeper) -> None:
    shop = await shop_with(books, b1=10, b2=50)
    lin = await books.open(bucket=9)
    refund = Post(new_id(), (Leg(shop, lin, 55),))
    (result,) = await sweeping(books, refund)
    assert (result.outcome, result.bucket) == (Outcome.POSTED, 9)
    assert await books.minor(shop, lin) == [5, 55]
    async with books.database.acquire() as connection:
        linked = await connection.fetchval(
            "SELECT linked_to FROM ledger.posting WHERE id = $1", refund.id
        )
    assert linked == sweep_id(refund.id, shop)
    again = await sweeping(books, refund)
    assert again == [result._replace(outcome=Outcome.EXISTS)]


async def test_legs_may_feed_each_other(books: Bookkeeper) -> None:
    """The fee comes back to the shop first, and only what is then missing is swept."""
    shop, fees = await shop_with(books, b1=60), await shop_with(books, b2=3)
    lin = await books.open(bucket=9)
    refund = Post(new_id(), (Leg(fees, shop, 2), Leg(shop, lin, 62)))
    assert outcomes(await sweeping(books, refund)) == [Outcome.POSTED]
    assert await books.minor(shop, fees, lin) == [0, 1, 62]
    assert await stripes(books, fees) == {2: 1}


async def test_a_hold_is_swept_for_too(books: Bookkeeper) -> None:
    shop, lin = await shop_with(books, b1=60), await books.open(bucket=9)
    assert outcomes(await sweeping(books, Hold(new_id(), (Leg(shop, lin, 60),)))) == ["posted"]
    assert (await books.balance(shop)).available_minor == 0


async def test_a_shop_that_takes_no_payments_can_still_refund(books: Bookkeeper) -> None:
    shop, lin = await shop_with(books, b1=60), await books.open(bucket=9)
    await books.run(lambda c: freeze_account(c, shop, "chen", "test", debits=False))
    assert outcomes(await sweeping(books, Post(new_id(), (Leg(shop, lin, 60),)))) == ["posted"]


async def test_a_group_that_fails_for_another_reason_sweeps_nothing(books: Bookkeeper) -> None:
    shop = await shop_with(books, b1=60)
    lin, full = await books.open(bucket=9), await books.open(bucket=9, ceiling_minor=1)
    group = [Post(new_id(), (Leg(shop, to, 30),)) for to in (lin, full)]
    before = await books.everything()
    results = await sweeping(books, *group)
    assert outcomes(results) == [Outcome.LINKED_FAILED, Outcome.CEILING_EXCEEDED]
    assert await books.everything() == before


async def test_other_groups_are_posted_beside(books: Bookkeeper) -> None:
    shop, lin = await shop_with(books, b1=60), await books.funded(10, bucket=9)
    poor = await books.open(bucket=3)
    groups: list[tuple[Request, ...]] = [
        (Post(new_id(), (Leg(lin, poor, 1),)),),
        (Post(new_id(), (Leg(shop, lin, 50),)),),
        (Post(new_id(), (Leg(poor, lin, 1000),)),),
        (Post(new_id(), (Leg(shop, lin, 1.5),)),),
        (Post(new_id(), (Leg(shop, lin, 10),)),),
        (Post(new_id(), (Leg(shop, lin, 1),)),),
    ]
    results = await books.run(lambda c: post_sweeping(c, groups))
    assert [result.outcome for (result,) in results] == [
        Outcome.POSTED,
        Outcome.POSTED,
        Outcome.INSUFFICIENT_FUNDS,
        Outcome.MALFORMED,
        Outcome.POSTED,
        Outcome.INSUFFICIENT_FUNDS,
    ]
    assert await books.minor(shop, lin, poor) == [0, 69, 1]


async def test_fifty_refunds_at_once_share_what_other_stripes_hold(books: Bookkeeper) -> None:
    """Sweeps, payments and refunds of one shop take their locks in one order."""
    shop = await shop_with(books, b60=130, b61=120, b62=150)
    people = [await books.funded(10, bucket=bucket) for bucket in range(50)]
    payments = [Post(new_id(), (Leg(person, shop, 1),)) for person in people[:20]]
    doors = [Bookkeeper(books.database).ledger for _ in range(4)]

    async def refund(person: AccountId) -> Outcome:
        # Not run again: a deadlock would fail the test.
        async with books.database.transaction() as connection:
            group = (Post(new_id(), (Leg(shop, person, 10),)),)
            return (await post_sweeping(connection, [group]))[0][0].outcome

    refunded, paid = await asyncio.gather(
        asyncio.gather(*map(refund, people)),
        asyncio.gather(*(doors[n % 4].post(payment) for n, payment in enumerate(payments))),
    )
    # 400 were there and 20 came in meanwhile: 40 to 42 refunds of 10 can be paid.
    count = refunded.count(Outcome.POSTED)
    assert 40 <= count <= 42
    assert refunded.count(Outcome.INSUFFICIENT_FUNDS) == 50 - count
    assert {result.outcome for result in paid} == {Outcome.POSTED}
    assert (await books.balance(shop)).balance_minor == 420 - 10 * count
    assert min((await stripes(books, shop)).values(), default=0) >= 0
