"""Addresses that somebody else gave us: read strictly, and judged before anybody calls them."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from xinghan.kit.errors import Invalid

URL_LENGTH_MAX: Final = 512
HOST_LENGTH_MAX: Final = 253
PORT_MAX: Final = 65_535

Address = IPv4Address | IPv6Address

_DEFAULT_PORTS = {"http": 80, "https": 443}
_VISIBLE_ASCII = re.compile(r"[!-\[\]-~]*")  # everything that prints but space and backslash
_URL = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[0-9a-z._-]+))(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?",
    re.IGNORECASE,
)
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


def parse_url(text: str, *, field: str | None = None) -> Destination:
    """Read an http or https URL strictly. Raises UrlMalformed, naming `field`.

    Refused are more than 512 characters, anything but visible ASCII, user names and passwords,
    port 0, and hosts that are neither a name nor an address in its one usual form (`0177.1`,
    `2130706433` and the like). A fragment is dropped.
    """
    match = _URL.fullmatch(text) if len(text) <= URL_LENGTH_MAX else None
    if match is None or not _VISIBLE_ASCII.fullmatch(text):
        raise UrlMalformed(field=field, length=URL_LENGTH_MAX)
    scheme = match["scheme"].lower()
    host = _read_v6(match["v6"]) if match["v6"] else _read_host(match["name"].lower())
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if host is None or not 1 <= port <= PORT_MAX:
        raise UrlMalformed(field=field, length=URL_LENGTH_MAX)
    return Destination(scheme, host, port, (match["path"] or "/") + (match["query"] or ""))


def is_internal(address: Address) -> bool:
    """Judge an address: true unless it is an ordinary one of the public Internet."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in _INTERNAL_V4)
    return address not in _GLOBAL_V6 or any(address in network for network in _INTERNAL_V6)


def is_host_name(text: str) -> bool:
    """Tell whether a text in lower case is a host's name, and not an address in disguise."""
    return (
        len(text) <= HOST_LENGTH_MAX
        and _HOST_NAME.fullmatch(text) is not None
        and _NUMERIC_LABEL.fullmatch(text.rpartition(".")[2]) is None
    )


def _read_host(text: str) -> str | None:
    """Give a host's name or its address, which must be written as four decimal numbers."""
    if is_host_name(text):
        return text
    try:
        return str(IPv4Address(text))
    except ValueError:
        return None


def _read_v6(text: str) -> str | None:
    try:
        return str(IPv6Address(text))
    except ValueError:
        return None
