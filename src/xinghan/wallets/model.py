"""What the wallets room speaks of: whose account is for what, and why money is not moved."""

from dataclasses import dataclass
from enum import StrEnum

from xinghan.kit.errors import Conflict, Invalid, NotFound, Refused
from xinghan.kit.ids import AccountId, PostingId
from xinghan.kit.money import Money


class Purpose(StrEnum):
    """What an account of the platform itself is for."""

    SANDBOX_FUNDING = "sandbox_funding"
    FEE_INCOME = "fee_income"


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """What a person has in one currency; `available` is what holds do not keep back."""

    account: AccountId
    balance: Money
    available: Money


@dataclass(frozen=True, slots=True)
class Moved:
    """Money that came into a wallet or left it; `repeated` when it had moved before this call."""

    id: PostingId
    amount: Money
    balance: Money
    repeated: bool


class WalletNotFound(NotFound):
    """The person has no wallet in this currency."""

    code = "wallet_not_found"


class AmountOutOfBounds(Invalid):
    """An amount to move is at least one minor unit, and at most what a posting can carry."""

    code = "wallet_amount_out_of_bounds"


class BalanceTooLow(Refused):
    """The wallet has less than was asked for."""

    code = "wallet_balance_too_low"
    sub_code = "ACQ.BUYER_BALANCE_NOT_ENOUGH"


class BalanceTooHigh(Refused):
    """The wallet may not hold that much."""

    code = "wallet_balance_too_high"


class WalletFrozen(Refused):
    """The wallet is frozen for money in this direction."""

    code = "wallet_frozen"


class WalletClosed(Refused):
    """The wallet was closed."""

    code = "wallet_closed"


class IdUsedBefore(Conflict):
    """The id names another movement of money already."""

    code = "wallet_id_used_before"
