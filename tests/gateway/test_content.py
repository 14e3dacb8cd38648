"""Business content: exact numbers, bounded depth, nothing that a database cannot store."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.gateway.content import read_content
from xinghan.gateway.errors import GatewayError
from xinghan.gateway.model import CONTENT_DEPTH_MAX


def test_numbers_are_exact() -> None:
    read = read_content('{"total_amount": 88.10, "quantity": 2, "text": "0.10"}')
    assert read == {"total_amount": Decimal("88.10"), "quantity": 2, "text": "0.10"}
    assert str(read["total_amount"]) == "88.10"


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_content_is_empty(text: str) -> None:
    assert read_content(text) == {}


def test_the_deepest_that_is_allowed_is_read() -> None:
    inner = CONTENT_DEPTH_MAX - 1
    text = '{"a":' + "[" * inner + "]" * inner + ',"b":"' + "{[" * 100 + '"}'
    assert read_content(text)["b"] == "{[" * 100


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        '"text"',
        "{",
        "{'a':1}",
        '{"a":NaN}',
        '{"a":Infinity}',
        '{"a":-Infinity}',
        '{"a":1e999999999}',
        '{"a":1e99999999999999999999}',
        '{"a":1.' + "0" * 100 + "}",
        '{"a":1' + "0" * 5000 + "}",
        '{"a":"\\u0000"}',
        '{"a":[{"\\u0000":1}]}',
        '{"a":"\\ud800"}',
        '{"a":"\ud800"}',
        '{"a":' + "[" * CONTENT_DEPTH_MAX + "]" * CONTENT_DEPTH_MAX + "}",
        "[" * 60_000,
        '{"a":' * 10_000,
        '{"a":"unfinished ' + "[" * 1000,
    ],
)
def test_what_is_unreadable_is_refused(text: str) -> None:
    with pytest.raises(GatewayError) as refused:
        read_content(text)
    assert refused.value.sub_code == "isv.invalid-parameter"


def test_an_escaped_backslash_before_u0000_is_no_null() -> None:
    assert read_content(r'{"a":"\\u0000"}') == {"a": r"\u0000"}


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(GatewayError):
        assert isinstance(read_content(text), dict)
