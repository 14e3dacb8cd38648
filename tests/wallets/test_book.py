"""Account numbers that are kept in the process: only those that are sure to stay."""

import pytest

from xinghan import identity, wallets
from xinghan.kit import db
from xinghan.kit.ids import AccountId, MerchantId, uuid7
from xinghan.kit.money import Currency
from xinghan.wallets import store

CNY, JPY = Currency.of("CNY"), Currency.of("JPY")


class TakenBackError(Exception):
    """Ends a transaction without a commit."""


async def test_accounts_are_found_and_looked_up_once(
    database: db.Database, lin: identity.Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant, fees = MerchantId(uuid7()), wallets.Purpose.FEE_INCOME
    async with database.transaction() as connection:
        wallet = await wallets.open_wallet(connection, lin.key, CNY)
        shop = await wallets.open_merchant_account(connection, merchant, CNY)
        income = await wallets.platform_account(connection, fees, CNY)
    book = wallets.AccountBook()

    async def look(connection: db.Connection) -> list[AccountId | None]:
        return [
            await book.find_wallet(connection, lin.key, CNY),
            await book.find_merchant_account(connection, merchant, CNY),
            await book.platform_account(connection, fees, CNY),
        ]

    async with database.acquire() as connection:
        assert await look(connection) == [wallet, shop, income]
        for name in ("fetch_wallet", "fetch_merchant_account", "fetch_platform_account"):
            monkeypatch.delattr(store, name)
        assert await look(connection) == [wallet, shop, income]
    assert len(book) == 3


async def test_what_does_not_exist_is_not_found_and_may_come_later(
    database: db.Database, lin: identity.Person
) -> None:
    book = wallets.AccountBook()
    async with database.acquire() as connection:
        assert await book.find_wallet(connection, lin.key, JPY) is None
        assert await book.find_merchant_account(connection, MerchantId(uuid7()), CNY) is None
        opened = await wallets.open_wallet(connection, lin.key, JPY)
        assert await book.find_wallet(connection, lin.key, JPY) == opened


async def test_what_was_taken_back_is_not_kept(database: db.Database, lin: identity.Person) -> None:
    book, fees = wallets.AccountBook(), wallets.Purpose.FEE_INCOME

    async def open_and_take_back(*, nested: bool) -> None:
        async with database.transaction() as connection:
            if nested:
                async with connection.transaction():
                    await wallets.open_wallet(connection, lin.key, JPY)
            await wallets.open_wallet(connection, lin.key, JPY)
            assert await book.find_wallet(connection, lin.key, JPY) is not None
            for _ in range(2):
                await book.platform_account(connection, fees, JPY)
            raise TakenBackError

    for nested in (False, True):
        with pytest.raises(TakenBackError):
            await open_and_take_back(nested=nested)
    assert len(book) == 0
    async with database.acquire() as connection:
        assert await book.find_wallet(connection, lin.key, JPY) is None


async def test_what_was_there_before_is_kept_although_the_transaction_writes(
    database: db.Database, lin: identity.Person
) -> None:
    book = wallets.AccountBook()
    async with database.transaction() as connection:
        await wallets.open_wallet(connection, lin.key, JPY)
        assert await book.find_wallet(connection, lin.key, CNY) is not None
    assert len(book) == 1


async def test_the_book_is_bounded(database: db.Database, lin: identity.Person) -> None:
    book = wallets.AccountBook(accounts_max=2)
    currencies = [Currency.of(code) for code in ("CNY", "JPY", "EUR")]
    async with database.acquire() as connection:
        for currency in currencies:
            await wallets.open_wallet(connection, lin.key, currency)
        for currency in currencies:
            await book.find_wallet(connection, lin.key, currency)
    assert len(book) == 2
