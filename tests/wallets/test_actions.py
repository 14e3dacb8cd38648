"""Accounts are opened once, and play money moves only between wallets and the funding account."""

import asyncio

import pytest

from wallets.conftest import Books
from xinghan import identity, wallets
from xinghan.kit import db
from xinghan.kit.errors import MoneyOutcome, XinghanError
from xinghan.kit.ids import MerchantId, PersonId, PostingId, uuid7
from xinghan.kit.money import AMOUNT_MAX, Currency, Money
from xinghan.ledger.accounts import close_account, fetch_balance, freeze_account
from xinghan.ledger.numbers import is_striped

CNY, JPY = Currency.of("CNY"), Currency.of("JPY")


def yuan(amount_minor: int) -> Money:
    return Money(amount_minor, CNY)


def new_id() -> PostingId:
    return PostingId(uuid7())


async def fill(
    database: db.Database, person: identity.Person, amount: Money, posting: PostingId | None = None
) -> wallets.Moved:
    async with database.transaction() as connection:
        return await wallets.top_up(connection, person.key, amount, posting or new_id())


async def take(
    database: db.Database, person: identity.Person, amount: Money, posting: PostingId | None = None
) -> wallets.Moved:
    async with database.transaction() as connection:
        return await wallets.withdraw(connection, person.key, amount, posting or new_id())


async def test_a_top_up_comes_from_the_funding_account(
    database: db.Database, lin: identity.Person
) -> None:
    moved = await fill(database, lin, yuan(100_000))
    assert (moved.balance, moved.repeated) == (yuan(100_000), False)
    async with database.acquire() as connection:
        held = await wallets.fetch_wallet_balance(connection, lin.key, CNY)
        funding = await wallets.platform_account(connection, wallets.Purpose.SANDBOX_FUNDING, CNY)
        source = await fetch_balance(connection, funding)
    assert (held.balance, held.available) == (yuan(100_000), yuan(100_000))
    assert (source.kind, source.balance_minor) == ("sandbox_funding", 100_000)


async def test_a_withdrawal_goes_back_there(database: db.Database, lin: identity.Person) -> None:
    await fill(database, lin, yuan(100))
    moved = await take(database, lin, yuan(100))
    assert moved.balance == yuan(0)
    async with database.acquire() as connection:
        funding = await wallets.platform_account(connection, wallets.Purpose.SANDBOX_FUNDING, CNY)
        assert (await fetch_balance(connection, funding)).balance_minor == 0


async def test_a_repeated_id_moves_nothing_more(
    database: db.Database, lin: identity.Person, books: Books
) -> None:
    posting = new_id()
    first = await fill(database, lin, yuan(100), posting)
    before = await books()
    again = await fill(database, lin, yuan(100), posting)
    assert (again.balance, again.repeated, first.repeated) == (yuan(100), True, False)
    assert await books() == before


async def test_an_id_with_other_content_is_refused(
    database: db.Database, lin: identity.Person, books: Books
) -> None:
    posting = new_id()
    await fill(database, lin, yuan(100), posting)
    before = await books()
    for move, amount in ((fill, yuan(101)), (take, yuan(100))):
        with pytest.raises(wallets.IdUsedBefore):
            await move(database, lin, amount, posting)
    assert await books() == before


async def test_more_than_there_is_cannot_be_withdrawn(
    database: db.Database, lin: identity.Person, books: Books
) -> None:
    await fill(database, lin, yuan(100))
    before = await books()
    with pytest.raises(wallets.BalanceTooLow) as caught:
        await take(database, lin, yuan(101))
    assert await books() == before
    assert caught.value.money is MoneyOutcome.UNMOVED
    assert "1.01 CNY" in caught.value.message("en")
    assert "1.01 CNY" in caught.value.message("zh")
    assert caught.value.money_message("zh") == "资金未发生变动"
    assert caught.value.sub_code == "ACQ.BUYER_BALANCE_NOT_ENOUGH"


@pytest.mark.parametrize("amount_minor", [0, -1, AMOUNT_MAX + 1])
async def test_impossible_amounts_are_refused(
    database: db.Database, lin: identity.Person, books: Books, amount_minor: int
) -> None:
    await fill(database, lin, yuan(100))
    before = await books()
    for move in (fill, take):
        with pytest.raises(wallets.AmountOutOfBounds):
            await move(database, lin, yuan(amount_minor))
    assert await books() == before


