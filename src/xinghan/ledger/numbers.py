"""What an account's number says by itself, so that no posting needs a look-up: currency, bucket.

number = sequence << 18 | ISO 4217 numeric code << 8 | bucket. The low byte 255 means: striped, one
row in every bucket. The tables check the same arithmetic (sql/schema.sql).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from xinghan.kit.ids import AccountId
from xinghan.ledger.model import BUCKETS, Hold, Leg, Post

STRIPED: Final = 255
_CURRENCY_MASK: Final = 1023 << 8


def account_number(sequence: int, currency_numeric: int, bucket: int | None) -> AccountId:
    """Make an account's number; bucket None makes a striped account."""
    return AccountId(
        sequence << 18 | currency_numeric << 8 | (STRIPED if bucket is None else bucket)
    )


def is_striped(account: AccountId) -> bool:
    """Whether the account has one row in every bucket."""
    return account & 255 == STRIPED


def currency_numeric_of(account: AccountId) -> int:
    """Read the ISO 4217 numeric code of the account's currency."""
    return account >> 8 & 1023


def same_currency(one: AccountId, other: AccountId) -> bool:
    """Whether two accounts are kept in one currency."""
    return not (one ^ other) & _CURRENCY_MASK


def buckets_of(account: AccountId) -> range:
    """Give the buckets in which the account has a row."""
    bucket = account & 255
    return range(BUCKETS) if bucket == STRIPED else range(bucket, bucket + 1)


def home_bucket(posting: Post | Hold) -> int:
    """Give the bucket in which a posting lives: its payer's, or else the first that is named.

    It follows from the content alone, so that a repeated request finds the first one.
    """
    for leg in posting.legs:
        if leg.debit & 255 != STRIPED:
            return leg.debit & 255
    for leg in posting.legs:
        if leg.credit & 255 != STRIPED:
            return leg.credit & 255
    for leg in posting.legs:
        if leg.debit_bucket is not None:
            return leg.debit_bucket
    return posting.id.int % BUCKETS


def row_key(account: AccountId, bucket: int) -> int:
    """Name one row of an account by one number: a stripe's low byte is its bucket."""
    return account & ~255 | bucket


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
