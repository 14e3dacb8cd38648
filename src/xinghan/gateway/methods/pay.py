"""`alipay.trade.pay`: the shop scans the code on the payer's phone.

The order is made and paid at once. Where the balance does not suffice, the order stays and waits:
the same call with another code of any payer may still pay it.

A repeat by the same payer of what was paid is answered like the first time, whether the code is
still good or not, so the trade is looked up before the code is. Anybody else's code is told that
the trade has been paid: a till that scans the next customer for the last one's order must not
believe that this customer has paid.
"""

from dataclasses import dataclass

from xinghan.gateway.envelope import success
from xinghan.gateway.methods.fields import NUMBER_CHARACTERS_MAX, Fields
from xinghan.gateway.methods.rooms import Rooms
from xinghan.gateway.methods.terms import AT_COUNTER, read_expiry, read_order
from xinghan.gateway.methods.trades import (
    show_amounts,
    show_buyer,
    show_funds,
    show_numbers,
    show_payment_time,
)
from xinghan.gateway.model import Call, JsonObject
from xinghan.identity import Person, PersonStatus, unseal_device_secret
from xinghan.kit.errors import MoneyOutcome
from xinghan.kit.ids import AccountId
from xinghan.kit.money import Currency
from xinghan.payments.actions.code import CodeDevice
from xinghan.payments.codes import device_number_of
from xinghan.payments.model import (
    BuyerFrozen,
    CodeInvalid,
    CurrencyRefused,
    NewTrade,
    Payment,
    Trade,
    TradeClosed,
    TradeNotFound,
    TradePaid,
    TradeState,
)
from xinghan.payments.rules import refuse_other_content


async def pay(rooms: Rooms, call: Call) -> JsonObject:
    """Make an order and pay it with the code that the payer shows."""
    fields = Fields(call.content)
    order = await read_order(
        rooms, call, fields, read_expiry(fields, rooms.clock.now(), AT_COUNTER)
    )
    code = fields.required_text("auth_code", characters_max=NUMBER_CHARACTERS_MAX).strip()
    phones = _Phones(rooms, order.total.currency)
    standing = await _find_paid(rooms, order)
    if standing is not None:
        return _show(standing, await _payer_again(phones, standing, code))
    device, use = await rooms.payments.check_code(phones.find, code, order.merchant)
    payer = phones.payer()
    payment = Payment(order, device.person, phones.payer_account(), order.app_id, use)
    return _show(await rooms.payments.pay(payment), payer)


async def _find_paid(rooms: Rooms, order: NewTrade) -> Trade | None:
    """Find the order when it has been paid. Raises OrderDiffers, TradeClosed."""
    try:
        trade = await rooms.payments.find(order.merchant, None, order.out_trade_no)
    except TradeNotFound:
        return None
    if (differs := refuse_other_content(trade, order)) is not None:
        raise differs
    if trade.state is TradeState.TRADE_CLOSED:
        raise TradeClosed(field="out_trade_no")
    return trade if trade.paid_at is not None else None


async def _payer_again(phones: "_Phones", trade: Trade, code: str) -> Person:
    """Give the payer of a paid trade when `code`, good or not, is of the same person's phone."""
    number = device_number_of(code)
    if number is None:
        raise CodeInvalid(field="auth_code", money=MoneyOutcome.MOVED)
    device = await phones.find(number)
    if device is None or phones.owner is None or device.person != trade.buyer:
        raise TradePaid(field="out_trade_no", money=MoneyOutcome.MOVED)
    return phones.owner


@dataclass(slots=True)
class _Phones:
    """Finds the phone that a code is of, and with it whose it is and which account pays."""

    rooms: Rooms
    currency: Currency
    owner: Person | None = None
    account: AccountId | None = None

    async def find(self, number: int) -> CodeDevice | None:
        """Find a phone by the number in its codes; None when there is none, or it was revoked."""
        device = await self.rooms.devices.submit(number)
        if device is None or device.revoked_at is not None:
            return None
        owner = self.owner = device.owner
        accounts = self.rooms.accounts
        self.account = accounts.kept(owner.key, self.currency)
        if self.account is None:
            async with self.rooms.database.acquire() as connection:
                self.account = await accounts.find_wallet(connection, owner.key, self.currency)
        secret = unseal_device_secret(self.rooms.vault, device)
        return CodeDevice(device.id, owner.bucket, owner.id, secret)

    def payer(self) -> Person:
        """Give whose phone was found. Raises BuyerFrozen when they may not pay."""
        if self.owner is None:
            raise CodeInvalid(field="auth_code")
        if self.owner.status is not PersonStatus.ACTIVE:
            raise BuyerFrozen(field="auth_code")
        return self.owner

    def payer_account(self) -> AccountId:
        """Give the account that pays. Raises CurrencyRefused when the payer has none."""
        if self.account is None:
            raise CurrencyRefused(field="trans_currency")
        return self.account


def _show(trade: Trade, payer: Person) -> JsonObject:
    return success(
        **show_numbers(trade),
        **show_buyer(payer),
        **show_amounts(trade),
        gmt_payment=show_payment_time(trade),
        fund_bill_list=show_funds(trade.total),
    )
