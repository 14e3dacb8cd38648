"""Trades with their timelines, and what shops were told, with every try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from xinghan.consoles.operator import HOME, signed_in
from xinghan.consoles.view import platform_of, render
from xinghan.identity import fetch_merchant
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import MERCHANT, TRADE
from xinghan.kit.numbering import is_trade_id
from xinghan.kit.tables import csv_response
from xinghan.payments.answers import (
    NOTIFICATION_COLUMNS,
    TRADE_COLUMNS,
    NotificationAnswer,
    TradeAnswer,
    notification_row,
    trade_row,
)
from xinghan.payments.listing import (
    Told,
    Wanted,
    fetch_record,
    list_all_notifications,
    list_trades,
)
from xinghan.payments.model import TradeNotFound, TradeState
from xinghan.payments.notifications import list_attempts

ROWS: Final = 25
DELIVERED: Final = {"yes": True, "no": False}


@signed_in
async def show_trades(request: Request) -> Response:
    """Show trades, newest first, or export them."""
    database, wanted = platform_of(request).database, _wanted(request)

    async def fetch_rows(
        cursor: str | None, limit: int
    ) -> tuple[Sequence[Sequence[object]], str | None]:
        async with database.acquire() as connection:
            page = await list_trades(connection, wanted, cursor=cursor, limit=limit)
        return [trade_row(TradeAnswer.of(trade)) for trade in page.items], page.next_cursor

    if request.query_params.get("format") == "csv":
        return await csv_response("trades", TRADE_COLUMNS, fetch_rows)
    cursor = request.query_params.get("cursor") or None
    async with database.acquire() as connection:
        page = await list_trades(connection, wanted, cursor=cursor, limit=ROWS)
    facts = {"page": page, "wanted": wanted, "states": list(TradeState)}
    return render(request, "operator/trades.html", facts)


@signed_in
async def show_trade(request: Request) -> Response:
    """Show a trade with everything that happened to it and every try to tell its shop."""
    platform = platform_of(request)
    trade = TRADE.parse(request.path_params["trade"], field="trade")
    if not is_trade_id(trade):
        raise TradeNotFound(field="trade")
    found = await platform.payments.find_order(trade)
    async with platform.database.acquire() as connection:
        record = await fetch_record(connection, found)
        shop = await fetch_merchant(connection, platform.vault, found.merchant)
    return render(request, "operator/trade.html", {"record": record, "shop": shop})


@signed_in
async def show_notifications(request: Request) -> Response:
    """Show what shops are told, newest first, with every try, or export the list."""
    database = platform_of(request).database
    chosen = request.query_params.get("delivered", "")
    delivered = DELIVERED.get(chosen)

    async def fetch_rows(
        cursor: str | None, limit: int
    ) -> tuple[Sequence[Sequence[object]], str | None]:
        async with database.acquire() as connection:
            page = await list_all_notifications(
                connection, delivered=delivered, cursor=cursor, limit=limit
            )
        rows = [notification_row(NotificationAnswer.of(one)) for one in page.items]
        return rows, page.next_cursor

    if request.query_params.get("format") == "csv":
        return await csv_response("notifications", NOTIFICATION_COLUMNS, fetch_rows)
    cursor = request.query_params.get("cursor") or None
    async with database.acquire() as connection:
        page = await list_all_notifications(
            connection, delivered=delivered, cursor=cursor, limit=ROWS
        )
        told = [
            Told(one, tuple(await list_attempts(connection, one.bucket, one.id)))
            for one in page.items
        ]
    facts = {"told": told, "page": page, "delivered": chosen if chosen in DELIVERED else ""}
    return render(request, "operator/notifications.html", facts)


def _wanted(request: Request) -> Wanted:
    query = request.query_params
    merchant, number, state = query.get("merchant"), query.get("out_trade_no"), query.get("state")
    if state and state not in set(TradeState):
        raise Invalid(field="state")
    if number and not number.isprintable():
        raise Invalid(field="out_trade_no")
    return Wanted(
        MERCHANT.parse(merchant.strip(), field="merchant") if merchant else None,
        TradeState(state) if state else None,
        number or None,
    )


ROUTES: Final = [
    Route(f"{HOME}/trades", show_trades),
    Route(f"{HOME}/trades/{{trade}}", show_trade),
    Route(f"{HOME}/notifications", show_notifications),
]
