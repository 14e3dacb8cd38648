"""Business content: JSON from outside, read under limits and without a binary float."""

import re
from decimal import Decimal

import msgspec

from xinghan.gateway.errors import GatewayError, invalid, invalid_parameter
from xinghan.gateway.model import CONTENT_DEPTH_MAX, JsonObject
from xinghan.identity import AppCredentials
from xinghan.kit.signing import DecryptionError, decrypt_aes

_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
_NUMBER_CHARACTERS_MAX = 32
_NUMBER_EXPONENT_MAX = 32


def read_content(text: str) -> JsonObject:
    """Read a JSON object; numbers with a fraction become `Decimal`, whole ones `int`.

    Raises GatewayError for anything but an object, for nesting deeper than 32, for NaN,
    Infinity and numbers beyond any use, and for null characters and half surrogates in strings.
    """
    if not text.strip():
        return {}
    if _depth(text) > CONTENT_DEPTH_MAX:
        raise invalid_parameter(
            f"业务内容嵌套超过 {CONTENT_DEPTH_MAX} 层",
            f"the business content is nested deeper than {CONTENT_DEPTH_MAX}",
        )
    try:
        content = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise _not_json() from error
    if not isinstance(content, dict):
        raise _not_json()
    if "\\u0000" in text and _has_null(content):
        raise invalid_parameter(
            "业务内容含有空字符", "the business content contains a null character"
        )
    return content


def decrypt_content(app: AppCredentials, encrypt_type: str, ciphertext: str, charset: str) -> str:
    """Decrypt encrypted content with the app's AES key.

    Raises GatewayError for another algorithm, an app without a key, or a content that is not
    this key's.
    """
    if encrypt_type.upper() != "AES":
        raise invalid(
            "isv.invalid-encrypt",
            "不支持的 encrypt_type，可用 AES",
            "this encrypt_type is not supported; use AES",
        )
    if app.aes_key is None:
        raise invalid(
            "isv.decryption-error-not-valid-encrypt-key",
            "应用尚未设置 AES 密钥",
            "the app has no AES key yet",
        )
    try:
        return decrypt_aes(app.aes_key, ciphertext).decode(charset)
    except (DecryptionError, UnicodeDecodeError) as error:
        raise invalid(
            "isv.decryption-error-unknown",
            "内容无法用应用的 AES 密钥解密",
            "the content cannot be decrypted with the app's AES key",
        ) from error


def _number(literal: str) -> Decimal:
    try:
        number = Decimal(literal)
    except ArithmeticError as error:
        raise ValueError("a number is out of range") from error
    # A short literal can name a number that takes gigabytes to write out.
    if len(literal) > _NUMBER_CHARACTERS_MAX or abs(number.adjusted()) > _NUMBER_EXPONENT_MAX:
        raise ValueError("a number is out of range")
    return number


_DECODER = msgspec.json.Decoder(float_hook=_number)


def _depth(text: str) -> int:
    if text.count("{") + text.count("[") <= CONTENT_DEPTH_MAX:
        return 0
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _has_null(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_null(name) or _has_null(inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(_has_null(inner) for inner in value)
    return False


def _not_json() -> GatewayError:
    return invalid_parameter("业务内容不是 JSON 对象", "the business content is not a JSON object")
