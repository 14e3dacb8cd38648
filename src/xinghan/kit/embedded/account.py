"""As whom the database server runs: PostgreSQL refuses to run as root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from xinghan.kit.startup import DataUnusable

PREFERRED_NAMES = ("postgres", "nobody")
TEST = "/usr/bin/test"


@dataclass(frozen=True, slots=True)
class Account:
    """A local account; `ids` is None when the server simply runs as whoever calls."""

    name: str
    ids: tuple[int, int] | None

    @classmethod
    def for_cluster(cls, cluster: Path) -> Self:
        """Choose the account: oneself, or, for root, the owner of the cluster or a plain account.

        Raises DataUnusable when the cluster belongs to somebody else.
        """
        owner = cluster.stat().st_uid if cluster.exists() else None
        if os.geteuid() != 0:
            if owner not in {None, os.geteuid()}:
                raise _owned_by_another(cluster, owner or 0)
            return cls(name=_name_of(os.geteuid()), ids=None)
        return cls._of_uid(owner) if owner else cls._preferred()

    @classmethod
    def _preferred(cls) -> Self:
        for name in PREFERRED_NAMES:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(name=name, ids=(entry.pw_uid, entry.pw_gid))
        raise DataUnusable(
            "PostgreSQL refuses to run as root, and this machine has neither an account `postgres`"
            " nor `nobody`. Create one (`useradd --system postgres`) or run as a normal user.",
            "PostgreSQL 拒绝以 root 身份运行，而本机既没有 postgres 帐户也没有 nobody 帐户。"
            "请创建一个（useradd --system postgres），或以普通用户身份运行。",
        )

    @classmethod
    def _of_uid(cls, uid: int) -> Self:
        try:
            gid = pwd.getpwuid(uid).pw_gid
        except KeyError:
            gid = uid
        return cls(name=_name_of(uid), ids=(uid, gid))

    def options(self, working_directory: Path | str = "/") -> dict[str, Any]:
        """Give the arguments of `subprocess` that start a program as this account.

        The environment is replaced, so that no `PG…` variable of the caller reaches the server,
        and the session is new, so that a terminal's Ctrl-C does not.
        """
        options: dict[str, Any] = {
            "cwd": working_directory,
            "env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            "start_new_session": True,
        }
        if self.ids:
            options |= {"user": self.ids[0], "group": self.ids[1], "extra_groups": []}
        return options

    def can_enter(self, directory: Path) -> bool:
        """Tell whether this account may pass through a directory and all its parents.

        Asked of the kernel by a program that runs as the account, because permission bits alone
        do not tell the truth where access lists or security modules decide.
        """
        if self.ids is None:
            return os.access(directory, os.X_OK)
        try:
            trial = subprocess.run([TEST, "-x", directory], check=False, **self.options())
        except (OSError, subprocess.SubprocessError) as error:
            raise DataUnusable(
                f"Cannot run a program as the account {self.name}: {error}. Run as a normal user,"
                " or set XINGHAN_DATABASE_URL to use a PostgreSQL server.",
                f"无法以帐户 {self.name} 运行程序：{error}。请以普通用户身份运行，"
                "或设置 XINGHAN_DATABASE_URL 使用 PostgreSQL 服务器。",
            ) from None
        return trial.returncode == 0

    def take(self, path: Path) -> None:
        """Make the account the owner of a path that this program created."""
        if self.ids:
            os.chown(path, *self.ids)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owned_by_another(cluster: Path, owner: int) -> DataUnusable:
    name = _name_of(owner)
    return DataUnusable(
        f"The database in {cluster} belongs to the account {name}. Run as {name} or as root,"
        " or choose another directory with --data.",
        f"数据库目录 {cluster} 属于帐户 {name}。请以 {name} 或 root 身份运行，"
        "或用 --data 另选目录。",
    )
