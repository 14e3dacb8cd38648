"""Balances of the past by ledger time and by world time, and the trial balance."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from bookkeeping import Bookkeeper, new_id
from xinghan.kit.db import Connection
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import AccountId
from xinghan.ledger import (
    AccountNotFound,
    Leg,
    PastBalance,
    Post,
    fetch_balance_by_ledger_time,
    fetch_balance_by_world_time,
    fetch_trial_balance,
)
from xinghan.ledger.numbers import account_number

ROWS = """
    SELECT change, created_at, event_at FROM ledger.entry
    WHERE account = $1 ORDER BY created_at, bucket, version
"""


async def by_ledger(books: Bookkeeper, account: AccountId, at: datetime) -> PastBalance:
    return await books.run(lambda c: fetch_balance_by_ledger_time(c, account, at))


async def by_world(books: Bookkeeper, account: AccountId, at: datetime) -> int:
    return await books.run(lambda c: fetch_balance_by_world_time(c, account, at))


@pytest.mark.parametrize("striped", [True, False])
async def test_every_past_instant_is_told_as_the_entries_say(
    books: Bookkeeper,
    striped: bool,  # noqa: FBT001 (pytest gives it by name)
) -> None:
    shop = await books.open(striped=striped, floor_minor=None)
    people = [await books.funded(10_000, bucket=bucket) for bucket in (3, 9, 60)]
    chance = random.Random(7)
    now = datetime.now(UTC)
    for _ in range(40):
        ahead = timedelta(seconds=chance.uniform(-50, 50))
        event_at = None if chance.random() < 0.5 else now + ahead
        leg = Leg(chance.choice(people), shop, chance.randrange(1, 50))
        if chance.random() < 0.3:
            leg = Leg(leg.credit, leg.debit, leg.amount_minor)
        await books.accept(Post(new_id(), (leg,), event_at))
    async with books.database.acquire() as connection:
        rows = await connection.fetch(ROWS, shop)
    instants = {row["created_at"] for row in rows} | {row["event_at"] for row in rows} - {None}
    for instant in instants:
        for at in (instant, instant - timedelta(microseconds=1)):
            known = sum(row["change"] for row in rows if row["created_at"] <= at)
            happened = sum(
                row["change"] for row in rows if (row["event_at"] or row["created_at"]) <= at
            )
            assert await by_ledger(books, shop, at) == PastBalance(known, known)
            assert await by_world(books, shop, at) == happened
    far = now + timedelta(days=1)
    now_minor = (await books.balance(shop)).balance_minor
    assert (await by_ledger(books, shop, far)).balance_minor == now_minor
    assert await by_world(books, shop, far) == now_minor


async def test_held_money_of_the_past(books: Bookkeeper) -> None:
    cash = await books.open(kind="cash", debit_normal=True)
    lin, mei = await books.open(), await books.open()
    await books.post(Leg(cash, lin, 100))
    hold = await books.hold(Leg(lin, mei, 60))
    async with books.database.acquire() as connection:
        held_at = await connection.fetchval(
            "SELECT created_at FROM ledger.posting WHERE id = $1", hold.id
        )
    await books.post(Leg(lin, mei, 40))
    assert await by_ledger(books, lin, held_at) == PastBalance(100, 40)
    assert await by_ledger(books, cash, held_at) == PastBalance(100, 100)
    assert await by_world(books, cash, held_at) == 100
    before = held_at - timedelta(microseconds=1)
    assert await by_ledger(books, lin, before) == PastBalance(100, 100)
    assert await by_ledger(books, lin, datetime(2000, 1, 1, tzinfo=UTC)) == PastBalance(0, 0)


async def test_a_past_instant_has_a_zone_and_an_account(books: Bookkeeper) -> None:
    lin = await books.open()
    for ask in (by_ledger, by_world):
        with pytest.raises(Invalid) as refused:
            await ask(books, lin, datetime(2026, 1, 1))  # noqa: DTZ001 (naive, which is the point)
        assert refused.value.field == "at"
        with pytest.raises(AccountNotFound):
            await ask(books, account_number(2**40, 156, 1), datetime.now(UTC))


async def test_few_probes_find_an_instant_in_a_long_history(owner: Connection) -> None:
    """The search is by halving: the blocks it touches grow with the logarithm of the history."""
    lin = account_number(1, 156, 1)
    await owner.execute(
        """
        INSERT INTO ledger.entry (
            bucket, account, version, posting_bucket, leg, posting, change, balance_after,
            held_after, created_at
        )
        SELECT 1, $1, n, 1, 0, gen_random_uuid(), 0, 0, 0,
            '2020-01-01'::timestamptz + n * interval '1 s'
        FROM generate_series(1, 20000) AS n
        """,
        lin,
    )
    await owner.execute("ANALYZE ledger.entry")
    for second in (0, 1, 2, 9_999, 19_999, 20_000, 30_000):
        at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
        version = await owner.fetchval("SELECT ledger.version_at(1::smallint, $1, $2)", lin, at)
        assert version == min(second, 20_000)
    plan = await owner.fetchval(
        f"""
        EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
        SELECT ledger.version_at(1::smallint, {lin}, '2020-01-01 01:00:00+00')
        """
    )
    assert plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"] < 200


async def test_the_trial_balance_balances_in_every_currency(books: Bookkeeper) -> None:
    for currency in ("CNY", "JPY"):
        cash = await books.open(kind="cash", debit_normal=True, currency=currency)
        lin = await books.open(currency=currency)
        shop = await books.open(kind="merchant", striped=True, currency=currency)
        await books.post(Leg(cash, lin, 100))
        await books.post(Leg(lin, shop, 40))
        await books.hold(Leg(lin, shop, 10))
    trial = await books.run(fetch_trial_balance)
    assert [balance.currency for balance in trial] == ["CNY", "JPY"]
    for balance in trial:
        assert balance.balanced
        assert (balance.debit_total_minor, balance.credit_total_minor) == (100, 100)
        assert [(ln.kind, ln.accounts, ln.balance_minor) for ln in balance.lines] == [
            ("cash", 1, 100),
            ("merchant", 1, 40),
            ("wallet", 1, 60),
        ]
    assert trial[0].lines[0].debits_posted_minor == 100


async def test_an_empty_ledger_has_an_empty_trial_balance(books: Bookkeeper) -> None:
    assert await books.run(fetch_trial_balance) == []
