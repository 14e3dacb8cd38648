"""The v3 door, `/v3/alipay/…`: the same methods as REST, signed in headers."""

import re
import secrets
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from xinghan.gateway.calls import (
    check_certificates,
    check_sign_type,
    find_known_app,
    invalid_signature,
    run_call,
)
from xinghan.gateway.content import decrypt_content, read_content
from xinghan.gateway.envelope import encode_node
from xinghan.gateway.errors import (
    CODE_SUCCESS,
    GatewayError,
    invalid,
    invalid_parameter,
    missing,
)
from xinghan.gateway.forms import check_size, read_parameters
from xinghan.gateway.model import (
    Call,
    FindApp,
    HttpAnswer,
    HttpRequest,
    JsonObject,
    MethodHandler,
    UploadedFile,
)
from xinghan.gateway.multipart import is_multipart, read_multipart
from xinghan.identity import AppCredentials
from xinghan.kit.signing import SignType, encrypt_aes, sign_async, verify

_SCHEME = "ALIPAY-SHA256withRSA"
_AUTHORIZATION = re.compile(rf"{_SCHEME}\s+(?P<signed>.+?),sign=(?P<sign>[^,\s]+)\s*")
_METHOD_PATH = re.compile(r"/v3/([a-z0-9_]+(?:/[a-z0-9_]+)+)")
_TIMESTAMP = re.compile(r"[0-9]{13}")
_NONCE_CHARACTERS_MAX = 128
_PROTOCOL_FIELDS = ("notify_url", "return_url")
_OK, _ACCEPTED = 200, 202


@dataclass(frozen=True, slots=True)
class Authorization:
    """What the Authorization header says; `signed` is its part of the signed text, verbatim."""

    signed: str
    fields: dict[str, str]
    sign: str


async def respond(
    request: HttpRequest,
    methods: Container[str],
    find_app: FindApp,
    run: MethodHandler,
    clock: Callable[[], datetime],
) -> HttpAnswer:
    """Answer one request: admit it, run its method, sign what the method says. Never raises.

    A method that has not finished (10003) answers with HTTP 202 and keeps its code.
    """
    app = None
    try:
        call = await admit(request, methods, find_app)
        app = call.app
        node = await run_call(call, run)
    except GatewayError as error:
        return await _refuse(error, app, clock)
    if node.get("code") != CODE_SUCCESS:
        return await _accept(_ACCEPTED, node, request, app, clock)
    shown = {name: value for name, value in node.items() if name not in {"code", "msg"}}
    return await _accept(_OK, shown, request, app, clock)


async def admit(request: HttpRequest, methods: Container[str], find_app: FindApp) -> Call:
    """Find out who calls which method with what. Raises GatewayError."""
    check_size(request)
    authorization = parse_authorization(request.headers.get("authorization", ""))
    method = method_for(request.path)
    if method not in methods:
        raise invalid("isv.invalid-method", "不存在的接口", "there is no such resource")
    app = await find_known_app(authorization.fields.get("app_id", ""), find_app)
    body, files = _signed_body(request)
    verify_signature(request, authorization, body, app)
    content = _read_body(request, body, app)
    return _call(request, method, app, content, files)


def parse_authorization(header: str) -> Authorization:
    """Read the Authorization header; raises GatewayError for what it lacks or gets wrong."""
    if not header:
        raise missing("isv.missing-signature", "Authorization")
    match = _AUTHORIZATION.fullmatch(header)
    if match is None:
        raise invalid(
            "isv.invalid-signature",
            f"Authorization 的格式应为 {_SCHEME} app_id=…,nonce=…,timestamp=…,sign=…",
            f"Authorization has to look like {_SCHEME} app_id=…,nonce=…,timestamp=…,sign=…",
        )
    pairs = (pair.partition("=") for pair in match["signed"].split(","))
    fields = {name.strip(): value for name, _, value in pairs}
    for sub_code, name in (
        ("isv.missing-app-id", "app_id"),
        ("isv.missing-nonce", "nonce"),
        ("isv.missing-timestamp", "timestamp"),
    ):
        if not fields.get(name):
            raise missing(sub_code, name)
    if not _TIMESTAMP.fullmatch(fields["timestamp"]):
        raise invalid(
            "isv.invalid-timestamp",
            "timestamp 应为毫秒数",
            "the timestamp has to be in milliseconds since 1970",
        )
    if len(fields["nonce"]) > _NONCE_CHARACTERS_MAX:
        raise invalid_parameter("nonce 过长", "the nonce is too long")
    return Authorization(match["signed"], fields, match["sign"])


