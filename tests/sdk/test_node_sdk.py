"""alipay-sdk for Node: v2 and v3, keys and certificates, AES, files."""

import dataclasses
import json
from urllib.parse import parse_qsl, urlsplit
from urllib.request import ProxyHandler, build_opener

import pytest

from sdk.conftest import Gateway
from sdk.drivers import run_node
from xinghan.gateway.notification import build_notification
from xinghan.kit.signing import SignType, load_private_key

ORDER = {"out_trade_no": "T3", "total_amount": "0.10", "subject": '红茶 {a} & "sign":"b" \\ c'}
MODES = pytest.mark.parametrize("mode", ["key_app", "certificate_app"])


def v2(method: str = "alipay.trade.precreate", **params: object) -> dict[str, object]:
    return {"action": "exec", "method": method, "params": {"bizContent": ORDER, **params}}


def v3(**options: object) -> dict[str, object]:
    path = "/v3/alipay/trade/precreate"
    return {"action": "curl", "httpMethod": "POST", "path": path, "options": options}


@MODES
@pytest.mark.parametrize("sign_type", ["RSA2", "RSA"])
def test_v2_executes_and_verifies_the_answer(gateway: Gateway, mode: str, sign_type: str) -> None:
    call = v2(notifyUrl="https://shop.example/通知?a=1")
    [answer] = run_node(getattr(gateway, mode), gateway.url, [call], signType=sign_type)
    assert answer["result"]["code"] == "10000"
    assert json.loads(answer["result"]["echo"]) == ORDER
    assert answer["result"]["notify_url"] == "https://shop.example/通知?a=1"


@MODES
def test_v2_encrypts_both_ways(gateway: Gateway, mode: str) -> None:
    # This SDK verifies no signature over an encrypted answer: it looks for a brace in it.
    call = {**v2(needEncrypt=True), "validateSign": False}
    [answer] = run_node(getattr(gateway, mode), gateway.url, [call])
    assert answer["result"]["code"] == "10000"
    assert json.loads(answer["result"]["echo"]) == ORDER


def test_v2_tells_in_the_clear_that_it_cannot_decrypt(gateway: Gateway) -> None:
    stranger = dataclasses.replace(gateway.key_app, aes_key="AAAAAAAAAAAAAAAAAAAAAA==")
    [answer] = run_node(stranger, gateway.url, [v2(needEncrypt=True)])
    assert answer["result"]["sub_code"] == "isv.decryption-error-unknown"


def test_v2_uploads_a_file_beside_signed_fields(gateway: Gateway) -> None:
    call = {
        "action": "upload",
        "method": "alipay.offline.material.image.upload",
        "fields": {"imageType": "png", "imageName": "茶馆.png"},
        "files": [{"field": "imageContent", "name": "tea.png", "content": "not really an image"}],
    }
    [answer] = run_node(gateway.key_app, gateway.url, [call])
    assert answer["result"]["code"] == "10000"
    assert answer["result"]["files"] == [{"name": "image_content", "size": 19}]


def test_sdk_execute_signs_a_string_that_the_gateway_accepts(gateway: Gateway) -> None:
    call = {"action": "sdkExecute", "method": "alipay.trade.app.pay", "params": v2()["params"]}
    [answer] = run_node(gateway.key_app, gateway.url, [call])
    assert fetch(f"{gateway.url}?{answer['result']}")["code"] == "10000"


def test_page_execute_leads_to_the_gateway(gateway: Gateway) -> None:
    call = {
        "action": "pageExecute",
        "method": "alipay.trade.page.pay",
        "httpMethod": "GET",
        "params": {"bizContent": ORDER, "returnUrl": "https://shop.example/back"},
    }
    [answer] = run_node(gateway.key_app, gateway.url, [call])
    assert urlsplit(answer["result"]).path == "/gateway.do"
    assert fetch(answer["result"])["code"] == "10000"


@MODES
def test_v3_calls_and_verifies_the_answer(gateway: Gateway, mode: str) -> None:
    body = {**ORDER, "notify_url": "https://shop.example/notify"}
    [answer] = run_node(getattr(gateway, mode), gateway.url, [v3(body=body)])
    assert answer["result"]["responseHttpStatus"] == 200
    data = answer["result"]["data"]
    assert "code" not in data
    assert json.loads(data["echo"]) == ORDER
    assert data["notify_url"] == body["notify_url"]


