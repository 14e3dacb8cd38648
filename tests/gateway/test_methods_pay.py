"""Paying with the code on the payer's phone."""

import pytest

from gateway.till import Payer, Till, order
from xinghan.identity import App
from xinghan.kit.db import Connection
from xinghan.kit.numbering import trade_no


@pytest.fixture
async def lin(till: Till) -> Payer:
    """A payer with 1,000.00."""
    return await till.payer()


async def test_a_payment_answers_with_numbers_payer_and_amounts(
    till: Till, shop: App, lin: Payer
) -> None:
    content = order(scene="bar_code", auth_code=lin.code(till.clock))
    node = await till.call(shop, "pay", content)
    trade = await till.rooms.payments.find(shop.merchant.id, None, str(content["out_trade_no"]))
    assert node == {
        "code": "10000",
        "msg": "Success",
        "trade_no": trade_no(trade.id),
        "out_trade_no": content["out_trade_no"],
        "buyer_logon_id": "林***",
        "buyer_user_id": lin.person.user_id,
        "buyer_open_id": lin.person.user_id,
        "buyer_user_type": "PRIVATE",
        "total_amount": "88.00",
        "receipt_amount": "88.00",
        "buyer_pay_amount": "88.00",
        "invoice_amount": "88.00",
        "point_amount": "0.00",
        "gmt_payment": "2026-01-31 08:00:00",
        "fund_bill_list": [{"fund_channel": "ALIPAYACCOUNT", "amount": "88.00"}],
    }
    await till.books.check()


async def test_a_repeat_is_answered_as_the_first_time_also_by_an_old_code(
    till: Till, shop: App, lin: Payer
) -> None:
    content = order(auth_code=lin.code(till.clock))
    first = await till.call(shop, "pay", content)
    before = await till.books.everything()
    assert await till.call(shop, "pay", content) == first
    till.clock.advance(minutes=10)
    assert await till.call(shop, "pay", content) == first
    assert await till.call(shop, "pay", {**content, "auth_code": lin.code(till.clock)}) == first
    assert await till.books.everything() == before


async def test_the_next_customer_is_not_taken_for_the_last_one(
    till: Till, shop: App, lin: Payer
) -> None:
    bo = await till.payer()
    content = order(auth_code=lin.code(till.clock))
    await till.call(shop, "pay", content)
    for code in (bo.code(till.clock), "281234567890123456"):
        error = await till.refused(shop, "pay", {**content, "auth_code": code})
        assert error.sub_code == "ACQ.TRADE_HAS_SUCCESS"
    error = await till.refused(shop, "pay", {**content, "auth_code": "no code"})
    assert error.sub_code == "ACQ.PAYMENT_AUTH_CODE_INVALID"


async def test_a_code_pays_once(till: Till, shop: App, lin: Payer) -> None:
    code = lin.code(till.clock)
    await till.call(shop, "pay", order(auth_code=code))
    error = await till.refused(shop, "pay", order(auth_code=code))
    assert error.sub_code == "ACQ.PAYMENT_AUTH_CODE_INVALID"


async def test_a_code_that_is_no_code_pays_nothing(till: Till, shop: App) -> None:
    for code in ("281234567890123456", "1", "付款码", "28" * 32):
        error = await till.refused(shop, "pay", order(auth_code=code))
        assert (error.code, error.sub_code) == ("40004", "ACQ.PAYMENT_AUTH_CODE_INVALID")


async def test_an_old_code_pays_nothing(till: Till, shop: App, lin: Payer) -> None:
    code = lin.code(till.clock)
    till.clock.advance(minutes=2)
    error = await till.refused(shop, "pay", order(auth_code=code))
    assert error.sub_code == "ACQ.PAYMENT_AUTH_CODE_INVALID"


async def test_a_code_is_needed(till: Till, shop: App) -> None:
    error = await till.refused(shop, "pay", order())
    assert (error.sub_code, "auth_code" in error.sub_msg) == ("ACQ.INVALID_PARAMETER", True)


async def test_whoever_guesses_is_stopped_even_with_a_right_code(
    till: Till, shop: App, lin: Payer
) -> None:
    for _ in range(10):
        await till.refused(shop, "pay", order(auth_code="281234567890123456"))
    error = await till.refused(shop, "pay", order(auth_code=lin.code(till.clock)))
    assert error.sub_code == "ACQ.PAYMENT_AUTH_CODE_INVALID"
    assert "一小时" in error.sub_msg


async def test_an_order_that_the_balance_does_not_cover_waits(till: Till, shop: App) -> None:
    poor = await till.payer("87.99")
    content = order(auth_code=poor.code(till.clock))
    error = await till.refused(shop, "pay", content)
    assert (error.code, error.sub_code) == ("40004", "ACQ.BUYER_BALANCE_NOT_ENOUGH")
    waiting = await till.call(shop, "query", content)
    assert (waiting["trade_status"], waiting["buyer_pay_amount"]) == ("WAIT_BUYER_PAY", "0.00")
    rich = await till.payer()
    paid = await till.call(shop, "pay", {**content, "auth_code": rich.code(till.clock)})
    assert paid["buyer_user_id"] == rich.person.user_id


async def test_a_number_with_other_content_is_refused(till: Till, shop: App, lin: Payer) -> None:
    content = order(auth_code=lin.code(till.clock))
    await till.call(shop, "pay", content)
    error = await till.refused(shop, "pay", {**content, "total_amount": "0.01"})
    assert error.sub_code == "ACQ.CONTEXT_INCONSISTENT"


async def test_what_is_closed_cannot_be_paid(till: Till, shop: App, lin: Payer) -> None:
    unpaid, refunded = order(), order(auth_code=lin.code(till.clock))
    await till.call(shop, "precreate", unpaid)
    await till.call(shop, "close", unpaid)
    await till.call(shop, "pay", refunded)
    await till.call(shop, "cancel", refunded)
    till.clock.advance(minutes=1)
    for content in (unpaid, refunded):
        again = {**content, "auth_code": lin.code(till.clock)}
        assert (await till.refused(shop, "pay", again)).sub_code == "ACQ.TRADE_HAS_CLOSE"


async def test_a_payer_without_a_wallet_in_the_currency_is_told_so(till: Till, lin: Payer) -> None:
    abroad = await till.app("USD")
    content = order(trans_currency="USD", auth_code=lin.code(till.clock))
    error = await till.refused(abroad, "pay", content)
    assert error.sub_code == "ACQ.CURRENCY_NOT_SUPPORT"
    ann = await till.payer("1000.00", "USD")
    node = await till.call(abroad, "pay", {**content, "auth_code": ann.code(till.clock)})
    assert (node["pay_currency"], node["pay_amount"]) == ("USD", "88.00")
    assert (node["trans_currency"], node["settle_amount"]) == ("USD", "88.00")


async def test_a_revoked_phone_pays_nothing(
    till: Till, shop: App, lin: Payer, owner: Connection
) -> None:
    await owner.execute("UPDATE identity.device SET revoked_at = now(), revoked_by = 'lin'")
    error = await till.refused(shop, "pay", order(auth_code=lin.code(till.clock)))
    assert error.sub_code == "ACQ.PAYMENT_AUTH_CODE_INVALID"
