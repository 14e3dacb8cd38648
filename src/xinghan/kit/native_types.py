"""The values of the native API: printed ids, instants and amounts, read and described once."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from xinghan.kit import ids
from xinghan.kit.ids import (
    AccountId,
    IdKind,
    IdMalformed,
    MerchantId,
    NotificationId,
    PostingId,
    TradeId,
)
from xinghan.kit.money import AMOUNT_MAX, Currency, Money, format_amount

Id = TypeVar("Id")

_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?")


def _reader(kind: IdKind[Id]) -> Callable[[object], Id]:
    """Give a validator that reads printed ids and leaves what was read already as it is."""

    def read(value: object) -> Id:
        try:
            return kind.parse(value if isinstance(value, str) else "")
        except IdMalformed:
            raise PydanticCustomError(
                "id_malformed",
                "An id of this kind is {prefix}_ and {characters} letters and digits.",
                {"prefix": kind.prefix, "characters": kind.characters},
            ) from None

    return read


def _pattern(kind: IdKind[Any]) -> str:
    return f"^{kind.prefix}_[0-9a-hjkmnp-tv-z]{{{kind.characters}}}$"


def _schema(kind: IdKind[Any], example: int, description: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "type": "string",
            "pattern": _pattern(kind),
            "examples": [kind.show(kind.from_number(example))],
            "description": description,
        }
    )


def _shown(kind: IdKind[Any], example: int) -> Any:  # noqa: ANN401 (pydantic's own type is untyped)
    return Field(pattern=_pattern(kind), examples=[kind.show(kind.from_number(example))])


def read_instant(value: object) -> datetime:
    """Read ISO 8601 with a time zone as an instant in UTC."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise PydanticCustomError("value_not_instant", "This is not a time of ISO 8601.")
    try:
        instant = datetime.fromisoformat(value.upper())
        offset = instant.utcoffset()
        # The first and last year may lie outside of the calendar in another time zone.
        utc = instant.astimezone(UTC) if MINYEAR < instant.year < MAXYEAR else None
    except ValueError:
        utc, offset = None, None
    if utc is None:
        raise PydanticCustomError("value_not_instant", "This is not a time of ISO 8601.")
    if offset is None:
        raise PydanticCustomError("value_without_zone", "A time needs its time zone.")
    return utc


_UUID7: Final = 0x01939B3CE4007A5DB6B1A3F0C2D4E6F8
_ACCOUNT: Final = 1 << 18 | 156 << 8 | 7

AccountRef = Annotated[
    AccountId,
    BeforeValidator(_reader(ids.ACCOUNT)),
    _schema(ids.ACCOUNT, _ACCOUNT, "An account's number."),
]
PostingRef = Annotated[
    PostingId,
    BeforeValidator(_reader(ids.POSTING)),
    _schema(ids.POSTING, _UUID7, "A posting's id: a UUIDv7 that the caller makes."),
]
TradeRef = Annotated[
    TradeId, BeforeValidator(_reader(ids.TRADE)), _schema(ids.TRADE, _UUID7, "A trade's id.")
]
NotificationRef = Annotated[
    NotificationId,
    BeforeValidator(_reader(ids.NOTIFICATION)),
    _schema(ids.NOTIFICATION, _UUID7, "A notification's id."),
]
MerchantRef = Annotated[
    MerchantId,
    BeforeValidator(_reader(ids.MERCHANT)),
    _schema(ids.MERCHANT, _UUID7, "A merchant's id."),
]
# The same ids in answers, where they are text already.
AccountText = Annotated[str, _shown(ids.ACCOUNT, _ACCOUNT)]
PostingText = Annotated[str, _shown(ids.POSTING, _UUID7)]
TradeText = Annotated[str, _shown(ids.TRADE, _UUID7)]
RefundText = Annotated[str, _shown(ids.REFUND, _UUID7)]
NotificationText = Annotated[str, _shown(ids.NOTIFICATION, _UUID7)]
MerchantText = Annotated[str, _shown(ids.MERCHANT, _UUID7)]
PersonText = Annotated[str, _shown(ids.PERSON, _UUID7)]

Instant = Annotated[
    datetime,
    BeforeValidator(read_instant),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "examples": ["2026-01-31T08:30:00Z"],
            "description": "An instant: ISO 8601 with a time zone.",
        }
    ),
]
AmountMinor = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=AMOUNT_MAX,
        description="Minor units of the account's currency (fen, cents).",
        examples=[1000],
    ),
]
Bucket = Annotated[int, Field(strict=True, ge=0, le=63, description="The bucket it lives in.")]


def decimal_of(amount_minor: int, currency: str) -> str:
    """Write an amount for people: 1000 CNY is `10.00`."""
    return format_amount(Money(amount_minor, Currency.of(currency)))