@MODES
def test_v3_encrypts_both_ways(gateway: Gateway, mode: str) -> None:
    [answer] = run_node(getattr(gateway, mode), gateway.url, [v3(body=ORDER, needEncrypt=True)])
    assert json.loads(answer["result"]["data"]["echo"]) == ORDER


def test_v3_signs_the_query_and_an_app_auth_token(gateway: Gateway) -> None:
    options = {
        "query": {"notify_url": "https://shop.example/通知", "bill date": "2026-03-01"},
        "body": ORDER,
        "appAuthToken": "202603BBtoken",
    }
    query = {
        "action": "curl",
        "httpMethod": "GET",
        "path": "/v3/alipay/trade/query",
        "options": {"query": {"out_trade_no": "T 3+"}},
    }
    posted, queried = run_node(gateway.key_app, gateway.url, [v3(**options), query])
    assert posted["result"]["data"]["notify_url"] == "https://shop.example/通知"
    assert "app_auth_token" in posted["result"]["data"]["parameters"]
    assert queried["result"]["data"]["out_trade_no"] == "T 3+"


def test_v3_uploads_a_file_beside_the_signed_data(gateway: Gateway) -> None:
    call = {
        "action": "curlUpload",
        "path": "/v3/alipay/open/file/upload",
        "fields": {"biz_code": "茶"},
        "files": [{"field": "file_content", "name": "tea.png", "content": "not an image"}],
        "body": ORDER,
    }
    [answer] = run_node(gateway.key_app, gateway.url, [call])
    assert json.loads(answer["result"]["data"]["echo"]) == {"biz_code": "茶", **ORDER}
    assert answer["result"]["data"]["files"] == [{"name": "file_content", "size": 12}]


def test_v3_refusals_have_a_status_a_code_and_a_message(gateway: Gateway) -> None:
    unknown = {**v3(body=ORDER), "path": "/v3/alipay/trade/teleport"}
    calls = [v3(body={**ORDER, "body": "refuse"}), unknown, v3(body={**ORDER, "body": "wait"})]
    refused, lost, waiting = run_node(gateway.key_app, gateway.url, calls)
    assert refused["error"]["status"] == 400
    assert refused["error"]["code"] == "ACQ.TRADE_NOT_EXIST"
    assert lost["error"]["status"] == 404
    assert lost["error"]["code"] == "invalid-method"
    assert waiting["result"]["responseHttpStatus"] == 202
    assert waiting["result"]["data"]["code"] == "10003"


def test_v3_a_wrong_key_is_told_the_string_that_the_gateway_built(gateway: Gateway) -> None:
    stranger = dataclasses.replace(
        gateway.key_app, private_key_pkcs8=gateway.certificate_app.private_key_pkcs8
    )
    [answer] = run_node(stranger, gateway.url, [v3(body=ORDER)])
    assert answer["error"]["status"] == 401
    assert answer["error"]["code"] == "invalid-signature"
    assert "\nPOST\n/v3/alipay/trade/precreate\n" in answer["error"]["message"]


def test_computes_the_serials_that_the_authority_computes(gateway: Gateway) -> None:
    app = gateway.certificate_app
    [answer] = run_node(app, gateway.url, [{"action": "serials"}])
    assert answer["result"] == dataclasses.asdict(gateway.serials)


@pytest.mark.parametrize("sign_type", list(SignType))
async def test_verifies_a_notification_and_refuses_a_forged_one(
    gateway: Gateway, sign_type: SignType
) -> None:
    form = await build_notification(
        {"trade_status": "TRADE_SUCCESS", "subject": "红茶 100%+1", "passback_params": ""},
        load_private_key(gateway.platform_private_key),
        sign_type=sign_type,
    )
    data = dict(parse_qsl(form.body.decode("ascii")))
    calls = [{"action": "checkNotify", "data": one} for one in (data, {**data, "subject": "绿茶"})]
    assert run_node(gateway.key_app, gateway.url, calls) == [{"result": True}, {"result": False}]


def fetch(url: str) -> dict[str, object]:
    with build_opener(ProxyHandler({})).open(url, timeout=30) as answer:
        envelope = json.load(answer)
    [node] = [value for name, value in envelope.items() if name.endswith("_response")]
    return node
