"""The outbox: every shop is told at least once, and no shop makes the others wait."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from cast.clock import FixedClock
from cast.sale import Sale
from cast.shop_server import SUCCESS, Answer, open_shop, saying
from xinghan.kit.db import Database, InsufficientPrivilege
from xinghan.kit.ids import NotificationId, uuid7
from xinghan.kit.outgoing import Outgoing
from xinghan.kit.vault import Vault
from xinghan.payments import jobs
from xinghan.payments.delivery import Deliverer, Limits, choose_due
from xinghan.payments.model import Attempt, EventKind, Notification, Trade
from xinghan.payments.notifications import (
    ANSWER_CHARACTERS_MAX,
    LEASE,
    SCHEDULE,
    Claimed,
    Due,
    NotificationNotFound,
    Told,
    claim,
    clean_answer,
    list_attempts,
    list_due,
    list_notifications,
    resend_notification,
)
from xinghan.payments.store import list_events

LOOPBACK = ("127.0.0.0/8",)
UNKNOWN_APP = "2021000000000000"
QUICK = Limits(timeout=timedelta(seconds=0.2))


@dataclass(frozen=True)
class PlainForm:
    content_type: str
    body: bytes


class PlainWire:
    """Tells a notification's id and what happened, unsigned."""

    async def render(self, claimed: Claimed, told: Told) -> PlainForm | None:
        if claimed.app_id == UNKNOWN_APP:
            return None
        if told.trade.subject == "unspeakable":
            raise ValueError("a bug in what writes notices")
        body = f"id={claimed.id}&kind={told.kind}&number={claimed.number}"
        return PlainForm("application/x-www-form-urlencoded", body.encode())

    def accepts(self, status: int, body: bytes) -> bool:
        return (status, body) == SUCCESS


Deliver = Callable[..., Deliverer]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def sale(database: Database, clock: FixedClock) -> Sale:
    return await Sale.prepare(database, Vault({1: bytes(range(32))}), clock)


@pytest.fixture
async def deliver(database: Database, clock: FixedClock) -> AsyncIterator[Deliver]:
    """Make deliverers that may call this machine, unless something else is given."""
    made: list[tuple[Deliverer, Outgoing]] = []

    def make(allow: tuple[str, ...] = LOOPBACK, limits: Limits = QUICK) -> Deliverer:
        outgoing = Outgoing(allow)
        deliverer = Deliverer(database, clock, outgoing, PlainWire(), limits=limits)
        made.append((deliverer, outgoing))
        return deliverer

    yield make
    for deliverer, outgoing in made:
        await deliverer.stop(timedelta(0))
        await outgoing.close()


async def told(sale: Sale, trade: Trade) -> tuple[Notification, list[Attempt]]:
    """Give the trade's one notification and its tries."""
    async with sale.database.acquire() as connection:
        [notification] = await list_notifications(connection, trade.id)
        return notification, await list_attempts(connection, trade.bucket, notification.id)


async def send_all(deliverer: Deliverer) -> int:
    begun = await jobs.deliver_notifications(deliverer)
    await deliverer.finish()
    return begun


async def test_a_payment_leaves_a_notification_and_the_shop_is_told_once(
    sale: Sale, deliver: Deliver
) -> None:
    async with open_shop() as shop:
        trade = await sale.pay(shop.url)
        deliverer = deliver()
        assert await send_all(deliverer) == 1
        assert await send_all(deliverer) == 0
    notification, [attempt] = await told(sale, trade)
    assert shop.forms == [{"id": str(notification.id), "kind": "paid", "number": "1"}]
    assert notification.delivered_at == sale.clock.now()
    assert notification.next_attempt_at is None
    assert (attempt.outcome, attempt.http_status, attempt.answer) == ("delivered", 200, "success")
    assert attempt.elapsed_milliseconds is not None


async def test_a_trade_without_an_address_has_nothing_to_be_told(
    sale: Sale, deliver: Deliver
) -> None:
    trade = await sale.pay(None)
    assert await send_all(deliver()) == 0
    async with sale.database.acquire() as connection:
        assert await list_notifications(connection, trade.id) == []


