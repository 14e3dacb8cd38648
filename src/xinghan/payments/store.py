"""The payments room's statements: trades locked and read, and the one call that writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from xinghan.kit.db import Connection, Row
from xinghan.kit.ids import MerchantId, TradeId
from xinghan.kit.money import Rounding
from xinghan.kit.numbering import bucket_of_trade
from xinghan.payments.fees import FeeOnRefund
from xinghan.payments.model import (
    CodeUse,
    Event,
    EventKind,
    Notification,
    Refund,
    Trade,
    TradeState,
)

TRADE_COLUMNS: Final = """
    t.bucket, t.id, t.merchant, t.out_trade_no, t.app_id, t.state, t.subject, t.currency,
    t.total_minor, t.seller_account, t.fee_account, t.fee_bps, t.fee_rounding, t.fee_on_refund,
    t.fee_minor, t.details, t.notify_url, t.wanted_buyer, t.created_at, t.expires_at, t.buyer,
    t.buyer_account, t.refunded_minor, t.fee_returned_minor, t.paid_at, t.refundable_until,
    t.closed_at
"""

LOCK_TRADES: Final = f"""
    SELECT {TRADE_COLUMNS}
    FROM unnest($1::smallint [], $2::uuid []) AS u (bucket, id)
    JOIN payments.trade AS t ON t.bucket = u.bucket AND t.id = u.id
    ORDER BY t.bucket, t.id
    FOR NO KEY UPDATE OF t
"""  # noqa: S608 (a constant)

FETCH_TRADE: Final = f"""
    SELECT {TRADE_COLUMNS} FROM payments.trade AS t WHERE t.bucket = $1 AND t.id = $2
"""  # noqa: S608 (a constant)

FETCH_TRADES_BY_NUMBER: Final = f"""
    SELECT {TRADE_COLUMNS}
    FROM unnest($1::smallint [], $2::uuid [], $3::text []) AS u (bucket, merchant, out_trade_no)
    JOIN payments.trade AS t
        ON t.bucket = u.bucket AND t.merchant = u.merchant AND t.out_trade_no = u.out_trade_no
"""  # noqa: S608 (a constant)

FIND_ORDERS: Final = """
    SELECT u.place, t.id AS trade, c.trade AS code_used_by
    FROM unnest(
        $1::integer [], $2::smallint [], $3::uuid [], $4::text [],
        $5::smallint [], $6::uuid [], $7::bigint []
    ) AS u (place, bucket, merchant, out_trade_no, code_bucket, device, step)
    LEFT JOIN payments.trade AS t
        ON t.bucket = u.bucket AND t.merchant = u.merchant AND t.out_trade_no = u.out_trade_no
    LEFT JOIN payments.code_use AS c
        ON c.bucket = u.code_bucket AND c.device = u.device AND c.step = u.step
    WHERE t.id IS NOT NULL OR c.trade IS NOT NULL
"""

FETCH_REFUNDS: Final = """
    SELECT r.bucket, r.trade, r.out_request_no, r.id, r.amount_minor, r.fee_returned_minor,
        r.reason, r.cancels, r.created_at
    FROM unnest($1::smallint [], $2::uuid [], $3::text []) AS u (bucket, trade, out_request_no)
    JOIN payments.refund AS r
        ON r.bucket = u.bucket AND r.trade = u.trade AND r.out_request_no = u.out_request_no
"""

LIST_REFUNDS: Final = """
    SELECT bucket, trade, out_request_no, id, amount_minor, fee_returned_minor, reason, cancels,
        created_at
    FROM payments.refund WHERE bucket = $1 AND trade = $2 ORDER BY created_at, id
"""

LIST_EVENTS: Final = """
    SELECT bucket, trade, id, kind, actor, detail, created_at
    FROM payments.event WHERE bucket = $1 AND trade = $2 ORDER BY created_at, id
"""

LIST_EXPIRED: Final = """
    SELECT id FROM payments.trade
    WHERE state = 'WAIT_BUYER_PAY' AND expires_at <= $1 ORDER BY expires_at LIMIT $2
"""

LIST_FINISHED: Final = """
    SELECT id FROM payments.trade
    WHERE state = 'TRADE_SUCCESS' AND refundable_until <= $1 ORDER BY refundable_until LIMIT $2
"""

WRITE: Final = "SELECT payments.write_v1($1, $2, $3, $4, $5, $6)"

COUNT_FAILURES: Final = """
    SELECT subject, sum(failures)::bigint AS failures FROM payments.code_failure
    WHERE bucket = 0 AND subject = any($1::uuid []) AND minute > $2
    GROUP BY subject
"""

NOTE_FAILURE: Final = """
    INSERT INTO payments.code_failure (bucket, subject, minute, failures)
    SELECT 0, subject, date_trunc('minute', $2::timestamptz), 1
    FROM unnest($1::uuid []) AS u (subject)
    ORDER BY subject
    ON CONFLICT (bucket, subject, minute) DO UPDATE SET failures = code_failure.failures + 1
