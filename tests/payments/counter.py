"""A shop, two payers and the payments counter for tests; refusals must not move the books."""

from datetime import timedelta
from typing import Final

from bookkeeping import Bookkeeper
from cast.clock import FixedClock
from xinghan.kit.db import Database
from xinghan.kit.errors import XinghanError
from xinghan.kit.ids import AccountId, MerchantId, PersonId, uuid7
from xinghan.kit.money import Currency, Money
from xinghan.ledger import NewAccount
from xinghan.payments import NewTrade, Payment, Payments, Refunded, RefundRequest, Trade
from xinghan.payments.fees import FeePlan

CNY: Final = Currency.of("CNY")
LIN_HAS_MINOR: Final = 100_000


class Counter:
    """Mei's teahouse (0.6 % fee), Lin who has 1,000.00, and Bo who has nothing."""

    def __init__(self, database: Database) -> None:
        self.clock = FixedClock()
        self.books = Bookkeeper(database)
        self.payments = Payments(database, self.clock)
        self.mei = MerchantId(uuid7())
        self.lin, self.bo = PersonId(uuid7()), PersonId(uuid7())
        self.shop_account = self.fee_account = self.lin_account = self.bo_account = AccountId(0)

    async def open(self) -> None:
        """Open everybody's accounts."""
        striped = NewAccount("CNY", "merchant_balance", striped=True)
        self.shop_account = await self.books.open(striped)
        self.fee_account = await self.books.open(striped, kind="fee_income")
        self.lin_account = await self.books.funded(LIN_HAS_MINOR)
        self.bo_account = await self.books.open()

    def order(self, number: str = "tea-1", amount_minor: int = 10_000, **given: object) -> NewTrade:
        """Ask for an order of Mei's."""
        values: dict[str, object] = {
            "merchant": self.mei,
            "app_id": "2021000000000001",
            "out_trade_no": number,
            "subject": "Longjing",
            "total": Money(amount_minor, CNY),
            "seller_account": self.shop_account,
            "fee_account": self.fee_account,
            "fee_plan": FeePlan(60),
            "expires_at": self.clock.now() + timedelta(hours=2),
            "details": {},
            "notify_url": "http://shop.example/notify",
        }
        return NewTrade(**(values | given))  # type: ignore[arg-type]

    def by_lin(self, order: object, **given: object) -> Payment:
        """Let Lin pay an order or a trade."""
        return Payment(order, self.lin, self.lin_account, "lin", **given)  # type: ignore[arg-type]

    def by_bo(self, order: object, **given: object) -> Payment:
        """Let Bo pay an order or a trade."""
        return Payment(order, self.bo, self.bo_account, "bo", **given)  # type: ignore[arg-type]

    async def paid(self, number: str = "tea-1", amount_minor: int = 10_000) -> Trade:
        """Let Lin pay a new order."""
        return await self.payments.pay(self.by_lin(self.order(number, amount_minor)))

    def refund_of(self, trade: Trade, number: str, amount_minor: int) -> RefundRequest:
        """Ask for a refund of Mei's."""
        return RefundRequest(trade.id, self.mei, number, Money(amount_minor, CNY), "mei")

    async def refund(self, trade: Trade, number: str, amount_minor: int) -> Refunded:
        """Give something back."""
        return await self.payments.refund(self.refund_of(trade, number, amount_minor))

    async def balances(self) -> tuple[int, int, int, int]:
        """Give what Lin, Bo, the shop and the platform's fees have."""
        accounts = (self.lin_account, self.bo_account, self.shop_account, self.fee_account)
        return tuple([(await self.books.balance(a)).balance_minor for a in accounts])  # type: ignore[return-value]

    async def refused(self, error: type[XinghanError], work: object) -> XinghanError:
        """Await what must be refused, and see that the books did not move."""
        before = await self.books.everything()
        try:
            await work  # type: ignore[misc]
        except error as refusal:
            assert await self.books.everything() == before
            return refusal
        raise AssertionError(f"not refused with {error.__name__}")
