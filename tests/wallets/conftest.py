"""Lin with an empty wallet, and what the books say."""

from collections.abc import Awaitable, Callable

import pytest

from xinghan import identity, wallets
from xinghan.kit import db
from xinghan.kit.money import Currency
from xinghan.kit.vault import Vault

Books = Callable[[], Awaitable[list[tuple[object, ...]]]]

CNY = Currency.of("CNY")


@pytest.fixture
def vault() -> Vault:
    return Vault({1: bytes(range(32))})


@pytest.fixture
async def lin(database: db.Database, vault: Vault) -> identity.Person:
    """A person with an empty wallet in CNY."""
    async with database.transaction() as connection:
        person = await identity.create_person(connection, vault, "Lin", actor="mei")
        await wallets.open_wallet(connection, person.key, CNY)
    return person


@pytest.fixture
def books(owner: db.Connection) -> Books:
    """Read every account's counters and every posting, to compare before and after."""

    async def read() -> list[tuple[object, ...]]:
        rows = await owner.fetch(
            "SELECT id, bucket, debits_posted, credits_posted, version FROM ledger.account"
            " WHERE version > 0"
            " UNION ALL SELECT debit_account, bucket, credit_account, amount, leg"
            " FROM ledger.posting ORDER BY 1, 2, 3, 4, 5"
        )
        return [tuple(row) for row in rows]

    return read
