"""`xinghan up` as a person or another program starts, stops and kills it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from databases import kill_postmaster, postmaster
from xinghan.kit import db, migrate
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.embedded.postmaster import Postmaster

XINGHAN = Path(sys.executable).parent / "xinghan"
WAIT_SECONDS = 60
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("XINGHAN_")}

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Start]:
    """Start `xinghan up` on this test's port with the given further arguments."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [XINGHAN, "up", "--port", str(port), *arguments],
            cwd=tmp_path,
            env={**CLEAN, "LC_ALL": "C.UTF-8", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.terminate()
        process.communicate(timeout=WAIT_SECONDS)
    left = EmbeddedPostgres(tmp_path / ".xinghan")
    if left.is_running():
        left.start()
        left.stop()


def wait_until_ready(process: subprocess.Popen[str], port: int) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == f"ready http://127.0.0.1:{port}\n", line or process.communicate()[1]


def health(port: int) -> tuple[int, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def wait_until_healthy(port: int) -> None:
    for _ in range(WAIT_SECONDS * 20):
        with suppress(OSError, http.client.HTTPException):
            if health(port)[0] == http.HTTPStatus.OK:
                return
        time.sleep(0.05)
    pytest.fail("the platform did not come back")


def runs_embedded(data: Path) -> bool:
    return Postmaster.find(data / "postgres" / "cluster") is not None


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_once_ready_and_stops_with_its_database(
    start: Start, port: int, tmp_path: Path, stop: signal.Signals
) -> None:
    process = start()
    wait_until_ready(process, port)
    assert health(port) == (200, {"status": "ok"})
    assert runs_embedded(tmp_path / ".xinghan")
    process.send_signal(stop)
    stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert stdout == "", "the ready line is all there is on stdout"
    assert "Traceback" not in stderr
    assert not runs_embedded(tmp_path / ".xinghan")
    with pytest.raises(ConnectionRefusedError):
        health(port)


def test_after_a_kill_the_same_port_serves_again_at_once(start: Start, port: int) -> None:
    for _ in range(3):
        process = start()
        wait_until_ready(process, port)
        process.kill()
        process.communicate(timeout=WAIT_SECONDS)
    wait_until_ready(start(), port)
    assert health(port) == (200, {"status": "ok"})


def test_a_killed_database_is_brought_back(start: Start, port: int, tmp_path: Path) -> None:
    wait_until_ready(start(), port)
    killed = kill_postmaster(tmp_path / ".xinghan")
    wait_until_healthy(port)
    assert postmaster(tmp_path / ".xinghan").pid != killed


def test_a_port_that_is_taken_is_said_before_anything_starts(
    start: Start, port: int, tmp_path: Path
) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        process = start()
        stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, stdout) == (3, "")
    assert stderr.startswith(f"xinghan: 127.0.0.1:{port} is taken by another program.")
    assert len(stderr.splitlines()) == 1
    assert not (tmp_path / ".xinghan").exists()


def test_an_unreachable_database_is_named_without_its_password(start: Start) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{closed.getsockname()[1]}/xinghan"
        process = start(XINGHAN_DATABASE_URL=f"postgresql://lin:secret@{target}")
        stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, stdout) == (4, "")
    assert stderr.startswith(f"xinghan: The database at {target} cannot be reached")
    assert len(stderr.splitlines()) == 1
    assert "secret" not in stderr


async def test_a_newer_schema_is_refused(start: Start, empty_database_url: str) -> None:
    await migrate.migrate(empty_database_url)
    connection = await db.connect(empty_database_url)
    await connection.execute("INSERT INTO xinghan_migration VALUES (9999, 'later', 'x')")
    await connection.close()
    process = start("--database-url", empty_database_url)
    stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, stdout) == (5, "")
    assert "schema 9999" in stderr
    assert len(stderr.splitlines()) == 1


def test_a_data_directory_of_a_newer_postgres_is_refused(start: Start, tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "data", overrides={"shared_buffers": "32MB"}):
        pass
    (tmp_path / "data" / "postgres" / "cluster" / "PG_VERSION").write_text("99\n")
    process = start("--data", "data")
    stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, stdout) == (5, "")
    assert len(stderr.splitlines()) == 1


def test_messages_speak_the_language_of_the_terminal(start: Start) -> None:
    process = start(XINGHAN_PUBLIC_URL="nonsense", LC_ALL="zh_CN.UTF-8")
    stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, stdout) == (7, "")
    assert stderr.startswith("xinghan: 设置有误")
    assert "XINGHAN_PUBLIC_URL" in stderr


async def test_a_server_is_used_instead_of_the_embedded_database(
    start: Start, port: int, empty_database_url: str, tmp_path: Path
) -> None:
    process = start("--database-url", empty_database_url)
    wait_until_ready(process, port)
    assert health(port) == (200, {"status": "ok"})
    assert not (tmp_path / ".xinghan" / "postgres").exists()


def test_a_typed_directory_wins_over_a_server_in_the_environment(
    start: Start, port: int, tmp_path: Path
) -> None:
    process = start("--data", ".xinghan", XINGHAN_DATABASE_URL="postgresql://nowhere.invalid/x")
    wait_until_ready(process, port)
    assert runs_embedded(tmp_path / ".xinghan")


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"]])
def test_help_is_everywhere(arguments: list[str]) -> None:
    done = subprocess.run([XINGHAN, *arguments], capture_output=True, text=True, check=True)
    assert "Usage: xinghan" in done.stdout
