"""What the payments room's API answers: each type is one shape of its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from xinghan.kit.ids import ACCOUNT, MERCHANT, NOTIFICATION, PERSON, REFUND, TRADE
from xinghan.kit.native import Answer
from xinghan.kit.native_types import (
    AccountText,
    Instant,
    MerchantText,
    NotificationText,
    PersonText,
    RefundText,
    TradeText,
    decimal_of,
)
from xinghan.kit.numbering import trade_no
from xinghan.payments.listing import Told, TradeRecord
from xinghan.payments.model import (
    Attempt,
    Event,
    EventKind,
    Notification,
    Refund,
    Trade,
    TradeState,
)

TRADE_COLUMNS: Final = (
    *("created_at", "trade_no", "out_trade_no", "merchant", "subject", "state", "total"),
    *("refunded", "currency", "buyer", "paid_at", "closed_at", "id"),
)
NOTIFICATION_COLUMNS: Final = (
    *("created_at", "id", "trade", "app_id", "url", "attempts", "delivered_at", "next_attempt_at"),
)


class OrderAnswer(Answer):
    """What anybody who holds an order's code may know of it."""

    subject: str = Field(examples=["A pot of oolong"])
    state: TradeState
    currency: str = Field(examples=["CNY"])
    total_minor: int = Field(examples=[2800])
    total: str = Field(examples=["28.00"])
    refunded_minor: int
    refunded: str
    created_at: Instant
    expires_at: Instant
    paid_at: Instant | None
    closed_at: Instant | None

    @classmethod
    def of(cls, trade: Trade) -> OrderAnswer:
        """Show an order."""
        return cls.model_construct(
            subject=trade.subject,
            state=trade.state,
            currency=trade.currency,
            total_minor=trade.total_minor,
            total=decimal_of(trade.total_minor, trade.currency),
            refunded_minor=trade.refunded_minor,
            refunded=decimal_of(trade.refunded_minor, trade.currency),
            created_at=trade.created_at,
            expires_at=trade.expires_at,
            paid_at=trade.paid_at,
            closed_at=trade.closed_at,
        )


class TradeAnswer(OrderAnswer):
    """A trade as the operator sees it."""

    id: TradeText
    trade_no: str = Field(description="The number that shops know.")
    out_trade_no: str = Field(description="The shop's own number.")
    merchant: MerchantText
    app_id: str
    buyer: PersonText | None
    buyer_account: AccountText | None
    seller_account: AccountText
    fee_minor: int
    fee_returned_minor: int
    refundable_until: Instant | None

    @classmethod
    def of(cls, trade: Trade) -> TradeAnswer:
        """Show a trade."""
        return cls.model_construct(
            **dict(OrderAnswer.of(trade)),
            id=TRADE.show(trade.id),
            trade_no=trade_no(trade.id),
            out_trade_no=trade.out_trade_no,
            merchant=MERCHANT.show(trade.merchant),
            app_id=trade.app_id,
            buyer=PERSON.show(trade.buyer) if trade.buyer else None,
            buyer_account=(ACCOUNT.show(trade.buyer_account) if trade.buyer_account else None),
            seller_account=ACCOUNT.show(trade.seller_account),
            fee_minor=trade.fee_minor,
            fee_returned_minor=trade.fee_returned_minor,
            refundable_until=trade.refundable_until,
        )


class TradesAnswer(Answer):
    """A page of trades."""

    items: list[TradeAnswer]
    next_cursor: str | None


class EventAnswer(Answer):
    """One thing that happened to a trade, and who caused it."""

    kind: EventKind
    actor: str
    detail: Mapping[str, Any]
    created_at: Instant

    @classmethod
    def of(cls, event: Event) -> EventAnswer:
        """Show an event."""
        return cls.model_construct(
            kind=event.kind, actor=event.actor, detail=event.detail, created_at=event.created_at
        )


class RefundAnswer(Answer):
    """Money that went back."""

    id: RefundText
    out_request_no: str
    amount_minor: int
    amount: str
    fee_returned_minor: int
    reason: str | None
    cancels: bool = Field(description="Whether it cancelled the trade.")
    created_at: Instant

    @classmethod
    def of(cls, refund: Refund, currency: str) -> RefundAnswer:
        """Show a refund."""
        return cls.model_construct(
            id=REFUND.show(refund.id),
            out_request_no=refund.out_request_no,
            amount_minor=refund.amount_minor,
            amount=decimal_of(refund.amount_minor, currency),
            fee_returned_minor=refund.fee_returned_minor,
            reason=refund.reason,
            cancels=refund.cancels,
            created_at=refund.created_at,
        )


class AttemptAnswer(Answer):
    """One try to tell a shop; `outcome` null: under way, or cut short by a crash."""

    number: int
    started_at: Instant
    outcome: str | None
    http_status: int | None
    answer: str | None
    elapsed_milliseconds: int | None

    @classmethod
    def of(cls, attempt: Attempt) -> AttemptAnswer:
        """Show a try."""
        return cls.model_construct(
            number=attempt.number,
            started_at=attempt.started_at,
            outcome=attempt.outcome,
            http_status=attempt.http_status,
            answer=attempt.answer,
            elapsed_milliseconds=attempt.elapsed_milliseconds,
        )


class NotificationAnswer(Answer):
    """What a shop is told, and how far that has come."""

    id: NotificationText
    trade: TradeText
    app_id: str
    url: str
    created_at: Instant
    next_attempt_at: Instant | None = Field(description="Null: delivered, or given up.")
    delivered_at: Instant | None
    attempts: int

    @classmethod
    def of(cls, notification: Notification) -> NotificationAnswer:
        """Show a notification without its tries."""
        return cls.model_construct(
            id=NOTIFICATION.show(notification.id),
            trade=TRADE.show(notification.trade),
            app_id=notification.app_id,
            url=notification.url,
            created_at=notification.created_at,
            next_attempt_at=notification.next_attempt_at,
            delivered_at=notification.delivered_at,
            attempts=notification.attempts,
        )


class NotificationsAnswer(Answer):
    """A page of notifications."""

    items: list[NotificationAnswer]
    next_cursor: str | None


class ToldAnswer(NotificationAnswer):
    """A notification with every try."""

    tries: list[AttemptAnswer]

    @classmethod
    def with_tries(cls, told: Told) -> ToldAnswer:
        """Show a notification with its tries."""
        tries = [AttemptAnswer.of(attempt) for attempt in told.attempts]
        return cls.model_construct(**dict(NotificationAnswer.of(told.notification)), tries=tries)


class TradeRecordAnswer(TradeAnswer):
    """A trade with everything that happened to it."""

    timeline: list[EventAnswer]
    refunds: list[RefundAnswer]
    notifications: list[ToldAnswer]

    @classmethod
    def of_record(cls, record: TradeRecord) -> TradeRecordAnswer:
        """Show all that is known of a trade."""
        return cls.model_construct(
            **dict(TradeAnswer.of(record.trade)),
            timeline=[EventAnswer.of(event) for event in record.events],
            refunds=[RefundAnswer.of(one, record.trade.currency) for one in record.refunds],
            notifications=[ToldAnswer.with_tries(told) for told in record.told],
        )


def trade_row(trade: TradeAnswer) -> Sequence[object]:
    """Give a trade as a row of TRADE_COLUMNS."""
    return [_cell(getattr(trade, name)) for name in TRADE_COLUMNS]


def notification_row(notification: NotificationAnswer) -> Sequence[object]:
    """Give a notification as a row of NOTIFICATION_COLUMNS."""
    return [_cell(getattr(notification, name)) for name in NOTIFICATION_COLUMNS]


def _cell(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
