"""The platform is killed at random instants, in all its parts, while shops sell and give back.

`XINGHAN_CRASHES=50` makes it the long form; `XINGHAN_CRASH_SEED` repeats a run.
"""

import asyncio
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import psutil
import pytest

from cast.shop_server import SUCCESS, Answer, ShopServer, open_shop
from databases import postmaster
from gateway.test_fuzz import free_port
from journeys.crash_load import Event, Load, make_customer, make_desk
from journeys.scene import PROGRAM, Running, Scene
from xinghan import identity
from xinghan.gateway.notification import string_to_sign
from xinghan.kit import db, signing
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.settings import Settings

CRASHES = int(os.environ.get("XINGHAN_CRASHES", "5"))
SEED = int(os.environ.get("XINGHAN_CRASH_SEED", str(Random().randrange(10**9))))
LONG_FORM = 50
TILLS = 6
CUSTOMERS = 8
LOAD_SECONDS = (0.3, 1.5)
START_SECONDS_MAX = 180
BACK_SECONDS_MAX = 60
TOLD_SECONDS_MAX = 150
POLL_SECONDS = 0.05
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("XINGHAN_")}

pytestmark = pytest.mark.slow


@dataclass
class Platform:
    """`xinghan up` on a data directory of its own, with a port that it gets back after a crash."""

    running: Running
    log: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it where it does not run; it must become ready."""
        if self.process is not None and self.process.returncode is None:
            return
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                PROGRAM,
                "up",
                *("--data", str(self.running.data)),
                *("--port", self.running.url.rpartition(":")[2]),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={
                    **CLEAN,
                    "XINGHAN_WORKERS": "2",
                    "XINGHAN_LOG_LEVEL": "warning",
                    "XINGHAN_NOTIFY_SCHEDULE_SECONDS": ",".join(["1"] * 90),
                },
            )
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), START_SECONDS_MAX)
        assert line == f"ready {self.running.url}\n".encode(), self.log.read_text()[-4000:]

    async def stop(self) -> None:
        """Stop it as an operator does, the database too."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()
        left = EmbeddedPostgres(self.running.data)
        if left.is_running():
            left.start()
            left.stop()

    def children(self, mark: str = "") -> list[psutil.Process]:
        """Give the processes below it whose command line has this mark."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if mark in " ".join(child.cmdline()):
                    found.append(child)
        return found


Kill = Callable[[Platform, Random], None]


def kill_platform(platform: Platform, _random: Random) -> None:
    """Kill the one process that an operator started."""
    assert platform.process is not None
    platform.process.kill()


def kill_postmaster(platform: Platform, _random: Random) -> None:
    """Kill the database's first process."""
    os.kill(postmaster(platform.running.data).pid, signal.SIGKILL)


def kill_backend(platform: Platform, random: Random) -> None:
    """Kill a process of the database that serves one connection."""
    backends = [
        child
        for child in psutil.Process(postmaster(platform.running.data).pid).children()
        if "xinghan_app" in " ".join(child.cmdline()) or "[local]" in " ".join(child.cmdline())
    ]
    random.choice(backends).kill()


def kill_server_worker(platform: Platform, random: Random) -> None:
    """Kill a process that answers requests."""
    random.choice(platform.children("multiprocessing.spawn")).kill()


def kill_jobs(platform: Platform, _random: Random) -> None:
    """Kill the process that tells shops and works by the clock."""
    for child in platform.children("xinghan.worker"):
        child.kill()


def kill_everything(platform: Platform, random: Random) -> None:
    """Kill all at once, as when the machine loses power."""
    kill_postmaster(platform, random)
    kill_platform(platform, random)


KILLS: tuple[Kill, ...] = (
    kill_platform,
    kill_postmaster,
    kill_backend,
    kill_server_worker,
    kill_jobs,
)


def choose_kills(random: Random) -> list[Kill]:
    """Choose who dies: each kind once and in any order, and in a longer form whoever it hits."""
    kills = random.sample(KILLS, len(KILLS))
    while len(kills) < CRASHES:
        kills.append(random.choice((*KILLS, kill_everything)))
    return kills[:CRASHES]


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    """The platform, ready for its first customer."""
    tmp_path.chmod(0o711)  # the database's account passes through it
    running = Running(f"http://127.0.0.1:{free_port()}", "", tmp_path / "data")
    started = Platform(running, tmp_path / "stderr.log")
    try:
        await started.start()
        yield started
    finally:
        await started.stop()


async def test_nothing_is_lost_and_nothing_doubled(platform: Platform) -> None:
    print(f"XINGHAN_CRASH_SEED={SEED}")  # noqa: T201 (repeats a failure)
    random = Random(SEED)
    async with open_shop() as shop, loaded(platform, random, shop) as load:
        for kill in choose_kills(random):
            load.open()
            await asyncio.sleep(random.uniform(*LOAD_SECONDS))
            await crash(platform, kill, random, load)
            checked = len(load.deeds)
            report = asyncio.create_task(verify_ledger(platform))
            await load.settle()
            for deed in load.deeds[-200:]:
                assert await deed.is_done()
            assert (await report)["ok"], (kill.__name__, report.result())
            print(kill.__name__, checked)  # noqa: T201 (shows how far a long run is)
        for deed in load.deeds:
            assert await deed.is_done()
        await everything_is_told(platform, load, shop)
    assert "Traceback" not in platform.log.read_text()
