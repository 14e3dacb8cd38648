"""Judges postings one by one against the balances that were read: pure, no database, no clock.

Each accepted leg moves the counters held here, so that the next request sees them. What is refused
leaves them as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, datetime
from decimal import Decimal
from typing import Final, TypeAlias
from uuid import UUID

import msgspec

from xinghan.kit.ids import AccountId
from xinghan.ledger.model import (
    ACCOUNT_MAX,
    AMOUNT_MAX_MINOR,
    BUCKETS,
    LEGS_MAX,
    METADATA_MAX_BYTES,
    TURNOVER_MAX_MINOR,
    Capture,
    Hold,
    Kind,
    Leg,
    Movement,
    Outcome,
    Post,
    Release,
    Request,
    Result,
    Reverse,
)
from xinghan.ledger.numbers import STRIPED, row_key, same_currency


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


def well_formed(request: Request) -> bool:
    """Whether a request can be read; what cannot would fail its neighbours in the database."""
    if not isinstance(request.id, UUID):
        return False
    if isinstance(request, Post | Hold):
        if type(request.legs) is not tuple or not all(map(_leg_well_formed, request.legs)):
            return False
    elif not _reference_well_formed(request):
        return False
    if isinstance(request, Hold) and not _instant_well_formed(request.expires_at):
        return False
    if isinstance(request, Release):
        return True
    return _instant_well_formed(request.event_at) and (
        isinstance(request, Capture) or metadata_well_formed(request.metadata)
    )


def _leg_well_formed(leg: Leg) -> bool:
    return (
        type(leg) is Leg
        and type(leg.amount_minor) is int
        and type(leg.debit) is int
        and type(leg.credit) is int
        and 0 < leg.debit <= ACCOUNT_MAX
        and 0 < leg.credit <= ACCOUNT_MAX
        and (leg.debit_bucket is None or _bucket_well_formed(leg.debit_bucket))
        and (leg.credit_bucket is None or _bucket_well_formed(leg.credit_bucket))
    )


def _reference_well_formed(request: Capture | Release | Reverse) -> bool:
    if not _bucket_well_formed(request.bucket):
        return False
    if isinstance(request, Reverse):
        return _is_uuid(request.posting)
    amount = request.amount_minor
    return (
        _is_uuid(request.hold)
        and (type(amount) is int or (amount is None and isinstance(request, Release)))
        and type(request.leg) is int
        and 0 <= request.leg < LEGS_MAX
    )


def _is_uuid(value: object) -> bool:
    return isinstance(value, UUID)


def _bucket_well_formed(bucket: object) -> bool:
    return type(bucket) is int and 0 <= bucket < BUCKETS


def _instant_well_formed(instant: object) -> bool:
    # The first and last year may lie outside of the calendar in another time zone.
    return instant is None or (
        isinstance(instant, datetime)
        and instant.utcoffset() is not None
        and MINYEAR < instant.year < MAXYEAR
    )


def metadata_well_formed(metadata: Mapping[str, object] | None) -> bool:
    if metadata is None:
        return True
    try:
        text = msgspec.json.encode(metadata)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    # PostgreSQL's JSONB cannot hold the null character.
    return text[:1] == b"{" and len(text) <= METADATA_MAX_BYTES and b"\\u0000" not in text


def judge_batch(
    books: Books, groups: Sequence[Sequence[tuple[int, Request]]]
) -> list[list[Result]]:
    """Judge groups of (bucket, request) in order; each group stands or falls together."""
    return [
        [judge_alone(books, *group[0])] if len(group) == 1 else judge_linked(books, group)
        for group in groups
    ]


def judge_alone(
    books: Books, bucket: int, request: Request, linked_to: UUID | None = None
) -> Result:
    """Judge one request by itself and, if it is accepted, add its rows."""
    key = (bucket, request.id)
    if (before := books.written.get(key)) is not None:
        return _repeat(bucket, request, before)
    if (twin := books.judged.get(key)) is not None:
        return _repeat_in_batch(books, bucket, request, *twin)
    result = _accept(books, bucket, request, linked_to)
    if result.outcome is Outcome.POSTED:
        books.judged[key] = (request, result)
    return result


def judge_linked(books: Books, group: Sequence[tuple[int, Request]]) -> list[Result]:
    """Judge a linked group: all are posted, or none is and the one at fault says why.

    A group that was posted before answers `EXISTS` for each; a mixture of old and new is refused.
    """
    keys = [(bucket, request.id) for bucket, request in group]
    old = [key in books.written or key in books.judged for key in keys]
    if any(old) and not all(old):
        return _fail_linked(group, old.index(True), Outcome.EXISTS_WITH_OTHER_CONTENT)
    rows_before = len(books.rows)
    undo = _Undo(books)
    results: list[Result] = []
    for place, (bucket, request) in enumerate(group):
        undo.remember(bucket, request)
        result = judge_alone(books, bucket, request, linked_to=group[0][1].id)
        if not result.done:
            undo.back()
            del books.rows[rows_before:]
            if not old[0]:
                for key in keys[:place]:  # an id may stand twice in a group
                    books.judged.pop(key, None)
            return _fail_linked(group, place, result.outcome)
        results.append(result)
    return results


def _fail_linked(
    group: Sequence[tuple[int, Request]], place: int, outcome: Outcome
) -> list[Result]:
    return [
        Result(outcome if here == place else Outcome.LINKED_FAILED, request.id, bucket)
        for here, (bucket, request) in enumerate(group)
    ]


class _Undo:
    """Remembers what a linked group is about to touch."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.counters: dict[int, tuple[int, int, int, int, int]] = {}
        self.holds: dict[tuple[int, UUID, int], tuple[int, int] | None] = {}
        self.reversed = set(books.reversed)

    def remember(self, bucket: int, request: Request) -> None:
        for side, account in touched(self.books, bucket, request):
            key = row_key(account, side)
            if key in self.books.accounts and key not in self.counters:
                self.counters[key] = self.books.accounts[key].snapshot()
        for hold_key in _touched_holds(bucket, request):
            hold = self.books.holds.get(hold_key)
            self.holds.setdefault(hold_key, (hold.captured, hold.released) if hold else None)

    def back(self) -> None:
        self.books.reversed = self.reversed
        for key, snapshot in self.counters.items():
            self.books.accounts[key].restore(snapshot)
        for hold_key, parts in self.holds.items():
            if parts is None:
                self.books.holds.pop(hold_key, None)
            else:
                self.books.holds[hold_key].captured, self.books.holds[hold_key].released = parts


