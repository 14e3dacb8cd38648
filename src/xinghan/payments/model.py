"""What the payments room speaks of: trades, refunds, their events, and why it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from xinghan.kit.errors import Conflict, Invalid, NotFound, Refused, TooMany
from xinghan.kit.ids import (
    AccountId,
    DeviceId,
    MerchantId,
    NotificationId,
    PersonId,
    RefundId,
    TradeId,
)
from xinghan.kit.money import Currency, Money, Rounding
from xinghan.payments.fees import FeeOnRefund, FeePlan


class TradeState(StrEnum):
    """Where a trade stands; the names are the gateway's own."""

    WAIT_BUYER_PAY = "WAIT_BUYER_PAY"
    TRADE_SUCCESS = "TRADE_SUCCESS"
    TRADE_FINISHED = "TRADE_FINISHED"
    TRADE_CLOSED = "TRADE_CLOSED"


class EventKind(StrEnum):
    """What can happen to a trade."""

    CREATED = "created"
    PAID = "paid"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"
    CLOSED = "closed"
    EXPIRED = "expired"
    FINISHED = "finished"
    RESENT = "resent"


@dataclass(frozen=True, slots=True)
class Trade:
    """An order and what became of it; the fee is agreed when the order is made."""

    bucket: int
    id: TradeId
    merchant: MerchantId
    out_trade_no: str
    app_id: str
    state: TradeState
    subject: str
    currency: str
    total_minor: int
    seller_account: AccountId
    fee_account: AccountId
    fee_bps: int
    fee_rounding: Rounding
    fee_on_refund: FeeOnRefund
    fee_minor: int
    details: Mapping[str, object]
    notify_url: str | None
    wanted_buyer: PersonId | None
    created_at: datetime
    expires_at: datetime
    buyer: PersonId | None = None
    buyer_account: AccountId | None = None
    refunded_minor: int = 0
    fee_returned_minor: int = 0
    paid_at: datetime | None = None
    refundable_until: datetime | None = None
    closed_at: datetime | None = None

    @property
    def total(self) -> Money:
        """The order's amount."""
        return Money(self.total_minor, Currency.of(self.currency))

    @property
    def refunded(self) -> Money:
        """What has been given back so far."""
        return Money(self.refunded_minor, Currency.of(self.currency))

    @property
    def fee(self) -> Money:
        """What the merchant pays for the payment."""
        return Money(self.fee_minor, Currency.of(self.currency))

    @property
    def fee_plan(self) -> FeePlan:
        """The terms that were in force when the order was made."""
        return FeePlan(self.fee_bps, self.fee_rounding, on_refund=self.fee_on_refund)


@dataclass(frozen=True, slots=True)
class NewTrade:
    """An order that a shop asks for. `details` are kept and shown, and decide nothing.

    The same merchant and `out_trade_no` name the same order for ever; `total`, `subject` and
    `wanted_buyer` then have to be the same.
    """

    merchant: MerchantId
    app_id: str
    out_trade_no: str
    subject: str
    total: Money
    seller_account: AccountId
    fee_account: AccountId
    fee_plan: FeePlan
    expires_at: datetime
    details: Mapping[str, object]
    notify_url: str | None = None
    wanted_buyer: PersonId | None = None


@dataclass(frozen=True, slots=True)
class CodeUse:
    """A payer's code that was checked: the device's code of one half minute."""

    bucket: int
    device: DeviceId
    step: int


@dataclass(frozen=True, slots=True)
class Payment:
    """Somebody pays: an order that stands (its id), or one that is made and paid at once.

    `merchant` limits an existing order to one merchant's; `code` is the payer's code that a shop
    scanned, which then works no second time.
    """

    order: NewTrade | TradeId
    buyer: PersonId
    buyer_account: AccountId
    actor: str
    code: CodeUse | None = None


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """A shop gives money back: all of it or a part, several times, each under its own number."""

    trade: TradeId
    merchant: MerchantId
    out_request_no: str
    amount: Money
    actor: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that went back to the payer; `cancels` when the whole trade was cancelled."""

    bucket: int
    trade: TradeId
    out_request_no: str
    id: RefundId
    amount_minor: int
    fee_returned_minor: int
    reason: str | None
    cancels: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Refunded:
    """The trade after a refund, and whether money moved now (or had moved before, for a repeat)."""

    trade: Trade
    refund: Refund
    moved_now: bool


class CancelAction(StrEnum):
    """What cancelling did: closed an unpaid trade, gave a paid one back, or found nothing to do."""

    CLOSE = "close"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of a cancelled trade; `action` None: it was closed already."""

    trade: Trade
    action: CancelAction | None


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a trade, by whom."""

    bucket: int
    trade: TradeId
    id: UUID
    kind: EventKind
    actor: str
    detail: Mapping[str, object]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Notification:
    """What a shop has to be told: `content` is the trade as it was when this became true."""

    bucket: int
    id: NotificationId
    trade: TradeId
    app_id: str
    url: str
    content: Mapping[str, object]
    created_at: datetime
    next_attempt_at: datetime | None
    attempts: int = 0
    delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver a notification; `outcome` None: under way, or cut short by a crash."""

    number: int
    started_at: datetime
    outcome: str | None
    http_status: int | None
    answer: str | None
    elapsed_milliseconds: int | None


