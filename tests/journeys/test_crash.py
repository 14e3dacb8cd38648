"""The platform is killed at random instants, in all its parts, while shops sell and give back.

`XINGHAN_CRASHES=50` makes it the long form; `XINGHAN_CRASH_SEED` repeats a run.
"""

import asyncio
import json
import os
import signal
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import psutil
import pytest

from cast.shop_server import SUCCESS, Answer, Answering, ShopServer, open_shop
from databases import postmaster
from journeys.crash_deeds import Event
from journeys.crash_load import Load, make_customer, make_desk
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
RECOVERY_SECONDS = (0.0, 3.0)
START_SECONDS_MAX = 180
BACK_SECONDS_MAX = 60
TOLD_SECONDS_MAX = 150
POLL_SECONDS = 0.05
ACCEPTED_SHARE = 0.9
UNDER_WAY = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name <> 'xinghan worker'
        AND state <> 'idle' AND pid <> pg_backend_pid()
"""
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("XINGHAN_")}

pytestmark = pytest.mark.slow


@dataclass
class Platform:
    """`xinghan up` on a data directory of its own, with a port that it gets back after a crash."""

    running: Running
    log: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it must become ready."""
        await self.launch()
        assert self.process is not None
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), START_SECONDS_MAX)
        assert line == f"ready {self.running.url}\n".encode(), self.log.read_text()[-4000:]

    async def launch(self) -> None:
        """Begin to start it."""
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

    async def stop(self) -> None:
        """Stop it as an operator does, the database too."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.communicate()
        left = EmbeddedPostgres(self.running.data)
        if left.is_running():
            left.start()
            left.stop()

    async def end(self) -> None:
        """Wait until a killed one has left, and its port is free."""
        assert self.process is not None
        await asyncio.wait_for(self.process.communicate(), BACK_SECONDS_MAX)

    async def back(self) -> None:
        """Wait until it answers, and nothing that was begun before the crash is still under way."""
        async with asyncio.timeout(BACK_SECONDS_MAX):
            async with httpx.AsyncClient(trust_env=False) as client:
                while not await _is_healthy(client, self.running.url):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
            while await self.execute(UNDER_WAY):  # noqa: ASYNC110 (other processes end it)
                await asyncio.sleep(POLL_SECONDS)

    async def execute(self, statement: str) -> object:
        """Run a statement as the database's owner; gives the first value."""
        connection = await db.connect(EmbeddedPostgres(self.running.data).owner_url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    def children(self, mark: str = "") -> list[psutil.Process]:
        """Give the processes below it whose command line has this mark."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if mark in " ".join(child.cmdline()):
                    found.append(child)
        return found


async def _is_healthy(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/healthz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


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
    server = psutil.Process(postmaster(platform.running.data).pid)
    backends = [child for child in server.children() if "[local]" in " ".join(child.cmdline())]
    random.choice(backends).kill()


def kill_server_worker(platform: Platform, random: Random) -> None:
    """Kill a process that answers requests."""
    random.choice(platform.children("multiprocessing.spawn")).kill()


def kill_jobs(platform: Platform, _random: Random) -> None:
    """Kill the process that tells shops and works by the clock."""
    for child in platform.children("xinghan.worker"):
        child.kill()


def kill_everything(platform: Platform, random: Random) -> None:
    """Kill all at once, as when the machine loses power (and once more while it recovers)."""
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
def folder(tmp_path: Path) -> Path:
    """A folder that the database's account may pass through."""
    tmp_path.chmod(0o711)
    return tmp_path


@pytest.fixture
async def platform(folder: Path) -> AsyncIterator[Platform]:
    """The platform, ready for its first customer."""
    running = Running(f"http://127.0.0.1:{free_port()}", "", folder / "data")
    started = Platform(running, folder / "stderr.log")
    try:
        await started.start()
        yield started
    finally:
        await started.stop()


async def test_nothing_is_lost_and_nothing_doubled(platform: Platform) -> None:
    print(f"XINGHAN_CRASH_SEED={SEED}")  # noqa: T201 (shown with a failure, to repeat it)
    random = Random(SEED)
    async with open_shop(hesitating(random)) as shop, loaded(platform, random, shop.url) as load:
        checked = 0
        for kill in choose_kills(random):
            load.open()
            await asyncio.sleep(random.uniform(*LOAD_SECONDS))
            await crash(platform, kill, random, load)
            report = asyncio.create_task(verify_ledger(platform))
            await load.settle()
            await load.check_deeds(checked)
            checked = len(load.deeds)
            assert (await report)["ok"], (kill.__name__, await report)
            print(kill.__name__, checked)  # noqa: T201 (how far it came)
        await load.check_deeds(0)
        await everything_is_told(platform, load, shop)
    assert "Traceback" not in platform.log.read_text()


async def crash(platform: Platform, kill: Kill, random: Random, load: Load) -> None:
    """Kill something under load, and come back from it."""
    children = platform.children()
    kill(platform, random)
    load.close()
    if kill in {kill_platform, kill_everything}:
        await platform.end()
        if kill is kill_everything:
            await platform.launch()
            await asyncio.sleep(random.uniform(*RECOVERY_SECONDS))
            kill_platform(platform, random)
            await platform.end()
        await platform.start()
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, BACK_SECONDS_MAX)
        assert not alive, "what the platform had started outlived it"
    await load.finish()
    await platform.back()


