"""Why the platform cannot start: told to an operator, in both languages, without a traceback."""

import os
from typing import ClassVar

EXIT_PORT_TAKEN = 3
EXIT_DATABASE_UNREACHABLE = 4
EXIT_NEWER_VERSION = 5
EXIT_DATA_UNUSABLE = 6
EXIT_SETTINGS = 7


class StartupError(Exception):
    """The platform cannot start, and an operator can do something about it.

    `exit_code` is what the command line returns; `str(error)` is the English text.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, english: str, chinese: str) -> None:
        super().__init__(english)
        self.english = english
        self.chinese = chinese

    def text(self) -> str:
        """Give the message in the language of the operator's terminal."""
        return self.chinese if terminal_is_chinese() else self.english


class PortTaken(StartupError):
    """Another program listens on the wished address."""

    exit_code = EXIT_PORT_TAKEN


class DatabaseUnreachable(StartupError):
    """No connection to the database could be opened; the password is never part of the text."""

    exit_code = EXIT_DATABASE_UNREACHABLE


class DataFromNewerVersion(StartupError):
    """The data were written by a newer version of Xinghan or of PostgreSQL."""

    exit_code = EXIT_NEWER_VERSION


class DataUnusable(StartupError):
    """The data directory or the database is not in a state that this version can use."""

    exit_code = EXIT_DATA_UNUSABLE


class SettingsInvalid(StartupError):
    """A setting has a value that means nothing."""

    exit_code = EXIT_SETTINGS


def terminal_is_chinese() -> bool:
    """Tell whether the operator's terminal speaks Chinese; otherwise it is told in English."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return value.lower().startswith("zh")
    return False
