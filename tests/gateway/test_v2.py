"""The v2 door: what it believes, what it refuses with which code, and how it answers."""

import base64
import dataclasses
import json
import random
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from gateway.conftest import FORM, Signed
from xinghan.gateway import v2
from xinghan.gateway.envelope import in_process, success
from xinghan.gateway.errors import business_failed
from xinghan.gateway.model import Call, FindApp, HttpAnswer, HttpRequest
from xinghan.identity import AppCredentials
from xinghan.kit import signing
from xinghan.kit.certificates import CertificateSerials
from xinghan.kit.signing import SignType

METHODS = frozenset({"alipay.trade.precreate", "alipay.trade.pay"})
NODE = "alipay_trade_precreate_response"
SERIALS = CertificateSerials("a" * 32, "b" * 32, "c" * 32)


def finder(*apps: AppCredentials) -> FindApp:
    known = {app.app_id: app for app in apps}

    async def find(app_id: str) -> AppCredentials | None:
        return known.get(app_id)

    return find


async def echo(call: Call) -> Mapping[str, object]:
    return success(content=call.content, notify_url=call.notify_url)


async def ask(request: HttpRequest, app: AppCredentials, run=echo) -> HttpAnswer:  # noqa: ANN001
    return await v2.respond(request, METHODS, finder(app), run)


def opened(answer: HttpAnswer, charset: str = "utf-8") -> tuple[str, dict]:
    assert answer.status == 200
    name, node = next(iter(json.loads(answer.body.decode(charset)).items()))
    return name, node


async def test_the_answer_is_the_method_s_node_with_a_signature(
    signed: Signed, app: AppCredentials
) -> None:
    answer = await ask(signed(notify_url="https://shop.example/?a=1&b=茶"), app)
    text = answer.body.decode()
    assert text.startswith(f'{{"{NODE}":{{"code":"10000","msg":"Success",')
    node, signature = text[len(NODE) + 4 : -2].split(',"sign":"')
    public = app.platform_private_key.public_key()
    assert signing.verify(public, node.encode(), signature, SignType.RSA2)
    assert json.loads(node)["content"] == {"out_trade_no": "T1", "subject": "红茶"}
    assert json.loads(node)["notify_url"] == "https://shop.example/?a=1&b=茶"


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "gbk", "GBK", "gb2312", "gb18030"])
@pytest.mark.parametrize("place", ["query", "body", "split"])
async def test_parameters_may_sit_anywhere_in_either_charset(
    signed: Signed, app: AppCredentials, charset: str, place: str
) -> None:
    request = signed(charset=charset)
    joined = request.query + b"&" + request.body
    if place == "query":
        request = HttpRequest("GET", "/gateway.do", joined, b"", {})
    elif place == "body":
        request = dataclasses.replace(request, query=b"charset=" + charset.encode(), body=joined)
    answer = await ask(request, app)
    _, node = opened(answer, charset)
    assert node["content"]["subject"] == "红茶"


async def test_what_the_charset_lacks_is_escaped(signed: Signed, app: AppCredentials) -> None:
    request = signed(charset="gbk", biz_content='{"subject":"\\ud83d\\ude00 茶"}')
    answer = await ask(request, app)
    assert b"\\ud83d\\ude00" in answer.body
    assert opened(answer, "gbk")[1]["content"] == {"subject": "😀 茶"}


@pytest.mark.parametrize("sign_type", list(SignType))
async def test_the_answer_is_signed_with_the_request_s_type(
    signed: Signed, app: AppCredentials, sign_type: SignType
) -> None:
    answer = await ask(signed(sign_type=sign_type.value), app)
    node, signature = answer.body.decode()[len(NODE) + 4 : -2].split(',"sign":"')
    public = app.platform_private_key.public_key()
    assert signing.verify(public, node.encode(), signature, sign_type)