async def test_the_schedule_is_kept_until_the_shop_is_given_up(
    sale: Sale, deliver: Deliver, clock: FixedClock
) -> None:
    refusals: list[Answer] = [
        (500, b"success"),
        (200, b"SUCCESS"),
        (302, b""),
        *[(200, b"fail")] * 9,
    ]
    async with open_shop(saying(*refusals)) as shop:
        trade = await sale.pay(shop.url)
        deliverer = deliver()
        for pause in SCHEDULE:
            assert await send_all(deliverer) == 1
            notification, _ = await told(sale, trade)
            assert notification.next_attempt_at == clock.now() + pause
            clock.advance(seconds=int(pause.total_seconds()) - 1)
            assert await send_all(deliverer) == 0
            clock.advance(seconds=1)
        assert await send_all(deliverer) == 1
        clock.advance(days=30)
        assert await send_all(deliverer) == 0
    notification, attempts = await told(sale, trade)
    assert (notification.next_attempt_at, notification.delivered_at) == (None, None)
    assert [attempt.outcome for attempt in attempts] == ["refused"] * 8
    assert [attempt.http_status for attempt in attempts][:4] == [500, 200, 302, 200]
    assert {form["id"] for form in shop.forms} == {str(notification.id)}


async def test_a_shop_that_understands_later_is_left_alone(
    sale: Sale, deliver: Deliver, clock: FixedClock
) -> None:
    async with open_shop(saying((200, b"fail"))) as shop:
        trade = await sale.pay(shop.url)
        deliverer = deliver()
        await send_all(deliverer)
        clock.advance(minutes=4)
        await send_all(deliverer)
        clock.advance(days=1)
        assert await send_all(deliverer) == 0
    _, attempts = await told(sale, trade)
    assert [attempt.outcome for attempt in attempts] == ["refused", "delivered"]


async def test_a_shop_that_says_nothing_is_unreachable(sale: Sale, deliver: Deliver) -> None:
    async def never(_form: dict[str, str]) -> Answer:
        await asyncio.Event().wait()
        return SUCCESS

    async with open_shop(never) as shop:
        trade = await sale.pay(shop.url)
        await send_all(deliver())
    notification, [attempt] = await told(sale, trade)
    assert (attempt.outcome, attempt.http_status, attempt.answer) == (
        "unreachable",
        None,
        "timeout",
    )
    assert notification.next_attempt_at == sale.clock.now() + SCHEDULE[0]


async def test_a_closed_port_is_unreachable(sale: Sale, deliver: Deliver) -> None:
    async with open_shop() as shop:
        pass
    trade = await sale.pay(shop.url)
    await send_all(deliver())
    _, [attempt] = await told(sale, trade)
    assert attempt.outcome == "unreachable"
    assert attempt.answer


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://[::1]:{port}/"]
)
async def test_addresses_of_the_operators_network_are_refused_and_tried_again(
    sale: Sale, deliver: Deliver, clock: FixedClock, url: str
) -> None:
    async with open_shop() as shop:
        port = shop.url.split(":")[2].split("/")[0]
        trade = await sale.pay(url.format(port=port))
        await send_all(deliver(allow=()))
        notification, [attempt] = await told(sale, trade)
        assert shop.forms == []
    assert (attempt.outcome, attempt.http_status) == ("address_refused", None)
    assert "not a public address" in (attempt.answer or "")
    assert notification.next_attempt_at == clock.now() + SCHEDULE[0]


async def test_an_unknown_app_and_a_bug_stop_no_other_shop(sale: Sale, deliver: Deliver) -> None:
    async with open_shop() as shop:
        strange = await sale.pay(shop.url, app_id=UNKNOWN_APP)
        order = replace(sale.order(shop.url), subject="unspeakable")
        broken = await sale.payments.make_order(order)
        await sale.payments.close(broken.id, sale.merchant.id, "mei")
        usual = await sale.pay(shop.url)
        assert await send_all(deliver()) == 3
    outcomes = [(await told(sale, trade))[1][0] for trade in (strange, broken, usual)]
    assert [one.outcome for one in outcomes] == ["not_sent", "not_sent", "delivered"]
    assert [one.answer for one in outcomes[:2]] == [f"unknown app {UNKNOWN_APP}", "ValueError"]
    assert len(shop.forms) == 1


