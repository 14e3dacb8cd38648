"""Numbers in digits, as merchants' programs know them, each of which leads back to what it names.

None of them is stored: a trade's number is another way to write its id, and the numbers of users
and apps are a keyed permutation of a database sequence, so that nobody can count customers by
opening two accounts.
"""

import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import randbelow
from threading import Lock
from time import time_ns
from typing import Final
from uuid import UUID

from xinghan.kit.clock import GATEWAY_ZONE
from xinghan.kit.ids import TradeId

BUCKETS_MAX: Final = 128
SEQUENCE_MAX: Final = 10**12 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MILLISECONDS_PER_DAY = 86_400_000
_TRADE_NO = re.compile(r"([0-9]{8})([0-9]{20})")
_SERIAL_BITS = 33
_SERIALS = 1 << _SERIAL_BITS
_TAIL_BITS = 40
_HASH_BITS = 34

_HALF = 10**6
_ROUNDS = 10


def new_trade_id(bucket: int) -> TradeId:
    """Make the id of a new trade that lives in `bucket` (0 to 127).

    It is a UUIDv7 whose 74 bits behind the millisecond are 7 bits of bucket, a serial of 33 bits
    that starts at random in every millisecond, and 34 bits that follow from the others by a hash.
    That leaves few enough bits for `trade_no` to write, and still spreads ids by their remainder.
    Two processes can meet in one number only inside a bucket, where the primary key refuses the
    second (at a billion trades a day over 64 buckets, once in three months).
    """
    if not 0 <= bucket < BUCKETS_MAX:
        raise ValueError(f"a bucket is a number from 0 to {BUCKETS_MAX - 1}")
    millisecond, serial = _serials.take()
    return TradeId(_trade_uuid(millisecond, bucket << _SERIAL_BITS | serial))


def is_trade_id(identity: UUID) -> bool:
    """Tell whether an id has the shape that `new_trade_id` gives."""
    return _trade_uuid(*_take_apart(identity)) == identity


def bucket_of_trade(trade_id: TradeId) -> int:
    """Tell the bucket that a trade was made for."""
    return _read_trade_uuid(trade_id)[1] >> _SERIAL_BITS


def trade_no(trade_id: TradeId) -> str:
    """Write a trade's id as 28 digits: the day in GMT+8, then its millisecond and serial."""
    millisecond, tail = _read_trade_uuid(trade_id)
    local = (_EPOCH + millisecond * _MILLISECOND).astimezone(GATEWAY_ZONE)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    millisecond_of_day = (local - midnight) // _MILLISECOND
    return f"{local:%Y%m%d}{millisecond_of_day << _TAIL_BITS | tail:020}"


def trade_id_of(number: str) -> TradeId | None:
    """Read a trade's id from its 28 digits; None when no trade can have that number."""
    match = _TRADE_NO.fullmatch(number)
    midnight = _midnight(match[1]) if match else None
    if match is None or midnight is None:
        return None
    millisecond_of_day, tail = divmod(int(match[2]), 1 << _TAIL_BITS)
    millisecond = (midnight - _EPOCH) // _MILLISECOND + millisecond_of_day
    if millisecond_of_day >= _MILLISECONDS_PER_DAY or millisecond < 0:
        return None
    return TradeId(_trade_uuid(millisecond, tail))


@dataclass(frozen=True, slots=True)
class SequenceNumbers:
    """Sixteen digits for each number of a database sequence: a prefix of four, then twelve.

    The twelve are a balanced Feistel permutation of the sequence number (ten rounds of
    HMAC-SHA256, the shape of NIST SP 800-38G's FF1): every number is used exactly once and shows
    nothing of how many there are. `key` must stay the same for ever.
    """

    prefix: str
    key: bytes = field(repr=False)

    def number(self, sequence: int) -> str:
        """Give the number that belongs to `sequence` (0 to SEQUENCE_MAX)."""
        if not 0 <= sequence <= SEQUENCE_MAX:
            raise ValueError(f"a sequence number is from 0 to {SEQUENCE_MAX}")
        left, right = divmod(sequence, _HALF)
        for turn in range(_ROUNDS):
            left, right = right, (left + self._mix(turn, right)) % _HALF
        return f"{self.prefix}{left:06}{right:06}"

    def sequence(self, number: str) -> int | None:
        """Read the sequence number back; None when the text is no number of this kind."""
        if not re.fullmatch(rf"{self.prefix}[0-9]{{12}}", number):
            return None
        left, right = int(number[4:10]), int(number[10:])
        for turn in reversed(range(_ROUNDS)):
            left, right = (right - self._mix(turn, left)) % _HALF, left
        return left * _HALF + right

    def _mix(self, turn: int, half: int) -> int:
        said = b"%s %d %d" % (self.prefix.encode(), turn, half)
        return int.from_bytes(hmac.digest(self.key, said, "sha256")[:8], "big") % _HALF


def user_numbers(key: bytes) -> SequenceNumbers:
    """Give the numbers of people and merchants (buyer_user_id, seller_id): they begin with 2088."""
    return SequenceNumbers("2088", key)


def app_numbers(key: bytes) -> SequenceNumbers:
    """Give the numbers of apps (app_id): they begin with 2021, so that none looks like a user's."""
    return SequenceNumbers("2021", key)


class _Serials:
    """Gives each trade of this process another millisecond or another serial."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._millisecond = 0
        self._serial = 0

    def take(self) -> tuple[int, int]:
        millisecond = time_ns() // 1_000_000
        with self._lock:
            if millisecond > self._millisecond:
                self._millisecond = millisecond
                self._serial = randbelow(_SERIALS)
            else:
                self._serial = (self._serial + 1) % _SERIALS
            return self._millisecond, self._serial


_serials = _Serials()


def _trade_uuid(millisecond: int, tail: int) -> UUID:
    said = (millisecond << _TAIL_BITS | tail).to_bytes(11, "big")
    hashed = int.from_bytes(sha256(said).digest()[:8], "big") >> (64 - _HASH_BITS)
    high, low = divmod(tail << _HASH_BITS | hashed, 1 << 62)
    return UUID(int=(millisecond << 16 | 7 << 12 | high) << 64 | 1 << 63 | low)


def _read_trade_uuid(trade_id: TradeId) -> tuple[int, int]:
    if not is_trade_id(trade_id):
        raise ValueError("the id of a trade is made by new_trade_id")
    return _take_apart(trade_id)


def _take_apart(identity: UUID) -> tuple[int, int]:
    """Give the millisecond and the 40 bits behind it."""
    high, low = identity.int >> 64 & 0xFFF, identity.int & ((1 << 62) - 1)
    return identity.int >> 80, (high << 62 | low) >> _HASH_BITS


def _midnight(day: str) -> datetime | None:
    try:
        return datetime.strptime(day, "%Y%m%d").replace(tzinfo=GATEWAY_ZONE)
    except ValueError:
        return None
