"""A platform that runs, shops with their programs, and people with money and a phone."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import httpx

from bookkeeping import Bookkeeper
from sdk.drivers import SdkApp
from xinghan import identity, wallets
from xinghan.kit import signing
from xinghan.kit.clock import SystemClock, format_gateway_time
from xinghan.kit.db import Database
from xinghan.kit.ids import AccountId, PersonId, PostingId, TradeId, uuid7
from xinghan.kit.money import Currency, Money, parse_amount
from xinghan.kit.numbering import trade_no
from xinghan.kit.vault import Vault
from xinghan.payments import Payment, Payments
from xinghan.payments.codes import derive_code, order_code_key, step_at, trade_of_order_token

CNY = Currency.of("CNY")
PROGRAM = str(Path(sys.executable).with_name("xinghan"))
CLI_SECONDS_MAX = 60


@dataclass(frozen=True)
class Running:
    """A platform that was started for this test run: where it serves, and where its data lie."""

    url: str
    database_url: str
    data: Path

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `xinghan` beside it, on the same data."""
        command = [PROGRAM, *arguments]
        command += ["--data", str(self.data), "--database-url", self.database_url]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=CLI_SECONDS_MAX,
            check=False,
            env={**os.environ, "XINGHAN_SANDBOX": "true"},
        )


@dataclass(frozen=True)
class Shop:
    """A merchant's program: what its SDK is configured with, and a plain signed call."""

    sdk: SdkApp
    gateway_url: str
    seller_id: str
    account: AccountId
    key: signing.rsa.RSAPrivateKey = field(repr=False)

    async def call(self, client: httpx.AsyncClient, method: str, **content: object) -> dict:
        """Call a method as an SDK does; gives the answer's node."""
        parameters = self.signed(method, content)
        answer = await client.post(self.gateway_url, data=parameters)
        assert answer.status_code == 200, answer.text
        [node] = [v for k, v in answer.json().items() if k.endswith("_response")]
        return dict(node)

    def signed(self, method: str, content: Mapping[str, object], **more: str) -> dict[str, str]:
        """Sign a call's parameters."""
        parameters = {
            "app_id": self.sdk.app_id,
            "method": method,
            "format": "JSON",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": format_gateway_time(datetime.now(UTC)),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False),
            **more,
        }
        text = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()) if value)
        parameters["sign"] = signing.sign(self.key, text.encode(), signing.SignType.RSA2)
        return parameters

    def url_of(self, method: str, content: Mapping[str, object], **more: str) -> str:
        """Give a signed call as a URL."""
        return f"{self.gateway_url}?{urlencode(self.signed(method, content, **more))}"


@dataclass(frozen=True)
class Payer:
    """A person with a wallet and a phone that shows codes."""

    name: str
    user_id: str
    person: PersonId
    account: AccountId
    device_number: int
    secret: bytes = field(repr=False)

    def code(self, steps_ago: int = 0) -> str:
        """Give the code that the phone shows, or showed some half minutes ago."""
        step = step_at(datetime.now(UTC)) - steps_ago
        return derive_code(self.device_number, self.secret, step)


class Scene:
    """Who is there in one test, on the platform that runs."""

    def __init__(self, running: Running, database: Database, vault: Vault) -> None:
        self.running = running
        self.database = database
        self.vault = vault
        self.books = Bookkeeper(database)

    async def shop(self, *, certificate: bool = False, fee_bps: int = 60) -> Shop:
        """Make a merchant with an app."""
        mode = identity.AppMode.CERTIFICATE if certificate else identity.AppMode.KEY
        terms = identity.FeeTerms(fee_bps)
        async with self.database.transaction() as connection:
            merchant = await identity.create_merchant(
                connection, self.vault, "Mei's teahouse", actor="test", fee_terms=terms
            )
            new = await identity.create_app(
                connection, self.vault, merchant, mode, actor="test", clock=SystemClock()
            )
            account = await wallets.open_merchant_account(connection, merchant.id, CNY)
            # The first order would open it, and the books would not stand still in a refusal.
            await wallets.platform_account(connection, wallets.Purpose.FEE_INCOME, CNY)
        files = new.certificates
        app = SdkApp(
            new.app_id,
            signing.export_private_key_pkcs1(new.private_key),
            signing.export_private_key_pkcs8(new.private_key),
            signing.export_public_key(new.platform_public_key),
            new.aes_key,
            {"app": files.app, "platform": files.platform, "root": files.root} if files else None,
        )
        url = f"{self.running.url}/gateway.do"
        return Shop(app, url, merchant.user_id, account, new.private_key)

    async def payer(self, balance: str = "1000.00", *, currency: str = "CNY") -> Payer:
        """Make a person who has money, under a name that nobody else has."""
        amount = parse_amount(balance, Currency.of(currency))
        async with self.database.transaction() as connection:
            person = await identity.create_sandbox_person(
                connection, self.vault, f"Lin {uuid4().hex[:12]}", actor="test"
            )
            device = await identity.add_device(connection, self.vault, person, actor="test")
            account = await wallets.open_wallet(connection, person.key, amount.currency)
        await self.books.run(lambda c: wallets.top_up(c, person.key, amount, PostingId(uuid7())))
        return Payer(person.name, person.user_id, person.id, account, device.number, device.secret)

    async def phones(self, payer: Payer, count: int) -> list[Payer]:
        """Give a person more phones: as many codes at one moment, and one balance."""
        async with self.database.transaction() as connection:
            person = await identity.fetch_person_by_name(connection, self.vault, payer.name)
            assert person is not None
            added = [
                await identity.add_device(connection, self.vault, person, actor="test")
                for _ in range(count)
            ]
        return [replace(payer, device_number=one.number, secret=one.secret) for one in added]

    async def pay(self, payer: Payer, code: str) -> str:
        """Scan an order's code and pay it; gives the trade's number."""
        payments = Payments(self.database, SystemClock())
        payment = Payment(self._trade_of(code), payer.person, payer.account, "test")
        return trade_no((await payments.pay(payment)).id)

    def trade_no_of(self, code: str) -> str:
        """Give the number of the trade that an order's code stands for."""
        return trade_no(self._trade_of(code))

    def _trade_of(self, code: str) -> TradeId:
        trade = trade_of_order_token(code.rpartition("/")[2], order_code_key(self.vault))
        assert trade is not None, code
        return trade

    async def balances(self, *who: Shop | Payer) -> list[str]:
        """Read what they have, as decimal strings."""
        found = await self.books.balances(*(one.account for one in who))
        return [
            str(Money(one.balance_minor, Currency.of(one.currency))).split()[0] for one in found
        ]


def new_number() -> str:
    """Give a number that no shop has used."""
    return f"T{uuid4().hex}"
