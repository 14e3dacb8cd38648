"""Instants are UTC inside and GMT+8 on the gateway's wire."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cast.clock import FixedClock
from xinghan.kit.clock import (
    Clock,
    SystemClock,
    TimeMalformed,
    format_gateway_time,
    parse_gateway_time,
)


def test_the_system_clock_speaks_utc() -> None:
    instant = SystemClock().now()
    assert instant.utcoffset() == timedelta(0)


def test_the_clock_of_tests_moves_only_when_told() -> None:
    fixed = FixedClock()
    clock: Clock = fixed
    before = clock.now()
    assert clock.now() == before
    fixed.advance(minutes=5, seconds=1)
    assert clock.now() - before == timedelta(seconds=301)


def test_gateway_times_are_eight_hours_ahead() -> None:
    instant = datetime(2025, 12, 31, 16, 0, 5, 999_999, tzinfo=UTC)
    assert format_gateway_time(instant) == "2026-01-01 00:00:05"
    assert parse_gateway_time("2026-01-01 00:00:05") == instant.replace(microsecond=0)
    assert parse_gateway_time("2026-01-01 00:00:05").utcoffset() == timedelta(0)


@given(st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)))  # noqa: DTZ001 (bounds of aware datetimes are naive)
def test_writing_and_reading_give_the_second_back(instant: datetime) -> None:
    assert parse_gateway_time(format_gateway_time(instant)) == instant.replace(microsecond=0)


def test_an_instant_without_a_zone_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        format_gateway_time(datetime(2026, 1, 1))  # noqa: DTZ001 (that is the mistake)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-1-1 1:1:1",
        "2026-02-30 00:00:00",
        "2026-01-01T00:00:00",
        "2026-01-01 24:00:00",
        "2026-01-01 00:00:00 ",
        "２０26-01-01 00:00:00",
        "0001-01-01 00:00:00",
        "0000-01-01 00:00:00",
    ],
)
def test_other_times_are_refused_with_their_field(text: str) -> None:
    with pytest.raises(TimeMalformed) as refusal:
        parse_gateway_time(text, field="time_expire")
    assert refusal.value.field == "time_expire"
