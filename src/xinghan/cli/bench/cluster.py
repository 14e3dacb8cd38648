"""Databases for a benchmark on the platform's cluster, the pgbench reference, CPU time used."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psutil

from xinghan.kit.db import connect
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.migrate import migrate
from xinghan.kit.startup import StartupError

PGBENCH_SCALE: Final = 10
PGBENCH_OPTIONS: Final = ("-N", "-M", "prepared", "-c", "8", "-j", "2")
_TPS: Final = re.compile(r"tps = ([0-9.]+)")


class BenchmarkFailed(StartupError):
    """A tool that the benchmark needs did not run."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the benchmark runs: the owner's URLs of two databases, and the pgbench program."""

    url: str
    reference_url: str
    pgbench: Path

    async def reference_tps(self, seconds: int) -> float:
        """Run pgbench for some seconds; gives transactions per second."""
        output = await run_program(
            self.pgbench, *PGBENCH_OPTIONS, "-T", str(seconds), self.reference_url
        )
        match = _TPS.search(output)
        if match is None:
            raise BenchmarkFailed(
                f"pgbench printed no tps: {output}", f"pgbench 没有输出 tps：{output}"
            )
        return float(match[1])


@asynccontextmanager
async def benchmark_databases(owner_url: str, embedded: EmbeddedPostgres) -> AsyncIterator[Cluster]:
    """Make two databases, one migrated and one for pgbench, and drop them at the end."""
    names = [f"xinghan_bench_{uuid4().hex[:12]}", f"xinghan_bench_{uuid4().hex[:12]}"]
    administration = await connect(owner_url)
    try:
        for name in names:
            await administration.execute(f"CREATE DATABASE {name}")
        url, reference_url = (with_database(owner_url, name) for name in names)
        await migrate(url, application_url=url)
        pgbench = embedded.binary("pgbench")
        await run_program(pgbench, "-i", "-q", "-s", str(PGBENCH_SCALE), reference_url)
        yield Cluster(url, reference_url, pgbench)
    finally:
        for name in names:
            await administration.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await administration.close()


def with_database(url: str, name: str) -> str:
    """Give the URL of another database of the same server."""
    parts = urlsplit(url)
    # urlunsplit drops the empty authority of `postgresql:///name`, which the driver needs.
    made = urlunsplit(parts._replace(path=f"/{name}"))
    return made if "://" in made else made.replace(":/", ":///", 1)


async def run_program(program: Path, *arguments: str) -> str:
    """Run a program and give what it printed. Raises BenchmarkFailed."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode(errors="replace")
    if process.returncode != 0:
        raise BenchmarkFailed(f"{program.name} failed: {output}", f"{program.name} 失败：{output}")
    return output


class CpuClock:
    """CPU seconds used by some processes together, each with its children."""

    def __init__(self, *pids: int) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]

    def seconds(self) -> float:
        """Give the CPU seconds so far; processes that have ended are not counted."""
        total = 0.0
        for root in self._roots:
            for each in (root, *root.children(recursive=True)):
                try:
                    times = each.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                total += times.user + times.system
        return total
