"""The only way the platform calls an address that somebody else gave it.

Such an address may point into the operator's own network (server-side request forgery). So a name
is resolved once, every address it has is judged, and the connection goes to exactly the address
that was judged; redirects are not followed and only the beginning of the answer is read.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from time import perf_counter_ns
from typing import Final, Self

import httpx

from xinghan.kit.destination import Address, Destination, is_host_name, is_internal, parse_url
from xinghan.kit.errors import Refused, XinghanError

BODY_BYTES_MAX: Final = 16 * 1024
CONNECTIONS_MAX: Final = 200
ADDRESSES_TRIED_MAX: Final = 4

Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_NANOSECONDS_PER_MILLISECOND = 1_000_000


class AddressRefused(Refused):
    """The host is, or resolves to, an address inside a network that is not allowed."""

    code = "address_refused"


class Unreachable(XinghanError):
    """No complete answer came: name unknown, no connection, broken TLS, or too slow."""

    code = "unreachable"
    http_status = 502


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: at most BODY_BYTES_MAX bytes of body, as they were on the wire."""

    status: int
    body: bytes
    elapsed_milliseconds: int


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for all addresses of a host, best first. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Outgoing:
    """Posts to addresses of others; shared by the whole process, closed at its end.

    `allow` lists networks (`10.1.0.0/16`), single addresses and host names that may be called
    although they are internal. Nothing is kept open between requests: a kept connection would
    belong to an address, and two hosts behind one address must not share a TLS session.
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed_networks, self._allowed_hosts = _read_allow(allow)
        self._resolve = resolver
        self._client = httpx.AsyncClient(
            verify=tls or ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=0),
        )

    async def post_form(
        self, url: str, body: bytes, content_type: str, timeout_seconds: float
    ) -> Reply:
        """Post `body` and give the answer, whatever its status; all within `timeout_seconds`.

        Raises UrlMalformed, AddressRefused, and Unreachable with a `reason` among its facts.
        """
        destination = parse_url(url)
        form = _Form(body, content_type, timeout_seconds)
        began = perf_counter_ns()
        try:
            async with asyncio.timeout(timeout_seconds):
                addresses = await self._find_addresses(destination)
                status, answer = await self._post(destination, addresses, form)
        except (TimeoutError, httpx.TimeoutException):
            raise Unreachable(host=destination.host, reason="timeout") from None
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            raise Unreachable(host=destination.host, reason=_reason(error)) from None
        elapsed_milliseconds = (perf_counter_ns() - began) // _NANOSECONDS_PER_MILLISECOND
        return Reply(status, answer, elapsed_milliseconds)

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        """Give itself; to be closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what is open."""
        await self.close()

    async def _find_addresses(self, destination: Destination) -> list[Address]:
        """Resolve once and judge every address: a name that mixes both worlds is suspicious."""
        found = await self._resolve(destination.host, destination.port)
        addresses = [ip_address(text) for text in found]
        if not addresses:
            raise Unreachable(host=destination.host, reason="no address")
        if not all(self._may_call(destination.host, address) for address in addresses):
            raise AddressRefused(host=destination.host)
        return addresses

    def _may_call(self, host: str, address: Address) -> bool:
        return (
            not is_internal(address)
            or host in self._allowed_hosts
            or any(address in network for network in self._allowed_networks)
        )

    async def _post(
        self, destination: Destination, addresses: Sequence[Address], form: "_Form"
    ) -> tuple[int, bytes]:
        """Post to the first address that can be connected to: nothing was sent to the others."""
        *others, last = addresses[:ADDRESSES_TRIED_MAX]
        connect_seconds = form.timeout_seconds / (len(others) + 1)
        for address in others:
            try:
                return await self._post_to(address, destination, form, connect_seconds)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._post_to(last, destination, form, connect_seconds)

    async def _post_to(
        self, address: Address, destination: Destination, form: "_Form", connect_seconds: float
    ) -> tuple[int, bytes]:
        request = self._client.build_request(
            "POST",
            httpx.URL(
                scheme=destination.scheme,
                host=str(address),
                port=destination.port,
                raw_path=destination.target.encode(),
            ),
            content=form.body,
            headers={
                "Host": destination.host_header,
                "User-Agent": "xinghan",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Content-Type": form.content_type,
                "Connection": "close",
            },
            timeout=httpx.Timeout(None, connect=connect_seconds),  # the whole has one deadline
            extensions={"sni_hostname": destination.host},
        )
        reply = await self._client.send(request, stream=True)
        try:
            return reply.status_code, await _read_beginning(reply)
        finally:
            await reply.aclose()


@dataclass(frozen=True, slots=True)
class _Form:
    body: bytes
    content_type: str
    timeout_seconds: float


async def _read_beginning(reply: httpx.Response) -> bytes:
    beginning = bytearray()
    async for piece in reply.aiter_raw():
        beginning += piece
        if len(beginning) >= BODY_BYTES_MAX:
            break
    return bytes(beginning[:BODY_BYTES_MAX])


def _read_allow(allow: Sequence[str]) -> tuple[tuple[Network, ...], frozenset[str]]:
    networks: list[Network] = []
    hosts: set[str] = set()
    for entry in allow:
        try:
            networks.append(ip_network(entry))
        except ValueError:
            hosts.add(_allowed_host(entry))
    return tuple(networks), frozenset(hosts)


def _allowed_host(entry: str) -> str:
    if not is_host_name(entry.lower()):
        raise ValueError(f"{entry!r} is neither a network nor a host name")
    return entry.lower()


def _reason(error: Exception) -> str:
    """Describe a failure in one short line for the list of tries."""
    return " ".join((str(error) or type(error).__name__).split())[:200]
