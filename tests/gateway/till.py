"""A till at Mei's teahouse that calls the gateway's methods, and people who pay there."""

from collections.abc import Mapping
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from bookkeeping import Bookkeeper
from cast.clock import FixedClock
from xinghan import identity, wallets
from xinghan.gateway.errors import GatewayError
from xinghan.gateway.methods import runner
from xinghan.gateway.methods.rooms import Rooms
from xinghan.gateway.model import Call
from xinghan.kit.db import Database
from xinghan.kit.ids import AppId, PostingId, uuid7
from xinghan.kit.limits import Buckets
from xinghan.kit.money import Currency, parse_amount
from xinghan.kit.vault import Vault
from xinghan.payments.codes import derive_code, order_code_key, step_at
from xinghan.payments.desk import Payments

PUBLIC_URL = "https://pay.example"
SANDBOX_FEES = identity.FeeTerms()


class Payer:
    """A person with a wallet and a phone."""

    def __init__(self, person: identity.Person, device: identity.NewDevice) -> None:
        self.person = person
        self.device = device

    def code(self, clock: FixedClock) -> str:
        """Give the code that the phone shows now."""
        return derive_code(self.device.number, self.device.secret, step_at(clock.now()))


class Till:
    """Calls methods as one merchant's app, behind the wire."""

    def __init__(self, database: Database, vault: Vault, key: RSAPrivateKey) -> None:
        self.database = database
        self.vault = vault
        self.key = key
        self.clock = FixedClock()
        self.books = Bookkeeper(database)
        self.rooms = Rooms(
            database,
            vault,
            Payments(database, self.clock),
            wallets.AccountBook(),
            self.clock,
            PUBLIC_URL,
            order_code_key(vault),
        )
        self.run = runner(self.rooms, Buckets(per_second=1000, burst=1000))

    async def app(
        self,
        *currencies: str,
        fee_terms: identity.FeeTerms = SANDBOX_FEES,
        fees_before: bool = True,
    ) -> identity.App:
        """Make a merchant with accounts in CNY and more currencies, and its app.

        Unless `fees_before`, nobody has paid a fee before, so that no account is open for them.
        """
        async with self.database.transaction() as connection:
            merchant = await identity.create_merchant(
                connection, self.vault, "Mei's teahouse", actor="test", fee_terms=fee_terms
            )
            for code in ("CNY", *currencies):
                currency = Currency.of(code)
                await wallets.open_merchant_account(connection, merchant.id, currency)
                if fees_before:
                    await wallets.platform_account(connection, wallets.Purpose.FEE_INCOME, currency)
        return identity.App(
            app_id="2021000000000001",
            public_keys=(self.key.public_key(),),
            platform_private_key=self.key,
            id=AppId(uuid7()),
            name=merchant.name,
            merchant=merchant,
        )

    async def payer(self, balance: str = "1000.00", currency: str = "CNY") -> Payer:
        """Make a person who has money."""
        amount = parse_amount(balance, Currency.of(currency))
        async with self.database.transaction() as connection:
            person = await identity.create_person(connection, self.vault, "林小雨", actor="test")
            device = await identity.add_device(connection, self.vault, person, actor="test")
            await wallets.open_wallet(connection, person.key, amount.currency)
        if amount.amount_minor:
            await self.books.run(
                lambda c: wallets.top_up(c, person.key, amount, PostingId(uuid7()))
            )
        return Payer(person, device)

    async def call(
        self,
        app: identity.App,
        method: str,
        content: Mapping[str, object],
        **parameters: str,
    ) -> dict[str, object]:
        """Call `alipay.trade.<method>`; gives the node."""
        call = Call(f"alipay.trade.{method}", app, dict(content), parameters)
        return dict(await self.run(call))

    async def refused(
        self,
        app: identity.App,
        method: str,
        content: Mapping[str, object],
        **parameters: str,
    ) -> GatewayError:
        """Call a method that must refuse, and see that the books did not move."""
        before = await self.books.everything()
        try:
            node = await self.call(app, method, content, **parameters)
        except GatewayError as error:
            assert await self.books.everything() == before
            return error
        raise AssertionError(f"the method did not refuse: {node}")


def order(**changes: object) -> dict[str, object]:
    """Give the content of an order for 88.00; a change to None leaves the field out."""
    content = {
        "out_trade_no": f"T{uuid4().hex}",
        "subject": "龙井 Longjing",
        "total_amount": "88.00",
        **changes,
    }
    return {name: value for name, value in content.items() if value is not None}
