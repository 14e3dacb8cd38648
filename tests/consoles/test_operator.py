"""The operator's pages: who is let in, for how long, and what is shown."""

import csv
import io
from pathlib import Path

import httpx
import pytest
from httpx import AsyncClient
from starlette.applications import Starlette

from cast.sale import Sale
from consoles.conftest import sign_in
from xinghan.app import build_app
from xinghan.identity.operators import rotate_operator_token
from xinghan.kit.db import Connection, Database
from xinghan.kit.ids import ACCOUNT, TRADE
from xinghan.kit.numbering import trade_no
from xinghan.kit.settings import Settings

PAGES = ("", "/ledger", "/accounts", "/trades", "/notifications", "/find?number=x")


@pytest.mark.parametrize("page", PAGES)
async def test_nobody_sees_a_page_without_signing_in(browser: AsyncClient, page: str) -> None:
    answer = await browser.get(f"/operator{page}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/operator/sign-in?next=/operator")


async def test_signing_in_leads_where_one_wanted_to_go(browser: AsyncClient, token: str) -> None:
    answer = await sign_in(browser, token, next="/operator/trades")
    assert answer.headers["location"] == "/operator/trades"
    cookie = next(
        one for one in answer.headers.get_list("set-cookie") if one.startswith("xinghan_operator=")
    )
    for part in ("HttpOnly", "SameSite=strict", "Path=/operator", "Max-Age=28800"):
        assert part in cookie
    assert "Secure" not in cookie


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/operatorx",
        "/operator\\..",
        "/q/x",
        "/operator\n",
    ],
)
async def test_signing_in_leads_nowhere_else(browser: AsyncClient, token: str, wanted: str) -> None:
    answer = await sign_in(browser, token, next=wanted)
    assert answer.headers["location"] == "/operator"


