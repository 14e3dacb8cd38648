"""Makes orders: the same number gives the same order again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from xinghan.kit.db import Connection
from xinghan.kit.errors import XinghanError
from xinghan.kit.ids import TradeId
from xinghan.kit.numbering import new_trade_id
from xinghan.payments import store
from xinghan.payments.actions.recording import note
from xinghan.payments.fees import fee_of
from xinghan.payments.model import EventKind, ExpiryPassed, NewTrade, Trade, TradeState
from xinghan.payments.rules import bucket_of_order, refuse_order_again
from xinghan.payments.store import Changes

OrderAnswer: TypeAlias = Trade | XinghanError


async def make_orders(
    connection: Connection, orders: Sequence[NewTrade], now: datetime
) -> list[OrderAnswer]:
    """Make orders in the caller's transaction: one answer for each, in order.

    An order that stands is answered with its trade while it waits for its payer; refused are other
    content (OrderDiffers), a paid (TradePaid) and a closed one (TradeClosed).
    """
    found = await store.find_orders(
        connection,
        [
            (
                bucket_of_order(order.merchant, order.out_trade_no),
                order.merchant,
                order.out_trade_no,
                None,
            )
            for order in orders
        ],
    )
    standing = [found[place].trade for place in found]
    trades = await store.lock_trades(connection, [trade for trade in standing if trade is not None])
    by_number = {(trade.merchant, trade.out_trade_no): trade for trade in trades.values()}
    changes = Changes()
    answers: list[OrderAnswer] = []
    answer: OrderAnswer
    for order in orders:
        trade = by_number.get((order.merchant, order.out_trade_no))
        if trade is None:
            answer = new_trade(order, now)
            if isinstance(answer, Trade):
                by_number[order.merchant, order.out_trade_no] = answer
                changes.trades.append(answer)
                note(changes, answer, EventKind.CREATED, order.app_id, now)
        else:
            answer = refuse_order_again(trade, order, now) or trade
        answers.append(answer)
    if changes.trades:
        await store.write(connection, changes)
    return answers


def new_trade(order: NewTrade, now: datetime) -> Trade | ExpiryPassed:
    """Give the trade that an order becomes; refused when its time is over before it begins."""
    if order.expires_at <= now:
        return ExpiryPassed(field="time_expire")
    bucket = bucket_of_order(order.merchant, order.out_trade_no)
    return Trade(
        bucket=bucket,
        id=TradeId(new_trade_id(bucket)),
        merchant=order.merchant,
        out_trade_no=order.out_trade_no,
        app_id=order.app_id,
        state=TradeState.WAIT_BUYER_PAY,
        subject=order.subject,
        currency=order.total.currency.code,
        total_minor=order.total.amount_minor,
        seller_account=order.seller_account,
        fee_account=order.fee_account,
        fee_bps=order.fee_plan.rate_bps,
        fee_rounding=order.fee_plan.rounding,
        fee_on_refund=order.fee_plan.on_refund,
        fee_minor=fee_of(order.total, order.fee_plan).amount_minor,
        details=order.details,
        notify_url=order.notify_url,
        wanted_buyer=order.wanted_buyer,
        created_at=now,
        expires_at=order.expires_at,
    )