@pytest.mark.parametrize("keep_empty", [False, True])
@pytest.mark.parametrize("blank", ["", " "])
async def test_empty_values_are_signed_or_not(
    signed: Signed, app: AppCredentials, *, keep_empty: bool, blank: str
) -> None:
    answer = await ask(signed(app_auth_token=blank, keep_empty=keep_empty), app)
    assert opened(answer)[1]["code"] == "10000"


async def test_an_app_that_changes_its_key_may_use_both(
    signed: Signed, app: AppCredentials
) -> None:
    newer = signing.generate_private_key().public_key()
    both = dataclasses.replace(app, public_keys=(newer, *app.public_keys))
    only_newer = dataclasses.replace(app, public_keys=(newer,))
    assert opened(await ask(signed(), both))[1]["code"] == "10000"
    assert opened(await ask(signed(), only_newer))[1]["sub_code"] == "isv.invalid-signature"


@pytest.mark.parametrize(
    ("changes", "code", "sub_code"),
    [
        ({"method": None}, "40001", "isv.missing-method"),
        ({"method": None, "sign": None, "app_id": None}, "40001", "isv.missing-method"),
        ({"sign": None, "app_id": None}, "40001", "isv.missing-signature"),
        ({"sign_type": None, "app_id": None}, "40001", "isv.missing-signature-type"),
        ({"app_id": None, "timestamp": None}, "40001", "isv.missing-app-id"),
        ({"timestamp": None, "version": ""}, "40001", "isv.missing-timestamp"),
        ({"version": None}, "40001", "isv.missing-version"),
        ({"method": "alipay.trade.teleport"}, "40002", "isv.invalid-method"),
        ({"sign_type": "RSA3"}, "40002", "isv.invalid-signature-type"),
        ({"app_id": "2021999999999999"}, "40002", "isv.invalid-app-id"),
        ({"app_id": "2021' OR 1=1"}, "40002", "isv.invalid-app-id"),
        ({"timestamp": "yesterday"}, "40002", "isv.invalid-timestamp"),
        ({"timestamp": "2026-02-30 08:00:00"}, "40002", "isv.invalid-timestamp"),
        ({"timestamp": "2026-W09-7 08:00:00"}, "40002", "isv.invalid-timestamp"),
        ({"version": "3.0"}, "40002", "isv.invalid-parameter"),
        ({"format": "XML"}, "40002", "isv.invalid-format"),
        ({"sign": "AAAA"}, "40002", "isv.invalid-signature"),
        ({"sign": "签名 %"}, "40002", "isv.invalid-signature"),
        ({"app_cert_sn": "a" * 32}, "40002", "isv.invalid-app-cert-sn"),
        ({"encrypt_type": "DES"}, "40002", "isv.invalid-encrypt"),
        ({"encrypt_type": "AES"}, "40002", "isv.decryption-error-unknown"),
        ({"biz_content": "not JSON"}, "40002", "isv.invalid-parameter"),
        ({"biz_content": "[]"}, "40002", "isv.invalid-parameter"),
        ({"biz_content": '{"a":NaN}'}, "40002", "isv.invalid-parameter"),
    ],
)
async def test_what_is_wrong_has_the_gateway_s_own_code(
    signed: Signed, app: AppCredentials, changes: dict, code: str, sub_code: str
) -> None:
    answer = await ask(signed(**changes), app)
    name, node = opened(answer)
    assert (node["code"], node["sub_code"]) == (code, sub_code)
    assert node["msg"]
    assert node["sub_msg"]
    reached = changes.get("method", "known") == "known"
    assert name == (NODE if reached else "error_response")


async def test_a_wrong_signature_is_told_what_was_verified(
    signed: Signed, app: AppCredentials
) -> None:
    request = signed(charset="gbk", notify_url="")
    tampered = dataclasses.replace(request, body=request.body.replace(b"T1", b"T2"))
    _, node = opened(await ask(tampered, app), "gbk")
    assert node["sub_code"] == "isv.invalid-signature"
    assert node["sub_msg"].endswith(
        'app_id=2021000000000001&biz_content={"out_trade_no":"T2","subject":"红茶"}&charset=gbk'
        "&format=JSON&method=alipay.trade.precreate&sign_type=RSA2"
        "&timestamp=2026-03-01 08:00:00&version=1.0"
    )


