"""The only way the platform calls an address that somebody else gave it.

Such an address may point into the operator's own network (server-side request forgery). So a name
is resolved once, every address it has is judged, and the connection goes to exactly the address
that was judged; redirects are not followed and only the beginning of the answer is read.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from time import perf_counter_ns
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

import httpx

from xinghan.kit.errors import Invalid, Refused, XinghanError

URL_LENGTH_MAX: Final = 512
BODY_BYTES_MAX: Final = 16 * 1024
CONNECTIONS_MAX: Final = 200

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_NANOSECONDS_PER_MILLISECOND = 1_000_000
_DEFAULT_PORTS = {"http": 80, "https": 443}
_VISIBLE_ASCII = re.compile(r"[!-\[\]-~]+")  # everything printable but space and backslash
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")

# The special-purpose registries of IANA (RFC 6890 and its successors), written out because the
# judgement of the standard library changes between releases of Python.
_INTERNAL_V4: Final = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # a public address at which one cloud serves its machines' secrets
        ),
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_INTERNAL_V6: Final = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)


class UrlMalformed(Invalid):
    """The text is not an http or https address that the platform would call."""

    code = "url_malformed"


class AddressRefused(Refused):
    """The host is, or resolves to, an address inside a network that is not allowed."""

    code = "address_refused"


class Unreachable(XinghanError):
    """No complete answer came: name unknown, no connection, broken TLS, or too slow."""

    code = "unreachable"
    http_status = 502


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes: `target` is path and query as they were written."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        """Give host and port as the other side expects to be named."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: at most BODY_BYTES_MAX bytes of body, as they were on the wire."""

    status: int
    body: bytes
    elapsed_milliseconds: int


def parse_url(text: str, *, field: str | None = None) -> Destination:
    """Read an http or https URL strictly. Raises UrlMalformed, naming `field`.

    Refused are more than 512 characters, anything but visible ASCII, user names and passwords,
    port 0, and hosts that are neither a name nor an address in its one usual form (`0177.1`,
    `2130706433` and the like). A fragment is dropped.
    """
    try:
        parts = _split_url(text)
        host = _read_host(parts)
        port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    except (ValueError, KeyError):
        raise UrlMalformed(field=field, length=URL_LENGTH_MAX) from None
    if port == 0:
        raise UrlMalformed(field=field, length=URL_LENGTH_MAX)
    query = f"?{parts.query}" if parts.query else ""
    return Destination(parts.scheme, host, port, (parts.path or "/") + query)


def is_internal(address: Address) -> bool:
    """Judge an address: true unless it is an ordinary one of the public Internet."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in _INTERNAL_V4)
    return address not in _GLOBAL_V6 or any(address in network for network in _INTERNAL_V6)


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
        began = perf_counter_ns()
        try:
            async with asyncio.timeout(timeout_seconds):
                addresses = await self._find_addresses(destination)
                status, answer = await self._post(destination, addresses, body, content_type)
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
        self,
        destination: Destination,
        addresses: Sequence[Address],
        body: bytes,
        content_type: str,
    ) -> tuple[int, bytes]:
        """Post to the first address that can be connected to: nothing was sent to the others."""
        *others, last = addresses
        for address in others:
            try:
                return await self._post_to(address, destination, body, content_type)
            except httpx.ConnectError:
                continue
        return await self._post_to(last, destination, body, content_type)

    async def _post_to(
        self, address: Address, destination: Destination, body: bytes, content_type: str
    ) -> tuple[int, bytes]:
        request = self._client.build_request(
            "POST",
            httpx.URL(
                scheme=destination.scheme,
                host=str(address),
                port=destination.port,
                raw_path=destination.target.encode(),
            ),
            content=body,
            headers={
                "Host": destination.host_header,
                "User-Agent": "xinghan",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Content-Type": content_type,
                "Connection": "close",
            },
            timeout=None,  # the whole exchange has one deadline
            extensions={"sni_hostname": destination.host},
        )
        reply = await self._client.send(request, stream=True)
        try:
            return reply.status_code, await _read_beginning(reply)
        finally:
            await reply.aclose()


async def _read_beginning(reply: httpx.Response) -> bytes:
    beginning = bytearray()
    async for piece in reply.aiter_raw():
        beginning += piece
        if len(beginning) >= BODY_BYTES_MAX:
            break
    return bytes(beginning[:BODY_BYTES_MAX])


def _split_url(text: str) -> SplitResult:
    if len(text) > URL_LENGTH_MAX or not _VISIBLE_ASCII.fullmatch(text):
        raise ValueError("not visible ASCII of that length")
    parts = urlsplit(text)
    if parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc or parts.netloc.endswith(":"):
        raise ValueError("another scheme, a user name, or an empty port")
    return parts


def _read_host(parts: SplitResult) -> str:
    """Give the host in lower case; an address must be written as the standard library would."""
    host = parts.hostname or ""
    if "[" in parts.netloc:
        return str(IPv6Address(_without_zone(host)))
    if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
        return str(IPv4Address(host))
    if len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise ValueError("no host name")
    return host


def _without_zone(host: str) -> str:
    if "%" in host:
        raise ValueError("a zone means something on one machine only")
    return host


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
    if not _HOST_NAME.fullmatch(entry.lower()):
        raise ValueError(f"{entry!r} is neither a network nor a host name")
    return entry.lower()


def _reason(error: Exception) -> str:
    """Describe a failure in one short line for the list of tries."""
    return " ".join((str(error) or type(error).__name__).split())[:200]
