"""The page behind an order's code: what it says in each state, to whom, and what it never does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from httpx import AsyncClient
from starlette.applications import Starlette

from cast.sale import Sale
from xinghan.consoles.order import STOP_POLLING, Stage, draw_code, stage_of
from xinghan.payments.model import Trade

PageOf = Callable[[Trade], str]


async def test_a_waiting_order_shows_its_code_and_how_to_pay(
    browser: AsyncClient, sale: Sale, page_of: PageOf
) -> None:
    trade = await sale.payments.make_order(sale.order(None))
    answer = await browser.get(page_of(trade))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    for shown in ("Mei&#39;s teahouse", "红茶 &amp; 1+1=2", "12.34", "<svg", "xinghan sandbox pay"):
        assert shown in answer.text
    assert f"http://127.0.0.1:8000{page_of(trade)}" in answer.text


async def test_a_platform_with_real_money_says_nothing_of_a_sandbox(
    app: Starlette, browser: AsyncClient, sale: Sale, page_of: PageOf
) -> None:
    platform = app.state.platform
    settings = platform.settings.model_copy(update={"sandbox": False})
    app.state.platform = replace(platform, settings=settings)
    trade = await sale.payments.make_order(sale.order(None))
    assert "sandbox" not in (await browser.get(page_of(trade))).text


async def test_the_page_carries_nothing_that_its_policy_forbids(
    browser: AsyncClient, sale: Sale, page_of: PageOf
) -> None:
    trade = await sale.payments.make_order(sale.order(None))
    answer = await browser.get(page_of(trade))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in answer.text
    assert "<style" not in answer.text
    assert "<script>" not in answer.text
    assert "onclick" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


async def test_the_status_is_told_only_when_it_has_changed(
    browser: AsyncClient, sale: Sale, page_of: PageOf
) -> None:
    trade = await sale.payments.make_order(sale.order(None))
    status = f"{page_of(trade)}/status"
    assert (await browser.get(f"{status}?seen=waiting-0")).status_code == 204
    await sale.payments.close(trade.id, sale.merchant.id, sale.app_id)
    told = await browser.get(f"{status}?seen=waiting-0")
    assert told.status_code == STOP_POLLING
    assert "This order is closed" in told.text


async def test_stages_follow_the_trade(sale: Sale) -> None:
    paid = await sale.pay(None)
    waiting = await sale.payments.make_order(sale.order(None))
    closed = await sale.payments.close(waiting.id, sale.merchant.id, sale.app_id)
    expired = replace(closed, closed_at=closed.expires_at + timedelta(seconds=1))
    part, whole = (replace(paid, refunded_minor=amount) for amount in (1, paid.total_minor))
    assert [stage_of(trade) for trade in (waiting, paid, part, whole, closed, expired)] == [
        *(Stage.WAITING, Stage.PAID, Stage.PARTLY_REFUNDED, Stage.REFUNDED),
        *(Stage.CLOSED, Stage.EXPIRED),
    ]


@pytest.mark.parametrize("token", ["nothing", "0" * 26, "%00", "a%0ab", "\u6613", "../etc"])
async def test_an_unknown_code_is_told_kindly(browser: AsyncClient, token: str) -> None:
    answer = await browser.get(f"/q/{token}")
    assert answer.status_code == 404


async def test_languages_follow_the_reader_and_the_switch(
    browser: AsyncClient, sale: Sale, page_of: PageOf
) -> None:
    page = page_of(await sale.payments.make_order(sale.order(None)))
    zh = {"accept-language": "zh-CN,zh;q=0.9"}
    assert "等待支付" in (await browser.get(page, headers=zh)).text
    assert "Waiting for payment" in (await browser.get(page)).text
    assert "等待支付" in (await browser.get(f"{page}?lang=zh")).text
    assert "等待支付" in (await browser.get(page)).text


async def test_static_files_are_kept_by_browsers_and_nothing_else_is_served(
    browser: AsyncClient,
) -> None:
    page = (await browser.get("/q/nothing")).text
    address = page.split('stylesheet" href="')[1].split('"')[0]
    answer = await browser.get(address)
    assert answer.headers["cache-control"].endswith("immutable")
    for path in ("/static/../view.py", "/static/%2e%2e/view.py", "/static/", "/static/none.css"):
        assert (await browser.get(path)).status_code == 404


def test_a_code_has_no_style_of_its_own() -> None:
    drawing = draw_code("https://pay.example/q/x")
    assert drawing.startswith("<svg")
    assert "style" not in drawing


async def test_an_address_that_asks_too_often_has_to_wait(browser: AsyncClient) -> None:
    statuses = {(await browser.get("/q/nothing")).status_code for _ in range(600)}
    assert statuses == {404, 429}
