"""How a trade is found by what a call names, and how it is shown in an answer."""

from collections.abc import Mapping

from xinghan.gateway.methods.fields import FieldMissing, Fields
from xinghan.gateway.methods.rooms import Rooms, app_of
from xinghan.gateway.methods.terms import DEFAULT_CURRENCY
from xinghan.gateway.model import Call, JsonObject
from xinghan.gateway.notices import masked_logon_id
from xinghan.identity import Person, PersonKey, fetch_person
from xinghan.kit.clock import format_gateway_time
from xinghan.kit.money import Money, format_amount
from xinghan.kit.numbering import trade_no
from xinghan.ledger.numbers import buckets_of
from xinghan.payments.model import Trade
from xinghan.payments.rules import money_of

FUND_CHANNEL = "ALIPAYACCOUNT"
ECHOED = ("alipay_store_id", "passback_params", "store_id", "terminal_id")


async def find_trade(rooms: Rooms, call: Call, fields: Fields) -> Trade:
    """Find the caller's trade by `trade_no`, which goes first, or `out_trade_no`.

    Raises FieldMissing when both are absent, TradeNotFound, also for another merchant's trade.
    """
    trade, number = fields.trade_id(), fields.out_trade_no()
    if trade is None and number is None:
        raise FieldMissing(field="out_trade_no, trade_no")
    return await rooms.payments.find(app_of(call).merchant.id, trade, number)


async def find_buyer(rooms: Rooms, trade: Trade) -> Person | None:
    """Find who paid a trade; None while nobody has."""
    if trade.buyer is None or trade.buyer_account is None:
        return None
    [bucket] = buckets_of(trade.buyer_account)
    async with rooms.database.acquire() as connection:
        return await fetch_person(connection, rooms.vault, PersonKey(bucket, trade.buyer))


def show_numbers(trade: Trade) -> JsonObject:
    """Give both numbers of a trade."""
    return {"trade_no": trade_no(trade.id), "out_trade_no": trade.out_trade_no}


def show_buyer(buyer: Person | None) -> JsonObject:
    """Give the payer as a shop may know them; nothing when there is none."""
    if buyer is None:
        return {}
    return {
        "buyer_logon_id": masked_logon_id(buyer),
        "buyer_user_id": buyer.user_id,
        "buyer_open_id": buyer.user_id,
        "buyer_user_type": "PRIVATE",
    }


def show_amounts(trade: Trade) -> JsonObject:
    """Give the order's amount, and what of it was paid, received and may be invoiced."""
    paid = money_of(trade, trade.total_minor if trade.paid_at is not None else 0)
    shown: JsonObject = {"total_amount": format_amount(trade.total)}
    shown |= dict.fromkeys(
        ("receipt_amount", "buyer_pay_amount", "invoice_amount"), format_amount(paid)
    )
    shown["point_amount"] = format_amount(money_of(trade, 0))
    return shown | _show_currency(trade, paid)


def show_funds(amount: Money) -> list[JsonObject]:
    """Give where an amount came from or went back to: always the payer's balance."""
    return [{"fund_channel": FUND_CHANNEL, "amount": format_amount(amount)}]


def show_details(trade: Trade) -> JsonObject:
    """Give what the shop wrote with the order and wants to read again."""
    details: Mapping[str, object] = trade.details
    shown: JsonObject = {name: details[name] for name in ECHOED if name in details}
    if "goods_detail" in details:
        shown["req_goods_detail"] = details["goods_detail"]
    return shown


def show_payment_time(trade: Trade) -> str | None:
    """Give when a trade was paid, in GMT+8; None while it is not."""
    return None if trade.paid_at is None else format_gateway_time(trade.paid_at)


def _show_currency(trade: Trade, paid: Money) -> JsonObject:
    if trade.currency == DEFAULT_CURRENCY:
        return {}
    shown: JsonObject = dict.fromkeys(
        ("trans_currency", "settle_currency", "pay_currency"), trade.currency
    )
    return shown | dict.fromkeys(("pay_amount", "settle_amount"), format_amount(paid))
