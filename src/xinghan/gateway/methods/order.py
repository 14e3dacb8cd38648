"""Orders that wait for their payer: `alipay.trade.precreate` and `alipay.trade.create`.

An order asked for again under its number is the same order, and its code the same code. Defaults
when a shop names no end: the code of a precreated order works for two hours, which is also the
most that `qr_code_timeout_express` gives, and since such an order can only be paid by its code, it
ends with it; a created one waits fifteen days for its payer.
"""

from xinghan.gateway.envelope import success
from xinghan.gateway.methods.fields import NUMBER_CHARACTERS_MAX, FieldMissing, Fields
from xinghan.gateway.methods.rooms import Rooms
from xinghan.gateway.methods.terms import (
    AT_COUNTER,
    CODE_MAX,
    EXPIRY_MAX,
    read_expiry,
    read_order,
    read_relative_expiry,
)
from xinghan.gateway.methods.trades import show_numbers
from xinghan.gateway.model import Call, JsonObject
from xinghan.identity import Person, PersonStatus, fetch_person_by_user_id
from xinghan.payments.codes import order_token
from xinghan.payments.model import BuyerFrozen, BuyerNotFound


async def precreate(rooms: Rooms, call: Call) -> JsonObject:
    """Make an order and give its code for a screen or a print: a URL that any scanner opens."""
    fields = Fields(call.content)
    now = rooms.clock.now()
    code_ends_at = read_relative_expiry(fields, "qr_code_timeout_express", now) or now + CODE_MAX
    ends_at = min(code_ends_at, now + CODE_MAX, read_expiry(fields, now, AT_COUNTER))
    order = await read_order(rooms, call, fields, ends_at)
    trade = await rooms.payments.make_order(order)
    code = f"{rooms.public_url}/q/{order_token(trade.id, rooms.order_key)}"
    return success(out_trade_no=trade.out_trade_no, qr_code=code)


async def create(rooms: Rooms, call: Call) -> JsonObject:
    """Make an order for one payer, who pays it in the wallet."""
    fields = Fields(call.content)
    ends_at = read_expiry(fields, rooms.clock.now(), EXPIRY_MAX)
    buyer = await _find_wanted_buyer(rooms, fields)
    order = await read_order(rooms, call, fields, ends_at, buyer.id)
    return success(**show_numbers(await rooms.payments.make_order(order)))


async def _find_wanted_buyer(rooms: Rooms, fields: Fields) -> Person:
    number = None
    for name in ("buyer_id", "buyer_open_id"):
        number = number or fields.text(name, characters_max=NUMBER_CHARACTERS_MAX)
    if number is None:
        raise FieldMissing(field="buyer_id, buyer_open_id")
    async with rooms.database.acquire() as connection:
        buyer = await fetch_person_by_user_id(connection, rooms.vault, number)
    if buyer is None:
        raise BuyerNotFound(field="buyer_id")
    if buyer.status is not PersonStatus.ACTIVE:
        raise BuyerFrozen(field="buyer_id")
    return buyer
