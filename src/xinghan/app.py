"""The web application: settings → database → rooms → doors."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Depends
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from xinghan.consoles import console_app
from xinghan.gateway.methods import runner
from xinghan.gateway.methods.rooms import Rooms
from xinghan.gateway.notify_verify import answer_notify_verify
from xinghan.gateway.routes import Gateway, gateway_routes
from xinghan.identity import SERVING_APPLICATION, AppDirectory, open_vault
from xinghan.identity.api import require_operator
from xinghan.identity.operators import ensure_operator_token
from xinghan.kit.clock import Clock, SystemClock
from xinghan.kit.db import ConnectionLost, Database
from xinghan.kit.limits import Buckets
from xinghan.kit.logs import log_to_stderr
from xinghan.kit.native import PREFIX as NATIVE_PREFIX
from xinghan.kit.native import native_api, tell_http
from xinghan.kit.parent import follow_parent
from xinghan.kit.settings import Settings
from xinghan.kit.vault import Vault
from xinghan.ledger import Ledger
from xinghan.ledger.api import router as ledger_api
from xinghan.payments.api import orders
from xinghan.payments.api import router as payments_api
from xinghan.payments.codes import order_code_key
from xinghan.payments.desk import Payments
from xinghan.wallets import AccountBook

log = logging.getLogger("xinghan.app")


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything that the doors of one serving process work with: `app.state.platform`."""

    settings: Settings
    clock: Clock
    database: Database
    vault: Vault
    apps: AppDirectory
    accounts: AccountBook
    payments: Payments
    ledger: Ledger


def create_app() -> Starlette:
    """Make the application in a serving process, from the settings in its environment."""
    follow_parent()
    settings = Settings.read()
    log_to_stderr(settings.log_level)
    return build_app(settings)


def build_app(settings: Settings) -> Starlette:
    """Make the application for given settings, which must name the database."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_platform(settings) as platform:
            app.state.platform = platform
            app.state.gateway = open_gateway(platform)
            await _ensure_operator_token(platform)
            yield

    pages = console_app(https=settings.public_url.startswith("https:"))
    native = native_api([orders], [ledger_api, payments_api], Depends(require_operator))
    routes = [
        Route("/healthz", healthz),
        *gateway_routes(),
        Mount(NATIVE_PREFIX, app=native),
        Mount("/", app=pages),
    ]
    # A path with a line break matches no mount; it is told like any other that is not there.
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: tell_http})
    native.state = pages.state = app.state
    return app


@asynccontextmanager
async def open_platform(settings: Settings) -> AsyncIterator[Platform]:
    """Open the database that the settings must name, the keys that belong to it, and the rooms."""
    if settings.database_url is None:
        raise ValueError("the application needs settings.database_url")
    database = await Database.open(settings.database_url, application_name=SERVING_APPLICATION)
    try:
        async with database.transaction() as connection:
            vault = await open_vault(connection, settings)
        clock = SystemClock()
        yield Platform(
            settings,
            clock,
            database,
            vault,
            AppDirectory(database, vault),
            AccountBook(),
            Payments(database, clock),
            Ledger(database),
        )
    finally:
        await database.close()


async def _ensure_operator_token(platform: Platform) -> None:
    """Make the operator's token at the first start; where it cannot be kept, a command makes it."""
    directory = platform.settings.data / "keys"
    try:
        async with platform.database.transaction() as connection:
            await ensure_operator_token(connection, directory)
    except OSError as error:
        log.warning("no operator token in %s: %s; see `xinghan operator token`", directory, error)


def open_gateway(platform: Platform) -> Gateway:
    """Put the open gateway's doors before the platform's rooms."""
    settings = platform.settings
    rooms = Rooms(
        platform.database,
        platform.vault,
        platform.payments,
        platform.accounts,
        platform.clock,
        settings.public_url,
        order_code_key(platform.vault),
    )
    rate = settings.app_requests_per_second
    return Gateway(
        platform.apps.find,
        runner(rooms, Buckets(per_second=rate, burst=rate)),
        platform.clock,
        lambda asked: answer_notify_verify(asked, platform.database, platform.apps.find),
    )


async def healthz(request: Request) -> JSONResponse:
    """Say whether this process can serve: 200, or 503 while the database does not answer."""
    platform: Platform = request.app.state.platform
    try:
        async with platform.database.acquire() as connection:
            await connection.execute("SELECT 1")
    except ConnectionLost:
        return JSONResponse({"status": "database unreachable"}, status_code=503)
    return JSONResponse({"status": "ok"})
