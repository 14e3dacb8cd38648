"""The gateway's two doors over HTTP: `/gateway.do` and `/v3/…`.

A body is read as it comes and no further than the wire's limit, so that a large one costs neither
memory nor time: what was read by then is already too large for the wire, which says so.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from xinghan.gateway import v2, v3
from xinghan.gateway.methods import METHODS
from xinghan.gateway.model import (
    REQUEST_BYTES_MAX,
    FindApp,
    HttpAnswer,
    HttpRequest,
    MethodHandler,
)
from xinghan.gateway.notify_verify import asks_notify_verify
from xinghan.kit.clock import Clock

HTTP_METHODS = ["GET", "POST"]


@dataclass(frozen=True, slots=True)
class Gateway:
    """What both doors need: how to find the app that calls, and how to run its call.

    `verify_notice` answers who asks whether a notification is the platform's own.
    """

    find_app: FindApp
    run: MethodHandler
    clock: Clock
    verify_notice: Callable[[HttpRequest], Awaitable[HttpAnswer]]


def gateway_routes() -> list[Route]:
    """Give the doors' routes; the application keeps its Gateway as `app.state.gateway`."""
    return [
        Route("/gateway.do", _answer_v2, methods=HTTP_METHODS),
        Route("/v3/{path:path}", _answer_v3, methods=HTTP_METHODS),
    ]


async def _answer_v2(request: Request) -> Response:
    http, gateway = await _read(request), _gateway(request)
    if asks_notify_verify(http):
        return _shown(await gateway.verify_notice(http))
    return _shown(await v2.respond(http, METHODS, gateway.find_app, gateway.run))


async def _answer_v3(request: Request) -> Response:
    http, gateway = await _read(request), _gateway(request)
    answer = await v3.respond(http, METHODS, gateway.find_app, gateway.run, gateway.clock.now)
    return _shown(answer)


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


async def _read(request: Request) -> HttpRequest:
    scope = request.scope
    return HttpRequest(
        request.method,
        scope.get("raw_path", scope["path"].encode()).decode("latin-1"),
        scope["query_string"],
        await _read_body(request),
        dict(request.headers),
    )


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk[: REQUEST_BYTES_MAX + 1 - len(body)]
            if len(body) > REQUEST_BYTES_MAX:
                break
    except ClientDisconnect:
        # Nobody waits for the answer any more; what came cannot carry a good signature.
        return bytes(body)
    return bytes(body)


def _shown(answer: HttpAnswer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
