"""A new cluster, which appears under its name only when it is complete."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

from xinghan.kit.embedded.account import Account
from xinghan.kit.embedded.binaries import POSTGRES_MAJOR
from xinghan.kit.embedded.configuration import (
    HOST_BASED_AUTHENTICATION,
    INCLUDES,
    OPERATOR_FILE,
    OPERATOR_TEXT,
)
from xinghan.kit.embedded.layout import Layout
from xinghan.kit.embedded.postmaster import WORKING_DIRECTORY
from xinghan.kit.startup import DataFromNewerVersion, DataUnusable

OWNER = "xinghan"
DATABASE = "xinghan"
UNFINISHED = "cluster.unfinished-"
# PostgreSQL's own collation: the same order of text on every machine, whatever its C library.
ENCODING = ("-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


def create_cluster(layout: Layout, account: Account, programs: Path) -> None:
    """Initialise the cluster with its owner, the owner's password and an empty database."""
    # A name of its own, because a creation that was interrupted may still be writing its last.
    for abandoned in layout.home.glob(f"{UNFINISHED}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    unfinished = Path(mkdtemp(prefix=UNFINISHED, dir=layout.home))
    account.take(unfinished)
    directory = str(unfinished) if account.can_enter(unfinished) else WORKING_DIRECTORY
    create = [
        str(programs / "initdb"),
        "-D",
        directory,
        "-U",
        OWNER,
        "-A",
        "trust",
        "-k",
        *ENCODING,
    ]
    _run(create, "", unfinished, account)
    alone = [str(programs / "postgres"), "--single", "-D", directory, "template1"]
    _run(alone, _first_statements(_new_password(layout.password)), unfinished, account)
    with (unfinished / "postgresql.conf").open("a") as configuration:
        configuration.write(INCLUDES)
    (unfinished / "pg_hba.conf").write_text(HOST_BASED_AUTHENTICATION)
    operator_file = unfinished / OPERATOR_FILE
    operator_file.write_text(OPERATOR_TEXT)
    account.take(operator_file)
    unfinished.rename(layout.cluster)


def check_version(cluster: Path) -> None:
    """Refuse a cluster that another major version of PostgreSQL made.

    Raises DataFromNewerVersion or DataUnusable; nothing has been changed then.
    """
    found = int((cluster / "PG_VERSION").read_text())
    if found > POSTGRES_MAJOR:
        raise DataFromNewerVersion(
            f"The database in {cluster} was made by PostgreSQL {found}, which is newer than the"
            f" PostgreSQL {POSTGRES_MAJOR} of this Xinghan. Install the newer Xinghan.",
            f"{cluster} 中的数据库由 PostgreSQL {found} 创建，比本版星汉自带的 PostgreSQL"
            f" {POSTGRES_MAJOR} 更新。请安装较新版本的星汉。",
        )
    if found < POSTGRES_MAJOR:
        raise DataUnusable(
            f"The database in {cluster} was made by PostgreSQL {found}; this Xinghan brings"
            f" PostgreSQL {POSTGRES_MAJOR}. Convert it with pg_upgrade, or dump it with the older"
            " Xinghan and restore it into a new directory.",
            f"{cluster} 中的数据库由 PostgreSQL {found} 创建，本版星汉自带 PostgreSQL"
            f" {POSTGRES_MAJOR}。请用 pg_upgrade 转换，或用旧版星汉导出后恢复到新目录。",
        )


def _new_password(path: Path) -> str:
    password = secrets.token_urlsafe(24)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(password)
    return password


def _first_statements(password: str) -> str:
    # Single-user mode takes one statement per line.
    return (
        f"SET password_encryption = 'scram-sha-256'\nALTER ROLE {OWNER} PASSWORD '{password}'\n"
        f"CREATE DATABASE {DATABASE}\n"
    )


def _run(command: Sequence[str], text: str, directory: Path, account: Account) -> None:
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        **account.options(directory),
    )
    # Single-user mode reports a failed statement in its output, not in its exit code.
    if done.returncode == 0 and "ERROR:" not in done.stderr:
        return
    raise DataUnusable(
        f"Creating the embedded database in {directory.parent} failed:\n{done.stderr.strip()}",
        f"在 {directory.parent} 中创建内嵌数据库失败：\n{done.stderr.strip()}",
    )
