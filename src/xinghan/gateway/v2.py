"""The v2 door, `gateway.do`: parameters in, one signed node out.

The steps are separate and pure: `forms.read_parameters`, `check_common`, `verify_signature`,
`open_content`. `admit` runs them in the order in which the real gateway refuses; `respond` is
the whole door around a function that runs the methods.
"""

from collections.abc import Container, Iterator, Mapping
from datetime import datetime

from xinghan.gateway import envelope
from xinghan.gateway.calls import (
    check_certificates,
    check_sign_type,
    find_known_app,
    invalid_sign_type,
    invalid_signature,
    parse_sign_type,
    run_call,
)
from xinghan.gateway.content import decrypt_content, read_content
from xinghan.gateway.errors import GatewayError, invalid, invalid_parameter, missing
from xinghan.gateway.forms import Parameters, read_parameters
from xinghan.gateway.model import (
    ERROR_NODE,
    Call,
    FindApp,
    HttpAnswer,
    HttpRequest,
    JsonObject,
    MethodHandler,
    Refusal,
    Reply,
)
from xinghan.identity import AppCredentials
from xinghan.kit.signing import SignType, verify

_REQUIRED = (
    ("isv.missing-method", "method"),
    ("isv.missing-signature", "sign"),
    ("isv.missing-signature-type", "sign_type"),
    ("isv.missing-app-id", "app_id"),
    ("isv.missing-timestamp", "timestamp"),
    ("isv.missing-version", "version"),
)
_VERSION = "1.0"
_WHITESPACE = b" \t\n\r\f\v"


async def respond(
    request: HttpRequest, methods: Container[str], find_app: FindApp, run: MethodHandler
) -> HttpAnswer:
    """Answer one request: admit it, run its method, sign what the method says. Never raises."""
    try:
        call, reply = await admit(request, methods, find_app)
    except Refusal as refusal:
        return await envelope.answer(envelope.refused(refusal.error), refusal.reply, refusal.app)
    node: Mapping[str, object]
    try:
        node = await run_call(call, run)
    except GatewayError as error:
        node = envelope.refused(error)
    return await envelope.answer(node, reply, call.app)


async def admit(
    request: HttpRequest, methods: Container[str], find_app: FindApp
) -> tuple[Call, Reply]:
    """Find out who calls which method with what, and how the answer has to look.

    Raises Refusal, and nothing else for anything that a caller may send.
    """
    reply, app = Reply(), None
    try:
        parameters = read_parameters(request)
        reply = reply_for(parameters, methods)
        check_common(parameters, methods)
        app = await find_known_app(parameters.text["app_id"], find_app)
        verify_signature(parameters, app)
        content = open_content(parameters, app)
    except GatewayError as error:
        # What could not be decrypted is answered in the clear, or its author could not read why.
        clear = Reply(reply.node_name, reply.charset, reply.sign_type)
        raise Refusal(error, clear, app) from error
    text = parameters.text
    return Call(text["method"], app, content, text, parameters.files), reply


def reply_for(parameters: Parameters, methods: Container[str]) -> Reply:
    """Say how to answer, as far as the parameters are usable.

    A known method is answered under its own name even when it was never reached: the SDKs look
    there first, and verify the signature only there.
    """
    text = parameters.text
    method = text.get("method", "")
    return Reply(
        node_name_for(method) if method in methods else ERROR_NODE,
        parameters.charset,
        parse_sign_type(text.get("sign_type", "")) or SignType.RSA2,
        encrypted=bool(text.get("encrypt_type")),
    )


def node_name_for(method: str) -> str:
    """Give the name of a method's node, such as `alipay_trade_pay_response`."""
    return f"{method.replace('.', '_')}_response"


def check_common(parameters: Parameters, methods: Container[str]) -> None:
    """Check the common parameters, without any key.

    Raises GatewayError with the first thing that is wrong, in the real gateway's order: what is
    missing, then what is invalid.
    """
    text = parameters.text
    for sub_code, name in _REQUIRED:
        if not text.get(name):
            raise missing(sub_code, name)
    if text["method"] not in methods:
        raise invalid("isv.invalid-method", "不存在的方法名", "there is no such method")
    if parse_sign_type(text["sign_type"]) is None:
        raise invalid_sign_type()
    if not _is_timestamp(text["timestamp"]):
        raise invalid(
            "isv.invalid-timestamp",
            "timestamp 的格式应为 yyyy-MM-dd HH:mm:ss",
            "the timestamp has to look like yyyy-MM-dd HH:mm:ss",
        )
    if text["version"] != _VERSION:
        raise invalid_parameter("version 应为 1.0", "the version has to be 1.0")
    if (text.get("format") or "JSON").upper() != "JSON":
        raise invalid("isv.invalid-format", "format 只能是 JSON", "the format has to be JSON")


def verify_signature(parameters: Parameters, app: AppCredentials) -> None:
    """Check the certificates named and the signature.

    Raises GatewayError; when the signature does not hold, its `sub_msg` carries the text that
    the gateway verified, so that a developer can compare it with the one that was signed.
    """
    text = parameters.text
    sign_type = check_sign_type(app, text["sign_type"])
    check_certificates(app, text.get("app_cert_sn"), text.get("alipay_root_cert_sn"))
    for message in _signed_texts(parameters.raw):
        for key in app.public_keys:
            if verify(key, message, text["sign"], sign_type):
                return
    raise invalid_signature(string_to_sign(parameters.raw).decode(parameters.charset))


def open_content(parameters: Parameters, app: AppCredentials) -> JsonObject:
    """Decrypt and read `biz_content`; empty when there is none. Raises GatewayError."""
    content = parameters.text.get("biz_content", "")
    encrypt_type = parameters.text.get("encrypt_type", "")
    if content and encrypt_type:
        content = decrypt_content(app, encrypt_type, content, parameters.charset)
    return read_content(content)


def string_to_sign(raw: Mapping[str, bytes], *, with_empty: bool = False) -> bytes:
    """Give the text that a request signs: all but `sign`, by name, without empty values."""
    return b"&".join(
        b"%b=%b" % (name.encode("ascii"), raw[name])
        for name in sorted(raw)
        if name != "sign" and (with_empty or raw[name].strip(_WHITESPACE))
    )


def _signed_texts(raw: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yield what the SDKs may have signed: most drop empty values, one keeps them."""
    usual = string_to_sign(raw)
    yield usual
    complete = string_to_sign(raw, with_empty=True)
    if complete != usual:
        yield complete


def _is_timestamp(text: str) -> bool:
    # Programs run on clocks of every time zone, so an hour that is far from ours is no error.
    try:
        return datetime.fromisoformat(text).isoformat(sep=" ", timespec="seconds") == text
    except ValueError:
        return False
