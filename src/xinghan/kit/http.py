"""What all doors share over HTTP: headers, bounded bodies, a pace for each address, errors.

The middlewares are plain ASGI, so that they cost nothing where they have nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xinghan.kit.errors import Invalid, TooMany, XinghanError
from xinghan.kit.i18n import Language, choose_language
from xinghan.kit.limits import Buckets

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
STRICT_TRANSPORT_SECURITY: Final = "max-age=31536000"
IPV6_NETWORK_BITS: Final = 64


class BodyTooLarge(Invalid):
    """The body of the request is longer than this door reads."""

    code = "body_too_large"
    http_status = 413


class DatabaseAway(XinghanError):
    """The database does not answer; what was asked may or may not have been done."""

    code = "database_away"
    http_status = 503


class SecurityHeaders:
    """Adds the headers that keep a browser from doing what these pages never ask for.

    A header that the answer already has is left as it is.
    """

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        self.app = app
        self.headers = dict(SECURITY_HEADERS)
        if https:
            self.headers["strict-transport-security"] = STRICT_TRANSPORT_SECURITY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class BodyLimit:
    """Reads the body before the application does, and refuses one of more than `bytes_max`."""

    def __init__(self, app: ASGIApp, *, bytes_max: int) -> None:
        self.app = app
        self.bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            await self.app(scope, receive, send)
            return
        body = await self._read(scope, receive)
        if body is None:
            answer = error_response(BodyTooLarge(bytes=self.bytes_max), language_of(scope))
            await answer(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Give the whole body; None when it is too long."""
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > self.bytes_max:
            return None
        body = bytearray()
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.bytes_max:
                return None
        return bytes(body)


class AddressPace:
    """Refuses an address that asks faster than its bucket of tokens fills."""

    def __init__(self, app: ASGIApp, *, buckets: Buckets) -> None:
        self.app = app
        self.buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self.buckets.take(address_of(scope)):
            answer = error_response(TooMany(), language_of(scope))
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)


def address_of(scope: Scope) -> str:
    """Name who asks, for counting: the IPv4 address, or the /64 network of an IPv6 address.

    Headers that claim another address are not believed.
    """
    client = scope.get("client")
    if not client:
        return ""
    try:
        address = ip_address(client[0].split("%")[0])
    except ValueError:
        return str(client[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{int(address) >> (128 - IPV6_NETWORK_BITS):x}::/64"
    return str(address.ipv4_mapped or address if isinstance(address, IPv6Address) else address)


def language_of(scope: Scope) -> Language:
    """Choose the language of an answer by the request's Accept-Language."""
    return choose_language(Headers(scope=scope).get("accept-language"))


def error_body(error: XinghanError, language: Language) -> dict[str, Any]:
    """Give the one shape in which every native door tells an error."""
    return {
        "error": {
            "code": error.code,
            "message": error.message(language),
            "field": error.field,
            "money": error.money_message(language),
            "language": language,
        }
    }


def error_response(error: XinghanError, language: Language) -> Response:
    """Give an error as the answer to a request."""
    headers = {"content-language": language, "vary": "accept-language"}
    if error.http_status in {429, 503}:
        headers["retry-after"] = "1"
    if error.http_status == 401:  # noqa: PLR2004 (RFC 9110 asks for the header beside this status)
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error_body(error, language), error.http_status, headers)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once more, then whatever comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
