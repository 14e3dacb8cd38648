"""Every error of the product can be told to people, in both languages."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import pytest

import xinghan
from xinghan.kit.errors import (
    Conflict,
    Invalid,
    MoneyOutcome,
    NotFound,
    Refused,
    TooMany,
    Unauthorised,
    XinghanError,
)
from xinghan.kit.i18n import LANGUAGES, catalogue, text


def every_error(root: type[XinghanError] = XinghanError) -> Iterator[type[XinghanError]]:
    yield root
    for subclass in root.__subclasses__():
        yield from every_error(subclass)


def test_every_error_of_every_room_has_its_words_and_codes() -> None:
    for module in pkgutil.walk_packages(xinghan.__path__, "xinghan."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    errors = [error for error in every_error() if error.__module__.startswith("xinghan.")]
    for error in errors:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", error.code), error
        assert 400 <= error.http_status <= 599, error
        assert re.fullmatch(r"ACQ\.[A-Z_]+|is[vp]\.[a-z-]+", error.sub_code), error
    for language in LANGUAGES:
        wordless = {
            f"{e.__module__}: {e.code}" for e in errors if e.code not in catalogue(language)
        }
        assert not wordless, f"add these to kit/locale/{language}/<room>.toml"


@pytest.mark.parametrize(
    ("error", "http_status"),
    [
        (Invalid, 400),
        (Unauthorised, 401),
        (NotFound, 404),
        (Conflict, 409),
        (Refused, 422),
        (TooMany, 429),
    ],
)
def test_each_kind_has_its_http_status(error: type[XinghanError], http_status: int) -> None:
    raised = error(field="out_trade_no")
    assert raised.http_status == http_status
    assert raised.field == "out_trade_no"
    assert raised.money == "no money has moved"
    assert raised.message("zh") != raised.message("en")


def test_an_error_says_what_happened_to_the_money() -> None:
    raised = Refused(money=MoneyOutcome.HELD)
    assert raised.money_message("zh") == "资金已冻结，尚未扣除"
    assert "on hold" in raised.money_message("en")


def test_the_english_catalogue_repeats_the_outcomes() -> None:
    for outcome in MoneyOutcome:
        assert text(f"money_{outcome.name.lower()}", "en") == outcome


def test_a_log_line_names_field_message_and_outcome() -> None:
    line = str(Invalid(field="total_amount"))
    assert line.startswith("total_amount: The value")
    assert line.endswith("(no money has moved)")


def test_facts_fill_the_message() -> None:
    class TooPrecise(Invalid):
        code = "amount_too_precise"

    raised = TooPrecise(digits=0, currency="JPY")
    assert raised.facts == {"digits": 0, "currency": "JPY"}
    assert "JPY" in raised.message("en")
    assert "JPY" in raised.message("zh")
