"""The payments room's API: the public order, the operator's trades and notifications."""

import csv
import io
from dataclasses import replace

from httpx import AsyncClient
from starlette.applications import Starlette

from cast.sale import Sale
from xinghan.kit.db import Connection
from xinghan.kit.ids import MERCHANT, NOTIFICATION, TRADE, NotificationId, uuid7
from xinghan.payments.codes import order_code_key, order_token

NOTIFY = "https://teahouse.example/notify"


async def test_an_order_is_read_by_its_code_and_shows_no_secrets(
    app: Starlette, public: AsyncClient, sale: Sale
) -> None:
    trade = await sale.payments.make_order(sale.order(NOTIFY))
    token = order_token(trade.id, order_code_key(app.state.platform.vault))
    order = (await public.get(f"/api/v1/orders/{token}")).json()
    assert (order["state"], order["total_minor"], order["total"]) == (
        *("WAIT_BUYER_PAY", trade.total_minor, "12.34"),
    )
    assert set(order) == {
        *("subject", "state", "currency", "total_minor", "total", "refunded_minor", "refunded"),
        *("created_at", "expires_at", "paid_at", "closed_at"),
    }


async def test_a_trade_is_shown_with_everything_that_happened(
    operator: AsyncClient, sale: Sale
) -> None:
    trade = await sale.pay(NOTIFY)
    await sale.refund(trade, 34)
    shown = (await operator.get(f"/trades/{TRADE.show(trade.id)}")).json()
    assert [event["kind"] for event in shown["timeline"]] == ["created", "paid", "refunded"]
    assert [refund["amount"] for refund in shown["refunds"]] == ["0.34"]
    assert [told["tries"] for told in shown["notifications"]] == [[], []]
    assert (shown["out_trade_no"], shown["refunded_minor"]) == (trade.out_trade_no, 34)


async def test_trades_are_listed_newest_first_filtered_and_exported(
    operator: AsyncClient, sale: Sale
) -> None:
    trades = [await sale.pay(None) for _ in range(3)]
    waiting = await sale.payments.make_order(sale.order(None))
    newest = [TRADE.show(trade.id) for trade in (waiting, *reversed(trades))]
    merchant = MERCHANT.show(sale.merchant.id)
    for chosen in ("", f"&merchant={merchant}"):
        first = (await operator.get(f"/trades?limit=3{chosen}")).json()
        rest = (await operator.get(f"/trades?cursor={first['next_cursor']}{chosen}")).json()
        assert [one["id"] for one in first["items"] + rest["items"]] == newest
        assert rest["next_cursor"] is None
    by_state = (await operator.get("/trades?state=WAIT_BUYER_PAY")).json()["items"]
    assert [one["id"] for one in by_state] == newest[:1]
    query = {"merchant": merchant, "out_trade_no": trades[0].out_trade_no}
    by_number = (await operator.get("/trades", params=query)).json()["items"]
    assert [one["id"] for one in by_number] == [TRADE.show(trades[0].id)]
    exported = (await operator.get("/trades?format=csv")).text.removeprefix("\ufeff")
    assert [row["id"] for row in csv.DictReader(io.StringIO(exported))] == newest


async def test_a_shops_number_needs_its_merchant(operator: AsyncClient) -> None:
    answer = await operator.get("/trades?out_trade_no=T1")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "merchant")


async def test_an_unknown_trade_is_not_found(operator: AsyncClient) -> None:
    answer = await operator.get(f"/trades/{TRADE.show(uuid7())}")
    assert answer.status_code == 404


async def test_a_notification_is_sent_again_and_the_timeline_says_who_asked(
    operator: AsyncClient, sale: Sale, owner: Connection
) -> None:
    trade = await sale.pay(NOTIFY)
    await owner.execute("UPDATE payments.notification SET next_attempt_at = NULL, attempts = 8")
    [told] = (await operator.get("/notifications?delivered=false")).json()["items"]
    assert told["next_attempt_at"] is None
    again = await operator.post(f"/notifications/{told['id']}/resend")
    assert again.status_code == 202
    assert again.json()["next_attempt_at"] is not None
    shown = (await operator.get(f"/trades/{TRADE.show(trade.id)}")).json()
    assert (shown["timeline"][-1]["kind"], shown["timeline"][-1]["actor"]) == ("resent", "operator")
    assert (await operator.get("/notifications?delivered=true")).json()["items"] == []


async def test_an_unknown_notification_cannot_be_sent_again(operator: AsyncClient) -> None:
    unknown = NOTIFICATION.show(NotificationId(uuid7()))
    assert (await operator.post(f"/notifications/{unknown}/resend")).status_code == 404


async def test_a_formula_in_a_subject_does_nothing_in_a_spreadsheet(
    operator: AsyncClient, sale: Sale
) -> None:
    order = replace(sale.order(None), subject="=HYPERLINK(1)")
    await sale.payments.make_order(order)
    exported = (await operator.get("/trades?format=csv")).text
    assert ",'=HYPERLINK(1)," in exported
