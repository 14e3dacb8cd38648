"""The gateway's two doors around a method that gives back what it was called with.

Granian serves it; `ECHO_APPS` names the JSON file with the apps' keys.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xinghan.gateway import v2, v3
from xinghan.gateway.envelope import in_process, success
from xinghan.gateway.errors import business_failed
from xinghan.gateway.model import Call, HttpAnswer, HttpRequest
from xinghan.identity import AppCredentials
from xinghan.kit.certificates import CertificateSerials
from xinghan.kit.signing import load_aes_key, load_private_key, load_public_key

METHODS = frozenset(
    {
        "alipay.offline.material.image.upload",
        "alipay.open.file.upload",
        "alipay.trade.app.pay",
        "alipay.trade.page.pay",
        "alipay.trade.pay",
        "alipay.trade.precreate",
        "alipay.trade.query",
    }
)


def read_app(entry: dict) -> AppCredentials:
    serials = entry["certificates"]
    return AppCredentials(
        app_id=entry["app_id"],
        public_keys=(load_public_key(entry["app_public_key"]),),
        platform_private_key=load_private_key(entry["platform_private_key"]),
        aes_key=load_aes_key(entry["aes_key"]),
        certificates=CertificateSerials(**serials) if serials else None,
    )


APPS = {
    entry["app_id"]: read_app(entry)
    for entry in json.loads(Path(os.environ["ECHO_APPS"]).read_text("utf-8"))
}


async def find_app(app_id: str) -> AppCredentials | None:
    return APPS.get(app_id)


async def echo(call: Call) -> Mapping[str, object]:
    if call.content.get("body") == "refuse":
        raise business_failed("ACQ.TRADE_NOT_EXIST", "交易不存在 {no such trade}")
    fields = {
        "out_trade_no": call.content.get("out_trade_no"),
        "subject": call.content.get("subject"),
        "echo": json.dumps(call.content, ensure_ascii=False, default=str),
        "notify_url": call.notify_url,
        "parameters": sorted(call.parameters),
        "files": [{"name": one.name, "size": len(one.content)} for one in call.files],
        "detail": {"nested": [{"brace": "}{"}]},
    }
    return in_process(**fields) if call.content.get("body") == "wait" else success(**fields)


async def read(request: Request) -> HttpRequest:
    return HttpRequest(
        request.method,
        request.scope["path"],
        request.scope["query_string"],
        await request.body(),
        dict(request.headers),
    )


def shown(answer: HttpAnswer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))


async def answer_v2(request: Request) -> Response:
    return shown(await v2.respond(await read(request), METHODS, find_app, echo))


async def answer_v3(request: Request) -> Response:
    http = await read(request)
    return shown(await v3.respond(http, METHODS, find_app, echo, lambda: datetime.now(UTC)))


app = Starlette(
    routes=[
        Route("/gateway.do", answer_v2, methods=["GET", "POST"]),
        Route("/v3/{path:path}", answer_v3, methods=["GET", "POST"]),
    ]
)