def method_for(path: str) -> str:
    """Give the method that a path stands for, such as `alipay.trade.pay`; empty for none."""
    match = _METHOD_PATH.fullmatch(path)
    return match[1].replace("/", ".") if match else ""


def string_to_sign(request: HttpRequest, authorization: Authorization, body: bytes) -> bytes:
    """Give the text that a request signs; `body` is the `data` part of a multipart body."""
    target = request.path.encode("latin-1")
    if request.query:
        target += b"?" + request.query
    lines = [authorization.signed.encode("latin-1"), request.http_method.encode("ascii")]
    lines += [target, body]
    token = request.headers.get("alipay-app-auth-token")
    if token:
        lines.append(token.encode("latin-1"))
    return b"".join(b"%b\n" % line for line in lines)


def verify_signature(
    request: HttpRequest, authorization: Authorization, body: bytes, app: AppCredentials
) -> None:
    """Check the certificates named and the signature. Raises GatewayError."""
    sign_type = check_sign_type(app, SignType.RSA2)
    root_cert_sn = request.headers.get("alipay-root-cert-sn")
    check_certificates(app, authorization.fields.get("app_cert_sn"), root_cert_sn)
    message = string_to_sign(request, authorization, body)
    if not any(verify(key, message, authorization.sign, sign_type) for key in app.public_keys):
        raise invalid_signature(message.decode("utf-8", errors="replace"))


def _signed_body(request: HttpRequest) -> tuple[bytes, tuple[UploadedFile, ...]]:
    if not is_multipart(request.content_type):
        return request.body, ()
    fields, files = read_multipart(request.body, request.content_type)
    return dict(fields).get("data", b""), files


def _read_body(request: HttpRequest, body: bytes, app: AppCredentials) -> JsonObject:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(
            "isv.invalid-charset", "请求体不是 UTF-8 编码", "the body is not in UTF-8"
        ) from error
    if text and _is_encrypted(request):
        encrypt_type = request.headers["alipay-encrypt-type"]
        text = decrypt_content(app, encrypt_type, text, "utf-8")
    return read_content(text)


def _call(
    request: HttpRequest,
    method: str,
    app: AppCredentials,
    content: JsonObject,
    files: tuple[UploadedFile, ...],
) -> Call:
    """Give the same call that v2 gives: there, these fields are parameters beside the content."""
    query = read_parameters(replace(request, body=b"", headers={})).text
    merged: JsonObject = {**query, **content}
    parameters = {"method": method, "app_id": app.app_id, **query}
    for name in _PROTOCOL_FIELDS:
        value = merged.pop(name, None)
        if isinstance(value, str):
            parameters[name] = value
    token = request.headers.get("alipay-app-auth-token")
    if token:
        parameters["app_auth_token"] = token
    return Call(method, app, merged, parameters, files)


def _is_encrypted(request: HttpRequest) -> bool:
    return bool(request.headers.get("alipay-encrypt-type"))


async def _accept(
    status: int,
    node: Mapping[str, object],
    request: HttpRequest,
    app: AppCredentials,
    clock: Callable[[], datetime],
) -> HttpAnswer:
    body = encode_node(node)
    if _is_encrypted(request) and app.aes_key is not None:
        ciphertext = encrypt_aes(app.aes_key, body).encode("ascii")
        return await _signed(status, "text/plain;charset=utf-8", ciphertext, app, clock)
    return await _signed(status, "application/json;charset=utf-8", body, app, clock)


async def _refuse(
    error: GatewayError, app: AppCredentials | None, clock: Callable[[], datetime]
) -> HttpAnswer:
    body = encode_node(
        {
            "code": error.sub_code.removeprefix("isv.").removeprefix("isp."),
            "message": error.sub_msg,
            "links": [],
            **error.fields,
        }
    )
    return await _signed(error.v3_status, "application/json;charset=utf-8", body, app, clock)


async def _signed(
    status: int,
    content_type: str,
    body: bytes,
    app: AppCredentials | None,
    clock: Callable[[], datetime],
) -> HttpAnswer:
    timestamp = str(int(clock().timestamp() * 1000))
    nonce = secrets.token_hex(16)
    headers = {
        "content-type": content_type,
        "alipay-timestamp": timestamp,
        "alipay-nonce": nonce,
        "alipay-trace-id": secrets.token_hex(16),
    }
    if app is not None:
        message = b"%b\n%b\n%b\n" % (timestamp.encode("ascii"), nonce.encode("ascii"), body)
        key = app.platform_private_key
        headers["alipay-signature"] = await sign_async(key, message, SignType.RSA2)
        if app.certificates is not None:
            headers["alipay-sn"] = app.certificates.platform
    return HttpAnswer(status, headers, body)
