"""Looking at trades and ending them: query, close, cancel, refund and its query."""

from itertools import product

import pytest

from gateway.till import Payer, Till, order
from xinghan.identity import App, FeeTerms
from xinghan.kit.ids import TradeId
from xinghan.kit.numbering import new_trade_id, trade_no

REFUND = {"refund_amount": "88.00", "out_request_no": "R1"}
FOLLOWING = ("query", "close", "refund", "fastpay.refund.query")


WRONG_REFUNDS = [
    ({"refund_amount": "88.01"}, "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"),
    ({"refund_amount": None}, "ACQ.INVALID_PARAMETER"),
    ({"refund_amount": "0"}, "ACQ.INVALID_PARAMETER"),
    ({"refund_amount": "-1"}, "ACQ.INVALID_PARAMETER"),
    ({"refund_amount": "1.001"}, "ACQ.INVALID_PARAMETER"),
    ({"refund_currency": "USD"}, "ACQ.CURRENCY_NOT_SUPPORT"),
    ({"refund_reason": "冷" * 257}, "ACQ.INVALID_PARAMETER"),
    ({"out_request_no": "R 1"}, "ACQ.INVALID_PARAMETER"),
    ({"out_request_no": "R" * 65}, "ACQ.INVALID_PARAMETER"),
    ({"out_request_no": "R1", "refund_amount": "1.01"}, "ACQ.DISCORDANT_REPEAT_REQUEST"),
    ({"refund_amount": "87.01"}, "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"),
]


@pytest.fixture
async def lin(till: Till) -> Payer:
    """A payer with 1,000.00."""
    return await till.payer()


async def paid(till: Till, shop: App, lin: Payer, **changes: object) -> dict[str, object]:
    """Let Lin pay an order; gives what names it."""
    content = order(auth_code=lin.code(till.clock), **changes)
    node = await till.call(shop, "pay", content)
    till.clock.advance(minutes=1)
    return {"trade_no": node["trade_no"]}


async def test_a_waiting_order_shows_what_is_known(till: Till, shop: App) -> None:
    goods = [{"goods_id": "tea"}]
    content = order(store_id="s1", passback_params="p=1", goods_detail=goods, body="unseen")
    await till.call(shop, "precreate", content)
    node = await till.call(shop, "query", {"out_trade_no": content["out_trade_no"]})
    trade = await till.rooms.payments.find(shop.merchant.id, None, str(content["out_trade_no"]))
    assert node == {
        "code": "10000",
        "msg": "Success",
        "trade_no": trade_no(trade.id),
        "out_trade_no": content["out_trade_no"],
        "trade_status": "WAIT_BUYER_PAY",
        "total_amount": "88.00",
        "receipt_amount": "0.00",
        "buyer_pay_amount": "0.00",
        "invoice_amount": "0.00",
        "point_amount": "0.00",
        "store_id": "s1",
        "passback_params": "p=1",
        "req_goods_detail": goods,
    }


async def test_a_trade_shows_its_payer_and_its_states(till: Till, shop: App, lin: Payer) -> None:
    named = await paid(till, shop, lin)
    node = await till.call(shop, "query", named)
    assert (node["trade_status"], node["buyer_user_id"]) == ("TRADE_SUCCESS", lin.person.user_id)
    assert (node["send_pay_date"], node["receipt_amount"]) == ("2026-01-31 08:00:00", "88.00")
    till.clock.advance(days=366)
    await till.rooms.payments.end_due()
    assert (await till.call(shop, "query", named))["trade_status"] == "TRADE_FINISHED"
    refund = {**named, "refund_amount": "88.00"}
    assert (await till.refused(shop, "refund", refund)).sub_code == "ACQ.TRADE_HAS_FINISHED"
    assert (await till.refused(shop, "cancel", named)).sub_code == "ACQ.TRADE_HAS_FINISHED"


async def test_an_order_whose_time_is_over_is_closed_at_once(till: Till, shop: App) -> None:
    content = order(timeout_express="5m")
    await till.call(shop, "precreate", content)
    till.clock.advance(minutes=5)
    assert (await till.call(shop, "query", content))["trade_status"] == "TRADE_CLOSED"


