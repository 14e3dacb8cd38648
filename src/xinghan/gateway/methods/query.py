"""`alipay.trade.query`: what became of a trade."""

from xinghan.gateway.envelope import success
from xinghan.gateway.methods.fields import Fields
from xinghan.gateway.methods.rooms import Rooms
from xinghan.gateway.methods.trades import (
    find_buyer,
    find_trade,
    show_amounts,
    show_buyer,
    show_details,
    show_funds,
    show_numbers,
    show_payment_time,
)
from xinghan.gateway.model import Call, JsonObject


async def query(rooms: Rooms, call: Call) -> JsonObject:
    """Give a trade's state, its amounts and its payer; `trade_no` goes before `out_trade_no`."""
    trade = await find_trade(rooms, call, Fields(call.content))
    buyer = await find_buyer(rooms, trade)
    return success(
        **show_numbers(trade),
        trade_status=trade.state.value,
        **show_buyer(buyer),
        **show_amounts(trade),
        send_pay_date=show_payment_time(trade),
        fund_bill_list=None if buyer is None else show_funds(trade.total),
        **show_details(trade),
    )
