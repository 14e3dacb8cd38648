"""The platform as a whole, started once for each worker of the test run."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import httpx
import pytest

from databases import with_database
from journeys.scene import PROGRAM, Running, Scene
from sdk.conftest import free_loopback_address
from xinghan import identity
from xinghan.kit import db
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.settings import Settings

HTTP_PORT = 80
STOP_SECONDS_MAX = 30


@pytest.fixture(scope="session")
def running(
    cluster: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """`xinghan up` on a database of its own, at an address whose port every SDK can call."""
    name = f"journeys_{uuid4().hex}"
    asyncio.run(_execute(cluster.owner_url, f"CREATE DATABASE {name}"))
    host = free_loopback_address()
    found = Running(
        f"http://{host}", with_database(cluster.owner_url, name), tmp_path_factory.mktemp("data")
    )
    server = start(found, host)
    try:
        yield found
    finally:
        server.terminate()
        server.communicate(timeout=STOP_SECONDS_MAX)
        asyncio.run(_execute(cluster.owner_url, f"DROP DATABASE {name} WITH (FORCE)"))


def start(running: Running, host: str) -> subprocess.Popen[str]:
    command = [PROGRAM, "up", "--data", str(running.data)]
    command += ["--database-url", running.database_url, "--host", host, "--port", str(HTTP_PORT)]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=None,
        text=True,
        env={
            **os.environ,
            "XINGHAN_SANDBOX": "true",
            "XINGHAN_PUBLIC_URL": running.url,
            "XINGHAN_WORKERS": "2",
            "XINGHAN_LOG_LEVEL": "warning",
        },
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    assert line.startswith("ready "), f"the platform did not start: {line}"
    return server


@pytest.fixture
async def scene(running: Running) -> AsyncIterator[Scene]:
    """A way to make shops and payers on the running platform, and to look at its books."""
    database = await db.Database.open(running.database_url, application_name="tests")
    settings = Settings.read(data=running.data, database_url=running.database_url)
    async with database.acquire() as connection:
        vault = await identity.open_vault(connection, settings)
    yield Scene(running, database, vault)
    await database.close()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client that honours no proxy and waits for no connection."""
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=60) as opened:
        yield opened


async def _execute(url: str, statement: str) -> None:
    connection = await db.connect(url)
    await connection.execute(statement)
    await connection.close()