async def test_a_frozen_and_a_closed_wallet_refuse(
    database: db.Database, lin: identity.Person, books: Books
) -> None:
    async with database.transaction() as connection:
        wallet = await wallets.open_wallet(connection, lin.key, CNY)
        await freeze_account(connection, wallet, "mei", "lost phone")
    before = await books()
    with pytest.raises(wallets.WalletFrozen):
        await fill(database, lin, yuan(1))
    async with database.transaction() as connection:
        await close_account(connection, wallet, "mei", "as asked")
    with pytest.raises(wallets.WalletClosed):
        await fill(database, lin, yuan(1))
    assert await books() == before


async def test_a_wallet_in_another_currency_is_another_wallet(
    database: db.Database, lin: identity.Person, books: Books
) -> None:
    with pytest.raises(wallets.WalletNotFound) as caught:
        await fill(database, lin, Money(100, JPY))
    assert "JPY" in caught.value.message("zh")
    assert await books() == []
    async with database.transaction() as connection:
        yen = await wallets.open_wallet(connection, lin.key, JPY)
        assert yen != await wallets.open_wallet(connection, lin.key, CNY)
    await fill(database, lin, Money(100, JPY))
    async with database.acquire() as connection:
        assert (await wallets.fetch_wallet_balance(connection, lin.key, CNY)).balance == yuan(0)


async def test_nobody_s_wallet_is_not_found(database: db.Database, lin: identity.Person) -> None:
    nobody = identity.PersonKey(lin.bucket, PersonId(uuid7()))
    async with database.acquire() as connection:
        with pytest.raises(wallets.WalletNotFound):
            await wallets.fetch_wallet_balance(connection, nobody, CNY)


async def test_a_wallet_lives_in_its_owner_s_bucket_and_the_others_are_striped(
    database: db.Database, lin: identity.Person
) -> None:
    merchant = MerchantId(uuid7())
    async with database.transaction() as connection:
        wallet = await wallets.open_wallet(connection, lin.key, CNY)
        shop = await wallets.open_merchant_account(connection, merchant, CNY)
        fees = await wallets.platform_account(connection, wallets.Purpose.FEE_INCOME, CNY)
        assert (await fetch_balance(connection, shop)).kind == "merchant_balance"
        assert (await fetch_balance(connection, fees)).kind == "fee_income"
    assert wallet & 255 == lin.bucket
    assert is_striped(shop)
    assert is_striped(fees)


async def test_whoever_opens_the_same_account_at_once_gets_the_same_one(
    database: db.Database, owner: db.Connection, lin: identity.Person
) -> None:
    merchant = MerchantId(uuid7())

    async def open_all() -> tuple[int, int, int]:
        async with database.transaction() as connection:
            return (
                await wallets.open_wallet(connection, lin.key, JPY),
                await wallets.open_merchant_account(connection, merchant, JPY),
                await wallets.platform_account(connection, wallets.Purpose.FEE_INCOME, JPY),
            )

    opened = await asyncio.gather(*(open_all() for _ in range(8)))
    assert len(set(opened)) == 1
    count = "SELECT count(DISTINCT id) FROM ledger.account WHERE (id >> 8 & 1023) = 392"
    assert await owner.fetchval(count) == 3


async def test_racing_withdrawals_never_take_more_than_there_is(
    database: db.Database, lin: identity.Person
) -> None:
    await fill(database, lin, yuan(100))
    answers = await asyncio.gather(
        *(take(database, lin, yuan(30)) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(answer, wallets.Moved) for answer in answers) == 3
    assert sum(isinstance(answer, wallets.BalanceTooLow) for answer in answers) == 5
    async with database.acquire() as connection:
        assert (await wallets.fetch_wallet_balance(connection, lin.key, CNY)).balance == yuan(10)


async def test_a_refusal_undoes_what_the_transaction_did_before(
    database: db.Database, lin: identity.Person, books: Books
) -> None:
    async def fill_and_take_too_much() -> None:
        async with database.transaction() as connection:
            await wallets.top_up(connection, lin.key, yuan(100), new_id())
            await wallets.withdraw(connection, lin.key, yuan(101), new_id())

    with pytest.raises(XinghanError):
        await fill_and_take_too_much()
    assert await books() == []
