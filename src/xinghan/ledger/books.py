"""What was read for one batch, as it is after the requests judged so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from xinghan.kit.ids import AccountId
from xinghan.ledger.model import (
    TURNOVER_MAX_MINOR,
    Kind,
    Leg,
    Movement,
    Outcome,
    Request,
    Result,
)


class Counters:
    """One locked row of an account, as it is after the requests judged so far."""

    __slots__ = (
        "account",
        "bucket",
        "ceiling",
        "closed",
        "credits_pending",
        "credits_posted",
        "credits_refused",
        "debit_normal",
        "debits_pending",
        "debits_posted",
        "debits_refused",
        "floor",
        "version",
    )

    def __init__(  # noqa: PLR0913, PLR0917 (one row of the table has these columns)
        self,
        account: AccountId,
        bucket: int,
        flags: int,
        floor: int | None,
        ceiling: int | None,
        posted: tuple[int, int],
        pending: tuple[int, int],
        version: int,
    ) -> None:
        self.account = account
        self.bucket = bucket
        self.debit_normal = bool(flags & 1)
        self.debits_refused = bool(flags & 2)
        self.credits_refused = bool(flags & 4)
        self.closed = bool(flags & 8)
        self.floor = floor
        self.ceiling = ceiling
        self.debits_posted, self.credits_posted = posted
        self.debits_pending, self.credits_pending = pending
        self.version = version

    def refuse_debit(self, amount: int) -> Outcome | None:
        """Say why the account may not be debited or held by `amount`; None: it may."""
        if self.closed:
            return Outcome.CLOSED
        if self.debits_refused:
            return Outcome.FROZEN
        return self.limit_debit(amount)

    def limit_debit(self, amount: int) -> Outcome | None:
        """Say which bound a debit or hold of `amount` would break; None: none."""
        if self.debits_posted + self.debits_pending + amount > TURNOVER_MAX_MINOR:
            return Outcome.CEILING_EXCEEDED
        if self.debit_normal:
            after = self.debits_posted - self.credits_posted + self.debits_pending + amount
            exceeded = self.ceiling is not None and after > self.ceiling
            return Outcome.CEILING_EXCEEDED if exceeded else None
        after = self.credits_posted - self.debits_posted - self.debits_pending - amount
        lacking = self.floor is not None and after < self.floor
        return Outcome.INSUFFICIENT_FUNDS if lacking else None

    def refuse_credit(self, amount: int) -> Outcome | None:
        """Say why the account may not be credited by `amount`; None: it may."""
        if self.closed:
            return Outcome.CLOSED
        if self.credits_refused:
            return Outcome.FROZEN
        return self.limit_credit(amount)

    def limit_credit(self, amount: int) -> Outcome | None:
        """Say which bound a credit of `amount`, now or after a hold, would break; None: none."""
        if self.credits_posted + self.credits_pending + amount > TURNOVER_MAX_MINOR:
            return Outcome.CEILING_EXCEEDED
        if self.debit_normal:
            after = self.debits_posted - self.credits_posted - self.credits_pending - amount
            lacking = self.floor is not None and after < self.floor
            return Outcome.INSUFFICIENT_FUNDS if lacking else None
        after = self.credits_posted - self.debits_posted + self.credits_pending + amount
        exceeded = self.ceiling is not None and after > self.ceiling
        return Outcome.CEILING_EXCEEDED if exceeded else None

    def snapshot(self) -> tuple[int, int, int, int, int]:
        """Remember the counters, for undoing."""
        return (
            self.debits_posted,
            self.credits_posted,
            self.debits_pending,
            self.credits_pending,
            self.version,
        )

    def restore(self, snapshot: tuple[int, int, int, int, int]) -> None:
        """Go back to what `snapshot` remembered."""
        (
            self.debits_posted,
            self.credits_posted,
            self.debits_pending,
            self.credits_pending,
            self.version,
        ) = snapshot


# One row for the journal, in the order of the arrays of `ledger.write_v1`.
JournalRow: TypeAlias = tuple[
    UUID,
    int,
    AccountId,
    AccountId,
    int,
    int,
    int,
    int,
    int,
    Kind | None,
    int | None,
    int | None,
    int | None,
    int | None,
    int | None,
    UUID | None,
    UUID | None,
    datetime | None,
    datetime | None,
    Mapping[str, object] | None,
]


@dataclass(slots=True)
class OpenHold:
    """What is left of one leg of a hold, as it is after the requests judged so far."""

    debit_bucket: int
    debit: AccountId
    credit_bucket: int
    credit: AccountId
    amount: int
    captured: int
    released: int
    expires_at: datetime | None

    @property
    def left(self) -> int:
        """What can still be captured or released."""
        return self.amount - self.captured - self.released


@dataclass(frozen=True, slots=True)
class Written:
    """One posting of the journal: to be read, compared with a repetition, or reversed.

    `refers_to` is the hold or posting that it captures, releases or reverses; `linked_to` the first
    posting of the group with which it stood or fell. `movements` say the balances after it.
    """

    bucket: int
    id: UUID
    kind: Kind
    legs: tuple[Leg, ...]
    leg_numbers: tuple[int, ...]
    movements: tuple[Movement, ...]
    refers_to: UUID | None
    linked_to: UUID | None
    event_at: datetime | None
    expires_at: datetime | None
    metadata: Mapping[str, object] | None
    created_at: datetime
    reversed: bool


@dataclass(slots=True)
class Books:
    """Everything read for one batch; keys of postings and holds begin with their bucket."""

    now: datetime
    accounts: dict[int, Counters]
    written: dict[tuple[int, UUID], Written] = field(default_factory=dict)
    holds: dict[tuple[int, UUID, int], OpenHold] = field(default_factory=dict)
    rows: list[JournalRow] = field(default_factory=list)
    judged: dict[tuple[int, UUID], tuple[Request, Result]] = field(default_factory=dict)
    reversed: set[tuple[int, UUID]] = field(default_factory=set)

    def is_reversed(self, bucket: int, posting: UUID) -> bool:
        """Whether a posting has been reversed, before or in this batch."""
        before = self.written.get((bucket, posting))
        return (before is not None and before.reversed) or (bucket, posting) in self.reversed
