"""How a page is written: templates, the reader's language, amounts, instants, static addresses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, Protocol, cast

from babel.numbers import get_currency_symbol
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from xinghan.kit.clock import Clock
from xinghan.kit.db import Database
from xinghan.kit.i18n import LANGUAGES, Language, choose_language, text
from xinghan.kit.ids import ACCOUNT, MERCHANT, NOTIFICATION, PERSON, POSTING, TRADE
from xinghan.kit.money import Currency, Money, format_amount
from xinghan.kit.numbering import trade_no
from xinghan.kit.settings import Settings
from xinghan.kit.vault import Vault
from xinghan.payments.desk import Payments

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
LANGUAGE_COOKIE: Final = "xinghan_language"
LANGUAGE_COOKIE_SECONDS: Final = 365 * 24 * 60 * 60
HASH_CHARACTERS: Final = 12


class Platform(Protocol):
    """What the pages need of the running platform."""

    @property
    def settings(self) -> Settings: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def database(self) -> Database: ...
    @property
    def vault(self) -> Vault: ...
    @property
    def payments(self) -> Payments: ...


class Amount(NamedTuple):
    """An amount for people: the currency's sign and grouped digits, which are set apart."""

    sign: str
    digits: str

    def __str__(self) -> str:
        return f"{self.sign}{self.digits}"


def platform_of(request: Request) -> Platform:
    """Give the running platform."""
    return cast("Platform", request.app.state.platform)


def language_of(request: Request) -> Language:
    """Give the reader's language: as switched now, as switched before, as the browser asks."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in LANGUAGES:
            return chosen
    return choose_language(request.headers.get("accept-language"))


def render(
    request: Request, template: str, facts: Mapping[str, object] | None = None, *, status: int = 200
) -> Response:
    """Write a page; one that somebody switched to another language keeps it in a cookie."""
    language = language_of(request)
    page = environment().get_template(template)
    content = page.render(
        {
            "t": partial(_sentence, language),
            "language": language,
            "other_language": next(one for one in LANGUAGES if one != language),
            "switch": request.url.include_query_params,
            "path": request.url.path,
            "money": partial(show_amount, language),
            "plain": show_plain,
            "session": getattr(request.state, "session", None),
            "cursor_given": bool(request.query_params.get("cursor")),
            **(facts or {}),
        }
    )
    headers = {"content-language": language, "cache-control": "no-store", "vary": "accept-language"}
    response = HTMLResponse(content, status, headers)
    if request.query_params.get("lang") == language:
        response.set_cookie(
            LANGUAGE_COOKIE, language, max_age=LANGUAGE_COOKIE_SECONDS, samesite="lax"
        )
    return response


def show_amount(language: Language, amount_minor: int, currency: str) -> Amount:
    """Write an amount with the currency's sign and grouped digits."""
    locale = "zh_CN" if language == "zh" else "en"
    plain = format_amount(Money(abs(amount_minor), Currency.of(currency)))
    whole, point, fraction = plain.partition(".")
    minus = "\N{MINUS SIGN}" if amount_minor < 0 else ""
    sign = get_currency_symbol(currency, locale)
    space = "\N{NO-BREAK SPACE}" if sign.isalpha() else ""
    return Amount(f"{minus}{sign}{space}", f"{int(whole):,}{point}{fraction}")


def show_plain(amount_minor: int, currency: str) -> str:
    """Write an amount where its currency is said beside it: grouped digits and a minus."""
    minus = "\N{MINUS SIGN}" if amount_minor < 0 else ""
    return f"{minus}{show_amount('en', abs(amount_minor), currency).digits}"


@cache
def environment() -> Environment:
    """Give the templates, which escape everything that is put into them."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = static_address
    made.filters |= {
        "account": ACCOUNT.show,
        "posting": POSTING.show,
        "trade": TRADE.show,
        "trade_no": trade_no,
        "merchant": MERCHANT.show,
        "person": PERSON.show,
        "notification": NOTIFICATION.show,
        "iso": datetime.isoformat,
        "plainly": _plainly,
    }
    return made


@cache
def static_address(name: str) -> str:
    """Give the address of a static file, which changes with its content."""
    digest = sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:HASH_CHARACTERS]}"


def _sentence(language: Language, key: str, **facts: str | int) -> str:
    return text(key, language, **facts)


def _plainly(instant: datetime) -> str:
    """Write an instant for a reader without scripts, who has to be told the zone."""
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
