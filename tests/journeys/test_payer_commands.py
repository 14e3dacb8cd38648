"""`xinghan sandbox pay` and `xinghan sandbox code`, beside a running platform."""

import json
import sys
from asyncio import to_thread
from collections.abc import Awaitable, Callable

import httpx
import pytest

from journeys.scene import Scene, Shop, new_number
from xinghan.cli import main

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(scene: Scene, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `xinghan sandbox …` on the running platform's data: exit code, stdout, stderr."""
    monkeypatch.setenv("XINGHAN_DATABASE_URL", scene.running.database_url)
    monkeypatch.setenv("XINGHAN_DATA", str(scene.running.data))
    monkeypatch.setenv("XINGHAN_SANDBOX", "true")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def run_main(arguments: tuple[str, ...]) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xinghan", "sandbox", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capfd.readouterr()
        return code, said.out, said.err

    async def run_beside(*arguments: str) -> tuple[int, str, str]:
        return await to_thread(run_main, arguments)

    return run_beside


async def order_code(shop: Shop, client: httpx.AsyncClient, amount: str = "88.00") -> str:
    """Let a shop make an order; gives its code."""
    content = {"out_trade_no": new_number(), "subject": "龙井", "total_amount": amount}
    return str((await shop.call(client, "alipay.trade.precreate", **content))["qr_code"])


async def test_a_scanned_code_is_paid_once(
    scene: Scene, client: httpx.AsyncClient, run: Run
) -> None:
    shop, lin = await scene.shop(), await scene.payer()
    url = await order_code(shop, client)
    code, out, err = await run("pay", "--payer", lin.name, "--code", url, "--json")
    assert (code, err) == (0, "")
    paid = json.loads(out)
    assert (paid["amount"], paid["currency"], paid["balance"]) == ("88.00", "CNY", "912.00")
    assert (paid["state"], paid["payer"]) == ("TRADE_SUCCESS", lin.name)
    found = await shop.call(client, "alipay.trade.query", trade_no=paid["trade_no"])
    assert found["buyer_user_id"] == lin.user_id
    for again in (url, url.rpartition("/")[2], f" {url.upper()}?from=poster "):
        code, out, err = await run("pay", "--payer", lin.name, "--code", again, "--json")
        assert (code, err, json.loads(out)) == (0, "", paid)
    assert await scene.balances(lin) == ["912.00"]
    code, out, _ = await run("pay", "--payer", lin.name, "--code", url)
    assert (code, "912.00" in out) == (0, True)


async def test_what_the_platform_refuses_is_one_line_and_exit_code_1(
    scene: Scene, client: httpx.AsyncClient, run: Run
) -> None:
    shop, lin, poor = await scene.shop(), await scene.payer(), await scene.payer("1.00")
    ann = await scene.payer(currency="USD")
    url, paid_url, closed_url = [await order_code(shop, client) for _ in range(3)]
    await scene.pay(lin, paid_url)
    await shop.call(client, "alipay.trade.close", trade_no=scene.trade_no_of(closed_url))
    before = await scene.books.everything()
    for payer, code, words in (
        (poor, url, "balance does not cover"),
        (poor, paid_url, "has been paid already"),
        (lin, closed_url, "is closed"),
        (ann, url, "not kept in it"),
    ):
        exit_code, out, err = await run("pay", "--payer", payer.name, "--code", code)
        assert (exit_code, out) == (1, ""), words
        assert words in err
        assert "no money has moved" in err
        assert "Traceback" not in err
    assert await scene.books.everything() == before


async def test_what_makes_no_sense_has_exit_code_2(
    scene: Scene, client: httpx.AsyncClient, run: Run
) -> None:
    shop, lin = await scene.shop(), await scene.payer()
    url = await order_code(shop, client)
    for arguments, words in (
        (("pay", "--payer", lin.name, "--code", "https://elsewhere.example/q/abc"), "--code"),
        (("pay", "--payer", lin.name, "--code", "http://[oops"), "--code"),
        (("pay", "--payer", lin.name, "--code", url[:-1]), "--code"),
        (("pay", "--payer", "Nobody", "--code", url), "--payer"),
        (("pay", "--payer", "", "--code", url), "name"),
        (("code", "--payer", "Nobody"), "--payer"),
    ):
        code, out, err = await run(*arguments)
        assert (code, out, words in err) == (2, "", True), arguments
    assert await scene.balances(lin) == ["1000.00"]


async def test_the_code_on_the_phone_can_be_scanned(
    scene: Scene, client: httpx.AsyncClient, run: Run
) -> None:
    shop, lin = await scene.shop(), await scene.payer()
    code, out, err = await run("code", "--payer", lin.name, "--json")
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert 1 <= shown["next_in_seconds"] <= 30
    content = {"out_trade_no": new_number(), "subject": "普洱", "total_amount": "1.00"}
    node = await shop.call(client, "alipay.trade.pay", **content, auth_code=shown["code"])
    assert (node["code"], node["buyer_user_id"]) == ("10000", lin.user_id)


async def test_nobody_pays_from_a_command_line_where_money_is_real(
    scene: Scene, client: httpx.AsyncClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, lin = await scene.shop(), await scene.payer()
    url = await order_code(shop, client)
    monkeypatch.setenv("XINGHAN_SANDBOX", "false")
    for arguments in (("pay", "--payer", lin.name, "--code", url), ("code", "--payer", lin.name)):
        code, out, err = await run(*arguments)
        assert (code, out, "sandbox" in err) == (2, "", True)
    assert await scene.balances(lin) == ["1000.00"]


async def test_it_is_a_program_of_its_own(scene: Scene, client: httpx.AsyncClient) -> None:
    shop, lin = await scene.shop(), await scene.payer()
    url = await order_code(shop, client)
    done = scene.running.cli("sandbox", "pay", "--payer", lin.name, "--code", url, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["balance"] == "912.00"
