"""Orders are made, paid, refunded, closed and cancelled; each verb again changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from payments.counter import LIN_HAS_MINOR, Counter
from xinghan.kit.db import Database
from xinghan.kit.ids import DeviceId, MerchantId, uuid7
from xinghan.kit.money import Money
from xinghan.kit.numbering import new_trade_id
from xinghan.ledger import Leg, NewAccount, freeze_account
from xinghan.payments import CodeUse, TradeState, store
from xinghan.payments.model import (
    BalanceInsufficient,
    BuyerFrozen,
    BuyerNotMatched,
    CancelAction,
    CodeInvalid,
    ExpiryPassed,
    OrderDiffers,
    RefundDiffers,
    RefundExceeds,
    SellerBalanceInsufficient,
    TradeClosed,
    TradeFinished,
    TradeNotClosable,
    TradeNotFound,
    TradePaid,
    TradeUnpaid,
)


@pytest.fixture
async def counter(database: Database) -> AsyncIterator[Counter]:
    """A shop and two payers, whose books must be in order when a test ends."""
    opened = Counter(database)
    await opened.open()
    yield opened
    await opened.books.check()


async def kinds(counter: Counter, trade_id: object) -> list[str]:
    async with counter.books.database.acquire() as connection:
        return [event.kind for event in await store.list_events(connection, trade_id)]  # type: ignore[arg-type]


async def outbox(counter: Counter) -> list[tuple[str, str, int]]:
    async with counter.books.database.acquire() as connection:
        rows = await connection.fetch("SELECT content FROM payments.notification ORDER BY id")
    return [
        (
            row["content"]["kind"],
            row["content"]["trade"]["state"],
            row["content"]["trade"]["refunded_minor"],
        )
        for row in rows
    ]


async def test_an_order_asked_for_again_is_the_same_order(counter: Counter) -> None:
    first = await counter.payments.make_order(counter.order())
    again = await counter.payments.make_order(counter.order())
    assert (again.id, again.state) == (first.id, TradeState.WAIT_BUYER_PAY)
    assert await kinds(counter, first.id) == ["created"]
    assert await outbox(counter) == []


@pytest.mark.parametrize(
    "other",
    [{"amount_minor": 10_001}, {"subject": "Pu'er"}],
)
async def test_the_same_number_with_other_content_is_refused(
    counter: Counter, other: dict[str, object]
) -> None:
    await counter.payments.make_order(counter.order())
    await counter.refused(OrderDiffers, counter.payments.make_order(counter.order(**other)))  # type: ignore[arg-type]
    await counter.refused(
        OrderDiffers, counter.payments.pay(counter.by_lin(counter.order(**other)))
    )  # type: ignore[arg-type]


async def test_fifty_orders_with_one_number_are_one_order(counter: Counter) -> None:
    made = await asyncio.gather(*[counter.payments.make_order(counter.order()) for _ in range(50)])
    assert len({trade.id for trade in made}) == 1


async def test_an_order_that_is_over_before_it_begins_is_refused(counter: Counter) -> None:
    late = counter.order(expires_at=counter.clock.now())
    await counter.refused(ExpiryPassed, counter.payments.make_order(late))
    await counter.refused(ExpiryPassed, counter.payments.pay(counter.by_lin(late)))


async def test_paying_moves_the_total_and_the_fee_and_tells_the_shop(counter: Counter) -> None:
    order = await counter.payments.make_order(counter.order())
    paid = await counter.payments.pay(counter.by_lin(order.id))
    assert (paid.id, paid.state, paid.buyer) == (order.id, TradeState.TRADE_SUCCESS, counter.lin)
    assert await counter.balances() == (LIN_HAS_MINOR - 10_000, 0, 9_940, 60)
    assert await kinds(counter, order.id) == ["created", "paid"]
    assert await outbox(counter) == [("paid", "TRADE_SUCCESS", 0)]


async def test_making_and_paying_at_once_is_idempotent(counter: Counter) -> None:
    first = await counter.paid()
    again = await counter.payments.pay(counter.by_lin(counter.order()))
    assert again == first
    assert await counter.balances() == (LIN_HAS_MINOR - 10_000, 0, 9_940, 60)
    assert len(await outbox(counter)) == 1


async def test_a_paid_order_can_be_neither_paid_by_another_nor_asked_for(counter: Counter) -> None:
    trade = await counter.paid()
    await counter.refused(TradePaid, counter.payments.pay(counter.by_bo(trade.id)))
    await counter.refused(TradePaid, counter.payments.make_order(counter.order()))


async def test_who_lacks_the_money_leaves_the_order_waiting(counter: Counter) -> None:
    await counter.refused(BalanceInsufficient, counter.payments.pay(counter.by_bo(counter.order())))
    waiting = await counter.payments.find(counter.mei, None, "tea-1")
    assert waiting.state is TradeState.WAIT_BUYER_PAY
    assert (await counter.payments.pay(counter.by_lin(counter.order()))).id == waiting.id


async def test_a_frozen_payer_cannot_pay(counter: Counter) -> None:
    await counter.books.run(
        lambda c: freeze_account(c, counter.lin_account, actor="staff", reason="lost phone")
    )
    await counter.refused(BuyerFrozen, counter.payments.pay(counter.by_lin(counter.order())))


async def test_an_order_for_one_buyer_is_not_for_another(counter: Counter) -> None:
    order = counter.order(wanted_buyer=counter.lin)
    await counter.refused(BuyerNotMatched, counter.payments.pay(counter.by_bo(order)))
    assert (await counter.payments.pay(counter.by_lin(order))).paid_at is not None


async def test_a_code_works_once(counter: Counter) -> None:
    code = CodeUse(3, DeviceId(uuid7()), 59_000_000)
    paid = await counter.payments.pay(counter.by_lin(counter.order(), code=code))
    assert await counter.payments.pay(counter.by_lin(counter.order(), code=code)) == paid
    other = counter.by_lin(counter.order("tea-2"), code=code)
    await counter.refused(CodeInvalid, counter.payments.pay(other))


async def test_a_code_shown_to_two_shops_at_once_pays_one(counter: Counter) -> None:
    code = CodeUse(3, DeviceId(uuid7()), 59_000_000)
    orders = [counter.by_lin(counter.order(f"tea-{n}"), code=code) for n in range(20)]
    answers = await asyncio.gather(
        *[counter.payments.pay(payment) for payment in orders], return_exceptions=True
    )
    refusals = [answer for answer in answers if isinstance(answer, CodeInvalid)]
    assert len(refusals) == 19
    assert await counter.balances() == (LIN_HAS_MINOR - 10_000, 0, 9_940, 60)


async def test_an_unknown_trade_cannot_be_paid(counter: Counter) -> None:
    unknown = counter.by_lin(new_trade_id(5))
    await counter.refused(TradeNotFound, counter.payments.pay(unknown))


async def test_two_payers_of_one_order_at_once(counter: Counter) -> None:
    await counter.books.fund(counter.bo_account, 50_000)
    order = await counter.payments.make_order(counter.order())
    answers = await asyncio.gather(
        *[counter.payments.pay(counter.by_lin(order.id)) for _ in range(10)],
        *[counter.payments.pay(counter.by_bo(order.id)) for _ in range(10)],
        return_exceptions=True,
    )
    assert sum(isinstance(answer, TradePaid) for answer in answers) == 10
    lin, bo, shop, fee = await counter.balances()
    assert (lin + bo, shop, fee) == (LIN_HAS_MINOR + 50_000 - 10_000, 9_940, 60)


async def test_the_last_100_yuan_are_spent_once(counter: Counter) -> None:
    await counter.paid("rest", LIN_HAS_MINOR - 10_000)
    answers = await asyncio.gather(
        *[counter.payments.pay(counter.by_lin(counter.order(f"race-{n}"))) for n in range(50)],
        return_exceptions=True,
    )
    assert sum(isinstance(answer, BalanceInsufficient) for answer in answers) == 49
    assert (await counter.balances())[0] == 0


async def test_partial_refunds_return_the_fee_and_the_last_closes(counter: Counter) -> None:
    trade = await counter.paid()
    first = await counter.refund(trade, "r1", 3_333)
    second = await counter.refund(trade, "r2", 3_333)
    assert second.trade.state is TradeState.TRADE_SUCCESS
    last = await counter.refund(trade, "r3", 3_334)
    assert (last.trade.state, last.trade.refunded_minor) == (TradeState.TRADE_CLOSED, 10_000)
    returned = [done.refund.fee_returned_minor for done in (first, second, last)]
    assert sum(returned) == 60
    assert await counter.balances() == (LIN_HAS_MINOR, 0, 0, 0)
    assert [told for told in await outbox(counter) if told[0] == "refunded"] == [
        ("refunded", "TRADE_SUCCESS", 3_333),
        ("refunded", "TRADE_SUCCESS", 6_666),
        ("refunded", "TRADE_CLOSED", 10_000),
    ]


async def test_a_refund_asked_fifty_times_at_once_happens_once(counter: Counter) -> None:
    trade = await counter.paid()
    answers = await asyncio.gather(*[counter.refund(trade, "r1", 4_000) for _ in range(50)])
    assert sum(answer.moved_now for answer in answers) == 1
    assert len({answer.refund.id for answer in answers}) == 1
    assert (await counter.balances())[0] == LIN_HAS_MINOR - 6_000


async def test_what_cannot_be_refunded(counter: Counter) -> None:
    waiting = await counter.payments.make_order(counter.order("tea-0"))
    await counter.refused(TradeUnpaid, counter.refund(waiting, "r1", 1))
    trade = await counter.paid()
    await counter.refund(trade, "r1", 4_000)
    await counter.refused(RefundDiffers, counter.refund(trade, "r1", 4_001))
    await counter.refused(RefundExceeds, counter.refund(trade, "r2", 6_001))
    stranger = counter.refund_of(trade, "r3", 1)
    object.__setattr__(stranger, "merchant", MerchantId(uuid7()))
    await counter.refused(TradeNotFound, counter.payments.refund(stranger))
    await counter.refund(trade, "r2", 6_000)
    await counter.refused(TradeClosed, counter.refund(trade, "r4", 1))


async def test_a_shop_that_has_spent_its_takings_cannot_refund(counter: Counter) -> None:
    trade = await counter.paid()
    elsewhere = await counter.books.open(NewAccount("CNY", "bank"))
    bucket = counter.lin_account & 255
    async with counter.books.database.acquire() as connection:
        stripe = await connection.fetchval(
            "SELECT bucket FROM ledger.account WHERE id = $1 AND credits_posted > 0",
            counter.shop_account,
        )
    assert stripe == bucket
    await counter.books.post(Leg(counter.shop_account, elsewhere, 9_940, debit_bucket=bucket))
    await counter.refused(SellerBalanceInsufficient, counter.refund(trade, "r1", 5_000))


async def test_a_refund_finds_the_money_in_other_stripes(counter: Counter) -> None:
    trade = await counter.paid()
    bucket = counter.lin_account & 255
    elsewhere = await counter.books.open(NewAccount("CNY", "bank"), bucket=(bucket + 1) % 64)
    await counter.books.post(Leg(counter.shop_account, elsewhere, 9_940, debit_bucket=bucket))
    await counter.books.post(
        Leg(elsewhere, counter.shop_account, 9_940, credit_bucket=(bucket + 1) % 64)
    )
    done = await counter.refund(trade, "r1", 10_000)
    assert done.trade.state is TradeState.TRADE_CLOSED
    assert (await counter.balances())[0] == LIN_HAS_MINOR


async def test_closing_an_unpaid_order(counter: Counter) -> None:
    order = await counter.payments.make_order(counter.order())
    closed = await counter.payments.close(order.id, counter.mei, "mei")
    assert closed.state is TradeState.TRADE_CLOSED
    assert await counter.payments.close(order.id, counter.mei, "mei") == closed
    await counter.refused(TradeClosed, counter.payments.pay(counter.by_lin(order.id)))
    await counter.refused(TradeClosed, counter.payments.make_order(counter.order()))


async def test_a_paid_order_cannot_be_closed(counter: Counter) -> None:
    trade = await counter.paid()
    await counter.refused(TradeNotClosable, counter.payments.close(trade.id, counter.mei, "mei"))
    stranger = MerchantId(uuid7())
    await counter.refused(TradeNotFound, counter.payments.close(trade.id, stranger, "x"))


async def test_cancelling_closes_what_is_unpaid_and_gives_back_what_is_paid(
    counter: Counter,
) -> None:
    order = await counter.payments.make_order(counter.order("tea-0"))
    unpaid = await counter.payments.cancel(order.id, counter.mei, "mei")
    assert (unpaid.action, unpaid.trade.state) == (CancelAction.CLOSE, TradeState.TRADE_CLOSED)
    trade = await counter.paid()
    await counter.refund(trade, "r1", 1_000)
    cancelled = await counter.payments.cancel(trade.id, counter.mei, "mei")
    assert (cancelled.action, cancelled.trade.state) == (
        CancelAction.REFUND,
        TradeState.TRADE_CLOSED,
    )
    assert await counter.balances() == (LIN_HAS_MINOR, 0, 0, 0)
    again = await counter.payments.cancel(trade.id, counter.mei, "mei")
    assert again.action is CancelAction.REFUND
    assert await counter.balances() == (LIN_HAS_MINOR, 0, 0, 0)


async def test_time_closes_what_is_unpaid_and_finishes_what_is_paid(counter: Counter) -> None:
    order = await counter.payments.make_order(counter.order("tea-0"))
    trade = await counter.paid()
    counter.clock.advance(hours=2)
    late = counter.by_lin(order.id)
    await counter.refused(TradeClosed, counter.payments.pay(late))
    assert (await counter.payments.find_order(order.id)).state is TradeState.TRADE_CLOSED
    assert await counter.payments.end_due() == 0
    counter.clock.advance(days=365)
    assert await counter.payments.end_due() == 1
    assert (await counter.payments.find_order(trade.id)).state is TradeState.TRADE_FINISHED
    await counter.refused(TradeFinished, counter.refund(trade, "r1", 1))
    await counter.refused(TradeFinished, counter.payments.cancel(trade.id, counter.mei, "mei"))
    assert [told[0] for told in await outbox(counter)] == ["paid", "expired", "finished"]


async def test_expiry_and_payment_race_to_one_end(counter: Counter) -> None:
    orders = [
        await counter.payments.make_order(
            counter.order(f"tea-{n}", 100, expires_at=counter.clock.now() + timedelta(seconds=1))
        )
        for n in range(10)
    ]
    pays = [counter.payments.pay(counter.by_lin(order.id)) for order in orders]
    counter.clock.advance(seconds=1)
    await asyncio.gather(*pays, counter.payments.end_due(), return_exceptions=True)
    for order in orders:
        ended = await counter.payments.find_order(order.id)
        assert ended.state in {TradeState.TRADE_SUCCESS, TradeState.TRADE_CLOSED}
    assert Money(1, ended.total.currency).amount_minor == 1
