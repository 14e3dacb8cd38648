"""alipay-sdk-python: common parameters in the query, content in the body, absolute-form targets."""

import dataclasses
import json
from urllib.parse import parse_qsl

import pytest

from sdk.conftest import Gateway
from sdk.drivers import run_official
from xinghan.gateway.notification import build_notification
from xinghan.kit.signing import SignType, load_private_key

ORDER = {"out_trade_no": "T1", "total_amount": "0.10", "subject": '红茶 {a} & "b" + 100% \\ c'}
PRECREATE = {"action": "execute", "method": "alipay.trade.precreate", "biz_content": ORDER}


@pytest.mark.parametrize("sign_type", ["RSA2", "RSA"])
@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
def test_executes_and_verifies_the_answer(gateway: Gateway, sign_type: str, charset: str) -> None:
    call = {**PRECREATE, "notify_url": "https://shop.example/notify?shop=1&till=茶"}
    [answer] = run_official(
        gateway.key_app, gateway.url, [call], sign_type=sign_type, charset=charset
    )
    assert answer["result"]["code"] == "10000"
    assert answer["result"]["subject"] == ORDER["subject"]
    assert json.loads(answer["result"]["echo"]) == ORDER
    assert answer["result"]["notify_url"] == call["notify_url"]
    assert answer["result"]["detail"] == {"nested": [{"brace": "}{"}]}


def test_an_answer_in_gbk_carries_what_gbk_lacks(gateway: Gateway) -> None:
    call = {**PRECREATE, "biz_content": {**ORDER, "subject": "𠮷 emoji 😀"}}
    config = {"charset": "gb18030"}
    [answer] = run_official(gateway.key_app, gateway.url, [call], **config)
    assert answer["result"]["subject"] == "𠮷 emoji 😀"


def test_shows_a_refusal_by_the_method(gateway: Gateway) -> None:
    call = {**PRECREATE, "biz_content": {**ORDER, "body": "refuse"}}
    [answer] = run_official(gateway.key_app, gateway.url, [call])
    assert answer["result"]["code"] == "40004"
    assert answer["result"]["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert answer["result"]["sub_msg"].endswith("{no such trade}")


def test_shows_a_payment_in_process(gateway: Gateway) -> None:
    content = {**ORDER, "scene": "bar_code", "auth_code": "280000000000000000", "body": "wait"}
    call = {"action": "execute", "method": "alipay.trade.pay", "biz_content": content}
    [answer] = run_official(gateway.key_app, gateway.url, [call])
    assert answer["result"]["code"] == "10003"


def test_a_wrong_key_is_told_the_string_that_the_gateway_built(gateway: Gateway) -> None:
    stranger = dataclasses.replace(
        gateway.key_app, private_key_pkcs1=gateway.certificate_app.private_key_pkcs1
    )
    [answer] = run_official(stranger, gateway.url, [PRECREATE])
    assert answer["result"]["code"] == "40002"
    assert answer["result"]["sub_code"] == "isv.invalid-signature"
    assert f"app_id={stranger.app_id}&biz_content=" in answer["result"]["sub_msg"]


def test_an_unknown_app_is_told_so(gateway: Gateway) -> None:
    stranger = dataclasses.replace(gateway.key_app, app_id="2021999999999999")
    [answer] = run_official(stranger, gateway.url, [PRECREATE])
    assert "isv.invalid-app-id" in answer["error"]


def test_uploads_a_file_beside_signed_fields(gateway: Gateway) -> None:
    call = {
        "action": "upload",
        "image_type": "png",
        "image_name": "tea-house.png",
        "content": "\x89PNG\r\n\x00 bytes, not text",
    }
    [answer] = run_official(gateway.key_app, gateway.url, [call])
    assert answer["result"]["code"] == "10000"
    assert answer["result"]["files"] == [{"name": "image_content", "size": len(call["content"])}]


@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
@pytest.mark.parametrize("sign_type", list(SignType))
async def test_verifies_a_notification(gateway: Gateway, charset: str, sign_type: SignType) -> None:
    form = await build_notification(
        {"trade_status": "TRADE_SUCCESS", "subject": "红茶 100%+1", "passback_params": ""},
        load_private_key(gateway.platform_private_key),
        sign_type=sign_type,
        charset=charset,
    )
    data = dict(parse_qsl(form.body.decode("ascii"), encoding=charset, keep_blank_values=True))
    [answer] = run_official(
        gateway.key_app, gateway.url, [{"action": "check_notify", "data": data}], charset=charset
    )
    assert answer == {"result": True}
    assert "passback_params" not in data
