"""Measures payments over HTTP: `alipay.trade.pay` signed both ways, many payers, one shop."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from rich.console import Console
from rich.progress import Progress

from xinghan import identity, wallets
from xinghan.cli.bench.cluster import BenchmarkFailed, Cluster, CpuClock, benchmark_databases
from xinghan.cli.bench.http_load import Outcome, run_load
from xinghan.cli.bench.report import REFERENCE, Figures
from xinghan.cli.platform import locate, read_settings
from xinghan.kit.clock import SystemClock, format_gateway_time
from xinghan.kit.db import Connection, Database
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.ids import PostingId, uuid7
from xinghan.kit.money import Currency, Money
from xinghan.kit.settings import Settings
from xinghan.kit.signing import SignType, sign
from xinghan.kit.vault import Vault
from xinghan.payments.codes import derive_code, step_at

PAYERS: Final = 6000
STEPS: Final = (0, 1, -1)  # the half minutes whose codes are good now and for a while
CONNECTIONS: Final = 64
HALF_LOAD_CONNECTIONS: Final = 32
BALANCE_MINOR: Final = 10**9
ACTOR: Final = "bench"
READY_SECONDS_MAX: Final = 60


@dataclass(frozen=True, slots=True)
class Phone:
    """What derives a payer's codes."""

    number: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class Cast:
    """One shop's program and its customers."""

    app_id: str
    key: RSAPrivateKey
    phones: list[Phone]
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    used: set[tuple[int, int]] = field(default_factory=set)


async def bench_payments(
    data: Path | None, database_url: str | None, *, seconds: int, rounds: int
) -> Figures:
    """Pay at full and at half load, `rounds` times for `seconds` each, pgbench before each."""
    with (
        locate(read_settings(data, database_url)) as located,
        TemporaryDirectory(prefix="xinghan-bench-") as folder,
    ):
        embedded = located.embedded or EmbeddedPostgres(located.settings.data)
        async with benchmark_databases(located.url, embedded) as cluster:
            settings = Settings.read(
                data=Path(folder), database_url=cluster.url, sandbox=True, port=free_port()
            )
            cast = await _make_cast(cluster, settings)
            async with _serving(settings) as pid:
                return await _measure(cluster, settings, cast, pid, seconds, rounds)


async def _measure(
    cluster: Cluster, settings: Settings, cast: Cast, pid: int, seconds: int, rounds: int
) -> Figures:
    figures = Figures()
    cpu = CpuClock(pid)
    paid = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("payments", total=3 * rounds)
        for _ in range(rounds):
            figures.add(REFERENCE, await cluster.reference_tps(seconds))
            progress.advance(task)
            used = cpu.seconds()
            full = await _pay(settings, cast, seconds, None)
            cost = (cpu.seconds() - used) * 1_000_000 / len(full.latencies_seconds)
            _note(figures, full, "")
            figures.add("payments_per_s", full.per_second)
            figures.add("server_cpu_us_per_payment", cost)
            progress.advance(task)
            half = await _pay(settings, cast, seconds, full.per_second / 2)
            _note(figures, half, "half_load_")
            progress.advance(task)
            paid += len(full.latencies_seconds) + len(half.latencies_seconds)
    figures.facts["payments"] = paid
    return figures


def _note(figures: Figures, outcome: Outcome, prefix: str) -> None:
    figures.add(f"{prefix}p50_ms", outcome.latency_ms(50))
    figures.add(f"{prefix}p99_ms", outcome.latency_ms(99))


async def _pay(settings: Settings, cast: Cast, seconds: int, per_second: float | None) -> Outcome:
    codes = _fresh_codes(cast)
    outcome = await run_load(
        settings.host,
        settings.port,
        [_request(settings, cast, derive_code(*code)) for code in codes],
        connections=CONNECTIONS if per_second is None else HALF_LOAD_CONNECTIONS,
        seconds=seconds,
        per_second=per_second,
    )
    cast.used.update((number, step) for number, _, step in codes[: outcome.sent])
    if outcome.failures:
        shown = outcome.failures[0].decode(errors="replace")
        raise BenchmarkFailed(
            f"{len(outcome.failures)} payments failed: {shown}",
            f"{len(outcome.failures)} 笔支付失败：{shown}",
        )
    return outcome


def _fresh_codes(cast: Cast) -> list[tuple[int, bytes, int]]:
    """Give what derives the codes that are good now and were not used: number, secret, step."""
    now = step_at(datetime.now(UTC))
    return [
        (phone.number, phone.secret, now + step)
        for step in STEPS
        for phone in cast.phones
        if (phone.number, now + step) not in cast.used
    ]


def _request(settings: Settings, cast: Cast, code: str) -> bytes:
    content = {
        "out_trade_no": f"bench-{next(cast.numbers)}",
        "auth_code": code,
        "scene": "bar_code",
        "subject": "tea",
        "total_amount": "1.00",
    }
    parameters = {
        "app_id": cast.app_id,
        "biz_content": msgspec.json.encode(content).decode(),
        "charset": "utf-8",
        "format": "json",
        "method": "alipay.trade.pay",
        "sign_type": "RSA2",
        "timestamp": format_gateway_time(datetime.now(UTC)),
        "version": "1.0",
    }
    text = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    parameters["sign"] = sign(cast.key, text.encode(), SignType.RSA2)
    body = urlencode(parameters).encode()
    head = (
        f"POST /gateway.do HTTP/1.1\r\nHost: {settings.host}:{settings.port}\r\n"
        "Content-Type: application/x-www-form-urlencoded;charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _make_cast(cluster: Cluster, settings: Settings) -> Cast:
    database = await Database.open(cluster.url)
    currency = Currency.of("CNY")
    try:
        async with database.transaction() as connection:
            vault = await identity.open_vault(connection, settings)
            shop = await identity.create_merchant(connection, vault, "Bench", actor=ACTOR)
            app = await identity.create_app(
                connection, vault, shop, identity.AppMode.KEY, actor=ACTOR, clock=SystemClock()
            )
            await wallets.open_merchant_account(connection, shop.id, currency)
        async with database.transaction() as connection:
            phones = [await _make_payer(connection, vault, currency) for _ in range(PAYERS)]
    finally:
        await database.close()
    return Cast(app.app_id, app.private_key, phones)


async def _make_payer(connection: Connection, vault: Vault, currency: Currency) -> Phone:
    person = await identity.create_person(connection, vault, "payer", actor=ACTOR)
    device = await identity.add_device(connection, vault, person, actor=ACTOR)
    await wallets.open_wallet(connection, person.key, currency)
    money = Money(BALANCE_MINOR, currency)
    await wallets.top_up(connection, person.key, money, PostingId(uuid7()))
    return Phone(device.number, device.secret)


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncIterator[int]:
    """Run `xinghan up` on the benchmark's database; gives its pid."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "xinghan",
        "up",
        "--port",
        str(settings.port),
        env={**os.environ, **settings.environment()},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None:
            raise BenchmarkFailed("no output from `xinghan up`", "xinghan up 没有输出")
        line = await asyncio.wait_for(process.stdout.readline(), READY_SECONDS_MAX)
        if not line.startswith(b"ready "):
            raise BenchmarkFailed("`xinghan up` did not start", "xinghan up 未能启动")
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def free_port() -> int:
    """Find a port of the loopback address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
