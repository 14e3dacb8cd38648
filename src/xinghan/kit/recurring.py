"""Work that is done again and again, whatever happens to it once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, NoReturn

import prometheus_client
import structlog

from xinghan.kit.db import ConnectionLost

BUSY_SECONDS: Final = 0.05
IDLE_SECONDS: Final = 1.0
RESTS_PER_WORK: Final = 2.0
FAILED_SECONDS_MIN: Final = 0.5
FAILED_SECONDS_MAX: Final = 60.0

_log = structlog.get_logger(__name__)
_failures = prometheus_client.Counter(
    "xinghan_job_failures", "Runs of a job that ended with an exception.", ["job"]
)


@dataclass(frozen=True, slots=True)
class Job:
    """`step` does what there is to do by now and gives how much that was.

    After some work it runs again `busy_seconds` later, after none at most `idle_seconds` later, and
    at once when somebody sets `wake`. A step that took long is followed by a longer rest.
    """

    name: str
    step: Callable[[], Awaitable[int]]
    busy_seconds: float = BUSY_SECONDS
    idle_seconds: float = IDLE_SECONDS
    wake: asyncio.Event = field(default_factory=asyncio.Event)


async def repeat(job: Job) -> NoReturn:
    """Run a job until this is cancelled. A failure is logged, counted, and delays the next run."""
    pause_seconds, failures = job.busy_seconds, 0
    while True:
        began = monotonic()
        try:
            done = await job.step()
        except ConnectionLost as error:
            failures += 1
            if failures == 1:
                _log.warning("job_waits_for_database", job=job.name, reason=str(error))
            _failures.labels(job.name).inc()
            pause_seconds = IDLE_SECONDS
        except Exception:  # noqa: BLE001 (a job that ended with its first error would be missed)
            failures += 1
            _log.exception("job_failed", job=job.name, failures=failures)
            _failures.labels(job.name).inc()
            pause_seconds = pause_after(failures)
        else:
            failures = 0
            pause_seconds = job.busy_seconds if done else min(2 * pause_seconds, job.idle_seconds)
        await _pause(job.wake, max(pause_seconds, RESTS_PER_WORK * (monotonic() - began)))


def pause_after(failures: int) -> float:
    """Give how many seconds to wait after that many failures in a row (at least 1)."""
    return min(FAILED_SECONDS_MIN * 2.0 ** min(failures - 1, 10), FAILED_SECONDS_MAX)


async def _pause(wake: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
    wake.clear()
