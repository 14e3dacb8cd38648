"""Decides what may happen to a trade: pure, given the trade as it is locked and what is asked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zlib import crc32

from xinghan.kit.errors import XinghanError
from xinghan.kit.ids import MerchantId
from xinghan.kit.money import Currency, Money
from xinghan.ledger import BUCKETS, Leg, Outcome
from xinghan.payments.fees import returned_fee
from xinghan.payments.model import (
    BalanceInsufficient,
    BuyerFrozen,
    BuyerNotMatched,
    CurrencyRefused,
    NewTrade,
    OrderDiffers,
    Payment,
    RefundDiffers,
    RefundExceeds,
    RefundRequest,
    SellerBalanceInsufficient,
    SellerBlocked,
    Trade,
    TradeClosed,
    TradeFinished,
    TradeNotClosable,
    TradeNotFound,
    TradePaid,
    TradeState,
    TradeUnpaid,
)

REFUND_DAYS: Final = 365


def bucket_of_order(merchant: MerchantId, out_trade_no: str) -> int:
    """Place an order by its merchant and number, which are thereby unique in a bucket."""
    return crc32(merchant.bytes + out_trade_no.encode()) % BUCKETS


def refuse_other_content(trade: Trade, asked: NewTrade) -> XinghanError | None:
    """Say how an order differs from the one that has its number; None: it is the same."""
    same = (trade.total_minor, trade.currency, trade.subject) == (
        asked.total.amount_minor,
        asked.total.currency.code,
        asked.subject,
    )
    if not same or (asked.wanted_buyer is not None and trade.wanted_buyer != asked.wanted_buyer):
        return OrderDiffers(field="out_trade_no", out_trade_no=trade.out_trade_no)
    return None


def refuse_order_again(trade: Trade, asked: NewTrade, now: datetime) -> XinghanError | None:
    """Say why an order cannot be asked for once more; None: it still waits for its payer."""
    if (differs := refuse_other_content(trade, asked)) is not None:
        return differs
    if trade.paid_at is not None and trade.state is not TradeState.TRADE_CLOSED:
        return TradePaid(field="out_trade_no")
    if trade.state is TradeState.TRADE_CLOSED or trade.expires_at <= now:
        return TradeClosed(field="out_trade_no")
    return None


def refuse_payment(trade: Trade, payment: Payment, now: datetime) -> XinghanError | None:
    """Say why `payment` may not pay `trade`; None: it may."""
    if (
        isinstance(payment.order, NewTrade)
        and (differs := refuse_other_content(trade, payment.order)) is not None
    ):
        return differs
    if trade.state is TradeState.TRADE_CLOSED:
        return TradeClosed()
    if trade.paid_at is not None:
        return TradePaid()
    if trade.expires_at <= now:
        return TradeClosed()
    if trade.wanted_buyer is not None and trade.wanted_buyer != payment.buyer:
        return BuyerNotMatched(field="buyer_id")
    return None


def repeats_payment(trade: Trade, payment: Payment) -> bool:
    """Whether `payment` asks again for what it has already brought about."""
    if trade.buyer != payment.buyer or trade.state is TradeState.TRADE_CLOSED:
        return False
    return (
        not isinstance(payment.order, NewTrade)
        or refuse_other_content(trade, payment.order) is None
    )


def payment_legs(trade: Trade, payment: Payment) -> tuple[Leg, ...]:
    """Move the total to the merchant, and the fee from there."""
    total = Leg(payment.buyer_account, trade.seller_account, trade.total_minor)
    if not trade.fee_minor:
        return (total,)
    return (total, Leg(trade.seller_account, trade.fee_account, trade.fee_minor))


def payment_refusal(outcome: Outcome) -> XinghanError:
    """Translate the ledger's refusal of a payment."""
    match outcome:
        case Outcome.INSUFFICIENT_FUNDS:
            return BalanceInsufficient()
        case Outcome.FROZEN | Outcome.ACCOUNT_NOT_FOUND:
            return BuyerFrozen()
        case Outcome.CURRENCY_MISMATCH:
            return CurrencyRefused(field="total_amount")
        case _:
            return SellerBlocked()


def refuse_refund(
    trade: Trade | None, request: RefundRequest, now: datetime
) -> XinghanError | None:
    """Say why `request` may not be given back; None: it may."""
    if trade is None or trade.merchant != request.merchant:
        return TradeNotFound(field="out_trade_no")
    if trade.paid_at is None:
        return TradeClosed() if trade.state is TradeState.TRADE_CLOSED else TradeUnpaid()
    if trade.state is TradeState.TRADE_FINISHED or _refund_time_over(trade, now):
        return TradeFinished()
    if request.amount.currency.code != trade.currency:
        return CurrencyRefused(field="refund_currency")
    if request.amount.amount_minor > trade.total_minor - trade.refunded_minor:
        return (
            TradeClosed()
            if trade.state is TradeState.TRADE_CLOSED
            else RefundExceeds(field="refund_amount")
        )
    return None


def refuse_refund_again(amount_minor: int, request: RefundRequest) -> XinghanError | None:
    """Say whether a refund's number was used for another amount; None: it is the same refund."""
    if amount_minor != request.amount.amount_minor:
        return RefundDiffers(field="out_request_no")
    return None


def _refund_time_over(trade: Trade, now: datetime) -> bool:
    return trade.refundable_until is not None and trade.refundable_until <= now


def refund_fee_minor(trade: Trade, amount: Money) -> int:
    """Tell how much of the fee comes back with a refund, by the rule agreed with the order."""
    returned = returned_fee(trade.total, trade.fee, trade.refunded, amount, trade.fee_plan)
    return returned.amount_minor


def refund_legs(trade: Trade, amount_minor: int, fee_minor: int) -> tuple[Leg, ...]:
    """Move the fee's part back to the merchant, then the refund to the payer."""
    assert trade.buyer_account is not None  # noqa: S101 (a paid trade names its payer, by a constraint)
    refund = Leg(trade.seller_account, trade.buyer_account, amount_minor)
    return (
        (Leg(trade.fee_account, trade.seller_account, fee_minor), refund)
        if fee_minor
        else (refund,)
    )


def refund_refusal(outcome: Outcome) -> XinghanError:
    """Translate the ledger's refusal of a refund."""
    if outcome is Outcome.INSUFFICIENT_FUNDS:
        return SellerBalanceInsufficient()
    return SellerBlocked()


def state_after_refund(trade: Trade, amount_minor: int) -> TradeState:
    """Close a trade whose whole amount has been given back; otherwise leave it."""
    if trade.refunded_minor + amount_minor == trade.total_minor:
        return TradeState.TRADE_CLOSED
    return trade.state


def refuse_close(trade: Trade | None, merchant: MerchantId) -> XinghanError | None:
    """Say why a merchant may not close a trade; None: it may, or it is closed already."""
    if trade is None or trade.merchant != merchant:
        return TradeNotFound(field="out_trade_no")
    return TradeNotClosable() if trade.paid_at is not None else None


def refundable_until(paid_at: datetime) -> datetime:
    """Give the end of the time for refunds."""
    return paid_at + timedelta(days=REFUND_DAYS)


def money_of(trade: Trade, amount_minor: int) -> Money:
    """Give an amount in the trade's currency."""
    return Money(amount_minor, Currency.of(trade.currency))
