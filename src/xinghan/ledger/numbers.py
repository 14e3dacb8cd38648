"""What an account's number says by itself, so that no posting needs a look-up: currency, bucket.

number = sequence << 18 | ISO 4217 numeric code << 8 | bucket. The low byte 255 means: striped, one
row in every bucket. The tables check the same arithmetic (sql/schema.sql).
"""

from __future__ import annotations

from typing import Final

from xinghan.kit.ids import AccountId
from xinghan.ledger.model import BUCKETS, Hold, Post

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
