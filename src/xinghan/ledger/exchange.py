"""Exchange: one posting whose legs go through the platform's position in each currency.

What the payer gives in one currency enters the platform's position in it; what the payee gets in
the other leaves the position there. Both stand or fall together, and each currency sums to zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from xinghan.kit.ids import AccountId, PostingId
from xinghan.kit.money import Currency
from xinghan.ledger.model import AMOUNT_MAX_MINOR, ExchangeMalformed, Leg, NewAccount, Post
from xinghan.ledger.numbers import currency_numeric_of

CURRENCY_POSITION: Final = "currency_position"

_RATE: Final = re.compile(r"(?=.*[1-9])[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What changes hands, quoted elsewhere.

    `given_minor` leaves `payer` for `position_in`, in one currency; `got_minor` leaves
    `position_out` for `payee`, in another. `rate` says how much of the second one unit of the first
    is worth, as a decimal string; it is recorded, not applied.
    """

    payer: AccountId
    position_in: AccountId
    given_minor: int
    position_out: AccountId
    payee: AccountId
    got_minor: int
    rate: str


def position_account(currency: str) -> NewAccount:
    """Describe the account to open for the platform's position in a currency: it may be short."""
    return NewAccount(currency, CURRENCY_POSITION, floor_minor=None, striped=True)


def plan_exchange(
    posting: PostingId,
    exchange: Exchange,
    event_at: datetime | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Post:
    """Build the one posting of an exchange; both amounts and the rate stand in its metadata.

    Raises ExchangeMalformed, naming the field, when accounts, amounts or rate do not fit together.
    """
    given, got = _currencies(exchange)
    _check_terms(exchange)
    terms = {
        "given_currency": given.code,
        "given_minor": exchange.given_minor,
        "got_currency": got.code,
        "got_minor": exchange.got_minor,
        "rate": exchange.rate,
    }
    legs = (
        Leg(exchange.payer, exchange.position_in, exchange.given_minor),
        Leg(exchange.position_out, exchange.payee, exchange.got_minor),
    )
    return Post(posting, legs, event_at, {**(metadata or {}), "exchange": terms})


def _currencies(exchange: Exchange) -> tuple[Currency, Currency]:
    given = currency_numeric_of(exchange.payer)
    got = currency_numeric_of(exchange.payee)
    if currency_numeric_of(exchange.position_in) != given:
        raise ExchangeMalformed(field="position_in")
    if currency_numeric_of(exchange.position_out) != got:
        raise ExchangeMalformed(field="position_out")
    if given == got:
        raise ExchangeMalformed(field="payee")
    return Currency.numbered(given), Currency.numbered(got)


def _check_terms(exchange: Exchange) -> None:
    amounts = (("given_minor", exchange.given_minor), ("got_minor", exchange.got_minor))
    for field, amount in amounts:
        if type(amount) is not int or not 0 < amount <= AMOUNT_MAX_MINOR:
            raise ExchangeMalformed(field=field)
    if not _RATE.fullmatch(exchange.rate):
        raise ExchangeMalformed(field="rate")
