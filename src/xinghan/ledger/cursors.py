"""Cursors: where a page ended, as a text that says nothing to its reader and is not trusted."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from typing import Final, TypeVar

import msgspec

from xinghan.ledger.model import CursorMalformed

Place = TypeVar("Place", bound=msgspec.Struct)

# A striped account's cursor holds 64 versions of at most nine bytes.
LENGTH_MAX: Final = 1000


def encode_cursor(place: msgspec.Struct) -> str:
    """Write a place in a list as a cursor."""
    return urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def decode_cursor(cursor: str, kind: type[Place]) -> Place:
    """Read a cursor of a place of type `kind`. Raises CursorMalformed."""
    if len(cursor) > LENGTH_MAX:
        raise CursorMalformed(field="cursor")
    try:
        encoded = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(encoded, type=kind)
    except (ValueError, msgspec.MsgspecError):
        raise CursorMalformed(field="cursor") from None
