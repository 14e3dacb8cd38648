"""The ledger's statements for reading, one typed function for each.

Each answers from one snapshot. An account is read row by row of (bucket, account), so that none of
them needs an index over all buckets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from xinghan.kit.db import Connection, Row
from xinghan.kit.ids import AccountId

FETCH_POSITIONS: Final = """
    SELECT bucket, version, debit_normal
    FROM ledger.account
    WHERE bucket = ANY($1::smallint []) AND id = $2
    ORDER BY bucket
"""

# Balance and held money of the whole account where each stripe stands at its position.
FETCH_BALANCE_AT_POSITIONS: Final = """
    SELECT coalesce(sum(e.balance_after), 0) AS balance, coalesce(sum(e.held_after), 0) AS held
    FROM unnest($1::smallint [], $2::bigint []) AS stripe (bucket, position)
    CROSS JOIN LATERAL (
        SELECT x.balance_after, x.held_after
        FROM ledger.entry AS x
        WHERE x.bucket = stripe.bucket AND x.account = $3 AND x.version <= stripe.position
        ORDER BY x.version DESC
        LIMIT 1
    ) AS e
"""

# The window keeps a stripe's entries in the order of their versions even if the clock was set back,
# so that a page takes a stripe's next entries without a gap.
_MERGE: Final = """
    WITH merged AS MATERIALIZED (
        SELECT e.*, {extreme}(e.created_at) OVER (
            PARTITION BY e.bucket ORDER BY e.version {direction}
        ) AS merged_at
        FROM unnest($1::smallint [], $2::bigint []) AS stripe (bucket, position)
        CROSS JOIN LATERAL (
            SELECT x.bucket, x.version, x.posting_bucket, x.posting, x.leg, x.change, x.held_after,
                x.created_at
            FROM ledger.entry AS x
            WHERE x.bucket = stripe.bucket AND x.account = $3 AND x.version {beyond} stripe.position
            ORDER BY x.version {direction}
            LIMIT $4
        ) AS e
        ORDER BY merged_at {direction}, bucket {direction}, version {direction}
        LIMIT $4
    )
    SELECT m.bucket, m.version, m.change,
        m.held_after - coalesce(before.held_after, 0) AS held_change,
        p.bucket AS posting_bucket, p.id AS posting, p.leg, p.kind, p.amount,
        CASE WHEN p.debit_account = $3 THEN p.credit_account ELSE p.debit_account END
            AS counterparty,
        p.refers_to, p.metadata, p.event_at, p.created_at
    FROM merged AS m
    JOIN ledger.posting AS p
        ON p.bucket = m.posting_bucket AND p.id = m.posting AND p.leg = m.leg
    LEFT JOIN ledger.entry AS before
        ON before.bucket = m.bucket AND before.account = $3 AND before.version = m.version - 1
    ORDER BY m.merged_at {direction}, m.bucket {direction}, m.version {direction}
"""
FETCH_ENTRIES_BACKWARD: Final = _MERGE.format(extreme="min", direction="DESC", beyond="<=")
FETCH_ENTRIES_FORWARD: Final = _MERGE.format(extreme="max", direction="ASC", beyond=">")

FETCH_BALANCE_BY_LEDGER_TIME: Final = """
    SELECT coalesce(sum(e.balance_after), 0) AS balance, coalesce(sum(e.held_after), 0) AS held
    FROM (
        SELECT u.bucket, ledger.version_at(u.bucket, $2, $3) AS version
        FROM unnest($1::smallint []) AS u (bucket)
    ) AS stripe
    JOIN ledger.entry AS e
        ON e.bucket = stripe.bucket AND e.account = $2 AND e.version = stripe.version
"""

# What the ledger knew, less what it had booked ahead of the world, plus what it booked belatedly.
FETCH_BALANCE_BY_WORLD_TIME: Final = """
    SELECT coalesce(sum(coalesce(e.balance_after, 0) - ahead.change + belated.change), 0)
    FROM (
        SELECT u.bucket, ledger.version_at(u.bucket, $2, $3) AS version
        FROM unnest($1::smallint []) AS u (bucket)
        OFFSET 0
    ) AS stripe
    LEFT JOIN ledger.entry AS e
        ON e.bucket = stripe.bucket AND e.account = $2 AND e.version = stripe.version
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(x.change), 0) AS change
        FROM ledger.entry AS x
        WHERE x.bucket = stripe.bucket AND x.account = $2
            AND x.event_at > $3 AND x.version <= stripe.version
    ) AS ahead
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(x.change), 0) AS change
        FROM ledger.entry AS x
        WHERE x.bucket = stripe.bucket AND x.account = $2
            AND x.event_at <= $3 AND x.version > stripe.version
    ) AS belated
