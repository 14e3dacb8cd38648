"""Money is exact: sums are kept, roundings are the named ones, currencies never mix."""

import operator
from collections.abc import Callable
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.kit.money import (
    AMOUNT_MAX,
    AmountMalformed,
    AmountTooLarge,
    AmountTooPrecise,
    Currency,
    CurrencyMismatch,
    CurrencyUnknown,
    Money,
    Rounding,
    divide,
    format_amount,
    parse_amount,
    share_bps,
    split,
)

CNY, JPY, KWD = (Currency.of(code) for code in ("CNY", "JPY", "KWD"))
DECIMAL_ROUNDING = {
    Rounding.HALF_UP: ROUND_HALF_UP,
    Rounding.HALF_EVEN: ROUND_HALF_EVEN,
    Rounding.DOWN: ROUND_DOWN,
    Rounding.UP: ROUND_UP,
}

amounts = st.integers(-AMOUNT_MAX, AMOUNT_MAX)
currencies = st.sampled_from([CNY, JPY, KWD])
weights = st.lists(st.integers(0, 10**12), min_size=1, max_size=12).filter(any)


@pytest.mark.parametrize(
    ("code", "number", "digits"),
    [("CNY", 156, 2), ("JPY", 392, 0), ("KWD", 414, 3), ("XAF", 950, 0), ("EUR", 978, 2)],
)
def test_currencies_have_their_own_minor_units(code: str, number: int, digits: int) -> None:
    assert Currency.of(code) == Currency(code, number, digits)


@pytest.mark.parametrize(
    "code", ["XAU", "XXX", "XTS", "XDR", "BOV", "CLF", "USN", "cny", "", "YÜA"]
)
def test_money_cannot_be_kept_in_everything_that_has_a_code(code: str) -> None:
    with pytest.raises(CurrencyUnknown) as refusal:
        Currency.of(code)
    assert refusal.value.field == "currency"
    assert refusal.value.sub_code == "ACQ.CURRENCY_NOT_SUPPORT"


@pytest.mark.parametrize(
    ("text", "currency", "amount_minor"),
    [
        ("0.01", CNY, 1),
        ("10", CNY, 1000),
        ("10.5", CNY, 1050),
        ("0", CNY, 0),
        ("100", JPY, 100),
        ("1.234", KWD, 1234),
        ("10000000000000.00", CNY, AMOUNT_MAX),
    ],
)
def test_decimal_strings_are_read(text: str, currency: Currency, amount_minor: int) -> None:
    assert parse_amount(text, currency) == Money(amount_minor, currency)


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "1\n", "1\x00"),
        *("+1", "-1", "1e3", "0x1", "1_0", "NaN", "Infinity"),
        *(".5", "5.", "01", "1,000", "1.0.0"),
        *("１", "٣", "9" * 33),
    ],
)
def test_everything_else_is_malformed(text: str) -> None:
    with pytest.raises(AmountMalformed) as refusal:
        parse_amount(text, CNY, field="total_amount")
    assert refusal.value.field == "total_amount"


@pytest.mark.parametrize(("text", "currency"), [("0.001", CNY), ("1.0", JPY), ("1.2345", KWD)])
def test_more_digits_than_the_currency_has_are_refused(text: str, currency: Currency) -> None:
    with pytest.raises(AmountTooPrecise) as refusal:
        parse_amount(text, currency)
    assert refusal.value.facts == {"digits": currency.digits, "currency": currency.code}


def test_amounts_beyond_the_books_are_refused() -> None:
    with pytest.raises(AmountTooLarge) as refusal:
        parse_amount("10000000000000.01", CNY)
    assert "10000000000000.00 CNY" in refusal.value.message("en")


def test_a_sign_is_read_where_it_is_asked_for() -> None:
    assert parse_amount("-3.50", CNY, signed=True) == Money(-350, CNY)
    assert parse_amount("3.50", CNY, signed=True) == Money(350, CNY)


