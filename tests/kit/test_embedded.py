"""The embedded server with its real programs, killed and shared as people do it."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from databases import kill_postmaster, postmaster
from xinghan.kit import db
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.embedded.configuration import MIB, shared_buffers_bytes
from xinghan.kit.startup import DataFromNewerVersion, DataUnusable

SMALL = {"shared_buffers": "32MB", "max_wal_size": "64MB", "min_wal_size": "32MB"}
USER_PROGRAM = """
import sys, time
from pathlib import Path
from xinghan.kit.embedded import EmbeddedPostgres
embedded = EmbeddedPostgres(Path(sys.argv[1]), overrides={"shared_buffers": "32MB"})
embedded.start()
print("started", flush=True)
sys.stdin.read()
print(embedded.stop(), flush=True)
"""


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory on a path that any account may walk."""
    parent = Path(mkdtemp(prefix="xinghan-embedded-"))
    parent.chmod(0o711)
    yield parent / "data"
    _stop_whatever_runs(parent / "data")
    shutil.rmtree(parent)


def _stop_whatever_runs(data: Path) -> None:
    left = EmbeddedPostgres(data)
    if left.is_running():
        left.start()
        left.stop()


def user(data: Path) -> subprocess.Popen[str]:
    """Start another process that uses the same data directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER_PROGRAM, str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


async def ask(url: str, *statements: str) -> object:
    """Run statements and give the first value of the last one."""
    connection = await db.connect(url)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


async def test_data_outlive_the_server(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        await ask(embedded.owner_url, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
        port = postmaster(data).port
    assert not embedded.is_running()
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        assert await ask(embedded.owner_url, "SELECT n FROM kept") == 7
        assert postmaster(data).port == port, "clients find a restarted server where it was"


async def test_the_server_is_durable_checked_and_sorted_alike_everywhere(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await ask(embedded.owner_url, f"SHOW {setting}") == "on"
        assert await ask(embedded.owner_url, "SHOW server_encoding") == "UTF8"
        assert await ask(embedded.owner_url, "SELECT upper('é') || ('B' < 'a')") == "Étrue"


async def test_over_tcp_the_password_is_needed_and_only_this_machine_is_served(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        assert await ask(embedded.tcp_url, "SHOW listen_addresses") == "127.0.0.1"
        stored = "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname = 'xinghan'"
        assert await ask(embedded.tcp_url, stored) == "SCRAM-SHA-256"
        rules = "SELECT string_agg(type || auth_method, ' ') FROM pg_hba_file_rules"
        assert await ask(embedded.tcp_url, rules) == "localtrust hostscram-sha-256"


def test_nobody_else_can_reach_the_socket_the_keys_or_the_log(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL):
        closed = [postmaster(data).socket_directory, data / "keys", data / "log"]
        assert [stat.S_IMODE(path.stat().st_mode) for path in closed] == [0o700] * 3
        assert stat.S_IMODE((data / "keys" / "postgres-password").stat().st_mode) == 0o600


def test_the_server_never_runs_as_root(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL):
        assert Path(f"/proc/{postmaster(data).pid}").stat().st_uid != 0


def test_only_the_last_user_stops_the_server(data: Path) -> None:
    first, second = EmbeddedPostgres(data, overrides=SMALL), EmbeddedPostgres(data)
    assert first.start() == second.start()
    assert first.stop() is False
    assert second.is_running()
    assert second.stop() is True
    assert not second.is_running()
    assert second.stop() is False, "stopping twice is harmless"


def test_processes_share_the_server(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        pid = postmaster(data).pid
        other = user(data)
        assert other.communicate("")[0] == "False\n"
        assert postmaster(data).pid == pid
        other = user(data)
        assert embedded.stop() is False
    assert other.communicate("")[0] == "True\n"
    assert not embedded.is_running()


def test_a_server_whose_only_user_was_killed_is_adopted(data: Path) -> None:
    other = user(data)
    pid = postmaster(data).pid
    other.kill()
    other.communicate()
    with EmbeddedPostgres(data) as embedded:
        assert postmaster(data).pid == pid
    assert not embedded.is_running()


def test_a_killed_user_does_not_keep_the_server_running(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        other = user(data)
        other.kill()
        other.communicate()
        assert embedded.stop() is True


async def test_a_killed_server_comes_back_with_every_committed_row(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        url = embedded.owner_url
        await ask(url, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n", "SELECT 1")
        killed = kill_postmaster(data)
        assert embedded.start() == url
        assert postmaster(data).pid != killed
        assert await ask(url, "SELECT count(*) FROM kept") == 1000


def test_server_and_user_killed_together_leave_nothing_in_the_way(data: Path) -> None:
    other = user(data)
    kill_postmaster(data)
    other.kill()
    other.communicate()
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        assert embedded.is_running()


def test_a_stale_file_that_names_a_living_stranger_is_not_believed(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL):
        lock = data / "postgres" / "cluster" / "postmaster.pid"
        content = lock.read_text()
    stranger = str(os.getpid())
    lock.write_text(content.replace(content.split("\n", maxsplit=1)[0], stranger, 1))
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        assert embedded.is_running()
        assert postmaster(data).pid != os.getpid()


def test_an_unfinished_creation_is_begun_anew(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL):
        pass
    unfinished = data / "postgres" / "cluster.unfinished-abcd"
    (data / "postgres" / "cluster").rename(unfinished)
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        assert embedded.is_running()
    assert not unfinished.exists()


async def test_a_long_path_gets_a_short_private_socket(data: Path) -> None:
    deep = data / ("长" * 40) / "xinghan"
    with EmbeddedPostgres(deep, overrides=SMALL) as embedded:
        directory = postmaster(deep).socket_directory
        assert directory.name.startswith("xinghan-")
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert await ask(embedded.owner_url, "SELECT 1") == 1
    assert not directory.exists()


async def test_parents_that_are_closed_to_the_server_stay_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with EmbeddedPostgres(closed / "data", overrides=SMALL) as embedded:
        await ask(embedded.owner_url, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1")
    with EmbeddedPostgres(closed / "data", overrides=SMALL) as embedded:
        assert await ask(embedded.owner_url, "SELECT n FROM kept") == 7
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert closed.stat().st_uid == os.geteuid()


def test_a_socket_directory_that_somebody_else_opened_is_refused(data: Path) -> None:
    deep = data / ("长" * 40)
    with EmbeddedPostgres(deep, overrides=SMALL):
        directory = postmaster(deep).socket_directory
    directory.mkdir()
    directory.chmod(0o755)
    try:
        with pytest.raises(DataUnusable, match="private directory"):
            EmbeddedPostgres(deep, overrides=SMALL).start()
    finally:
        directory.rmdir()


def test_a_newer_postgres_is_refused_and_left_alone(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL):
        pass
    version = data / "postgres" / "cluster" / "PG_VERSION"
    version.write_text("99\n")
    embedded = EmbeddedPostgres(data, overrides=SMALL)
    with pytest.raises(DataFromNewerVersion, match="PostgreSQL 99"):
        embedded.start()
    assert not embedded.is_running()
    version.write_text("16\n")
    with pytest.raises(DataUnusable, match="pg_upgrade"):
        embedded.start()


def test_a_server_that_cannot_start_shows_its_reason(data: Path) -> None:
    with pytest.raises(DataUnusable, match="no_such_setting"):
        EmbeddedPostgres(data, overrides={"no_such_setting": "1"}).start()


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataUnusable, match="--data"):
        EmbeddedPostgres(tmp_path / "file").start()


def test_urls_of_a_stopped_server_are_refused(data: Path) -> None:
    with pytest.raises(DataUnusable, match="not running"):
        _ = EmbeddedPostgres(data).owner_url


def test_operators_settings_win(data: Path) -> None:
    with EmbeddedPostgres(data, overrides=SMALL):
        pass
    (data / "postgres" / "cluster" / "operator.conf").write_text("work_mem = '17MB'\n")
    with EmbeddedPostgres(data, overrides=SMALL) as embedded:
        psql = [embedded.binary("psql"), embedded.owner_url, "-Atc", "SHOW work_mem"]
        assert subprocess.check_output(psql, text=True) == "17MB\n"


@pytest.mark.parametrize(
    ("memory", "buffers"), [(900, 300), (1536, 512), (4096, 1024), (8192, 2048), (65536, 2048)]
)
def test_a_quarter_of_the_memory_within_bounds(memory: int, buffers: int) -> None:
    assert shared_buffers_bytes(memory * MIB) == buffers * MIB
