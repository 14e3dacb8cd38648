"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class FixedClock:
    """Gives the same instant until it is advanced; begins at 2026-01-31 00:00:00 UTC."""

    def __init__(self, instant: datetime | None = None) -> None:
        self._instant = instant or datetime(2026, 1, 31, tzinfo=UTC)

    def now(self) -> datetime:
        return self._instant

    def advance(self, **duration: int) -> None:
        """Go on by a duration, named as for timedelta: `advance(minutes=5)`."""
        self._instant += timedelta(**duration)
