"""The command line: `xinghan --help`."""

import sys
from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import Final

import typer

from xinghan.kit.startup import StartupError

EXIT_INTERRUPTED: Final = 130

# Where each command, or group of commands, is. Imports take most of a command's time, so only the
# module of the command that was typed is imported.
COMMANDS: Final[Mapping[str, str]] = {
    "up": "xinghan.cli.up:up",
    "demo": "xinghan.cli.demo:demo",
    "bench": "xinghan.cli.bench:app",
    "ledger": "xinghan.cli.ledger:app",
    "operator": "xinghan.cli.operator:app",
    "sandbox": "xinghan.cli.payer:app",
}


def main() -> None:
    """Run the command line; errors of an operator's making are one message, never a traceback."""
    try:
        command_line(sys.argv[1:])()
    except StartupError as error:
        print(f"xinghan: {error.text()}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def command_line(words: Sequence[str] = ()) -> typer.Typer:
    """Give the command line with the one command that the first word names, or with all."""
    app = typer.Typer(
        name="xinghan",
        help="Xinghan (星汉), the open payment platform.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_root,
    )
    named = [word for word in words[:1] if word in COMMANDS]
    for name in named or COMMANDS:
        _add(app, name)
    return app


def _root() -> None:
    """Xinghan (星汉), the open payment platform."""


def _add(app: typer.Typer, name: str) -> None:
    found = resolve_name(COMMANDS[name])
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        app.command(name)(found)
