"""One PostgreSQL server process: is it there, start it, stop it."""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from xinghan.kit.embedded.account import Account
from xinghan.kit.embedded.layout import Layout
from xinghan.kit.startup import DataUnusable

POLL_SECONDS = 0.01
RECOVERY_SECONDS_MAX = 600.0
STOP_SECONDS_MAX = 60.0
RETRY_SECONDS = 0.2
RETRY_SECONDS_MAX = 30.0
LOG_BYTES_MAX = 16 * 1024 * 1024
LOG_TAIL_BYTES = 2000

# The server's processes outlive a killed postmaster for a moment; its port may have been taken.
PASSING_TROUBLES = re.compile(
    r"pre-existing shared memory block|lock file \S+ already exists|Address already in use"
)
# The path by which the server reaches its own working directory without passing its parents.
WORKING_DIRECTORY = "/proc/self/cwd"


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a running server says of itself in postmaster.pid."""

    pid: int
    port: int
    socket_directory: Path
    status: str

    @classmethod
    def find(cls, cluster: Path) -> Self | None:
        """Find the server of a cluster; None when there is none, whatever a stale file says."""
        try:
            lines = (cluster / "postmaster.pid").read_text().splitlines()
            found = cls(
                pid=abs(int(lines[0])),
                port=int(lines[3]),
                socket_directory=Path(lines[4]),
                status=lines[7].strip() if len(lines) > 7 else "starting",  # noqa: PLR2004
            )
        except (FileNotFoundError, IndexError, ValueError):
            return None
        return found if serves(found.pid, cluster) else None

    def stop(self, cluster: Path) -> None:
        """Stop the server, ending the sessions of clients that are still connected."""
        self._signal(signal.SIGINT)
        if not self._wait_for_end(cluster):
            self._signal(signal.SIGQUIT)
            self._wait_for_end(cluster)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _wait_for_end(self, cluster: Path) -> bool:
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while serves(self.pid, cluster):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True


def serves(pid: int, cluster: Path) -> bool:
    """Tell whether a process is a live server of this cluster.

    A number alone proves nothing: it may have been given to another process since, or belong to
    a dead one that nobody has buried. A postmaster works inside its cluster.
    """
    entry = Path("/proc") / str(pid)
    if not Path("/proc/self").exists():
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            return True
        return False
    try:
        state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX" and (entry / "cwd").readlink() == cluster.resolve()
    except OSError:
        return False


def launch(layout: Layout, account: Account, programs: Path, socket_directory: Path) -> Postmaster:
    """Start the server and wait until it answers, crash recovery included.

    Only for a cluster without a live server. Raises DataUnusable with what the server said.
    """
    deadline = time.monotonic() + RETRY_SECONDS_MAX
    while True:
        _remove_leftovers(layout.cluster, socket_directory)
        with _open_log(layout.log) as log:
            said_before_bytes = layout.log.stat().st_size
            pid = _spawn(layout.cluster, account, programs, log)
        if found := wait_until_ready(layout.cluster, pid):
            return found
        said = _said_since(layout.log, said_before_bytes)
        if time.monotonic() > deadline or not PASSING_TROUBLES.search(said):
            raise _did_not_start(layout.log, said)
        time.sleep(RETRY_SECONDS)


def wait_until_ready(cluster: Path, pid: int) -> Postmaster | None:
    """Wait until a server that is starting answers; None when it ended instead."""
    deadline = time.monotonic() + RECOVERY_SECONDS_MAX
    while time.monotonic() < deadline:
        found = Postmaster.find(cluster)
        if found and found.status == "ready":
            return found
        if not _exists(pid):
            return None
        time.sleep(POLL_SECONDS)
    return None


def _remove_leftovers(cluster: Path, socket_directory: Path) -> None:
    # PostgreSQL believes a lock file as long as some process has its number, also a dead one that
    # nobody has buried, as happens in containers.
    (cluster / "postmaster.pid").unlink(missing_ok=True)
    for path in socket_directory.glob(".s.PGSQL.*"):
        path.unlink(missing_ok=True)


def _spawn(cluster: Path, account: Account, programs: Path, log: BinaryIO) -> int:
    # A shell in between makes the server a child of init: it outlives whoever started it, and
    # nobody has to wait for it. The shell's own output carries the number of the process.
    directory = str(cluster) if account.can_enter(cluster) else WORKING_DIRECTORY
    command = [str(programs / "postgres"), "-D", directory]
    started = subprocess.run(
        ["/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh", *command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        **account.options(cluster),
    )
    return int(started.stdout)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):
        state = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return True


def _open_log(path: Path) -> BinaryIO:
    with suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return os.fdopen(descriptor, "ab")


def _said_since(path: Path, before_bytes: int) -> str:
    start = max(before_bytes, path.stat().st_size - LOG_TAIL_BYTES)
    return path.read_bytes()[start:].decode(errors="replace").strip()


def _did_not_start(log: Path, said: str) -> DataUnusable:
    return DataUnusable(
        f"The embedded PostgreSQL did not start. It said (all of it is in {log}):\n{said}",
        f"内嵌的 PostgreSQL 未能启动。它的输出如下（全文见 {log}）：\n{said}",
    )
