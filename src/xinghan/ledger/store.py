"""The ledger's statements for posting: what is read and locked, and the one call that writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from xinghan.kit.db import Connection, Row
from xinghan.kit.ids import AccountId
from xinghan.ledger.books import Counters, JournalRow, OpenHold, Written
from xinghan.ledger.model import Kind, Leg, Movement
from xinghan.ledger.numbers import row_key

Key = TypeVar("Key", bound=int | UUID)

_ACCOUNT_COLUMNS = """
    a.bucket, a.id,
    a.debit_normal::integer | (a.debits_refused::integer << 1)
        | (a.credits_refused::integer << 2) | (a.closed::integer << 3) AS flags,
    a.floor_minor, a.ceiling_minor,
    a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending, a.version
"""

LOCK_ACCOUNTS: Final = f"""
    SELECT {_ACCOUNT_COLUMNS}, NULL::uuid AS posting
    FROM unnest($1::smallint [], $2::bigint []) AS u (bucket, id)
    JOIN ledger.account AS a ON a.bucket = u.bucket AND a.id = u.id
    ORDER BY a.bucket, a.id
    FOR NO KEY UPDATE OF a
"""  # noqa: S608 (a constant)

FIND_STANDING: Final = """
    SELECT p.bucket, p.id
    FROM unnest($1::smallint [], $2::uuid []) AS u (bucket, id)
    JOIN ledger.posting AS p ON p.bucket = u.bucket AND p.id = u.id
"""

# Without locks both questions are one statement: one snapshot, and one round trip.
READ_ACCOUNTS: Final = f"""
    SELECT {_ACCOUNT_COLUMNS}, NULL::uuid AS posting
    FROM unnest($1::smallint [], $2::bigint []) AS u (bucket, id)
    JOIN ledger.account AS a ON a.bucket = u.bucket AND a.id = u.id
    UNION ALL
    SELECT p.bucket, 0, 0, NULL, NULL, 0, 0, 0, 0, 0, p.id
    FROM unnest($3::smallint [], $4::uuid []) AS u (bucket, id)
    JOIN ledger.posting AS p ON p.bucket = u.bucket AND p.id = u.id
"""  # noqa: S608 (a constant)

LOCK_HOLDS: Final = """
    SELECT h.bucket, h.id, h.leg,
        h.debit_bucket, h.debit_account, h.credit_bucket, h.credit_account,
        h.amount, h.captured, h.released, h.expires_at
    FROM unnest($1::smallint [], $2::uuid []) AS u (bucket, id)
    JOIN ledger.hold AS h ON h.bucket = u.bucket AND h.id = u.id
    ORDER BY h.bucket, h.id, h.leg
    FOR NO KEY UPDATE OF h
"""

FETCH_WRITTEN: Final = """
    SELECT p.bucket, p.id, p.leg, p.kind,
        p.debit_bucket, p.debit_account, p.credit_bucket, p.credit_account,
        p.amount, p.refers_to, p.linked_to, p.event_at, p.metadata, p.created_at, h.expires_at,
        d.balance_after AS debit_balance, d.held_after AS debit_held,
        da.debit_normal AS debit_is_debit_normal,
        c.balance_after AS credit_balance, c.held_after AS credit_held,
        ca.debit_normal AS credit_is_debit_normal,
        EXISTS (
            SELECT FROM ledger.posting AS r
            WHERE r.bucket = p.bucket AND r.refers_to = p.id AND r.kind = 6
        ) AS reversed
    FROM (
        SELECT DISTINCT bucket, id FROM unnest($1::smallint [], $2::uuid []) AS w (bucket, id)
    ) AS u
    JOIN ledger.posting AS p ON p.bucket = u.bucket AND p.id = u.id
    JOIN ledger.entry AS d
        ON d.bucket = p.debit_bucket AND d.account = p.debit_account AND d.version = p.debit_version
    JOIN ledger.entry AS c
        ON c.bucket = p.credit_bucket AND c.account = p.credit_account
        AND c.version = p.credit_version
    JOIN ledger.account AS da ON da.bucket = p.debit_bucket AND da.id = p.debit_account
    JOIN ledger.account AS ca ON ca.bucket = p.credit_bucket AND ca.id = p.credit_account
    LEFT JOIN ledger.hold AS h
        ON p.kind = 2 AND h.bucket = p.bucket AND h.id = p.id AND h.leg = p.leg
    ORDER BY p.bucket, p.id, p.leg
"""

FETCH_NOW: Final = "SELECT clock_timestamp()"

WRITE: Final = """
    SELECT ledger.write_v1(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20
    )