async def test_after_a_crash_before_the_first_try_the_next_process_tells(
    sale: Sale, deliver: Deliver
) -> None:
    async with open_shop() as shop:
        await sale.pay(shop.url)
        await deliver().stop(timedelta(0))
        assert await send_all(deliver()) == 1
        assert len(shop.forms) == 1


async def test_a_try_that_a_crash_cut_short_stays_and_the_lease_brings_the_next(
    sale: Sale, deliver: Deliver, clock: FixedClock
) -> None:
    async def never(_form: dict[str, str]) -> Answer:
        await asyncio.Event().wait()
        return SUCCESS

    async with open_shop(never) as shop:
        trade = await sale.pay(shop.url)
        dying = deliver(limits=Limits())
        assert await dying.send_due() == 1
        await shop.wait_for(1)
        await dying.stop(timedelta(0))
        shop.answering = saying()
        living = deliver()
        assert await send_all(living) == 0
        clock.advance(seconds=int(LEASE.total_seconds()))
        assert await send_all(living) == 1
    notification, [cut_short, after] = await told(sale, trade)
    assert (cut_short.outcome, after.outcome) == (None, "delivered")
    assert {form["id"] for form in shop.forms} == {str(notification.id)}


async def test_racing_deliverers_send_every_try_once(sale: Sale, deliver: Deliver) -> None:
    async with open_shop() as shop:
        await asyncio.gather(*(sale.pay(shop.url) for _ in range(60)))
        racing = [deliver(limits=Limits(total=10, per_shop=10)) for _ in range(3)]
        for _ in range(60):
            await asyncio.gather(*(one.send_due() for one in racing))
            await asyncio.gather(*(one.finish() for one in racing))
        told_of = Counter((form["id"], form["number"]) for form in shop.forms)
    assert len(told_of) == 60
    assert set(told_of.values()) == {1}


async def test_two_claims_of_one_notification_give_it_to_one(
    sale: Sale, database: Database
) -> None:
    await sale.pay("https://shop.example/")
    now = sale.clock.now()
    async with database.transaction() as one, database.transaction() as other:
        due = await list_due(one, now, full_apps=[], full_hosts=[], per_app=5, limit=5)
        assert due == await list_due(other, now, full_apps=[], full_hosts=[], per_app=5, limit=5)
        assert len(await claim(one, due, now)) == 1
        assert await claim(other, due, now) == []
    async with database.transaction() as late:
        assert await claim(late, due, now) == []


async def test_a_slow_shop_does_not_delay_another(sale: Sale, deliver: Deliver) -> None:
    slow_is_released = asyncio.Event()

    async def slowly(_form: dict[str, str]) -> Answer:
        await slow_is_released.wait()
        return SUCCESS

    async with open_shop(slowly) as slow, open_shop(host="127.0.0.2") as quick:
        for _ in range(50):
            await sale.pay(slow.url, app_id="2021000000000009")
        await sale.pay(quick.url)
        deliverer = deliver(limits=Limits(total=16, per_shop=4))
        await deliverer.send_due()
        await quick.wait_for(1)
        await slow.wait_for(4)
        assert not await deliverer.send_due()
        assert (slow.under_way, len(slow.forms)) == (4, 4)
        slow_is_released.set()
        await deliverer.finish()
        while await send_all(deliverer):
            pass
        assert (len(slow.forms), slow.under_way_max) == (50, 4)


