"""PostgreSQL without an installation: a server that several processes share in one data directory.

Whoever calls `start` first launches the server, whoever calls `stop` last ends it; in between,
processes may come, go and be killed. A server whose last user was killed keeps running and is
adopted by the next `start`.
"""

import random
import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from xinghan.kit.embedded.account import Account
from xinghan.kit.embedded.binaries import installation, installation_for, supports_lz4
from xinghan.kit.embedded.configuration import settings_text
from xinghan.kit.embedded.creation import DATABASE, OWNER, check_version, create_cluster
from xinghan.kit.embedded.layout import Layout
from xinghan.kit.embedded.locks import Membership, exclusive
from xinghan.kit.embedded.postmaster import Postmaster, launch, wait_until_ready
from xinghan.kit.startup import DataUnusable

# Below the range from which the kernel takes the ports of outgoing connections.
PORTS = range(20000, 32000)
PORT_TRIES = 100


class EmbeddedPostgres:
    """The server of one data directory, as one of its users sees it.

    `overrides` are PostgreSQL settings that win over the platform's own; they count only when
    this user is the one who launches the server.
    """

    def __init__(self, data_directory: Path, *, overrides: Mapping[str, str] | None = None) -> None:
        self._layout = Layout(data_directory.absolute())
        self._overrides = dict(overrides or {})
        self._membership: Membership | None = None

    def start(self) -> str:
        """Start the server or join the running one; give the owner's URL.

        Calling it again brings back a server that has died in the meantime. Raises
        DataFromNewerVersion, or DataUnusable when the directory or the account does not permit it.
        """
        try:
            account = self._layout.prepare()
            with exclusive(self._layout.lock):
                self._membership = self._membership or Membership(self._layout.users)
                self._ensure_running(account)
        except BaseException as error:
            self._abandon()
            if isinstance(error, OSError):
                raise _unusable(self._layout.data, error) from error
            raise
        return self.owner_url

    def stop(self) -> bool:
        """Stop using the server; True if nobody else used it and it was stopped."""
        if self._membership is None:
            return False
        with exclusive(self._layout.lock):
            membership, self._membership = self._membership, None
            if not membership.leave():
                return False
            if running := Postmaster.find(self._layout.cluster):
                running.stop(self._layout.cluster)
                self._layout.discard_socket_directory(running.socket_directory)
            return True

    def is_running(self) -> bool:
        """Tell whether the server answers, or will after its recovery."""
        return Postmaster.find(self._layout.cluster) is not None

    @property
    def owner_url(self) -> str:
        """The URL over the unix socket, as the role that owns everything; it needs no password."""
        running = self._running()
        host = quote(str(running.socket_directory), safe="")
        return f"postgresql://{OWNER}@/{DATABASE}?host={host}&port={running.port}"

    @property
    def tcp_url(self) -> str:
        """The URL over TCP on 127.0.0.1 as the owner, with the password."""
        password = self._layout.password.read_text()
        return f"postgresql://{OWNER}:{password}@127.0.0.1:{self._running().port}/{DATABASE}"

    @staticmethod
    def binary(name: str) -> Path:
        """Give the path of one of PostgreSQL's programs, such as `psql` or `pgbench`."""
        return installation() / "bin" / name

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _ensure_running(self, account: Account) -> None:
        layout = self._layout
        running = Postmaster.find(layout.cluster)
        if running and running.status == "stopping":
            running.stop(layout.cluster)
            running = None
        if running and wait_until_ready(layout.cluster, running.pid):
            return
        programs = installation_for(account) / "bin"
        if not layout.cluster.exists():
            create_cluster(layout, account, programs)
        check_version(layout.cluster)
        socket_directory = layout.socket_directory(account)
        self._write_settings(account, socket_directory)
        launch(layout, account, programs, socket_directory)

    def _write_settings(self, account: Account, socket_directory: Path) -> None:
        file = self._layout.cluster / "xinghan.conf"
        text = settings_text(
            _choose_port(file),
            socket_directory,
            with_lz4=supports_lz4(),
            overrides=self._overrides,
        )
        file.write_text(text)
        file.chmod(0o600)
        account.take(file)

    def _running(self) -> Postmaster:
        running = Postmaster.find(self._layout.cluster)
        if running is None:
            raise DataUnusable(
                f"The embedded PostgreSQL in {self._layout.data} is not running.",
                f"{self._layout.data} 中内嵌的 PostgreSQL 没有运行。",
            )
        return running

    def _abandon(self) -> None:
        with suppress(OSError):
            self.stop()


def _choose_port(settings_file: Path) -> int:
    """Choose the port of last time, so that clients find a restarted server, or a free one."""
    with suppress(FileNotFoundError):
        if found := re.search(r"^port = '(\d+)'", settings_file.read_text(), re.MULTILINE):
            last = int(found[1])
            if _is_free(last):
                return last
    candidates = random.sample(PORTS, PORT_TRIES)
    return next(port for port in candidates if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _unusable(data: Path, error: OSError) -> DataUnusable:
    return DataUnusable(
        f"The data directory {data} cannot be used: {error}. Choose another with --data or"
        " XINGHAN_DATA, or correct its owner and permissions.",
        f"无法使用数据目录 {data}：{error}。请用 --data 或 XINGHAN_DATA 另选目录，"
        "或改正其所有者和权限。",
    )
