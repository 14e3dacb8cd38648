"""What the ledger's API answers: each type is one shape of its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field

from xinghan.kit.i18n import Language, text
from xinghan.kit.ids import ACCOUNT, POSTING, PostingId
from xinghan.kit.money import Currency
from xinghan.kit.native import Answer
from xinghan.kit.native_types import (
    AccountText,
    Instant,
    PostingText,
    decimal_of,
)
from xinghan.ledger.bodies import CurrencyCode, KindName
from xinghan.ledger.books import Written
from xinghan.ledger.model import (
    Balance,
    Movement,
    Outcome,
    Result,
)
from xinghan.ledger.numbers import currency_numeric_of
from xinghan.ledger.records import StatementLine, TrialBalance

ENTRY_COLUMNS: Final = (
    *("created_at", "event_at", "kind", "posting", "bucket", "leg", "counterparty"),
    *("change", "balance", "available", "currency"),
)
ACCOUNT_COLUMNS: Final = (
    *("account", "kind", "currency", "balance", "available", "entries", "frozen", "closed"),
)


class FrozenAnswer(Answer):
    """Which sides of an account are refused."""

    debits: bool
    credits: bool


class AccountAnswer(Answer):
    """An account now, with its own sign: positive on its normal side."""

    id: AccountText
    currency: CurrencyCode
    kind: KindName
    balance_minor: int = Field(description="In minor units.", examples=[100000])
    balance: str = Field(description="The same for reading.", examples=["1000.00"])
    available_minor: int = Field(description="The balance less what holds keep back.")
    available: str
    debits_posted_minor: int
    credits_posted_minor: int
    debits_pending_minor: int
    credits_pending_minor: int
    version: int = Field(description="Entries so far.")
    frozen: FrozenAnswer
    closed: bool

    @classmethod
    def of(cls, balance: Balance) -> AccountAnswer:
        """Show an account."""
        return cls(
            id=ACCOUNT.show(balance.account),
            currency=balance.currency,
            kind=balance.kind,
            balance_minor=balance.balance_minor,
            balance=decimal_of(balance.balance_minor, balance.currency),
            available_minor=balance.available_minor,
            available=decimal_of(balance.available_minor, balance.currency),
            debits_posted_minor=balance.debits_posted_minor,
            credits_posted_minor=balance.credits_posted_minor,
            debits_pending_minor=balance.debits_pending_minor,
            credits_pending_minor=balance.credits_pending_minor,
            version=balance.version,
            frozen=FrozenAnswer(debits=balance.debits_refused, credits=balance.credits_refused),
            closed=balance.closed,
        )


class AccountsAnswer(Answer):
    """A page of accounts."""

    items: list[AccountAnswer]
    next_cursor: str | None


class EntryAnswer(Answer):
    """One entry of an account, and the whole account after it."""

    bucket: int
    posting: PostingText
    leg: int
    kind: str = Field(examples=["post"])
    counterparty: AccountText
    amount_minor: int = Field(description="What the journal's row says.")
    change_minor: int = Field(description="Zero for what only holds or releases.")
    change: str
    balance_minor: int
    balance: str
    available_minor: int
    available: str
    refers_to: PostingText | None
    metadata: Mapping[str, Any] | None
    event_at: Instant | None
    created_at: Instant

    @classmethod
    def of(cls, line: StatementLine, currency: str) -> EntryAnswer:
        """Show a line of a statement."""
        return cls.model_construct(
            bucket=line.bucket,
            posting=POSTING.show(line.posting),
            leg=line.leg,
            kind=line.kind.name.lower(),
            counterparty=ACCOUNT.show(line.counterparty),
            amount_minor=line.amount_minor,
            change_minor=line.change_minor,
            change=decimal_of(line.change_minor, currency),
            balance_minor=line.balance_minor,
            balance=decimal_of(line.balance_minor, currency),
            available_minor=line.available_minor,
            available=decimal_of(line.available_minor, currency),
            refers_to=_posting_text(line.refers_to),
            metadata=line.metadata,
            event_at=line.event_at,
            created_at=line.created_at,
        )


class StatementAnswer(Answer):
    """A page of an account's statement."""

    account: AccountText
    currency: CurrencyCode
    items: list[EntryAnswer]
    next_cursor: str | None


class BalanceAnswer(Answer):
    """What an account held at an instant."""

    account: AccountText
    currency: CurrencyCode
    at: Instant
    by: Literal["ledger", "world"]
    balance_minor: int
    balance: str
    available_minor: int | None = Field(description="Known by the ledger's time only.")
    available: str | None


class MovementAnswer(Answer):
    """One leg after it was posted, with the balances of both sides after it."""

    leg: int
    debit: AccountText
    credit: AccountText
    currency: CurrencyCode
    amount_minor: int
    amount: str
    debit_balance_minor: int
    debit_available_minor: int
    credit_balance_minor: int
    credit_available_minor: int

    @classmethod
    def of(cls, movement: Movement) -> MovementAnswer:
        """Show a movement."""
        currency = Currency.numbered(currency_numeric_of(movement.debit)).code
        return cls(
            leg=movement.leg,
            debit=ACCOUNT.show(movement.debit),
            credit=ACCOUNT.show(movement.credit),
            currency=currency,
            amount_minor=movement.amount_minor,
            amount=decimal_of(movement.amount_minor, currency),
            debit_balance_minor=movement.debit_balance_minor,
            debit_available_minor=movement.debit_available_minor,
            credit_balance_minor=movement.credit_balance_minor,
            credit_available_minor=movement.credit_available_minor,
        )


