"""What shops and people want done in a crash test, each thing once however often it is asked for.

Every amount is a multiple of 50.00, of which a fee of 60 basis points leaves no rest: so what each
deed moves is known beforehand, to the last minor unit.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

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
UNIT_MINOR = 5000
FEE_MINOR = 30

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
            raise Unknown(repr(error)) from error
        assert answer.status_code == 200, answer.text
        node: dict[str, str] = answer.json()[f"{method.replace('.', '_')}_response"]
        if node["code"] == "20000":
            raise Unknown(node["sub_msg"])
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
        while (code := self.customer.code()) is None:  # noqa: ASYNC110 (time makes new ones)
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


async def _known_or_lost(work: Awaitable[object]) -> None:
    try:
        await work
    except ConnectionLost as error:
        raise Unknown(str(error)) from error
