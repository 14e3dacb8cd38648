"""Fees are what the plan says, and come back to the last fen or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.kit.money import Currency, CurrencyMismatch, Money, Rounding
from xinghan.payments.fees import FeeOnRefund, FeePlan, fee_of, returned_fee

CNY, JPY = Currency.of("CNY"), Currency.of("JPY")

roundings = st.sampled_from(Rounding)
paid_minor = st.integers(1, 10**12)


def yuan(fen: int) -> Money:
    return Money(fen, CNY)


@pytest.mark.parametrize(
    ("fen", "rate_bps", "rounding", "fee_fen"),
    [
        (10_000, 38, Rounding.HALF_UP, 38),
        (1, 38, Rounding.HALF_UP, 0),
        (1, 38, Rounding.UP, 1),
        (250, 60, Rounding.HALF_UP, 2),
        (250, 60, Rounding.DOWN, 1),
        (750, 60, Rounding.HALF_EVEN, 4),
        (250, 100, Rounding.HALF_EVEN, 2),
        (999, 0, Rounding.UP, 0),
        (999, 10_000, Rounding.DOWN, 999),
    ],
)
def test_the_rate_is_taken_and_rounded(
    fen: int, rate_bps: int, rounding: Rounding, fee_fen: int
) -> None:
    assert fee_of(yuan(fen), FeePlan(rate_bps, rounding)) == yuan(fee_fen)


def test_the_bounds_of_the_plan_hold() -> None:
    plan = FeePlan(60, minimum=yuan(10), maximum=yuan(500))
    assert fee_of(yuan(100), plan) == yuan(10)
    assert fee_of(yuan(50_000), plan) == yuan(300)
    assert fee_of(yuan(1_000_000), plan) == yuan(500)
    assert fee_of(yuan(3), plan) == yuan(3)


@given(st.integers(0, 10**15), st.integers(0, 10_000), roundings, st.integers(0, 10**6))
def test_a_fee_is_never_more_than_the_payment(
    fen: int, rate_bps: int, rounding: Rounding, minimum: int
) -> None:
    fee = fee_of(yuan(fen), FeePlan(rate_bps, rounding, minimum=yuan(minimum)))
    assert yuan(0) <= fee <= yuan(fen)


@pytest.mark.parametrize("rate_bps", [-1, 10_001])
def test_a_rate_is_a_part_of_the_whole(rate_bps: int) -> None:
    with pytest.raises(ValueError, match="0 to 10000"):
        FeePlan(rate_bps)


def test_contradictory_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        FeePlan(38, minimum=yuan(2), maximum=yuan(1))
    with pytest.raises(ValueError, match="never negative"):
        FeePlan(38, minimum=yuan(-1))
    with pytest.raises(ValueError, match="never negative"):
        FeePlan(38, maximum=yuan(-1))
    with pytest.raises(CurrencyMismatch):
        FeePlan(38, minimum=yuan(1), maximum=Money(2, JPY))
    with pytest.raises(CurrencyMismatch):
        fee_of(yuan(100), FeePlan(38, minimum=Money(1, JPY)))


@given(st.data(), paid_minor, roundings)
def test_partial_refunds_return_the_fee_exactly(
    data: st.DataObject, paid: int, rounding: Rounding
) -> None:
    fee = data.draw(st.integers(0, paid))
    cuts = data.draw(st.lists(st.integers(0, paid), max_size=8))
    plan = FeePlan(38, rounding)
    returned, before = yuan(0), 0
    for after in sorted([*cuts, paid]):
        part = returned_fee(yuan(paid), yuan(fee), yuan(before), yuan(after - before), plan)
        assert yuan(0) <= part <= yuan(after - before)
        returned, before = returned + part, after
        assert abs(returned.amount_minor * paid - fee * after) < paid
        assert returned <= yuan(fee)
    assert returned == yuan(fee)


@given(paid_minor, roundings)
def test_a_fee_that_is_kept_does_not_come_back(paid: int, rounding: Rounding) -> None:
    plan = FeePlan(38, rounding, on_refund=FeeOnRefund.KEPT)
    assert returned_fee(yuan(paid), yuan(paid), yuan(0), yuan(paid), plan) == yuan(0)


def test_a_payment_of_nothing_returns_nothing() -> None:
    assert returned_fee(yuan(0), yuan(0), yuan(0), yuan(0), FeePlan(38)) == yuan(0)


@pytest.mark.parametrize(
    ("paid", "fee", "before", "refund"),
    [(100, 1, 60, 41), (100, 101, 0, 1), (100, 1, -1, 1), (100, 1, 0, -1), (100, -1, 0, 1)],
)
def test_refunds_and_fee_are_parts_of_the_payment(
    paid: int, fee: int, before: int, refund: int
) -> None:
    with pytest.raises(ValueError, match="parts of the payment"):
        returned_fee(yuan(paid), yuan(fee), yuan(before), yuan(refund), FeePlan(38))


def test_currencies_do_not_mix() -> None:
    with pytest.raises(CurrencyMismatch):
        returned_fee(yuan(100), Money(1, JPY), yuan(0), yuan(1), FeePlan(38))
