"""Time: instants are UTC, clocks are parameters, and the gateway writes times in GMT+8."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Protocol

from xinghan.kit.errors import Invalid

GATEWAY_ZONE: Final = timezone(timedelta(hours=8), "GMT+8")

_GATEWAY_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")


class TimeMalformed(Invalid):
    """The text is not a time as the gateway writes it, or not of this calendar."""

    code = "time_malformed"


class Clock(Protocol):
    """Whatever can say what time it is."""

    def now(self) -> datetime:
        """Give the present instant, aware and in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def format_gateway_time(instant: datetime) -> str:
    """Write an aware instant as `yyyy-MM-dd HH:mm:ss` in GMT+8; fractions of seconds are cut."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone to be written in another one")
    return f"{instant.astimezone(GATEWAY_ZONE).replace(tzinfo=None, microsecond=0)}"


def parse_gateway_time(text: str, *, field: str | None = "timestamp") -> datetime:
    """Read `yyyy-MM-dd HH:mm:ss` in GMT+8 as an instant in UTC. Raises TimeMalformed."""
    if not _GATEWAY_TIME.fullmatch(text):
        raise TimeMalformed(field=field)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=GATEWAY_ZONE).astimezone(UTC)
    except (ValueError, OverflowError):
        raise TimeMalformed(field=field) from None
