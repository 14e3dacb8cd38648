"""Reads the books: statements, balances of the past, the trial balance, postings and their search.

Pages are found by keyset. A statement's cursor holds the version at which each stripe stands, so
that pages neither repeat nor leave out an entry, whatever is posted between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated, Final, TypeAlias
from uuid import UUID

from msgspec import Meta, Struct

from xinghan.kit.db import Connection, Row
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import ACCOUNT, POSTING, AccountId, PostingId
from xinghan.kit.money import Currency
from xinghan.ledger import reading
from xinghan.ledger.books import Written
from xinghan.ledger.cursors import decode_cursor, encode_cursor
from xinghan.ledger.model import (
    ACCOUNT_MAX,
    BUCKETS,
    AccountNotFound,
    CursorMalformed,
    Kind,
    PostingNotFound,
)
from xinghan.ledger.numbers import buckets_of
from xinghan.ledger.records import Page, PastBalance, StatementLine, TrialBalance, TrialLine
from xinghan.ledger.store import fetch_written
from xinghan.ledger.wellformed import metadata_well_formed

PAGE_MAX: Final = 500

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_YEAR_9000_MICROSECONDS: Final = (datetime(9000, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND

_Version: TypeAlias = Annotated[int, Meta(ge=0, le=ACCOUNT_MAX)]
_Microseconds: TypeAlias = Annotated[int, Meta(ge=0, le=_YEAR_9000_MICROSECONDS)]
_Bucket: TypeAlias = Annotated[int, Meta(ge=0, lt=BUCKETS)]


class _StatementPlace(Struct, tag="statement", array_like=True, forbid_unknown_fields=True):
    account: int
    newest_first: bool
    versions: list[_Version]


class _SearchPlace(Struct, tag="search", array_like=True, forbid_unknown_fields=True):
    microseconds: _Microseconds
    bucket: _Bucket
    posting: UUID


_NEWEST: Final = _SearchPlace(_YEAR_9000_MICROSECONDS, 0, UUID(int=0))


async def fetch_statement(
    connection: Connection,
    account: AccountId,
    *,
    cursor: str | None = None,
    limit: int = 50,
    newest_first: bool = True,
) -> Page[StatementLine]:
    """Fetch entries of an account, of all its stripes together, with the running balance.

    Raises AccountNotFound, CursorMalformed, Invalid for a limit outside 1..500.
    """
    _check_limit(limit)
    rows = await reading.fetch_positions(connection, buckets_of(account), account)
    if not rows:
        raise AccountNotFound(account=ACCOUNT.show(account))
    sign = -1 if rows[0]["debit_normal"] else 1
    if cursor is not None:
        positions = _positions_of(cursor, account, newest_first=newest_first)
    else:
        positions = {row["bucket"]: row["version"] if newest_first else 0 for row in rows}
    start = await reading.fetch_balance_at_positions(connection, positions, account)
    entries = await reading.fetch_entries(
        connection, positions, account, limit + 1, newest_first=newest_first
    )
    page = entries[:limit]
    next_cursor = None
    if len(entries) > limit:
        for entry in page:
            positions[entry["bucket"]] = entry["version"] - newest_first
        place = _StatementPlace(account, newest_first, list(positions.values()))
        next_cursor = encode_cursor(place)
    return Page(tuple(_lines(page, start, sign, newest_first=newest_first)), next_cursor)


async def fetch_balance_by_ledger_time(
    connection: Connection, account: AccountId, at: datetime
) -> PastBalance:
    """Read an account as the ledger knew it at an instant, by `created_at`.

    What is being committed at that very moment may still be missing. An account without entries by
    then is empty. Raises AccountNotFound, Invalid for an instant without a time zone.
    """
    _check_instant(at)
    balance, held = await reading.fetch_balance_by_ledger_time(
        connection, buckets_of(account), account, at
    )
    balance *= await _sign(connection, account)
    return PastBalance(balance, balance - held)


async def fetch_balance_by_world_time(
    connection: Connection, account: AccountId, at: datetime
) -> int:
    """Read the balance as it was in the world at an instant: by `event_at`, else `created_at`.

    Cheap where few entries have an `event_at`: those are looked up by it. Raises AccountNotFound,
    Invalid for an instant without a time zone.
    """
    _check_instant(at)
    balance = await reading.fetch_balance_by_world_time(
        connection, buckets_of(account), account, at
    )
    return balance * await _sign(connection, account)


async def fetch_trial_balance(connection: Connection) -> list[TrialBalance]:
    """Sum all accounts at one moment, by currency and kind."""
    rows = await reading.fetch_trial_balance(connection)
    return [
        TrialBalance(Currency.numbered(number).code, tuple(map(_trial_line, lines)))
        for number, lines in groupby(rows, key=lambda row: row["currency"])
    ]


async def fetch_posting(connection: Connection, bucket: int, posting: PostingId) -> Written:
    """Fetch one posting with all its legs. Raises PostingNotFound."""
    found = await fetch_written(connection, [(bucket, posting)])
    try:
        return found[bucket, posting]
    except KeyError:
        raise PostingNotFound(posting=POSTING.show(posting)) from None


async def search_postings(
    connection: Connection,
    metadata: Mapping[str, object],
    *,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Written]:
    """Find postings whose metadata contain every given key with its value, newest first.

    Raises CursorMalformed, Invalid for metadata that are empty or no JSON, and for a limit outside
    1..500.
    """
    _check_limit(limit)
    if not metadata or not metadata_well_formed(metadata):
        raise Invalid(field="metadata")
    place = _NEWEST if cursor is None else decode_cursor(cursor, _SearchPlace)
    before = (_EPOCH + place.microseconds * _MICROSECOND, place.bucket, place.posting)
    found = await reading.find_by_metadata(connection, metadata, before, limit + 1)
    keys = [(row["bucket"], row["id"]) for row in found[:limit]]
    written = await fetch_written(connection, keys)
    next_cursor = None
    if len(found) > limit:
        last = found[limit - 1]
        microseconds = (last["created_at"] - _EPOCH) // _MICROSECOND
        next_cursor = encode_cursor(_SearchPlace(microseconds, last["bucket"], last["id"]))
    return Page(tuple(written[key] for key in keys), next_cursor)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE_MAX:
        raise Invalid(field="limit")


def _check_instant(at: datetime) -> None:
    if at.utcoffset() is None:
        raise Invalid(field="at")


def _positions_of(cursor: str, account: AccountId, *, newest_first: bool) -> dict[int, int]:
    place = decode_cursor(cursor, _StatementPlace)
    buckets = buckets_of(account)
    wanted = (account, newest_first, len(buckets))
    if (place.account, place.newest_first, len(place.versions)) != wanted:
        raise CursorMalformed(field="cursor")
    return dict(zip(buckets, place.versions, strict=True))


def _lines(
    entries: Sequence[Row], start: tuple[int, int], sign: int, *, newest_first: bool
) -> list[StatementLine]:
    """Walk the entries from the balance at which the page starts."""
    balance, held = start
    lines = []
    for entry in entries:
        if not newest_first:
            balance += entry["change"]
            held += entry["held_change"]
        lines.append(_line(entry, sign, balance, held))
        if newest_first:
            balance -= entry["change"]
            held -= entry["held_change"]
    return lines


def _line(entry: Row, sign: int, balance: int, held: int) -> StatementLine:
    return StatementLine(
        entry["posting_bucket"],
        entry["posting"],
        entry["leg"],
        Kind(entry["kind"]),
        entry["counterparty"],
        entry["amount"],
        sign * entry["change"],
        sign * balance,
        sign * balance - held,
        entry["refers_to"],
        entry["metadata"],
        entry["event_at"],
        entry["created_at"],
    )


async def _sign(connection: Connection, account: AccountId) -> int:
    """Give what turns a balance with credits positive into the account's own sign."""
    rows = await reading.fetch_positions(connection, buckets_of(account)[:1], account)
    if not rows:
        raise AccountNotFound(account=ACCOUNT.show(account))
    return -1 if rows[0]["debit_normal"] else 1


def _trial_line(row: Row) -> TrialLine:
    debits, credits_ = int(row["debits_posted"]), int(row["credits_posted"])
    balance = debits - credits_ if row["debit_normal"] else credits_ - debits
    return TrialLine(row["kind"], row["debit_normal"], row["accounts"], balance, debits, credits_)
