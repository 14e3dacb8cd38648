"""Nothing inside the operator's network is called, and nobody's answer can hold us up."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from xinghan.kit.destination import UrlMalformed
from xinghan.kit.outgoing import BODY_BYTES_MAX, AddressRefused, Outgoing, Unreachable, resolve

FORM = "application/x-www-form-urlencoded"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsuccess"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Shop:
    """A server that keeps what it was asked."""

    def __init__(self, answer: bytes | Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.hung_up = asyncio.Event()
        self.port = 0

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Shop"]:
        server = await asyncio.start_server(self._meet, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            self.requests.append(head + await reader.readexactly(length))
            if isinstance(self.answer, bytes):
                writer.write(self.answer)
                await writer.drain()
            else:
                await self.answer(reader, writer)
        except OSError:
            self.hung_up.set()
        finally:
            writer.close()


class Names:
    """A resolver that counts how often it is asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0)


async def test_a_form_arrives_as_it_was_written() -> None:
    names = Names(["127.0.0.1"])
    async with Shop(OK).serve() as shop, Outgoing(["127.0.0.0/8"], resolver=names) as outgoing:
        url = f"http://shop.example:{shop.port}/notify/%2F?a=b#top"
        reply = await outgoing.post_form(url, b"trade_no=1", FORM, timeout_seconds=5)
    assert (reply.status, reply.body) == (200, b"success")
    assert reply.elapsed_milliseconds >= 0
    head, _, body = shop.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /notify/%2F?a=b HTTP/1.1\r\n")
    assert f"Host: shop.example:{shop.port}\r\n".encode() in head
    assert b"Content-Type: application/x-www-form-urlencoded" in head
    assert b"Connection: close" in head
    assert body == b"trade_no=1"
    assert names.asked == ["shop.example"]


@pytest.mark.parametrize("status", [302, 307, 404, 500])
async def test_redirects_are_not_followed_and_failures_are_replies(status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nLocation: /inside\r\nContent-Length: 0\r\n\r\n".encode()
    async with Shop(answer).serve() as shop, Outgoing(["127.0.0.1"]) as outgoing:
        reply = await outgoing.post_form(f"http://127.0.0.1:{shop.port}/", b"", FORM, 5)
    assert reply.status == status
    assert len(shop.requests) == 1


async def test_a_name_is_asked_once_and_cannot_turn_inwards() -> None:
    names = Names(["127.0.0.2"], ["127.0.0.1"])
    async with Shop(OK).serve() as shop, Outgoing(["127.0.0.2"], resolver=names) as outgoing:
        with pytest.raises(Unreachable):
            await outgoing.post_form(f"http://shop.example:{shop.port}/", b"", FORM, 5)
        with pytest.raises(AddressRefused):
            await outgoing.post_form(f"http://shop.example:{shop.port}/", b"", FORM, 5)
    assert shop.requests == []
    assert len(names.asked) == 2


@pytest.mark.parametrize(
    "addresses",
    [
        *(["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"]),
        *(["::1"], ["::ffff:127.0.0.1"], ["fe80::1%1"]),
        *(["127.0.0.1", "93.184.216.34"], ["93.184.216.34", "127.0.0.1"]),
    ],
)
async def test_names_of_internal_addresses_are_refused(addresses: list[str]) -> None:
    async with Shop(OK).serve() as shop, Outgoing(resolver=Names(addresses)) as outgoing:
        with pytest.raises(AddressRefused, match=r"shop\.example is not a public") as refusal:
            await outgoing.post_form(f"http://shop.example:{shop.port}/", b"", FORM, 5)
    assert refusal.value.money == "no money has moved"
    assert shop.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]"])
async def test_internal_addresses_are_refused_however_they_are_written(host: str) -> None:
    async with Shop(OK).serve() as shop, Outgoing() as outgoing:
        with pytest.raises(AddressRefused):
            await outgoing.post_form(f"http://{host}:{shop.port}/", b"", FORM, 5)
    assert shop.requests == []


async def test_malformed_addresses_are_refused_before_anything_is_asked() -> None:
    names = Names()
    async with Outgoing(["127.0.0.0/8"], resolver=names) as outgoing:
        with pytest.raises(UrlMalformed):
            await outgoing.post_form("http://2130706433/", b"", FORM, 5)
    assert names.asked == []


