"""A shop is told of its payment by the worker process, whatever is killed in between."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from cast.sale import Sale
from cast.shop_server import SUCCESS, Answer, open_shop, saying
from sdk.drivers import SdkApp, run_community
from xinghan.identity import open_vault
from xinghan.kit import signing
from xinghan.kit.clock import SystemClock
from xinghan.kit.db import Connection, Database
from xinghan.kit.settings import Settings
from xinghan.payments.model import Attempt, Trade, TradeState
from xinghan.payments.notifications import list_attempts, list_notifications
from xinghan.payments.store import fetch_trade

XINGHAN = Path(sys.executable).parent / "xinghan"
WAIT_SECONDS = 60
SCHEDULE_SECONDS = (1, 1, 1)

Process = asyncio.subprocess.Process


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return settings_for(database_url, tmp_path)


def settings_for(database_url: str, data: Path, **given: object) -> Settings:
    return Settings(
        data=data,
        database_url=database_url,
        notify_allow=("127.0.0.0/8",),
        notify_schedule_seconds=SCHEDULE_SECONDS,
        **given,
    )


@pytest.fixture
async def sale(database: Database, settings: Settings) -> Sale:
    return await open_sale(database, settings)


async def open_sale(database: Database, settings: Settings) -> Sale:
    """Let a merchant with an app sell to a payer, in this process beside the worker's."""
    async with database.transaction() as connection:
        vault = await open_vault(connection, settings)
    sale = await Sale.prepare(database, vault, SystemClock())
    await sale.add_app()
    return sale


@asynccontextmanager
async def running(settings: Settings, *command: str) -> AsyncIterator[Process]:
    """Run a program of the platform; what it says on stderr is shown when the test fails."""
    clean = {name: value for name, value in os.environ.items() if "XINGHAN" not in name}
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**clean, **settings.environment()},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), WAIT_SECONDS)


def working(settings: Settings) -> "asyncio.subprocess.Process":
    return running(settings, sys.executable, "-m", "xinghan.worker")


async def until(true: Callable[[], Awaitable[object]]) -> None:
    """Wait until something has become true."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await true():  # noqa: ASYNC110 (another process makes it true)
            await asyncio.sleep(0.05)


async def attempts_of(sale: Sale, trade: Trade) -> list[Attempt]:
    """Give the tries of the first thing that the shop has to be told of a trade."""
    async with sale.database.acquire() as connection:
        first = (await list_notifications(connection, trade.id))[0]
        return await list_attempts(connection, trade.bucket, first.id)


async def until_delivered(sale: Sale, trade: Trade) -> None:
    async def delivered() -> bool:
        attempts = await attempts_of(sale, trade)
        return bool(attempts) and attempts[-1].outcome == "delivered"

    await until(delivered)


def believes(sale: Sale, forms: list[dict[str, str]]) -> list[bool]:
    """Let python-alipay-sdk judge what a shop received."""
    app = sale.app
    assert app is not None
    configured = SdkApp(
        app.app_id,
        signing.export_private_key_pkcs1(app.private_key),
        signing.export_private_key_pkcs8(app.private_key),
        signing.export_public_key(app.platform_public_key),
        app.aes_key,
    )
    checks = [{"action": "check_notify", "data": form} for form in forms]
    return [one["result"] for one in run_community(configured, "http://127.0.0.1/", checks)]


async def test_payment_and_refund_reach_the_shop_and_its_sdk_believes_them(
    sale: Sale, settings: Settings
) -> None:
    async with open_shop() as shop, working(settings) as worker:
        trade = await sale.pay(shop.url, body="两壶")
        await shop.wait_for(1, WAIT_SECONDS)
        await sale.refund(trade, 234)
        paid, refunded = await shop.wait_for(2, WAIT_SECONDS)
        await until_delivered(sale, trade)
        worker.send_signal(signal.SIGTERM)
        stdout, _ = await asyncio.wait_for(worker.communicate(), WAIT_SECONDS)
    assert (worker.returncode, stdout) == (0, b"")
    assert (paid["trade_status"], paid["total_amount"]) == ("TRADE_SUCCESS", "12.34")
    assert (refunded["refund_fee"], refunded["out_biz_no"]) == ("2.34", "R1")
    assert believes(sale, [paid, refunded, {**paid, "total_amount": "1.00"}]) == [True, True, False]
    assert (settings.data / "heads.jsonl").read_text().count("\n") >= 1


async def test_what_was_paid_while_no_worker_ran_is_told_by_the_next(
    sale: Sale, settings: Settings
) -> None:
    async with open_shop() as shop:
        for _ in range(20):
            await sale.pay(shop.url)
        async with working(settings):
            forms = await shop.wait_for(20, WAIT_SECONDS)
    assert len({form["notify_id"] for form in forms}) == 20


async def test_a_worker_killed_while_it_sends_loses_nothing(
    sale: Sale, settings: Settings, owner: Connection
) -> None:
    async def never(_form: dict[str, str]) -> Answer:
        await asyncio.Event().wait()
        return SUCCESS

    async with open_shop(never) as shop:
        trade = await sale.pay(shop.url)
        async with working(settings) as worker:
            await shop.wait_for(1, WAIT_SECONDS)
            worker.kill()
            await worker.wait()
        assert [one.outcome for one in await attempts_of(sale, trade)] == [None]
        await owner.execute("UPDATE payments.notification SET next_attempt_at = now()")  # the lease
        shop.answering = saying()
        async with working(settings):
            await until_delivered(sale, trade)
    assert [one.outcome for one in await attempts_of(sale, trade)] == [None, "delivered"]
    assert len({form["notify_id"] for form in shop.forms}) == 1


async def test_a_shop_that_fails_is_told_again_by_the_schedule(
    sale: Sale, settings: Settings
) -> None:
    async with open_shop(saying((500, b"oops"), (200, b"fail"))) as shop, working(settings):
        trade = await sale.pay(shop.url)
        await until_delivered(sale, trade)
    attempts = await attempts_of(sale, trade)
    assert [(one.outcome, one.http_status, one.answer) for one in attempts] == [
        ("refused", 500, "oops"),
        ("refused", 200, "fail"),
        ("delivered", 200, "success"),
    ]


async def test_the_worker_outlives_its_database_connections(
    sale: Sale, settings: Settings, owner: Connection
) -> None:
    cut = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'xinghan worker'
    """
    async with open_shop() as shop, working(settings):
        await sale.pay(shop.url)
        await shop.wait_for(1, WAIT_SECONDS)
        assert await owner.fetchval(cut) >= 1
        await sale.pay(shop.url)
        await shop.wait_for(2, WAIT_SECONDS)


