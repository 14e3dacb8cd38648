"""The v3 door: the Authorization header, statuses, signed headers."""

import dataclasses
import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from xinghan.gateway import v3
from xinghan.gateway.envelope import in_process, success
from xinghan.gateway.model import Call, HttpAnswer, HttpRequest
from xinghan.identity import AppCredentials
from xinghan.kit import signing
from xinghan.kit.certificates import CertificateSerials
from xinghan.kit.signing import SignType

METHODS = frozenset({"alipay.trade.pay", "alipay.trade.fastpay.refund.query"})
NOW = datetime(2026, 3, 1, 0, 0, 0, 123000, tzinfo=UTC)
PAY = "/v3/alipay/trade/pay"
AUTH = "app_id=2021000000000001,nonce=n-1,timestamp=1772323200000"
SERIALS = CertificateSerials("a" * 32, "b" * 32, "c" * 32)


async def echo(call: Call) -> Mapping[str, object]:
    return success(content=call.content, parameters=dict(call.parameters), method=call.method)


async def ask(request: HttpRequest, app: AppCredentials, run=echo) -> HttpAnswer:  # noqa: ANN001
    async def find(app_id: str) -> AppCredentials | None:
        return app if app_id == app.app_id else None

    return await v3.respond(request, METHODS, find, run, lambda: NOW)


def signed(
    key: signing.rsa.RSAPrivateKey,
    *,
    path: str = PAY,
    query: str = "",
    body: str = '{"out_trade_no":"T1"}',
    auth: str = AUTH,
    **headers: str,
) -> HttpRequest:
    target = f"{path}?{query}" if query else path
    text = f"{auth}\nPOST\n{target}\n{body}\n"
    signature = signing.sign(key, text.encode(), SignType.RSA2)
    sent = {"authorization": f"ALIPAY-SHA256withRSA {auth},sign={signature}", **headers}
    return HttpRequest("POST", path, query.encode(), body.encode(), sent)


async def test_an_answer_is_signed_in_its_headers(
    app: AppCredentials, app_key: signing.rsa.RSAPrivateKey
) -> None:
    answer = await ask(signed(app_key), app)
    assert answer.status == 200
    assert json.loads(answer.body)["content"] == {"out_trade_no": "T1"}
    assert "code" not in json.loads(answer.body)
    assert answer.headers["alipay-timestamp"] == "1772323200123"
    assert answer.headers["alipay-trace-id"]
    assert "alipay-sn" not in answer.headers
    message = f"1772323200123\n{answer.headers['alipay-nonce']}\n{answer.body.decode()}\n"
    public = app.platform_private_key.public_key()
    signature = answer.headers["alipay-signature"]
    assert signing.verify(public, message.encode(), signature, SignType.RSA2)


async def test_query_and_body_become_one_call(
    app: AppCredentials, app_key: signing.rsa.RSAPrivateKey
) -> None:
    body = '{"out_request_no":"R1","return_url":"https://shop.example/back"}'
    request = signed(
        app_key,
        path="/v3/alipay/trade/fastpay/refund/query",
        query="notify_url=https%3A%2F%2Fshop.example%2F&out_trade_no=T1",
        body=body,
    )
    call = json.loads((await ask(request, app)).body)
    assert call["method"] == "alipay.trade.fastpay.refund.query"
    assert call["content"] == {"out_trade_no": "T1", "out_request_no": "R1"}
    assert call["parameters"]["notify_url"] == "https://shop.example/"
    assert call["parameters"]["return_url"] == "https://shop.example/back"


async def test_what_stands_in_the_authorization_is_signed_verbatim(
    app: AppCredentials, app_key: signing.rsa.RSAPrivateKey
) -> None:
    auth = "nonce=n,extra=a=b, timestamp=1772323200000,app_id=2021000000000001"
    assert (await ask(signed(app_key, auth=auth), app)).status == 200


