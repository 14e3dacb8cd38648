"""Compares a request with what stands under its id already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from xinghan.ledger.books import Books, Written
from xinghan.ledger.model import (
    Capture,
    Hold,
    Kind,
    Leg,
    Outcome,
    Post,
    Release,
    Request,
    Result,
    Reverse,
)
from xinghan.ledger.numbers import leg_keys


def repeat_in_batch(
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


def repeat(bucket: int, request: Request, before: Written) -> Result:
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
