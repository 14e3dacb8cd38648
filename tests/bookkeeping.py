"""A ledger for tests: accounts with money in them, and the checks that must always hold."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from xinghan.kit.commit import commit
from xinghan.kit.db import Connection, Database
from xinghan.kit.ids import AccountId, PostingId, uuid7
from xinghan.ledger import (
    RACES,
    Balance,
    Hold,
    Ledger,
    Leg,
    NewAccount,
    Outcome,
    Post,
    Request,
    Result,
    fetch_balances,
    open_account,
)

Done = TypeVar("Done")

TABLES: Final = ("account", "account_change", "posting", "entry", "hold")

# Each finds rows that must not exist.
INVARIANTS: Final[Mapping[str, str]] = {
    "a currency that does not sum to zero": """
        SELECT id >> 8 & 1023 FROM ledger.account
        GROUP BY 1 HAVING sum(debits_posted) <> sum(credits_posted)
            OR sum(debits_pending) <> sum(credits_pending)
    """,
    "an account that is not the sum of its entries": """
        SELECT a.bucket, a.id FROM ledger.account AS a
        LEFT JOIN ledger.entry AS e ON e.bucket = a.bucket AND e.account = a.id
        GROUP BY a.bucket, a.id
        HAVING a.credits_posted - a.debits_posted <> coalesce(sum(e.change), 0)
            OR a.version <> count(e.version) OR a.version <> coalesce(max(e.version), 0)
    """,
    "an entry whose balance does not follow from the one before": """
        SELECT FROM (
            SELECT balance_after - change AS before, version,
                lag(balance_after, 1, 0::bigint) OVER w AS balance_before,
                lag(version, 1, 0::bigint) OVER w AS version_before
            FROM ledger.entry WINDOW w AS (PARTITION BY bucket, account ORDER BY version)
        ) AS e
        WHERE before <> balance_before OR version <> version_before + 1
    """,
    "a last entry that differs from its account": """
        SELECT FROM ledger.account AS a
        JOIN ledger.entry AS e ON e.bucket = a.bucket AND e.account = a.id AND e.version = a.version
        WHERE e.balance_after <> a.credits_posted - a.debits_posted
            OR e.held_after <> CASE WHEN debit_normal THEN credits_pending ELSE debits_pending END
    """,
    "an account that is not the sum of its postings": """
        SELECT a.id FROM ledger.account AS a
        LEFT JOIN LATERAL (
            SELECT coalesce(sum(amount) FILTER (WHERE kind IN (1, 3, 6)), 0) AS posted,
                coalesce(
                    sum(CASE WHEN kind = 2 THEN amount WHEN kind IN (3, 4, 5) THEN -amount END), 0
                ) AS pending
            FROM ledger.posting WHERE debit_bucket = a.bucket AND debit_account = a.id
        ) AS d ON true
        LEFT JOIN LATERAL (
            SELECT coalesce(sum(amount) FILTER (WHERE kind IN (1, 3, 6)), 0) AS posted,
                coalesce(
                    sum(CASE WHEN kind = 2 THEN amount WHEN kind IN (3, 4, 5) THEN -amount END), 0
                ) AS pending
            FROM ledger.posting WHERE credit_bucket = a.bucket AND credit_account = a.id
        ) AS c ON true
        WHERE (d.posted, d.pending, c.posted, c.pending)
            <> (a.debits_posted, a.debits_pending, a.credits_posted, a.credits_pending)
    """,
    "a hold that is not what its captures and releases left": """
        SELECT h.id FROM ledger.hold AS h
        LEFT JOIN ledger.posting AS p
            ON p.bucket = h.bucket AND p.refers_to = h.id AND p.leg = h.leg
            AND p.kind BETWEEN 3 AND 5
        GROUP BY h.bucket, h.id, h.leg
        HAVING h.captured <> coalesce(sum(p.amount) FILTER (WHERE p.kind = 3), 0)
            OR h.released <> coalesce(sum(p.amount) FILTER (WHERE p.kind > 3), 0)
    """,
}


async def wait_for_others(database: Database) -> None:
    """Wait until every transaction is over that other tests have open on the shared server now.

    Only what is below the oldest unfinished transaction of the whole server is sealed.
    """
    async with database.acquire() as connection:
        until = await connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())")
        while await connection.fetchval(  # noqa: ASYNC110 (only the server knows when)
            "SELECT pg_snapshot_xmin(pg_current_snapshot()) < $1", until
        ):
            await asyncio.sleep(0.02)


class Bookkeeper:
    """Opens accounts, posts, and looks at the books."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ledger = Ledger(database)

    async def run(self, work: Callable[[Connection], Awaitable[Done]]) -> Done:
        """Do `work` in one transaction, again where another one moved in between."""
        return await commit(self.database, work, races=RACES)

    async def open(self, new: NewAccount | None = None, **given: object) -> AccountId:
        """Open a wallet in CNY, or what `new` and `given` say instead."""
        wanted = replace(new or NewAccount("CNY", "wallet"), **given)
        return await self.run(lambda connection: open_account(connection, wanted))

    async def fund(
        self, account: AccountId, amount_minor: int, bucket: int | None = None
    ) -> PostingId:
        """Give an account money out of a new account that may owe it."""
        source = await self.open(
            currency=(await self.balance(account)).currency, kind="funding", floor_minor=None
        )
        leg = Leg(source, account, amount_minor, credit_bucket=bucket)
        return PostingId((await self.post(leg)).id)

    async def funded(self, amount_minor: int, **given: object) -> AccountId:
        """Open an account with money in it."""
        account = await self.open(**given)
        await self.fund(account, amount_minor)
        return account

    async def post(self, *legs: Leg) -> Result:
        """Post legs under a new id; they must be accepted."""
        return await self.accept(Post(new_id(), legs))

    async def hold(self, *legs: Leg) -> Hold:
        """Hold legs under a new id; they must be accepted."""
        hold = Hold(new_id(), legs)
        await self.accept(hold)
        return hold

    async def accept(self, request: Request) -> Result:
        """Post a request that must be accepted."""
        result = await self.ledger.post(request)
        assert result.outcome is Outcome.POSTED
        return result

    async def refuse(self, outcome: Outcome, request: Request) -> None:
        """Post a request that must be refused, and see that the books did not move."""
        before = await self.everything()
        result = await self.ledger.post(request)
        assert (result.outcome, result.movements) == (outcome, ())
        assert await self.everything() == before

    async def balance(self, account: AccountId) -> Balance:
        """Read one account."""
        return (await self.balances(account))[0]

    async def balances(self, *accounts: AccountId) -> list[Balance]:
        """Read accounts at one moment."""
        async with self.database.acquire() as connection:
            return await fetch_balances(connection, accounts)

    async def minor(self, *accounts: AccountId) -> list[int]:
        """Read what accounts hold."""
        return [balance.balance_minor for balance in await self.balances(*accounts)]

    async def everything(self) -> dict[str, list[tuple[object, ...]]]:
        """Read every row of the ledger, for comparing."""
        async with self.database.acquire() as connection:
            return {
                table: [
                    tuple(row)
                    for row in await connection.fetch(
                        f"SELECT t::text FROM ledger.{table} AS t ORDER BY 1"
                    )
                ]
                for table in TABLES
            }

    async def check(self) -> None:
        """See that the books are in order."""
        async with self.database.acquire() as connection:
            for broken, statement in INVARIANTS.items():
                assert await connection.fetch(statement) == [], broken


def new_id() -> PostingId:
    return PostingId(uuid7())


def outcomes(results: Sequence[Result]) -> list[Outcome]:
    return [result.outcome for result in results]


async def until_one_waits(owner: Connection) -> None:
    """Wait until somebody waits for a lock in this test's database; only the owner can see it."""
    while not await owner.fetchval(  # noqa: ASYNC110 (the database has no event for it)
        """
        SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database()
        """
    ):
        await asyncio.sleep(0.01)
