"""Mei's teahouse, which sells, and Lin, who pays, with their accounts in a test's database."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from xinghan import identity, wallets
from xinghan.identity import AppMode, Merchant, NewApp, Person
from xinghan.kit.clock import Clock
from xinghan.kit.db import Database
from xinghan.kit.ids import AccountId, PostingId, uuid7
from xinghan.kit.money import Currency, Money
from xinghan.kit.vault import Vault
from xinghan.ledger import NewAccount, open_account
from xinghan.payments.desk import Payments
from xinghan.payments.fees import FeePlan
from xinghan.payments.model import NewTrade, Payment, Refund, RefundRequest, Trade

CNY = Currency.of("CNY")
APP_ID = "2021000000000001"


@dataclass
class Sale:
    """A merchant, and a payer with 1,000,000.00 CNY; `app` once somebody has added it."""

    database: Database
    vault: Vault
    clock: Clock
    merchant: Merchant
    app_id: str
    payer: Person
    payer_account: AccountId
    seller_account: AccountId
    fee_account: AccountId
    app: NewApp | None = None
    numbers: count = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.payments = Payments(self.database, self.clock)

    @classmethod
    async def prepare(cls, database: Database, vault: Vault, clock: Clock) -> "Sale":
        async with database.transaction() as connection:
            merchant = await identity.create_merchant(
                connection, vault, "Mei's teahouse", actor="t"
            )
            payer = await identity.create_person(connection, vault, "林小雨", actor="t")
            seller = await wallets.open_merchant_account(connection, merchant.id, CNY)
            wallet = await wallets.open_wallet(connection, payer.key, CNY)
            fees = await open_account(connection, NewAccount("CNY", "fee_income", striped=True))
            money = Money(100_000_000, CNY)
            await wallets.top_up(connection, payer.key, money, PostingId(uuid7()))
        return cls(database, vault, clock, merchant, APP_ID, payer, wallet, seller, fees)

    async def add_app(self, mode: AppMode = AppMode.KEY) -> NewApp:
        """Give the merchant a real app, whose orders these are from now on."""
        async with self.database.transaction() as connection:
            self.app = await identity.create_app(
                connection, self.vault, self.merchant, mode, actor="t", clock=self.clock
            )
        self.app_id = self.app.app_id
        return self.app

    def order(
        self,
        notify_url: str | None,
        total_minor: int = 1234,
        app_id: str | None = None,
        **details: str,
    ) -> NewTrade:
        """Ask for one more order of the merchant's."""
        return NewTrade(
            merchant=self.merchant.id,
            app_id=app_id or self.app_id,
            out_trade_no=f"T{next(self.numbers)}",
            subject="红茶 & 1+1=2",
            total=Money(total_minor, CNY),
            seller_account=self.seller_account,
            fee_account=self.fee_account,
            fee_plan=FeePlan(60),
            expires_at=self.clock.now() + timedelta(minutes=5),
            details=details,
            notify_url=notify_url,
        )

    async def pay(self, notify_url: str | None, **order: object) -> Trade:
        """Make one more order and pay it at once."""
        wanted = self.order(notify_url, **order)
        return await self.payments.pay(Payment(wanted, self.payer.id, self.payer_account, "lin"))

    async def refund(self, trade: Trade, amount_minor: int, number: str = "R1") -> Refund:
        """Give a part of a trade back."""
        amount = Money(amount_minor, CNY)
        request = RefundRequest(trade.id, self.merchant.id, number, amount, self.app_id)
        return (await self.payments.refund(request)).refund