async def test_trade_no_goes_before_out_trade_no(till: Till, shop: App, lin: Payer) -> None:
    named, other = await paid(till, shop, lin), order()
    await till.call(shop, "precreate", other)
    both = {**named, "out_trade_no": other["out_trade_no"]}
    assert (await till.call(shop, "query", both))["trade_no"] == named["trade_no"]


async def test_a_trade_has_to_be_named(till: Till, shop: App) -> None:
    for method in FOLLOWING:
        error = await till.refused(shop, method, {**REFUND, "trade_no": ""})
        assert (error.sub_code, "trade_no" in error.sub_msg) == ("ACQ.INVALID_PARAMETER", True)


async def test_a_trade_has_to_be_ones_own(till: Till, shop: App, lin: Payer) -> None:
    named, other = await paid(till, shop, lin), await till.app()
    unknown = {"trade_no": trade_no(TradeId(new_trade_id(5)))}
    namings = (
        (other, named),
        (shop, unknown),
        (shop, {"trade_no": "1" * 28}),
        (shop, {"trade_no": "x"}),
        (shop, {"out_trade_no": "never-made"}),
    )
    for method, (app, naming) in product(FOLLOWING, namings):
        error = await till.refused(app, method, {**REFUND, **naming})
        assert (error.code, error.sub_code) == ("40004", "ACQ.TRADE_NOT_EXIST")


async def test_only_what_is_unpaid_can_be_closed(till: Till, shop: App, lin: Payer) -> None:
    unpaid, named = order(), await paid(till, shop, lin)
    await till.call(shop, "precreate", unpaid)
    closed = await till.call(shop, "close", unpaid)
    assert closed.keys() == {"code", "msg", "trade_no", "out_trade_no"}
    assert await till.call(shop, "close", unpaid) == closed
    assert (await till.call(shop, "query", unpaid))["trade_status"] == "TRADE_CLOSED"
    error = await till.refused(shop, "close", named)
    assert error.sub_code == "ACQ.REASON_TRADE_STATUS_INVALID"
    await till.call(shop, "cancel", named)
    error = await till.refused(shop, "close", named)
    assert error.sub_code == "ACQ.REASON_TRADE_STATUS_INVALID"


async def test_cancelling_closes_or_gives_back_and_says_which(
    till: Till, shop: App, lin: Payer
) -> None:
    unpaid, named = order(), await paid(till, shop, lin)
    await till.call(shop, "precreate", unpaid)
    for naming, action in ((unpaid, "close"), (named, "refund")):
        node = await till.call(shop, "cancel", naming)
        assert (node["retry_flag"], node["action"]) == ("N", action)
        before = await till.books.everything()
        assert await till.call(shop, "cancel", naming) == node
        assert await till.books.everything() == before
        assert (await till.call(shop, "query", naming))["trade_status"] == "TRADE_CLOSED"
    await till.books.check()


async def test_cancelling_gives_back_what_is_left_whatever_the_refunds_are_called(
    till: Till, shop: App, lin: Payer
) -> None:
    named = await paid(till, shop, lin)
    part = {**named, "refund_amount": "8.00", "out_request_no": "cancel"}
    await till.call(shop, "refund", part)
    assert (await till.call(shop, "cancel", named))["action"] == "refund"
    nothing_left = {**named, "refund_amount": "80.00", "out_request_no": "R2"}
    assert (await till.refused(shop, "refund", nothing_left)).sub_code == "ACQ.TRADE_HAS_CLOSE"
    ours = {**named, "refund_amount": "80.00", "out_request_no": "/cancel"}
    assert (await till.refused(shop, "refund", ours)).sub_code == "ACQ.INVALID_PARAMETER"


async def test_cancelling_what_there_is_not_succeeds_without_an_action(
    till: Till, shop: App
) -> None:
    before = await till.books.everything()
    node = await till.call(shop, "cancel", {"out_trade_no": "never-made"})
    assert node == {
        "code": "10000",
        "msg": "Success",
        "out_trade_no": "never-made",
        "retry_flag": "N",
    }
    assert await till.books.everything() == before


