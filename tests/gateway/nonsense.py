"""What nobody should send to the gateway: fields, whole contents, and bytes on the wire."""

import json
from collections.abc import Iterator, Mapping
from typing import Final

# Whatever field they stand in, none of them is a good amount, code or number of an order.
VALUES: Final[tuple[object, ...]] = (
    None,
    "",
    " ",
    True,
    False,
    0,
    -1,
    -0.01,
    0.001,
    10**18,
    -(10**40),
    float("1e-7"),
    [],
    ["88.00"],
    [[[[1]]], None],
    {},
    {"amount": {"value": "88.00"}},
    "-88.00",
    "+88.00",
    "88.00 ",
    "8_8",
    "88,00",
    "0x58",
    "8e1",
    "NaN",
    "Infinity",
    "８８.００",
    "٨٨",
    "88.\u0660\u0660",
    "null",
    "9" * 33,
    "9" * 5000,
    "汉" * 3000,
    "\u0001\u001b[2J",
    "a\r\nb: c",
    "\u2028\ufeff\u202e",
    "\U0001f9e7" * 20,
    "' OR 1=1 --",
    "../../../etc/passwd",
    "%00%s%n{}${x}",
    "2026-02-30 25:61:00",
    "9999-12-31 23:59:59",
    "0001-01-01 00:00:00",
    "99999d",
    "0m",
    "http://127.0.0.1:1/\r\nHost: x",
    "http://[::1",
    "javascript:alert(1)",
)

FIELDS: Final = (
    "alipay_store_id",
    "auth_code",
    "body",
    "business_params",
    "buyer_id",
    "buyer_open_id",
    "discountable_amount",
    "extend_params",
    "goods_detail",
    "operator_id",
    "out_request_no",
    "out_trade_no",
    "passback_params",
    "qr_code_timeout_express",
    "query_options",
    "refund_amount",
    "refund_currency",
    "refund_reason",
    "royalty_info",
    "scene",
    "seller_id",
    "settle_currency",
    "subject",
    "time_expire",
    "timeout_express",
    "total_amount",
    "trade_no",
    "trans_currency",
    "undiscountable_amount",
)

PARAMETERS: Final = (
    "app_auth_token",
    "app_cert_sn",
    "charset",
    "encrypt_type",
    "format",
    "notify_url",
    "return_url",
    "sign_type",
    "timestamp",
    "version",
)

# Business contents that are no JSON object, or a strange one.
CONTENTS: Final[tuple[bytes, ...]] = (
    b"",
    b" ",
    b"\x00",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"88.00",
    b"NaN",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b'{"out_trade_no":"\xff"}',
    b'{"out_trade_no":NaN}',
    b'{"out_trade_no":-Infinity}',
    b'{"out_trade_no":1e400}',
    b'{"out_trade_no":1e-999999999}',
    b'{"total_amount":1e999999999}',
    b'{"total_amount":%b}' % (b"9" * 5000),
    b'{"total_amount":0.%b1}' % (b"0" * 5000),
    b'{"out_trade_no":"a","out_trade_no":"b"}',
    b'{"out_trade_no":"\\ud800"}',
    b'{"out_trade_no":"\\udc00\\ud800"}',
    b'{"goods_detail":[{"\\ud800":"\\udfff"}]}',
    b'{"out_trade_no":"\\u0000"}',
    b'{"goods_detail":[{"\\u0000":"\\u0000"}]}',
    b'{"subject":"\\u001b\\u0007\\u007f"}',
    b'{"subject":"a\x01b"}',
    b"[" * 30_000,
    b"[" * 30_000 + b"]" * 30_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"goods_detail":' + b"[" * 31 + b"]" * 31 + b"}",
    b'{"goods_detail":"%b"}' % (b'\\"' * 20_000),
    b'{"goods_detail":[%b0]}' % (b"0," * 20_000),
    b"{%b}" % b",".join(b'"k%d":%d' % (n, n) for n in range(5000)),
    b'{"__class__":"x","__proto__":{},"self":1,"code":"10000"}',
    b"<xml><!DOCTYPE a [<!ENTITY b 'c'>]></xml>",
    b"a=1&b=2",
    b"'" * 100,
)

_FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
_MULTIPART = b"Content-Type: multipart/form-data; boundary=xx\r\n"
_V3 = b"POST /v3/alipay/trade/query HTTP/1.1\r\n"
_SIGNED = b"Authorization: ALIPAY-SHA256withRSA "
_BIG = b"x" * (3 << 20)


def requests() -> Iterator[bytes]:
    """Yield requests that no program would send, each for a connection of its own."""
    yield from map(_post, _bodies())
    yield from map(_get, _queries())
    yield from map(_v3, _authorizations())
    yield from (_post(body, _MULTIPART) for body in _multiparts())
    yield from _lines()
    yield from _frames()


def unfinished() -> Iterator[bytes]:
    """Yield requests of which the rest never comes."""
    start = b"POST /gateway.do HTTP/1.1\r\nHost: x\r\n" + _FORM
    yield b""
    yield b"P"
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield b"POST /gateway.do HTTP/1.1\r\nHost"
    yield start + b"Content-Length: 1000\r\n\r\nmethod=x"
    yield start + b"Content-Length: 99999999999999999999\r\n\r\nmethod=x"
    yield start + b"Transfer-Encoding: chunked\r\n\r\n5\r\na=bcd\r\n"
    yield start + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"


def replaced(content: Mapping[str, object], name: str, value: object) -> bytes:
    """Give a content with another value of one field, as JSON."""
    return json.dumps({**content, name: value}, ensure_ascii=False).encode()


def _bodies() -> Iterator[bytes]:
    yield b""
    yield b"&" * 1000
    yield b"="
    yield b"=&=&="
    yield b"%"
    yield b"a=%zz&b=%4"
    yield b"%00=%00"
    yield b"a\x00b=c"
    yield bytes(range(256))
    yield b"&".join(b"p%d=%d" % (n, n) for n in range(5000))
    yield b"method=alipay.trade.pay&method=alipay.trade.query"
    yield b"charset=utf-16&method=x"
    yield b"charset=" + b"%FF" * 50
    yield b"charset=utf-8&subject=%FF%FE%80"
    yield b"charset=gbk&subject=%81"
    yield b"sign=" + b"A" * 70_000
    yield b"service=notify_verify&notify_id=%00&partner=%FF"
    yield b"service=notify_verify&notify_id=" + b"9" * 5000
    yield b"service=notify_verify&%zz"
    yield b'{"method":"alipay.trade.pay"}'
    yield _BIG
    yield b"biz_content=" + _BIG


def _queries() -> Iterator[bytes]:
    yield b"?" * 100
    yield b"%"
    yield b"%E6%B1"
    yield b"\xe6\xb1\x89"
    yield b"service=notify_verify"
    yield b"service=notify_verify&notify_id=%F0%9F%A7%A7&partner=x"
    yield b"service=notify_verify&notify_id=2026112200222" + b"0" * 40
    yield b"a=" + b"b" * 50_000
    yield b"#fragment?a"
    yield b"&".join(b"p%d" % n for n in range(3000))


def _authorizations() -> Iterator[bytes]:
    said = b"app_id=2021000000000001,nonce=n,timestamp=1769817600000"
    yield b"Authorization: \r\n"
    yield b"Authorization: Basic YTpi\r\n"
    yield _SIGNED + b"\r\n"
    yield _SIGNED + b",,,=,=,sign=\r\n"
    yield _SIGNED + b"app_id=,nonce=,timestamp=,sign=x\r\n"
    yield _SIGNED + said + b"\r\n"
    yield _SIGNED + said + b",sign=!!!\r\n"
    yield _SIGNED + said + b",sign=\xff\xfe\r\n"
    yield _SIGNED + said.replace(b"17", b"\xb2\xb3") + b",sign=QUJD\r\n"
    yield _SIGNED + said + b",nonce=" + b"n" * 20_000 + b",sign=QUJD\r\n"
    yield _SIGNED + b"app_id=\xe6\xb1\x89,nonce=n,timestamp=1769817600000,sign=QUJD\r\n"
    yield _SIGNED + b"a=b," * 5000 + b"sign=QUJD\r\n"
    yield (_SIGNED + said + b",sign=QUJD\r\n") * 2


