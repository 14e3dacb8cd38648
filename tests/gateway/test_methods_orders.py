"""Orders: what they may say, until when they wait, and that a number names one order for ever."""

from asyncio import gather
from decimal import Decimal

from gateway.till import PUBLIC_URL, Till, order
from xinghan.identity import App
from xinghan.kit.clock import format_gateway_time
from xinghan.kit.db import Connection
from xinghan.kit.numbering import trade_id_of
from xinghan.payments.codes import trade_of_order_token
from xinghan.payments.model import Trade

WRONG_FIELDS: list[tuple[dict[str, object], str]] = [
    ({"out_trade_no": None}, "out_trade_no"),
    ({"out_trade_no": ""}, "out_trade_no"),
    ({"out_trade_no": "T 1"}, "out_trade_no"),
    ({"out_trade_no": "茶1"}, "out_trade_no"),
    ({"out_trade_no": "T" * 65}, "out_trade_no"),
    ({"out_trade_no": ["T1"]}, "out_trade_no"),
    ({"subject": None}, "subject"),
    ({"subject": "  "}, "subject"),
    ({"subject": "茶\n"}, "subject"),
    ({"subject": "茶" * 257}, "subject"),
    ({"subject": True}, "subject"),
    ({"total_amount": None}, "total_amount"),
    ({"total_amount": "0"}, "total_amount"),
    ({"total_amount": "0.00"}, "total_amount"),
    ({"total_amount": "0.001"}, "total_amount"),
    ({"total_amount": "-1.00"}, "total_amount"),
    ({"total_amount": "1e2"}, "total_amount"),
    ({"total_amount": "12,00"}, "total_amount"),
    ({"total_amount": "１２"}, "total_amount"),
    ({"total_amount": Decimal("0.30000000000000004")}, "total_amount"),
    ({"total_amount": {}}, "total_amount"),
    ({"body": "茶" * 401}, "body"),
    ({"store_id": "s" * 33}, "store_id"),
    ({"passback_params": "p" * 513}, "passback_params"),
    ({"timeout_express": "0m"}, "timeout_express"),
    ({"timeout_express": "16d"}, "timeout_express"),
    ({"timeout_express": "1.5h"}, "timeout_express"),
    ({"timeout_express": "2c"}, "timeout_express"),
    ({"qr_code_timeout_express": "later"}, "qr_code_timeout_express"),
    ({"time_expire": "2026-02-30 08:00:00"}, "time_expire"),
    ({"time_expire": "2026-02-28"}, "time_expire"),
    ({"time_expire": "2027-01-01 08:00:00"}, "time_expire"),
    ({"discountable_amount": "many"}, "discountable_amount"),
    ({"discountable_amount": "1", "undiscountable_amount": "1"}, "discountable_amount"),
    ({"goods_detail": [{"goods_name": "茶" * 33_000}]}, "goods_detail"),
]


# It is 2026-01-31 08:00:00 in GMT+8.
ENDS_OF_PRECREATED: list[tuple[dict[str, object], str]] = [
    ({}, "2026-01-31 10:00:00"),
    ({"timeout_express": "5m"}, "2026-01-31 08:05:00"),
    ({"timeout_express": "15d"}, "2026-01-31 10:00:00"),
    ({"timeout_express": "1c"}, "2026-01-31 10:00:00"),
    ({"qr_code_timeout_express": "30m"}, "2026-01-31 08:30:00"),
    ({"qr_code_timeout_express": "1d"}, "2026-01-31 10:00:00"),
    ({"time_expire": "2026-01-31 09:30:00"}, "2026-01-31 09:30:00"),
    ({"time_expire": "2026-01-31 09:30:00", "timeout_express": "1m"}, "2026-01-31 09:30:00"),
]
ENDS_OF_CREATED: list[tuple[dict[str, object], str]] = [
    ({}, "2026-02-15 08:00:00"),
    ({"timeout_express": "1c"}, "2026-02-01 00:00:00"),
    ({"timeout_express": "15d"}, "2026-02-15 08:00:00"),
    ({"time_expire": "2026-02-15 08:00:00"}, "2026-02-15 08:00:00"),
]


async def made(till: Till, shop: App, **changes: object) -> Trade:
    """Precreate an order and read it back."""
    content = order(**changes)
    node = await till.call(shop, "precreate", content)
    return await till.rooms.payments.find(shop.merchant.id, None, str(node["out_trade_no"]))


