"""Money: whole minor units beside an ISO 4217 currency, and the only ways to divide it.

Every result is exact integer arithmetic. Decimal strings exist only at the doors, where
`parse_amount` and `format_amount` translate them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import iso4217

from xinghan.kit.errors import Invalid

AMOUNT_MAX: Final = 10**15
BPS_PER_WHOLE: Final = 10_000

_TEXT_LENGTH_MAX = 32
_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)


class CurrencyUnknown(Invalid):
    """The code is not of ISO 4217, or money cannot be kept in it."""

    code = "currency_unknown"
    sub_code = "ACQ.CURRENCY_NOT_SUPPORT"


class CurrencyMismatch(Invalid):
    """Two amounts of different currencies were added or compared."""

    code = "currency_mismatch"
    sub_code = "ACQ.CURRENCY_NOT_SUPPORT"


class AmountMalformed(Invalid):
    """The text is not a plain decimal number."""

    code = "amount_malformed"


class AmountTooPrecise(Invalid):
    """The text has more decimal digits than the currency."""

    code = "amount_too_precise"


class AmountTooLarge(Invalid):
    """The amount exceeds AMOUNT_MAX minor units."""

    code = "amount_too_large"
    sub_code = "ACQ.TOTAL_FEE_EXCEED"


@dataclass(frozen=True, slots=True)
class Currency:
    """A currency of ISO 4217: `digits` decimal digits stand after the point (CNY 2, JPY 0)."""

    code: str
    number: int
    digits: int

    @classmethod
    def of(cls, code: str, *, field: str | None = "currency") -> "Currency":
        """Find a currency by its three capital letters. Raises CurrencyUnknown."""
        try:
            return _CURRENCIES[code]
        except KeyError:
            raise CurrencyUnknown(field=field, currency=code[:8]) from None

    @classmethod
    def numbered(cls, number: int) -> "Currency":
        """Find a currency by its numeric code (CNY 156). Raises CurrencyUnknown."""
        try:
            return _BY_NUMBER[number]
        except KeyError:
            raise CurrencyUnknown(field="currency", currency=number) from None


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of `amount_minor` minor units (fen, cents); negative only as a difference."""

    amount_minor: int
    currency: Currency

    def __post_init__(self) -> None:
        if type(self.amount_minor) is not int:
            raise TypeError(f"minor units are whole numbers, not {type(self.amount_minor)}")

    def __add__(self, other: Self) -> "Money":
        return Money(self.amount_minor + self._minor_of(other), self.currency)

    def __sub__(self, other: Self) -> "Money":
        return Money(self.amount_minor - self._minor_of(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount_minor, self.currency)

    def __lt__(self, other: Self) -> bool:
        return self.amount_minor < self._minor_of(other)

    def __le__(self, other: Self) -> bool:
        return self.amount_minor <= self._minor_of(other)

    def __gt__(self, other: Self) -> bool:
        return self.amount_minor > self._minor_of(other)

    def __ge__(self, other: Self) -> bool:
        return self.amount_minor >= self._minor_of(other)

    def __str__(self) -> str:
        return f"{format_amount(self)} {self.currency.code}"

    def _minor_of(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(left=self.currency.code, right=other.currency.code)
        return other.amount_minor


class Rounding(StrEnum):
    """What becomes of the part of a minor unit. Negative amounts mirror positive ones."""

    HALF_UP = "half_up"
    HALF_EVEN = "half_even"
    DOWN = "down"
    UP = "up"


def parse_amount(
    text: str, currency: Currency, *, signed: bool = False, field: str | None = "amount"
) -> Money:
    """Read a decimal string such as `0.01`, at most AMOUNT_MAX minor units; zero is an amount.

    A leading minus is understood only if `signed`. Raises AmountMalformed, AmountTooPrecise,
    AmountTooLarge, each naming `field`.
    """
    match = _DECIMAL.fullmatch(text) if len(text) <= _TEXT_LENGTH_MAX else None
    if match is None or (match[1] and not signed):
        raise AmountMalformed(field=field)
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(fraction) > currency.digits:
        raise AmountTooPrecise(field=field, digits=currency.digits, currency=currency.code)
    amount_minor = int(whole + fraction.ljust(currency.digits, "0"))
    if amount_minor > AMOUNT_MAX:
        maximum = format_amount(Money(AMOUNT_MAX, currency))
        raise AmountTooLarge(field=field, maximum=maximum, currency=currency.code)
    return Money(-amount_minor if sign else amount_minor, currency)


def format_amount(money: Money) -> str:
    """Write the amount with all digits of its currency: `0.01`, `-3.50`, `100` (JPY)."""
    sign = "-" if money.amount_minor < 0 else ""
    digits = money.currency.digits
    text = str(abs(money.amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else sign + text


def split(total: Money, weights: Sequence[int]) -> tuple[Money, ...]:
    """Share out `total` in proportion to `weights`; the shares add up to it exactly.

    The largest remainder method: shares are rounded down, and the minor units left over go one
    each to the largest remainders. **Between equal remainders the earlier position wins.** A
    negative total is split like its opposite. Raises ValueError unless the weights are not
    negative and at least one is positive.
    """
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights must not be negative, and at least one must be positive")
    magnitude = abs(total.amount_minor)
    parts = [divmod(magnitude * weight, whole) for weight in weights]
    left_over = magnitude - sum(quotient for quotient, _ in parts)
    by_remainder = sorted(range(len(parts)), key=lambda position: -parts[position][1])
    favoured = frozenset(by_remainder[:left_over])
    sign = -1 if total.amount_minor < 0 else 1
    return tuple(
        Money(sign * (quotient + (position in favoured)), total.currency)
        for position, (quotient, _) in enumerate(parts)
    )


def share_bps(amount: Money, share_bps: int, rounding: Rounding) -> Money:
    """Take `share_bps` hundredths of a percent of `amount`, rounded to a whole minor unit."""
    return Money(divide(amount.amount_minor * share_bps, BPS_PER_WHOLE, rounding), amount.currency)


def divide(numerator: int, denominator: int, rounding: Rounding) -> int:
    """Divide whole numbers by a positive one with a named rounding.

    `half_up` takes halves away from zero, `half_even` to the even neighbour; `down` is towards
    zero and `up` away from it. Raises ValueError for a denominator that is not positive.
    """
    if denominator <= 0:
        raise ValueError("the denominator must be positive")
    quotient, remainder = divmod(abs(numerator), denominator)
    if _rounds_up(rounding, quotient, 2 * remainder, denominator):
        quotient += 1
    return -quotient if numerator < 0 else quotient


def _rounds_up(rounding: Rounding, quotient: int, twice_remainder: int, denominator: int) -> bool:
    match rounding:
        case Rounding.HALF_UP:
            return twice_remainder >= denominator
        case Rounding.HALF_EVEN:
            return twice_remainder + quotient % 2 > denominator
        case Rounding.DOWN:
            return False
        case Rounding.UP:
            return twice_remainder > 0


def _spendable_currencies() -> dict[str, Currency]:
    """List what money can be kept in: no precious metals, no testing codes, no funds codes.

    Funds codes (BOV, CLF, ...) are units of account of one country, never of a wallet.
    """
    funds = {
        entry.findtext("Ccy")
        for entry in iso4217.raw_xml.iter("CcyNtry")
        if (name := entry.find("CcyNm")) is not None and name.get("IsFund") == "true"
    }
    return {
        iso.code: Currency(iso.code, iso.number, iso.exponent)
        for iso in iso4217.Currency
        if iso.exponent is not None and iso.code not in funds
    }


_CURRENCIES: Final = _spendable_currencies()
_BY_NUMBER: Final = {currency.number: currency for currency in _CURRENCIES.values()}
