"""Judges what a hold is for: noting it, capturing and releasing parts of it."""

from __future__ import annotations

from uuid import UUID

from xinghan.ledger.books import Books, Counters, OpenHold
from xinghan.ledger.model import (
    AMOUNT_MAX_MINOR,
    Capture,
    Hold,
    Kind,
    Outcome,
    Post,
    Release,
    Result,
)
from xinghan.ledger.moving import record
from xinghan.ledger.numbers import row_key, side_bucket


def note_hold(books: Books, bucket: int, request: Post | Hold) -> None:
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


def accept_capture(books: Books, bucket: int, request: Capture, linked_to: UUID | None) -> Result:
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
    movement = record(
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


def accept_release(books: Books, bucket: int, request: Release, linked_to: UUID | None) -> Result:
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
    movement = record(
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