async def test_precreate_gives_a_code_that_leads_to_the_order(till: Till, shop: App) -> None:
    content = order()
    node = await till.call(shop, "precreate", content)
    assert node.keys() == {"code", "msg", "out_trade_no", "qr_code"}
    assert (node["code"], node["out_trade_no"]) == ("10000", content["out_trade_no"])
    url, _, token = str(node["qr_code"]).rpartition("/")
    assert url == f"{PUBLIC_URL}/q"
    trade_id = trade_of_order_token(token, till.rooms.order_key)
    assert trade_id is not None
    trade = await till.rooms.payments.find_order(trade_id)
    assert (trade.out_trade_no, trade.total_minor) == (content["out_trade_no"], 8800)
    assert await till.call(shop, "precreate", content) == node


async def test_a_field_that_is_wrong_is_named(till: Till, shop: App) -> None:
    for changes, field in WRONG_FIELDS:
        error = await till.refused(shop, "precreate", order(**changes))
        assert (error.code, error.sub_code) == ("40004", "ACQ.INVALID_PARAMETER"), changes
        chinese, english = error.sub_msg.split("；")[0], error.sub_msg.split("；")[-1]
        assert field in chinese.split("：")[0]
        assert field in english.split(": ")[0]
        assert "资金未发生变动" in chinese
        assert "no money has moved" in english


async def test_an_amount_that_is_too_large_has_its_own_code(till: Till, shop: App) -> None:
    largest = await made(till, shop, total_amount="100000000.00")
    assert largest.total_minor == 10**10
    for total in ("100000000.01", "9" * 30):
        error = await till.refused(shop, "precreate", order(total_amount=total))
        assert error.sub_code == "ACQ.TOTAL_FEE_EXCEED"
        assert "total_amount" in error.sub_msg


async def test_numbers_are_taken_as_their_digits(till: Till, shop: App) -> None:
    trade = await made(till, shop, out_trade_no=20260131, subject=88, total_amount=Decimal("0.10"))
    assert (trade.out_trade_no, trade.subject, trade.total_minor) == ("20260131", "88", 10)


async def test_what_a_shop_writes_is_kept_and_what_is_not_known_ignored(
    till: Till, shop: App
) -> None:
    goods = [{"goods_id": "tea", "price": Decimal("44.00"), "quantity": 2}]
    trade = await made(
        till,
        shop,
        body="two\nlines",
        goods_detail=goods,
        store_id="s1",
        operator_id="",
        hovercraft={"full_of": "eels"},
        discountable_amount="80.00",
        undiscountable_amount="8.00",
    )
    assert trade.details == {
        "body": "two\nlines",
        "goods_detail": [{"goods_id": "tea", "price": "44.00", "quantity": 2}],
        "store_id": "s1",
    }


async def test_a_precreated_order_ends_with_its_code(till: Till, shop: App) -> None:
    for changes, end in ENDS_OF_PRECREATED:
        trade = await made(till, shop, **changes)
        assert format_gateway_time(trade.expires_at) == end, changes


async def test_a_created_order_waits_for_days(till: Till, shop: App) -> None:
    lin = await till.payer()
    for changes, end in ENDS_OF_CREATED:
        content = order(buyer_id=lin.person.user_id, **changes)
        await till.call(shop, "create", content)
        trade = await till.rooms.payments.find(shop.merchant.id, None, str(content["out_trade_no"]))
        assert format_gateway_time(trade.expires_at) == end, changes


async def test_an_end_that_has_passed_has_its_own_code(till: Till, shop: App) -> None:
    error = await till.refused(shop, "precreate", order(time_expire="2026-01-31 08:00:00"))
    assert error.sub_code == "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"


async def test_a_number_names_one_order_for_ever(till: Till, shop: App) -> None:
    content = order()
    await till.call(shop, "precreate", content)
    for changes in ({"total_amount": "88.01"}, {"subject": "Pu'er"}):
        error = await till.refused(shop, "precreate", {**content, **changes})
        assert error.sub_code == "ACQ.CONTEXT_INCONSISTENT"
    await till.call(shop, "close", content)
    assert (await till.refused(shop, "precreate", content)).sub_code == "ACQ.TRADE_HAS_CLOSE"
    other = await till.app()
    assert (await till.call(other, "precreate", content))["code"] == "10000"


async def test_create_makes_an_order_for_one_payer(till: Till, shop: App) -> None:
    lin, bo = await till.payer(), await till.payer()
    content = order(buyer_open_id=lin.person.user_id)
    node = await till.call(shop, "create", content)
    assert node.keys() == {"code", "msg", "out_trade_no", "trade_no"}
    trade_id = trade_id_of(str(node["trade_no"]))
    assert trade_id is not None
    assert (await till.rooms.payments.find_order(trade_id)).wanted_buyer == lin.person.id
    assert await till.call(shop, "create", content) == node
    by_bo = {**content, "auth_code": bo.code(till.clock)}
    assert (await till.refused(shop, "pay", by_bo)).sub_code == "ACQ.TRADE_BUYER_NOT_MATCH"
    by_lin = {**content, "auth_code": lin.code(till.clock)}
    assert (await till.call(shop, "pay", by_lin))["trade_no"] == node["trade_no"]


