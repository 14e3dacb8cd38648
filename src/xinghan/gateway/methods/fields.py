"""Reads business content field by field; each refusal names its field.

Programs send numbers where the protocol has strings, and empty strings where they mean nothing, so
whole numbers and decimals are taken as their digits, and what is empty counts as absent. Fields
that are not asked for are never looked at.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from xinghan.kit.destination import parse_url
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import TradeId
from xinghan.kit.money import Currency, Money, parse_amount
from xinghan.kit.numbering import trade_id_of
from xinghan.payments.model import TradeNotFound

NUMBER_CHARACTERS_MAX: Final = 64
TOTAL_MAJOR_MAX: Final = 100_000_000

_OUT_NUMBER: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_REQUEST_NUMBER: Final = re.compile(r"[!-.0-~]+", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_LINES: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


class FieldMissing(Invalid):
    """The content lacks a field that the method needs."""

    code = "field_missing"


class FieldMalformed(Invalid):
    """A field holds characters, or a kind of value, that it may not."""

    code = "field_malformed"


class FieldTooLong(Invalid):
    """A field has more characters than it may."""

    code = "field_too_long"


class AmountTooSmall(Invalid):
    """An amount of money that moves is at least one minor unit."""

    code = "amount_too_small"


class TotalTooLarge(Invalid):
    """An order's amount is at most a hundred million of the currency's major units."""

    code = "total_too_large"
    sub_code = "ACQ.TOTAL_FEE_EXCEED"


class Fields:
    """The fields of one call's business content."""

    def __init__(self, content: Mapping[str, object]) -> None:
        self._content = content

    def text(self, name: str, *, characters_max: int, lines: bool = False) -> str | None:
        """Give a text without control characters, which `lines` allows for ends of lines and tabs.

        None when it is absent or empty. Raises FieldMalformed, FieldTooLong.
        """
        value = self._content.get(name)
        if isinstance(value, Decimal):
            value = format(value, "f")
        elif isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise FieldMalformed(field=name)
        if len(value) > characters_max:
            raise FieldTooLong(field=name, characters=characters_max)
        if (_CONTROL_IN_LINES if lines else _CONTROL).search(value):
            raise FieldMalformed(field=name)
        return value

    def required_text(self, name: str, *, characters_max: int) -> str:
        """Give a text that must say something. Raises FieldMissing and what `text` raises."""
        value = self.text(name, characters_max=characters_max)
        if value is None or not value.strip():
            raise FieldMissing(field=name)
        return value

    def out_trade_no(self) -> str | None:
        """Give the shop's number of an order: letters, digits, `_` and `-`, at most 64 of them."""
        return self._number("out_trade_no", _OUT_NUMBER)

    def required_out_trade_no(self) -> str:
        """Give the shop's number of an order. Raises FieldMissing, and as `out_trade_no`."""
        number = self.out_trade_no()
        if number is None:
            raise FieldMissing(field="out_trade_no")
        return number

    def out_request_no(self) -> str | None:
        """Give the shop's number of a refund: visible ASCII but the slash, which marks our own."""
        return self._number("out_request_no", _REQUEST_NUMBER)

    def trade_id(self) -> TradeId | None:
        """Give the trade that `trade_no` names. Raises TradeNotFound for what names none."""
        number = self.text("trade_no", characters_max=NUMBER_CHARACTERS_MAX)
        if number is None:
            return None
        trade = trade_id_of(number)
        if trade is None:
            raise TradeNotFound(field="trade_no")
        return trade

    def currency(self, name: str) -> Currency | None:
        """Give a currency by its three letters. Raises CurrencyUnknown."""
        code = self.text(name, characters_max=NUMBER_CHARACTERS_MAX)
        return None if code is None else Currency.of(code, field=name)

    def amount(self, name: str, currency: Currency) -> Money:
        """Give an amount of at least one minor unit.

        Raises FieldMissing, AmountTooSmall, AmountMalformed, AmountTooPrecise, AmountTooLarge.
        """
        text = self.required_text(name, characters_max=NUMBER_CHARACTERS_MAX)
        money = parse_amount(text, currency, field=name)
        if money.amount_minor < 1:
            raise AmountTooSmall(field=name, minimum=str(Money(1, currency)))
        return money

    def total(self, currency: Currency) -> Money:
        """Give an order's amount. Raises TotalTooLarge beside what `amount` raises."""
        total = self.amount("total_amount", currency)
        largest = Money(TOTAL_MAJOR_MAX * 10**currency.digits, currency)
        if total > largest:
            raise TotalTooLarge(field="total_amount", maximum=str(largest))
        return total

    def options(self) -> frozenset[str]:
        """Give the names in `query_options`: the further fields that the caller wants to see."""
        value = self._content.get("query_options")
        if not isinstance(value, list):
            return frozenset()
        return frozenset(one for one in value if isinstance(one, str))

    def present(self, name: str) -> object | None:
        """Give whatever a field holds; None when it is absent or empty."""
        value = self._content.get(name)
        return None if value in ("", [], {}) else value

    def _number(self, name: str, pattern: re.Pattern[str]) -> str | None:
        number = self.text(name, characters_max=NUMBER_CHARACTERS_MAX)
        if number is not None and not pattern.fullmatch(number):
            raise FieldMalformed(field=name)
        return number


def readable_notify_url(url: str | None) -> str | None:
    """Give an address for notifications as it will be called, letters beyond ASCII escaped.

    Raises UrlMalformed.
    """
    if url is None:
        return None
    escaped = _NOT_ASCII.sub(_percent_encode, url)
    parse_url(escaped, field="notify_url")
    return escaped


def _percent_encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
