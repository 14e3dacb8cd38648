"""Judges postings one by one against the balances that were read: pure, no database, no clock.

Each accepted leg moves the counters held here, so that the next request sees them. What is refused
leaves them as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from xinghan.kit.ids import AccountId
from xinghan.ledger.books import Books
from xinghan.ledger.holding import accept_capture, accept_release, note_hold
from xinghan.ledger.model import (
    LEGS_MAX,
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
from xinghan.ledger.moving import move_leg, move_legs
from xinghan.ledger.numbers import row_key, touched_by_legs
from xinghan.ledger.repeats import repeat, repeat_in_batch


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
        return repeat(bucket, request, before)
    if (twin := books.judged.get(key)) is not None:
        return repeat_in_batch(books, bucket, request, *twin)
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
            return accept_capture(books, bucket, request, linked_to)
        case Release():
            return accept_release(books, bucket, request, linked_to)
        case Reverse():
            return _accept_reversal(books, bucket, request, linked_to)


def _accept_legs(books: Books, bucket: int, request: Post | Hold, linked_to: UUID | None) -> Result:
    if not 1 <= len(request.legs) <= LEGS_MAX:
        return Result(Outcome.LEGS_OUT_OF_BOUNDS, request.id, bucket)
    kind = Kind.POST if type(request) is Post else Kind.HOLD
    if len(request.legs) == 1:
        moved = move_leg(books, bucket, request, kind, request.legs[0], 0, linked_to)
        if not isinstance(moved, Movement):
            return Result(moved, request.id, bucket)
        movements: tuple[Movement, ...] = (moved,)
    else:
        legs = list(enumerate(request.legs))
        several = move_legs(books, bucket, request, kind, legs, linked_to)
        if isinstance(several, Outcome):
            return Result(several, request.id, bucket)
        movements = several
    if kind is Kind.HOLD:
        note_hold(books, bucket, request)
    return Result(Outcome.POSTED, request.id, bucket, movements)


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
    moved = move_legs(books, bucket, request, Kind.REVERSAL, legs, linked_to)
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
