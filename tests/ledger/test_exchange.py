"""Exchange: one posting, two currencies, each of which sums to zero."""

from dataclasses import replace

import pytest

from bookkeeping import Bookkeeper, new_id
from xinghan.ledger import (
    CURRENCY_POSITION,
    Exchange,
    ExchangeMalformed,
    Outcome,
    Post,
    fetch_posting,
    plan_exchange,
    position_account,
)
from xinghan.ledger.numbers import account_number

YUAN, YEN = 156, 392
TERMS = Exchange(
    payer=account_number(1, YUAN, 3),
    position_in=account_number(2, YUAN, None),
    given_minor=1000,
    position_out=account_number(3, YEN, None),
    payee=account_number(4, YEN, 9),
    got_minor=215,
    rate="21.5",
)


async def test_both_currencies_move_or_neither(books: Bookkeeper) -> None:
    lin, lin_yen = await books.funded(1000), await books.open(currency="JPY")
    yuan = await books.open(position_account("CNY"))
    yen = await books.open(position_account("JPY"))
    terms = replace(TERMS, payer=lin, payee=lin_yen, position_in=yuan, position_out=yen)
    exchange = plan_exchange(new_id(), terms, metadata={"quote": "q7"})
    result = await books.accept(exchange)
    assert await books.minor(lin, yuan, yen, lin_yen) == [0, 1000, -215, 215]
    assert (await books.balance(yen)).kind == CURRENCY_POSITION
    async with books.database.acquire() as connection:
        written = await fetch_posting(connection, result.bucket, exchange.id)
    assert written.metadata == {
        "quote": "q7",
        "exchange": {
            "given_currency": "CNY",
            "given_minor": 1000,
            "got_currency": "JPY",
            "got_minor": 215,
            "rate": "21.5",
        },
    }
    again = plan_exchange(new_id(), replace(terms, given_minor=1))
    await books.refuse(Outcome.INSUFFICIENT_FUNDS, again)


def test_an_exchange_is_one_posting_of_two_legs() -> None:
    posting = plan_exchange(new_id(), TERMS)
    assert isinstance(posting, Post)
    assert [(leg.debit, leg.credit, leg.amount_minor) for leg in posting.legs] == [
        (TERMS.payer, TERMS.position_in, 1000),
        (TERMS.position_out, TERMS.payee, 215),
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"position_in": TERMS.position_out}, "position_in"),
        ({"position_out": TERMS.position_in}, "position_out"),
        ({"position_out": TERMS.position_in, "payee": TERMS.payer}, "payee"),
        ({"given_minor": 0}, "given_minor"),
        ({"given_minor": 1.5}, "given_minor"),
        ({"got_minor": -1}, "got_minor"),
        ({"got_minor": 10**15 + 1}, "got_minor"),
        ({"rate": ""}, "rate"),
        ({"rate": "0.00"}, "rate"),
        ({"rate": "-1"}, "rate"),
        ({"rate": "1e5"}, "rate"),
        ({"rate": "NaN"}, "rate"),
        ({"rate": "１"}, "rate"),
        ({"rate": "1."}, "rate"),
    ],
)
def test_terms_that_do_not_fit_together(change: dict[str, object], field: str) -> None:
    with pytest.raises(ExchangeMalformed) as refused:
        plan_exchange(new_id(), replace(TERMS, **change))
    assert refused.value.field == field
