"""`xinghan ledger`: whether everything is as it was written, and the proof of it."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from xinghan import identity, ledger
from xinghan.cli.platform import (
    DatabaseUrlOption,
    DataOption,
    JsonOption,
    Platform,
    open_platform,
)
from xinghan.cli.refusal import CommandRefused, refusing_plainly
from xinghan.kit.db import DatabaseError
from xinghan.kit.i18n import Language
from xinghan.kit.ids import POSTING, PostingId
from xinghan.kit.startup import StartupError, terminal_is_chinese

EXIT_NOT_IN_ORDER: Final = 1
PUBLIC_KEY_BYTES: Final = 32

app = typer.Typer(help="Verify the ledger and prove what is in it.", no_args_is_help=True)


@app.command()
def verify(
    heads: Annotated[
        list[Path] | None,
        typer.Option(
            "--head",
            help="File with heads that were kept elsewhere, also one head as `xinghan ledger head"
            " --json` prints it; beside heads.jsonl of the data directory.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    public_key: Annotated[
        str | None,
        typer.Option(
            "--public-key",
            help="Key in hexadecimal that signs the heads, for verifying without the platform's"
            " own keys.",
        ),
    ] = None,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute every balance from the postings, and check every invariant and the chain.

    Exit code 0: all holds. 1: something does not, and is named. 2: it could not be verified.
    """
    with _refusing_to_judge(), _progress() as progress:
        report = asyncio.run(_verify(data, database_url, heads or [], public_key, progress))
    if as_json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        _show_report(report, "zh" if terminal_is_chinese() else "en")
    if not report.ok:
        raise typer.Exit(EXIT_NOT_IN_ORDER)


@app.command()
def head(
    data: DataOption = None, database_url: DatabaseUrlOption = None, as_json: JsonOption = False
) -> None:
    """Show the newest signed head, to be kept where nobody can change it."""
    block = asyncio.run(_fetch_head(data, database_url))
    if block is None:
        raise CommandRefused("Nothing is sealed yet.", "尚未封存任何记账。")
    if as_json:
        print(json.dumps(block.to_json()))
        return
    for name, value in block.to_json().items():
        print(f"{name:<20}{value}")


@app.command()
def proof(
    posting: Annotated[str, typer.Argument(help="The posting: pos_… or a UUID.")],
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
) -> None:
    """Print the proof that a posting is in the chain: JSON with one proof for each of its legs."""
    with refusing_plainly():
        proofs = asyncio.run(_prove(data, database_url, _read_posting(posting)))
    print(json.dumps({"proofs": proofs}, ensure_ascii=False))


async def _verify(
    data: Path | None,
    database_url: str | None,
    heads: list[Path],
    public_key: str | None,
    progress: ledger.Progress,
) -> ledger.Report:
    async with open_platform(data, database_url) as platform:
        own = platform.settings.data / ledger.HEADS_FILE
        return await ledger.verify(
            platform.database,
            public_keys=[await _public_key(platform, public_key)],
            heads=[*([own] if own.exists() else []), *heads],
            progress=progress,
        )


async def _public_key(platform: Platform, given: str | None) -> bytes:
    if given is None:
        async with platform.database.acquire() as connection:
            vault = await identity.open_vault(connection, platform.settings)
        return ledger.HeadKey(vault.subkey(ledger.SEED_PURPOSE)).public_key
    try:
        key = bytes.fromhex(given)
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_BYTES:
        raise CommandRefused(
            "--public-key: an Ed25519 key has 64 hexadecimal digits.",
            "--public-key：Ed25519 公钥应为 64 位十六进制数。",
        )
    return key


async def _fetch_head(data: Path | None, database_url: str | None) -> ledger.Block | None:
    async with (
        open_platform(data, database_url) as platform,
        platform.database.acquire() as connection,
    ):
        return await ledger.fetch_last_block(connection)


async def _prove(
    data: Path | None, database_url: str | None, posting: PostingId
) -> list[dict[str, object]]:
    async with (
        open_platform(data, database_url) as platform,
        platform.database.acquire() as connection,
    ):
        return await ledger.prove(connection, posting)


def _read_posting(text: str) -> PostingId:
    try:
        return PostingId(UUID(text))
    except ValueError:
        return POSTING.parse(text)


def _show_report(report: ledger.Report, language: Language) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for check in report.checks:
        mark = "[green]ok[/]" if check.ok else f"[red]{check.count} wrong[/]"
        console.print(f"{check.name:<16}{mark}")
        for finding in check.findings:
            console.print(f"    {finding.message(language)}", markup=False)
        if check.count > len(check.findings):
            console.print(f"    … {check.count - len(check.findings)} more")
    console.print(
        f"{report.postings} postings, {report.accounts} account rows, {report.blocks} blocks,"
        f" {report.unsealed} postings not sealed yet"
    )
    if report.head is not None:
        console.print(f"head {report.head['number']}: {report.head['head']}")


@contextmanager
def _progress() -> Iterator[ledger.Progress]:
    """Show on a terminal's stderr how far each check is."""
    columns = (TextColumn("{task.description:<16}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        tasks: dict[str, TaskID] = {}

        def show(check: str, done: int, total: int) -> None:
            if check not in tasks:
                tasks[check] = bar.add_task(check)
            bar.update(tasks[check], advance=done, total=max(total, 1))

        yield show


@contextmanager
def _refusing_to_judge() -> Iterator[None]:
    """Tell by one exit code that nothing could be verified, so that 1 always means a finding."""
    try:
        yield
    except StartupError as error:
        raise CommandRefused(error.english, error.chinese) from None
    except (DatabaseError, OSError) as error:
        raise CommandRefused(
            f"The ledger could not be verified: {error}", f"无法核对账本：{error}"
        ) from None
