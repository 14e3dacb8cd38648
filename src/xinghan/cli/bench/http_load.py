"""A lean HTTP/1.1 load generator: requests made beforehand, on connections that stay open."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

SUCCESS: Final = b'"code":"10000"'
_LENGTH: Final = b"content-length:"


@dataclass(slots=True)
class Outcome:
    """What a load saw: seconds from first to last, the latency of each success, and failures."""

    elapsed_seconds: float = 0.0
    latencies_seconds: list[float] = field(default_factory=list)
    failures: list[bytes] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """How many of the requests were sent, from the first on."""
        return len(self.latencies_seconds) + len(self.failures)

    @property
    def per_second(self) -> float:
        """Successes per second."""
        return len(self.latencies_seconds) / self.elapsed_seconds

    def latency_ms(self, percent: int) -> float:
        """Give a percentile of the latencies in milliseconds."""
        ordered = sorted(self.latencies_seconds)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000


async def run_load(
    host: str,
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    per_second: float | None = None,
) -> Outcome:
    """Send requests for `seconds`, each connection one at a time.

    With `per_second` they are sent at that even pace instead of as fast as answers come, and a
    latency counts from the moment at which the request was due.
    """
    queue = deque(requests)
    outcome = Outcome()
    started = time.perf_counter()

    async def work(number: int) -> None:
        loop = asyncio.get_running_loop()
        _, talk = await loop.create_connection(_Talk, host, port)
        sent = 0
        while queue and time.perf_counter() < started + seconds:
            due = time.perf_counter()
            if per_second is not None:
                due = started + (number + sent * connections) / per_second
                await asyncio.sleep(due - time.perf_counter())
                if not queue:
                    break
            sent += 1
            answer = await talk.ask(queue.popleft())
            if SUCCESS in answer:
                outcome.latencies_seconds.append(time.perf_counter() - due)
            else:
                outcome.failures.append(answer)
        talk.close()

    await asyncio.gather(*[work(number) for number in range(connections)])
    outcome.elapsed_seconds = time.perf_counter() - started
    return outcome


class _Talk(asyncio.Protocol):
    """One connection: sends a request, gathers the answer by its Content-Length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, request: bytes) -> bytes:
        if self._transport is None:
            raise ConnectionError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._buffer[:head_end]).lower()
        at = head.find(_LENGTH) + len(_LENGTH)
        length = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None])
        if len(self._buffer) >= head_end + 4 + length and self._answer is not None:
            self._answer.set_result(bytes(self._buffer))
            self._buffer.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