class TradeNotFound(NotFound):
    """This merchant has no such trade."""

    code = "trade_not_found"
    sub_code = "ACQ.TRADE_NOT_EXIST"


class OrderCodeUnknown(NotFound):
    """The token is of no order's code."""

    code = "order_code_unknown"
    sub_code = "ACQ.TRADE_NOT_EXIST"


class OrderDiffers(Conflict):
    """The merchant's number was used for an order with other content."""

    code = "order_differs"
    sub_code = "ACQ.CONTEXT_INCONSISTENT"


class TradePaid(Conflict):
    """The trade has been paid, and not by this request."""

    code = "trade_paid"
    sub_code = "ACQ.TRADE_HAS_SUCCESS"


class TradeClosed(Conflict):
    """The trade is closed: its time ran out, or it was closed, cancelled or given back."""

    code = "trade_closed"
    sub_code = "ACQ.TRADE_HAS_CLOSE"


class TradeFinished(Conflict):
    """The time for refunds is over."""

    code = "trade_finished"
    sub_code = "ACQ.TRADE_HAS_FINISHED"


class TradeUnpaid(Conflict):
    """The trade has not been paid, so there is nothing to give back."""

    code = "trade_unpaid"
    sub_code = "ACQ.TRADE_STATUS_ERROR"


class TradeNotClosable(Conflict):
    """Only an unpaid trade can be closed."""

    code = "trade_not_closable"
    sub_code = "ACQ.REASON_TRADE_STATUS_INVALID"


class BuyerNotMatched(Refused):
    """The order is for another payer."""

    code = "buyer_not_matched"
    sub_code = "ACQ.TRADE_BUYER_NOT_MATCH"


class BuyerNotFound(Refused):
    """No such payer."""

    code = "buyer_not_found"
    sub_code = "ACQ.BUYER_NOT_EXIST"


class BuyerFrozen(Refused):
    """The payer's account may not pay."""

    code = "buyer_frozen"
    sub_code = "ACQ.BUYER_ENABLE_STATUS_FORBID"


class BalanceInsufficient(Refused):
    """The payer's balance does not cover the order."""

    code = "balance_insufficient"
    sub_code = "ACQ.BUYER_BALANCE_NOT_ENOUGH"


class SellerBlocked(Refused):
    """The merchant's account may not take or give money."""

    code = "seller_blocked"
    sub_code = "ACQ.SELLER_BEEN_BLOCKED"


class SellerBalanceInsufficient(Refused):
    """The merchant's balance does not cover the refund."""

    code = "seller_balance_insufficient"
    sub_code = "ACQ.SELLER_BALANCE_NOT_ENOUGH"


class CodeInvalid(Refused):
    """The payer's code is wrong, too old or used."""

    code = "code_invalid"
    sub_code = "ACQ.PAYMENT_AUTH_CODE_INVALID"


class CodeGuessed(TooMany):
    """Too many wrong codes came from this shop or for this phone."""

    code = "code_guessed"
    sub_code = "ACQ.PAYMENT_AUTH_CODE_INVALID"


class RefundExceeds(Invalid):
    """The refund is more than what is left of the trade."""

    code = "refund_exceeds"
    sub_code = "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"


class RefundDiffers(Conflict):
    """The refund's number was used for another amount."""

    code = "refund_differs"
    sub_code = "ACQ.DISCORDANT_REPEAT_REQUEST"


class ExpiryPassed(Invalid):
    """The order would have to be paid before now."""

    code = "expiry_passed"
    sub_code = "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"


class CurrencyRefused(Invalid):
    """The payer's account is kept in another currency."""

    code = "currency_refused"
    sub_code = "ACQ.CURRENCY_NOT_SUPPORT"
