"""Gives money back: refunds of a part or the whole, also those that cancel a trade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from xinghan.kit.db import Connection
from xinghan.kit.errors import XinghanError
from xinghan.kit.ids import PostingId, RefundId, uuid7
from xinghan.ledger.model import Post
from xinghan.ledger.sweeps import post_sweeping
from xinghan.payments import store
from xinghan.payments.actions.recording import note
from xinghan.payments.model import EventKind, Refund, Refunded, RefundRequest, Trade, TradeState
from xinghan.payments.rules import (
    refund_fee_minor,
    refund_legs,
    refund_refusal,
    refuse_refund,
    refuse_refund_again,
    state_after_refund,
)
from xinghan.payments.store import Changes

RefundAnswer: TypeAlias = Refunded | XinghanError


@dataclass(slots=True)
class _Turn:
    """One refund of a batch that goes on to the ledger."""

    place: int
    request: RefundRequest
    trade: Trade
    refund: Refund


async def refund_trades(
    connection: Connection,
    requests: Sequence[RefundRequest],
    now: datetime,
    *,
    cancels: bool = False,
) -> list[RefundAnswer]:
    """Give money back in the caller's transaction: one answer for each request, in order.

    The same number and amount again is answered as the first time, `moved_now` False. Requests
    for one trade are taken one after the other.
    """
    answers: dict[int, RefundAnswer] = {}
    waiting = list(enumerate(requests))
    while waiting:
        first = {request.trade: place for place, request in reversed(waiting)}
        taken = [item for item in waiting if first[item[1].trade] == item[0]]
        waiting = [item for item in waiting if first[item[1].trade] != item[0]]
        await _refund_round(connection, taken, answers, now, cancels=cancels)
    return [answers[place] for place in range(len(requests))]


async def _refund_round(
    connection: Connection,
    taken: Sequence[tuple[int, RefundRequest]],
    answers: dict[int, RefundAnswer],
    now: datetime,
    *,
    cancels: bool,
) -> None:
    trades = await store.lock_trades(connection, [request.trade for _, request in taken])
    before = await store.fetch_refunds(
        connection, [(request.trade, request.out_request_no) for _, request in taken]
    )
    going: list[_Turn] = []
    for place, request in taken:
        trade = trades.get(request.trade)
        earlier = before.get((request.trade, request.out_request_no))
        if trade is not None and trade.merchant == request.merchant and earlier is not None:
            answers[place] = refuse_refund_again(earlier.amount_minor, request) or Refunded(
                trade, earlier, moved_now=False
            )
            continue
        refusal = refuse_refund(trade, request, now)
        if refusal is not None or trade is None:
            answers[place] = refusal or XinghanError()
        else:
            going.append(
                _Turn(place, request, trade, _new_refund(trade, request, now, cancels=cancels))
            )
    if going:
        await _give_back(connection, going, answers, now)


def _new_refund(trade: Trade, request: RefundRequest, now: datetime, *, cancels: bool) -> Refund:
    return Refund(
        trade.bucket,
        trade.id,
        request.out_request_no,
        RefundId(uuid7()),
        request.amount.amount_minor,
        refund_fee_minor(trade, request.amount),
        request.reason,
        cancels,
        now,
    )


async def _give_back(
    connection: Connection, going: Sequence[_Turn], answers: dict[int, RefundAnswer], now: datetime
) -> None:
    """Post the refunds, sweeping between the merchant's stripes where the payer's lacks."""
    results = await post_sweeping(connection, [(_posting(turn),) for turn in going])
    changes = Changes()
    for turn, (result,) in zip(going, results, strict=True):
        answers[turn.place] = (
            _record(changes, turn, now) if result.done else refund_refusal(result.outcome)
        )
    if changes.refunds:
        await store.write(connection, changes)


def _posting(turn: _Turn) -> Post:
    refund = turn.refund
    legs = refund_legs(turn.trade, refund.amount_minor, refund.fee_returned_minor)
    return Post(PostingId(refund.id), legs)


def _record(changes: Changes, turn: _Turn, now: datetime) -> Refunded:
    trade, refund = turn.trade, turn.refund
    state = state_after_refund(trade, refund.amount_minor)
    after = replace(
        trade,
        state=state,
        refunded_minor=trade.refunded_minor + refund.amount_minor,
        fee_returned_minor=trade.fee_returned_minor + refund.fee_returned_minor,
        closed_at=now if state is TradeState.TRADE_CLOSED else None,
    )
    changes.changed.append(after)
    changes.refunds.append(refund)
    kind = EventKind.CANCELLED if refund.cancels else EventKind.REFUNDED
    note(changes, after, kind, turn.request.actor, now, refund)
    return Refunded(after, refund, moved_now=True)