async def test_a_wrong_token_is_told_and_after_many_the_right_one_waits(
    browser: AsyncClient, token: str
) -> None:
    answers = [await sign_in(browser, "wrong") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert "The operator&#39;s token is missing or wrong" in answers[0].text
    assert (await sign_in(browser, token)).status_code == 429


async def test_a_form_from_elsewhere_is_refused(
    browser: AsyncClient, operator: AsyncClient, token: str
) -> None:
    assert (await sign_in(browser, token, form="0" * 64)).status_code == 403
    assert (await operator.post("/operator/sign-out", data={"form": "x"})).status_code == 403
    assert (await operator.get("/operator")).status_code == 200


async def test_signing_out_ends_the_session_for_the_cookie_too(operator: AsyncClient) -> None:
    cookie = operator.cookies["xinghan_operator"]
    page = (await operator.get("/operator")).text
    form = page.split('name="form" value="')[1].split('"')[0]
    assert (await operator.post("/operator/sign-out", data={"form": form})).status_code == 303
    operator.cookies.set("xinghan_operator", cookie, path="/operator")
    assert (await operator.get("/operator")).status_code == 303


@pytest.mark.parametrize("change", ["x", "0" * 32 + "." + "0" * 64])
async def test_a_cookie_that_was_changed_opens_nothing(operator: AsyncClient, change: str) -> None:
    operator.cookies.clear()
    operator.cookies.set("xinghan_operator", change, path="/operator")
    assert (await operator.get("/operator")).status_code == 303


async def test_a_session_ends_with_its_time(operator: AsyncClient, owner: Connection) -> None:
    await owner.execute("UPDATE identity.operator_session SET expires_at = now()")
    assert (await operator.get("/operator")).status_code == 303


async def test_sessions_end_with_their_token(
    operator: AsyncClient, database: Database, tmp_path: Path
) -> None:
    async with database.transaction() as connection:
        await rotate_operator_token(connection, tmp_path / "keys", actor="mei")
    assert (await operator.get("/operator")).status_code == 303


async def test_empty_lists_say_what_to_do_next(operator: AsyncClient) -> None:
    for page, hint in (
        ("", "The ledger is still empty"),
        ("/ledger", "To play one, run"),
        ("/accounts", "Choose a kind"),
        ("/trades", "A shop&#39;s first order appears here"),
        ("/trades?state=TRADE_CLOSED", "Clear the filter"),
        ("/notifications", "every try to tell its shop appears here"),
        ("/notifications?delivered=no", "Clear the filter"),
        ("/find?number=acc_1", "Type a whole number"),
    ):
        assert hint in (await operator.get(f"/operator{page}")).text


async def test_the_pages_show_a_payment_from_end_to_end(operator: AsyncClient, sale: Sale) -> None:
    trade = await sale.pay("https://teahouse.example/notify")
    account = ACCOUNT.show(sale.payer_account)
    assert "The books balance" in (await operator.get("/operator")).text
    assert "wallet" in (await operator.get("/operator/ledger")).text
    listed = (await operator.get("/operator/accounts?kind=wallet&currency=CNY")).text
    assert account in listed
    statement = (await operator.get(f"/operator/accounts/{account}")).text
    posting = statement.split('href="/operator/postings/')[1].split('"')[0]
    assert "Not sealed yet" in (await operator.get(f"/operator/postings/{posting}")).text
    shown = (await operator.get(f"/operator/trades/{TRADE.show(trade.id)}")).text
    for part in (trade_no(trade.id), "https://teahouse.example/notify", "Ordered", "Paid"):
        assert part in shown


async def test_what_is_looked_for_is_found(operator: AsyncClient, sale: Sale) -> None:
    trade = await sale.pay(None)
    page = f"/operator/trades/{TRADE.show(trade.id)}"
    account = f"/operator/accounts/{ACCOUNT.show(sale.payer_account)}"
    for number, place in (
        (trade_no(trade.id), page),
        (TRADE.show(trade.id), page),
        (ACCOUNT.show(sale.payer_account), account),
    ):
        answer = await operator.get("/operator/find", params={"number": f" {number} "})
        assert answer.headers["location"] == place
    found = await operator.get(
        "/operator/find", params={"number": f"pos_{TRADE.show(trade.id)[4:]}"}
    )
    assert found.headers["location"].startswith("/operator/postings/")


@pytest.mark.parametrize(
    ("page", "rows"),
    [("/trades", 30), ("/accounts", 4), ("/notifications", 30), ("/accounts/{account}", 31)],
)
async def test_every_list_is_paged_and_exported_whole(
    operator: AsyncClient, sale: Sale, page: str, rows: int
) -> None:
    for _ in range(30):
        await sale.pay("https://teahouse.example/notify")
    path = f"/operator{page.format(account=ACCOUNT.show(sale.payer_account))}"
    exported = await operator.get(path, params={"format": "csv"})
    assert len(list(csv.reader(io.StringIO(exported.text)))) == rows + 1
    first = (await operator.get(path)).text
    if rows > 25:
        following = first.split('href="http://pages')[-2].split('"')[0].replace("&amp;", "&")
        assert "Back to the first" in (await operator.get(following)).text


@pytest.mark.parametrize(
    "page",
    [
        *("/accounts/acc_x", "/accounts/acc_zzzzzzzzzzzzz", "/accounts?currency=XXX"),
        *("/accounts?kind=A", "/accounts?cursor=x", "/trades?state=x", "/trades?merchant=x"),
        *("/trades?out_trade_no=1", "/trades?cursor=pay_00000000000000000000000001"),
        *("/trades/pay_00000000000000000000000001", "/notifications?cursor=x"),
        *("/postings/64/pos_00000000000000000000000001", "/postings/99999999/pos_x", "/nothing"),
    ],
)
async def test_what_cannot_be_is_told_on_a_page(operator: AsyncClient, page: str) -> None:
    answer = await operator.get(f"/operator{page}")
    assert answer.status_code in {400, 404}
    assert "This page cannot be shown" in answer.text


async def test_a_long_form_is_refused(browser: AsyncClient) -> None:
    answer = await browser.post("/operator/sign-in", content=b"x" * 20_000)
    assert answer.status_code == 413


async def test_cookies_are_for_https_where_people_come_by_https(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings.read(
        data=tmp_path, database_url=database_url, public_url="https://pay.example"
    )
    app: Starlette = build_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://pay.example") as client:
            answer = await client.get("/operator/sign-in")
    assert "Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"].startswith("max-age=")