"""


class Found(NamedTuple):
    """What stands already for one payment: its trade, and the trade its code was used for."""

    trade: TradeId | None
    code_used_by: TradeId | None


NOTHING_FOUND: Final = Found(None, None)


@dataclass(slots=True)
class Changes:
    """Rows to write at the end of a transaction."""

    trades: list[Trade] = field(default_factory=list)
    changed: list[Trade] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    code_uses: list[tuple[CodeUse, TradeId, datetime]] = field(default_factory=list)
    notifications: list[Notification] = field(default_factory=list)


async def find_orders(
    connection: Connection, wanted: Sequence[tuple[int, MerchantId, str, CodeUse | None]]
) -> dict[int, Found]:
    """Look up orders by (bucket, merchant, number, code); keys are places in `wanted`."""
    codes = [code for _, _, _, code in wanted]
    rows = await connection.fetch(
        FIND_ORDERS,
        list(range(len(wanted))),
        [bucket for bucket, _, _, _ in wanted],
        [merchant for _, merchant, _, _ in wanted],
        [number for _, _, number, _ in wanted],
        [code.bucket if code else None for code in codes],
        [code.device if code else None for code in codes],
        [code.step if code else None for code in codes],
    )
    return {row["place"]: Found(row["trade"], row["code_used_by"]) for row in rows}


async def lock_trades(connection: Connection, trades: Iterable[TradeId]) -> dict[TradeId, Trade]:
    """Lock trades in the order of their keys."""
    wanted = sorted({(bucket_of_trade(trade), trade) for trade in trades})
    rows = await connection.fetch(
        LOCK_TRADES, [bucket for bucket, _ in wanted], [trade for _, trade in wanted]
    )
    return {row["id"]: read_trade(row) for row in rows}


async def fetch_trade(connection: Connection, trade: TradeId) -> Trade | None:
    """Fetch one trade by its id."""
    row = await connection.fetchrow(FETCH_TRADE, bucket_of_trade(trade), trade)
    return read_trade(row) if row else None


async def fetch_trades_by_number(
    connection: Connection, wanted: Sequence[tuple[int, MerchantId, str]]
) -> dict[tuple[MerchantId, str], Trade]:
    """Fetch trades by (bucket, merchant, merchant's number)."""
    rows = await connection.fetch(
        FETCH_TRADES_BY_NUMBER,
        [bucket for bucket, _, _ in wanted],
        [merchant for _, merchant, _ in wanted],
        [number for _, _, number in wanted],
    )
    trades = [read_trade(row) for row in rows]
    return {(trade.merchant, trade.out_trade_no): trade for trade in trades}


async def fetch_refunds(
    connection: Connection, wanted: Sequence[tuple[TradeId, str]]
) -> dict[tuple[TradeId, str], Refund]:
    """Fetch refunds by (trade, refund's number)."""
    rows = await connection.fetch(
        FETCH_REFUNDS,
        [bucket_of_trade(trade) for trade, _ in wanted],
        [trade for trade, _ in wanted],
        [number for _, number in wanted],
    )
    return {(row["trade"], row["out_request_no"]): Refund(**dict(row)) for row in rows}


async def list_refunds(connection: Connection, trade: TradeId) -> list[Refund]:
    """List the refunds of a trade, oldest first."""
    rows = await connection.fetch(LIST_REFUNDS, bucket_of_trade(trade), trade)
    return [Refund(**dict(row)) for row in rows]


async def list_events(connection: Connection, trade: TradeId) -> list[Event]:
    """List what happened to a trade, oldest first."""
    rows = await connection.fetch(LIST_EVENTS, bucket_of_trade(trade), trade)
    return [Event(**{**dict(row), "kind": EventKind(row["kind"])}) for row in rows]


async def list_expired(connection: Connection, now: datetime, limit: int) -> list[TradeId]:
    """List unpaid trades whose time is over."""
    return [row["id"] for row in await connection.fetch(LIST_EXPIRED, now, limit)]


async def list_finished(connection: Connection, now: datetime, limit: int) -> list[TradeId]:
    """List paid trades whose time for refunds is over."""
    return [row["id"] for row in await connection.fetch(LIST_FINISHED, now, limit)]


async def count_failures(
    connection: Connection, subjects: Sequence[UUID], since: datetime
) -> dict[UUID, int]:
    """Count the wrong codes of merchants and devices since an instant."""
    rows = await connection.fetch(COUNT_FAILURES, subjects, since)
    return {row["subject"]: row["failures"] for row in rows}


async def note_failure(connection: Connection, subjects: Sequence[UUID], now: datetime) -> None:
    """Count one wrong code against merchants and devices."""
    await connection.execute(NOTE_FAILURE, subjects, now)


async def write(connection: Connection, changes: Changes) -> None:
    """Write everything that a batch decided, in one call."""
    code_uses = [
        {
            "bucket": use.bucket,
            "device": use.device,
            "step": use.step,
            "trade": trade,
            "created_at": at,
        }
        for use, trade, at in changes.code_uses
    ]
    await connection.execute(
        WRITE,
        changes.trades or None,
        changes.changed or None,
        changes.refunds or None,
        changes.events or None,
        code_uses or None,
        changes.notifications or None,
    )


def read_trade(row: Row) -> Trade:
    """Read a row of TRADE_COLUMNS."""
    values = dict(row)
    values["state"] = TradeState(values["state"])
    values["fee_rounding"] = Rounding(values["fee_rounding"])
    values["fee_on_refund"] = FeeOnRefund(values["fee_on_refund"])
    return Trade(**values)