async def test_create_needs_a_payer_whom_there_is(till: Till, shop: App) -> None:
    missing = await till.refused(shop, "create", order())
    assert (missing.sub_code, "buyer_id" in missing.sub_msg) == ("ACQ.INVALID_PARAMETER", True)
    for number in ("2088000000000000", shop.merchant.user_id, "Lin"):
        unknown = await till.refused(shop, "create", order(buyer_id=number))
        assert unknown.sub_code == "ACQ.BUYER_NOT_EXIST"


async def test_a_blocked_payer_gets_no_order(till: Till, shop: App, owner: Connection) -> None:
    lin = await till.payer()
    await owner.execute("UPDATE identity.person SET status = 'blocked'")
    error = await till.refused(shop, "create", order(buyer_id=lin.person.user_id))
    assert error.sub_code == "ACQ.BUYER_ENABLE_STATUS_FORBID"
    error = await till.refused(shop, "pay", order(auth_code=lin.code(till.clock)))
    assert error.sub_code == "ACQ.BUYER_ENABLE_STATUS_FORBID"


async def test_the_seller_can_only_be_the_merchant(till: Till, shop: App) -> None:
    assert await made(till, shop, seller_id=shop.merchant.user_id)
    error = await till.refused(shop, "precreate", order(seller_id="2088000000000000"))
    assert error.sub_code == "ACQ.SELLER_NOT_EXIST"


async def test_what_would_send_money_elsewhere_is_refused(till: Till, shop: App) -> None:
    for field in ("royalty_info", "settle_info", "sub_merchant", "agreement_params", "auth_no"):
        error = await till.refused(shop, "precreate", order(**{field: {"some": "thing"}}))
        assert error.sub_code == "ACQ.ACCESS_FORBIDDEN"
        assert field in error.sub_msg
        assert await made(till, shop, **{field: ""})


async def test_other_currencies_need_an_account(till: Till, shop: App) -> None:
    for content in (
        order(trans_currency="USD"),
        order(trans_currency="ABC"),
        order(trans_currency="cny"),
        order(settle_currency="USD"),
    ):
        error = await till.refused(shop, "precreate", content)
        assert error.sub_code == "ACQ.CURRENCY_NOT_SUPPORT"
    abroad = await till.app("JPY")
    trade = await made(till, abroad, trans_currency="JPY", total_amount="8800")
    assert (trade.currency, trade.total_minor, trade.fee_minor) == ("JPY", 8800, 53)
    error = await till.refused(
        abroad, "precreate", order(trans_currency="JPY", total_amount="88.00")
    )
    assert error.sub_code == "ACQ.INVALID_PARAMETER"


async def test_the_first_order_opens_the_account_for_fees_once(till: Till) -> None:
    shop = await till.app(fees_before=False)
    trades = await gather(*(made(till, shop) for _ in range(10)))
    assert len({trade.fee_account for trade in trades}) == 1
    async with till.database.acquire() as connection:
        count = "SELECT count(DISTINCT id) FROM ledger.account WHERE kind = 'fee_income'"
        assert await connection.fetchval(count) == 1


async def test_a_notify_url_is_kept_as_it_will_be_called(till: Till, shop: App) -> None:
    content = order()
    await till.call(shop, "precreate", content, notify_url="https://shop.example/通知?a=1")
    trade = await till.rooms.payments.find(shop.merchant.id, None, str(content["out_trade_no"]))
    assert trade.notify_url == "https://shop.example/%E9%80%9A%E7%9F%A5?a=1"
    for url in ("ftp://shop.example/", "https://user@shop.example/", "shop.example", "http://"):
        error = await till.refused(shop, "precreate", order(), notify_url=url)
        assert error.sub_code == "ACQ.INVALID_PARAMETER"
        assert "notify_url" in error.sub_msg


async def test_how_the_shop_speaks_is_kept_for_telling_it(till: Till, shop: App) -> None:
    content = order()
    await till.call(shop, "precreate", content, charset="GBK", sign_type="RSA", version="1.0")
    trade = await till.rooms.payments.find(shop.merchant.id, None, str(content["out_trade_no"]))
    assert trade.details == {"charset": "GBK", "sign_type": "RSA"}
