"""Whether a request can be read at all; what cannot would fail its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, datetime
from uuid import UUID

import msgspec

from xinghan.ledger.model import (
    ACCOUNT_MAX,
    BUCKETS,
    LEGS_MAX,
    METADATA_MAX_BYTES,
    Capture,
    Hold,
    Leg,
    Post,
    Release,
    Request,
    Reverse,
)


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
