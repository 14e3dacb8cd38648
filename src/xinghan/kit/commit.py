"""Runs a transaction until it is known to be committed, for work that is idempotent by its ids."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from xinghan.kit.db import (
    Connection,
    ConnectionLost,
    Database,
    DeadlockDetected,
    SerializationFailure,
    UniqueViolation,
    constraint_of,
)

Done = TypeVar("Done")

ATTEMPTS_MAX: Final = 10
RECONNECT_SECONDS: Final = 0.2


async def commit(
    database: Database,
    work: Callable[[Connection], Awaitable[Done]],
    *,
    races: frozenset[str] = frozenset(),
) -> Done:
    """Run `work` in a transaction; again when overtaken, or when the connection broke.

    `races` names the unique constraints that only a race can violate, because `work` looks first.
    After a lost connection nobody knows whether the transaction was committed: the work must answer
    a repeat as it answered the first time.
    """
    attempt = 1
    while True:
        try:
            async with database.transaction() as connection:
                return await work(connection)
        except ConnectionLost:
            if attempt == ATTEMPTS_MAX:
                raise
            await asyncio.sleep(RECONNECT_SECONDS * attempt)
        except (SerializationFailure, DeadlockDetected):
            if attempt == ATTEMPTS_MAX:
                raise
        except UniqueViolation as error:
            if attempt == ATTEMPTS_MAX or constraint_of(error) not in races:
                raise
        attempt += 1