@given(amounts, currencies)
def test_writing_and_reading_give_the_amount_back(amount_minor: int, currency: Currency) -> None:
    money = Money(amount_minor, currency)
    written = format_amount(money)
    assert parse_amount(written, currency, signed=True) == money
    assert Decimal(written).scaleb(currency.digits) == amount_minor
    assert str(money) == f"{written} {currency.code}"


@given(amounts, amounts, currencies)
def test_sums_and_comparisons_are_those_of_the_minor_units(
    left: int, right: int, currency: Currency
) -> None:
    one, other = Money(left, currency), Money(right, currency)
    assert (one + other).amount_minor == left + right
    assert (one - other).amount_minor == left - right
    assert (-one).amount_minor == -left
    for compare in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq):
        assert compare(one, other) == compare(left, right)


@pytest.mark.parametrize(
    "operation",
    [operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge],
)
def test_currencies_do_not_mix(operation: Callable[[Money, Money], object]) -> None:
    with pytest.raises(CurrencyMismatch, match="CNY and JPY"):
        operation(Money(1, CNY), Money(1, JPY))
    assert Money(1, CNY) != Money(1, JPY)


@pytest.mark.parametrize("amount", [1.0, "1", True, Decimal(1)])
def test_minor_units_are_whole_numbers(amount: int) -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        Money(amount, CNY)


@given(amounts, weights)
def test_a_split_adds_up_and_is_fair(total: int, weights: list[int]) -> None:
    shares = split(Money(total, CNY), weights)
    assert sum(share.amount_minor for share in shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share.amount_minor * sum(weights) - total * weight) < sum(weights)


@given(amounts, weights)
def test_a_negative_total_is_split_like_its_opposite(total: int, weights: list[int]) -> None:
    mirrored = tuple(-share for share in split(Money(-total, CNY), weights))
    assert split(Money(total, CNY), weights) == mirrored


def test_equal_remainders_favour_the_earlier_position() -> None:
    shares = split(Money(5, CNY), [1, 1, 1])
    assert [share.amount_minor for share in shares] == [2, 2, 1]
    shares = split(Money(1, CNY), [0, 1, 1])
    assert [share.amount_minor for share in shares] == [0, 1, 0]


@pytest.mark.parametrize("weights", [[], [0, 0], [3, -1]])
def test_weights_that_mean_nothing_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weights"):
        split(Money(5, CNY), weights)


@given(amounts, st.integers(1, 10**9), st.sampled_from(Rounding))
def test_division_agrees_with_the_decimal_module(
    numerator: int, denominator: int, rounding: Rounding
) -> None:
    exact = Decimal(numerator) / Decimal(denominator)
    expected = int(exact.quantize(Decimal(1), rounding=DECIMAL_ROUNDING[rounding]))
    assert divide(numerator, denominator, rounding) == expected


@given(st.integers(-1000, 1000), st.integers(1, 12), st.sampled_from(Rounding))
def test_division_agrees_where_halves_are_frequent(
    numerator: int, denominator: int, rounding: Rounding
) -> None:
    exact = Decimal(numerator) / Decimal(denominator)
    expected = int(exact.quantize(Decimal(1), rounding=DECIMAL_ROUNDING[rounding]))
    assert divide(numerator, denominator, rounding) == expected


@pytest.mark.parametrize("denominator", [0, -3])
def test_denominators_are_positive(denominator: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        divide(1, denominator, Rounding.DOWN)


@pytest.mark.parametrize(
    ("rounding", "fen"),
    [(Rounding.HALF_UP, 3), (Rounding.HALF_EVEN, 2), (Rounding.DOWN, 2), (Rounding.UP, 3)],
)
def test_a_share_is_rounded_by_the_named_rule(rounding: Rounding, fen: int) -> None:
    assert share_bps(Money(500, CNY), 50, rounding) == Money(fen, CNY)
