"""The payments room's counter: one verb for each thing people do; many share a commit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from xinghan.kit.clock import Clock
from xinghan.kit.commit import commit
from xinghan.kit.db import Connection, Database
from xinghan.kit.errors import XinghanError
from xinghan.kit.group import Group, reading
from xinghan.kit.ids import MerchantId, TradeId
from xinghan.ledger import RACES as LEDGER_RACES
from xinghan.payments import store
from xinghan.payments.actions.close import (
    CloseRequest,
    cancel_trades,
    close_trades,
    end_trades,
    expire_trades,
    finish_trades,
)
from xinghan.payments.actions.code import (
    FAILURES_WINDOW,
    CodeDevice,
    CodeWrong,
    FindDevice,
    Subjects,
    check_code,
)
from xinghan.payments.actions.order import make_orders
from xinghan.payments.actions.pay import pay_orders
from xinghan.payments.actions.refund import refund_trades
from xinghan.payments.model import (
    Cancelled,
    CodeInvalid,
    CodeUse,
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
        self._numbers = reading(database, _find_by_number)
        self._failures = reading(database, self._count_failures)

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

    async def check_code(
        self, find_device: FindDevice, code: str, merchant: MerchantId
    ) -> tuple[CodeDevice, CodeUse]:
        """Tell whose phone shows `code` now, and what marks the code as used.

        Raises CodeInvalid for a wrong or old code, CodeGuessed when this shop, or anybody for this
        phone, was wrong too often in the last hour; a right code is then refused as well.
        """
        now = self.clock.now()
        try:
            return await check_code(find_device, self._failures.submit, code, merchant, now)
        except CodeWrong as wrong:
            async with self.database.acquire() as connection:
                await store.note_failure(connection, wrong.subjects, now)
            raise CodeInvalid(field="auth_code") from None

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
        if trade is not None:
            async with self.database.acquire() as connection:
                return await store.fetch_trade(connection, trade)
        if out_trade_no is None:
            return None
        return await self._numbers.submit((merchant, out_trade_no))

    async def _count_failures(
        self, connection: Connection, wanted: Sequence[Subjects]
    ) -> list[dict[UUID, int]]:
        subjects = list({subject for subjects in wanted for subject in subjects})
        since = self.clock.now() - FAILURES_WINDOW
        failures = await store.count_failures(connection, subjects, since)
        return [failures] * len(wanted)

    async def _up_to_date(self, trade: Trade) -> Trade:
        """Close a trade whose time is over: nobody reads a state that a job will change."""
        if trade.state is not TradeState.WAIT_BUYER_PAY or trade.expires_at > self.clock.now():
            return trade
        now = self.clock.now()
        await self._commit(lambda connection: end_trades(connection, [trade.id], now))
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


async def _find_by_number(
    connection: Connection, wanted: Sequence[tuple[MerchantId, str]]
) -> list[Trade | None]:
    keys = [(bucket_of_order(merchant, number), merchant, number) for merchant, number in wanted]
    found = await store.fetch_trades_by_number(connection, keys)
    return [found.get(key) for key in wanted]


def _or_raise(answer: Answer | XinghanError) -> Answer:
    if isinstance(answer, XinghanError):
        raise answer
    return answer
