"""The page behind an order's code, which any scanner can open: what is paid, and whether."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xinghan.consoles.view import platform_of, render
from xinghan.identity import fetch_merchant
from xinghan.payments.codes import order_code_key, trade_of_order_token
from xinghan.payments.model import OrderCodeUnknown, Trade, TradeState

TOKEN_CHARACTERS_MAX: Final = 64
# What tells htmx to ask no more, as an answer that is otherwise a 200.
STOP_POLLING: Final = 286
LONG_AMOUNT_CHARACTERS: Final = 10
COUNTED_DOWN: Final = timedelta(hours=24)


class Stage(StrEnum):
    """How an order stands for whoever looks at its page."""

    WAITING = "waiting"
    PAID = "paid"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"
    EXPIRED = "expired"
    CLOSED = "closed"


ENDED: Final = frozenset({Stage.REFUNDED, Stage.EXPIRED, Stage.CLOSED})


def stage_of(trade: Trade) -> Stage:
    """Tell how an order stands."""
    if trade.state is TradeState.WAIT_BUYER_PAY:
        return Stage.WAITING
    if trade.paid_at is not None:
        if trade.refunded_minor == 0:
            return Stage.PAID
        whole = trade.refunded_minor == trade.total_minor
        return Stage.REFUNDED if whole else Stage.PARTLY_REFUNDED
    over = trade.closed_at is not None and trade.closed_at >= trade.expires_at
    return Stage.EXPIRED if over else Stage.CLOSED


async def show_order(request: Request) -> Response:
    """Show the whole page."""
    return render(request, "order.html", await _facts(request))


async def show_status(request: Request) -> Response:
    """Show how the order stands, if that is not what the reader has seen already."""
    facts = await _facts(request)
    if request.query_params.get("seen") == facts["seen"]:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"cache-control": "no-store"})
    status = STOP_POLLING if facts["stage"] in ENDED else HTTPStatus.OK
    return render(request, "order_status.html", facts | {"changed": True}, status=status)


async def _facts(request: Request) -> dict[str, object]:
    """Find the order and gather what its page says. Raises OrderCodeUnknown."""
    platform, token = platform_of(request), request.path_params["token"]
    identity = trade_of_order_token(token, order_code_key(platform.vault))
    if identity is None:
        raise OrderCodeUnknown
    trade = await platform.payments.find_order(identity)
    async with platform.database.acquire() as connection:
        shop = await fetch_merchant(connection, platform.vault, trade.merchant)
    stage = stage_of(trade)
    address = f"{platform.settings.public_url}/q/{token}"
    return {
        "trade": trade,
        "token": token,
        "address": address,
        "shop": shop.name if shop else "",
        "stage": stage,
        "seen": f"{stage}-{trade.refunded_minor}",
        "live": stage not in ENDED,
        "changed": False,
        "sandbox": platform.settings.sandbox,
        "code": draw_code(address) if stage is Stage.WAITING else None,
        "left_seconds": _seconds_left(trade, platform.clock.now()),
        "long_amount": len(str(trade.total_minor)) > LONG_AMOUNT_CHARACTERS,
    }


def draw_code(address: str) -> Markup:
    """Draw a QR code as SVG whose colours come from the style sheet."""
    code = segno.make_qr(address, error="m")
    return Markup(code.svg_inline(border=2, omitsize=True, svgclass=None, lineclass=None))  # noqa: S704 (segno's own drawing)


def _seconds_left(trade: Trade, now: datetime) -> int | None:
    left = trade.expires_at - now
    return left // timedelta(seconds=1) if timedelta(0) < left < COUNTED_DOWN else None


ROUTES: Final = [
    Route("/q/{token}", show_order),
    Route("/q/{token}/status", show_status),
]
