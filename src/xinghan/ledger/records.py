"""What the ledger's readers get: pages, statements, balances of the past, the trial balance.

Signs are the account's own: positive on its normal side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from xinghan.kit.ids import AccountId, PostingId
from xinghan.ledger.model import Kind

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items of a list, and the cursor with which to ask for the next; None: no more."""

    items: tuple[Item, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One entry of an account, and the whole account after it.

    `change_minor` is zero for what only holds or releases; `bucket`, `posting` and `leg` name the
    row of the journal, `amount_minor` and `counterparty` are what it says.
    """

    bucket: int
    posting: PostingId
    leg: int
    kind: Kind
    counterparty: AccountId
    amount_minor: int
    change_minor: int
    balance_minor: int
    available_minor: int
    refers_to: PostingId | None
    metadata: Mapping[str, object] | None
    event_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PastBalance:
    """An account as the ledger knew it at an instant."""

    balance_minor: int
    available_minor: int


@dataclass(frozen=True, slots=True)
class TrialLine:
    """All accounts of one kind and currency together."""

    kind: str
    debit_normal: bool
    accounts: int
    balance_minor: int
    debits_posted_minor: int
    credits_posted_minor: int


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """One currency at one moment: the debit-normal kinds balance the credit-normal ones."""

    currency: str
    lines: tuple[TrialLine, ...]

    @property
    def debit_total_minor(self) -> int:
        """What the debit-normal kinds hold."""
        return sum(line.balance_minor for line in self.lines if line.debit_normal)

    @property
    def credit_total_minor(self) -> int:
        """What the credit-normal kinds hold."""
        return sum(line.balance_minor for line in self.lines if not line.debit_normal)

    @property
    def balanced(self) -> bool:
        """Whether both totals are equal, as they always must be."""
        return self.debit_total_minor == self.credit_total_minor
