"""python-alipay-sdk: everything in a query, empty values signed, braces counted without quotes."""

import dataclasses
import json
from urllib.parse import parse_qsl

import pytest

from sdk.conftest import Gateway
from sdk.drivers import run_community
from xinghan.gateway.notification import build_notification
from xinghan.kit.signing import SignType, load_private_key

ORDER = {"out_trade_no": "T2", "total_amount": "0.10", "subject": '红茶 {a}} & "b" + 100% \\ c'}
PRECREATE = {"action": "call", "method": "alipay.trade.precreate", "biz_content": ORDER}


@pytest.mark.parametrize("sign_type", ["RSA2", "RSA"])
@pytest.mark.parametrize("mode", ["key_app", "certificate_app"])
def test_calls_and_verifies_the_answer(gateway: Gateway, mode: str, sign_type: str) -> None:
    app = getattr(gateway, mode)
    [answer] = run_community(app, gateway.url, [PRECREATE], sign_type=sign_type)
    assert answer["result"]["code"] == "10000"
    assert json.loads(answer["result"]["echo"]) == ORDER


def test_empty_values_may_be_signed(gateway: Gateway) -> None:
    call = {**PRECREATE, "arguments": {"app_auth_token": "", "prod_code": ""}}
    [answer] = run_community(gateway.key_app, gateway.url, [call])
    assert answer["result"]["code"] == "10000"
    assert {"app_auth_token", "prod_code"} <= set(answer["result"]["parameters"])


def test_computes_the_serials_that_the_authority_computes(gateway: Gateway) -> None:
    app = gateway.certificate_app
    [answer] = run_community(app, gateway.url, [{"action": "serials"}])
    assert answer["result"] == dataclasses.asdict(gateway.serials)


def test_an_unknown_method_raises_in_the_sdk(gateway: Gateway) -> None:
    call = {**PRECREATE, "method": "alipay.trade.teleport"}
    [answer] = run_community(gateway.key_app, gateway.url, [call])
    assert "code:40002" in answer["error"]
    assert "isv.invalid-method" in answer["error"]


def test_certificates_in_key_mode_are_refused(gateway: Gateway) -> None:
    mixed = dataclasses.replace(gateway.certificate_app, app_id=gateway.key_app.app_id)
    [answer] = run_community(mixed, gateway.url, [PRECREATE])
    assert answer["result"]["sub_code"] == "isv.invalid-app-cert-sn"


async def test_verifies_a_notification_and_refuses_a_forged_one(gateway: Gateway) -> None:
    form = await build_notification(
        {"trade_status": "TRADE_SUCCESS", "subject": "红茶 100%+1", "passback_params": ""},
        load_private_key(gateway.platform_private_key),
        sign_type=SignType.RSA2,
    )
    data = dict(parse_qsl(form.body.decode("ascii")))
    calls = [{"action": "check_notify", "data": one} for one in (data, {**data, "subject": "绿茶"})]
    assert run_community(gateway.key_app, gateway.url, calls) == [
        {"result": True},
        {"result": False},
    ]