async def verify_ledger(platform: Platform) -> dict[str, object]:
    """Let `xinghan ledger verify` judge, beside the platform."""
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "ledger", "verify", "--json", "--data", str(platform.running.data)),
        stdout=asyncio.subprocess.PIPE,
        env=CLEAN,
    )
    stdout, _ = await asyncio.wait_for(process.communicate(), START_SECONDS_MAX)
    report: dict[str, object] = json.loads(stdout)
    assert report["ok"] == (process.returncode == 0)
    return report


def hesitating(random: Random) -> Answering:
    """Answer like a shop that now and then fails."""

    async def answer(_form: dict[str, str]) -> Answer:
        return SUCCESS if random.random() < ACCEPTED_SHARE else (500, b"busy")

    return answer


@asynccontextmanager
async def loaded(platform: Platform, random: Random, notify_url: str) -> AsyncIterator[Load]:
    """Make a shop and its customers, and the tills at which they meet; nothing is open yet."""
    settings = Settings.read(data=platform.running.data)
    database = await db.Database.open(EmbeddedPostgres(settings.data).owner_url)
    try:
        async with database.transaction() as connection:
            vault = await identity.open_vault(connection, settings)
        scene = Scene(platform.running, database, vault)
        async with httpx.AsyncClient(trust_env=False, timeout=BACK_SECONDS_MAX) as client:
            desk = await make_desk(scene, client, notify_url)
            customers = [await make_customer(scene) for _ in range(CUSTOMERS)]
            load = Load(desk, customers, random)
            await load.note_initial_balances()
            async with asyncio.TaskGroup() as group:
                tills = [group.create_task(load.work()) for _ in range(TILLS)]
                yield load
                for till in tills:
                    till.cancel()
    finally:
        await database.close()


async def everything_is_told(platform: Platform, load: Load, shop: ShopServer) -> None:
    """See that the shop hears of each payment and refund, always under the same number."""
    if CRASHES < LONG_FORM:  # nobody waits a minute for the lease of whoever died while sending
        await platform.execute(
            "UPDATE payments.notification SET next_attempt_at = now() WHERE next_attempt_at > now()"
        )
    expected = {deed.event for deed in load.deeds if deed.event is not None}
    async with asyncio.timeout(TOLD_SECONDS_MAX), shop.heard:
        await shop.heard.wait_for(lambda: expected <= {event_of(form) for form in shop.forms})
    numbers: dict[Event, set[str]] = defaultdict(set)
    key = signing.load_public_key(load.desk.shop.sdk.platform_public_key)
    for form in shop.forms:
        message = string_to_sign(form).encode()
        assert signing.verify(key, message, form["sign"], signing.SignType.RSA2)
        numbers[event_of(form)].add(form["notify_id"])
    assert set(numbers) == expected
    assert len(set().union(*numbers.values())) == sum(map(len, numbers.values())) == len(expected)


def event_of(form: dict[str, str]) -> Event:
    """Give what a notification tells of: the order's number, and the refund's or nothing."""
    return form["out_trade_no"], form.get("out_biz_no", "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
