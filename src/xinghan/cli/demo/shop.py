"""A shop's program, as a merchant would write it: an unmodified Alipay SDK and a web server.

Started by `xinghan demo` with its configuration (the JSON of `xinghan sandbox merchant`) as a file.
It reads one order per line on standard input and prints what happens, one JSON object a line.
Nothing in it knows Xinghan but the gateway's address.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

KEY = "-----BEGIN {0}-----\n{1}\n-----END {0}-----"


def main() -> None:
    """Sell one thing, wait for the notification, and give a part of the money back."""
    from alipay import AliPay  # noqa: PLC0415 (only this program's own process has the SDK)

    configuration = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    order_number, subject, amount, refund = sys.argv[2:6]
    alipay = AliPay(
        appid=configuration["app_id"],
        app_notify_url=None,
        app_private_key_string=KEY.format(
            "RSA PRIVATE KEY", configuration["app_private_key_pkcs1"]
        ),
        alipay_public_key_string=KEY.format("PUBLIC KEY", configuration["platform_public_key"]),
    )
    alipay._gateway = configuration["gateway_url"]  # noqa: SLF001 (this SDK has no public setting)
    notified = NotificationServer(alipay)

    order = alipay.api_alipay_trade_precreate(
        out_trade_no=order_number, total_amount=amount, subject=subject, notify_url=notified.url
    )
    tell("ordered", order)
    notified.wait()
    tell("notified", notified.content)
    tell("queried", alipay.api_alipay_trade_query(out_trade_no=order_number))
    tell(
        "refunded",
        alipay.api_alipay_trade_refund(
            refund_amount=refund, out_trade_no=order_number, out_request_no=f"{order_number}-1"
        ),
    )


def tell(step: str, content: dict[str, Any]) -> None:
    """Print what happened."""
    print(json.dumps({"step": step, **content}, ensure_ascii=False), flush=True)


class NotificationServer(HTTPServer):
    """Receives the platform's notification and believes it only if its signature is right."""

    def __init__(self, alipay: Any) -> None:  # noqa: ANN401 (the SDK is untyped)
        super().__init__(("127.0.0.1", 0), NotificationHandler)
        self.alipay = alipay
        self.content: dict[str, str] = {}
        self.url = f"http://127.0.0.1:{self.server_port}/notify"

    def wait(self) -> None:
        """Serve until a notification with a right signature has come."""
        while not self.content:
            self.handle_request()


class NotificationHandler(BaseHTTPRequestHandler):
    """One request to the shop's notify_url."""

    server: NotificationServer

    def do_POST(self) -> None:
        """Verify, remember, and answer `success`."""
        length = int(self.headers["Content-Length"])
        content = dict(parse_qsl(self.rfile.read(length).decode()))
        signature = content.pop("sign")
        genuine = self.server.alipay.verify(dict(content), signature)
        if genuine:
            self.server.content = content
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"success" if genuine else b"fail")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its parameter's name)
        """Keep the terminal for the story."""


if __name__ == "__main__":
    main()
