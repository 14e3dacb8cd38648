"""Ids are UUIDv7 that grow, and read back from print only as what they are."""

import os
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.kit import ids
from xinghan.kit.ids import (
    ACCOUNT,
    APP,
    DEVICE,
    MERCHANT,
    NOTIFICATION,
    PERSON,
    POSTING,
    REFUND,
    TRADE,
    AccountId,
    IdMalformed,
    TradeId,
    from_crockford,
    to_crockford,
    uuid7,
)

UUID_KINDS = (PERSON, MERCHANT, APP, DEVICE, TRADE, REFUND, NOTIFICATION, POSTING)


def test_ids_are_version_7_of_the_present_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made == uuid.UUID(str(made))
    assert before <= made.int >> 80 <= after


def test_ids_only_grow() -> None:
    made = [uuid7() for _ in range(50_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_grow_though_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = ids._Generator()
    made = [generator.uuid7()]
    monkeypatch.setattr(ids, "time_ns", lambda: 1)
    made += [generator.uuid7() for _ in range(5000)]
    assert made == sorted(set(made))
    assert {made_id.version for made_id in made} == {7}


def test_a_full_millisecond_flows_over_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "time_ns", lambda: 5_000_000)
    generator = ids._Generator()
    generator._last = (5 << 74) + (1 << 74) - 1
    made = generator.uuid7()
    assert made.int >> 80 == 6
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_threads_never_share_an_id() -> None:
    start = threading.Barrier(4)

    def make() -> list[uuid.UUID]:
        start.wait()
        return [uuid7() for _ in range(5000)]

    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(make) for _ in range(4)]
        assert len({one for many in made for one in many.result()}) == 20_000
        assert all(many.result() == sorted(many.result()) for many in made)


def test_a_forked_child_makes_other_ids() -> None:
    uuid7()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, ids._generator._words[-1:].__repr__().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"[]"
    os.close(reader)
    os.close(writer)


@given(st.uuids(), st.sampled_from(UUID_KINDS))
def test_printed_ids_read_back(identity: uuid.UUID, kind: ids.IdKind[TradeId]) -> None:
    shown = kind.show(TradeId(identity))
    assert shown == shown.lower()
    assert len(shown) == 30
    assert kind.parse(shown) == identity
    assert kind.parse(f"{kind.prefix}_{shown[4:].upper()}") == identity


@given(st.integers(0, 2**63 - 1))
def test_account_numbers_read_back(number: int) -> None:
    shown = ACCOUNT.show(AccountId(number))
    assert len(shown) == 17
    assert ACCOUNT.parse(shown) == number


@given(st.uuids(), st.uuids())
def test_printed_ids_sort_like_the_ids(one: uuid.UUID, other: uuid.UUID) -> None:
    shown = sorted([TRADE.show(TradeId(one)), TRADE.show(TradeId(other))])
    assert [TRADE.parse(text) for text in shown] == sorted([one, other])


def test_prefixes_are_all_different() -> None:
    prefixes = [kind.prefix for kind in UUID_KINDS] + [ACCOUNT.prefix]
    assert prefixes == ["per", "mer", "app", "dev", "pay", "ref", "ntf", "pos", "acc"]


def test_letters_that_are_misread_are_understood() -> None:
    assert TRADE.parse("pay_" + "0" * 24 + "10") == TRADE.parse("pay_" + "0" * 23 + "oIO")


@pytest.mark.parametrize(
    "text",
    [
        *("", "pay", "pay_", "pay_1", "_" * 30, "pay_" + "0" * 25, "pay_" + "0" * 27),
        *("per_" + "0" * 26, "PAY_" + "0" * 26, "pay_" + "u" * 26, "pay_" + "8" + "0" * 25),
        *("pay_" + "0" * 25 + "\n", "pay_" + "0" * 25 + "٣", "pay_+" + "0" * 25),
    ],
)
def test_other_texts_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(IdMalformed, match="pay_ and 26 letters") as refusal:
        TRADE.parse(text, field="trade_id")
    assert refusal.value.field == "trade_id"


def test_accounts_end_where_the_database_ends() -> None:
    assert ACCOUNT.parse("acc_" + to_crockford(2**63 - 1, 13)) == 2**63 - 1
    with pytest.raises(IdMalformed):
        ACCOUNT.parse("acc_" + to_crockford(2**63, 13))


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, 32**n - 1))))
def test_crockford_digits_read_back(case: tuple[int, int]) -> None:
    characters, number = case
    assert from_crockford(to_crockford(number, characters), characters) == number
