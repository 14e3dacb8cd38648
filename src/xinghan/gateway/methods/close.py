"""Ending trades: `alipay.trade.close` and `alipay.trade.cancel`.

Closing is for an unpaid trade only. Cancelling closes an unpaid trade and gives a paid one back in
full; it is what a till does when it does not know whether the customer has paid. That is why a
trade that nobody knows is no error to cancel: the public documentation of the real gateway says
that `action` is absent where no trade was found, and lists no error for it.
"""

from xinghan.gateway.envelope import success
from xinghan.gateway.methods.fields import Fields
from xinghan.gateway.methods.rooms import Rooms, app_of
from xinghan.gateway.methods.trades import find_trade, show_numbers
from xinghan.gateway.model import Call, JsonObject
from xinghan.payments.model import CancelAction, TradeNotFound

NO_RETRY = "N"


async def close(rooms: Rooms, call: Call) -> JsonObject:
    """Close an unpaid trade; closing it again changes nothing."""
    trade = await find_trade(rooms, call, Fields(call.content))
    closed = await rooms.payments.close(trade.id, app_of(call).merchant.id, call.app.app_id)
    return success(**show_numbers(closed))


async def cancel(rooms: Rooms, call: Call) -> JsonObject:
    """Close an unpaid trade or give a paid one back, and say which."""
    fields = Fields(call.content)
    try:
        trade = await find_trade(rooms, call, fields)
    except TradeNotFound:
        return success(out_trade_no=fields.out_trade_no(), retry_flag=NO_RETRY)
    done = await rooms.payments.cancel(trade.id, app_of(call).merchant.id, call.app.app_id)
    # Cancelling what is closed already has the outcome that cancelling it would have had.
    ended_by = CancelAction.REFUND if done.trade.paid_at is not None else CancelAction.CLOSE
    return success(
        **show_numbers(done.trade),
        retry_flag=NO_RETRY,
        action=(done.action or ended_by).value,
    )
