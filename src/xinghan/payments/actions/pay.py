"""Pays orders: trade, posting and notification in one transaction, many payments in a commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from xinghan.kit.db import Connection
from xinghan.kit.errors import XinghanError
from xinghan.kit.ids import MerchantId, PostingId, TradeId
from xinghan.ledger import Post, post_in
from xinghan.payments import store
from xinghan.payments.actions.order import new_trade
from xinghan.payments.actions.recording import note
from xinghan.payments.model import (
    CodeInvalid,
    CodeUse,
    EventKind,
    NewTrade,
    Payment,
    Trade,
    TradeNotFound,
    TradeState,
)
from xinghan.payments.rules import (
    bucket_of_order,
    payment_legs,
    payment_refusal,
    refundable_until,
    refuse_payment,
    repeats_payment,
)
from xinghan.payments.store import Changes, Found

PayAnswer: TypeAlias = Trade | XinghanError


@dataclass(slots=True)
class _Turn:
    """One payment of a batch on its way: the trade it pays, whether that is new, and the answer."""

    payment: Payment
    found: Found
    trade: Trade | None = None
    is_new: bool = False
    answer: PayAnswer | None = None


async def pay_orders(
    connection: Connection, payments: Sequence[Payment], now: datetime
) -> list[PayAnswer]:
    """Pay orders in the caller's transaction: one answer for each, in order.

    A payment that repeats what it has brought about is answered with the paid trade. Payments of
    one batch that meet in a trade or a code are taken one after the other.
    """
    answers: dict[int, PayAnswer] = {}
    waiting = list(enumerate(payments))
    while waiting:
        taken, waiting = _without_meetings(waiting)
        paid = await _pay_round(connection, [payment for _, payment in taken], now)
        answers.update(zip((place for place, _ in taken), paid, strict=True))
    return [answers[place] for place in range(len(payments))]


def _without_meetings(
    waiting: Sequence[tuple[int, Payment]],
) -> tuple[list[tuple[int, Payment]], list[tuple[int, Payment]]]:
    """Take the payments that share no order and no code with an earlier one; leave the others."""
    seen: set[object] = set()
    taken: list[tuple[int, Payment]] = []
    left: list[tuple[int, Payment]] = []
    for item in waiting:
        payment = item[1]
        order = payment.order
        marks: set[object] = {
            (order.merchant, order.out_trade_no) if isinstance(order, NewTrade) else order
        }
        if payment.code is not None:
            marks.add((payment.code.device, payment.code.step))
        (left if marks & seen else taken).append(item)
        seen |= marks
    return taken, left


async def _pay_round(
    connection: Connection, payments: Sequence[Payment], now: datetime
) -> list[PayAnswer]:
    turns = await _read_turns(connection, payments)
    for turn in turns:
        _judge(turn, now)
    await _move_money(connection, turns, now)
    changes = Changes()
    for turn in turns:
        _record(changes, turn, now)
    if changes.trades or changes.changed:
        await store.write(connection, changes)
    return [turn.answer if turn.answer is not None else TradeNotFound() for turn in turns]


async def _read_turns(connection: Connection, payments: Sequence[Payment]) -> list[_Turn]:
    found = await _find(connection, payments)
    turns = [
        _Turn(payment, found.get(place, store.NOTHING_FOUND))
        for place, payment in enumerate(payments)
    ]
    named = {
        place: turn.found.trade if isinstance(turn.payment.order, NewTrade) else turn.payment.order
        for place, turn in enumerate(turns)
    }
    wanted = [trade for trade in named.values() if trade is not None]
    trades = await store.lock_trades(connection, wanted) if wanted else {}
    for place, turn in enumerate(turns):
        trade = named[place]
        turn.trade = trades.get(trade) if trade is not None else None
    return turns


async def _find(connection: Connection, payments: Sequence[Payment]) -> dict[int, Found]:
    """Look up what needs looking up: orders that may stand already, and codes that may be used."""
    asked = [
        (place, payment)
        for place, payment in enumerate(payments)
        if isinstance(payment.order, NewTrade) or payment.code is not None
    ]
    if not asked:
        return {}
    found = await store.find_orders(connection, [_order_key(payment) for _, payment in asked])
    return {asked[place][0]: what for place, what in found.items()}


def _order_key(payment: Payment) -> tuple[int, MerchantId, str, CodeUse | None]:
    order = payment.order
    if isinstance(order, NewTrade):
        return (
            bucket_of_order(order.merchant, order.out_trade_no),
            order.merchant,
            order.out_trade_no,
            payment.code,
        )
    return 0, MerchantId(order), "", payment.code


def _judge(turn: _Turn, now: datetime) -> None:
    """Decide whether the payment may go on to the ledger; if not, give it its answer."""
    payment = turn.payment
    if turn.trade is not None and repeats_payment(turn.trade, payment):
        turn.answer = turn.trade
        return
    if turn.found.code_used_by is not None:
        turn.answer = CodeInvalid(field="auth_code")
        return
    if turn.trade is not None:
        turn.answer = refuse_payment(turn.trade, payment, now)
        return
    if not isinstance(payment.order, NewTrade):
        turn.answer = TradeNotFound()
        return
    made = new_trade(payment.order, now)
    if isinstance(made, Trade):
        turn.trade, turn.is_new = made, True
        turn.answer = refuse_payment(made, payment, now)
    else:
        turn.answer = made


async def _move_money(connection: Connection, turns: Sequence[_Turn], now: datetime) -> None:
    """Post what was allowed; the posting's id is the trade's, so that a trade is paid once."""
    going = [(turn, turn.trade) for turn in turns if turn.answer is None and turn.trade is not None]
    if not going:
        return
    results = await post_in(
        connection,
        [(Post(PostingId(trade.id), payment_legs(trade, turn.payment)),) for turn, trade in going],
    )
    for (turn, trade), (result,) in zip(going, results, strict=True):
        if not result.done:
            turn.answer = payment_refusal(result.outcome)
            continue
        turn.answer = replace(
            trade,
            state=TradeState.TRADE_SUCCESS,
            buyer=turn.payment.buyer,
            buyer_account=turn.payment.buyer_account,
            paid_at=now,
            refundable_until=refundable_until(now),
        )


def _record(changes: Changes, turn: _Turn, now: datetime) -> None:
    """Write the paid trade, or a new one that was refused and now waits for its payer."""
    payment, answer = turn.payment, turn.answer
    paid = isinstance(answer, Trade) and answer is not turn.trade
    if turn.is_new and turn.trade is not None:
        changes.trades.append(answer if isinstance(answer, Trade) else turn.trade)
        note(changes, turn.trade, EventKind.CREATED, payment.actor, now)
    elif paid and isinstance(answer, Trade):
        changes.changed.append(answer)
    if paid and isinstance(answer, Trade):
        note(changes, answer, EventKind.PAID, payment.actor, now)
        if payment.code is not None:
            changes.code_uses.append((payment.code, TradeId(answer.id), now))
