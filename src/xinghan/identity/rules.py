"""What a name and a number may be."""

import unicodedata
from typing import Final

from xinghan.identity.model import BUCKETS, NAME_CHARACTERS_MAX, NameMalformed
from xinghan.kit.numbering import SequenceNumbers, app_numbers, user_numbers
from xinghan.kit.vault import Vault

DEVICE_NUMBERS_PER_BUCKET: Final = 10**10 // BUCKETS

# Some scripts and emoji need the two joiners inside a name; every other unseen character only
# serves to make one name look like another.
_JOINERS = "\u200c\u200d"
_INVISIBLE = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


def clean_name(text: str, *, field: str = "name") -> str:
    """Give a name without spaces around it, in Unicode's composed form.

    Raises NameMalformed for an empty name, one of more than NAME_CHARACTERS_MAX characters, and
    control characters.
    """
    name = unicodedata.normalize("NFC", text).strip(" ")
    readable = all(unicodedata.category(one) not in _INVISIBLE or one in _JOINERS for one in name)
    if not name.strip(_JOINERS).strip() or len(name) > NAME_CHARACTERS_MAX or not readable:
        raise NameMalformed(field=field, characters=NAME_CHARACTERS_MAX)
    return name


def numbers_of_users(vault: Vault) -> SequenceNumbers:
    """Give the numbers of people and merchants on this platform."""
    return user_numbers(vault.subkey("user numbers"))


def numbers_of_apps(vault: Vault) -> SequenceNumbers:
    """Give the numbers of apps on this platform."""
    return app_numbers(vault.subkey("app numbers"))


def bucket_of_number(number: int) -> int:
    """Tell in which bucket a person or a device of this number lives."""
    return number % BUCKETS
