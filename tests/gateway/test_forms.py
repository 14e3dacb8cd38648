"""Queries and form bodies: percent-encoding, limits, repetition, charsets, parts."""

import contextlib
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.gateway.errors import GatewayError
from xinghan.gateway.forms import read_parameters, read_urlencoded
from xinghan.gateway.model import (
    PARAMETER_BYTES_MAX,
    PARAMETERS_MAX,
    REQUEST_BYTES_MAX,
    HttpRequest,
)


def request(query: bytes = b"", body: bytes = b"", content_type: str = "") -> HttpRequest:
    return HttpRequest("POST", "/gateway.do", query, body, {"content-type": content_type})


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.binary(max_size=80)))
def test_what_was_percent_encoded_comes_back(values: dict[str, bytes]) -> None:
    encoded = "&".join(f"{name}={quote_plus(value)}" for name, value in values.items())
    assert dict(read_urlencoded(encoded.encode())) == values


@given(st.binary(max_size=60))
def test_anything_else_is_read_or_refused(encoded: bytes) -> None:
    with contextlib.suppress(GatewayError):
        assert all(name.isascii() for name, _ in read_urlencoded(encoded))


def test_characters_that_need_no_encoding_may_stand_raw() -> None:
    raw = 'a={"b":"\\u4e2d c+d"}&e=红'.encode()
    assert dict(read_urlencoded(raw)) == {"a": b'{"b":"\\u4e2d c d"}', "e": "红".encode()}


@pytest.mark.parametrize(
    "encoded",
    [b"a=%", b"a=%4", b"a=%zz", b"a=%u4e2d", b"%=1", b"=1", b"%E7%BA%A2=1", b"a%00=1", b"a=%41\n"],
)
def test_malformed_pairs_are_refused(encoded: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        read_parameters(request(encoded))
    assert refused.value.sub_code == "isv.invalid-parameter"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (b"x=1", b"x=" + b"a" * REQUEST_BYTES_MAX),
        (b"x=" + b"a" * (PARAMETER_BYTES_MAX + 1), b""),
        (b"", b"x=" + b"%61" * (PARAMETER_BYTES_MAX + 1)),
        (b"&".join(b"p%d=1" % n for n in range(PARAMETERS_MAX + 1)), b""),
        (b"&" * (2 * PARAMETERS_MAX), b""),
        (b"x=%00", b""),
        (b"x=1", b"x=2"),
        (b"x=1&x=2", b""),
    ],
)
def test_limits_and_contradictions_are_refused(query: bytes, body: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        read_parameters(request(query, body))
    assert refused.value.sub_code == "isv.invalid-parameter"


def test_the_largest_that_is_allowed_is_read() -> None:
    query = b"&".join(b"p%d=1" % n for n in range(PARAMETERS_MAX - 1))
    read = read_parameters(request(query, b"x=" + b"a" * PARAMETER_BYTES_MAX))
    assert len(read.text) == PARAMETERS_MAX
    assert len(read.raw["x"]) == PARAMETER_BYTES_MAX


def test_the_same_value_twice_is_harmless() -> None:
    assert read_parameters(request(b"charset=utf-8", b"charset=utf-8")).text == {"charset": "utf-8"}


def test_the_charset_is_a_parameter_or_an_option_of_the_content_type() -> None:
    encoded = f"subject={quote_plus('红茶', encoding='gbk')}".encode()
    by_parameter = read_parameters(request(encoded + b"&charset=GBK"))
    by_header = read_parameters(request(encoded, content_type="text/plain; charset=GBK"))
    assert by_parameter.text["subject"] == by_header.text["subject"] == "红茶"


@pytest.mark.parametrize(
    "query", [b"charset=utf-7", b"charset=%FF", b"x=%FF", b"x=%80&charset=gbk"]
)
def test_a_charset_that_is_unknown_or_wrong_is_refused(query: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        read_parameters(request(query))
    assert refused.value.sub_code == "isv.invalid-charset"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1',
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--",
        ),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n1\r\n--y--"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * (PARAMETERS_MAX + 1)
            + b"--x--",
        ),
    ],
)
def test_malformed_parts_are_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        read_parameters(request(b"", body, content_type))
    assert refused.value.sub_code == "isv.invalid-parameter"
