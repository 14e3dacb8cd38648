"""Numbers in digits lead back to what they name and show no counts."""

from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.kit import numbering
from xinghan.kit.clock import format_gateway_time
from xinghan.kit.ids import TradeId, uuid7
from xinghan.kit.numbering import (
    SEQUENCE_MAX,
    app_numbers,
    bucket_of_trade,
    is_trade_id,
    new_trade_id,
    trade_id_of,
    trade_no,
    user_numbers,
)

KEY = bytes(range(32))
sequences = st.integers(0, SEQUENCE_MAX)


@given(st.integers(0, 127))
def test_a_trade_leads_to_its_number_and_back(bucket: int) -> None:
    trade_id = new_trade_id(bucket)
    assert (trade_id.version, bucket_of_trade(trade_id)) == (7, bucket)
    number = trade_no(trade_id)
    assert len(number) == 28
    assert number.isdecimal()
    assert trade_id_of(number) == trade_id


@given(st.integers(0, 253_402_185_600_000), st.integers(0, 2**40 - 1))
def test_every_millisecond_has_its_numbers(millisecond: int, tail: int) -> None:
    trade_id = TradeId(numbering._trade_uuid(millisecond, tail))
    number = trade_no(trade_id)
    assert trade_id_of(number) == trade_id
    instant = datetime.fromtimestamp(millisecond // 1000, UTC)
    assert number[:8] == format_gateway_time(instant)[:10].replace("-", "")


def test_trades_of_one_instant_are_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "time_ns", lambda: 1_800_000_000_000_000_000)
    monkeypatch.setattr(numbering, "randbelow", lambda bound: bound - 2)
    monkeypatch.setattr(numbering, "_serials", numbering._Serials())
    made = [new_trade_id(127) for _ in range(1000)]
    assert len(set(made)) == 1000
    assert len({trade_no(trade_id) for trade_id in made}) == 1000
    assert {bucket_of_trade(trade_id) for trade_id in made} == {127}


def test_ids_of_trades_are_spread_by_any_remainder() -> None:
    made = [new_trade_id(5) for _ in range(3000)]
    assert {trade_id.int % 64 for trade_id in made} == set(range(64))


@pytest.mark.parametrize("position", range(128))
def test_a_changed_bit_is_no_trade(position: int) -> None:
    assert not is_trade_id(UUID(int=new_trade_id(5).int ^ 1 << position))


@pytest.mark.parametrize("bucket", [-1, 128])
def test_buckets_end(bucket: int) -> None:
    with pytest.raises(ValueError, match="0 to 127"):
        new_trade_id(bucket)


def test_only_ids_made_for_trades_have_numbers() -> None:
    with pytest.raises(ValueError, match="new_trade_id"):
        trade_no(TradeId(uuid7()))
    with pytest.raises(ValueError, match="new_trade_id"):
        bucket_of_trade(TradeId(UUID(int=0)))


@pytest.mark.parametrize(
    "number",
    [
        *("", "2026", "20260131" + "0" * 19, "20260131" + "0" * 21, "20260131" + "x" * 20),
        *("20260230" + "0" * 20, "00000000" + "0" * 20, "19691231" + "0" * 20),
        *("20260131" + "9" * 20, "20260131" + "٣" * 20, "20260131" + "0" * 19 + "\n"),
    ],
)
def test_numbers_that_no_trade_has_are_none(number: str) -> None:
    assert trade_id_of(number) is None


@given(sequences)
def test_user_and_app_numbers_lead_back(sequence: int) -> None:
    user, app = user_numbers(KEY), app_numbers(KEY)
    assert user.sequence(user.number(sequence)) == sequence
    assert app.sequence(app.number(sequence)) == sequence
    assert user.number(sequence).startswith("2088")
    assert app.number(sequence).startswith("20")
    assert len(user.number(sequence)) == len(app.number(sequence)) == 16
    assert user.number(sequence)[4:] != app.number(sequence)[4:]


def test_numbers_are_fixed_for_ever() -> None:
    assert [user_numbers(KEY).number(n) for n in (0, 1, SEQUENCE_MAX)] == [
        "2088335121449193",
        "2088403396529554",
        "2088934572346715",
    ]
    assert app_numbers(KEY).number(1) == "2021246609111677"


def test_numbers_are_all_different_and_do_not_count() -> None:
    numbers = [user_numbers(KEY).number(sequence) for sequence in range(2000)]
    assert len(set(numbers)) == 2000
    ascents = sum(one < other for one, other in pairwise(numbers))
    assert 900 < ascents < 1100


def test_another_key_gives_other_numbers() -> None:
    assert user_numbers(KEY).number(7) != user_numbers(bytes(32)).number(7)


@pytest.mark.parametrize(
    "number", ["", "2088", "2021" + "0" * 12, "2088" + "0" * 11 + "x", "2088" + "٣" * 12]
)
def test_other_texts_name_no_user(number: str) -> None:
    assert user_numbers(KEY).sequence(number) is None


@pytest.mark.parametrize("sequence", [-1, SEQUENCE_MAX + 1])
def test_sequences_end(sequence: int) -> None:
    with pytest.raises(ValueError, match="from 0 to"):
        user_numbers(KEY).number(sequence)


def test_the_key_is_not_shown() -> None:
    assert str(KEY) not in repr(user_numbers(KEY))
