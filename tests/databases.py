"""Databases that tests build beside the one their fixtures give them."""

import os
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from xinghan.kit import db, migrate
from xinghan.kit.embedded.postmaster import Postmaster


def with_database(url: str, name: str) -> str:
    """Give the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def build_from_schema_files(administration_url: str, name: str) -> None:
    """Create a database and run the rooms' schema files in it."""
    administration = await db.connect(administration_url)
    await administration.execute(f"DROP DATABASE IF EXISTS {name}")  # left by a failed attempt
    await administration.execute(f"CREATE DATABASE {name}")
    await administration.close()
    connection = await db.connect(with_database(administration_url, name))
    await migrate.prepare_role(connection)
    try:
        for path in migrate.schema_files():
            await _run(connection, path.read_text(), said_by=path)
    finally:
        await connection.close()


async def _run(connection: db.Connection, statements: str, said_by: Path) -> None:
    try:
        await connection.execute(statements)
    except db.DatabaseError as error:
        error.add_note(f"in {said_by}")
        raise


def postmaster(data: Path) -> Postmaster:
    """Give the embedded server of a data directory, which must be running."""
    found = Postmaster.find(data / "postgres" / "cluster")
    assert found is not None, "the embedded server does not run"
    return found


def kill_postmaster(data: Path) -> int:
    """Kill the embedded server, wait until the kernel has done it, give the number it had."""
    pid = postmaster(data).pid
    os.kill(pid, signal.SIGKILL)
    while (found := Postmaster.find(data / "postgres" / "cluster")) and found.pid == pid:
        time.sleep(0.01)
    return pid