async def test_one_shop_with_many_host_names_is_bounded_as_well() -> None:
    def due(app_id: str, host: str) -> Due:
        return Due(1, NotificationId(uuid7()), app_id, host)

    many_names = [due("1", f"{number}.shop.example") for number in range(20)]
    one_host = [due(str(number), "shops.example") for number in range(2, 20)]
    other = due("99", "other.example")
    chosen = choose_due([*many_names, *one_host, other], Counter({"1": 1}), Counter(), 32, 4)
    assert chosen == [*many_names[:3], *one_host[:4], other]
    assert len(choose_due(one_host, Counter(), Counter(), 2, 4)) == 2


async def test_asking_again_tells_a_shop_again_and_says_who_asked(
    sale: Sale, deliver: Deliver, clock: FixedClock
) -> None:
    async with open_shop() as shop:
        trade = await sale.pay(shop.url)
        deliverer = deliver()
        await send_all(deliverer)
        notification, _ = await told(sale, trade)
        async with sale.database.transaction() as connection:
            await resend_notification(connection, trade.bucket, notification.id, "ops", clock.now())
            last = (await list_events(connection, trade.id))[-1]
        assert (last.kind, last.actor) == (EventKind.RESENT, "ops")
        assert last.detail == {"notification": str(notification.id)}
        shop.answering = saying((500, b""))
        assert await send_all(deliverer) == 1
        notification, attempts = await told(sale, trade)
    assert [attempt.outcome for attempt in attempts] == ["delivered", "refused"]
    assert (notification.next_attempt_at, notification.delivered_at) == (None, clock.now())
    assert len({form["id"] for form in shop.forms}) == 1


async def test_asking_again_during_a_try_is_not_forgotten(
    sale: Sale, deliver: Deliver, clock: FixedClock
) -> None:
    asked = asyncio.Event()

    async def after_asking(_form: dict[str, str]) -> Answer:
        await asked.wait()
        return 500, b""

    async with open_shop(after_asking) as shop:
        trade = await sale.pay(shop.url)
        deliverer = deliver(limits=Limits())
        await deliverer.send_due()
        await shop.wait_for(1)
        notification, _ = await told(sale, trade)
        async with sale.database.transaction() as connection:
            await resend_notification(connection, trade.bucket, notification.id, "ops", clock.now())
        asked.set()
        await deliverer.finish()
        shop.answering = saying()
        assert await send_all(deliverer) == 1
    _, attempts = await told(sale, trade)
    assert [attempt.outcome for attempt in attempts] == ["refused", "delivered"]


async def test_an_unknown_notification_cannot_be_sent_again(database: Database) -> None:
    async with database.transaction() as connection:
        with pytest.raises(NotificationNotFound, match="no such notification"):
            await resend_notification(
                connection, 1, NotificationId(uuid7()), "ops", FixedClock().now()
            )


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("success", "success"),
        ("<html>\r\n\t<p>no\x00\x1b[31m\u202e</p>", "<html> <p>no[31m</p>"),
        ("茶" * 300, "茶" * ANSWER_CHARACTERS_MAX),
        ("\ud800x", "x"),
        ("", ""),
    ],
)
def test_an_answer_is_kept_as_one_short_line(said: str, kept: str) -> None:
    assert clean_answer(said) == kept


async def test_a_strange_answer_is_kept(sale: Sale, deliver: Deliver) -> None:
    async with open_shop(saying((418, b"\x00\xff\xfe<b>" + b"x" * 100_000))) as shop:
        trade = await sale.pay(shop.url)
        await send_all(deliver())
    _, [attempt] = await told(sale, trade)
    assert (attempt.outcome, attempt.http_status) == ("refused", 418)
    assert (attempt.answer or "").startswith("��<b>xxx")
    assert len(attempt.answer or "") == ANSWER_CHARACTERS_MAX


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments.notification SET content = '{}'",
        "UPDATE payments.notification SET url = 'http://elsewhere.example/'",
        "UPDATE payments.notification_attempt SET started_at = now()",
        "DELETE FROM payments.notification",
        "DELETE FROM payments.notification_attempt",
    ],
)
async def test_the_application_cannot_rewrite_what_a_shop_was_told(
    database: Database, statement: str
) -> None:
    async with database.acquire() as connection:
        with pytest.raises(InsufficientPrivilege):
            await connection.execute(statement)
