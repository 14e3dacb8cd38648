"""`xinghan sandbox`: a cast of merchants and people, and play money for them."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from xinghan import identity, wallets
from xinghan.cli.credentials import configuration_path, write_credentials
from xinghan.cli.platform import (
    DatabaseUrlOption,
    DataOption,
    JsonOption,
    open_platform,
    read_settings,
)
from xinghan.cli.refusal import CommandRefused, refusing_plainly
from xinghan.kit.clock import SystemClock
from xinghan.kit.ids import PERSON, PostingId, uuid7
from xinghan.kit.money import Currency, Money, format_amount, parse_amount
from xinghan.kit.settings import Settings
from xinghan.kit.signing import (
    export_private_key_pkcs1,
    export_private_key_pkcs8,
    export_public_key,
)

ACTOR: Final = "cli"
MERCHANT_CURRENCY: Final = "CNY"

app = typer.Typer(help="Make merchants and people with play money.", no_args_is_help=True)


@app.command()
def merchant(
    name: Annotated[str, typer.Option("--name", help="What the merchant is called.")],
    cert: Annotated[bool, typer.Option("--cert", help="Use certificates, not bare keys.")] = False,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a merchant with an app, and show what its program is configured with.

    The same is written to `sandbox/APP_ID/app.json` in the data directory, for its owner only.
    """
    mode = identity.AppMode.CERTIFICATE if cert else identity.AppMode.KEY
    settings = read_sandbox_settings(data, database_url)
    with refusing_plainly():
        made = asyncio.run(_make_merchant(data, database_url, name, mode))
    if as_json:
        print(json.dumps(made, ensure_ascii=False))
    else:
        _show_merchant(made, settings.data)


@app.command()
def payer(
    name: Annotated[str, typer.Option("--name", help="What the person is called; unique.")],
    balance: Annotated[str, typer.Option("--balance", help="What to begin with: 1000.00.")],
    currency: Annotated[str, typer.Option("--currency", help="ISO 4217 code.")] = "CNY",
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a person with a device and a wallet, filled from the sandbox's funding account."""
    read_sandbox_settings(data, database_url)
    with refusing_plainly():
        amount = parse_amount(balance, Currency.of(currency.upper()), field="balance")
        made = asyncio.run(_make_payer(data, database_url, name, amount))
    if as_json:
        print(json.dumps(made, ensure_ascii=False))
    else:
        show_table(f"{made['name']} can pay", made)


def read_sandbox_settings(data: Path | None, database_url: str | None) -> Settings:
    """Read the settings. Raises CommandRefused where money may be real."""
    settings = read_settings(data, database_url)
    if not settings.sandbox:
        raise CommandRefused(
            "This platform is not a sandbox; play money and test people are made only in one"
            " (XINGHAN_SANDBOX=true). Nothing was changed.",
            "该平台不是沙箱；只有沙箱才能创建测试资金和测试用户（XINGHAN_SANDBOX=true）。未作任何更改。",
        )
    return settings


def configure(
    merchant: identity.Merchant, new: identity.NewApp, platform_url: str
) -> dict[str, str]:
    """Give what an SDK is configured with; it adds the whole path to `v3_endpoint`."""
    return {
        "app_id": new.app_id,
        "gateway_url": f"{platform_url}/gateway.do",
        "v3_endpoint": platform_url,
        "app_private_key_pkcs1": export_private_key_pkcs1(new.private_key),
        "app_private_key_pkcs8": export_private_key_pkcs8(new.private_key),
        "platform_public_key": export_public_key(new.platform_public_key),
        "aes_key": new.aes_key,
        "merchant_id": merchant.user_id,
        "name": merchant.name,
    }


def show_table(title: str, facts: dict[str, str | int]) -> None:
    """Show names and values to a person."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), str(value))
    Console().print(table)


async def _make_merchant(
    data: Path | None, database_url: str | None, name: str, mode: identity.AppMode
) -> dict[str, object]:
    async with (
        open_platform(data, database_url) as platform,
        platform.database.transaction() as connection,
    ):
        vault = await identity.open_vault(connection, platform.settings)
        made = await identity.create_merchant(connection, vault, name, actor=ACTOR)
        new = await identity.create_app(
            connection, vault, made, mode, actor=ACTOR, clock=SystemClock()
        )
        currency = Currency.of(MERCHANT_CURRENCY)
        await wallets.open_merchant_account(connection, made.id, currency)
        running_at = await identity.fetch_platform_address(connection)
        configuration = configure(made, new, running_at or platform.settings.public_url)
        # Written before the commit: a merchant whose private key was lost would be of no use.
        return write_credentials(platform.settings.data, configuration, new.certificates)


async def _make_payer(
    data: Path | None, database_url: str | None, name: str, amount: Money
) -> dict[str, str | int]:
    async with (
        open_platform(data, database_url) as platform,
        platform.database.transaction() as connection,
    ):
        vault = await identity.open_vault(connection, platform.settings)
        person = await identity.create_sandbox_person(connection, vault, name, actor=ACTOR)
        device = await identity.add_device(connection, vault, person, actor=ACTOR)
        await wallets.open_wallet(connection, person.key, amount.currency)
        if amount.amount_minor:
            await wallets.top_up(connection, person.key, amount, PostingId(uuid7()))
        held = await wallets.fetch_wallet_balance(connection, person.key, amount.currency)
    return {
        "person_id": PERSON.show(person.id),
        "user_id": person.user_id,
        "name": person.name,
        "device_number": device.number,
        "balance": format_amount(held.balance),
        "currency": amount.currency.code,
    }


def _show_merchant(made: dict[str, object], data: Path) -> None:
    shown = ("name", "merchant_id", "app_id", "gateway_url", "v3_endpoint")
    facts: dict[str, str | int] = {name: str(made[name]) for name in shown}
    show_table(f"{made['name']} can be paid", facts)
    # Outside the table, because a path that was broken into lines cannot be copied.
    print(f"Its keys: {configuration_path(data, str(made['app_id']))}")
