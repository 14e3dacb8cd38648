"""What an order of any kind says: what is sold, for how much, until when, and on which terms."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from xinghan.gateway.errors import GatewayError, business_failed
from xinghan.gateway.methods.fields import (
    FieldMalformed,
    Fields,
    FieldTooLong,
    readable_notify_url,
)
from xinghan.gateway.methods.rooms import Rooms, app_of
from xinghan.gateway.model import Call
from xinghan.identity import FeeTerms, Merchant
from xinghan.kit.clock import GATEWAY_ZONE, parse_gateway_time
from xinghan.kit.ids import AccountId, PersonId
from xinghan.kit.money import Currency, Money
from xinghan.payments.fees import FeeOnRefund, FeePlan
from xinghan.payments.model import CurrencyRefused, NewTrade
from xinghan.wallets import Purpose, platform_account

DEFAULT_CURRENCY: Final = "CNY"
SUBJECT_CHARACTERS_MAX: Final = 256
SHORT_CHARACTERS_MAX: Final = 32
DETAILS_BYTES_MAX: Final = 32 << 10
EXPIRY_MAX: Final = timedelta(days=15)
AT_COUNTER: Final = timedelta(hours=3)
CODE_MAX: Final = timedelta(hours=2)

_TEXTS: Final[Mapping[str, int]] = {
    "alipay_store_id": 32,
    "merchant_order_no": 64,
    "operator_id": 28,
    "passback_params": 512,
    "product_code": 64,
    "scene": 32,
    "store_id": 32,
    "terminal_id": 32,
}
_BODY_CHARACTERS_MAX: Final = 400
_STRUCTURES: Final = ("business_params", "extend_params", "goods_detail")
_PARTS: Final = ("discountable_amount", "undiscountable_amount")
_WIRE: Final = ("charset", "sign_type")
_OTHERS_MONEY: Final = (
    "agreement_params",
    "auth_no",
    "royalty_info",
    "settle_info",
    "sub_merchant",
)

_RELATIVE: Final = re.compile(r"([0-9]{1,5})([mhd])", re.ASCII)
_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


async def read_order(
    rooms: Rooms,
    call: Call,
    fields: Fields,
    expires_at: datetime,
    wanted_buyer: PersonId | None = None,
) -> NewTrade:
    """Read what every kind of order has in common, field by field.

    Raises the errors of `fields`, CurrencyRefused, UrlMalformed, and GatewayError for a seller that
    is not the app's merchant and for what would send money elsewhere than an order's money goes.
    """
    merchant = app_of(call).merchant
    out_trade_no = fields.required_out_trade_no()
    _refuse_money_elsewhere(fields)
    _check_seller(fields, merchant)
    currency = _currency(fields)
    total = fields.total(currency)
    subject = fields.required_text("subject", characters_max=SUBJECT_CHARACTERS_MAX)
    details = read_details(fields, total) | _wire_details(call)
    seller_account, fee_account = await _accounts(rooms, merchant, currency)
    return NewTrade(
        merchant=merchant.id,
        app_id=call.app.app_id,
        out_trade_no=out_trade_no,
        subject=subject,
        total=total,
        seller_account=seller_account,
        fee_account=fee_account,
        fee_plan=_fee_plan(merchant.fee_terms, currency),
        expires_at=expires_at,
        details=details,
        notify_url=readable_notify_url(call.notify_url),
        wanted_buyer=wanted_buyer,
    )


def read_expiry(fields: Fields, now: datetime, default: timedelta) -> datetime:
    """Give the instant after which an order cannot be paid; `time_expire` goes first.

    Raises FieldMalformed, also for more than fifteen days, and TimeMalformed.
    """
    absolute = fields.text("time_expire", characters_max=SHORT_CHARACTERS_MAX)
    if absolute is not None:
        expires_at = parse_gateway_time(absolute, field="time_expire")
        if expires_at > now + EXPIRY_MAX:
            raise FieldMalformed(field="time_expire")
        return expires_at
    return read_relative_expiry(fields, "timeout_express", now) or now + default


def read_relative_expiry(fields: Fields, name: str, now: datetime) -> datetime | None:
    """Read `90m`, `2h`, `15d`, or `1c` for the end of the day in GMT+8; None when it is absent.

    Raises FieldMalformed for anything else, and for less than a minute or more than fifteen days.
    """
    text = fields.text(name, characters_max=SHORT_CHARACTERS_MAX)
    if text is None:
        return None
    if text == "1c":
        midnight = now.astimezone(GATEWAY_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight + timedelta(days=1)).astimezone(now.tzinfo)
    match = _RELATIVE.fullmatch(text)
    duration = int(match[1]) * _UNITS[match[2]] if match else timedelta(0)
    if not timedelta(0) < duration <= EXPIRY_MAX:
        raise FieldMalformed(field=name)
    return now + duration


def read_details(fields: Fields, total: Money) -> dict[str, object]:
    """Give what is kept with an order and decides nothing, as the shop wrote it.

    Raises FieldMalformed, FieldTooLong, and what `Fields.amount` raises.
    """
    details: dict[str, object] = {
        name: fields.text(name, characters_max=characters) for name, characters in _TEXTS.items()
    }
    details["body"] = fields.text("body", characters_max=_BODY_CHARACTERS_MAX, lines=True)
    details |= {name: fields.present(name) for name in _STRUCTURES}
    parts = {
        name: fields.amount(name, total.currency)
        for name in _PARTS
        if fields.present(name) is not None
    }
    if len(parts) == len(_PARTS) and sum(one.amount_minor for one in parts.values()) != (
        total.amount_minor
    ):
        raise FieldMalformed(field="discountable_amount, undiscountable_amount")
    kept = {name: value for name, value in details.items() if value is not None}
    if len(msgspec.json.encode(kept)) > DETAILS_BYTES_MAX:
        raise FieldTooLong(field=", ".join(_STRUCTURES), characters=DETAILS_BYTES_MAX)
    return kept


def _wire_details(call: Call) -> dict[str, object]:
    """Give how the shop speaks, because it is told of the order in the same way."""
    return {name: call.parameters[name] for name in _WIRE if call.parameters.get(name)}


def _refuse_money_elsewhere(fields: Fields) -> None:
    """Refuse what would direct the money elsewhere: ignored, it would go to the wrong place."""
    for name in _OTHERS_MONEY:
        if fields.present(name) is not None:
            raise _not_offered(name)


def _not_offered(name: str) -> GatewayError:
    return business_failed(
        "ACQ.ACCESS_FORBIDDEN",
        f"{name}：平台尚未提供此能力，请去掉该参数（资金未发生变动）；"
        f"{name}: the platform does not offer this yet, leave the field out (no money has moved)",
    )


def _check_seller(fields: Fields, merchant: Merchant) -> None:
    seller = fields.text("seller_id", characters_max=SHORT_CHARACTERS_MAX)
    if seller is not None and seller != merchant.user_id:
        raise business_failed(
            "ACQ.SELLER_NOT_EXIST",
            "seller_id：只能是应用所属商户自己的编号，或不传（资金未发生变动）；"
            "seller_id: only the number of the app's own merchant, or nothing (no money has moved)",
        )


def _currency(fields: Fields) -> Currency:
    """Give the order's currency: nothing is exchanged here, so it is settled in it, too."""
    currency = fields.currency("trans_currency") or Currency.of(DEFAULT_CURRENCY)
    settled = fields.currency("settle_currency")
    if settled is not None and settled != currency:
        raise CurrencyRefused(field="settle_currency")
    return currency


