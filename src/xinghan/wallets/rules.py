"""Which kind of ledger account each purpose has, and how a refusal of the ledger is told."""

from typing import Final

from xinghan.kit.errors import XinghanError
from xinghan.kit.money import Currency, Money
from xinghan.ledger.model import NewAccount, Outcome, Result
from xinghan.wallets.model import (
    AmountOutOfBounds,
    BalanceTooHigh,
    BalanceTooLow,
    IdUsedBefore,
    Purpose,
    WalletClosed,
    WalletFrozen,
)

_REFUSALS: Final[dict[Outcome, type[XinghanError]]] = {
    Outcome.AMOUNT_OUT_OF_BOUNDS: AmountOutOfBounds,
    Outcome.CEILING_EXCEEDED: BalanceTooHigh,
    Outcome.CLOSED: WalletClosed,
    Outcome.EXISTS_WITH_OTHER_CONTENT: IdUsedBefore,
    Outcome.FROZEN: WalletFrozen,
    Outcome.INSUFFICIENT_FUNDS: BalanceTooLow,
}


def wallet_account(bucket: int, currency: Currency) -> NewAccount:
    """Describe a person's account: what is available is never negative."""
    return NewAccount(currency.code, "wallet", bucket=bucket)


def merchant_account(currency: Currency) -> NewAccount:
    """Describe a merchant's account, on which many payers can pay at once."""
    return NewAccount(currency.code, "merchant_balance", striped=True)


def platform_account(purpose: Purpose, currency: Currency) -> NewAccount:
    """Describe an account of the platform.

    The funding account stands for play money that came from outside: an asset that may go below
    zero in a stripe when more is withdrawn there than was topped up.
    """
    if purpose is Purpose.SANDBOX_FUNDING:
        return NewAccount(
            currency.code, purpose.value, debit_normal=True, floor_minor=None, striped=True
        )
    return NewAccount(currency.code, purpose.value, striped=True)


def refusal_of(result: Result, amount: Money) -> XinghanError:
    """Give the error that tells a person why the ledger did not move the money."""
    refusal = _REFUSALS.get(result.outcome)
    if refusal is None:
        raise ValueError(f"the ledger answered {result.outcome} to a posting between own accounts")
    return refusal(field="amount", amount=str(amount))
