"""The platform served on a loopback address for a real browser, with something on every page."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from granian.constants import Interfaces
from granian.server.embed import Server
from playwright.async_api import Browser, Page, async_playwright
from starlette.applications import Starlette

from cast.sale import Sale
from xinghan.app import build_app
from xinghan.identity.operators import FILE_NAME
from xinghan.kit.clock import SystemClock
from xinghan.kit.settings import Settings
from xinghan.payments.codes import order_code_key, order_token
from xinghan.payments.model import Payment, Trade

HOST = "127.0.0.1"
CHROMIUM_PATHS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
# Without these Chromium looks up its maker's hosts at every start.
CHROMIUM_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass
class Site:
    """A running platform and Mei's teahouse in it."""

    url: str
    app: Starlette
    sale: Sale
    token: str

    def page_of(self, trade: Trade) -> str:
        """Give the address of the page behind an order's code."""
        key = order_code_key(self.app.state.platform.vault)
        return f"{self.url}/q/{order_token(trade.id, key)}"

    async def make_order(self, total_minor: int = 2800, **changed: object) -> Trade:
        """Make one more order."""
        order = replace(self.sale.order(None, total_minor=total_minor), **changed)
        return await self.sale.payments.make_order(order)

    async def pay(self, total_minor: int, **changed: object) -> Trade:
        """Make one more order, which Lin pays at once."""
        order = replace(self.sale.order(None, total_minor=total_minor), **changed)
        payer = self.sale.payer
        payment = Payment(order, payer.id, self.sale.payer_account, "lin")
        return await self.sale.payments.pay(payment)


@asynccontextmanager
async def open_site(database_url: str, data: Path) -> AsyncIterator[Site]:
    """Serve the platform on a free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    settings = Settings.read(
        data=data, database_url=database_url, host=HOST, port=port, sandbox=True
    )
    app = build_app(settings)
    server = Server(app, address=HOST, port=port, interface=Interfaces.ASGI)
    serving = asyncio.create_task(server.serve())
    try:
        await _answers(settings.public_url)
        platform = app.state.platform
        sale = await Sale.prepare(platform.database, platform.vault, SystemClock())
        token = (data / "keys" / FILE_NAME).read_text().strip()
        yield Site(settings.public_url, app, sale, token)
    finally:
        server.stop()
        with suppress(asyncio.CancelledError):
            await serving


@asynccontextmanager
async def open_chromium() -> AsyncIterator[Browser]:
    """Start the machine's own Chromium."""
    path = find_chromium()
    assert path is not None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=list(CHROMIUM_FLAGS), headless=True
        )
        try:
            yield browser
        finally:
            await browser.close()


def find_chromium() -> str | None:
    """Find a Chromium on this machine; None when there is none."""
    return next((path for path in CHROMIUM_PATHS if Path(path).exists()), None)


async def _answers(url: str) -> None:
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.HTTPError):
                if (await client.get(f"{url}/healthz")).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.05)


async def sign_in(page: Page, site: Site) -> None:
    """Sign in as the operator."""
    await page.goto(f"{site.url}/operator/sign-in")
    await page.fill("#token", site.token)
    await page.click("form button[type=submit]")
    await page.wait_for_url(f"{site.url}/operator")
