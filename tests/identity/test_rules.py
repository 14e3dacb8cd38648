"""Names that may be given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.identity.model import NAME_CHARACTERS_MAX, NameMalformed
from xinghan.identity.rules import clean_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Lin", "Lin"),
        ("  梅记 茶馆 ", "梅记 茶馆"),
        ("Mei\u0301", "Me\u00ed"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("x" * NAME_CHARACTERS_MAX, "x" * NAME_CHARACTERS_MAX),
    ],
)
def test_a_name_is_kept_as_people_see_it(text: str, name: str) -> None:
    assert clean_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        *("", "   ", "\u200d", "\u3000", "x" * (NAME_CHARACTERS_MAX + 1)),
        *("a\x00b", "a\nb", "a\x1b[31m", "a\u2028b", "a\u202eb", "a\ufeffb", "a\ud800b"),
    ],
)
def test_names_that_are_nothing_or_hide_something_are_refused(text: str) -> None:
    with pytest.raises(NameMalformed) as caught:
        clean_name(text, field="subject")
    assert caught.value.field == "subject"
    assert str(NAME_CHARACTERS_MAX) in caught.value.message("en")
    assert str(NAME_CHARACTERS_MAX) in caught.value.message("zh")


@given(st.text())
def test_a_clean_name_stays_as_it_is(text: str) -> None:
    try:
        name = clean_name(text)
    except NameMalformed:
        return
    assert clean_name(name) == name
    assert 1 <= len(name) <= NAME_CHARACTERS_MAX
