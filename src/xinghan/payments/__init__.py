"""Orders and what becomes of them: paying, refunding, closing, codes, and telling the shop."""

from xinghan.payments.desk import Payments
from xinghan.payments.model import (
    Cancelled,
    CodeUse,
    NewTrade,
    Payment,
    Refund,
    Refunded,
    RefundRequest,
    Trade,
    TradeState,
)

__all__ = [
    "Cancelled",
    "CodeUse",
    "NewTrade",
    "Payment",
    "Payments",
    "Refund",
    "RefundRequest",
    "Refunded",
    "Trade",
    "TradeState",
]