async def test_a_host_can_be_allowed_by_its_name() -> None:
    names = Names(["127.0.0.1"], ["127.0.0.1"])
    async with Shop(OK).serve() as shop, Outgoing(["Shop.internal"], resolver=names) as outgoing:
        reply = await outgoing.post_form(f"http://SHOP.internal:{shop.port}/", b"", FORM, 5)
        assert reply.status == 200
        with pytest.raises(AddressRefused):
            await outgoing.post_form(f"http://other.internal:{shop.port}/", b"", FORM, 5)
    assert len(shop.requests) == 1


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "a b", "", "http://shop", "1.2.3"])
def test_what_cannot_be_allowed_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a network nor a host name"):
        Outgoing([entry])


async def test_the_next_address_is_tried_when_one_does_not_listen() -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])
    async with Shop(OK).serve() as shop, Outgoing(["127.0.0.0/8"], resolver=names) as outgoing:
        reply = await outgoing.post_form(f"http://shop.example:{shop.port}/", b"", FORM, 5)
    assert reply.body == b"success"
    assert len(shop.requests) == 1


async def test_only_the_beginning_of_an_answer_is_read() -> None:
    async def talk_for_ever(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with Shop(talk_for_ever).serve() as shop, Outgoing(["127.0.0.1"]) as outgoing:
        reply = await outgoing.post_form(f"http://127.0.0.1:{shop.port}/", b"", FORM, 5)
        assert reply.body == b"x" * BODY_BYTES_MAX
        await shop.hung_up.wait()
    assert len(shop.requests) == 1


async def test_an_answer_in_drops_is_cut_off_at_the_deadline() -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with Shop(drip).serve() as shop, Outgoing(["127.0.0.1"]) as outgoing:
        with pytest.raises(Unreachable, match="timeout"):
            await outgoing.post_form(f"http://127.0.0.1:{shop.port}/", b"", FORM, 0.2)


async def test_a_slow_name_is_cut_off_at_the_deadline() -> None:
    async def never(_host: str, _port: int) -> Sequence[str]:
        return await asyncio.Future()

    async with Outgoing(resolver=never) as outgoing:
        with pytest.raises(Unreachable, match=r"shop\.example gave no answer: timeout"):
            await outgoing.post_form("http://shop.example/", b"", FORM, 0.05)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b"\x00" * 99]
)
async def test_broken_answers_are_unreachable(answer: bytes) -> None:
    async with Shop(answer).serve() as shop, Outgoing(["127.0.0.1"]) as outgoing:
        with pytest.raises(Unreachable) as failure:
            await outgoing.post_form(f"http://127.0.0.1:{shop.port}/", b"", FORM, 5)
    assert failure.value.facts["reason"]


async def test_unknown_names_are_unreachable() -> None:
    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    async with Outgoing(resolver=unknown) as outgoing, Outgoing(resolver=Names([])) as other:
        with pytest.raises(Unreachable, match="Name or service not known"):
            await outgoing.post_form("http://shop.example/", b"", FORM, 5)
        with pytest.raises(Unreachable, match="no address"):
            await other.post_form("http://shop.example/", b"", FORM, 5)


async def test_the_system_resolves_addresses_to_themselves() -> None:
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    assert await resolve("::1", 80) == ["::1"]


async def test_tls_is_spoken_with_the_name_and_not_the_address(tmp_path: Path) -> None:
    server_tls, client_tls = make_tls(tmp_path, "shop.example")
    seen: list[str | None] = []
    server_tls.sni_callback = lambda _socket, name, _context: seen.append(name)
    names = Names(["127.0.0.1"], ["127.0.0.1"])
    async with (
        Shop(OK).serve(server_tls) as shop,
        Outgoing(["127.0.0.1"], resolver=names, tls=client_tls) as outgoing,
    ):
        reply = await outgoing.post_form(f"https://shop.example:{shop.port}/", b"", FORM, 5)
        assert reply.body == b"success"
        with pytest.raises(Unreachable, match="certificate"):
            await outgoing.post_form(f"https://other.example:{shop.port}/", b"", FORM, 5)
    assert seen == ["shop.example", "other.example"]
    assert len(shop.requests) == 1


def make_tls(directory: Path, host: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (directory / "both.pem").write_bytes(private + pem)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(directory / "both.pem")
    return server_tls, ssl.create_default_context(cadata=pem.decode())
