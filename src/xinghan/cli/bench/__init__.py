"""`xinghan bench`: how fast this machine posts and pays, as ratios to pgbench in the same run."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Annotated, Final

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from xinghan.cli.bench.ledger import bench_ledger
from xinghan.cli.bench.payments import bench_payments
from xinghan.cli.bench.report import Figures
from xinghan.cli.platform import DatabaseUrlOption, DataOption, JsonOption

SECONDS_DEFAULT: Final = 5

app = typer.Typer(
    help="Measure speed beside a pgbench run on the same cluster; medians of three.",
    no_args_is_help=True,
)

SecondsOption = Annotated[
    int, typer.Option("--seconds", min=1, max=600, help="Length of one run of one measure.")
]
RoundsOption = Annotated[
    int, typer.Option("--rounds", min=1, max=20, help="How often each measure runs, interleaved.")
]


@app.command()
def ledger(
    seconds: SecondsOption = SECONDS_DEFAULT,
    rounds: RoundsOption = 3,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Post between 100,000 accounts in a database of its own, which is dropped afterwards."""
    figures = _run(bench_ledger(data, database_url, seconds=seconds, rounds=rounds))
    _print(figures, as_json=as_json)


@app.command()
def payments(
    seconds: SecondsOption = SECONDS_DEFAULT,
    rounds: RoundsOption = 3,
    data: DataOption = None,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay over HTTP by `alipay.trade.pay`, on a platform and database of its own."""
    figures = _run(bench_payments(data, database_url, seconds=seconds, rounds=rounds))
    _print(figures, as_json=as_json)


def _run(work: Coroutine[object, object, Figures]) -> Figures:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _print(figures: Figures, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(figures.as_json()).decode() + "\n")
        return
    table = Table("measure", "median", "x reference", "runs", title="xinghan bench")
    for row in figures.rows():
        table.add_row(*row)
    Console().print(table)
