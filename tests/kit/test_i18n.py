"""Both languages say everything, and a reader gets the one that they asked for."""

import re

import pytest

from xinghan.kit.i18n import LANGUAGES, _add, catalogue, choose_language, placeholders, text


def test_both_languages_know_the_same_keys() -> None:
    assert catalogue("zh").keys() == catalogue("en").keys()
    assert catalogue("zh")


@pytest.mark.parametrize("key", sorted(catalogue("en")))
def test_both_languages_use_the_same_placeholders(key: str) -> None:
    assert placeholders(catalogue("zh")[key]) == placeholders(catalogue("en")[key])


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_hold_nothing_but_named_placeholders(language: str) -> None:
    for key, sentence in catalogue("zh" if language == "zh" else "en").items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", key)
        assert sentence.strip() == sentence != ""
        assert not set("{}") & set(re.sub(r"\{[a-z][a-z0-9_]*\}", "", sentence)), key


def test_english_sentences_are_not_left_in_chinese() -> None:
    assert [key for key, said in catalogue("en").items() if re.search(r"[一-鿿]", said)] == []
    assert [key for key, said in catalogue("zh").items() if not re.search(r"[一-鿿]", said)] == []


def test_facts_are_filled_in_and_never_interpreted() -> None:
    sentence = text("amount_too_precise", "en", digits="{currency}", currency="CNY")
    assert "{currency} decimal" in sentence
    assert "CNY" in sentence


def test_a_missing_fact_leaves_a_mark_and_no_failure() -> None:
    assert "?" in text("amount_too_precise", "en")


def test_an_unknown_key_is_a_mistake_of_the_program() -> None:
    with pytest.raises(LookupError):
        text("never_written", "en")


def test_two_rooms_cannot_claim_one_key() -> None:
    with pytest.raises(ValueError, match=r"payments\.toml repeats the keys \['refused'\]"):
        _add({"refused": "no"}, {"refused": "nein"}, "payments.toml")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "zh"),
        ("", "zh"),
        ("en", "en"),
        ("en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("zh-Hans-CN, en;q=0.5", "zh"),
        ("en;q=0.4, zh-TW;q=0.7", "zh"),
        ("fr-CH, fr;q=0.9", "en"),
        ("fr, zh;q=0.1", "zh"),
        ("*", "zh"),
        ("*, en;q=0.3", "en"),
        ("en;q=0, zh;q=0.1", "zh"),
        ("en;q=nan", "zh"),
        (";;;,,,=", "zh"),
        ("en" + "x" * 10_000, "zh"),
    ],
)
def test_the_reader_chooses_the_language(header: str | None, language: str) -> None:
    assert choose_language(header) == language


def test_the_door_chooses_for_a_reader_who_says_nothing() -> None:
    assert choose_language(None, default="en") == "en"
