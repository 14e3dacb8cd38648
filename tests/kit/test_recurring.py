"""Jobs go on whatever happens to one run, soon after work and seldom when idle."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from xinghan.kit import recurring
from xinghan.kit.db import ConnectionLost
from xinghan.kit.recurring import FAILED_SECONDS_MAX, FAILED_SECONDS_MIN, Job, pause_after, repeat


class Runs:
    """A job's step that does what it is told in turn, and nothing more after that."""

    def __init__(self, *turns: int | Exception) -> None:
        self.turns = list(turns)
        self.count = 0
        self.ran = asyncio.Condition()

    async def __call__(self) -> int:
        async with self.ran:
            self.count += 1
            self.ran.notify_all()
        turn = self.turns.pop(0) if self.turns else 0
        if isinstance(turn, Exception):
            raise turn
        return turn

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(30), self.ran:
            await self.ran.wait_for(lambda: self.count >= count)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause that jobs made, none of which is waited for, while time stands still."""
    made: list[float] = []
    real_pause = recurring._pause

    async def pause(wake: asyncio.Event, seconds: float) -> None:
        made.append(seconds)
        await real_pause(wake, 0)

    monkeypatch.setattr(recurring, "_pause", pause)
    monkeypatch.setattr(recurring, "monotonic", lambda: 0.0)
    return made


@asynccontextmanager
async def repeating(job: Job) -> AsyncIterator[None]:
    task = asyncio.create_task(repeat(job))
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def failures_of(name: str) -> float:
    return REGISTRY.get_sample_value("xinghan_job_failures_total", {"job": name}) or 0.0


async def test_pauses_grow_while_there_is_nothing_to_do(pauses: list[float]) -> None:
    runs = Runs(3, 1, 0, 0, 0, 0, 0, 0, 2)
    async with repeating(Job("idle", runs)):
        await runs.wait_for(10)
    assert pauses[:9] == [0.05, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 0.05]


@pytest.mark.parametrize("failure", [ValueError("a bug"), ConnectionLost("away")])
async def test_a_failure_is_counted_and_the_job_goes_on(
    pauses: list[float], failure: Exception
) -> None:
    name = type(failure).__name__
    runs = Runs(failure, failure, 1)
    async with repeating(Job(name, runs)):
        await runs.wait_for(4)
    assert failures_of(name) == 2
    assert pauses[:3] == ([0.5, 1.0, 0.05] if name == "ValueError" else [1.0, 1.0, 0.05])


async def test_a_run_that_took_long_is_followed_by_a_longer_rest(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(0, 1000, 3))
    monkeypatch.setattr(recurring, "monotonic", lambda: next(seconds))
    runs = Runs(1)
    async with repeating(Job("long", runs)):
        await runs.wait_for(3)
    assert pauses[:2] == [6.0, 6.0]


async def test_whoever_has_work_wakes_the_job_at_once() -> None:
    runs = Runs()
    job = Job("woken", runs, idle_seconds=3600)
    async with repeating(job):
        for count in range(1, 20):
            await runs.wait_for(count)
            job.wake.set()


@pytest.mark.parametrize("failures", [1, 2, 10, 10_000])
def test_pauses_after_failures_are_bounded(failures: int) -> None:
    assert FAILED_SECONDS_MIN <= pause_after(failures) <= FAILED_SECONDS_MAX
