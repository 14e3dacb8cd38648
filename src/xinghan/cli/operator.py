"""`xinghan operator`: the token that opens the operator's pages and the native API."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Final

import typer

from xinghan.cli.platform import DatabaseUrlOption, DataOption, JsonOption, open_platform
from xinghan.identity.operators import (
    ensure_operator_token,
    read_operator_token,
    rotate_operator_token,
)
from xinghan.kit.db import Database
from xinghan.kit.startup import DataUnusable

ACTOR: Final = "cli"

app = typer.Typer(help="Look after the operator's token.", no_args_is_help=True)


@app.callback()
def _operator() -> None:
    """Look after the operator's token."""


@app.command()
def token(
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make a new one; the old one and its sessions end.")
    ] = False,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the operator's token, for the operator's pages and the native API.

    It lies in `keys/operator.token` of the data directory, and as a hash in the database.
    """
    found = asyncio.run(_token(data, database_url, rotate=rotate))
    print(json.dumps({"token": found}) if as_json else found)


async def _token(data: Path | None, database_url: str | None, *, rotate: bool) -> str:
    async with open_platform(data, database_url) as platform:
        directory = platform.settings.data / "keys"
        try:
            return await _find(platform.database, directory, rotate=rotate)
        except OSError as error:
            raise DataUnusable(
                f"The operator's token cannot be kept in {directory}: {error.strerror}.",
                f"无法在 {directory} 中保存运营方令牌：{error.strerror}。",
            ) from None


async def _find(database: Database, directory: Path, *, rotate: bool) -> str:
    async with database.transaction() as connection:
        if rotate:
            return await rotate_operator_token(connection, directory, actor=ACTOR)
        await ensure_operator_token(connection, directory)
        found = await read_operator_token(connection, directory)
    if found is None:
        raise DataUnusable(
            f"The platform has an operator's token, but not in {directory}. Give its data"
            " directory with --data, or make a new token with --rotate.",
            f"平台已有运营方令牌，但不在 {directory} 中。"
            "请用 --data 指定其数据目录，或用 --rotate 生成新令牌。",
        )
    return found
