"""From the bytes of a query and a form body to parameters, under limits.

Values stay bytes until the charset is known: it is itself a parameter, and a signature covers
the bytes that the caller's program had before percent-encoding, not our reading of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from xinghan.gateway.errors import invalid, invalid_parameter
from xinghan.gateway.model import (
    PARAMETER_BYTES_MAX,
    PARAMETERS_MAX,
    REQUEST_BYTES_MAX,
    HttpRequest,
    UploadedFile,
)
from xinghan.gateway.multipart import content_type_option, is_multipart, read_multipart

_CODECS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "gbk": "gbk",
    "gb2312": "gbk",
    "gb18030": "gb18030",
}
_USUAL_NAMES = frozenset(
    {
        "alipay_root_cert_sn",
        "app_auth_token",
        "app_cert_sn",
        "app_id",
        "auth_token",
        "biz_content",
        "charset",
        "encrypt_type",
        "format",
        "method",
        "notify_url",
        "return_url",
        "sign",
        "sign_type",
        "timestamp",
        "version",
    }
)
_json_string = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class Parameters:
    """A request's parameters: the bytes that were signed, and the same as text.

    `charset` is the Python codec that the request declared, UTF-8 when it declared none.
    """

    raw: dict[str, bytes]
    text: dict[str, str]
    charset: str
    files: tuple[UploadedFile, ...]


def read_parameters(request: HttpRequest) -> Parameters:
    """Merge query and body into parameters.

    Raises GatewayError for what is too big, repeated with different values, not percent-encoded,
    not in the declared charset, or contains a null character.
    """
    check_size(request)
    raw: dict[str, bytes] = {}
    _add_all(raw, read_urlencoded(request.query))
    files: tuple[UploadedFile, ...] = ()
    if is_multipart(request.content_type):
        fields, files = read_multipart(request.body, request.content_type)
        _add_all(raw, iter(fields))
    elif request.body:
        _add_all(raw, read_urlencoded(request.body))
    charset = _charset(raw, request.content_type)
    return Parameters(raw, _decode_all(raw, charset), charset, files)


def check_size(request: HttpRequest) -> None:
    """Raise GatewayError when query and body together are larger than the gateway takes."""
    if len(request.query) + len(request.body) > REQUEST_BYTES_MAX:
        raise invalid_parameter(
            f"请求超过 {REQUEST_BYTES_MAX} 字节",
            f"the request is larger than {REQUEST_BYTES_MAX} bytes",
        )


def read_urlencoded(encoded: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the pairs of an application/x-www-form-urlencoded text, values as bytes.

    Raises GatewayError for a percent sign without two hexadecimal digits, and for control
    characters that are not percent-encoded.
    """
    if encoded.count(b"&") >= 2 * PARAMETERS_MAX:
        raise _too_many()
    for pair in encoded.decode("latin-1").split("&"):
        if pair:
            name, _, value = pair.partition("=")
            yield name if name in _USUAL_NAMES else _name(name), _percent_decode(value)


def _percent_decode(text: str) -> bytes:
    if "%" not in text and "+" not in text:
        return text.encode("latin-1")
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    # Percent escapes become JSON escapes, so that one call in C decodes them all and refuses
    # malformed ones; a form body has hundreds, and urllib's loop is five times as slow.
    escaped = text.replace("+", " ").replace("%", "\\u00")
    try:
        return _json_string(f'"{escaped}"').encode("latin-1")
    except msgspec.DecodeError as error:
        raise invalid_parameter(
            "参数的百分号编码有误", "a parameter is not correctly percent-encoded"
        ) from error


def _name(encoded: str) -> str:
    name = _percent_decode(encoded).decode("latin-1")
    if not name.isascii() or not name.isprintable() or not name:
        raise invalid_parameter("参数名有误", "a parameter's name is empty or not ASCII text")
    return name


def _add_all(raw: dict[str, bytes], pairs: Iterator[tuple[str, bytes]]) -> None:
    for name, value in pairs:
        # Some SDKs send the charset in the query and once more in the body: the same value
        # twice is harmless, while two values would let the signature cover the wrong one.
        if raw.setdefault(name, value) != value:
            raise invalid_parameter(
                f"参数 {name} 重复且取值不同", f"the parameter {name} is given twice and differs"
            )
        if len(value) > PARAMETER_BYTES_MAX:
            raise invalid_parameter(
                f"参数 {name} 超过 {PARAMETER_BYTES_MAX} 字节",
                f"the parameter {name} is larger than {PARAMETER_BYTES_MAX} bytes",
            )
        if b"\0" in value:
            raise invalid_parameter(
                f"参数 {name} 含有空字符", f"the parameter {name} contains a null character"
            )
    if len(raw) > PARAMETERS_MAX:
        raise _too_many()


def _charset(raw: dict[str, bytes], content_type: str) -> str:
    declared = raw.get("charset", b"").decode("latin-1") or content_type_option(
        content_type, "charset"
    )
    codec = _CODECS.get((declared or "utf-8").strip().lower())
    if codec is None:
        raise invalid(
            "isv.invalid-charset",
            "不支持的 charset，可用 utf-8 或 gbk",
            "this charset is not supported; use utf-8 or gbk",
        )
    return codec


def _decode_all(raw: dict[str, bytes], charset: str) -> dict[str, str]:
    try:
        return {name: value.decode(charset) for name, value in raw.items()}
    except UnicodeDecodeError as error:
        raise invalid(
            "isv.invalid-charset",
            f"参数不是有效的 {charset} 编码",
            f"a parameter is not valid {charset}",
        ) from error


def _too_many() -> Exception:
    return invalid_parameter(
        f"参数超过 {PARAMETERS_MAX} 个", f"there are more than {PARAMETERS_MAX} parameters"
    )