async def test_an_app_may_be_held_to_one_sign_type(signed: Signed, app: AppCredentials) -> None:
    strict = dataclasses.replace(app, sign_types=frozenset({SignType.RSA2}))
    answer = await ask(signed(sign_type="RSA"), strict)
    assert opened(answer)[1]["sub_code"] == "isv.invalid-signature-type"


async def test_an_app_without_a_key_is_told_so(signed: Signed, app: AppCredentials) -> None:
    answer = await ask(signed(), dataclasses.replace(app, public_keys=()))
    assert opened(answer)[1]["sub_code"] == "isv.missing-signature-key"


@pytest.mark.parametrize(
    ("sent", "sub_code"),
    [
        ({}, "isv.missing-app-cert-sn"),
        ({"app_cert_sn": "x"}, "isv.invalid-app-cert-sn"),
        ({"app_cert_sn": SERIALS.app}, "isv.missing-alipay-root-cert-sn"),
        (
            {"app_cert_sn": SERIALS.app, "alipay_root_cert_sn": "x"},
            "isv.invalid-alipay-root-cert-sn",
        ),
    ],
)
async def test_certificate_mode_wants_both_serials(
    signed: Signed, app: AppCredentials, sent: dict, sub_code: str
) -> None:
    certified = dataclasses.replace(app, certificates=SERIALS)
    assert opened(await ask(signed(**sent), certified))[1]["sub_code"] == sub_code


async def test_certificate_mode_names_the_platform_s_certificate_before_the_signature(
    signed: Signed, app: AppCredentials
) -> None:
    certified = dataclasses.replace(app, certificates=SERIALS)
    request = signed(app_cert_sn=SERIALS.app, alipay_root_cert_sn=SERIALS.root)
    answer = await ask(request, certified)
    members = list(json.loads(answer.body))
    assert members == [NODE, "alipay_cert_sn", "sign"]
    assert json.loads(answer.body)["alipay_cert_sn"] == SERIALS.platform


async def test_encrypted_content_is_answered_encrypted_and_signed_with_its_quotes(
    signed: Signed, app: AppCredentials
) -> None:
    assert app.aes_key is not None
    content = signing.encrypt_aes(app.aes_key, '{"subject":"红茶"}'.encode())
    answer = await ask(signed(encrypt_type="AES", biz_content=content), app)
    body = json.loads(answer.body)
    shown = json.loads(signing.decrypt_aes(app.aes_key, body[NODE]))
    assert shown["content"] == {"subject": "红茶"}
    public = app.platform_private_key.public_key()
    assert signing.verify(public, f'"{body[NODE]}"'.encode(), body["sign"], SignType.RSA2)


async def test_content_for_an_app_without_an_aes_key_is_refused_in_the_clear(
    signed: Signed, app: AppCredentials
) -> None:
    answer = await ask(signed(encrypt_type="AES"), dataclasses.replace(app, aes_key=None))
    assert opened(answer)[1]["sub_code"] == "isv.decryption-error-not-valid-encrypt-key"


async def test_braces_inside_strings_are_escaped_and_others_are_not(
    signed: Signed, app: AppCredentials
) -> None:
    content = {"subject": '}{ \\" {"', "goods_detail": [{"goods_name": "{}"}, {}]}
    answer = await ask(signed(biz_content=json.dumps(content)), app)
    _, node = opened(answer)
    assert node["content"] == content
    structural = answer.body.count(b"{")
    assert structural == answer.body.count(b"}") == 5


