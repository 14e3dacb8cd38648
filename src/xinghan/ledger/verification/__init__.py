"""Recomputes the books and the chain from the postings, and says what does not hold."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from xinghan.kit.db import Connection, Database
from xinghan.ledger.proof import read_heads
from xinghan.ledger.verification.books import check_guards, count_books, tasks_of_books
from xinghan.ledger.verification.chain import ChainReport, check_chain
from xinghan.ledger.verification.report import (
    Check,
    Finding,
    Progress,
    Report,
    Task,
    gather_checks,
)

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
    async with _same_moment(database) as connections:
        postings, accounts = await count_books(connections[0])
        chain: list[ChainReport] = []

        async def check_whole_chain(connection: Connection) -> list[Check]:
            chain.append(await check_chain(connection, postings, kept, public_keys, progress))
            return chain[0].checks

        tasks = deque([check_whole_chain, check_guards, *tasks_of_books(postings, progress)])
        checks = await _share(tasks, connections)
    return Report(
        checks=gather_checks(checks),
        postings=postings,
        accounts=accounts,
        blocks=chain[0].blocks,
        unsealed=chain[0].unsealed,
        head=chain[0].last.to_json() if chain[0].last else None,
    )


async def _share(tasks: deque[Task], connections: Sequence[Connection]) -> list[Check]:
    """Do the tasks in order, each on the connection that is free first."""
    checks: list[Check] = []

    async def work(connection: Connection) -> None:
        while tasks:
            checks.extend(await tasks.popleft()(connection))

    try:
        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(work(connection))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return checks


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
