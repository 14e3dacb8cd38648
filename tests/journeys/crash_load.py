"""A load of payments that goes on across crashes, and remembers all that it was promised.

Every amount is a multiple of 50.00, of which a fee of 60 basis points leaves no rest: so what each
deed moves is known beforehand, to the last minor unit.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import ClassVar, TypeVar

import httpx

from bookkeeping import Bookkeeper
from journeys.scene import CNY, Scene, Shop, new_number
from xinghan import identity, wallets
from xinghan.kit.clock import SystemClock
from xinghan.kit.commit import commit
from xinghan.kit.db import ConnectionLost, Database
from xinghan.kit.ids import AccountId, PostingId, TradeId, uuid7
from xinghan.kit.money import Money, format_amount
from xinghan.ledger import RACES
from xinghan.payments import Payment, Payments
from xinghan.payments.codes import derive_code, order_code_key, step_at, trade_of_order_token

ACTOR = "crash test"
PLENTY_MINOR = 10**12
UNIT_MINOR = 5000
FEE_MINOR = 30
UNITS_MAX = 4
PHONES_EACH = 12
ASK_AGAIN_SECONDS = 0.2
KNOWN_SECONDS_MAX = 90
PAUSE_SECONDS = 0.02

Answer = TypeVar("Answer")
Moves = Mapping[AccountId, int]
Event = tuple[str, str]


class Unknown(Exception):
    """The answer did not come, or says that nobody knows whether it was done."""


@dataclass
class Customer:
    """A person with money and so many phones that one of them shows a code not used yet."""

    person: identity.Person
    account: AccountId
    phones: list[identity.NewDevice]
    _used: set[tuple[int, int]] = field(default_factory=set)

    def code(self) -> str | None:
        """Show a code that is good for at least half a minute more; None when all are used."""
        now = step_at(datetime.now(UTC))
        for step in (now, now + 1):
            for phone in self.phones:
                if (phone.number, step) not in self._used:
                    self._used.add((phone.number, step))
                    return derive_code(phone.number, phone.secret, step)
        return None


@dataclass(frozen=True)
class Desk:
    """Where deeds are done: one shop's program, the payments room, and the accounts that matter."""

    scene: Scene
    shop: Shop
    client: httpx.AsyncClient
    notify_url: str
    fee_account: AccountId
    funding_account: AccountId

    @property
    def database(self) -> Database:
        return self.scene.database

    async def call(self, method: str, **content: str) -> dict[str, str]:
        """Call a method of the gateway. Raises Unknown."""
        parameters = self.shop.signed(method, content, notify_url=self.notify_url)
        try:
            answer = await self.client.post(self.shop.gateway_url, data=parameters)
        except httpx.TransportError as error:
            raise Unknown from error
        assert answer.status_code == 200, answer.text
        node: dict[str, str] = answer.json()[f"{method.replace('.', '_')}_response"]
        if node["code"] == "20000":
            raise Unknown
        return node


@dataclass(eq=False)
class Deed(ABC):
    """Something that somebody wants done once, however often it has to be asked for."""

    desk: Desk
    customer: Customer
    units: int
    number: str = field(default_factory=new_number)
    acknowledged: bool = False

    @abstractmethod
    async def ask(self) -> None:
        """Ask for it, also again; returning is the platform's promise. Raises Unknown."""

    @abstractmethod
    async def is_done(self) -> bool:
        """Look whether it is there, exactly as asked. Raises Unknown."""

    @property
    @abstractmethod
    def moves(self) -> Moves:
        """By how much which accounts grow, each on its normal side, in minor units."""

    @property
    def event(self) -> Event | None:
        """What the shop is told of, by its own numbers; None when it is told nothing."""
        return None

    @property
    def amount(self) -> str:
        return format_amount(Money(self.units * UNIT_MINOR, CNY))


