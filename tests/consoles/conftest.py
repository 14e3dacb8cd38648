"""The pages as a browser reaches them, without the browser."""

import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from cast.sale import Sale
from xinghan.app import build_app
from xinghan.consoles import operator as operator_pages
from xinghan.identity.operators import FILE_NAME
from xinghan.kit.clock import SystemClock
from xinghan.kit.db import Database
from xinghan.kit.limits import Buckets
from xinghan.kit.settings import Settings
from xinghan.payments.codes import order_code_key, order_token
from xinghan.payments.model import Trade


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test spends the wrong tokens of another one."""
    buckets = Buckets(per_second=1 / 60, burst=10)
    monkeypatch.setattr(operator_pages, "WRONG_TOKENS", buckets)


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
async def browser(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that reads English and keeps cookies."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://pages", headers={"accept-language": "en"}
    ) as client:
        yield client


@pytest.fixture
def token(app: Starlette, tmp_path: Path) -> str:
    """The operator's token, as it lies in its file."""
    return (tmp_path / "keys" / FILE_NAME).read_text().strip()


@pytest.fixture
def page_of(app: Starlette) -> Callable[[Trade], str]:
    """Give the path of the page behind an order's code."""
    key = order_code_key(app.state.platform.vault)
    return lambda trade: f"/q/{order_token(trade.id, key)}"


@pytest.fixture
async def operator(browser: httpx.AsyncClient, token: str) -> httpx.AsyncClient:
    """The browser after the operator has signed in."""
    answer = await sign_in(browser, token)
    assert answer.status_code == 303, answer.text
    return browser


async def sign_in(browser: httpx.AsyncClient, token: str, **changed: str) -> httpx.Response:
    """Fill in the form as a person does."""
    page = await browser.get("/operator/sign-in")
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    return await browser.post("/operator/sign-in", data=form | {"token": token} | changed)
