"""The payments room's API: an order for who holds its code; everything for the operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from xinghan.kit.ids import NOTIFICATION
from xinghan.kit.native import Actor, Cursor, Format, Limit, Store, refusals
from xinghan.kit.native_types import MerchantRef, NotificationRef, TradeRef
from xinghan.kit.numbering import is_trade_id
from xinghan.kit.tables import CSV_CONTENT, csv_response
from xinghan.kit.vault import Vault
from xinghan.payments.answers import (
    NOTIFICATION_COLUMNS,
    TRADE_COLUMNS,
    NotificationAnswer,
    NotificationsAnswer,
    OrderAnswer,
    ToldAnswer,
    TradeAnswer,
    TradeRecordAnswer,
    TradesAnswer,
    notification_row,
    trade_row,
)
from xinghan.payments.codes import order_code_key, trade_of_order_token
from xinghan.payments.desk import Payments
from xinghan.payments.listing import (
    Told,
    Wanted,
    fetch_record,
    find_notification,
    list_all_notifications,
    list_trades,
)
from xinghan.payments.model import OrderCodeUnknown, TradeNotFound, TradeState
from xinghan.payments.notifications import (
    NotificationNotFound,
    list_attempts,
    resend_notification,
)

orders = APIRouter(prefix="/orders", tags=["orders"])
router = APIRouter(tags=["payments"])


def _payments_of(request: Request) -> Payments:
    return cast("Payments", request.app.state.platform.payments)


def _order_key_of(request: Request) -> bytes:
    return order_code_key(cast("Vault", request.app.state.platform.vault))


Desk = Annotated[Payments, Depends(_payments_of)]
OrderKey = Annotated[bytes, Depends(_order_key_of)]
OutTradeNo = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f]+$",
        description="The shop's own number; needs `merchant`.",
    ),
]


@orders.get("/{token}", summary="Read an order by its code", responses=refusals(404))
async def read_order(
    desk: Desk,
    key: OrderKey,
    token: Annotated[str, Path(max_length=64, description="The last part of the code's URL.")],
) -> OrderAnswer:
    """Read what an order is about and how it stands; whoever holds its code may."""
    trade = trade_of_order_token(token, key)
    if trade is None:
        raise OrderCodeUnknown(field="token")
    return OrderAnswer.of(await desk.find_order(trade))


@router.get("/trades", summary="List trades", response_model=TradesAnswer, responses=CSV_CONTENT)
async def list_all_trades(
    store: Store,
    merchant: MerchantRef | None = None,
    state: TradeState | None = None,
    out_trade_no: OutTradeNo = None,
    cursor: Cursor = None,
    limit: Limit = 50,
    format: Format = "json",  # noqa: A002 (the parameter's public name)
) -> TradesAnswer | Response:
    """List trades, newest first."""
    wanted = Wanted(merchant, state, out_trade_no)

    async def fetch(cursor: str | None, limit: int) -> TradesAnswer:
        async with store.acquire() as connection:
            page = await list_trades(connection, wanted, cursor=cursor, limit=limit)
        items = [TradeAnswer.of(trade) for trade in page.items]
        return TradesAnswer.model_construct(items=items, next_cursor=page.next_cursor)

    async def fetch_rows(
        cursor: str | None, limit: int
    ) -> tuple[Sequence[Sequence[object]], str | None]:
        page = await fetch(cursor, limit)
        rows = [trade_row(trade) for trade in page.items]
        return rows, page.next_cursor

    if format == "csv":
        return await csv_response("trades", TRADE_COLUMNS, fetch_rows)
    return await fetch(cursor, limit)


@router.get("/trades/{trade}", summary="Read a trade", responses=refusals(404))
async def read_trade(
    store: Store, desk: Desk, trade: Annotated[TradeRef, Path()]
) -> TradeRecordAnswer:
    """Read a trade with its timeline, refunds, notifications and every try to deliver them."""
    if not is_trade_id(trade):
        raise TradeNotFound(field="trade")
    found = await desk.find_order(trade)
    async with store.acquire() as connection:
        return TradeRecordAnswer.of_record(await fetch_record(connection, found))


@router.get(
    "/notifications",
    summary="List notifications",
    response_model=NotificationsAnswer,
    responses=CSV_CONTENT,
)
async def list_notifications(
    store: Store,
    delivered: Annotated[bool | None, Query(description="None: all.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
    format: Format = "json",  # noqa: A002 (the parameter's public name)
) -> NotificationsAnswer | Response:
    """List what shops are told, newest first."""

    async def fetch(cursor: str | None, limit: int) -> NotificationsAnswer:
        async with store.acquire() as connection:
            page = await list_all_notifications(
                connection, delivered=delivered, cursor=cursor, limit=limit
            )
        items = [NotificationAnswer.of(one) for one in page.items]
        return NotificationsAnswer.model_construct(items=items, next_cursor=page.next_cursor)

    async def fetch_rows(
        cursor: str | None, limit: int
    ) -> tuple[Sequence[Sequence[object]], str | None]:
        page = await fetch(cursor, limit)
        rows = [notification_row(one) for one in page.items]
        return rows, page.next_cursor

    if format == "csv":
        return await csv_response("notifications", NOTIFICATION_COLUMNS, fetch_rows)
    return await fetch(cursor, limit)


@router.post(
    "/notifications/{notification}/resend",
    status_code=202,
    summary="Send a notification again",
    responses=refusals(404),
)
async def resend(
    store: Store, desk: Desk, actor: Actor, notification: Annotated[NotificationRef, Path()]
) -> ToldAnswer:
    """Make a notification due now, also one that was delivered or given up."""
    async with store.transaction() as connection:
        found = await find_notification(connection, notification)
        if found is None:
            raise NotificationNotFound(
                field="notification", notification=NOTIFICATION.show(notification)
            )
        await resend_notification(connection, found.bucket, found.id, actor, desk.clock.now())
        again = await find_notification(connection, notification) or found
        tries = await list_attempts(connection, found.bucket, found.id)
    return ToldAnswer.with_tries(Told(again, tuple(tries)))
