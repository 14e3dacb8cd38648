"""Notes what happened to a trade: its timeline, and what its shop has to be told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from xinghan.kit.ids import NotificationId, uuid7
from xinghan.payments.model import Event, EventKind, Notification, Refund, Trade
from xinghan.payments.store import Changes

TOLD: frozenset[EventKind] = frozenset(EventKind) - {EventKind.CREATED, EventKind.RESENT}


def note(
    changes: Changes,
    trade: Trade,
    kind: EventKind,
    actor: str,
    now: datetime,
    refund: Refund | None = None,
) -> None:
    """Add an event to a trade's timeline and, if its shop wants to be told, a notification."""
    detail: Mapping[str, object] = (
        {"refund": refund.out_request_no, "amount_minor": refund.amount_minor} if refund else {}
    )
    changes.events.append(Event(trade.bucket, trade.id, uuid7(), kind, actor, detail, now))
    if trade.notify_url is not None and kind in TOLD:
        content = {
            "kind": kind,
            "trade": trade,
            "refund": refund,
        }
        changes.notifications.append(
            Notification(
                trade.bucket,
                NotificationId(uuid7()),
                trade.id,
                trade.app_id,
                trade.notify_url,
                content,
                now,
                now,
            )
        )
