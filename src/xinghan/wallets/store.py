"""The wallets room's statements: which account is whose."""

from typing import Final, NamedTuple

from xinghan.identity import PersonKey
from xinghan.kit.db import Connection, Row
from xinghan.kit.ids import AccountId, MerchantId
from xinghan.wallets.model import Purpose

# `settled`: the row was committed, so that it may be remembered beyond this transaction.
# A transaction that has written nothing can see no row of its own.
FETCH_WALLET: Final = """
    SELECT account, pg_current_xact_id_if_assigned() IS NULL
        OR age(xmin) > age(pg_current_xact_id_if_assigned()::xid) AS settled
    FROM wallets.wallet
    WHERE bucket = $1 AND person = $2 AND currency = $3
"""

INSERT_WALLET: Final = """
    INSERT INTO wallets.wallet (bucket, person, currency, account) VALUES ($1, $2, $3, $4)
"""

FETCH_MERCHANT_ACCOUNT: Final = """
    SELECT account, pg_current_xact_id_if_assigned() IS NULL
        OR age(xmin) > age(pg_current_xact_id_if_assigned()::xid) AS settled
    FROM wallets.merchant_account
    WHERE merchant = $1 AND currency = $2
"""

INSERT_MERCHANT_ACCOUNT: Final = """
    INSERT INTO wallets.merchant_account (merchant, currency, account) VALUES ($1, $2, $3)
"""

FETCH_PLATFORM_ACCOUNT: Final = """
    SELECT account, pg_current_xact_id_if_assigned() IS NULL
        OR age(xmin) > age(pg_current_xact_id_if_assigned()::xid) AS settled
    FROM wallets.platform_account
    WHERE purpose = $1 AND currency = $2
"""

INSERT_PLATFORM_ACCOUNT: Final = """
    INSERT INTO wallets.platform_account (purpose, currency, account) VALUES ($1, $2, $3)
"""

LOCK_OPENING: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"


class Found(NamedTuple):
    """An account's number; `settled` when it is sure that the row stays."""

    account: AccountId
    settled: bool


async def fetch_wallet(connection: Connection, owner: PersonKey, currency: str) -> Found | None:
    """Find a person's account."""
    return _found(await connection.fetchrow(FETCH_WALLET, owner.bucket, owner.id, currency))


async def insert_wallet(
    connection: Connection, owner: PersonKey, currency: str, account: AccountId
) -> None:
    """Note a person's account."""
    await connection.execute(INSERT_WALLET, owner.bucket, owner.id, currency, account)


async def fetch_merchant_account(
    connection: Connection, merchant: MerchantId, currency: str
) -> Found | None:
    """Find a merchant's account."""
    return _found(await connection.fetchrow(FETCH_MERCHANT_ACCOUNT, merchant, currency))


async def insert_merchant_account(
    connection: Connection, merchant: MerchantId, currency: str, account: AccountId
) -> None:
    """Note a merchant's account."""
    await connection.execute(INSERT_MERCHANT_ACCOUNT, merchant, currency, account)


async def fetch_platform_account(
    connection: Connection, purpose: Purpose, currency: str
) -> Found | None:
    """Find an account of the platform."""
    return _found(await connection.fetchrow(FETCH_PLATFORM_ACCOUNT, purpose, currency))


async def insert_platform_account(
    connection: Connection, purpose: Purpose, currency: str, account: AccountId
) -> None:
    """Note an account of the platform."""
    await connection.execute(INSERT_PLATFORM_ACCOUNT, purpose, currency, account)


async def lock_opening(connection: Connection, what: str) -> None:
    """Let one transaction at a time open this account; released when the transaction ends."""
    await connection.execute(LOCK_OPENING, what)


def _found(row: Row | None) -> Found | None:
    return Found(AccountId(row["account"]), row["settled"]) if row else None
