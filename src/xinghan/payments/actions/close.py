"""Ends trades: the shop closes or cancels, the clock expires or finishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, TypeAlias

from xinghan.kit.db import Connection
from xinghan.kit.errors import XinghanError
from xinghan.kit.ids import MerchantId, TradeId
from xinghan.payments import store
from xinghan.payments.actions.recording import note
from xinghan.payments.actions.refund import refund_trades
from xinghan.payments.model import (
    CancelAction,
    Cancelled,
    EventKind,
    Refunded,
    RefundRequest,
    Trade,
    TradeFinished,
    TradeNotFound,
    TradeState,
)
from xinghan.payments.rules import money_of, refuse_close
from xinghan.payments.store import Changes

CLOCK = "clock"
CANCEL_NUMBER = "/cancel"  # the gateway takes no slash, so that no shop's refund can have it


class CloseRequest(NamedTuple):
    """A shop wants an unpaid trade closed."""

    trade: TradeId
    merchant: MerchantId
    actor: str


CloseAnswer: TypeAlias = Trade | XinghanError
CancelAnswer: TypeAlias = Cancelled | XinghanError


async def close_trades(
    connection: Connection, requests: Sequence[CloseRequest], now: datetime
) -> list[CloseAnswer]:
    """Close unpaid trades in the caller's transaction; closing again changes nothing."""
    trades = await store.lock_trades(connection, [request.trade for request in requests])
    changes = Changes()
    answers: list[CloseAnswer] = []
    for request in requests:
        trade = trades.get(request.trade)
        refusal = refuse_close(trade, request.merchant)
        if trade is None or refusal is not None:
            answers.append(refusal or TradeNotFound())
            continue
        if trade.state is TradeState.WAIT_BUYER_PAY:
            trade = trades[trade.id] = _close(changes, trade, EventKind.CLOSED, request.actor, now)
        answers.append(trade)
    await _write(connection, changes)
    return answers


async def cancel_trades(
    connection: Connection, requests: Sequence[CloseRequest], now: datetime
) -> list[CancelAnswer]:
    """Cancel trades: an unpaid one is closed, a paid one given back; again changes nothing."""
    return [await _cancel(connection, request, now) for request in requests]


async def _cancel(connection: Connection, request: CloseRequest, now: datetime) -> CancelAnswer:
    trade = (await store.lock_trades(connection, [request.trade])).get(request.trade)
    if trade is None or trade.merchant != request.merchant:
        return TradeNotFound(field="out_trade_no")
    if trade.state is TradeState.TRADE_FINISHED:
        return TradeFinished()
    if trade.state is TradeState.TRADE_CLOSED:
        cancelled = await store.fetch_refunds(connection, [(trade.id, CANCEL_NUMBER)])
        return Cancelled(trade, CancelAction.REFUND if cancelled else None)
    if trade.paid_at is not None:
        return await _give_all_back(connection, trade, request, now)
    changes = Changes()
    closed = _close(changes, trade, EventKind.CANCELLED, request.actor, now)
    await _write(connection, changes)
    return Cancelled(closed, CancelAction.CLOSE)


async def _give_all_back(
    connection: Connection, trade: Trade, request: CloseRequest, now: datetime
) -> CancelAnswer:
    left = money_of(trade, trade.total_minor - trade.refunded_minor)
    refund = RefundRequest(trade.id, request.merchant, CANCEL_NUMBER, left, request.actor)
    (answer,) = await refund_trades(connection, [refund], now, cancels=True)
    return Cancelled(answer.trade, CancelAction.REFUND) if isinstance(answer, Refunded) else answer


async def expire_trades(connection: Connection, now: datetime, limit: int) -> int:
    """Close unpaid trades whose time is over; gives how many."""
    return await end_trades(connection, await store.list_expired(connection, now, limit), now)


async def finish_trades(connection: Connection, now: datetime, limit: int) -> int:
    """Finish paid trades whose time for refunds is over; gives how many."""
    return await end_trades(connection, await store.list_finished(connection, now, limit), now)


async def end_trades(connection: Connection, due: Sequence[TradeId], now: datetime) -> int:
    """End those of the trades that are due once they are locked; gives how many."""
    if not due:
        return 0
    changes = Changes()
    for trade in (await store.lock_trades(connection, due)).values():
        if trade.state is TradeState.WAIT_BUYER_PAY and trade.expires_at <= now:
            _close(changes, trade, EventKind.EXPIRED, CLOCK, now)
        elif (
            trade.state is TradeState.TRADE_SUCCESS
            and trade.refundable_until
            and trade.refundable_until <= now
        ):
            finished = replace(trade, state=TradeState.TRADE_FINISHED)
            changes.changed.append(finished)
            note(changes, finished, EventKind.FINISHED, CLOCK, now)
    await _write(connection, changes)
    return len(changes.changed)


def _close(changes: Changes, trade: Trade, kind: EventKind, actor: str, now: datetime) -> Trade:
    closed = replace(trade, state=TradeState.TRADE_CLOSED, closed_at=now)
    changes.changed.append(closed)
    note(changes, closed, kind, actor, now)
    return closed


async def _write(connection: Connection, changes: Changes) -> None:
    if changes.changed:
        await store.write(connection, changes)