"""


async def lock_accounts(
    connection: Connection, rows: Iterable[tuple[int, AccountId]]
) -> dict[int, Counters]:
    """Lock account rows (bucket, account) in the order of their keys."""
    buckets, accounts = _columns(sorted(rows))
    return _counters(await connection.fetch(LOCK_ACCOUNTS, buckets, accounts))


async def find_standing(
    connection: Connection, postings: Sequence[tuple[int, UUID]]
) -> set[tuple[int, UUID]]:
    """Tell which of the postings (bucket, id) stand already."""
    buckets, ids = _columns(postings)
    rows = await connection.fetch(FIND_STANDING, buckets, ids)
    return {(row["bucket"], row["id"]) for row in rows}


async def read_accounts(
    connection: Connection,
    rows: Iterable[tuple[int, AccountId]],
    postings: Sequence[tuple[int, UUID]],
) -> tuple[dict[int, Counters], set[tuple[int, UUID]]]:
    """Read account rows (bucket, account) and which postings (bucket, id) stand, at one instant."""
    found = await connection.fetch(READ_ACCOUNTS, *_columns(sorted(rows)), *_columns(postings))
    standing = {(row["bucket"], row["posting"]) for row in found if row["posting"] is not None}
    return _counters(found), standing


def _columns(pairs: Sequence[tuple[int, Key]]) -> tuple[list[int], list[Key]]:
    return [bucket for bucket, _ in pairs], [key for _, key in pairs]


def _counters(rows: Iterable[Row]) -> dict[int, Counters]:
    accounts: dict[int, Counters] = {}
    for bucket, account, flags, floor, ceiling, *posted, out, into, version, posting in rows:
        if posting is None:
            accounts[row_key(account, bucket)] = Counters(
                account, bucket, flags, floor, ceiling, (posted[0], posted[1]), (out, into), version
            )
    return accounts


async def lock_holds(
    connection: Connection, holds: Sequence[tuple[int, UUID]]
) -> dict[tuple[int, UUID, int], OpenHold]:
    """Lock the legs of holds (bucket, id)."""
    rows = await connection.fetch(
        LOCK_HOLDS, [bucket for bucket, _ in holds], [hold for _, hold in holds]
    )
    return {
        (row["bucket"], row["id"], row["leg"]): OpenHold(
            row["debit_bucket"],
            row["debit_account"],
            row["credit_bucket"],
            row["credit_account"],
            row["amount"],
            row["captured"],
            row["released"],
            row["expires_at"],
        )
        for row in rows
    }


async def fetch_written(
    connection: Connection, postings: Sequence[tuple[int, UUID]]
) -> dict[tuple[int, UUID], Written]:
    """Fetch postings (bucket, id) as they stand in the journal."""
    rows = await connection.fetch(
        FETCH_WRITTEN, [bucket for bucket, _ in postings], [posting for _, posting in postings]
    )
    found: dict[tuple[int, UUID], Written] = {}
    for row in rows:
        key = (row["bucket"], row["id"])
        before = found.get(key)
        found[key] = Written(
            row["bucket"],
            row["id"],
            Kind(row["kind"]),
            (*(before.legs if before else ()), _leg(row)),
            (*(before.leg_numbers if before else ()), row["leg"]),
            (*(before.movements if before else ()), _movement(row)),
            row["refers_to"],
            row["linked_to"],
            row["event_at"],
            row["expires_at"],
            row["metadata"],
            row["created_at"],
            row["reversed"],
        )
    return found


async def fetch_now(connection: Connection) -> datetime:
    """Read the database's clock."""
    now: datetime = await connection.fetchval(FETCH_NOW)
    return now


async def write(connection: Connection, rows: Sequence[JournalRow]) -> datetime:
    """Write the rows of a batch and move the accounts; gives the instant at which they stand.

    Raises SerializationFailure when an account is not as it was read.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    for place in range(9, len(columns)):
        if columns[place].count(None) == len(rows):
            columns[place] = []
    written_at: datetime = await connection.fetchval(WRITE, *columns)
    return written_at


def _leg(row: Row) -> Leg:
    return Leg(
        row["debit_account"],
        row["credit_account"],
        row["amount"],
        row["debit_bucket"],
        row["credit_bucket"],
    )


def _movement(row: Row) -> Movement:
    sign_debit = -1 if row["debit_is_debit_normal"] else 1
    sign_credit = -1 if row["credit_is_debit_normal"] else 1
    debit = sign_debit * row["debit_balance"]
    credit = sign_credit * row["credit_balance"]
    return Movement(
        row["leg"],
        row["debit_account"],
        row["credit_account"],
        row["amount"],
        debit,
        debit - row["debit_held"],
        credit,
        credit - row["credit_held"],
    )
