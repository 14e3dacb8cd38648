"""The one root of every error that a person, a shop's program or an operator may be told."""

from enum import StrEnum
from typing import ClassVar

from xinghan.kit.i18n import Language, text


class MoneyOutcome(StrEnum):
    """What happened to the money when something was refused or failed."""

    UNMOVED = "no money has moved"
    HELD = "the money is on hold and has not been taken"
    MOVED = "the money has moved"
    RETURNED = "the money has been given back"
    UNKNOWN = "it is not yet known whether the money has moved"


class XinghanError(Exception):
    """What is wrong, in which field, and what happened to the money.

    A subclass states its `code` (snake_case, also the key of its message in the catalogue), the
    HTTP status of the native doors and the `sub_code` of the gateway. Keyword arguments other than
    `field` and `money` become `facts`, which fill the `{placeholders}` of the message.
    """

    code: ClassVar[str] = "system_error"
    http_status: ClassVar[int] = 400
    sub_code: ClassVar[str] = "ACQ.SYSTEM_ERROR"

    def __init__(
        self,
        *,
        field: str | None = None,
        money: MoneyOutcome = MoneyOutcome.UNMOVED,
        **facts: str | int,
    ) -> None:
        self.field = field
        self.money = money
        self.facts: dict[str, str | int] = facts
        super().__init__(self.code)

    def message(self, language: Language) -> str:
        """Say in `language` what is wrong."""
        return text(self.code, language, **self.facts)

    def money_message(self, language: Language) -> str:
        """Say in `language` what happened to the money."""
        return text(f"money_{self.money.name.lower()}", language)

    def __str__(self) -> str:
        """Give the English text for a log: field, message, outcome."""
        where = f"{self.field}: " if self.field else ""
        return f"{where}{self.message('en')} ({self.money})"


class Invalid(XinghanError):
    """What was sent cannot mean anything: a malformed or missing value."""

    code = "invalid"
    sub_code = "ACQ.INVALID_PARAMETER"


class Unauthorised(XinghanError):
    """Who asks is not known, or is known and may not ask this."""

    code = "unauthorised"
    http_status = 401
    sub_code = "ACQ.ACCESS_FORBIDDEN"


class NotFound(XinghanError):
    """What was named does not exist for the one who asks."""

    code = "not_found"
    http_status = 404
    sub_code = "ACQ.INVALID_PARAMETER"


class Conflict(XinghanError):
    """The same number came before with other content, or the state has moved on."""

    code = "conflict"
    http_status = 409
    sub_code = "ACQ.CONTEXT_INCONSISTENT"


class Refused(XinghanError):
    """The request is understood, and a rule of the business says no."""

    code = "refused"
    http_status = 422
    sub_code = "ACQ.ACCESS_FORBIDDEN"


class TooMany(XinghanError):
    """Too much was asked in too short a time; the same request may succeed later."""

    code = "too_many"
    http_status = 429
    sub_code = "isv.app-call-limited"
