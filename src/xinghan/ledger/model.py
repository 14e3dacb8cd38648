"""What the ledger speaks of: accounts, requests to move money, and one result for each request.

Amounts are integers of minor units. An account's balance is given with the account's own sign:
positive on its normal side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from xinghan.kit.errors import Conflict, Invalid, NotFound, Refused
from xinghan.kit.ids import AccountId, PostingId

BUCKETS: Final = 64
ACCOUNT_MAX: Final = 2**63 - 1
AMOUNT_MAX_MINOR: Final = 10**15
TURNOVER_MAX_MINOR: Final = 4 * 10**18  # all that one account's row is ever debited or credited
LEGS_MAX: Final = 100
METADATA_MAX_BYTES: Final = 4096


class Kind(IntEnum):
    """What a row of the journal does; the numbers are stored."""

    POST = 1
    HOLD = 2
    CAPTURE = 3
    RELEASE = 4
    EXPIRY = 5
    REVERSAL = 6


class Outcome(StrEnum):
    """What became of one request: `POSTED` moved money now, `EXISTS` before, the others never."""

    POSTED = "posted"
    EXISTS = "exists"
    EXISTS_WITH_OTHER_CONTENT = "exists_with_other_content"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    CEILING_EXCEEDED = "ceiling_exceeded"
    FROZEN = "frozen"
    CLOSED = "closed"
    ACCOUNT_NOT_FOUND = "account_not_found"
    SAME_ACCOUNT = "same_account"
    CURRENCY_MISMATCH = "currency_mismatch"
    AMOUNT_OUT_OF_BOUNDS = "amount_out_of_bounds"
    LEGS_OUT_OF_BOUNDS = "legs_out_of_bounds"
    HOLD_NOT_FOUND = "hold_not_found"
    HOLD_EXPIRED = "hold_expired"
    HOLD_SPENT = "hold_spent"
    HOLD_EXCEEDED = "hold_exceeded"
    POSTING_NOT_FOUND = "posting_not_found"
    NOT_REVERSIBLE = "not_reversible"
    ALREADY_REVERSED = "already_reversed"
    LINKED_FAILED = "linked_failed"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Leg:
    """One amount from the debited to the credited account, both of one currency.

    A striped account takes part with its stripe in the posting's own bucket, unless a bucket is
    named (which only moving money between stripes needs).
    """

    debit: AccountId
    credit: AccountId
    amount_minor: int
    debit_bucket: int | None = None
    credit_bucket: int | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """Move money now. `id` is the caller's, for ever; `event_at` is the world's time of it."""

    id: PostingId
    legs: tuple[Leg, ...]
    event_at: datetime | None = None
    metadata: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep money back until captured, released, or `expires_at` by the database's clock."""

    id: PostingId
    legs: tuple[Leg, ...]
    expires_at: datetime | None = None
    event_at: datetime | None = None
    metadata: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Capture:
    """Take `amount_minor` of what leg `leg` of a hold keeps back, in one part or several."""

    id: PostingId
    hold: PostingId
    bucket: int
    amount_minor: int
    leg: int = 0
    event_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Give back `amount_minor` of what leg `leg` of a hold keeps back; None: all that is left.

    `expiry` marks the release that the platform makes when the hold's time is over.
    """

    id: PostingId
    hold: PostingId
    bucket: int
    amount_minor: int | None = None
    leg: int = 0
    expiry: bool = False


@dataclass(frozen=True, slots=True)
class Reverse:
    """Undo a `Post`, once, by a posting with its sides exchanged that names it."""

    id: PostingId
    posting: PostingId
    bucket: int
    event_at: datetime | None = None
    metadata: Mapping[str, object] | None = None


Request: TypeAlias = Post | Hold | Capture | Release | Reverse


class Movement(NamedTuple):
    """One leg after it was posted: the balances of both sides, each with its account's own sign."""

    leg: int
    debit: AccountId
    credit: AccountId
    amount_minor: int
    debit_balance_minor: int
    debit_available_minor: int
    credit_balance_minor: int
    credit_available_minor: int


class Result(NamedTuple):
    """What became of one request; `movements` is empty unless the outcome is `POSTED` or `EXISTS`.

    `bucket` is where the posting lives: a capture, release or reversal has to name it.
    """

    outcome: Outcome
    id: UUID
    bucket: int
    movements: tuple[Movement, ...] = ()
    created_at: datetime | None = None

    @property
    def done(self) -> bool:
        """Whether the money has moved, now or before."""
        return self.outcome in {Outcome.POSTED, Outcome.EXISTS}


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to open.

    `floor_minor` bounds what is available, `ceiling_minor` the balance; None: no bound. A striped
    account has one row in each bucket, each bounded by itself, so that many payers can pay
    it at once; only accounts of the platform and of merchants are striped.
    """

    currency: str
    kind: str
    debit_normal: bool = False
    floor_minor: int | None = 0
    ceiling_minor: int | None = None
    striped: bool = False
    bucket: int | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """An account now, with its own sign, summed over its stripes.

    `available_minor` is the balance less what holds keep back.
    """

    account: AccountId
    currency: str
    kind: str
    balance_minor: int
    available_minor: int
    debits_posted_minor: int
    credits_posted_minor: int
    debits_pending_minor: int
    credits_pending_minor: int
    version: int
    debits_refused: bool
    credits_refused: bool
    closed: bool


class AccountNotFound(NotFound):
    """No account has this number."""

    code = "account_not_found"


class AccountNotEmpty(Refused):
    """An account that still holds or owes money cannot be closed."""

    code = "account_not_empty"


class AccountClosed(Conflict):
    """A closed account stays as it is."""

    code = "account_closed"


class AccountBeyondLimit(Refused):
    """The account does not keep the asked limit now, so it cannot be set."""

    code = "account_beyond_limit"


class InsufficientFunds(Refused):
    """All stripes of the account together have too little."""

    code = "insufficient_funds"
    sub_code = "ACQ.SELLER_BALANCE_NOT_ENOUGH"


class PostingNotFound(NotFound):
    """No posting of this bucket has this id."""

    code = "posting_not_found"


class CursorMalformed(Invalid):
    """The text is not the cursor of this list."""

    code = "cursor_malformed"


class ExchangeMalformed(Invalid):
    """The accounts, amounts or rate of an exchange do not fit together."""

    code = "exchange_malformed"
