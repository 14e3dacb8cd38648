"""A payer's code is derived alike everywhere, found again only in its time, and hard to guess."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.kit.ids import TradeId, uuid7
from xinghan.kit.numbering import new_trade_id
from xinghan.payments.codes import (
    derive_code,
    device_number_of,
    matching_step,
    order_token,
    step_at,
    trade_of_order_token,
)

VECTORS = Path(__file__).with_name("payment_code_vectors.json")
SECRET = bytes(range(32))
KEY = bytes(range(32, 64))

device_numbers = st.integers(0, 10**10 - 1)
secrets = st.binary(min_size=32, max_size=32)
steps = st.integers(0, 2**40)


class Vector(TypedDict):
    device_number: int
    secret_hex: str
    step: int
    code: str


def read_vectors() -> list[Vector]:
    vectors: list[Vector] = json.loads(VECTORS.read_text())["vectors"]
    return vectors


@pytest.mark.parametrize("vector", read_vectors())
def test_codes_are_fixed_for_every_implementation(vector: Vector) -> None:
    secret = bytes.fromhex(vector["secret_hex"])
    assert derive_code(vector["device_number"], secret, vector["step"]) == vector["code"]
    assert device_number_of(vector["code"]) == vector["device_number"]


@given(device_numbers, secrets, steps)
def test_a_code_tells_its_device_and_its_step(device: int, secret: bytes, step: int) -> None:
    code = derive_code(device, secret, step)
    assert len(code) == 18
    assert "25" <= code[:2] <= "30"
    assert device_number_of(code) == device
    assert matching_step(code, secret, step) == step


@pytest.mark.parametrize(
    ("now_step", "found"),
    [(999, 1000), (1000, 1000), (1002, 1000), (998, None), (1003, None)],
)
def test_a_code_is_found_from_one_step_early_to_two_late(now_step: int, found: int | None) -> None:
    assert matching_step(derive_code(7, SECRET, 1000), SECRET, now_step) == found


def test_the_window_can_be_chosen() -> None:
    code = derive_code(7, SECRET, 1000)
    assert matching_step(code, SECRET, 1001, back=0) is None
    assert matching_step(code, SECRET, 997, ahead=3) == 1000
    assert matching_step(derive_code(7, SECRET, 0), SECRET, 1) == 0


@given(device_numbers, secrets, secrets, steps)
def test_another_secret_finds_nothing(device: int, secret: bytes, other: bytes, step: int) -> None:
    code = derive_code(device, secret, step)
    derived = {derive_code(device, other, near) for near in range(max(step - 2, 0), step + 2)}
    assert (matching_step(code, other, step) is None) == (code not in derived)


@given(device_numbers, st.integers(0, 17), st.integers(1, 9))
def test_a_misread_digit_finds_nothing(device: int, position: int, change: int) -> None:
    code = derive_code(device, SECRET, 1000)
    digit = (int(code[position]) + change) % 10
    misread = f"{code[:position]}{digit}{code[position + 1 :]}"
    assert device_number_of(misread) != device or matching_step(misread, SECRET, 1000) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "28", "24" + "0" * 16, "31" + "0" * 16, "28" + "0" * 15, "28" + "0" * 17),
        *("28" + "0" * 15 + "x", "28" + "٣" * 16, " 28" + "0" * 15, "28" + "0" * 16 + "\n"),
    ],
)
def test_other_texts_are_no_codes(text: str) -> None:
    assert device_number_of(text) is None
    assert matching_step(text, SECRET, 1000) is None


def test_codes_of_one_phone_do_not_look_alike() -> None:
    codes = [derive_code(7, SECRET, step) for step in range(3000)]
    assert len({code[8:] for code in codes}) == 3000
    for position in range(8, 18):
        counts = Counter(code[position] for code in codes)
        assert max(counts.values()) < 450, position


def test_the_prefix_is_part_of_the_password() -> None:
    counts = Counter(derive_code(7, SECRET, step)[:2] for step in range(3000))
    assert sorted(counts) == ["25", "26", "27", "28", "29", "30"]
    assert min(counts.values()) > 400


def test_a_step_is_half_a_minute() -> None:
    assert step_at(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert step_at(datetime(1970, 1, 1, 0, 0, 29, 999_999, tzinfo=UTC)) == 0
    assert step_at(datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)) == 1
    assert step_at(datetime(2026, 1, 1, tzinfo=UTC)) == 1_767_225_600 // 30


@pytest.mark.parametrize(
    ("device_number", "secret"), [(-1, SECRET), (10**10, SECRET), (7, b"short"), (7, bytes(33))]
)
def test_devices_are_within_bounds(device_number: int, secret: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        derive_code(device_number, secret, 1)


@given(st.integers(0, 127))
def test_an_order_token_leads_to_its_trade(bucket: int) -> None:
    trade_id = new_trade_id(bucket)
    token = order_token(trade_id, KEY)
    assert len(token) == 26
    assert token.isalnum()
    assert trade_of_order_token(token, KEY) == trade_id
    assert trade_of_order_token(token.upper(), KEY) == trade_id


def test_neighbouring_trades_have_nothing_in_common() -> None:
    tokens = [order_token(new_trade_id(5), KEY) for _ in range(500)]
    assert len({token[:8] for token in tokens}) == 500
    assert len({token[-8:] for token in tokens}) == 500


@given(st.one_of(st.text(max_size=30), st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=26)))
def test_tokens_never_given_out_lead_nowhere(token: str) -> None:
    assert trade_of_order_token(token, KEY) is None


def test_a_token_is_worth_nothing_under_another_key() -> None:
    assert trade_of_order_token(order_token(new_trade_id(5), SECRET), KEY) is None


@pytest.mark.parametrize("identity", [uuid7(), UUID(int=0), UUID(int=2**128 - 1)])
def test_a_token_of_what_is_no_trade_leads_nowhere(identity: UUID) -> None:
    assert trade_of_order_token(order_token(TradeId(identity), KEY), KEY) is None