def _multiparts() -> Iterator[bytes]:
    named = b'--xx\r\nContent-Disposition: form-data; name="a"'
    yield b""
    yield b"--xx--"
    yield b"--xx\r\n\r\n\r\n--xx--\r\n"
    yield b"--yy\r\n\r\n--yy--\r\n"
    yield named
    yield named + b"\r\n\r\nb"
    yield named + b"\r\n\r\nb\r\n--xx--\r\n" + b"rest" * 1000
    yield named + b"; filename*=UTF-16''%FF\r\n\r\nb\r\n--xx--\r\n"
    yield named.replace(b'"a"', b'"\x00\xff"') + b"\r\n\r\nb\r\n--xx--\r\n"
    yield named + b'; filename="' + b"n" * 50_000 + b'"\r\n\r\nb\r\n--xx--\r\n'
    yield (named + b"\r\n\r\nb\r\n") * 500 + b"--xx--\r\n"
    yield b"--xx\r\n" + b"H: v\r\n" * 20_000 + b"\r\n\r\n--xx--\r\n"
    yield bytes(range(256)) * 16


def _lines() -> Iterator[bytes]:
    """Yield request lines and heads that HTTP does not know, or knows and we do not."""
    for verb in (b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"BREW", b"G\x00T"):
        yield verb + b" /gateway.do HTTP/1.1\r\nHost: x\r\n\r\n"
        yield verb + b" /v3/alipay/trade/pay HTTP/1.1\r\nHost: x\r\n\r\n"
    for target in (
        b"http://elsewhere.invalid/gateway.do?method=x",
        b"//gateway.do",
        b"*",
        b"elsewhere.invalid:443",
        b"/gateway.do/",
        b"/gateway.do%00",
        b"/gateway.do%2F..%2F..%2Fetc%2Fpasswd",
        b"/v3/../gateway.do",
        b"/v3/" + b"a/" * 3000,
        b"/v3/alipay/trade/\xff\xfe",
        b"/v3/alipay/trade/%ff%fe",
        b"/v3/alipay/trade/pay?%zz=%",
        b"/" + b"a" * 60_000,
    ):
        yield b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"GET /gateway.do\r\n\r\n"
    yield b"GET /gateway.do HTTP/9.9\r\nHost: x\r\n\r\n"
    yield b"GET /gateway.do HTTP/1.1\r\n\r\n"
    yield b"GET /gateway.do HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"
    yield b"GET /gateway.do HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5000 + b"\r\n"
    yield b"GET /gateway.do HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 300_000 + b"\r\n\r\n"
    yield b"GET /gateway.do HTTP/1.1\r\nHost: x\r\nCookie: \xff\x80\x00\r\n\r\n"
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    yield bytes(range(256))


def _frames() -> Iterator[bytes]:
    """Yield bodies whose framing lies."""
    start = b"POST /gateway.do HTTP/1.1\r\nHost: x\r\n" + _FORM
    yield start + b"Content-Length: 3\r\n\r\nmethod=alipay.trade.pay"
    yield start + b"Content-Length: -1\r\n\r\nmethod=x"
    yield start + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\na=bcd"
    yield start + b"Content-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\na=b"
    yield start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    yield start + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\na"
    yield start + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    yield start + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\na=b"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    yield start + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 40 + b"0\r\n\r\n"


def _post(body: bytes, head: bytes = _FORM) -> bytes:
    start = b"POST /gateway.do HTTP/1.1\r\nHost: x\r\n" + head
    return start + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _get(query: bytes) -> bytes:
    return b"GET /gateway.do?" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def _v3(head: bytes) -> bytes:
    return _V3 + b"Host: x\r\n" + head + b"Content-Length: 2\r\n\r\n{}"
