"""The outbox: what shops have to be told, who sends it when, and what came of every try.

A notification is claimed for a while (its lease) before it is sent. Whoever claimed it and died has
left a try without an outcome behind; when the lease is over, the notification is due again. So a
shop is told at least once, and always under the same number for the same thing that happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from xinghan.kit.db import Connection, Row
from xinghan.kit.errors import NotFound
from xinghan.kit.ids import NotificationId, TradeId, uuid7
from xinghan.kit.numbering import bucket_of_trade
from xinghan.payments.model import Attempt, EventKind, Notification, Refund, Trade

SCHEDULE: Final = (
    timedelta(minutes=4),
    timedelta(minutes=10),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=6),
    timedelta(hours=15),
)
LEASE: Final = timedelta(seconds=60)
ANSWER_CHARACTERS_MAX: Final = 200

NOTIFICATION_COLUMNS: Final = """
    n.bucket, n.id, n.trade, n.app_id, n.url, n.content, n.created_at, n.next_attempt_at,
    n.attempts, n.delivered_at
"""

# Goes from app to app through the index and takes the first few of each, so that a shop with a
# hundred thousand rows costs as much as one with ten, and none hides the others.
LIST_DUE: Final = """
    WITH RECURSIVE waiting (app_id) AS (
        (
            SELECT app_id FROM payments.notification
            WHERE next_attempt_at IS NOT NULL ORDER BY app_id LIMIT 1
        )
        UNION ALL
        SELECT (
            SELECT n.app_id FROM payments.notification AS n
            WHERE n.next_attempt_at IS NOT NULL AND n.app_id > w.app_id ORDER BY n.app_id LIMIT 1
        )
        FROM waiting AS w WHERE w.app_id IS NOT NULL
    )
    SELECT d.bucket, d.id, d.app_id, d.host
    FROM waiting AS w
    CROSS JOIN LATERAL (
        SELECT n.bucket, n.id, n.app_id, n.next_attempt_at,
            lower(split_part(n.url, '/', 3)) AS host
        FROM payments.notification AS n
        WHERE n.app_id = w.app_id AND n.next_attempt_at <= $1
        ORDER BY n.next_attempt_at
        LIMIT $4
    ) AS d
    WHERE w.app_id <> ALL($2::text []) AND d.host <> ALL($3::text [])
    ORDER BY d.next_attempt_at
    LIMIT $5
"""

CLAIM: Final = """
    WITH due AS (
        SELECT n.bucket, n.id
        FROM unnest($1::smallint [], $2::uuid []) AS u (bucket, id)
        JOIN payments.notification AS n ON n.bucket = u.bucket AND n.id = u.id
        WHERE n.next_attempt_at <= $3
        FOR NO KEY UPDATE OF n SKIP LOCKED
    ), claimed AS (
        UPDATE payments.notification AS n
        SET attempts = n.attempts + 1, next_attempt_at = $4
        FROM due
        WHERE n.bucket = due.bucket AND n.id = due.id
        RETURNING n.bucket, n.id, n.app_id, n.url, n.content, n.attempts
    ), begun AS (
        INSERT INTO payments.notification_attempt (bucket, notification, number, started_at)
        SELECT bucket, id, attempts, $3 FROM claimed
    )
    SELECT bucket, id, app_id, url, content, attempts AS number FROM claimed
"""

# Who was overtaken (by the end of the lease, or by somebody who asked to send it again) still says
# what came of the try, and leaves the next one to the overtaker.
RECORD: Final = """
    WITH tried AS (
        SELECT *
        FROM unnest(
            $2::smallint [], $3::uuid [], $4::integer [], $5::timestamptz [], $6::text [],
            $7::integer [], $8::text [], $9::integer [], $10::timestamptz []
        ) AS u (
            bucket, notification, number, leased_until, outcome, http_status, answer,
            elapsed_milliseconds, again_at
        )
    ), told AS (
        UPDATE payments.notification_attempt AS a
        SET outcome = t.outcome, http_status = t.http_status, answer = t.answer,
            elapsed_milliseconds = t.elapsed_milliseconds
        FROM tried AS t
        WHERE a.bucket = t.bucket AND a.notification = t.notification AND a.number = t.number
            AND a.outcome IS NULL
    )
    UPDATE payments.notification AS n
    SET delivered_at = CASE
            WHEN t.outcome = 'delivered' THEN coalesce(n.delivered_at, $1) ELSE n.delivered_at
        END,
        next_attempt_at = CASE
            WHEN n.next_attempt_at IS DISTINCT FROM t.leased_until THEN n.next_attempt_at
            WHEN n.delivered_at IS NULL THEN t.again_at
        END
    FROM tried AS t
    WHERE n.bucket = t.bucket AND n.id = t.notification
"""

MAKE_DUE: Final = """
    UPDATE payments.notification SET next_attempt_at = $3 WHERE bucket = $1 AND id = $2
    RETURNING trade
