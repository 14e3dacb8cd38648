"""Every sentence the platform says to people, by key and language.

The sentences are data: `locale/<language>/<room>.toml`, one flat table of `key = "text"` per room.
Text may hold `{placeholders}` by name; nothing else of Python's format language.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from tomllib import loads
from types import MappingProxyType
from typing import Final, Literal

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh", "en")
HEADER_LENGTH_MAX: Final = 200

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_PREFERENCE = re.compile(r"([a-z]{1,8}|\*)(?:-[a-z0-9-]*)?(?:;q=([01](?:\.[0-9]{1,3})?))?")


def text(key: str, language: Language, **facts: str | int) -> str:
    """Give the sentence of `key` in `language` with its placeholders filled.

    A placeholder without a fact becomes `?`, because a sentence with a gap serves a reader better
    than a failure while telling about a failure. Raises LookupError for a key that no room has.
    """
    sentence = catalogue(language)[key]
    return _PLACEHOLDER.sub(lambda match: str(facts.get(match[1], "?")), sentence)


def choose_language(accept_language: str | None, default: Language = "zh") -> Language:
    """Choose the language that a reader prefers (RFC 9110, section 12.5.4).

    Without a header, or with one that says nothing understandable, this is `default`. Somebody who
    only names languages that the platform does not speak gets English.
    """
    preferences = _read_preferences(accept_language or "")
    if not preferences:
        return default
    _, preferred = max(preferences, key=lambda preference: preference[0])
    return default if preferred == "*" else preferred


@cache
def catalogue(language: Language) -> Mapping[str, str]:
    """Give all sentences of one language, gathered from every room's file.

    Raises ValueError when two rooms claim one key.
    """
    sentences: dict[str, str] = {}
    for file in sorted(files(__package__).joinpath("locale", language).iterdir(), key=str):
        if file.name.endswith(".toml"):
            _add(sentences, loads(file.read_text(encoding="utf-8")), file.name)
    return MappingProxyType(sentences)


def placeholders(sentence: str) -> frozenset[str]:
    """Name the placeholders of a sentence."""
    return frozenset(_PLACEHOLDER.findall(sentence))


def _add(sentences: dict[str, str], more: Mapping[str, str], file_name: str) -> None:
    if twice := sentences.keys() & more.keys():
        raise ValueError(f"{file_name} repeats the keys {sorted(twice)} of another room")
    sentences.update(more)


def _read_preferences(header: str) -> list[tuple[float, Language | Literal["*"]]]:
    """List (quality, language); a language we do not speak counts as English, but last."""
    found: list[tuple[float, Language | Literal["*"]]] = []
    for part in header[:HEADER_LENGTH_MAX].lower().replace(" ", "").split(","):
        match = _PREFERENCE.fullmatch(part)
        quality = float(match[2] or 1) if match else 0.0
        if match is None or not 0 < quality <= 1:
            continue
        if match[1] == "*":
            found.append((quality / 1000, "*"))
        elif match[1] in LANGUAGES:
            found.append((quality, "zh" if match[1] == "zh" else "en"))
        else:
            found.append((quality / 1_000_000, "en"))
    return found
