"""`service=notify_verify`: an old way to ask whether a notification is the platform's own.

One SDK still asks, beside checking the signature:
`GET gateway.do?service=notify_verify&partner=<merchant or app>&notify_id=<number>`, unsigned, and
expects the whole answer to be `true`.
"""

from __future__ import annotations

from typing import Final

from xinghan.gateway.errors import GatewayError
from xinghan.gateway.forms import read_parameters
from xinghan.gateway.model import HttpAnswer, HttpRequest
from xinghan.gateway.notices import FindApp, read_notify_id
from xinghan.kit.db import ConnectionLost, Database
from xinghan.payments.notifications import fetch_notification

SERVICE: Final = b"service=notify_verify"


def asks_notify_verify(request: HttpRequest) -> bool:
    """Say whether a request to `gateway.do` is of this kind, and so no call of a method."""
    return SERVICE in request.query or request.body.startswith(SERVICE)


async def answer_notify_verify(
    request: HttpRequest, database: Database, find_app: FindApp
) -> HttpAnswer:
    """Answer `true` if the platform made this notification for this partner, else `false`."""
    try:
        status, known = 200, await _is_known(request, database, find_app)
    except ConnectionLost:
        status, known = 503, False
    body = b"true" if known else b"false"
    return HttpAnswer(status, {"content-type": "text/plain;charset=utf-8"}, body)


async def _is_known(request: HttpRequest, database: Database, find_app: FindApp) -> bool:
    try:
        parameters = read_parameters(request).text
    except GatewayError:
        return False
    place = read_notify_id(parameters.get("notify_id", ""))
    if place is None:
        return False
    async with database.acquire() as connection:
        notification = await fetch_notification(connection, *place)
    app = await find_app(notification.app_id) if notification else None
    return app is not None and parameters.get("partner") in {app.app_id, app.merchant.user_id}
