"""The page behind an order's code: what it says in each state, to whom, and what it never does."""

from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette

from cast.sale import Sale
from consoles.conftest import page_of


async def test_1(browser, sale, app):
    t = await sale.payments.make_order(sale.order(None))
    r = await browser.get(page_of(app, t))
    print(r.text)
    assert r.status_code == 200
