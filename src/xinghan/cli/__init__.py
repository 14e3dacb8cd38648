"""The command line: `xinghan --help`."""

import sys
from typing import Final

import typer

from xinghan.cli import bench, ledger, operator, payer, sandbox
from xinghan.cli.demo import demo
from xinghan.cli.up import up
from xinghan.kit.startup import StartupError

EXIT_INTERRUPTED: Final = 130

app = typer.Typer(
    name="xinghan",
    help="Xinghan (星汉), the open payment platform.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up)
app.command()(demo)
app.add_typer(bench.app, name="bench")
app.add_typer(ledger.app, name="ledger")
app.add_typer(operator.app, name="operator")
sandbox.app.command()(payer.pay)
sandbox.app.command()(payer.code)
app.add_typer(sandbox.app, name="sandbox")


@app.callback()
def _root() -> None:
    """Xinghan (星汉), the open payment platform."""


def main() -> None:
    """Run the command line; errors of an operator's making are one message, never a traceback."""
    try:
        app()
    except StartupError as error:
        print(f"xinghan: {error.text()}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
