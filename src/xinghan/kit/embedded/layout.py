"""Where things lie in a data directory."""

import os
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from xinghan.kit.embedded.account import Account
from xinghan.kit.startup import DataUnusable

# The kernel allows 107 bytes on Linux and 103 on macOS for the path of a unix socket.
SOCKET_PATH_BYTES_MAX = 103
SOCKET_NAME_LONGEST = ".s.PGSQL.65535"


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one data directory.

    keys/                 secrets of this platform; nobody else may look in
    log/postgres.log      what the database server says
    postgres/cluster/     PostgreSQL's own files
    postgres/lock, users  who may change the server's state, and who uses it
    """

    data: Path

    @property
    def keys(self) -> Path:
        return self.data / "keys"

    @property
    def password(self) -> Path:
        return self.keys / "postgres-password"

    @property
    def log(self) -> Path:
        return self.data / "log" / "postgres.log"

    @property
    def home(self) -> Path:
        return self.data / "postgres"

    @property
    def cluster(self) -> Path:
        return self.home / "cluster"

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def users(self) -> Path:
        return self.home / "users"

    def prepare(self) -> Account:
        """Create the directories that do not exist yet, and give the server's account.

        Directories above the data directory are never changed.
        """
        self.data.parent.mkdir(parents=True, exist_ok=True)
        _create(self.data, mode=0o711)
        _create(self.keys, mode=0o700)
        _create(self.log.parent, mode=0o700)
        account = Account.for_cluster(self.cluster)
        if _create(self.home, mode=0o700):
            account.take(self.home)
        return account

    def socket_directory(self, account: Account) -> Path:
        """Give a private directory for the server's unix socket, short enough for the kernel.

        That is `postgres/`, or a directory below /tmp when that path is too long or when the
        account may not pass through one of its parents.
        """
        longest = os.fsencode(self.home / SOCKET_NAME_LONGEST)
        if len(longest) <= SOCKET_PATH_BYTES_MAX and account.can_enter(self.home):
            return self.home
        digest = sha256(os.fsencode(self.home.resolve())).hexdigest()[:16]
        directory = Path("/tmp") / f"xinghan-{digest}"  # noqa: S108 (checked to be private)
        if _create(directory, mode=0o700):
            account.take(directory)
        _check_private(directory, account)
        return directory

    def discard_socket_directory(self, directory: Path) -> None:
        """Remove a socket directory below /tmp that a stopped server leaves behind."""
        if directory != self.home:
            with suppress(OSError):
                directory.rmdir()


def _create(directory: Path, mode: int) -> bool:
    try:
        directory.mkdir()
    except FileExistsError:
        return False
    directory.chmod(mode)  # mkdir's own mode is narrowed by the caller's umask
    return True


def _check_private(directory: Path, account: Account) -> None:
    # Anybody may create a name below /tmp: trust it only if nobody else can get in.
    found = directory.lstat()
    expected_uid = account.ids[0] if account.ids else os.geteuid()
    if not directory.is_symlink() and found.st_uid == expected_uid and found.st_mode & 0o077 == 0:
        return
    raise DataUnusable(
        f"{directory} should be a private directory of the account {account.name}, but is not."
        " Remove it, or choose a data directory with a shorter path.",
        f"{directory} 应当是帐户 {account.name} 的私有目录，但实际不是。"
        "请删除它，或选择路径较短的数据目录。",
    )
