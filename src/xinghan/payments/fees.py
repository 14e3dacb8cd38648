"""What a merchant pays for a payment, and what comes back when the payment is refunded."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from xinghan.kit.money import BPS_PER_WHOLE, Money, Rounding, divide, share_bps

RATE_BPS_MAX: Final = BPS_PER_WHOLE


class FeeOnRefund(StrEnum):
    """What becomes of the fee when money goes back to the payer."""

    RETURNED = "returned"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class FeePlan:
    """A merchant's terms: `rate_bps` hundredths of a percent (38 is 0.38 %), rounded as named.

    `minimum` and `maximum` bound the fee of one payment, in the currency of the payment. Raises
    ValueError for terms that contradict each other, CurrencyMismatch for bounds in two currencies.
    """

    rate_bps: int
    rounding: Rounding = Rounding.HALF_UP
    minimum: Money | None = None
    maximum: Money | None = None
    on_refund: FeeOnRefund = FeeOnRefund.RETURNED

    def __post_init__(self) -> None:
        if not 0 <= self.rate_bps <= RATE_BPS_MAX:
            raise ValueError(f"a rate is from 0 to {RATE_BPS_MAX} basis points")
        if any(bound is not None and bound.amount_minor < 0 for bound in self._bounds()):
            raise ValueError("a fee is never negative, so its bounds are not")
        if self.minimum is not None and self.maximum is not None and self.maximum < self.minimum:
            raise ValueError("the minimum fee exceeds the maximum fee")

    def _bounds(self) -> tuple[Money | None, Money | None]:
        return self.minimum, self.maximum


def fee_of(amount: Money, plan: FeePlan) -> Money:
    """Give the fee of a payment: the rate's share within the plan's bounds, never above `amount`.

    Raises CurrencyMismatch when the plan's bounds are in another currency.
    """
    fee = share_bps(amount, plan.rate_bps, plan.rounding)
    if plan.minimum is not None:
        fee = max(fee, plan.minimum)
    if plan.maximum is not None:
        fee = min(fee, plan.maximum)
    return min(fee, amount)


def returned_fee(
    paid: Money, fee: Money, refunded_before: Money, refund: Money, plan: FeePlan
) -> Money:
    """Give the part of `fee` that goes back to the merchant together with `refund`.

    Of a payment of `paid`, `refunded_before` went back earlier. The fee that belongs to everything
    refunded so far is rounded once, and what was returned before is taken off: partial refunds
    never add up to more than the fee, and when all is refunded, to exactly the fee. Raises
    ValueError when the refunds exceed the payment or the fee does.
    """
    nothing = paid - paid
    refunded_after = refunded_before + refund
    if min(refunded_before, refund, fee) < nothing or max(refunded_after, fee) > paid:
        raise ValueError("refunds and fee are parts of the payment")
    if plan.on_refund is FeeOnRefund.KEPT or paid == nothing:
        return nothing
    return _part(fee, refunded_after, paid, plan.rounding) - _part(
        fee, refunded_before, paid, plan.rounding
    )


def _part(fee: Money, refunded: Money, paid: Money, rounding: Rounding) -> Money:
    product = fee.amount_minor * refunded.amount_minor
    return Money(divide(product, paid.amount_minor, rounding), fee.currency)