def touched(books: Books, bucket: int, request: Request) -> list[tuple[int, AccountId]]:
    """Give the account rows (bucket, account) that a request moves, as far as they are known."""
    if isinstance(request, Capture | Release):
        hold = books.holds.get((bucket, request.hold, request.leg))
        return [(hold.debit_bucket, hold.debit), (hold.credit_bucket, hold.credit)] if hold else []
    if isinstance(request, Reverse):
        original = _original(books, bucket, request.posting)
        legs = original[1] if original else ()
    else:
        legs = request.legs
    return touched_by_legs(legs, bucket)


def touched_by_legs(legs: Iterable[Leg], bucket: int) -> list[tuple[int, AccountId]]:
    """Give the rows (bucket, account) of a posting's legs, each leg's debit before its credit."""
    return [
        side
        for leg in legs
        for side in (
            (side_bucket(leg.debit, leg.debit_bucket, bucket), leg.debit),
            (side_bucket(leg.credit, leg.credit_bucket, bucket), leg.credit),
        )
    ]


def leg_keys(leg: Leg, bucket: int) -> tuple[int, int]:
    """Give the keys of the two account rows of a leg whose posting lives in `bucket`."""
    return (
        row_key(leg.debit, side_bucket(leg.debit, leg.debit_bucket, bucket)),
        row_key(leg.credit, side_bucket(leg.credit, leg.credit_bucket, bucket)),
    )


