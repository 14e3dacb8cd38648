"""Giving money back: `alipay.trade.refund` and `alipay.trade.fastpay.refund.query`.

A trade may be refunded in several parts, each under its own `out_request_no`; only a refund of the
whole order may go without one, and its number is then the order's. A query for a refund that there
is not succeeds and names no refund, as the public documentation of the real gateway says: whoever
asks looks for `refund_status`.
"""

from xinghan.gateway.envelope import success
from xinghan.gateway.methods.fields import FieldMissing, Fields
from xinghan.gateway.methods.rooms import Rooms, app_of
from xinghan.gateway.methods.terms import DEFAULT_CURRENCY
from xinghan.gateway.methods.trades import (
    find_buyer,
    find_trade,
    show_buyer,
    show_funds,
    show_numbers,
)
from xinghan.gateway.model import Call, JsonObject
from xinghan.kit.clock import format_gateway_time
from xinghan.kit.money import Currency, Money, format_amount
from xinghan.payments.model import Refund, RefundRequest, Trade
from xinghan.payments.rules import money_of

REASON_CHARACTERS_MAX = 256
REFUNDED = "REFUND_SUCCESS"


async def refund(rooms: Rooms, call: Call) -> JsonObject:
    """Give a part or all of a trade's money back; `refund_fee` is the sum of all its refunds."""
    fields = Fields(call.content)
    trade = await find_trade(rooms, call, fields)
    currency = fields.currency("refund_currency") or Currency.of(trade.currency)
    amount = fields.amount("refund_amount", currency)
    done = await rooms.payments.refund(
        RefundRequest(
            trade.id,
            app_of(call).merchant.id,
            _number(fields, trade, amount),
            amount,
            call.app.app_id,
            fields.text("refund_reason", characters_max=REASON_CHARACTERS_MAX, lines=True),
        )
    )
    given_back = money_of(done.trade, done.refund.amount_minor)
    return success(
        **show_numbers(done.trade),
        **show_buyer(await find_buyer(rooms, done.trade)),
        fund_change="Y" if done.moved_now else "N",
        refund_fee=format_amount(done.trade.refunded),
        refund_currency=_foreign(done.trade),
        gmt_refund_pay=format_gateway_time(done.refund.created_at),
        refund_detail_item_list=show_funds(given_back),
        send_back_fee=format_amount(given_back),
    )


async def query_refund(rooms: Rooms, call: Call) -> JsonObject:
    """Say whether a refund was made; there are no fields of a refund when there is none."""
    fields = Fields(call.content)
    number = fields.out_request_no()
    if number is None:
        raise FieldMissing(field="out_request_no")
    trade = await find_trade(rooms, call, fields)
    found = await rooms.payments.find_refund(trade, number)
    return success(**show_numbers(trade), **(_show_refund(trade, found, fields) if found else {}))


def _number(fields: Fields, trade: Trade, amount: Money) -> str:
    number = fields.out_request_no()
    if number is None and amount != trade.total:
        raise FieldMissing(field="out_request_no")
    return number or trade.out_trade_no


def _show_refund(trade: Trade, found: Refund, fields: Fields) -> JsonObject:
    amount = money_of(trade, found.amount_minor)
    asked = fields.options()
    shown: JsonObject = {
        "out_request_no": found.out_request_no,
        "total_amount": format_amount(trade.total),
        "refund_amount": format_amount(amount),
        "refund_status": REFUNDED,
        "refund_reason": found.reason,
    }
    if "gmt_refund_pay" in asked:
        shown["gmt_refund_pay"] = format_gateway_time(found.created_at)
    if "refund_detail_item_list" in asked:
        shown["refund_detail_item_list"] = show_funds(amount)
        shown["send_back_fee"] = format_amount(amount)
    return shown


def _foreign(trade: Trade) -> str | None:
    return None if trade.currency == DEFAULT_CURRENCY else trade.currency
