"""Identities: UUIDv7 made here, a type for each thing, a prefix when people see one.

A printed id is its prefix and the number in Crockford's base 32, lower case:
`pay_01jbz3x6m8v0g4s2q9c7e5t1kd`. That alphabet has no i, l, o and u, so that an id can be read
out on the telephone; capitals are understood, and i and l are read as 1, o as 0.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from os import register_at_fork, urandom
from struct import unpack
from threading import Lock
from time import time_ns
from typing import Final, Generic, NewType, TypeVar
from uuid import UUID, SafeUUID

from xinghan.kit.errors import Invalid

PersonId = NewType("PersonId", UUID)
MerchantId = NewType("MerchantId", UUID)
AppId = NewType("AppId", UUID)
DeviceId = NewType("DeviceId", UUID)
TradeId = NewType("TradeId", UUID)
RefundId = NewType("RefundId", UUID)
NotificationId = NewType("NotificationId", UUID)
PostingId = NewType("PostingId", UUID)
AccountId = NewType("AccountId", int)

Id = TypeVar("Id")

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
_TO_BASE_32 = str.maketrans(
    _CROCKFORD + _CROCKFORD[10:].upper() + "ilo" + "ILO",
    "0123456789abcdefghijklmnopqrstuv" + "abcdefghijklmnopqrstuv" + "110" + "110",
)
_READABLE = re.compile(r"[0-9a-tv-zA-TV-Z]+")

_VERSION_AND_VARIANT: Final = 7 << 76 | 1 << 63
_HIGH_12_BITS: Final = (1 << 12) - 1
_LOW_62_BITS: Final = (1 << 62) - 1
_WORDS_READ: Final = 1024

_new_object = object.__new__
_set_int = vars(UUID)["int"].__set__
_set_is_safe = vars(UUID)["is_safe"].__set__


class IdMalformed(Invalid):
    """The text is not an id of the kind that belongs here."""

    code = "id_malformed"


@dataclass(frozen=True, slots=True)
class IdKind(Generic[Id]):
    """How the ids of one kind are printed and read back.

    `characters` is the length behind the prefix, `number_max` the largest number that it may hold.
    """

    prefix: str
    characters: int
    number_max: int
    to_number: Callable[[Id], int]
    from_number: Callable[[int], Id]

    def show(self, identity: Id) -> str:
        """Print an id with its prefix."""
        return f"{self.prefix}_{to_crockford(self.to_number(identity), self.characters)}"

    def parse(self, text: str, *, field: str | None = None) -> Id:
        """Read an id of this kind. Raises IdMalformed, naming `field`."""
        prefix, _, digits = text.partition("_")
        number = from_crockford(digits, self.characters) if prefix == self.prefix else None
        if number is None or number > self.number_max:
            raise IdMalformed(field=field, prefix=self.prefix, characters=self.characters)
        return self.from_number(number)


def to_crockford(number: int, characters: int) -> str:
    """Write a number that is not negative in that many characters of Crockford's base 32."""
    highest = 5 * (characters + characters % 2) - 10
    pairs = [_PAIRS[number >> shift & 1023] for shift in range(highest, -1, -10)]
    return "".join(pairs)[-characters:]


def from_crockford(text: str, characters: int) -> int | None:
    """Read what `to_crockford` wrote; None when it is anything else."""
    if len(text) != characters or not _READABLE.fullmatch(text):
        return None
    return int(text.translate(_TO_BASE_32), 32)


class _Generator:
    """Makes UUIDv7 that increase within the process (RFC 9562, section 6.2, method 2).

    The last id is kept as one number: the millisecond, then 74 bits. Those start at random in
    every millisecond, with the highest bit clear, and grow by a random step of up to 2**32, so
    that the next id cannot be guessed and there is always room. A clock that is set back does not
    make ids go back. Random words are read from the operating system many at a time, and the UUID
    is built without its constructor, whose checks would cost more than all the rest.
    """

    __slots__ = ("_last", "_lock", "_words")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: a forked child must not use its parent's random words."""
        self._lock = Lock()
        self._words: list[int] = []
        self._last = 0

    def uuid7(self) -> UUID:
        """Make a UUIDv7, larger than every one that this process made before."""
        now = time_ns() // 1_000_000 << 74
        with self._lock:
            words = self._words or self._read_words()
            if now > self._last:
                self._last = number = now | words.pop() << 9
            else:
                self._last = number = self._last + (words.pop() >> 32) + 1
        made = _new_object(UUID)
        _set_int(
            made,
            number >> 74 << 80
            | (number >> 62 & _HIGH_12_BITS) << 64
            | number & _LOW_62_BITS
            | _VERSION_AND_VARIANT,
        )
        _set_is_safe(made, SafeUUID.unknown)
        return made

    def _read_words(self) -> list[int]:
        self._words.extend(unpack(f"={_WORDS_READ}Q", urandom(8 * _WORDS_READ)))
        return self._words


_generator = _Generator()
register_at_fork(after_in_child=_generator.forget)
uuid7 = _generator.uuid7


def _uuid_kind(prefix: str, wrap: Callable[[UUID], Id]) -> IdKind[Id]:
    return IdKind(
        prefix=prefix,
        characters=26,
        number_max=2**128 - 1,
        to_number=attrgetter("int"),
        from_number=lambda number: wrap(UUID(int=number)),
    )


PERSON = _uuid_kind("per", PersonId)
MERCHANT = _uuid_kind("mer", MerchantId)
APP = _uuid_kind("app", AppId)
DEVICE = _uuid_kind("dev", DeviceId)
TRADE = _uuid_kind("pay", TradeId)
REFUND = _uuid_kind("ref", RefundId)
NOTIFICATION = _uuid_kind("ntf", NotificationId)
POSTING = _uuid_kind("pos", PostingId)
ACCOUNT = IdKind("acc", 13, 2**63 - 1, int, AccountId)
