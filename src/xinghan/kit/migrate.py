"""The schema's history: numbered SQL files, each applied once, in order, whole or not at all."""

import re
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Final

from xinghan.kit import db
from xinghan.kit.startup import DataFromNewerVersion, DataUnusable

ROOMS: Final = ("ledger", "identity", "wallets", "payments", "gateway")
FILE_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")
# Two starting processes must not migrate together; the number is only a name for that lock.
ADVISORY_LOCK: Final = 0x58696E67
LOCK_TIMEOUT: Final = "30s"
SETTABLE_SINCE: Final = 160000

CREATE_HISTORY: Final = """
CREATE TABLE IF NOT EXISTS public.xinghan_migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of the history; `digest` is the SHA-256 of its bytes, in hexadecimal."""

    number: int
    name: str
    statements: str
    digest: str

    @classmethod
    def read(cls, path: Path) -> "Migration":
        parts = FILE_NAME.fullmatch(path.name)
        if parts is None:
            raise ValueError(f"{path.name} is not named like 0001_words.sql")
        content = path.read_bytes()
        return cls(int(parts[1]), parts[2], content.decode(), sha256(content).hexdigest())


async def migrate(url: str, *, application_url: str | None = None) -> list[int]:
    """Bring a database to this version's schema; give the numbers that were applied now.

    `application_url` is how the application will connect, where that is another role. Raises
    DataFromNewerVersion before changing anything, DataUnusable when an applied file has changed or
    a new one fails, DatabaseUnreachable.
    """
    connection = await db.connect(url, application_name="xinghan migrate")
    try:
        await connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
        await prepare_role(connection, *_members(url, application_url))
        await connection.execute("SET client_min_messages = warning")
        await connection.execute(CREATE_HISTORY)
        return await _apply_missing(connection, shipped())
    except db.InsufficientPrivilege as error:
        raise _not_permitted(url, error) from None
    finally:
        await connection.close()


def shipped(directory: Path | None = None) -> list[Migration]:
    """Give the migrations of this version in order; there are no gaps and no twins."""
    directory = directory or _package() / "migrations"
    found = [Migration.read(path) for path in sorted(directory.glob("*.sql"))]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"the migrations in {directory} are not numbered 1, 2, 3, …")
    return found


def schema_files() -> list[Path]:
    """Give the rooms' schema files in the order in which they build a database.

    In a room: `schema.sql`, `functions.sql`, then any others by name.
    """
    found: list[Path] = []
    for room in ROOMS:
        directory = _package() / room / "sql"
        first = [directory / name for name in ("schema.sql", "functions.sql")]
        others = sorted(set(directory.glob("*.sql")) - set(first))
        found += [path for path in (*first, *others) if path.exists()]
    return found


async def prepare_role(connection: db.Connection, *members: str) -> None:
    """Create the application's role if it is missing; let oneself and `members` act as it."""
    role = db.APPLICATION_ROLE
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        # Roles belong to the whole server: another database's migration may be faster.
        with suppress(db.DuplicateObject, db.UniqueViolation):
            await connection.execute(f"CREATE ROLE {role} NOLOGIN")
    me = await connection.fetchval("SELECT current_user")
    for member in (me, *members):
        if not await _may_act_as(connection, member, role):
            quoted = await connection.fetchval("SELECT quote_ident($1)", member)
            await connection.execute(f"GRANT {role} TO {quoted}")


async def _apply_missing(connection: db.Connection, known: list[Migration]) -> list[int]:
    rows = await connection.fetch("SELECT number, sha256 FROM public.xinghan_migration")
    applied = {row["number"]: row["sha256"] for row in rows}
    _check_history(applied, known)
    missing = [migration for migration in known if migration.number not in applied]
    for migration in missing:
        await _apply(connection, migration)
    return [migration.number for migration in missing]


async def _apply(connection: db.Connection, migration: Migration) -> None:
    async with connection.transaction():
        try:
            await connection.execute(migration.statements)
        except db.InsufficientPrivilege:
            raise
        except db.DatabaseError as error:
            raise _failed(migration, error) from error
        await connection.execute(
            "INSERT INTO public.xinghan_migration (number, name, sha256) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.digest,
        )


def _check_history(applied: dict[int, str], known: list[Migration]) -> None:
    newest_known = known[-1].number if known else 0
    newest_applied = max(applied, default=0)
    if newest_applied > newest_known:
        raise DataFromNewerVersion(
            f"The database has schema {newest_applied}, this Xinghan knows only up to"
            f" {newest_known}: it was used by a newer version. Install that version; nothing was"
            " changed.",
            f"数据库的模式版本为 {newest_applied}，本版星汉只认识到 {newest_known}："
            "它曾被更新的版本使用。请安装该版本；未作任何更改。",
        )
    for migration in known:
        if applied.get(migration.number, migration.digest) != migration.digest:
            raise DataUnusable(
                f"Migration {migration.number:04}_{migration.name} is not the one that was applied"
                " to this database. Install the version that the database was made with.",
                f"迁移 {migration.number:04}_{migration.name} 与应用到该数据库的内容不同。"
                "请安装创建该数据库的版本。",
            )


def _members(url: str, application_url: str | None) -> tuple[str, ...]:
    user = db.user_of(application_url) if application_url else None
    return (user,) if user and user != db.user_of(url) else ()


async def _may_act_as(connection: db.Connection, member: str, role: str) -> bool:
    # Since PostgreSQL 16 a member is not always allowed to SET ROLE.
    version = int(await connection.fetchval("SHOW server_version_num"))
    privilege = "SET" if version >= SETTABLE_SINCE else "MEMBER"
    answer = await connection.fetchval(
        "SELECT pg_has_role($1::name, $2::name, $3::text)", member, role, privilege
    )
    return bool(answer)


def _failed(migration: Migration, error: BaseException) -> DataUnusable:
    name = f"{migration.number:04}_{migration.name}"
    return DataUnusable(
        f"Migration {name} failed, and nothing of it was kept: {error}",
        f"迁移 {name} 失败，其内容均未保留：{error}",
    )


def _not_permitted(url: str, error: BaseException) -> DataUnusable:
    return DataUnusable(
        f"The role {db.user_of(url) or 'of the URL'} may not prepare the database at"
        f" {db.place_of(url)}: {error}. Give it CREATEROLE and CREATE on the database, or set"
        " XINGHAN_MIGRATION_DATABASE_URL to a role that may.",
        f"角色 {db.user_of(url) or ''} 无权准备数据库 {db.place_of(url)}：{error}。"
        "请授予 CREATEROLE 及在该数据库的 CREATE 权限，"
        "或将 XINGHAN_MIGRATION_DATABASE_URL 设为有权的角色。",
    )


def _package() -> Path:
    return Path(str(files("xinghan")))
