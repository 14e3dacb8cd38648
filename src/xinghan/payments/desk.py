"""The payments room's counter: one verb for each thing people do; many share a commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from xinghan.kit.clock import Clock
from xinghan.kit.commit import commit
from xinghan.kit.db import Connection, Database
from xinghan.kit.errors import XinghanError
from xinghan.kit.group import Group
from xinghan.kit.ids import MerchantId, TradeId
from xinghan.ledger import RACES as LEDGER_RACES
from xinghan.payments import store
from xinghan.payments.actions.close import (
    CloseRequest,
    cancel_trades,
    close_trades,
    expire_trades,
    finish_trades,
)
from xinghan.payments.actions.order import make_orders
from xinghan.payments.actions.pay import pay_orders
from xinghan.payments.actions.refund import refund_trades
from xinghan.payments.model import (
    Cancelled,
    NewTrade,
    Payment,
    Refund,
    Refunded,
    RefundRequest,
    Trade,
    TradeNotFound,
    TradeState,
)
from xinghan.payments.rules import bucket_of_order

Item = TypeVar("Item")
Answer = TypeVar("Answer")

RACES: Final = LEDGER_RACES | {"trade_pkey", "trade_number_once", "refund_pkey", "code_use_pkey"}
BATCH_MAX: Final = 200
ENDED_PER_RUN_MAX: Final = 500


class Payments:
    """Orders, payments, refunds and closings; each verb is idempotent by its numbers."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self._orders = self._gather(make_orders)
        self._payments = self._gather(pay_orders)
        self._refunds = self._gather(refund_trades)
        self._closings = self._gather(close_trades)
        self._cancellings = self._gather(cancel_trades)

    async def make_order(self, order: NewTrade) -> Trade:
        """Make an order, or find the same one again.

        Raises OrderDiffers, TradePaid, TradeClosed, ExpiryPassed.
        """
        return _or_raise(await self._orders.submit(order))

    async def pay(self, payment: Payment) -> Trade:
        """Pay an order; paying it again as the same payer answers the same.

        Raises BalanceInsufficient, BuyerFrozen, BuyerNotMatched, CodeInvalid, OrderDiffers,
        TradePaid, TradeClosed, TradeNotFound, SellerBlocked, CurrencyRefused, ExpiryPassed.
        """
        return _or_raise(await self._payments.submit(payment))

    async def refund(self, request: RefundRequest) -> Refunded:
        """Give money back, all of it or a part.

        Raises TradeNotFound, TradeUnpaid, TradeFinished, TradeClosed, RefundExceeds,
        RefundDiffers, SellerBalanceInsufficient, SellerBlocked, CurrencyRefused.
        """
        return _or_raise(await self._refunds.submit(request))

    async def close(self, trade: TradeId, merchant: MerchantId, actor: str) -> Trade:
        """Close an unpaid trade. Raises TradeNotFound, TradeNotClosable."""
        return _or_raise(await self._closings.submit(CloseRequest(trade, merchant, actor)))

    async def cancel(self, trade: TradeId, merchant: MerchantId, actor: str) -> Cancelled:
        """Close an unpaid trade or give a paid one back in full.

        Raises TradeNotFound, TradeFinished and what a refund raises.
        """
        return _or_raise(await self._cancellings.submit(CloseRequest(trade, merchant, actor)))

    async def find(
        self, merchant: MerchantId, trade: TradeId | None, out_trade_no: str | None
    ) -> Trade:
        """Find a merchant's trade by its id (which goes first) or the merchant's number.

        One whose time is over is closed first. Raises TradeNotFound, also for a trade of another
        merchant.
        """
        found = await self._fetch(merchant, trade, out_trade_no)
        if found is None or found.merchant != merchant:
            raise TradeNotFound(field="trade_no" if trade else "out_trade_no")
        return await self._up_to_date(found)

    async def find_order(self, trade: TradeId) -> Trade:
        """Find a trade for whoever holds its code. Raises TradeNotFound."""
        async with self.database.acquire() as connection:
            found = await store.fetch_trade(connection, trade)
        if found is None:
            raise TradeNotFound
        return await self._up_to_date(found)

    async def find_refund(self, trade: Trade, out_request_no: str) -> Refund | None:
        """Find one refund of a trade by its number."""
        async with self.database.acquire() as connection:
            found = await store.fetch_refunds(connection, [(trade.id, out_request_no)])
        return found.get((trade.id, out_request_no))

    async def end_due(self) -> int:
        """Close the unpaid trades and finish the paid ones whose time is over; gives how many."""
        now = self.clock.now()
        expired = await self._commit(lambda c: expire_trades(c, now, ENDED_PER_RUN_MAX))
        return expired + await self._commit(lambda c: finish_trades(c, now, ENDED_PER_RUN_MAX))

    async def _fetch(
        self, merchant: MerchantId, trade: TradeId | None, out_trade_no: str | None
    ) -> Trade | None:
        async with self.database.acquire() as connection:
            if trade is not None:
                return await store.fetch_trade(connection, trade)
            if out_trade_no is None:
                return None
            bucket = bucket_of_order(merchant, out_trade_no)
            return await store.fetch_trade_by_number(connection, bucket, merchant, out_trade_no)

    async def _up_to_date(self, trade: Trade) -> Trade:
        """Close a trade whose time is over: nobody reads a state that a job will change."""
        if trade.state is not TradeState.WAIT_BUYER_PAY or trade.expires_at > self.clock.now():
            return trade
        await self.end_due()
        async with self.database.acquire() as connection:
            return await store.fetch_trade(connection, trade.id) or trade

    def _gather(
        self,
        act: Callable[
            [Connection, Sequence[Item], datetime], Awaitable[list[Answer | XinghanError]]
        ],
    ) -> Group[Item, Answer | XinghanError]:
        async def run(items: Sequence[Item]) -> Sequence[Answer | XinghanError]:
            now = self.clock.now()
            return await self._commit(lambda connection: act(connection, items, now))

        return Group(run, batch_max=BATCH_MAX)

    async def _commit(self, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        return await commit(self.database, work, races=RACES)


def _or_raise(answer: Answer | XinghanError) -> Answer:
    if isinstance(answer, XinghanError):
        raise answer
    return answer