def side_bucket(account: AccountId, named: int | None, bucket: int) -> int:
    """Give the bucket of one side: its own, or the named or the posting's stripe."""
    own = account & 255
    if own != STRIPED:
        return own
    return bucket if named is None else named


def _touched_holds(bucket: int, request: Request) -> list[tuple[int, UUID, int]]:
    if isinstance(request, Capture | Release):
        return [(bucket, request.hold, request.leg)]
    if isinstance(request, Hold):
        return [(bucket, request.id, leg) for leg in range(len(request.legs))]
    return []


def _accept(books: Books, bucket: int, request: Request, linked_to: UUID | None) -> Result:
    match request:
        case Post() | Hold():
            return _accept_legs(books, bucket, request, linked_to)
        case Capture():
            return _accept_capture(books, bucket, request, linked_to)
        case Release():
            return _accept_release(books, bucket, request, linked_to)
        case Reverse():
            return _accept_reversal(books, bucket, request, linked_to)


def _accept_legs(books: Books, bucket: int, request: Post | Hold, linked_to: UUID | None) -> Result:
    if not 1 <= len(request.legs) <= LEGS_MAX:
        return Result(Outcome.LEGS_OUT_OF_BOUNDS, request.id, bucket)
    kind = Kind.POST if type(request) is Post else Kind.HOLD
    if len(request.legs) == 1:
        moved = _move(books, bucket, request, kind, request.legs[0], 0, linked_to)
        if not isinstance(moved, Movement):
            return Result(moved, request.id, bucket)
        movements: tuple[Movement, ...] = (moved,)
    else:
        legs = list(enumerate(request.legs))
        several = _move_several(books, bucket, request, kind, legs, linked_to)
        if isinstance(several, Outcome):
            return Result(several, request.id, bucket)
        movements = several
    if kind is Kind.HOLD:
        _note_hold(books, bucket, request)
    return Result(Outcome.POSTED, request.id, bucket, movements)


def _move_several(
    books: Books,
    bucket: int,
    request: Post | Hold | Reverse,
    kind: Kind,
    legs: Sequence[tuple[int, Leg]],
    linked_to: UUID | None,
) -> tuple[Movement, ...] | Outcome:
    """Move numbered legs in the given order, all or none; give the movements by number."""
    rows_before = len(books.rows)
    before = {
        key: books.accounts[key].snapshot()
        for _, leg in legs
        for key in leg_keys(leg, bucket)
        if key in books.accounts
    }
    movements: list[Movement] = []
    for number, leg in legs:
        moved = _move(books, bucket, request, kind, leg, number, linked_to)
        if not isinstance(moved, Movement):
            for key, snapshot in before.items():
                books.accounts[key].restore(snapshot)
            del books.rows[rows_before:]
            return moved
        movements.append(moved)
    return tuple(sorted(movements))


def _note_hold(books: Books, bucket: int, request: Post | Hold) -> None:
    expires_at = request.expires_at if isinstance(request, Hold) else None
    for number, leg in enumerate(request.legs):
        books.holds[bucket, request.id, number] = OpenHold(
            side_bucket(leg.debit, leg.debit_bucket, bucket),
            leg.debit,
            side_bucket(leg.credit, leg.credit_bucket, bucket),
            leg.credit,
            leg.amount_minor,
            0,
            0,
            expires_at,
        )


