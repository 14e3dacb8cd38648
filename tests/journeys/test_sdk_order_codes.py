"""A shop's order is scanned and paid; the shop looks, gives back in parts, then all of it."""

import pytest

from journeys.scene import Scene, new_number
from journeys.sdks import SDKS, Sdk

TOTAL = "88.00"


@pytest.mark.parametrize("sdk", SDKS, ids=str)
async def test_an_order_code_is_paid_and_given_back(scene: Scene, sdk: Sdk) -> None:
    shop, lin = await scene.shop(certificate=sdk.certificate), await scene.payer()
    number = new_number()
    order = {"out_trade_no": number, "subject": "龙井 {1} & 2", "total_amount": TOTAL}
    named = {"out_trade_no": number}
    made, waiting = sdk.speak(
        shop, [("alipay.trade.precreate", order), ("alipay.trade.query", named)]
    )
    assert (made["code"], made["out_trade_no"]) == ("10000", number)
    assert (waiting["trade_status"], waiting["buyer_pay_amount"]) == ("WAIT_BUYER_PAY", "0.00")
    paid = await scene.pay(lin, str(made["qr_code"]))
    assert await scene.balances(lin, shop) == ["912.00", "87.47"]

    def refund(amount: str, request: str) -> tuple[str, dict[str, object]]:
        content = {**named, "refund_amount": amount, "out_request_no": request}
        return "alipay.trade.refund", content

    found, first, again, second, seen, none, rest, ended = sdk.speak(
        shop,
        [
            ("alipay.trade.query", named),
            refund("10.00", "R1"),
            refund("10.00", "R1"),
            refund("20.50", "R2"),
            ("alipay.trade.fastpay.refund.query", {**named, "out_request_no": "R2"}),
            ("alipay.trade.fastpay.refund.query", {**named, "out_request_no": "R3"}),
            refund("57.50", "R3"),
            ("alipay.trade.query", named),
        ],
    )
    assert (found["trade_status"], found["total_amount"]) == ("TRADE_SUCCESS", TOTAL)
    assert (found["trade_no"], found["buyer_user_id"]) == (paid, lin.user_id)
    assert (first["fund_change"], first["refund_fee"]) == ("Y", "10.00")
    assert (again["fund_change"], again["refund_fee"]) == ("N", "10.00")
    assert (second["fund_change"], second["refund_fee"]) == ("Y", "30.50")
    assert (seen["refund_status"], seen["refund_amount"]) == ("REFUND_SUCCESS", "20.50")
    assert (none["code"], "refund_status" in none) == ("10000", False)
    assert (rest["fund_change"], rest["refund_fee"]) == ("Y", TOTAL)
    assert ended["trade_status"] == "TRADE_CLOSED"
    assert await scene.balances(lin, shop) == ["1000.00", "0.00"]
    await scene.books.check()