@dataclass(eq=False)
class TopUp(Deed):
    """Play money for a wallet."""

    posting: PostingId = field(default_factory=lambda: PostingId(uuid7()))

    async def ask(self) -> None:
        key = self.customer.person.key
        money = Money(self.units * UNIT_MINOR, CNY)
        await _known_or_lost(
            commit(
                self.desk.database,
                lambda connection: wallets.top_up(connection, key, money, self.posting),
                races=RACES,
            )
        )

    async def is_done(self) -> bool:
        statement = "SELECT count(*) FROM ledger.posting WHERE id = $1"
        async with self.desk.database.acquire() as connection:
            found: int = await connection.fetchval(statement, self.posting)
        assert found <= 1
        return found == 1

    @property
    def moves(self) -> Moves:
        moved = self.units * UNIT_MINOR
        return {self.customer.account: moved, self.desk.funding_account: moved}


class Sale(Deed):
    """An order that is paid; the shop may give parts of it back."""

    refunds_asked = 0

    async def is_done(self) -> bool:
        node = await self.desk.call("alipay.trade.query", out_trade_no=self.number)
        if node.get("sub_code") == "ACQ.TRADE_NOT_EXIST":
            return False
        assert (node["code"], node["total_amount"]) == ("10000", self.amount)
        if node["trade_status"] == "WAIT_BUYER_PAY":
            return False
        assert (node["trade_status"], node["buyer_pay_amount"]) == ("TRADE_SUCCESS", self.amount)
        assert node["buyer_user_id"] == self.customer.person.user_id
        return True

    @property
    def moves(self) -> Moves:
        paid, fee = self.units * UNIT_MINOR, self.units * FEE_MINOR
        return {
            self.customer.account: -paid,
            self.desk.shop.account: paid - fee,
            self.desk.fee_account: fee,
        }

    @property
    def event(self) -> Event:
        return self.number, ""

    @property
    def content(self) -> dict[str, str]:
        return {"out_trade_no": self.number, "subject": "茶", "total_amount": self.amount}


class ScannedPayment(Sale):
    """The shop scans the code on the customer's phone."""

    async def ask(self) -> None:
        while (code := self.customer.code()) is None:
            await asyncio.sleep(1)
        node = await self.desk.call("alipay.trade.pay", **self.content, auth_code=code)
        assert (node["code"], node["buyer_pay_amount"]) == ("10000", self.amount), node


class ScannedOrder(Sale):
    """The customer scans the order's code, and pays it in the payments room."""

    trade: TradeId | None = None

    async def ask(self) -> None:
        if self.trade is None:
            node = await self.desk.call("alipay.trade.precreate", **self.content)
            assert node["code"] == "10000", node
            token = node["qr_code"].rpartition("/")[2]
            self.trade = trade_of_order_token(token, order_code_key(self.desk.scene.vault))
        assert self.trade is not None
        payments = Payments(self.desk.database, SystemClock())
        payer = self.customer.person.id
        await _known_or_lost(payments.pay(Payment(self.trade, payer, self.customer.account, ACTOR)))


@dataclass(eq=False)
class PartialRefund(Deed):
    """A part of a sale is given back."""

    sale: Sale = field(kw_only=True)

    async def ask(self) -> None:
        node = await self.desk.call(
            "alipay.trade.refund",
            out_trade_no=self.sale.number,
            out_request_no=self.number,
            refund_amount=self.amount,
        )
        assert (node["code"], node["send_back_fee"]) == ("10000", self.amount), node

    async def is_done(self) -> bool:
        node = await self.desk.call(
            "alipay.trade.fastpay.refund.query",
            out_trade_no=self.sale.number,
            out_request_no=self.number,
        )
        assert node["code"] == "10000", node
        if "refund_status" not in node:
            return False
        assert (node["refund_status"], node["refund_amount"]) == ("REFUND_SUCCESS", self.amount)
        return True

    @property
    def moves(self) -> Moves:
        given, fee = self.units * UNIT_MINOR, self.units * FEE_MINOR
        return {
            self.customer.account: given,
            self.desk.shop.account: fee - given,
            self.desk.fee_account: -fee,
        }

    @property
    def event(self) -> Event:
        return self.sale.number, self.number


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
        while self._asking:
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
    """Ask until there is an answer."""
    async with asyncio.timeout(KNOWN_SECONDS_MAX):
        while True:
            try:
                return await ask()
            except (Unknown, ConnectionLost):
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


async def _known_or_lost(work: Awaitable[object]) -> None:
    try:
        await work
    except ConnectionLost as error:
        raise Unknown from error
