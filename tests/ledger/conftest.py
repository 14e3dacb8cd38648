"""The ledger's tests keep books, which must be in order when a test ends."""

from collections.abc import AsyncIterator

import pytest

from bookkeeping import Bookkeeper
from xinghan.kit.db import Database


@pytest.fixture
async def books(database: Database) -> AsyncIterator[Bookkeeper]:
    bookkeeper = Bookkeeper(database)
    yield bookkeeper
    await bookkeeper.check()
