"""The native API as a client reaches it: the whole application over ASGI, with its sale."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from cast.sale import Sale
from xinghan.app import build_app
from xinghan.identity import api as identity_api
from xinghan.identity.operators import FILE_NAME
from xinghan.kit.clock import SystemClock
from xinghan.kit.db import Database
from xinghan.kit.limits import Buckets
from xinghan.kit.settings import Settings


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test spends the wrong tokens of another one."""
    buckets = Buckets(per_second=1 / 60, burst=10)
    monkeypatch.setattr(identity_api, "WRONG_TOKENS", buckets)


@pytest.fixture
async def app(database_url: str, tmp_path: Path) -> AsyncIterator[Starlette]:
    """The application, started on a fresh database."""
    app = build_app(Settings.read(data=tmp_path, database_url=database_url, sandbox=True))
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def sale(app: Starlette, database: Database) -> Sale:
    """Mei's teahouse and Lin."""
    return await Sale.prepare(database, app.state.platform.vault, SystemClock())


@pytest.fixture
async def public(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client that nobody knows."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@pytest.fixture
def token(app: Starlette, tmp_path: Path) -> str:
    """The operator's token, as it lies in its file."""
    return (tmp_path / "keys" / FILE_NAME).read_text().strip()


@pytest.fixture
async def operator(app: Starlette, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """The operator's client, who reads English."""
    headers = {"authorization": f"Bearer {token}", "accept-language": "en"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api/api/v1", headers=headers
    ) as client:
        yield client