"""

FETCH_TRIAL_BALANCE: Final = """
    SELECT (id >> 8 & 1023)::integer AS currency, kind, debit_normal,
        count(DISTINCT id) AS accounts,
        sum(debits_posted) AS debits_posted, sum(credits_posted) AS credits_posted
    FROM ledger.account
    GROUP BY 1, kind, debit_normal
    ORDER BY 1, debit_normal DESC, kind
"""

FIND_BY_METADATA: Final = """
    SELECT bucket, id, created_at
    FROM ledger.posting
    WHERE metadata @> $1 AND leg = 0
        AND (created_at, bucket, id) < ($2, $3::smallint, $4)
    ORDER BY created_at DESC, bucket DESC, id DESC
    LIMIT $5
"""

FIND_EXPIRED: Final = """
    SELECT bucket, id, leg
    FROM ledger.hold
    WHERE captured + released < amount AND expires_at <= clock_timestamp()
    ORDER BY expires_at, bucket, id, leg
    LIMIT $1
"""


async def fetch_positions(
    connection: Connection, buckets: Sequence[int], account: AccountId
) -> list[Row]:
    """Fetch where each row of an account stands: bucket, version, debit_normal."""
    return await connection.fetch(FETCH_POSITIONS, buckets, account)


async def fetch_balance_at_positions(
    connection: Connection, positions: Mapping[int, int], account: AccountId
) -> tuple[int, int]:
    """Sum balance (credits positive) and held money where each bucket stands at its version."""
    row = await connection.fetchrow(
        FETCH_BALANCE_AT_POSITIONS, list(positions), list(positions.values()), account
    )
    return _sums(row)


async def fetch_entries(
    connection: Connection,
    positions: Mapping[int, int],
    account: AccountId,
    limit: int,
    *,
    newest_first: bool,
) -> list[Row]:
    """Fetch the next entries of all rows of an account, merged by time.

    Backward they begin at the position of each bucket, forward behind it.
    """
    statement = FETCH_ENTRIES_BACKWARD if newest_first else FETCH_ENTRIES_FORWARD
    return await connection.fetch(
        statement, list(positions), list(positions.values()), account, limit
    )


async def fetch_balance_by_ledger_time(
    connection: Connection, buckets: Sequence[int], account: AccountId, at: datetime
) -> tuple[int, int]:
    """Sum balance (credits positive) and held money as the ledger knew them at an instant."""
    return _sums(await connection.fetchrow(FETCH_BALANCE_BY_LEDGER_TIME, buckets, account, at))


async def fetch_balance_by_world_time(
    connection: Connection, buckets: Sequence[int], account: AccountId, at: datetime
) -> int:
    """Sum what had happened in the world by an instant; credits positive."""
    return int(await connection.fetchval(FETCH_BALANCE_BY_WORLD_TIME, buckets, account, at))


async def fetch_trial_balance(connection: Connection) -> list[Row]:
    """Sum all accounts by currency number, kind and normal side."""
    return await connection.fetch(FETCH_TRIAL_BALANCE)


async def find_by_metadata(
    connection: Connection,
    metadata: Mapping[str, object],
    before: tuple[datetime, int, UUID],
    limit: int,
) -> list[Row]:
    """Find postings whose metadata contain `metadata`, newest first, behind a place in the list."""
    return await connection.fetch(FIND_BY_METADATA, metadata, *before, limit)


async def find_expired(connection: Connection, limit: int) -> list[tuple[int, UUID, int]]:
    """Find legs of holds (bucket, id, leg) whose time is over by the database's clock."""
    rows = await connection.fetch(FIND_EXPIRED, limit)
    return [(row["bucket"], row["id"], row["leg"]) for row in rows]


def _sums(row: Row | None) -> tuple[int, int]:
    return (int(row["balance"]), int(row["held"])) if row else (0, 0)
