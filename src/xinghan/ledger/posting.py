"""Posts requests: read and lock, judge one by one, write once; alone, linked, or in batches.

Inside a transaction of another room use `post_in`; by itself use a `Ledger`, which gathers callers
who wait at the same time into one commit (group commit).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeAlias

from xinghan.kit.commit import commit
from xinghan.kit.db import (
    CheckViolation,
    Connection,
    ConnectionLost,
    Database,
    DeadlockDetected,
    SerializationFailure,
    UniqueViolation,
)
from xinghan.kit.group import Group
from xinghan.kit.ids import AccountId
from xinghan.ledger import store
from xinghan.ledger.books import Books, JournalRow
from xinghan.ledger.model import (
    Capture,
    Hold,
    Outcome,
    Post,
    Release,
    Request,
    Result,
    Reverse,
)
from xinghan.ledger.numbers import home_bucket
from xinghan.ledger.rules import judge_batch, touched
from xinghan.ledger.wellformed import well_formed

Linked: TypeAlias = tuple[Request, ...]

# A repeated id that is committed meanwhile is seen only when it violates one of these.
RACES: Final = frozenset({"posting_pkey", "posting_reversed_once"})
# Small enough that the database is soon at work, large enough that round trips do not count.
SLICE_GROUPS: Final = 1000
TURNS_UNTIL_SENT: Final = 2
_BEFORE_ANY_CLOCK: Final = datetime(1, 1, 1, tzinfo=UTC)

# Why a batch that was judged without locks may fail; with locks it waits its turn. A CHECK fails
# when a limit was set, or a hold was captured, between the reading and the writing.
OVERTAKEN: Final = (
    CheckViolation,
    ConnectionLost,
    DeadlockDetected,
    SerializationFailure,
    UniqueViolation,
)


async def post_in(
    connection: Connection, groups: Sequence[Linked], *, lock: bool = True
) -> list[list[Result]]:
    """Post groups of requests inside the caller's transaction: one result per request, in order.

    A group's requests stand or fall together; groups do not disturb each other. Run the
    transaction by `kit.commit.commit` with `RACES`: it may have to be run again. Without `lock`
    nothing is locked while the batch is judged, and the write fails with SerializationFailure if
    an account moved.
    """
    readable = [group for group in groups if all(well_formed(request) for request in group)]
    judged = iter(await _post_readable(connection, readable, lock=lock))
    if len(readable) == len(groups):
        return list(judged)
    return [
        next(judged) if all(well_formed(request) for request in group) else _refuse_malformed(group)
        for group in groups
    ]


async def _post_readable(
    connection: Connection, groups: Sequence[Linked], *, lock: bool
) -> list[list[Result]]:
    """Judge slice by slice; while the database writes one, the next is judged."""
    placed = [[(_bucket_of(request), request) for request in group] for group in groups]
    books = await _read(connection, placed, lock=lock)
    results: list[list[Result]] = []
    writing: _Writing | None = None
    try:
        for start in range(0, len(placed), SLICE_GROUPS):
            judged = judge_batch(books, placed[start : start + SLICE_GROUPS])
            rows, books.rows = books.rows, []
            if writing is not None:
                results += await writing.finish()
            writing = _Writing(connection, rows, judged)
            await writing.send()
        return results + await writing.finish() if writing is not None else results
    finally:
        if writing is not None:
            writing.abandon()


class _Writing:
    """One slice on its way into the database."""

    def __init__(
        self, connection: Connection, rows: Sequence[JournalRow], judged: list[list[Result]]
    ) -> None:
        self._judged = judged
        self._task = asyncio.ensure_future(store.write(connection, rows)) if rows else None

    async def send(self) -> None:
        """Let the statement out, so that the database works while the next slice is judged."""
        for _ in range(TURNS_UNTIL_SENT if self._task else 0):
            await asyncio.sleep(0)

    def abandon(self) -> None:
        """Stop what was not waited for, so that the connection is free for going back."""
        if self._task is not None:
            self._task.cancel()

    async def finish(self) -> list[list[Result]]:
        """Wait until the slice is written; gives its results with the instant of writing."""
        if self._task is None:
            return self._judged
        written_at = await self._task
        return [
            [
                result._replace(created_at=written_at)
                if result.created_at is None and result.done
                else result
                for result in group
            ]
            for group in self._judged
        ]


def _refuse_malformed(group: Linked) -> list[Result]:
    return [
        Result(Outcome.LINKED_FAILED if well_formed(request) else Outcome.MALFORMED, request.id, 0)
        for request in group
    ]


class Ledger:
    """The ledger as one door for callers who have no transaction of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group: Group[Linked, list[Result]] = Group(self._commit_gathered)

    async def post(self, request: Request) -> Result:
        """Post one request, sharing the commit with whoever posts at the same time."""
        return (await self._group.submit((request,)))[0]

    async def post_linked(self, requests: Iterable[Request]) -> list[Result]:
        """Post requests that succeed or fail together."""
        return await self._group.submit(tuple(requests))

    async def post_groups(self, groups: Sequence[Linked]) -> list[list[Result]]:
        """Post independent groups; a single one shares the commit with whoever posts now."""
        if len(groups) == 1:
            return [await self._group.submit(groups[0])]
        return await self._commit(groups, lock=False)

    async def post_batch(self, requests: Iterable[Request]) -> list[Result]:
        """Post independent requests in one commit: one result for each, whatever the others'."""
        return [
            group[0]
            for group in await self._commit([(request,) for request in requests], lock=False)
        ]

    async def _commit_gathered(self, groups: Sequence[Linked]) -> list[list[Result]]:
        """Lock when many come at once: two batches are then under way, and may meet."""
        return await self._commit(groups, lock=len(groups) > 1)

    async def _commit(self, groups: Sequence[Linked], *, lock: bool) -> list[list[Result]]:
        """Without `lock` try in two round trips first; if overtaken, go again with locks."""
        if not lock:
            whole = len(groups) <= SLICE_GROUPS
            lend = self._database.acquire if whole else self._database.transaction
            with suppress(*OVERTAKEN):
                async with lend() as connection:
                    return await post_in(connection, groups, lock=False)
        return await commit(
            self._database, lambda connection: post_in(connection, groups), races=RACES
        )


