"""`xinghan up`: migrate, then serve until somebody says stop."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final, NoReturn

import typer
from granian import Granian
from granian.constants import Interfaces, Loops
from granian.log import LogLevels

from xinghan import identity
from xinghan.cli.platform import DatabaseUrlOption, DataOption, Located, locate, read_settings
from xinghan.cli.port import check_port_is_free
from xinghan.cli.watch import announce_when_ready, keep_running
from xinghan.cli.work import keep_working
from xinghan.kit import db
from xinghan.kit.parent import announce_parent
from xinghan.kit.settings import Settings

APPLICATION: Final = "xinghan.app:create_app"
STOP_SECONDS_MAX: Final = 5

HostOption = Annotated[
    str | None,
    typer.Option("--host", help="Address to listen on [default: 127.0.0.1].", show_default=False),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port", min=1, max=65535, help="Port to listen on [default: 8000].", show_default=False
    ),
]


def up(
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    host: HostOption = None,
    port: PortOption = None,
) -> None:
    """Migrate the database, then serve.

    Prints `ready http://HOST:PORT` once requests are accepted. Ctrl-C stops everything, the
    embedded database too; the data stay.
    """
    settings = read_settings(data, database_url, host=host, port=port)
    with stop_on_signal():
        serve(settings)


def serve(settings: Settings) -> None:
    """Start what the settings name, migrate, and serve until SIGINT or SIGTERM.

    Raises StartupError when it cannot begin.
    """
    check_port_is_free(settings.host, settings.port)
    with locate(settings) as located:
        asyncio.run(_prepare(located))
        with (
            keep_running(located.embedded),
            keep_working(located.settings),
            announce_when_ready(settings),
        ):
            _serve_by_workers(located.settings)


@contextmanager
def stop_on_signal() -> Iterator[None]:
    """End quietly on SIGINT or SIGTERM also while still starting, undoing what was begun."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


async def _prepare(located: Located) -> None:
    """Migrate, check that the master keys are here, and leave the address for other commands."""
    await located.migrate()
    connection = await db.connect(
        located.url, role=db.APPLICATION_ROLE, application_name="xinghan up"
    )
    try:
        await identity.open_vault(connection, located.settings)
        await identity.record_platform_address(connection, located.settings.public_url)
    finally:
        await connection.close()


def _serve_by_workers(settings: Settings) -> None:
    os.environ.update(settings.environment())
    announce_parent()
    # A forked worker would inherit this process's threads' locks and its place among the users of
    # the embedded database.
    multiprocessing.set_start_method("spawn", force=True)
    server = Granian(
        APPLICATION,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        factory=True,
        workers=settings.workers,
        loop=Loops.uvloop,
        log_level=LogLevels(settings.log_level),
        log_dictconfig=_log_to_stderr(),
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS_MAX,
    )
    server.serve()


def _log_to_stderr() -> dict[str, object]:
    console = {
        "class": "logging.StreamHandler",
        "formatter": "generic",
        "stream": "ext://sys.stderr",
    }
    return {"handlers": {"console": console, "access": console | {"formatter": "access"}}}
