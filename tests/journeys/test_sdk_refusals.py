"""What the gateway refuses, as the SDKs show it; nothing moves the books."""

import pytest

from journeys.scene import Scene, new_number
from journeys.sdks import SDKS, Sdk, with_app_id, with_key_of


@pytest.mark.parametrize("sdk", SDKS, ids=str)
async def test_each_refusal_has_its_code(scene: Scene, sdk: Sdk) -> None:
    shop, other = [await scene.shop(certificate=sdk.certificate) for _ in range(2)]
    order = {"out_trade_no": new_number(), "subject": "红茶", "total_amount": "88.00"}
    named = {"out_trade_no": order["out_trade_no"]}
    before = await scene.books.everything()
    made, differs, zero, many, mills, guess, unknown, unpaid, strange = sdk.speak(
        shop,
        [
            ("alipay.trade.precreate", order),
            ("alipay.trade.precreate", {**order, "total_amount": "88.01"}),
            ("alipay.trade.precreate", {**order, "total_amount": "0.00"}),
            ("alipay.trade.precreate", {**order, "total_amount": "100000000.01"}),
            ("alipay.trade.precreate", {**order, "total_amount": "0.001"}),
            ("alipay.trade.pay", {**order, "auth_code": "281234567890123456"}),
            ("alipay.trade.query", {"out_trade_no": new_number()}),
            ("alipay.trade.refund", {**named, "refund_amount": "88.00"}),
            ("alipay.trade.query", {"trade_no": "2026013122001234567890123456"}),
        ],
    )
    assert made["code"] == "10000"
    assert [one["code"] for one in (differs, zero, many, mills, guess, unknown, unpaid)] == [
        "40004"
    ] * 7
    assert differs["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"
    assert zero["sub_code"] == mills["sub_code"] == "ACQ.INVALID_PARAMETER"
    assert many["sub_code"] == "ACQ.TOTAL_FEE_EXCEED"
    assert guess["sub_code"] == "ACQ.PAYMENT_AUTH_CODE_INVALID"
    assert unknown["sub_code"] == strange["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert unpaid["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
    [forged] = sdk.speak(with_key_of(shop, other), [("alipay.trade.query", named)])
    [nobody] = sdk.speak(with_app_id(shop, "2021999999999999"), [("alipay.trade.query", named)])
    assert "invalid-signature" in str(forged)
    assert ("invalid-app-id" if sdk.reads_unsigned else "signature") in str(nobody)
    assert await scene.books.everything() == before
