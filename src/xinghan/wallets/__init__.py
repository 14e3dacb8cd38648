"""Wallets: which account holds whose money, and play money in and out of a sandbox's wallets.

Every verb takes a connection and acts inside its caller's transaction.
"""

from xinghan.wallets.actions import (
    fetch_wallet_balance,
    open_merchant_account,
    open_wallet,
    platform_account,
    top_up,
    withdraw,
)
from xinghan.wallets.book import AccountBook
from xinghan.wallets.model import (
    AmountOutOfBounds,
    BalanceTooHigh,
    BalanceTooLow,
    IdUsedBefore,
    Moved,
    Purpose,
    WalletBalance,
    WalletClosed,
    WalletFrozen,
    WalletNotFound,
)

__all__ = [
    "AccountBook",
    "AmountOutOfBounds",
    "BalanceTooHigh",
    "BalanceTooLow",
    "IdUsedBefore",
    "Moved",
    "Purpose",
    "WalletBalance",
    "WalletClosed",
    "WalletFrozen",
    "WalletNotFound",
    "fetch_wallet_balance",
    "open_merchant_account",
    "open_wallet",
    "platform_account",
    "top_up",
    "withdraw",
]
