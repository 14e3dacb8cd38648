"""Moves the counters of both sides by one leg, and adds the row for the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from xinghan.ledger.books import Books, Counters
from xinghan.ledger.model import (
    AMOUNT_MAX_MINOR,
    Hold,
    Kind,
    Leg,
    Movement,
    Outcome,
    Post,
    Reverse,
)
from xinghan.ledger.numbers import leg_keys, same_currency


def move_legs(
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
        moved = move_leg(books, bucket, request, kind, leg, number, linked_to)
        if not isinstance(moved, Movement):
            for key, snapshot in before.items():
                books.accounts[key].restore(snapshot)
            del books.rows[rows_before:]
            return moved
        movements.append(moved)
    return tuple(sorted(movements))


def move_leg(
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
    return record(
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


def record(  # noqa: PLR0913 (one row of the journal has these columns)
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
            _other_bucket(debit, bucket),
            _other_bucket(credit, bucket),
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


def _other_bucket(side: Counters, bucket: int) -> int | None:
    """Name the bucket of a stripe that is not in the posting's own; None needs no naming."""
    return None if side.bucket in (bucket, side.account & 255) else side.bucket
