"""Recomputes the books and the chain from the postings, and says what does not hold."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from xinghan.kit.db import Connection, Database
from xinghan.ledger.proof import read_heads
from xinghan.ledger.verification.books import check_books, check_guards, count_books
from xinghan.ledger.verification.chain import check_chain
from xinghan.ledger.verification.report import Check, Finding, Progress, Report

__all__ = ["Check", "Finding", "Progress", "Report", "verify"]

# Whoever owns the database could put other functions before PostgreSQL's own, or hide rows: the
# names are taken from PostgreSQL alone, and a policy that hides rows is an error.
SET_SESSION: Final = """
    SET LOCAL search_path = pg_catalog, pg_temp;
    SET LOCAL row_security = off;
    SET LOCAL work_mem = '256MB'
"""


def _silent(_check: str, _done: int, _all: int) -> None:
    """Tell nobody."""


async def verify(
    database: Database,
    *,
    public_keys: Collection[bytes],
    heads: Sequence[Path] = (),
    progress: Progress = _silent,
) -> Report:
    """Check everything as it is at one moment, beside whoever is posting; changes nothing.

    `public_keys` are those whose signatures count, `heads` the files of heads kept elsewhere.
    Raises OSError for a file that cannot be read.
    """
    # What a file holds was sealed before it was written, so the books must be read after the files.
    kept = [head for path in heads for head in read_heads(path)]
    async with _same_moment(database) as (first, second):
        guards = await check_guards(first)
        postings, accounts = await count_books(first)
        books, chain = await asyncio.gather(
            check_books(first, progress),
            check_chain(second, postings, kept, public_keys, progress),
        )
    return Report(
        checks=(guards, *books, *chain.checks),
        postings=postings,
        accounts=accounts,
        blocks=chain.blocks,
        unsealed=chain.unsealed,
        head=chain.last.to_json() if chain.last else None,
    )


@asynccontextmanager
async def _same_moment(database: Database) -> AsyncIterator[tuple[Connection, Connection]]:
    """Lend two connections that see the same moment, so that two processors share the work."""
    async with (
        database.acquire() as first,
        database.acquire() as second,
        first.transaction(isolation="repeatable_read", readonly=True),
        second.transaction(isolation="repeatable_read", readonly=True),
    ):
        snapshot = await first.fetchval("SELECT pg_export_snapshot()")
        quoted = await first.fetchval("SELECT quote_literal($1)", snapshot)
        await second.execute(f"SET TRANSACTION SNAPSHOT {quoted}")
        for connection in (first, second):
            await connection.execute(SET_SESSION)
        yield first, second
