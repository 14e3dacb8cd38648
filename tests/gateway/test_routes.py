"""The doors over HTTP: bodies are read up to the limit, and whatever comes is answered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from cast.clock import FixedClock
from gateway.conftest import Signed
from xinghan.gateway.envelope import success
from xinghan.gateway.model import REQUEST_BYTES_MAX, Call, HttpAnswer, HttpRequest
from xinghan.gateway.routes import Gateway, gateway_routes
from xinghan.identity import AppCredentials
from xinghan.kit import signing

CHUNK = b"x" * (1 << 16)


@dataclass
class Exchange:
    """One request as a server hands it over, and what came back."""

    app: Starlette
    chunks: list[bytes] = field(default_factory=lambda: [b""])
    status: int = 0
    body: bytes = b""
    chunks_read: int = 0
    breaks_off: bool = False

    async def run(self, http_method: str, path: str, query: bytes = b"", **more: object) -> None:
        """Send a request and take the answer."""
        scope = {
            "type": "http",
            "method": http_method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
            **more,
        }
        await self.app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        self.chunks_read += 1
        if self.chunks_read > len(self.chunks) or self.breaks_off:
            return {"type": "http.disconnect"}
        more = self.chunks_read < len(self.chunks)
        return {
            "type": "http.request",
            "body": self.chunks[self.chunks_read - 1],
            "more_body": more,
        }

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")

    @property
    def node(self) -> dict[str, str]:
        """The answer's node of v2."""
        envelope: dict[str, dict[str, str]] = json.loads(self.body)
        return next(node for name, node in envelope.items() if name.endswith("_response"))


@pytest.fixture
def doors(app: AppCredentials) -> Starlette:
    """The doors around a method that gives back what it was called with."""

    async def find(app_id: str) -> AppCredentials | None:
        return app if app_id == app.app_id else None

    async def echo(call: Call) -> Mapping[str, object]:
        return success(method=call.method, content=call.content)

    async def verify(request: HttpRequest) -> HttpAnswer:
        return HttpAnswer(200, {"content-type": "text/plain"}, b"asked: " + request.query)

    made = Starlette(routes=gateway_routes())
    made.state.gateway = Gateway(find, echo, FixedClock(), verify)
    return made


async def test_a_signed_request_is_answered_whether_sent_as_one_or_in_pieces(
    doors: Starlette, signed: Signed
) -> None:
    request = signed()
    whole, pieces = Exchange(doors, [request.body]), Exchange(doors)
    pieces.chunks = [request.body[:5], b"", request.body[5:]]
    for exchange in (whole, pieces):
        await exchange.run("POST", "/gateway.do", request.query)
        assert (exchange.status, exchange.node["method"]) == (200, "alipay.trade.precreate")


async def test_a_get_carries_everything_in_its_query(doors: Starlette, signed: Signed) -> None:
    request = signed()
    exchange = Exchange(doors)
    await exchange.run("GET", "/gateway.do", request.query + b"&" + request.body)
    assert exchange.node["code"] == "10000"


async def test_who_asks_about_a_notification_calls_no_method(doors: Starlette) -> None:
    exchange = Exchange(doors)
    await exchange.run("GET", "/gateway.do", b"service=notify_verify&notify_id=1")
    assert exchange.body == b"asked: service=notify_verify&notify_id=1"


async def test_an_endless_body_is_read_no_further_than_the_limit(doors: Starlette) -> None:
    for path, status in (("/gateway.do", 200), ("/v3/alipay/trade/pay", 400)):
        exchange = Exchange(doors, [CHUNK] * 1000)
        await exchange.run("POST", path)
        assert exchange.status == status
        assert b"invalid-parameter" in exchange.body
        assert exchange.chunks_read == REQUEST_BYTES_MAX // len(CHUNK) + 1


async def test_a_body_that_breaks_off_raises_nothing(doors: Starlette) -> None:
    exchange = Exchange(doors, breaks_off=True)
    await exchange.run("POST", "/gateway.do")
    assert exchange.node["sub_code"] == "isv.missing-method"


async def test_v3_answers_under_its_path(
    doors: Starlette, app: AppCredentials, app_key: signing.rsa.RSAPrivateKey
) -> None:
    said = f"app_id={app.app_id},nonce=n,timestamp=1769817600000"
    body = b'{"out_trade_no":"T1"}'
    message = f"{said}\nPOST\n/v3/alipay/trade/query\n".encode() + body + b"\n"
    signature = signing.sign(app_key, message, signing.SignType.RSA2)
    exchange = Exchange(doors, [body])
    authorization = f"ALIPAY-SHA256withRSA {said},sign={signature}".encode()
    headers = [(b"content-type", b"application/json"), (b"authorization", authorization)]
    await exchange.run("POST", "/v3/alipay/trade/query", headers=headers)
    assert exchange.status == 200
    assert json.loads(exchange.body)["content"] == {"out_trade_no": "T1"}


@pytest.mark.parametrize("path", ["/v3/", "/v3/%E8%8C%B6", "/v3/茶", "/v3/alipay/trade/pay%00"])
async def test_odd_paths_are_refused_without_a_fault(doors: Starlette, path: str) -> None:
    for more in ({}, {"raw_path": path.encode("utf-8")}):
        exchange = Exchange(doors)
        await exchange.run("POST", path, **more)
        assert exchange.status in {401, 404, 400}