async def _accounts(
    rooms: Rooms, merchant: Merchant, currency: Currency
) -> tuple[AccountId, AccountId]:
    """Give the merchant's account and the one that fees go to. Raises CurrencyRefused."""
    kept = (
        rooms.accounts.kept(merchant.id, currency),
        rooms.accounts.kept(Purpose.FEE_INCOME, currency),
    )
    if kept[0] is not None and kept[1] is not None:
        return kept[0], kept[1]
    async with rooms.database.acquire() as connection:
        seller = await rooms.accounts.find_merchant_account(connection, merchant.id, currency)
        if seller is None:
            raise CurrencyRefused(field="trans_currency")
        fees = await rooms.accounts.find_platform_account(connection, Purpose.FEE_INCOME, currency)
        if fees is None:
            async with connection.transaction():
                fees = await platform_account(connection, Purpose.FEE_INCOME, currency)
    return seller, fees


def _fee_plan(terms: FeeTerms, currency: Currency) -> FeePlan:
    minimum, maximum = (
        None if bound is None else Money(bound, currency)
        for bound in (terms.fee_min_minor, terms.fee_max_minor)
    )
    return FeePlan(
        terms.fee_bps, terms.fee_rounding, minimum, maximum, FeeOnRefund(terms.fee_on_refund)
    )
