"""A load of payments that goes on across crashes, and remembers all that it was promised."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import ClassVar, TypeVar

import httpx

from bookkeeping import Bookkeeper
from journeys.crash_deeds import (
    ACTOR,
    Customer,
    Deed,
    Desk,
    PartialRefund,
    Sale,
    ScannedOrder,
    ScannedPayment,
    TopUp,
    Unknown,
)
from journeys.scene import CNY, Scene, new_number
from xinghan import identity, wallets
from xinghan.kit.db import ConnectionLost
from xinghan.kit.ids import AccountId, PostingId, uuid7
from xinghan.kit.money import Money

PLENTY_MINOR = 10**12
UNITS_MAX = 4
PHONES_EACH = 12
ASK_AGAIN_SECONDS = 0.2
KNOWN_SECONDS_MAX = 90
PAUSE_SECONDS = 0.02

Answer = TypeVar("Answer")


class Load:
    """Tills that do deeds one after the other while they are open."""

    kinds: ClassVar = (ScannedPayment, ScannedPayment, ScannedOrder, TopUp, PartialRefund)

    def __init__(self, desk: Desk, customers: list[Customer], random: Random) -> None:
        self.desk = desk
        self.deeds: list[Deed] = []
        self._customers = customers
        self._random = random
        self._opened = asyncio.Event()
        self._asking = 0
        self._initial: Counter[AccountId] = Counter()

    @property
    def unsettled(self) -> list[Deed]:
        """What was asked for and not promised."""
        return [deed for deed in self.deeds if not deed.acknowledged]

    def open(self) -> None:
        self._opened.set()

    def close(self) -> None:
        """Let no till begin anything more."""
        self._opened.clear()

    async def finish(self) -> None:
        """Wait until every till has its answer, or knows that none will come."""
        while self._asking:  # noqa: ASYNC110 (a crash ends an asking in many ways)
            await asyncio.sleep(PAUSE_SECONDS)

    async def work(self) -> None:
        """Be one till."""
        while True:
            await self._opened.wait()
            deed = self._choose()
            self.deeds.append(deed)
            self._asking += 1
            try:
                await deed.ask()
                deed.acknowledged = True
            except Unknown:
                await asyncio.sleep(PAUSE_SECONDS)
            finally:
                self._asking -= 1

    async def note_initial_balances(self) -> None:
        """Remember what everybody has before the first deed."""
        self._initial = await self._balances()

    async def check_books(self, done: Iterable[Deed]) -> None:
        """See that the accounts hold exactly what these deeds have moved."""
        expected = self._initial.copy()
        for deed in done:
            for account, change_minor in deed.moves.items():
                expected[account] += change_minor
        found = await self._balances()
        differences = {account: found[account] - minor for account, minor in expected.items()}
        assert not any(differences.values()), differences

    async def check_deeds(self, first: int) -> None:
        """See that each deed from this one on is there as it was asked for."""
        for deed in self.deeds[first:]:
            assert await until_known(deed.is_done), deed

    async def settle(self) -> None:
        """Look what became of each deed that nobody promised, then ask again until it is done."""
        promised = [deed for deed in self.deeds if deed.acknowledged]
        silently_done = [deed for deed in self.unsettled if await until_known(deed.is_done)]
        await self.check_books([*promised, *silently_done])
        for deed in self.unsettled:
            await until_known(deed.ask)
            deed.acknowledged = True
        await self.check_books(self.deeds)

    def _choose(self) -> Deed:
        kind = self._random.choice(self.kinds)
        refundable = [
            deed
            for deed in self.deeds
            if isinstance(deed, Sale) and deed.acknowledged and deed.refunds_asked < deed.units - 1
        ]
        if kind is PartialRefund and refundable:
            sale = self._random.choice(refundable)
            sale.refunds_asked += 1
            return PartialRefund(self.desk, sale.customer, 1, sale=sale)
        kind = TopUp if kind is PartialRefund else kind
        units = self._random.randint(1, UNITS_MAX)
        return kind(self.desk, self._random.choice(self._customers), units)

    async def _balances(self) -> Counter[AccountId]:
        desk = self.desk
        accounts = [customer.account for customer in self._customers]
        accounts += [desk.shop.account, desk.fee_account, desk.funding_account]
        books = Bookkeeper(desk.database)
        return Counter(dict(zip(accounts, await books.minor(*accounts), strict=True)))


async def until_known(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask until there is an answer; raise what came instead when that takes too long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + KNOWN_SECONDS_MAX
    while True:
        try:
            return await ask()
        except (Unknown, ConnectionLost):
            if loop.time() > deadline:
                raise
            await asyncio.sleep(ASK_AGAIN_SECONDS)


async def make_customer(scene: Scene) -> Customer:
    """Make a person with more money than they will spend, and many phones."""
    async with scene.database.transaction() as connection:
        person = await identity.create_sandbox_person(
            connection, scene.vault, new_number(), actor=ACTOR
        )
        phones = [
            await identity.add_device(connection, scene.vault, person, actor=ACTOR)
            for _ in range(PHONES_EACH)
        ]
        account = await wallets.open_wallet(connection, person.key, CNY)
        plenty = Money(PLENTY_MINOR, CNY)
        await wallets.top_up(connection, person.key, plenty, PostingId(uuid7()))
    return Customer(person, account, phones)


async def make_desk(scene: Scene, client: httpx.AsyncClient, notify_url: str) -> Desk:
    """Make a shop, and find the platform's own accounts."""
    async with scene.database.transaction() as connection:
        fees, funding = [
            await wallets.platform_account(connection, purpose, CNY)
            for purpose in (wallets.Purpose.FEE_INCOME, wallets.Purpose.SANDBOX_FUNDING)
        ]
    return Desk(scene, await scene.shop(), client, notify_url, fees, funding)