def _move(
    books: Books,
    bucket: int,
    request: Post | Hold | Reverse,
    kind: Kind,
    leg: Leg,
    number: int,
    linked_to: UUID | None,
) -> Movement | Outcome:
    amount = leg.amount_minor
    if not 0 < amount <= AMOUNT_MAX_MINOR:
        return Outcome.AMOUNT_OUT_OF_BOUNDS
    debit_key, credit_key = leg_keys(leg, bucket)
    if debit_key == credit_key:
        return Outcome.SAME_ACCOUNT
    debit = books.accounts.get(debit_key)
    credit = books.accounts.get(credit_key)
    if debit is None or credit is None:
        return Outcome.ACCOUNT_NOT_FOUND
    if not same_currency(leg.debit, leg.credit):
        return Outcome.CURRENCY_MISMATCH
    refusal = debit.refuse_debit(amount) or credit.refuse_credit(amount)
    if refusal is Outcome.FROZEN and leg.debit == leg.credit:
        # Between the stripes of one account nothing enters or leaves it.
        refusal = debit.limit_debit(amount) or credit.limit_credit(amount)
    if refusal is not None:
        return refusal
    if kind is Kind.HOLD:
        debit.debits_pending += amount
        credit.credits_pending += amount
    else:
        debit.debits_posted += amount
        credit.credits_posted += amount
    return _record(
        books,
        (debit, credit),
        request.id,
        bucket,
        amount,
        kind=None if kind is Kind.POST else kind,
        leg=number or None,
        refers_to=request.posting if isinstance(request, Reverse) else None,
        linked_to=linked_to,
        event_at=request.event_at,
        expires_at=request.expires_at if isinstance(request, Hold) else None,
        metadata=request.metadata,
    )