async def test_a_payment_in_process_is_accepted_with_its_code(
    app: AppCredentials, app_key: signing.rsa.RSAPrivateKey
) -> None:
    async def wait(call: Call) -> Mapping[str, object]:
        return in_process(out_trade_no="T1")

    answer = await ask(signed(app_key), app, wait)
    assert answer.status == 202
    assert json.loads(answer.body)["code"] == "10003"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"authorization": ""}, 401, "missing-signature"),
        ({"authorization": "Bearer abc"}, 401, "invalid-signature"),
        ({"authorization": "ALIPAY-SHA256withRSA sign=x"}, 401, "invalid-signature"),
        ({"authorization": f"ALIPAY-SHA256withRSA {AUTH},sign=AAAA"}, 401, "invalid-signature"),
        ({"auth": "nonce=n,timestamp=1772323200000"}, 400, "missing-app-id"),
        ({"auth": "app_id=2021000000000001,timestamp=1772323200000"}, 400, "missing-nonce"),
        ({"auth": "app_id=2021000000000001,nonce=n"}, 400, "missing-timestamp"),
        ({"auth": AUTH.replace("17723", "yesterday")}, 400, "invalid-timestamp"),
        ({"auth": AUTH.replace("n-1", "n" * 200)}, 400, "invalid-parameter"),
        ({"auth": AUTH.replace("2021", "2022")}, 401, "invalid-app-id"),
        ({"auth": f"{AUTH},app_cert_sn=x"}, 400, "invalid-app-cert-sn"),
        ({"path": "/v3/alipay/trade/teleport"}, 404, "invalid-method"),
        ({"path": "/v3/../etc/passwd"}, 404, "invalid-method"),
        ({"body": "not JSON"}, 400, "invalid-parameter"),
        ({"body": "x" * (1 << 20 | 1)}, 400, "invalid-parameter"),
        ({"query": "a=%zz"}, 400, "invalid-parameter"),
        ({"alipay-encrypt-type": "AES"}, 400, "decryption-error-unknown"),
        ({"alipay-encrypt-type": "DES"}, 400, "invalid-encrypt"),
        ({"alipay-app-auth-token": "unsigned"}, 401, "invalid-signature"),
        ({"content-type": "multipart/form-data"}, 400, "invalid-parameter"),
    ],
)
async def test_what_is_wrong_has_a_status_and_a_code(
    app: AppCredentials,
    app_key: signing.rsa.RSAPrivateKey,
    changes: dict[str, str],
    status: int,
    code: str,
) -> None:
    answer = await ask(signed(app_key, **changes), app)
    error = json.loads(answer.body)
    assert (answer.status, error["code"]) == (status, code)
    assert error["message"]
    assert error["links"] == []


async def test_certificate_mode_checks_and_names_certificates(
    app: AppCredentials, app_key: signing.rsa.RSAPrivateKey
) -> None:
    certified = dataclasses.replace(app, certificates=SERIALS)
    auth = AUTH.replace(",nonce", f",app_cert_sn={SERIALS.app},nonce")
    headers = {"alipay-root-cert-sn": SERIALS.root}
    answer = await ask(signed(app_key, auth=auth, **headers), certified)
    assert answer.status == 200
    assert answer.headers["alipay-sn"] == SERIALS.platform
    assert (await ask(signed(app_key, auth=auth), certified)).status == 400


async def test_encrypted_content_is_answered_encrypted(
    app: AppCredentials, app_key: signing.rsa.RSAPrivateKey
) -> None:
    assert app.aes_key is not None
    body = signing.encrypt_aes(app.aes_key, '{"subject":"红茶"}'.encode())
    answer = await ask(signed(app_key, body=body, **{"alipay-encrypt-type": "AES"}), app)
    shown = json.loads(signing.decrypt_aes(app.aes_key, answer.body.decode()))
    assert shown["content"] == {"subject": "红茶"}
    assert answer.headers["content-type"].startswith("text/plain")


async def test_a_fault_of_ours_says_nothing_of_itself(
    app: AppCredentials, app_key: signing.rsa.RSAPrivateKey
) -> None:
    async def fail(call: Call) -> Mapping[str, object]:
        raise RuntimeError("secret detail")

    with capture_logs() as logs:
        answer = await ask(signed(app_key), app, fail)
    assert answer.status == 503
    assert json.loads(answer.body)["code"] == "unknow-error"
    assert b"secret" not in answer.body
    assert [log["event"] for log in logs] == ["gateway_method_failed"]


async def test_random_bytes_never_raise(
    app: AppCredentials, app_key: signing.rsa.RSAPrivateKey
) -> None:
    dice = random.Random(20260301)
    for _ in range(200):
        body = dice.randbytes(dice.randrange(40)).decode("latin-1")
        query = dice.randbytes(dice.randrange(10)).decode("latin-1").replace("\n", "")
        content_type = dice.choice(["application/json", "multipart/form-data; boundary=x", ""])
        request = signed(app_key, body=body, query=query, **{"content-type": content_type})
        answer = await ask(request, app)
        assert answer.status in {200, 400, 401}
        json.loads(answer.body)
