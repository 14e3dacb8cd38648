"""Measures the ledger: lone and many callers, a hot account, batches."""

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.progress import Progress

from xinghan.cli.bench.cluster import Cluster, CpuClock, benchmark_databases
from xinghan.cli.bench.report import REFERENCE, Figures
from xinghan.cli.platform import locate, read_settings
from xinghan.kit.db import Database, connect
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.ids import AccountId, PostingId, uuid7
from xinghan.ledger.model import Leg, Outcome, Post
from xinghan.ledger.numbers import account_number
from xinghan.ledger.posting import Ledger

ACCOUNTS: Final = 100_000
OPENING_BALANCE_MINOR: Final = 10**12
CURRENCY_NUMBER: Final = 156
AMOUNT_MAX_MINOR: Final = 100
CALLERS_COSTED: Final = 512

OPEN_ACCOUNTS: Final = """
    INSERT INTO ledger.account (bucket, id, kind, debit_normal, floor_minor, credits_posted)
    SELECT u.id & 255, u.id, 'benchmark', false, 0, $2 FROM unnest($1::bigint []) AS u (id)
"""

Measure = Callable[[], Awaitable[float]]


async def bench_ledger(
    data: Path | None, database_url: str | None, *, seconds: int, rounds: int
) -> Figures:
    """Run every measure `rounds` times for `seconds` each, pgbench at the head of each round."""
    with locate(read_settings(data, database_url)) as located:
        embedded = located.embedded or EmbeddedPostgres(located.settings.data)
        async with benchmark_databases(located.url, embedded) as cluster:
            return await _measure(cluster, seconds, rounds)


async def _measure(cluster: Cluster, seconds: int, rounds: int) -> Figures:
    accounts = await _open_accounts(cluster.url)
    database = await Database.open(cluster.url, size_max=4)
    load = _Load(Ledger(database), accounts, seconds)
    cpu = CpuClock(os.getpid(), await _postmaster_pid(database))
    figures = Figures()
    measures: dict[str, Measure] = {
        REFERENCE: lambda: cluster.reference_tps(seconds),
        "callers_1": lambda: load.callers(1),
        "callers_64": lambda: load.callers(64),
        "callers_512": lambda: load.callers(512),
        "hot_64": lambda: load.callers(64, hot=True),
        "hot_512": lambda: load.callers(512, hot=True),
        "batch_1000": lambda: load.batches(1000),
        "batch_8000": lambda: load.batches(8000),
    }
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("ledger", total=len(measures) * rounds)
        for _ in range(rounds):
            for name, run in measures.items():
                progress.update(task, description=f"ledger {name}")
                used, posted = cpu.seconds(), load.posted
                figures.add(name, await run())
                if name == f"callers_{CALLERS_COSTED}":
                    cost = (cpu.seconds() - used) * 1_000_000 / (load.posted - posted)
                    figures.add("cpu_us_per_posting", cost)
                progress.advance(task)
    figures.facts["postings"] = load.posted
    await database.close()
    return figures


async def _open_accounts(url: str) -> list[AccountId]:
    accounts = [account_number(n, CURRENCY_NUMBER, n % 64) for n in range(1, ACCOUNTS + 1)]
    owner = await connect(url)
    await owner.execute(OPEN_ACCOUNTS, accounts, OPENING_BALANCE_MINOR)
    await owner.execute("VACUUM ANALYZE ledger.account")
    await owner.close()
    return accounts


async def _postmaster_pid(database: Database) -> int:
    """Find the server's first process: the parent of the one that serves us."""
    async with database.acquire() as connection:
        backend: int = await connection.fetchval("SELECT pg_backend_pid()")
    return psutil.Process(backend).ppid()


class _Load:
    """Posts of random amounts between random accounts, for a time."""

    def __init__(self, ledger: Ledger, accounts: list[AccountId], seconds: int) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._seconds = seconds
        self.posted = 0

    async def callers(self, callers: int, *, hot: bool = False) -> float:
        """Let independent callers post one after the other; gives postings per second."""
        posts = self._posts(hot=hot)
        until = time.perf_counter() + self._seconds

        async def call() -> int:
            done = 0
            while time.perf_counter() < until:
                result = await self._ledger.post(next(posts))
                done += result.outcome is Outcome.POSTED
            return done

        return await self._rate(lambda: asyncio.gather(*[call() for _ in range(callers)]))

    async def batches(self, size: int) -> float:
        """Post batches one after the other; gives postings per second."""
        posts = self._posts(hot=False)
        until = time.perf_counter() + self._seconds

        async def call() -> list[int]:
            done = []
            while time.perf_counter() < until:
                results = await self._ledger.post_batch(islice(posts, size))
                done.append(sum(result.outcome is Outcome.POSTED for result in results))
            return done

        return await self._rate(call)

    async def _rate(self, work: Callable[[], Awaitable[list[int]]]) -> float:
        started = time.perf_counter()
        posted = sum(await work())
        self.posted += posted
        return posted / (time.perf_counter() - started)

    def _posts(self, *, hot: bool) -> Iterator[Post]:
        rng = random.Random()  # noqa: S311 (a load, not a secret)
        accounts = self._accounts
        while True:
            debit, credit = rng.sample(accounts, 2)
            if hot:
                debit, credit = debit if debit != accounts[0] else accounts[1], accounts[0]
            yield Post(PostingId(uuid7()), (Leg(debit, credit, rng.randint(1, AMOUNT_MAX_MINOR)),))
