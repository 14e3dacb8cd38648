"""One PostgreSQL server for the whole test run, and a fresh database for each test that asks."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import pytest

from databases import build_from_schema_files, with_database
from xinghan.kit import db
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.embedded.locks import exclusive

DIRECTORY_VARIABLE = "XINGHAN_TEST_CLUSTER"
TEMPLATE = "xinghan_template"
# A test run may lose everything in a crash; nothing else differs from the platform's server.
OVERRIDES = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "128MB",
    "max_connections": "300",
}


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the workers of xdist inherit the variable
        directory = Path(mkdtemp(prefix="xinghan-tests-"))
        directory.chmod(0o711)  # the server's account passes through it
        os.environ[DIRECTORY_VARIABLE] = str(directory)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        directory = Path(os.environ.pop(DIRECTORY_VARIABLE))
        left_by_a_dead_worker = EmbeddedPostgres(directory)
        if left_by_a_dead_worker.is_running():
            left_by_a_dead_worker.start()
            left_by_a_dead_worker.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def cluster() -> Iterator[EmbeddedPostgres]:
    """The server that all workers of this test run share."""
    directory = Path(os.environ[DIRECTORY_VARIABLE])
    with EmbeddedPostgres(directory, overrides=OVERRIDES) as embedded:
        yield embedded


@pytest.fixture
def cluster_tcp_url(cluster: EmbeddedPostgres) -> str:
    """The owner's URL of the server over TCP, with the password."""
    return cluster.tcp_url


@pytest.fixture
async def template(cluster: EmbeddedPostgres) -> str:
    """The database that tests clone, built once from the rooms' schema files.

    `tests/contracts/test_migrations.py` proves that the migrations build the same.
    """
    marker = Path(os.environ[DIRECTORY_VARIABLE]) / "template"
    if not marker.exists():
        with exclusive(marker.with_suffix(".lock")):
            if not marker.exists():
                await build_from_schema_files(cluster.owner_url, TEMPLATE)
                marker.touch()
    return TEMPLATE


@pytest.fixture
async def database_url(cluster: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """The owner's URL of a fresh database with the current schema."""
    name = f"test_{uuid4().hex}"
    administration = await db.connect(cluster.owner_url)
    await administration.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield with_database(cluster.owner_url, name)
    await administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await administration.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[db.Database]:
    """A fresh database as the application sees it."""
    opened = await db.Database.open(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[db.Connection]:
    """A connection to the database of this test as the role that owns it."""
    connection = await db.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def empty_database_url(cluster: EmbeddedPostgres) -> AsyncIterator[str]:
    """The owner's URL of a fresh database in which nothing was ever created."""
    name = f"empty_{uuid4().hex}"
    administration = await db.connect(cluster.owner_url)
    await administration.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY")
    yield with_database(cluster.owner_url, name)
    await administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await administration.close()