"""

INSERT_EVENT: Final = """
    INSERT INTO payments.event (bucket, trade, id, kind, actor, detail, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
"""

FETCH_NOTIFICATION: Final = f"""
    SELECT {NOTIFICATION_COLUMNS}
    FROM payments.notification AS n WHERE n.bucket = $1 AND n.id = $2
"""  # noqa: S608 (a constant)

LIST_NOTIFICATIONS: Final = f"""
    SELECT {NOTIFICATION_COLUMNS}
    FROM payments.notification AS n WHERE n.bucket = $1 AND n.trade = $2 ORDER BY n.created_at, n.id
"""  # noqa: S608 (a constant)

LIST_ATTEMPTS: Final = """
    SELECT number, started_at, outcome, http_status, answer, elapsed_milliseconds
    FROM payments.notification_attempt WHERE bucket = $1 AND notification = $2 ORDER BY number
"""


class AttemptOutcome(StrEnum):
    """What came of a try: accepted; another answer; none; may not be called; nothing to send."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    ADDRESS_REFUSED = "address_refused"
    NOT_SENT = "not_sent"


class Due(NamedTuple):
    """A notification that somebody should send; `host` is the host and port of its address."""

    bucket: int
    id: NotificationId
    app_id: str
    host: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A notification that is ours until `leased_until`; `number` counts the tries from 1."""

    bucket: int
    id: NotificationId
    app_id: str
    url: str
    content: Mapping[str, object]
    number: int
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """What happened, and the trade (and the refund, if it was one) as it was then."""

    kind: EventKind
    trade: Trade
    refund: Refund | None


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a try; `answer` is the beginning of what the shop said, or why nothing."""

    claimed: Claimed
    outcome: AttemptOutcome
    http_status: int | None = None
    answer: str | None = None
    elapsed_milliseconds: int | None = None


class NotificationNotFound(NotFound):
    """There is no such notification."""

    code = "notification_not_found"


async def list_due(
    connection: Connection,
    now: datetime,
    *,
    full_apps: Sequence[str],
    full_hosts: Sequence[str],
    per_app: int,
    limit: int,
) -> list[Due]:
    """List what should be sent, longest due first: a few of each app, without those named."""
    rows = await connection.fetch(LIST_DUE, now, full_apps, full_hosts, per_app, limit)
    return [Due(row["bucket"], row["id"], row["app_id"], row["host"]) for row in rows]


async def claim(
    connection: Connection, due: Sequence[Due], now: datetime, lease: timedelta = LEASE
) -> list[Claimed]:
    """Take over what nobody else has taken meanwhile, and begin a try of each."""
    leased_until = now + lease
    buckets, ids = [one.bucket for one in due], [one.id for one in due]
    rows = await connection.fetch(CLAIM, buckets, ids, now, leased_until)
    return [Claimed(**dict(row), leased_until=leased_until) for row in rows]


async def record(
    connection: Connection,
    tried: Sequence[Tried],
    now: datetime,
    schedule: Sequence[timedelta] = SCHEDULE,
) -> None:
    """Write down what came of tries, and when the unsuccessful are repeated; again is harmless."""
    claimed = [one.claimed for one in tried]
    await connection.execute(
        RECORD,
        now,
        [one.bucket for one in claimed],
        [one.id for one in claimed],
        [one.number for one in claimed],
        [one.leased_until for one in claimed],
        [one.outcome for one in tried],
        [one.http_status for one in tried],
        [one.answer for one in tried],
        [one.elapsed_milliseconds for one in tried],
        [_again_at(one, now, schedule) for one in tried],
    )


async def resend_notification(
    connection: Connection, bucket: int, notification: NotificationId, actor: str, now: datetime
) -> None:
    """Make a notification due now, also one that was delivered or given up.

    Call it inside a transaction. The trade's timeline says who asked. Raises NotificationNotFound.
    """
    trade = await connection.fetchval(MAKE_DUE, bucket, notification, now)
    if trade is None:
        raise NotificationNotFound(field="notification")
    detail = {"notification": notification}
    await connection.execute(
        INSERT_EVENT, bucket, trade, uuid7(), EventKind.RESENT, actor, detail, now
    )


async def fetch_notification(
    connection: Connection, bucket: int, notification: UUID
) -> Notification | None:
    """Fetch one notification; None when there is none."""
    row = await connection.fetchrow(FETCH_NOTIFICATION, bucket, notification)
    return _notification(row) if row else None


async def list_notifications(connection: Connection, trade: TradeId) -> list[Notification]:
    """List what a trade's shop was or will be told, oldest first."""
    rows = await connection.fetch(LIST_NOTIFICATIONS, bucket_of_trade(trade), trade)
    return [_notification(row) for row in rows]


async def list_attempts(
    connection: Connection, bucket: int, notification: NotificationId
) -> list[Attempt]:
    """List the tries of a notification in order."""
    rows = await connection.fetch(LIST_ATTEMPTS, bucket, notification)
    return [Attempt(**dict(row)) for row in rows]


def read_content(content: Mapping[str, object]) -> Told:
    """Read what `actions.recording` wrote. Raises msgspec.ValidationError for anything else."""
    return msgspec.convert(content, Told)


def clean_answer(text: str) -> str:
    """Give the beginning of a shop's answer as one line that can be stored and shown."""
    line = " ".join(text.split())
    return "".join(one for one in line if one.isprintable())[:ANSWER_CHARACTERS_MAX]


def _again_at(tried: Tried, now: datetime, schedule: Sequence[timedelta]) -> datetime | None:
    """Tell when a try is repeated; None when the shop knows, or after the schedule's last pause."""
    number = tried.claimed.number
    if tried.outcome is AttemptOutcome.DELIVERED or number > len(schedule):
        return None
    return now + schedule[number - 1]


def _notification(row: Row) -> Notification:
    return Notification(**dict(row))
