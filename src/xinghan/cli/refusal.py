"""What a command line says when what was typed cannot be done."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from xinghan.kit.errors import XinghanError
from xinghan.kit.startup import StartupError

EXIT_REFUSED: Final = 2


class CommandRefused(StartupError):
    """The command makes no sense, or a rule of the platform says no; told like a wrong option."""

    exit_code = EXIT_REFUSED


@contextmanager
def refusing_plainly() -> Iterator[None]:
    """Turn the platform's errors into one line that names the option, and the money's state."""
    try:
        yield
    except XinghanError as error:
        option = f"--{error.field}: " if error.field else ""
        raise CommandRefused(
            f"{option}{error.message('en')} ({error.money_message('en')})",
            f"{option}{error.message('zh')}（{error.money_message('zh')}）",
        ) from None
