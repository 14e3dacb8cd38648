"""Lists trades and notifications for those who look after them, newest first, page by page.

A list over all buckets takes the newest of each by the primary key, so that it needs no index that
every payment would have to feed. A page's cursor is the printed id of its last item.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from xinghan.kit.db import Connection
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import NOTIFICATION, TRADE, MerchantId, NotificationId, TradeId
from xinghan.kit.numbering import bucket_of_trade, is_trade_id
from xinghan.ledger.records import Page
from xinghan.payments import store
from xinghan.payments.model import Attempt, Event, Notification, Refund, Trade, TradeState
from xinghan.payments.notifications import (
    NOTIFICATION_COLUMNS,
    list_attempts,
    list_notifications,
)
from xinghan.payments.rules import bucket_of_order

PAGE_MAX: Final = 500

LIST_TRADES: Final = f"""
    SELECT t.* FROM generate_series(0, 63) AS b (bucket)
    CROSS JOIN LATERAL (
        SELECT {store.TRADE_COLUMNS}
        FROM payments.trade AS t
        WHERE t.bucket = b.bucket::smallint AND t.id < $1 AND ($2::text IS NULL OR t.state = $2)
        ORDER BY t.id DESC
        LIMIT $3
    ) AS t
    ORDER BY t.id DESC
    LIMIT $3
"""  # noqa: S608 (a constant)

LIST_TRADES_OF_MERCHANT: Final = f"""
    SELECT {store.TRADE_COLUMNS}
    FROM payments.trade AS t
    LEFT JOIN payments.trade AS last ON last.bucket = $3 AND last.id = $4
    WHERE t.merchant = $1 AND ($2::text IS NULL OR t.state = $2)
        AND (
            last.id IS NULL
            OR t.created_at < last.created_at
            OR (t.created_at = last.created_at AND t.id > last.id)
        )
    ORDER BY t.created_at DESC, t.id
    LIMIT $5
"""  # noqa: S608 (a constant)

LIST_NOTIFICATIONS: Final = f"""
    SELECT n.* FROM generate_series(0, 63) AS b (bucket)
    CROSS JOIN LATERAL (
        SELECT {NOTIFICATION_COLUMNS}
        FROM payments.notification AS n
        WHERE n.bucket = b.bucket::smallint AND n.id < $1
            AND ($2::boolean IS NULL OR $2 = (n.delivered_at IS NOT NULL))
        ORDER BY n.id DESC
        LIMIT $3
    ) AS n
    ORDER BY n.id DESC
    LIMIT $3
"""  # noqa: S608 (a constant)

FIND_NOTIFICATION: Final = f"""
    SELECT n.* FROM generate_series(0, 63) AS b (bucket)
    CROSS JOIN LATERAL (
        SELECT {NOTIFICATION_COLUMNS}
        FROM payments.notification AS n
        WHERE n.bucket = b.bucket::smallint AND n.id = $1
    ) AS n
"""  # noqa: S608 (a constant)

COUNT_TRADES: Final = """
    SELECT state, count(*) AS trades FROM payments.trade GROUP BY state
"""

COUNT_NOTIFICATIONS: Final = """
    SELECT count(*) FILTER (WHERE delivered_at IS NOT NULL) AS delivered,
        count(*) FILTER (WHERE delivered_at IS NULL AND next_attempt_at IS NOT NULL) AS waiting,
        count(*) FILTER (WHERE delivered_at IS NULL AND next_attempt_at IS NULL) AS given_up
    FROM payments.notification
"""

_LAST_ID: Final = NotificationId(NOTIFICATION.from_number(2**128 - 1))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which trades are wanted; an `out_trade_no` belongs to a merchant."""

    merchant: MerchantId | None = None
    state: TradeState | None = None
    out_trade_no: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A notification with its tries in order."""

    notification: Notification
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class TradeRecord:
    """Everything that is known of a trade."""

    trade: Trade
    events: tuple[Event, ...]
    refunds: tuple[Refund, ...]
    told: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many trades stand in each state, and how far the notifications have come."""

    trades: dict[TradeState, int]
    notifications_delivered: int
    notifications_waiting: int
    notifications_given_up: int


async def list_trades(
    connection: Connection, wanted: Wanted, *, cursor: str | None = None, limit: int = 50
) -> Page[Trade]:
    """List trades. Raises Invalid for an `out_trade_no` without merchant, IdMalformed."""
    last = _trade_cursor(cursor)
    if wanted.out_trade_no is not None:
        return await _only_trade(connection, wanted, wanted.out_trade_no)
    if wanted.merchant is None:
        arguments = (last or _LAST_ID, wanted.state, limit + 1)
        rows = await connection.fetch(LIST_TRADES, *arguments)
    else:
        bucket = bucket_of_trade(last) if last else None
        rows = await connection.fetch(
            LIST_TRADES_OF_MERCHANT, wanted.merchant, wanted.state, bucket, last, limit + 1
        )
    trades = [store.read_trade(row) for row in rows]
    more = len(trades) > limit
    return Page(tuple(trades[:limit]), TRADE.show(trades[limit - 1].id) if more else None)


async def list_all_notifications(
    connection: Connection,
    *,
    delivered: bool | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Notification]:
    """List notifications of all trades. Raises IdMalformed for a cursor."""
    last = NOTIFICATION.parse(cursor, field="cursor") if cursor else _LAST_ID
    rows = await connection.fetch(LIST_NOTIFICATIONS, last, delivered, limit + 1)
    found = [Notification(**dict(row)) for row in rows]
    more = len(found) > limit
    return Page(tuple(found[:limit]), NOTIFICATION.show(found[limit - 1].id) if more else None)


async def fetch_record(connection: Connection, trade: Trade) -> TradeRecord:
    """Fetch everything that happened to a trade and what its shop was told."""
    told = [
        Told(one, tuple(await list_attempts(connection, one.bucket, one.id)))
        for one in await list_notifications(connection, trade.id)
    ]
    return TradeRecord(
        trade,
        tuple(await store.list_events(connection, trade.id)),
        tuple(await store.list_refunds(connection, trade.id)),
        tuple(told),
    )


async def count_all(connection: Connection) -> Counts:
    """Count trades by state, and notifications; reads every row."""
    states = {row["state"]: row["trades"] for row in await connection.fetch(COUNT_TRADES)}
    told = await connection.fetchrow(COUNT_NOTIFICATIONS)
    delivered, waiting, given_up = tuple(told) if told else (0, 0, 0)
    trades = {state: states.get(state, 0) for state in TradeState}
    return Counts(trades, delivered, waiting, given_up)


async def find_notification(
    connection: Connection, notification: NotificationId
) -> Notification | None:
    """Find a notification wherever it lives; None when there is none."""
    row = await connection.fetchrow(FIND_NOTIFICATION, notification)
    return Notification(**dict(row)) if row else None


async def _only_trade(connection: Connection, wanted: Wanted, out_trade_no: str) -> Page[Trade]:
    if wanted.merchant is None:
        raise Invalid(field="merchant")
    bucket = bucket_of_order(wanted.merchant, out_trade_no)
    by_number = await store.fetch_trades_by_number(
        connection, [(bucket, wanted.merchant, out_trade_no)]
    )
    found = by_number.get((wanted.merchant, out_trade_no))
    fits = found is not None and wanted.state in {None, found.state}
    return Page((found,) if found and fits else (), None)


def _trade_cursor(cursor: str | None) -> TradeId | None:
    if not cursor:
        return None
    trade = TRADE.parse(cursor, field="cursor")
    if not is_trade_id(trade):
        raise Invalid(field="cursor")
    return trade
