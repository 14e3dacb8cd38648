"""The web application: settings → database → doors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from xinghan.identity import SERVING_APPLICATION
from xinghan.kit.db import ConnectionLost, Database
from xinghan.kit.parent import follow_parent
from xinghan.kit.settings import Settings


def create_app() -> Starlette:
    """Make the application in a serving process, from the settings in its environment."""
    follow_parent()
    return build_app(Settings.read())


def build_app(settings: Settings) -> Starlette:
    """Make the application for given settings, which must name the database."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if settings.database_url is None:
            raise ValueError("the application needs settings.database_url")
        app.state.settings = settings
        app.state.database = await Database.open(
            settings.database_url, application_name=SERVING_APPLICATION
        )
        try:
            yield
        finally:
            await app.state.database.close()

    return Starlette(routes=[Route("/healthz", healthz)], lifespan=lifespan)


async def healthz(request: Request) -> JSONResponse:
    """Say whether this process can serve: 200, or 503 while the database does not answer."""
    database: Database = request.app.state.database
    try:
        async with database.acquire() as connection:
            await connection.execute("SELECT 1")
    except ConnectionLost:
        return JSONResponse({"status": "database unreachable"}, status_code=503)
    return JSONResponse({"status": "ok"})
