"""How a node becomes signed bytes: JSON that every SDK's own reading of it survives.

SDKs cut the node out of the answer with regular expressions and brace counting, some of them
blind to quotes. The exact bytes and their order are therefore part of the protocol.
"""

import codecs
import re
from collections.abc import Mapping

import msgspec

from xinghan.gateway.errors import CODE_IN_PROCESS, CODE_SUCCESS, MESSAGES, GatewayError
from xinghan.gateway.model import HttpAnswer, JsonObject, Reply
from xinghan.identity import AppCredentials
from xinghan.kit.signing import encrypt_aes, sign_async

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_encode_json = msgspec.json.Encoder(decimal_format="string").encode

JSON_ESCAPES = "xinghan.json_escapes"
"""A codec error handler: what a charset lacks is written as JSON escapes of UTF-16 units."""


def success(**fields: object) -> JsonObject:
    """Give the node of a call that worked; fields that are None are left out."""
    return _node(CODE_SUCCESS, fields)


def in_process(**fields: object) -> JsonObject:
    """Give the node of a payment that its payer still has to confirm (10003)."""
    return _node(CODE_IN_PROCESS, fields)


def refused(error: GatewayError) -> JsonObject:
    """Give the node that shows an error."""
    return {
        "code": error.code,
        "msg": error.msg,
        "sub_code": error.sub_code,
        "sub_msg": error.sub_msg,
        **error.fields,
    }


def encode_node(node: Mapping[str, object], charset: str = "utf-8") -> bytes:
    """Encode a node to JSON in the charset; braces inside strings become JSON escapes."""
    encoded: bytes = _encode_json(node)
    if encoded.count(b"{") + encoded.count(b"}") > 2 * _objects_in(node):
        encoded = _STRINGS.sub(_escape_braces, encoded)
    if charset != "utf-8" and not encoded.isascii():
        encoded = encoded.decode("utf-8").encode(charset, errors=JSON_ESCAPES)
    return encoded


def signed_part(node: Mapping[str, object], reply: Reply, app: AppCredentials | None) -> bytes:
    """Give the bytes that stand for the node in the answer, and that its signature covers.

    Encrypted nodes are a base64 string, and the signature covers its quotes as well.
    """
    encoded = encode_node(node, reply.charset)
    if reply.encrypted and app is not None and app.aes_key is not None:
        return b'"%b"' % encrypt_aes(app.aes_key, encoded).encode("ascii")
    return encoded


def assemble(part: bytes, signature: str | None, reply: Reply, app: AppCredentials | None) -> bytes:
    """Put the body together: the node, in certificate mode the platform's SN, the signature."""
    members = [b'"%b":%b' % (reply.node_name.encode("ascii"), part)]
    if app is not None and app.certificates is not None:
        members.append(b'"alipay_cert_sn":"%b"' % app.certificates.platform.encode("ascii"))
    if signature is not None:
        members.append(b'"sign":"%b"' % signature.encode("ascii"))
    return b"{%b}" % b",".join(members)


async def answer(
    node: Mapping[str, object], reply: Reply, app: AppCredentials | None
) -> HttpAnswer:
    """Answer a v2 request: always HTTP 200, signed whenever the app is known."""
    part = signed_part(node, reply, app)
    signature = None
    if app is not None:
        signature = await sign_async(app.platform_private_key, part, reply.sign_type)
    headers = {"content-type": f"application/json;charset={reply.charset}"}
    return HttpAnswer(200, headers, assemble(part, signature, reply, app))


def _node(code: str, fields: dict[str, object]) -> JsonObject:
    node: JsonObject = {"code": code, "msg": MESSAGES[code]}
    node.update((name, value) for name, value in fields.items() if value is not None)
    return node


def _objects_in(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(_objects_in(inner) for inner in value.values() if type(inner) is not str)
    if isinstance(value, list):
        return sum(_objects_in(inner) for inner in value)
    return 0


def _escape_braces(match: re.Match[bytes]) -> bytes:
    return match.group().replace(b"{", b"\\u007b").replace(b"}", b"\\u007d")


def _json_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


codecs.register_error(JSON_ESCAPES, _json_escapes)