class ResultAnswer(Answer):
    """What became of one request."""

    id: PostingText
    bucket: int = Field(description="A capture, release or reversal has to name it.")
    outcome: Outcome
    done: bool = Field(description="Whether the money has moved, now or before.")
    message: str = Field(description="The outcome for people, in the reader's language.")
    created_at: Instant | None
    movements: list[MovementAnswer]

    @classmethod
    def of(cls, result: Result, language: Language) -> ResultAnswer:
        """Show a result."""
        return cls.model_construct(
            id=POSTING.show(PostingId(result.id)),
            bucket=result.bucket,
            outcome=result.outcome,
            done=result.done,
            message=text(f"outcome_{result.outcome}", language),
            created_at=result.created_at,
            movements=[MovementAnswer.of(movement) for movement in result.movements],
        )


class ResultsAnswer(Answer):
    """One result for each request, in the same order."""

    results: list[ResultAnswer]


class PostingAnswer(Answer):
    """One posting as it stands in the journal."""

    id: PostingText
    bucket: int
    kind: str = Field(examples=["post"])
    movements: list[MovementAnswer]
    refers_to: PostingText | None
    event_at: Instant | None
    expires_at: Instant | None
    created_at: Instant
    metadata: Mapping[str, Any] | None
    reversed: bool

    @classmethod
    def of(cls, written: Written) -> PostingAnswer:
        """Show a posting."""
        return cls.model_construct(
            id=POSTING.show(PostingId(written.id)),
            bucket=written.bucket,
            kind=written.kind.name.lower(),
            movements=[MovementAnswer.of(movement) for movement in written.movements],
            refers_to=_posting_text(written.refers_to),
            event_at=written.event_at,
            expires_at=written.expires_at,
            created_at=written.created_at,
            metadata=written.metadata,
            reversed=written.reversed,
        )


class PostingsAnswer(Answer):
    """A page of postings."""

    items: list[PostingAnswer]
    next_cursor: str | None


class TrialLineAnswer(Answer):
    """All accounts of one kind and currency together."""

    kind: KindName
    debit_normal: bool
    accounts: int
    balance_minor: int
    balance: str


class TrialBalanceAnswer(Answer):
    """One currency at one moment."""

    currency: CurrencyCode
    balanced: bool = Field(description="Whether both totals are equal, as they always must be.")
    debit_total_minor: int
    credit_total_minor: int
    lines: list[TrialLineAnswer]

    @classmethod
    def of(cls, trial: TrialBalance) -> TrialBalanceAnswer:
        """Show a currency's trial balance."""
        return cls(
            currency=trial.currency,
            balanced=trial.balanced,
            debit_total_minor=trial.debit_total_minor,
            credit_total_minor=trial.credit_total_minor,
            lines=[
                TrialLineAnswer(
                    kind=line.kind,
                    debit_normal=line.debit_normal,
                    accounts=line.accounts,
                    balance_minor=line.balance_minor,
                    balance=decimal_of(line.balance_minor, trial.currency),
                )
                for line in trial.lines
            ],
        )


class TrialBalancesAnswer(Answer):
    """Every currency's trial balance at one moment."""

    currencies: list[TrialBalanceAnswer]


class HeadAnswer(Answer):
    """One block of the chain with its signed head; bytes in hexadecimal, times in microseconds."""

    number: int
    system_identifier: int
    after_transaction: int
    last_transaction: int
    created_after_us: int
    created_until_us: int
    postings: int
    root: str
    previous: str
    head: str = Field(description="SHA-256 over the block and the head before it.")
    public_key: str = Field(description="Ed25519.")
    signature: str


class HeadsAnswer(Answer):
    """Blocks in order."""

    items: list[HeadAnswer]
    next_cursor: str | None


class ProofAnswer(Answer):
    """For each leg, all that somebody needs who has only the signer's public key."""

    proofs: list[dict[str, Any]]


def _posting_text(posting: UUID | None) -> str | None:
    return POSTING.show(PostingId(posting)) if posting else None


def account_row(account: AccountAnswer) -> Sequence[object]:
    """Give an account as a row of ACCOUNT_COLUMNS."""
    frozen = " ".join(side for side, refused in account.frozen if refused)
    return (
        *(account.id, account.kind, account.currency, account.balance, account.available),
        *(account.version, frozen, account.closed),
    )


def entry_row(entry: EntryAnswer, currency: str) -> Sequence[object]:
    """Give an entry as a row of ENTRY_COLUMNS."""
    return (
        entry.created_at.isoformat(),
        entry.event_at and entry.event_at.isoformat(),
        *(entry.kind, entry.posting, entry.bucket, entry.leg, entry.counterparty),
        *(entry.change, entry.balance, entry.available, currency),
    )
