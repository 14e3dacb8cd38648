"""The operator: one token that opens everything, kept only as a hash, and the sessions it opens.

The token is 32 random bytes, so that a plain SHA-256 hides it as well as a slow hash would.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes
from typing import Final
from uuid import UUID

from xinghan.identity.store import insert_audit
from xinghan.kit.db import Connection
from xinghan.kit.errors import Unauthorised
from xinghan.kit.ids import uuid7
from xinghan.kit.vault import Vault

TOKEN_PREFIX: Final = "xho_"  # noqa: S105 (what every token begins with, so that leaks are found)
TOKEN_BYTES: Final = 32
FILE_NAME: Final = "operator.token"
SESSION_LASTS: Final = timedelta(hours=8)
OPERATOR: Final = "operator"

_TOKEN = re.compile(r"xho_[A-Za-z0-9_-]{43}", re.ASCII)
_COOKIE = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})", re.ASCII)
# Two starting processes must not both make the first token; the number is only that lock's name.
_ADVISORY_LOCK: Final = 0x584F5052

LOCK_TOKENS: Final = "SELECT pg_advisory_xact_lock($1)"
FETCH_ACTIVE: Final = """
    SELECT id, token_hash FROM identity.operator_token WHERE retired_at IS NULL
"""
RETIRE_TOKENS: Final = """
    UPDATE identity.operator_token SET retired_at = now() WHERE retired_at IS NULL
"""
INSERT_ACTIVE: Final = "INSERT INTO identity.operator_token (id, token_hash) VALUES ($1, $2)"
INSERT_SESSION: Final = """
    INSERT INTO identity.operator_session (id, token, created_at, expires_at)
    VALUES ($1, $2, $3, $4)
"""
FETCH_SESSION: Final = """
    SELECT s.id FROM identity.operator_session AS s
    JOIN identity.operator_token AS t ON t.id = s.token
    WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND t.retired_at IS NULL
"""
END_SESSION: Final = """
    UPDATE identity.operator_session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL
"""


class OperatorUnknown(Unauthorised):
    """The operator's token is missing or wrong."""

    code = "operator_unknown"


class SessionOver(Unauthorised):
    """Nobody is signed in, or not any more."""

    code = "session_over"


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is signed in; `cookie` is what the browser keeps."""

    id: UUID
    cookie: str
    form_token: str


async def ensure_operator_token(connection: Connection, directory: Path) -> bool:
    """Make the first token inside the caller's transaction and write it to `directory`.

    False when there is one already. Raises OSError when it cannot be written.
    """
    await connection.execute(LOCK_TOKENS, _ADVISORY_LOCK)
    if await connection.fetchrow(FETCH_ACTIVE):
        return False
    await _make_token(connection, directory)
    return True


async def rotate_operator_token(connection: Connection, directory: Path, *, actor: str) -> str:
    """Make a new token inside the caller's transaction; the old one and its sessions end.

    Raises OSError when it cannot be written to `directory`.
    """
    await connection.execute(LOCK_TOKENS, _ADVISORY_LOCK)
    await connection.execute(RETIRE_TOKENS)
    token, identity = await _make_token(connection, directory)
    await insert_audit(connection, actor, "rotate_operator_token", identity, {})
    return token


async def read_operator_token(connection: Connection, directory: Path) -> str | None:
    """Read the token from its file; None when the file is gone or holds one that is retired."""
    try:
        token = (directory / FILE_NAME).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return token if await _token_id(connection, token) else None


async def check_operator_token(connection: Connection, token: str) -> UUID:
    """Give the id of the token if it opens the platform. Raises OperatorUnknown."""
    identity = await _token_id(connection, token)
    if identity is None:
        raise OperatorUnknown
    return identity


async def open_session(connection: Connection, vault: Vault, token: str, now: datetime) -> Session:
    """Sign somebody in. Raises OperatorUnknown."""
    identity, session = await check_operator_token(connection, token), uuid7()
    await connection.execute(INSERT_SESSION, session, identity, now, now + SESSION_LASTS)
    await insert_audit(connection, OPERATOR, "sign_in", session, {})
    return _session(vault, session)


async def fetch_session(
    connection: Connection, vault: Vault, cookie: str, now: datetime
) -> Session:
    """Find who is signed in by the browser's cookie. Raises SessionOver."""
    match = _COOKIE.fullmatch(cookie)
    if match is None:
        raise SessionOver
    session = _session(vault, UUID(hex=match[1]))
    genuine = hmac.compare_digest(session.cookie, cookie)
    if not genuine or not await connection.fetchrow(FETCH_SESSION, session.id, now):
        raise SessionOver
    return session


async def end_session(connection: Connection, session: Session, now: datetime) -> None:
    """Sign somebody out; the cookie opens nothing any more."""
    await connection.execute(END_SESSION, session.id, now)
    await insert_audit(connection, OPERATOR, "sign_out", session.id, {})


async def _make_token(connection: Connection, directory: Path) -> tuple[str, UUID]:
    token = TOKEN_PREFIX + urlsafe_b64encode(token_bytes(TOKEN_BYTES)).rstrip(b"=").decode()
    identity = uuid7()
    await connection.execute(INSERT_ACTIVE, identity, _hash(token))
    _write(directory / FILE_NAME, token)
    return token, identity


async def _token_id(connection: Connection, token: str) -> UUID | None:
    row = await connection.fetchrow(FETCH_ACTIVE)
    if row is None or not _TOKEN.fullmatch(token):
        return None
    identity: UUID = row["id"]
    return identity if hmac.compare_digest(row["token_hash"], _hash(token)) else None


def _write(path: Path, token: str) -> None:
    """Put the token's file in its place at once, readable by its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"{token}\n")
    draft.replace(path)


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()


def _session(vault: Vault, session: UUID) -> Session:
    signature = vault.keyed_hash(session.hex, "operator session").hex()
    form_token = vault.keyed_hash(session.hex, "operator form").hex()
    return Session(session, f"{session.hex}.{signature}", form_token)
