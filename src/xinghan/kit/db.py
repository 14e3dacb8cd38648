"""The database: a pool of connections that act as the application's role.

The only module that knows the driver. Rooms get a `Connection` from `Database.transaction` or
`Database.acquire` and catch the errors named here.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from xinghan.kit.startup import DatabaseUnreachable, DataUnusable

APPLICATION_ROLE: Final = "xinghan_app"
CONNECT_SECONDS_MAX: Final = 5.0
RETRY_SECONDS: Final = 0.1

Row: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

DatabaseError = asyncpg.PostgresError
IntegrityViolation = asyncpg.IntegrityConstraintViolationError
UniqueViolation = asyncpg.UniqueViolationError
CheckViolation = asyncpg.CheckViolationError
ForeignKeyViolation = asyncpg.ForeignKeyViolationError
NotNullViolation = asyncpg.NotNullViolationError
ExclusionViolation = asyncpg.ExclusionViolationError
RaisedException = asyncpg.RaiseError
InsufficientPrivilege = asyncpg.InsufficientPrivilegeError
SerializationFailure = asyncpg.SerializationError
DeadlockDetected = asyncpg.DeadlockDetectedError
LockNotAvailable = asyncpg.LockNotAvailableError
QueryCanceled = asyncpg.QueryCanceledError
NumericOutOfRange = asyncpg.NumericValueOutOfRangeError
UndefinedTable = asyncpg.UndefinedTableError
DuplicateObject = asyncpg.DuplicateObjectError

STARTING: Final = (asyncpg.CannotConnectNowError, ConnectionError, FileNotFoundError)
LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    *STARTING,
)
REFUSED: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError)


class ConnectionLost(Exception):
    """The server is away or went away; whether an open transaction was committed is not known."""


class _WithoutTraceback(logging.Filter):
    """The pool logs each failed reconnection; that a server is away is no bug to trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True


logging.getLogger("asyncpg.pool").addFilter(_WithoutTraceback())


class Database:
    """A pool of connections to one PostgreSQL database."""

    def __init__(self, url: str, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.url = url
        self._pool = pool

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        size_min: int = 1,
        size_max: int = 10,
        role: str | None = APPLICATION_ROLE,
        application_name: str = "xinghan",
    ) -> Self:
        """Open a pool whose connections act as `role` (None: as the role of the URL).

        Waits some seconds for a server that is starting. Raises DatabaseUnreachable, or
        DataUnusable when the database was never migrated.
        """
        # The first connection finds out what is wrong, with retries; the pool would hide it.
        probe = await connect(url, role=role, application_name=application_name)
        await probe.close()
        pool = await asyncpg.create_pool(
            url,
            min_size=size_min,
            max_size=size_max,
            init=_set_codecs,
            reset=_keep_session,
            server_settings=_session_settings(role, application_name),
        )
        return cls(url, pool)

    async def close(self) -> None:
        """Close every connection, waiting for those in use."""
        await self._pool.close()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Lend a connection, on which each statement is its own transaction.

        The session is lent on as it is: use `SET LOCAL` and transaction-level advisory locks.
        Raises ConnectionLost.
        """
        try:
            connection = await self._pool.acquire()
        except LOST as error:
            raise _lost(self.url) from error
        try:
            yield connection
        except asyncpg.InternalClientError as error:
            # The server's farewell came between two statements: the driver has lost its place.
            connection.terminate()
            raise _lost(self.url) from error
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            if _is_lost(connection, error):
                raise _lost(self.url) from error
            raise
        finally:
            await self._pool.release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction that commits unless an exception leaves it.

        Raises ConnectionLost, also in the place of an exception of the caller's that could not be
        answered with a rollback.
        """
        async with self.acquire() as connection, connection.transaction():
            yield connection


async def connect(
    url: str, *, role: str | None = None, application_name: str = "xinghan"
) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one connection outside any pool, waiting some seconds for a server that is starting.

    Raises DatabaseUnreachable, or DataUnusable when the role does not exist.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CONNECT_SECONDS_MAX
    while True:
        try:
            connection = await asyncpg.connect(
                url,
                timeout=CONNECT_SECONDS_MAX,
                server_settings=_session_settings(role, application_name),
            )
        except STARTING as error:
            if loop.time() > deadline:
                raise _unreachable(url, error) from None
            await asyncio.sleep(RETRY_SECONDS)
        except asyncpg.InvalidParameterValueError:
            raise _never_migrated(url, role) from None
        except REFUSED as error:
            raise _unreachable(url, error) from None
        else:
            await _set_codecs(connection)
            return connection


def constraint_of(error: BaseException) -> str | None:
    """Give the name of the constraint that a statement violated; None if it was something else."""
    name = getattr(error, "constraint_name", None)
    return name if isinstance(name, str) else None


def user_of(url: str) -> str | None:
    """Give the role that a URL logs in as; None when the URL does not say."""
    parts = urlsplit(url)
    named = parts.username or next(iter(parse_qs(parts.query).get("user", [])), None)
    return unquote(named) if named else None


def place_of(url: str) -> str:
    """Give the server and database of a URL for a person to read, never the password."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    host = next(iter(query.get("host", [])), None) or parts.hostname or "localhost"
    port = next(iter(query.get("port", [])), None) or _port_of(url) or "5432"
    return f"{host}:{port}{parts.path}"


def _port_of(url: str) -> str | None:
    with suppress(ValueError):
        port = urlsplit(url).port
        return str(port) if port else None
    return None


def _session_settings(role: str | None, application_name: str) -> dict[str, str]:
    settings = {"application_name": application_name, "timezone": "UTC"}
    return settings | ({"role": role} if role else {})


async def _set_codecs(connection: Connection) -> None:
    # Binary JSONB is a version byte before the text; binary JSON is the text alone.
    for name, prefix in (("jsonb", b"\x01"), ("json", b"")):
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=_json_encoder(prefix),
            decoder=_json_decoder(len(prefix)),
            format="binary",
        )


def _json_encoder(prefix: bytes) -> Any:  # noqa: ANN401 (the driver's own type is untyped)
    return lambda value: prefix + msgspec.json.encode(value)


def _json_decoder(prefix_bytes: int) -> Any:  # noqa: ANN401 (the driver's own type is untyped)
    return lambda data: msgspec.json.decode(data[prefix_bytes:])


async def _keep_session(_connection: Connection) -> None:
    """Replace the driver's reset, which costs a round trip for each use of a connection."""


def _is_lost(connection: Connection, error: Exception) -> bool:
    if isinstance(error, asyncpg.PostgresError) and isinstance(error, LOST):
        return True
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has already taken the dead connection back
        return True


def _lost(url: str) -> ConnectionLost:
    return ConnectionLost(f"the connection to the database at {place_of(url)} is lost")


def _unreachable(url: str, error: BaseException) -> DatabaseUnreachable:
    reason = _without_password(url, str(error) or type(error).__name__)
    return DatabaseUnreachable(
        f"The database at {place_of(url)} cannot be reached: {reason}",
        f"无法连接数据库 {place_of(url)}：{reason}",
    )


def _without_password(url: str, text: str) -> str:
    password = urlsplit(url).password
    return text.replace(password, "***").replace(unquote(password), "***") if password else text


def _never_migrated(url: str, role: str | None) -> DataUnusable:
    return DataUnusable(
        f"The database at {place_of(url)} has no role {role}: it was never prepared for Xinghan."
        " Run `xinghan up` once, with a role that may create roles and schemas.",
        f"数据库 {place_of(url)} 没有角色 {role}：尚未为星汉准备。"
        "请先用可创建角色和模式的帐户运行一次 xinghan up。",
    )