async def test_an_order_whose_time_is_over_is_closed_and_its_shop_told(
    sale: Sale, settings: Settings
) -> None:
    async with open_shop() as shop, working(settings):
        soon = SystemClock().now() + timedelta(seconds=1)
        trade = await sale.payments.make_order(replace(sale.order(shop.url), expires_at=soon))
        [form] = await shop.wait_for(1, WAIT_SECONDS)
        async with sale.database.acquire() as connection:
            after = await fetch_trade(connection, trade.id)
    assert after is not None
    assert after.state is TradeState.TRADE_CLOSED
    assert (form["trade_status"], form["out_trade_no"]) == ("TRADE_CLOSED", trade.out_trade_no)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def worker_of(platform: Process) -> psutil.Process | None:
    """Find the worker among the children of `xinghan up`."""
    for child in psutil.Process(platform.pid).children():
        if "xinghan.worker" in child.cmdline():
            return child
    return None


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_up_keeps_a_worker_and_takes_it_along_when_it_ends(
    empty_database_url: str, tmp_path: Path, port: int, end: signal.Signals
) -> None:
    settings = settings_for(empty_database_url, tmp_path, port=port, workers=1)
    async with running(settings, str(XINGHAN), "up") as platform:
        assert platform.stdout is not None
        assert await platform.stdout.readline() == f"ready http://127.0.0.1:{port}\n".encode()
        database = await Database.open(empty_database_url)
        sale = await open_sale(database, settings)
        async with open_shop() as shop:
            await sale.pay(shop.url)
            await shop.wait_for(1, WAIT_SECONDS)
            killed = worker_of(platform)
            assert killed is not None
            killed.kill()
            await sale.pay(shop.url)
            await shop.wait_for(2, WAIT_SECONDS)
        again = worker_of(platform)
        assert again is not None
        assert again.pid != killed.pid
        await database.close()
        platform.send_signal(end)
        stdout, _ = await asyncio.wait_for(platform.communicate(), WAIT_SECONDS)
        assert (platform.returncode, stdout) == (0 if end == signal.SIGTERM else -end, b"")
        await until(lambda: asyncio.to_thread(lambda: not again.is_running()))