async def test_a_method_may_refuse_or_be_in_process(signed: Signed, app: AppCredentials) -> None:
    async def refuse(call: Call) -> Mapping[str, object]:
        raise business_failed("ACQ.TRADE_NOT_EXIST", "交易不存在", out_trade_no="T1")

    async def wait(call: Call) -> Mapping[str, object]:
        return in_process(out_trade_no="T1", trade_no=None)

    assert opened(await ask(signed(), app, refuse)) == (
        NODE,
        {
            "code": "40004",
            "msg": "Business Failed",
            "sub_code": "ACQ.TRADE_NOT_EXIST",
            "sub_msg": "交易不存在",
            "out_trade_no": "T1",
        },
    )
    waiting = {"code": "10003", "msg": "order success pay inprocess", "out_trade_no": "T1"}
    assert opened(await ask(signed(), app, wait)) == (NODE, waiting)


async def test_a_fault_of_ours_is_20000_without_a_word_of_it(
    signed: Signed, app: AppCredentials
) -> None:
    async def fail(call: Call) -> Mapping[str, object]:
        raise RuntimeError("secret detail")

    async def lost(app_id: str) -> AppCredentials | None:
        raise RuntimeError("secret detail")

    with capture_logs() as logs:
        failed = await ask(signed(), app, fail)
        unfound = await v2.respond(signed(), METHODS, lost, echo)
    for answer in (failed, unfound):
        node = opened(answer)[1]
        assert (node["code"], node["sub_code"]) == ("20000", "isp.unknow-error")
        assert b"secret" not in answer.body
    assert [log["event"] for log in logs] == ["gateway_method_failed", "gateway_app_lookup_failed"]


async def test_multipart_fields_are_signed_and_files_are_not(
    signed: Signed, app: AppCredentials
) -> None:
    request = signed(biz_content=None, image_name="茶.png")
    query = request.query.decode().replace("&image_name=%E8%8C%B6.png", "")
    body = (
        '--edge\r\nContent-Disposition: form-data; name="image_name"\r\n\r\n茶.png\r\n'
        '--edge\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
        "Content-Type: image/png\r\n\r\n\0\x89 bytes\r\n--edge--\r\n"
    ).encode()
    seen: list[Call] = []

    async def keep(call: Call) -> Mapping[str, object]:
        seen.append(call)
        return success()

    headers = {"content-type": "multipart/form-data; boundary=edge"}
    request = HttpRequest("POST", "/gateway.do", query.encode(), body, headers)
    assert opened(await ask(request, app, keep))[1]["code"] == "10000"
    [call] = seen
    assert call.parameters["image_name"] == "茶.png"
    [file] = call.files
    assert (file.name, file.file_name, file.content_type) == ("image", "a.png", "image/png")
    assert file.content == "\0\x89 bytes".encode()


async def test_random_bytes_never_raise(signed: Signed, app: AppCredentials) -> None:
    dice = random.Random(20260301)
    request = signed()
    content_types = [FORM, f"{FORM};charset=gbk", "multipart/form-data; boundary=x", "", "\xff;;="]
    for _ in range(400):
        query, body = (spoiled(part, dice) for part in (request.query, request.body))
        headers = {"content-type": dice.choice(content_types)}
        answer = await ask(HttpRequest("POST", "/gateway.do", query, body, headers), app)
        charset = answer.headers["content-type"].rpartition("=")[2]
        assert {"code", "msg"} <= opened(answer, charset)[1].keys()


def spoiled(part: bytes, dice: random.Random) -> bytes:
    changed = bytearray(part)
    for _ in range(dice.randrange(6)):
        at = dice.randrange(len(changed) + 1)
        junk = dice.choice(
            [b"%", b"%00", b"%zz", b"&", b"=", b"\0", b"\xff", b"{[" * 50, b"+", b"\\"]
        )
        changed[at : at + dice.randrange(3)] = junk
    return bytes(changed) if dice.random() < 0.9 else base64.b64encode(changed)
