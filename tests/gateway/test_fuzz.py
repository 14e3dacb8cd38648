"""Whatever is sent to a served gateway is answered: no fault, no traceback, no money, no memory."""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from random import Random
from urllib.parse import quote_plus, urlencode
from uuid import uuid4

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databases import with_database
from gateway import nonsense
from journeys.scene import PROGRAM, Payer, Running, Scene, Shop, new_number
from xinghan import identity
from xinghan.kit import db, signing
from xinghan.kit.clock import format_gateway_time
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.settings import Settings

ANSWER_SECONDS_MAX = 60
SEED = 20260131
WARM_UP_REQUESTS = 500
MEASURED_REQUESTS = 2000
GROWTH_MAX = 1.15
FAULTS = (b'"20000"', b"isp.", b"Traceback", b"Internal Server Error")
LOGGED_FAULTS = ("gateway_method_failed", "lookup_failed", "Traceback", "[ERROR]")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Served:
    """A platform that serves with one process, its shops, and what is known of their orders."""

    running: Running
    process: psutil.Process
    log: Path
    shop: Shop
    guesser: Shop
    poor: Payer
    paid_number: str
    unpaid_number: str

    def send(self, request: bytes) -> bytes | None:
        """Send a request on a connection of its own; gives the body, None where HTTP itself ended.

        Fails on a fault: a status of 500 and more, or what is said to be the platform's own.
        """
        status, body = self._exchange(request)
        shown = f"{status} {body[:500]!r} for {request[:500]!r}"
        assert status < 500, shown
        assert not any(fault in body for fault in FAULTS), shown
        return body if status else None

    def break_off(self, request: bytes) -> None:
        """Send the beginning of a request and go away."""
        with self._connect() as connection:
            connection.sendall(request)

    def rss_bytes(self) -> int:
        """Give what the serving process holds in memory."""
        [serving] = [
            child
            for child in self.process.children()
            if "multiprocessing.spawn" in " ".join(child.cmdline())
        ]
        return int(serving.memory_info().rss)

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        with self._connect() as connection:
            with suppress(OSError):  # it may have answered and gone before it has read all
                connection.sendall(request)
            answer = HTTPResponse(connection, method=request.split(b" ")[0].decode("latin-1"))
            try:
                answer.begin()
                return answer.status, answer.read()
            except (OSError, HTTPException):
                return 0, b""

    def _connect(self) -> socket.socket:
        host, _, port = self.running.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS_MAX)