def _record(  # noqa: PLR0913 (one row of the journal has these columns)
    books: Books,
    sides: tuple[Counters, Counters],
    posting: UUID,
    bucket: int,
    amount: int,
    *,
    kind: Kind | None,
    leg: int | None,
    refers_to: UUID | None,
    linked_to: UUID | None,
    event_at: datetime | None,
    expires_at: datetime | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Movement:
    """Give both sides, which have moved already, their next versions, and add the row."""
    debit, credit = sides
    debit.version += 1
    credit.version += 1
    debit_balance = debit.credits_posted - debit.debits_posted
    credit_balance = credit.credits_posted - credit.debits_posted
    debit_held = debit.credits_pending if debit.debit_normal else debit.debits_pending
    credit_held = credit.credits_pending if credit.debit_normal else credit.debits_pending
    books.rows.append(
        (
            posting,
            bucket,
            debit.account,
            credit.account,
            amount,
            debit.version,
            credit.version,
            debit_balance,
            credit_balance,
            kind,
            leg,
            None if debit.bucket == bucket or debit.bucket == debit.account & 255 else debit.bucket,
            None
            if credit.bucket == bucket or credit.bucket == credit.account & 255
            else credit.bucket,
            debit_held or None,
            credit_held or None,
            refers_to,
            linked_to,
            event_at,
            expires_at,
            metadata,
        )
    )
    debit_own = -debit_balance if debit.debit_normal else debit_balance
    credit_own = -credit_balance if credit.debit_normal else credit_balance
    return Movement(
        leg or 0,
        debit.account,
        credit.account,
        amount,
        debit_own,
        debit_own - debit_held,
        credit_own,
        credit_own - credit_held,
    )


def _accept_capture(books: Books, bucket: int, request: Capture, linked_to: UUID | None) -> Result:
    hold = books.holds.get((bucket, request.hold, request.leg))
    if hold is None:
        return Result(Outcome.HOLD_NOT_FOUND, request.id, bucket)
    refusal = _refuse_capture(books, hold, request.amount_minor)
    if refusal is not None:
        return Result(refusal, request.id, bucket)
    debit, credit = _hold_sides(books, hold)
    hold.captured += request.amount_minor
    debit.debits_pending -= request.amount_minor
    credit.credits_pending -= request.amount_minor
    debit.debits_posted += request.amount_minor
    credit.credits_posted += request.amount_minor
    movement = _record(
        books,
        (debit, credit),
        request.id,
        bucket,
        request.amount_minor,
        kind=Kind.CAPTURE,
        leg=request.leg,
        refers_to=request.hold,
        linked_to=linked_to,
        event_at=request.event_at,
    )
    return Result(Outcome.POSTED, request.id, bucket, (movement,))


def _refuse_capture(books: Books, hold: OpenHold, amount: int) -> Outcome | None:
    if not 0 < amount <= AMOUNT_MAX_MINOR:
        return Outcome.AMOUNT_OUT_OF_BOUNDS
    if hold.left == 0:
        return Outcome.HOLD_SPENT
    if hold.expires_at is not None and hold.expires_at <= books.now:
        return Outcome.HOLD_EXPIRED
    debit, credit = _hold_sides(books, hold)
    if debit.closed or credit.closed:
        return Outcome.CLOSED
    if amount > hold.left:
        return Outcome.HOLD_EXCEEDED
    return None


def _accept_release(books: Books, bucket: int, request: Release, linked_to: UUID | None) -> Result:
    hold = books.holds.get((bucket, request.hold, request.leg))
    if hold is None:
        return Result(Outcome.HOLD_NOT_FOUND, request.id, bucket)
    if hold.left == 0:
        return Result(Outcome.HOLD_SPENT, request.id, bucket)
    amount = hold.left if request.amount_minor is None else request.amount_minor
    if amount <= 0:
        return Result(Outcome.AMOUNT_OUT_OF_BOUNDS, request.id, bucket)
    if amount > hold.left:
        return Result(Outcome.HOLD_EXCEEDED, request.id, bucket)
    debit, credit = _hold_sides(books, hold)
    hold.released += amount
    debit.debits_pending -= amount
    credit.credits_pending -= amount
    movement = _record(
        books,
        (debit, credit),
        request.id,
        bucket,
        amount,
        kind=Kind.EXPIRY if request.expiry else Kind.RELEASE,
        leg=request.leg,
        refers_to=request.hold,
        linked_to=linked_to,
        event_at=None,
    )
    return Result(Outcome.POSTED, request.id, bucket, (movement,))


def _hold_sides(books: Books, hold: OpenHold) -> tuple[Counters, Counters]:
    return (
        books.accounts[row_key(hold.debit, hold.debit_bucket)],
        books.accounts[row_key(hold.credit, hold.credit_bucket)],
    )


def _accept_reversal(books: Books, bucket: int, request: Reverse, linked_to: UUID | None) -> Result:
    original = _original(books, bucket, request.posting)
    if original is None:
        return Result(Outcome.POSTING_NOT_FOUND, request.id, bucket)
    kind, original_legs = original
    if kind is not Kind.POST:
        return Result(Outcome.NOT_REVERSIBLE, request.id, bucket)
    if books.is_reversed(bucket, request.posting):
        return Result(Outcome.ALREADY_REVERSED, request.id, bucket)
    # Backward, because a later leg may have passed on what an earlier one brought.
    legs = [
        (number, Leg(leg.credit, leg.debit, leg.amount_minor, leg.credit_bucket, leg.debit_bucket))
        for number, leg in reversed(list(enumerate(original_legs)))
    ]
    moved = _move_several(books, bucket, request, Kind.REVERSAL, legs, linked_to)
    if isinstance(moved, Outcome):
        return Result(moved, request.id, bucket)
    books.reversed.add((bucket, request.posting))
    return Result(Outcome.POSTED, request.id, bucket, moved)


def _original(books: Books, bucket: int, posting: UUID) -> tuple[Kind, tuple[Leg, ...]] | None:
    """Find what a reversal names, in the journal or earlier in this batch."""
    if (written := books.written.get((bucket, posting))) is not None:
        return written.kind, written.legs
    twin = books.judged.get((bucket, posting))
    if twin is None:
        return None
    if isinstance(twin[0], Post):
        return Kind.POST, twin[0].legs
    return Kind.HOLD, ()


def _repeat_in_batch(
    books: Books, bucket: int, request: Request, twin: Request, result: Result
) -> Result:
    if request == twin or _same_content(bucket, request, _as_written(twin, result, books.now)):
        return result._replace(outcome=Outcome.EXISTS)
    return Result(Outcome.EXISTS_WITH_OTHER_CONTENT, request.id, result.bucket)


def _as_written(request: Request, result: Result, now: datetime) -> Written:
    """See a request of this batch as the journal will show it."""
    moved = tuple(Leg(move.debit, move.credit, move.amount_minor) for move in result.movements)
    refers_to: UUID | None = None
    if isinstance(request, Capture | Release):
        refers_to = request.hold
    elif isinstance(request, Reverse):
        refers_to = request.posting
    return Written(
        result.bucket,
        result.id,
        _kind_of(request),
        request.legs if isinstance(request, Post | Hold) else moved,
        tuple(move.leg for move in result.movements),
        result.movements,
        refers_to,
        None,
        None if isinstance(request, Release) else request.event_at,
        request.expires_at if isinstance(request, Hold) else None,
        None if isinstance(request, Capture | Release) else request.metadata,
        now,
        reversed=False,
    )


def _kind_of(request: Request) -> Kind:
    match request:
        case Post():
            return Kind.POST
        case Hold():
            return Kind.HOLD
        case Capture():
            return Kind.CAPTURE
        case Release():
            return Kind.EXPIRY if request.expiry else Kind.RELEASE
        case Reverse():
            return Kind.REVERSAL


def _repeat(bucket: int, request: Request, before: Written) -> Result:
    if _same_content(bucket, request, before):
        return Result(Outcome.EXISTS, request.id, bucket, before.movements, before.created_at)
    return Result(Outcome.EXISTS_WITH_OTHER_CONTENT, request.id, bucket)


def _same_content(bucket: int, request: Request, before: Written) -> bool:
    if _kind_of(request) is not before.kind:
        return False
    match request:
        case Post():
            return (
                request.event_at == before.event_at
                and _same_legs(bucket, request.legs, before.legs)
                and _same_metadata(request.metadata, before.metadata)
            )
        case Hold():
            return (
                (request.event_at, request.expires_at) == (before.event_at, before.expires_at)
                and _same_legs(bucket, request.legs, before.legs)
                and _same_metadata(request.metadata, before.metadata)
            )
        case Capture():
            part = (request.hold, (request.leg,), request.amount_minor, request.event_at)
            return part == (*_part_of(before), before.event_at)
        case Release():
            amount = before.legs[0].amount_minor
            asked = amount if request.amount_minor is None else request.amount_minor
            return (request.hold, (request.leg,), asked) == _part_of(before)
        case Reverse():
            undone = (request.posting, request.event_at)
            return undone == (before.refers_to, before.event_at) and _same_metadata(
                request.metadata, before.metadata
            )


def _part_of(before: Written) -> tuple[UUID | None, tuple[int, ...], int]:
    """Give hold, leg and amount of a capture or release."""
    return (before.refers_to, before.leg_numbers, before.legs[0].amount_minor)


def _same_legs(bucket: int, asked: Sequence[Leg], stored: Sequence[Leg]) -> bool:
    return len(asked) == len(stored) and all(
        one.amount_minor == other.amount_minor
        and one.debit == other.debit
        and one.credit == other.credit
        and leg_keys(one, bucket) == leg_keys(other, bucket)
        for one, other in zip(asked, stored, strict=True)
    )


def _same_metadata(asked: Mapping[str, object] | None, stored: Mapping[str, object] | None) -> bool:
    return asked == stored or (
        asked is not None and stored is not None and _as_stored(asked) == _as_stored(stored)
    )


def _as_stored(metadata: Mapping[str, object]) -> object:
    """Read metadata as the database gives it back: tuples are lists, and 1e23 is a whole number."""
    return _decode_exactly.decode(msgspec.json.encode(metadata))


_decode_exactly: Final = msgspec.json.Decoder(float_hook=Decimal)
