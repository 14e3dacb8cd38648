"""What shops are told: parameters, the signature as SDKs check it, and `notify_verify`."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest

from cast.clock import FixedClock
from cast.sale import Sale
from sdk.drivers import SdkApp, run_community, run_node, run_official
from xinghan.gateway.model import HttpRequest
from xinghan.gateway.notices import Notices, notify_id_of, read_notify_id
from xinghan.gateway.notify_verify import answer_notify_verify, asks_notify_verify
from xinghan.identity import AppDirectory, AppMode
from xinghan.kit import signing
from xinghan.kit.db import Database
from xinghan.kit.ids import uuid7
from xinghan.kit.numbering import trade_no
from xinghan.kit.vault import Vault
from xinghan.payments.model import Notification, Trade
from xinghan.payments.notifications import Claimed, list_notifications, read_content

SHOP = "https://shop.example/notify"


@pytest.fixture
async def sale(database: Database) -> Sale:
    sale = await Sale.prepare(database, Vault({1: bytes(range(32))}), FixedClock())
    await sale.add_app()
    return sale


async def last_notification(sale: Sale, trade: Trade) -> Notification:
    async with sale.database.acquire() as connection:
        return (await list_notifications(connection, trade.id))[-1]


async def told(sale: Sale, trade: Trade, charset: str = "utf-8") -> dict[str, str]:
    """Give the form that the shop would receive for the last thing that happened."""
    one = await last_notification(sale, trade)
    claimed = Claimed(
        one.bucket,
        one.id,
        one.app_id,
        one.url,
        one.content,
        1,
        one.created_at + timedelta(minutes=1),
    )
    directory = AppDirectory(sale.database, sale.vault)
    notices = Notices(sale.database, sale.vault, directory.find, sale.clock)
    form = await notices.render(claimed, read_content(one.content))
    assert form is not None
    assert form.content_type.endswith(f"charset={charset}")
    return dict(parse_qsl(form.body.decode("ascii"), encoding=charset, keep_blank_values=True))


async def test_a_payment_is_told_with_all_its_amounts(sale: Sale) -> None:
    trade = await sale.pay(SHOP, body="两壶", passback_params="till%3D1")
    form = await told(sale, trade)
    assert form.pop("sign")
    assert form == {
        "notify_time": "2026-01-31 08:00:00",
        "notify_type": "trade_status_sync",
        "notify_id": form["notify_id"],
        "app_id": sale.app_id,
        "auth_app_id": sale.app_id,
        "charset": "utf-8",
        "version": "1.0",
        "sign_type": "RSA2",
        "trade_no": trade_no(trade.id),
        "out_trade_no": "T1",
        "buyer_id": sale.payer.user_id,
        "buyer_logon_id": "林***",
        "seller_id": sale.merchant.user_id,
        "trade_status": "TRADE_SUCCESS",
        "total_amount": "12.34",
        "receipt_amount": "12.34",
        "invoice_amount": "12.34",
        "buyer_pay_amount": "12.34",
        "point_amount": "0.00",
        "subject": "红茶 & 1+1=2",
        "body": "两壶",
        "gmt_create": "2026-01-31 08:00:00",
        "gmt_payment": "2026-01-31 08:00:00",
        "fund_bill_list": '[{"amount":"12.34","fundChannel":"ALIPAYACCOUNT"}]',
        "passback_params": "till%3D1",
    }


async def test_refunds_tell_the_sum_so_far_and_the_last_one_closes(sale: Sale) -> None:
    trade = await sale.pay(SHOP)
    await sale.refund(trade, 234, "R1")
    first = await told(sale, trade)
    sale.clock.advance(minutes=1)
    await sale.refund(trade, 1000, "R2")
    second = await told(sale, trade)
    shown = ("trade_status", "refund_fee", "out_biz_no", "gmt_refund", "gmt_close")
    assert [first.get(name) for name in shown] == [
        *("TRADE_SUCCESS", "2.34", "R1", "2026-01-31 08:00:00.000", None)
    ]
    assert [second.get(name) for name in shown] == [
        *("TRADE_CLOSED", "12.34", "R2", "2026-01-31 08:01:00.000", "2026-01-31 08:01:00")
    ]
    assert first["notify_id"] != second["notify_id"]


async def test_an_order_that_nobody_paid_has_no_payer_and_no_payment(sale: Sale) -> None:
    trade = await sale.payments.make_order(sale.order(SHOP))
    sale.clock.advance(minutes=5)
    await sale.payments.end_due()
    form = await told(sale, trade)
    assert (form["trade_status"], form["total_amount"]) == ("TRADE_CLOSED", "12.34")
    assert form["gmt_close"] == "2026-01-31 08:05:00"
    absent = {"buyer_id", "receipt_amount", "gmt_payment", "fund_bill_list", "refund_fee", "body"}
    assert not absent & form.keys()


async def test_what_is_told_is_what_was_true_then_and_only_the_time_moves(sale: Sale) -> None:
    trade = await sale.pay(SHOP)
    first = await told(sale, trade)
    notification = await last_notification(sale, trade)
    sale.clock.advance(minutes=4)
    again = await told(sale, trade)
    assert again["notify_id"] == first["notify_id"] == notify_id_of(trade.bucket, notification.id)
    assert again["notify_time"] == "2026-01-31 08:04:00"
    moving = {"notify_time", "sign"}
    assert {name: first[name] for name in first.keys() - moving} == {
        name: again[name] for name in again.keys() - moving
    }


async def test_an_unknown_app_is_told_nothing(sale: Sale) -> None:
    trade = await sale.pay(SHOP, app_id="2021000000000000")
    with pytest.raises(AssertionError, match="is not None"):
        await told(sale, trade)


@pytest.mark.parametrize(("charset", "sign_type"), [("gbk", "RSA"), ("utf-8", "RSA2")])
async def test_the_charset_and_the_signature_are_those_of_the_order(
    sale: Sale, charset: str, sign_type: str
) -> None:
    trade = await sale.pay(SHOP, charset=charset, sign_type=sign_type)
    form = await told(sale, trade, charset)
    assert (form["charset"], form["sign_type"]) == (charset, sign_type)
    signed = {name: one for name, one in form.items() if name not in {"sign", "sign_type"}}
    text = "&".join(f"{name}={signed[name]}" for name in sorted(signed))
    assert sale.app is not None
    key = sale.app.platform_public_key
    assert signing.verify(key, text.encode(charset), form["sign"], signing.SignType(sign_type))


def sdk_app(sale: Sale) -> SdkApp:
    """Configure the SDKs as `xinghan sandbox merchant` says."""
    app = sale.app
    assert app is not None
    return SdkApp(
        app.app_id,
        signing.export_private_key_pkcs1(app.private_key),
        signing.export_private_key_pkcs8(app.private_key),
        signing.export_public_key(app.platform_public_key),
        app.aes_key,
        app.certificates
        and {
            "app": app.certificates.app,
            "platform": app.certificates.platform,
            "root": app.certificates.root,
        },
    )


@pytest.mark.parametrize("mode", list(AppMode))
async def test_the_sdks_believe_it_and_no_other(sale: Sale, mode: AppMode) -> None:
    await sale.add_app(mode)
    trade = await sale.pay(SHOP, body="a=b&c", passback_params="x%2By")
    await sale.refund(trade, 1)
    form = await told(sale, trade)
    forged = {**form, "total_amount": "1234.00"}
    app, url = sdk_app(sale), "http://127.0.0.1/gateway.do"
    checks = [{"action": "check_notify", "data": data} for data in (form, forged)]
    assert run_community(app, url, checks) == [{"result": True}, {"result": False}]
    node_checks = [{**check, "action": "checkNotify"} for check in checks]
    assert run_node(app, url, node_checks) == [{"result": True}, {"result": False}]
    if mode is AppMode.KEY:
        assert run_official(app, url, checks[:1]) == [{"result": True}]


@pytest.mark.parametrize("partner", ["app_id", "merchant", "other"])
async def test_notify_verify_says_true_to_the_shop_that_was_told(sale: Sale, partner: str) -> None:
    one = await last_notification(sale, await sale.pay(SHOP))
    partners = {"app_id": sale.app_id, "merchant": sale.merchant.user_id, "other": "2088"}
    asked = f"service=notify_verify&partner={partners[partner]}&notify_id="
    known, made_up = notify_id_of(one.bucket, one.id), notify_id_of(one.bucket, uuid7())
    assert await ask(sale, asked + known) == (b"false" if partner == "other" else b"true")
    assert await ask(sale, asked + made_up) == b"false"


@pytest.mark.parametrize(
    "query",
    [
        "service=notify_verify",
        "service=notify_verify&notify_id=zz&partner=1",
        "service=notify_verify&notify_id=" + "f" * 34,
        "service=notify_verify&notify_id=%zz",
        "service=notify_verify&charset=nonsense",
        "service=notify_verify&" + "a" * 2_000_000,
    ],
)
async def test_notify_verify_says_false_to_nonsense(sale: Sale, query: str) -> None:
    assert await ask(sale, query) == b"false"


async def ask(sale: Sale, query: str) -> bytes:
    request = HttpRequest("GET", "/gateway.do", query.encode(), b"", {})
    assert asks_notify_verify(request)
    find_app = AppDirectory(sale.database, sale.vault).find
    answer = await answer_notify_verify(request, sale.database, find_app)
    assert answer.status == 200
    return answer.body


def test_a_call_of_a_method_is_not_taken_for_notify_verify() -> None:
    usual = HttpRequest("POST", "/gateway.do", b"method=alipay.trade.pay", b"biz_content=1", {})
    assert not asks_notify_verify(usual)
    assert asks_notify_verify(replace(usual, query=b"", body=b"service=notify_verify&partner=1"))


def test_numbers_of_notifications_lead_back() -> None:
    identity = uuid7()
    assert read_notify_id(notify_id_of(63, identity)) == (63, identity)
    assert read_notify_id(notify_id_of(63, identity).upper()) is None
