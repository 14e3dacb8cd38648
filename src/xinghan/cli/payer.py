"""`xinghan sandbox pay` and `xinghan sandbox code`: what a person does with a wallet on a phone."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from xinghan import identity, wallets
from xinghan.cli.platform import DatabaseUrlOption, DataOption, JsonOption, Platform, open_platform
from xinghan.cli.refusal import CommandRefused
from xinghan.cli.sandbox import app, read_sandbox_settings, show_table
from xinghan.kit.clock import SystemClock
from xinghan.kit.errors import XinghanError
from xinghan.kit.ids import TradeId
from xinghan.kit.money import format_amount
from xinghan.kit.numbering import trade_no
from xinghan.kit.startup import StartupError
from xinghan.kit.vault import Vault
from xinghan.payments.codes import (
    STEP_SECONDS,
    derive_code,
    order_code_key,
    step_at,
    trade_of_order_token,
)
from xinghan.payments.desk import Payments
from xinghan.payments.model import BuyerFrozen, CurrencyRefused, Payment, Trade

EXIT_PAYMENT_REFUSED: Final = 1

Facts = dict[str, str | int]
PayerOption = Annotated[str, typer.Option("--payer", help="Who pays, as `sandbox payer` named.")]


class PaymentRefused(StartupError):
    """A rule of the platform says no to what was understood."""

    exit_code = EXIT_PAYMENT_REFUSED


@app.command()
def pay(
    payer: PayerOption,
    code: Annotated[
        str, typer.Option("--code", help="The order's code: its URL as scanned, or its last part.")
    ],
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay an order's code as a person; paying it once more changes nothing.

    Exit code 1: the payment was refused, 2: there is no such person or this is no order's code.
    """
    read_sandbox_settings(data, database_url)
    with refusing_payment():
        paid = asyncio.run(_pay(data, database_url, payer, code))
    _show(f"{payer} has paid", paid, as_json=as_json)


@app.command()
def code(
    payer: PayerOption,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the code on a person's phone, for a shop to scan; it changes every half minute."""
    read_sandbox_settings(data, database_url)
    with refusing_payment():
        shown = asyncio.run(_code(data, database_url, payer))
    _show(f"{payer} shows", shown, as_json=as_json)


@contextmanager
def refusing_payment() -> Iterator[None]:
    """Turn the platform's errors into one line and a code: 1 for a refusal, 2 for bad input."""
    try:
        yield
    except XinghanError as error:
        kind = CommandRefused if isinstance(error, identity.NameMalformed) else PaymentRefused
        raise kind(
            f"{error.message('en')} ({error.money_message('en')})",
            f"{error.message('zh')}（{error.money_message('zh')}）",
        ) from None


@dataclass(frozen=True, slots=True)
class _Pocket:
    """A person of the sandbox, on the platform that the command has found."""

    platform: Platform
    vault: Vault
    person: identity.Person


async def _pay(data: Path | None, database_url: str | None, payer: str, code: str) -> Facts:
    async with open_platform(data, database_url) as platform:
        pocket = await _open_pocket(platform, payer)
        trade_id = _trade_of_code(code, order_code_key(pocket.vault))
        payments = Payments(platform.database, SystemClock())
        order = await payments.find_order(trade_id)
        payment = await _payment(pocket, order)
        return await _tell(pocket, await payments.pay(payment))


async def _code(data: Path | None, database_url: str | None, payer: str) -> Facts:
    async with open_platform(data, database_url) as platform:
        pocket = await _open_pocket(platform, payer)
        async with platform.database.acquire() as connection:
            device = await identity.fetch_newest_device(connection, pocket.vault, pocket.person.key)
        if device is None:
            raise _no_phone(payer)
        secret = identity.unseal_device_secret(pocket.vault, device)
        now = SystemClock().now()
        return {
            "code": derive_code(device.number, secret, step_at(now)),
            "next_in_seconds": STEP_SECONDS - int(now.timestamp()) % STEP_SECONDS,
        }


async def _open_pocket(platform: Platform, payer: str) -> _Pocket:
    async with platform.database.transaction() as connection:
        vault = await identity.open_vault(connection, platform.settings)
        person = await identity.fetch_person_by_name(connection, vault, payer)
    if person is None:
        raise _nobody(payer)
    return _Pocket(platform, vault, person)


async def _payment(pocket: _Pocket, order: Trade) -> Payment:
    person, currency = pocket.person, order.total.currency
    if person.status is not identity.PersonStatus.ACTIVE:
        raise BuyerFrozen
    async with pocket.platform.database.acquire() as connection:
        account = await wallets.AccountBook().find_wallet(connection, person.key, currency)
    if account is None:
        raise CurrencyRefused(field="code")
    return Payment(order.id, person.id, account, f"payer {person.user_id}")


async def _tell(pocket: _Pocket, trade: Trade) -> Facts:
    currency = trade.total.currency
    async with pocket.platform.database.acquire() as connection:
        held = await wallets.fetch_wallet_balance(connection, pocket.person.key, currency)
    return {
        "trade_no": trade_no(trade.id),
        "out_trade_no": trade.out_trade_no,
        "state": trade.state.value,
        "subject": trade.subject,
        "amount": format_amount(trade.total),
        "currency": currency.code,
        "payer": pocket.person.name,
        "balance": format_amount(held.balance),
    }


def _trade_of_code(code: str, key: bytes) -> TradeId:
    """Read the trade from an order's URL or its last part. Raises CommandRefused."""
    try:
        token = urlsplit(code.strip()).path.rstrip("/").rpartition("/")[2]
    except ValueError:
        token = ""
    trade = trade_of_order_token(token, key)
    if trade is None:
        raise CommandRefused(
            "--code: this is not the code of an order on this platform. (no money has moved)",
            "--code：这不是本平台的订单码。（资金未发生变动）",
        )
    return trade


def _nobody(payer: str) -> CommandRefused:
    return CommandRefused(
        f"--payer: nobody here is called {payer}; `xinghan sandbox payer --name` makes people."
        " (no money has moved)",
        f"--payer：这里没有人叫 {payer}；可用 xinghan sandbox payer 创建。（资金未发生变动）",
    )


def _no_phone(payer: str) -> CommandRefused:
    return CommandRefused(
        f"--payer: {payer} has no phone that shows codes.",
        f"--payer：{payer} 没有可出示付款码的手机。",
    )


def _show(title: str, facts: Facts, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        show_table(title, facts)
