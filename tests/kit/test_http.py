"""What all doors share over HTTP: headers, bounded bodies, whose address it is."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from xinghan.kit.errors import MoneyOutcome, Unauthorised
from xinghan.kit.http import (
    AddressPace,
    BodyLimit,
    DatabaseAway,
    SecurityHeaders,
    address_of,
    error_body,
    error_response,
)
from xinghan.kit.limits import Buckets


async def echo(request: Request) -> Response:
    return PlainTextResponse(await request.body(), headers={"x-frame-options": "SAMEORIGIN"})


ECHO = Starlette(routes=[Route("/", echo, methods=["GET", "POST"])])


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")


async def test_headers_are_added_and_those_that_are_there_stay() -> None:
    async with client_of(SecurityHeaders(ECHO, https=True)) as client:
        headers = (await client.get("/")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "max-age" in headers["strict-transport-security"]


async def test_a_site_without_https_promises_none() -> None:
    async with client_of(SecurityHeaders(ECHO)) as client:
        assert "strict-transport-security" not in (await client.get("/")).headers


@pytest.mark.parametrize(("length", "status"), [(0, 200), (10, 200), (11, 413)])
async def test_a_body_is_read_up_to_its_limit(length: int, status: int) -> None:
    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(length):
            yield b"x"

    async with client_of(BodyLimit(ECHO, bytes_max=10)) as client:
        whole = await client.post("/", content=b"x" * length)
        pieces = await client.post("/", content=in_pieces())
    assert (whole.status_code, pieces.status_code) == (status, status)
    if status == 200:
        assert whole.text == pieces.text == "x" * length


async def test_an_announced_length_that_is_none_is_refused() -> None:
    async with client_of(BodyLimit(ECHO, bytes_max=10)) as client:
        answer = await client.post("/", content=b"x", headers={"content-length": "-1"})
    assert answer.status_code == 413


async def test_an_address_that_asks_too_fast_waits() -> None:
    paced = AddressPace(ECHO, buckets=Buckets(per_second=0, burst=2))
    async with client_of(paced) as client:
        statuses = [(await client.get("/")).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "20010db800010002::/64"),
        (("fe80::1%eth0", 1), "fe80000000000000::/64"),
        (("unix", 0), "unix"),
        (None, ""),
    ],
)
def test_an_address_is_counted_as_one_who_asks(
    client: tuple[str, int] | None, address: str
) -> None:
    assert address_of({"type": "http", "client": client}) == address


def test_an_error_says_what_is_wrong_and_what_happened_to_the_money() -> None:
    error = DatabaseAway(money=MoneyOutcome.UNKNOWN)
    body = error_body(error, "en")["error"]
    assert (body["code"], body["field"], body["language"]) == ("database_away", None, "en")
    assert body["money"] == "it is not yet known whether the money has moved"
    assert error_response(error, "zh").headers["retry-after"] == "1"
    assert error_response(Unauthorised(), "zh").headers["www-authenticate"] == "Bearer"