@pytest.fixture(scope="module")
def served(cluster: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The platform, which must not have logged any fault, nor moved any money, when all is done."""
    name, folder = f"fuzz_{uuid4().hex}", tmp_path_factory.mktemp("fuzz")
    asyncio.run(_execute(cluster.owner_url, f"CREATE DATABASE {name}"))
    url = with_database(cluster.owner_url, name)
    running = Running(f"http://127.0.0.1:{_free_port()}", url, folder / "data")
    log = folder / "stderr.log"
    with log.open("w") as stderr:
        program = _start(running, stderr.fileno())
        try:
            made = asyncio.run(_make_cast(running, log, program.pid))
            before = asyncio.run(_read_books(running))
            yield made
            assert asyncio.run(_read_books(running)) == before
        finally:
            program.terminate()
            program.communicate(timeout=ANSWER_SECONDS_MAX)
            asyncio.run(_execute(cluster.owner_url, f"DROP DATABASE {name} WITH (FORCE)"))
    said = log.read_text()
    assert not any(fault in said for fault in LOGGED_FAULTS), said


# Each of these tests loops, because a test run with many workers would start a platform for every
# worker that gets one of them.


def test_nonsense_on_the_wire_is_answered(served: Served) -> None:
    for request in nonsense.requests():
        served.send(request)


def test_who_goes_away_in_the_middle_disturbs_nobody(served: Served) -> None:
    for request in nonsense.unfinished():
        served.break_off(request)
    assert served.send(sign_v2(served.shop, "alipay.trade.query", b'{"out_trade_no":"x"}'))


def test_contents_that_are_no_contents_are_answered(served: Served) -> None:
    aes_key = signing.load_aes_key(served.shop.sdk.aes_key)
    for content in nonsense.CONTENTS:
        for method in ("alipay.trade.query", "alipay.trade.precreate"):
            encrypted = signing.encrypt_aes(aes_key, content).encode()
            for charset in ("utf-8", "gbk"):
                assert served.send(sign_v2(served.shop, method, content, charset=charset))
            for text in (encrypted, content, encrypted[:-7], b"QUJD"):
                assert served.send(sign_v2(served.shop, method, text, encrypt_type="AES"))
            assert served.send(sign_v3(served.shop, method, content))


@settings(derandomize=True, deadline=None, max_examples=150, database=None)
@given(
    query=st.binary(max_size=60),
    body=st.binary(max_size=200),
    content_type=st.sampled_from(
        [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "\xff; charset=\xff",
        ]
    ),
)
def test_any_bytes_are_answered(
    served: Served, query: bytes, body: bytes, content_type: str
) -> None:
    target = quote_plus(query, safe="&=%?+").encode()
    head = b"POST /gateway.do?%b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\n"
    request = head % (target, content_type.encode("latin-1"))
    served.send(request + b"Content-Length: %d\r\n\r\n" % len(body) + body)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@settings(derandomize=True, deadline=None, max_examples=150, database=None)
@given(
    method=st.sampled_from(["close", "create", "fastpay.refund.query", "precreate", "query"]),
    content=st.dictionaries(st.sampled_from(nonsense.FIELDS), JSON_VALUES, max_size=5),
    version=st.sampled_from([2, 3]),
)
def test_any_signed_content_is_answered(
    served: Served, method: str, content: dict[str, object], version: int
) -> None:
    # None of these methods moves money, so that their contents may make any sense.
    sign = sign_v2 if version == 2 else sign_v3
    text = json.dumps(content).encode()
    assert served.send(sign(served.shop, f"alipay.trade.{method}", text))


def test_memory_does_not_grow(served: Served) -> None:
    requests = endless_requests(served)
    for _ in range(WARM_UP_REQUESTS):
        served.send(next(requests))
    before = served.rss_bytes()
    for _ in range(MEASURED_REQUESTS):
        served.send(next(requests))
    assert served.rss_bytes() < before * GROWTH_MAX


def endless_requests(served: Served) -> Iterator[bytes]:
    """Yield signed nonsense for every field of every method, amid nonsense on the wire."""
    random = Random(SEED)
    on_the_wire = list(nonsense.requests())
    while True:
        yield _signed_nonsense(served, random)
        if random.random() < 0.2:
            yield random.choice(on_the_wire)


def _signed_nonsense(served: Served, random: Random) -> bytes:
    method, content = random.choice(list(_sensible_contents(served).items()))
    value = random.choice(nonsense.VALUES)
    if random.random() < 0.1:
        parameter = {random.choice(nonsense.PARAMETERS): str(value)[:2000]}
        return sign_v2(served.shop, method, json.dumps(content).encode(), **parameter)
    name = random.choice(sorted(content) + sorted(nonsense.FIELDS))
    # Who shows wrong codes too often is refused before anything else is looked at.
    shop = served.guesser if name == "auth_code" else served.shop
    sign = random.choice([sign_v2, sign_v2, sign_v3])
    return sign(shop, method, nonsense.replaced(content, name, value))


def _sensible_contents(served: Served) -> dict[str, dict[str, object]]:
    """Give contents that every method understands, and that move no money all the same."""
    order = {"out_trade_no": new_number(), "subject": "茶", "total_amount": "88.00"}
    paid, unpaid = {"out_trade_no": served.paid_number}, {"out_trade_no": served.unpaid_number}
    return {
        "alipay.trade.cancel": unpaid,
        "alipay.trade.close": unpaid,
        "alipay.trade.create": {**order, "buyer_id": served.poor.user_id},
        "alipay.trade.fastpay.refund.query": {**paid, "out_request_no": "R1"},
        "alipay.trade.pay": {**order, "auth_code": served.poor.code(), "scene": "bar_code"},
        "alipay.trade.precreate": order,
        "alipay.trade.query": paid,
        "alipay.trade.refund": {**paid, "refund_amount": "99.00", "out_request_no": "R1"},
    }


def sign_v2(
    shop: Shop, method: str, content: bytes, *, charset: str = "utf-8", **parameters: str
) -> bytes:
    """Sign a content, whatever bytes it is, as a form for `gateway.do`."""
    texts = {
        "app_id": shop.sdk.app_id,
        "method": method,
        "charset": charset,
        "sign_type": "RSA2",
        "timestamp": format_gateway_time(datetime.now(UTC)),
        "version": "1.0",
        **parameters,
    }
    values = {name: text.encode("utf-8") for name, text in texts.items()} | {"biz_content": content}
    signed = b"&".join(
        b"%b=%b" % (name.encode(), value) for name, value in sorted(values.items()) if value.strip()
    )
    sign_type = signing.SignType.RSA if texts["sign_type"] == "RSA" else signing.SignType.RSA2
    values["sign"] = signing.sign(shop.key, signed, sign_type).encode()
    body = urlencode(values).encode()
    head = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
    return b"POST /gateway.do HTTP/1.1\r\nHost: x\r\n" + head % len(body) + body


def sign_v3(shop: Shop, method: str, content: bytes) -> bytes:
    """Sign a content, whatever bytes it is, in headers for `/v3/…`."""
    target = f"/v3/{method.replace('.', '/')}".encode()
    said = f"app_id={shop.sdk.app_id},nonce={uuid4().hex},timestamp=1769817600000".encode()
    message = b"%b\nPOST\n%b\n%b\n" % (said, target, content)
    signature = signing.sign(shop.key, message, signing.SignType.RSA2).encode()
    head = (
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Authorization: ALIPAY-SHA256withRSA %b,sign=%b\r\nContent-Length: %d\r\n\r\n"
    )
    return head % (target, said, signature, len(content)) + content


def _start(running: Running, stderr: int) -> "subprocess.Popen[str]":
    command = [PROGRAM, "up", "--data", str(running.data), "--database-url", running.database_url]
    program = subprocess.Popen(
        [*command, "--port", running.url.rpartition(":")[2]],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={
            **os.environ,
            "XINGHAN_SANDBOX": "true",
            "XINGHAN_WORKERS": "1",
            "XINGHAN_LOG_LEVEL": "warning",
        },
    )
    assert program.stdout is not None
    line = program.stdout.readline()
    assert line.startswith("ready "), f"the platform did not start: {line}"
    return program


async def _make_cast(running: Running, log: Path, pid: int) -> Served:
    database = await db.Database.open(running.database_url, application_name="tests")
    try:
        async with database.acquire() as connection:
            vault = await identity.open_vault(connection, Settings.read(data=running.data))
        scene = Scene(running, database, vault)
        shop, guesser = await scene.shop(), await scene.shop()
        lin, poor = await scene.payer(), await scene.payer("0.01")
        made = Served(
            running, psutil.Process(pid), log, shop, guesser, poor, new_number(), new_number()
        )
        order = {"subject": "茶", "total_amount": "88.00"}
        await scene.pay(lin, _precreate(made, {**order, "out_trade_no": made.paid_number}))
        _precreate(made, {**order, "out_trade_no": made.unpaid_number})
    finally:
        await database.close()
    return made


def _precreate(served: Served, content: dict[str, str]) -> str:
    answer = served.send(
        sign_v2(served.shop, "alipay.trade.precreate", json.dumps(content).encode())
    )
    assert answer is not None
    return str(json.loads(answer)["alipay_trade_precreate_response"]["qr_code"])


async def _read_books(running: Running) -> object:
    database = await db.Database.open(running.database_url, application_name="tests")
    try:
        return await Scene(running, database, None).books.everything()
    finally:
        await database.close()


async def _execute(url: str, statement: str) -> None:
    connection = await db.connect(url)
    await connection.execute(statement)
    await connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