async def test_refunds_add_up_and_the_whole_closes(till: Till, shop: App, lin: Payer) -> None:
    named = await paid(till, shop, lin)
    first = {**named, "refund_amount": "10.00", "out_request_no": "R-1", "refund_reason": "冷了"}
    node = await till.call(shop, "refund", first)
    assert (node["fund_change"], node["refund_fee"]) == ("Y", "10.00")
    assert (node["send_back_fee"], node["gmt_refund_pay"]) == ("10.00", "2026-01-31 08:01:00")
    assert node["refund_detail_item_list"] == [{"fund_channel": "ALIPAYACCOUNT", "amount": "10.00"}]
    assert node["buyer_user_id"] == lin.person.user_id
    again = await till.call(shop, "refund", first)
    assert (again["fund_change"], again["refund_fee"]) == ("N", "10.00")
    rest = {**named, "refund_amount": "78.00", "out_request_no": "R.2"}
    assert (await till.call(shop, "refund", rest))["refund_fee"] == "88.00"
    assert (await till.call(shop, "query", named))["trade_status"] == "TRADE_CLOSED"
    await till.books.check()


async def test_only_the_whole_can_go_back_without_a_number(
    till: Till, shop: App, lin: Payer
) -> None:
    named = await paid(till, shop, lin)
    error = await till.refused(shop, "refund", {**named, "refund_amount": "87.99"})
    assert (error.sub_code, "out_request_no" in error.sub_msg) == ("ACQ.INVALID_PARAMETER", True)
    node = await till.call(shop, "refund", {**named, "refund_amount": "88.00"})
    found = await till.call(
        shop, "fastpay.refund.query", {**named, "out_request_no": node["out_trade_no"]}
    )
    assert found["refund_amount"] == "88.00"


async def test_a_refund_that_is_wrong_gives_nothing_back(till: Till, shop: App, lin: Payer) -> None:
    named = await paid(till, shop, lin)
    asked = {**named, "refund_amount": "1.00", "out_request_no": "R1"}
    await till.call(shop, "refund", asked)
    for changes, sub_code in WRONG_REFUNDS:
        error = await till.refused(shop, "refund", {**asked, "out_request_no": "R2", **changes})
        assert (error.code, error.sub_code) == ("40004", sub_code), changes


async def test_an_unpaid_order_has_nothing_to_give_back(till: Till, shop: App) -> None:
    content = order()
    await till.call(shop, "precreate", content)
    error = await till.refused(shop, "refund", {**content, "refund_amount": "88.00"})
    assert error.sub_code == "ACQ.TRADE_STATUS_ERROR"


async def test_a_shop_without_money_cannot_refund(till: Till, lin: Payer) -> None:
    shop = await till.app(fee_terms=FeeTerms(fee_on_refund="kept"))
    named = await paid(till, shop, lin)
    error = await till.refused(shop, "refund", {**named, "refund_amount": "88.00"})
    assert error.sub_code == "ACQ.SELLER_BALANCE_NOT_ENOUGH"


async def test_a_refund_is_found_by_its_number(till: Till, shop: App, lin: Payer) -> None:
    named = await paid(till, shop, lin)
    asked = {**named, "out_request_no": "R1"}
    none = await till.call(shop, "fastpay.refund.query", asked)
    assert none.keys() == {"code", "msg", "trade_no", "out_trade_no"}
    await till.call(shop, "refund", {**asked, "refund_amount": "8.00", "refund_reason": "冷了"})
    found = await till.call(shop, "fastpay.refund.query", asked)
    assert {name: found[name] for name in found.keys() - none.keys()} == {
        "out_request_no": "R1",
        "total_amount": "88.00",
        "refund_amount": "8.00",
        "refund_status": "REFUND_SUCCESS",
        "refund_reason": "冷了",
    }
    options = ["gmt_refund_pay", "refund_detail_item_list", 7]
    more = await till.call(shop, "fastpay.refund.query", {**asked, "query_options": options})
    assert {name: more[name] for name in more.keys() - found.keys()} == {
        "gmt_refund_pay": "2026-01-31 08:01:00",
        "refund_detail_item_list": [{"fund_channel": "ALIPAYACCOUNT", "amount": "8.00"}],
        "send_back_fee": "8.00",
    }


async def test_a_refund_query_needs_the_refunds_number(till: Till, shop: App, lin: Payer) -> None:
    error = await till.refused(shop, "fastpay.refund.query", await paid(till, shop, lin))
    assert (error.sub_code, "out_request_no" in error.sub_msg) == ("ACQ.INVALID_PARAMETER", True)
