"""Gives back what holds keep when their time is over."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from xinghan.kit.db import Connection
from xinghan.kit.ids import PostingId
from xinghan.ledger.model import Outcome, Release
from xinghan.ledger.posting import post_in
from xinghan.ledger.reading import find_expired

LIMIT: Final = 500


async def expire_holds(connection: Connection, limit: int = LIMIT) -> int:
    """Release up to `limit` legs of holds whose time is over by the database's clock.

    Gives how many were released now. Two workers at once do no harm: the release of a leg has one
    id, whoever posts it. Run it by `kit.commit.commit` with `posting.RACES`.
    """
    releases = [
        Release(expiry_id(hold, leg), PostingId(hold), bucket, leg=leg, expiry=True)
        for bucket, hold, leg in await find_expired(connection, limit)
    ]
    if not releases:
        return 0
    results = await post_in(connection, [(release,) for release in releases])
    return sum(result.outcome is Outcome.POSTED for (result,) in results)


def expiry_id(hold: UUID, leg: int) -> PostingId:
    """Derive the id of the release that ends a hold's leg: a UUIDv5 of the leg in the hold's id."""
    return PostingId(uuid5(hold, f"expiry {leg}"))
