"""A shop's own web server on a loopback address, which answers notifications as it is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

Answer = tuple[int, bytes]
Answering = Callable[[dict[str, str]], Awaitable[Answer]]
SUCCESS: Answer = (200, b"success")


@dataclass
class ShopServer:
    """Keeps every form that was posted to it. `answering` decides what it says."""

    answering: Answering
    forms: list[dict[str, str]] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)
    under_way: int = 0
    under_way_max: int = 0
    url: str = ""

    async def wait_for(self, count: int, seconds: float = 30) -> list[dict[str, str]]:
        """Wait until that many forms have come, and give them."""
        async with asyncio.timeout(seconds), self.heard:
            await self.heard.wait_for(lambda: len(self.forms) >= count)
        return self.forms

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.under_way += 1
        self.under_way_max = max(self.under_way, self.under_way_max)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self.under_way -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        charset = head.partition(b"charset=")[2].split(b"\r\n")[0].decode() or "utf-8"
        body = (await reader.readexactly(length)).decode()
        form = dict(parse_qsl(body, encoding=charset, keep_blank_values=True))
        async with self.heard:
            self.forms.append(form)
            self.heard.notify_all()
        status, answer = await self.answering(form)
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (status, len(answer), answer)
        )
        await writer.drain()


async def accept(_form: dict[str, str]) -> Answer:
    """Answer as a shop that has understood."""
    return SUCCESS


def saying(*answers: Answer) -> Answering:
    """Answer with each of these in turn, then with `success`."""
    left = list(answers)

    async def answer(_form: dict[str, str]) -> Answer:
        return left.pop(0) if left else SUCCESS

    return answer


@asynccontextmanager
async def open_shop(
    answering: Answering = accept, host: str = "127.0.0.1"
) -> AsyncIterator[ShopServer]:
    """Serve a shop until the block ends; what is still being answered then is dropped."""
    shop = ShopServer(answering)
    meetings: set[asyncio.Task[None]] = set()

    def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(shop.meet(reader, writer))
        meetings.add(task)
        task.add_done_callback(meetings.discard)

    server = await asyncio.start_server(meet, host, 0)
    shop.url = f"http://{host}:{server.sockets[0].getsockname()[1]}/notify?till=1"
    try:
        yield shop
    finally:
        server.close()
        for meeting in meetings:
            meeting.cancel()
        await asyncio.gather(*meetings, return_exceptions=True)
