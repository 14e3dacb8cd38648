"""A shop scans the code on the payer's phone; what is not to be is cancelled."""

import pytest

from journeys.scene import Scene, new_number
from journeys.sdks import SDKS, Call, Sdk


@pytest.mark.parametrize("sdk", SDKS, ids=str)
async def test_a_payment_code_pays_and_cancelling_undoes(scene: Scene, sdk: Sdk) -> None:
    shop, lin = await scene.shop(certificate=sdk.certificate), await scene.payer()
    kept, cancelled, unpaid = new_number(), new_number(), new_number()

    def pay(number: str, code: str) -> Call:
        content = {"out_trade_no": number, "subject": "普洱", "total_amount": "12.30"}
        return "alipay.trade.pay", {**content, "auth_code": code, "scene": "bar_code"}

    def cancel(number: str) -> Call:
        return "alipay.trade.cancel", {"out_trade_no": number}

    now, before = lin.code(), lin.code(steps_ago=1)
    order = {"out_trade_no": unpaid, "subject": "普洱", "total_amount": "12.30"}
    paid, again, spent, other, undone, undone_again, closed, ended = sdk.speak(
        shop,
        [
            pay(kept, now),
            pay(kept, now),
            pay(new_number(), now),
            pay(cancelled, before),
            cancel(cancelled),
            cancel(cancelled),
            ("alipay.trade.precreate", order),
            cancel(unpaid),
        ],
    )
    assert (paid["code"], paid["buyer_pay_amount"]) == ("10000", "12.30")
    assert (paid["buyer_user_id"], paid["out_trade_no"]) == (lin.user_id, kept)
    assert again == paid
    assert spent["sub_code"] == "ACQ.PAYMENT_AUTH_CODE_INVALID"
    assert other["code"] == closed["code"] == "10000"
    assert (undone["retry_flag"], undone["action"]) == ("N", "refund")
    assert undone_again == undone
    assert (ended["retry_flag"], ended["action"]) == ("N", "close")
    assert await scene.balances(lin) == ["987.70"]
    await scene.books.check()
