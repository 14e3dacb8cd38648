"""Notifications: what is signed, how it is encoded, what accepts it."""

from urllib.parse import parse_qsl

import pytest

from xinghan.gateway.notification import build_notification, is_acknowledged, string_to_sign
from xinghan.kit import signing
from xinghan.kit.signing import SignType

KEY = signing.generate_private_key()
PARAMETERS = {"trade_status": "TRADE_SUCCESS", "subject": "红茶 & 1+1=2", "body": "", "app_id": "1"}


@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
@pytest.mark.parametrize("sign_type", list(SignType))
async def test_a_form_is_signed_without_its_signature_fields(
    charset: str, sign_type: SignType
) -> None:
    form = await build_notification(PARAMETERS, KEY, sign_type=sign_type, charset=charset)
    sent = dict(parse_qsl(form.body.decode("ascii"), encoding=charset, keep_blank_values=True))
    assert form.content_type == f"application/x-www-form-urlencoded;charset={charset}"
    assert sent.keys() == {"trade_status", "subject", "app_id", "charset", "sign_type", "sign"}
    text = f"app_id=1&charset={charset}&subject=红茶 & 1+1=2&trade_status=TRADE_SUCCESS"
    assert string_to_sign(sent) == text
    assert signing.verify(KEY.public_key(), text.encode(charset), sent["sign"], sign_type)


async def test_what_the_charset_lacks_is_replaced_before_signing() -> None:
    form = await build_notification({"subject": "茶 😀"}, KEY, charset="gbk")
    sent = dict(parse_qsl(form.body.decode("ascii"), encoding="gbk"))
    assert sent["subject"] == "茶 ?"
    message = string_to_sign(sent).encode("gbk")
    assert signing.verify(KEY.public_key(), message, sent["sign"], SignType.RSA2)


@pytest.mark.parametrize(
    ("status", "body", "accepted"),
    [
        (200, b"success", True),
        (200, b"success\n", True),
        (200, b"SUCCESS", False),
        (200, b"", False),
        (200, b"<html>success</html>", False),
        (500, b"success", False),
        (302, b"success", False),
    ],
)
def test_only_success_is_an_acknowledgement(status: int, body: bytes, *, accepted: bool) -> None:
    assert is_acknowledged(status, body) is accepted
