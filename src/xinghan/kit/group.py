"""Group commit: callers who wait at the same time share one call to the database.

An idle group runs a lone caller's item at once; no timer ever delays anybody. While a call is under
way, whoever comes is gathered for the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from xinghan.kit.db import Connection, ConnectionLost, Database

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Group(Generic[Item, Answer]):
    """Gathers items and runs them, at most `batch_max` in a batch and `lanes` batches at once.

    `run` gives one answer per item, in order. When it raises, the batch is cut in halves until the
    items at fault stand alone and get the exception: a bad item never fails its neighbours.
    A second lane opens only when at least `lane_min` items wait: small batches waste commits.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        batch_max: int = 1000,
        lanes: int = 2,
        lane_min: int = 32,
    ) -> None:
        self._run = run
        self._batch_max = batch_max
        self._lanes = lanes
        self._lane_min = lane_min
        self._waiting: deque[tuple[Item, asyncio.Future[Answer]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Answer:
        """Run one item in some batch and give its answer."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._start()
        return await future

    def _start(self) -> None:
        while self._waiting and (
            not self._running
            or (len(self._running) < self._lanes and len(self._waiting) >= self._lane_min)
        ):
            size = min(len(self._waiting), self._batch_max)
            batch = [self._waiting.popleft() for _ in range(size)]
            task = asyncio.ensure_future(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._next)

    def _next(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _answer(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        # Nobody waits any more for an item whose caller has given up.
        batch = [(item, future) for item, future in batch if not future.done()]
        if not batch:
            return
        try:
            answers = await self._run([item for item, _ in batch])
        except ConnectionLost as error:
            # No item is at fault, and each half would wait as long for the database again.
            for _, future in batch:
                _refuse(future, error)
        except Exception as error:  # noqa: BLE001 (it is handed to the callers, whose it is)
            await self._answer_halves(batch, error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _answer_halves(
        self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]], error: Exception
    ) -> None:
        if len(batch) == 1:
            _refuse(batch[0][1], error)
            return
        middle = len(batch) // 2
        await self._answer(batch[:middle])
        await self._answer(batch[middle:])


def _refuse(future: asyncio.Future[Answer], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def reading(
    database: Database, read: Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Answer]]]
) -> Group[Item, Answer]:
    """Gather look-ups: `read` answers many with one statement, which costs little more than one."""

    async def run(items: Sequence[Item]) -> Sequence[Answer]:
        async with database.acquire() as connection:
            return await read(connection, items)

    return Group(run)