def _bucket_of(request: Request) -> int:
    return home_bucket(request) if isinstance(request, Post | Hold) else request.bucket


async def _read(
    connection: Connection, placed: Sequence[Sequence[tuple[int, Request]]], *, lock: bool
) -> Books:
    """Read and lock all that the batch may touch: holds first, then accounts, in order."""
    books = Books(_BEFORE_ANY_CLOCK, {})
    requests = [item for group in placed for item in group]
    special = [item for item in requests if not isinstance(item[1], Post)]
    if special:
        await _read_referred(connection, special, books)
    rows = _account_rows(books, requests)
    postings = [(bucket, request.id) for bucket, request in requests]
    if lock:
        # Only a statement that begins after the locks are held sees what was posted until then.
        books.accounts = await store.lock_accounts(connection, rows)
        standing = await store.find_standing(connection, postings)
    else:
        books.accounts, standing = await store.read_accounts(connection, rows, postings)
    # What is to be reversed is read again, now that its accounts stand still. If it came only since
    # the first look, its accounts were not read, and the reversal came too early.
    standing |= books.written.keys()
    if standing:
        books.written = await store.fetch_written(connection, sorted(standing))
    if special:
        books.now = await store.fetch_now(connection)
    return books


async def _read_referred(
    connection: Connection, special: Sequence[tuple[int, Request]], books: Books
) -> None:
    """Read what captures, releases and reversals refer to."""
    holds = sorted({(bucket, r.hold) for bucket, r in special if isinstance(r, Capture | Release)})
    if holds:
        books.holds.update(await store.lock_holds(connection, holds))
    originals = sorted({(bucket, r.posting) for bucket, r in special if isinstance(r, Reverse)})
    if originals:
        books.written.update(await store.fetch_written(connection, originals))


def _account_rows(
    books: Books, requests: Sequence[tuple[int, Request]]
) -> set[tuple[int, AccountId]]:
    rows: set[tuple[int, AccountId]] = set()
    for bucket, request in requests:
        rows.update(touched(books, bucket, request))
    return rows
