"""Accounts are opened, read, frozen, limited and closed, and each change says who and why."""

import asyncio

import pytest

from bookkeeping import Bookkeeper, new_id
from xinghan.kit.db import Connection
from xinghan.kit.errors import Invalid
from xinghan.kit.ids import AccountId
from xinghan.kit.money import CurrencyUnknown
from xinghan.ledger import (
    AccountBeyondLimit,
    AccountClosed,
    AccountNotEmpty,
    AccountNotFound,
    Leg,
    NewAccount,
    Outcome,
    Post,
    close_account,
    fetch_balance,
    freeze_account,
    limit_account,
    open_accounts,
    unfreeze_account,
)
from xinghan.ledger.numbers import account_number


async def changes_of(books: Bookkeeper, account: AccountId) -> list[tuple[object, ...]]:
    async with books.database.acquire() as connection:
        rows = await connection.fetch(
            """
            SELECT change, detail, actor, reason FROM ledger.account_change
            WHERE account = $1 ORDER BY id
            """,
            account,
        )
    return [tuple(row) for row in rows]


async def test_accounts_are_opened_in_one_call(books: Bookkeeper) -> None:
    new = [
        NewAccount("CNY", "wallet"),
        NewAccount("JPY", "merchant", striped=True),
        NewAccount("EUR", "cash", debit_normal=True, floor_minor=None, bucket=7),
    ]
    numbers = await books.run(lambda c: open_accounts(c, new))
    balances = await books.balances(*numbers)
    assert [(b.account, b.currency, b.kind) for b in balances] == [
        (numbers[0], "CNY", "wallet"),
        (numbers[1], "JPY", "merchant"),
        (numbers[2], "EUR", "cash"),
    ]
    assert (numbers[1] & 255, numbers[2] & 255) == (255, 7)
    async with books.database.acquire() as connection:
        rows = await connection.fetch("SELECT id, count(*) FROM ledger.account GROUP BY id")
    assert {row["id"]: row["count"] for row in rows} == dict(zip(numbers, (1, 64, 1), strict=True))
    assert await books.run(lambda c: open_accounts(c, [])) == []


async def test_accounts_spread_over_the_buckets(books: Bookkeeper) -> None:
    numbers = await books.run(lambda c: open_accounts(c, [NewAccount("CNY", "wallet")] * 64))
    assert {number & 255 for number in numbers} == set(range(64))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": ""}, "kind"),
        ({"kind": "Wallet"}, "kind"),
        ({"kind": "x" * 41}, "kind"),
        ({"bucket": 64}, "bucket"),
        ({"bucket": -1}, "bucket"),
        ({"bucket": 1, "striped": True}, "bucket"),
        ({"floor_minor": 1}, "floor_minor"),
        ({"floor_minor": 0.5}, "floor_minor"),
        ({"floor_minor": -(10**19)}, "floor_minor"),
        ({"ceiling_minor": -1, "floor_minor": None}, "ceiling_minor"),
        ({"ceiling_minor": 10**19}, "ceiling_minor"),
        ({"ceiling_minor": -5, "floor_minor": -4}, "ceiling_minor"),
    ],
)
async def test_an_account_that_cannot_be(
    books: Bookkeeper, given: dict[str, object], field: str
) -> None:
    before = await books.everything()
    with pytest.raises(Invalid) as refused:
        await books.open(**given)
    assert refused.value.field == field
    assert await books.everything() == before


@pytest.mark.parametrize("currency", ["XXX", "cny", "", "XAU"])
async def test_an_unknown_currency(books: Bookkeeper, currency: str) -> None:
    with pytest.raises(CurrencyUnknown):
        await books.open(currency=currency)


async def test_an_unknown_account(books: Bookkeeper) -> None:
    lin = await books.open()
    for nobody in (account_number(2**40, 156, 3), account_number(2**40, 156, None), AccountId(0)):
        with pytest.raises(AccountNotFound):
            await books.balances(lin, nobody)
        with pytest.raises(AccountNotFound):
            await books.run(lambda c, a=nobody: freeze_account(c, a, "operator", "test"))
        with pytest.raises(AccountNotFound):
            await books.run(lambda c, a=nobody: close_account(c, a, "operator", "test"))


async def test_a_freeze_holds_for_all_stripes_and_is_recorded_once(books: Bookkeeper) -> None:
    shop, lin = await books.open(striped=True), await books.funded(10, bucket=5)
    await books.run(lambda c: freeze_account(c, shop, "chen", "case 17", debits=False))
    await books.refuse(Outcome.FROZEN, Post(new_id(), (Leg(lin, shop, 1),)))
    balance = await books.balance(shop)
    assert (balance.debits_refused, balance.credits_refused) == (False, True)
    await books.run(lambda c: freeze_account(c, shop, "chen", "case 17", credits=False))
    await books.run(lambda c: unfreeze_account(c, shop, "wu", "case 17 closed", debits=False))
    await books.post(Leg(lin, shop, 1))
    assert (await books.balance(shop)).debits_refused
    assert await changes_of(books, shop) == [
        ("freeze", {"debits": False, "credits": True}, "chen", "case 17"),
        ("freeze", {"debits": True, "credits": False}, "chen", "case 17"),
        ("unfreeze", {"debits": False, "credits": True}, "wu", "case 17 closed"),
    ]


async def test_limits_are_set_and_taken_away(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    await books.run(
        lambda c: limit_account(c, lin, "chen", "credit line", floor_minor=-50, ceiling_minor=None)
    )
    await books.post(Leg(lin, mei, 150))
    await books.refuse(Outcome.INSUFFICIENT_FUNDS, Post(new_id(), (Leg(lin, mei, 1),)))
    assert await changes_of(books, lin) == [
        (
            "limit",
            {
                "floor_minor": -50,
                "ceiling_minor": None,
                "before": {"floor_minor": 0, "ceiling_minor": None},
            },
            "chen",
            "credit line",
        )
    ]


@pytest.mark.parametrize("bounds", [(101, None), (None, 99), (0, 99)])
async def test_a_limit_must_be_kept_when_it_is_set(
    books: Bookkeeper, bounds: tuple[int | None, int | None]
) -> None:
    lin = await books.funded(100)
    cash = await books.open(kind="cash", debit_normal=True, floor_minor=None)
    await books.post(Leg(cash, await books.open(), 100))
    floor, ceiling = bounds
    before = await books.everything()
    for account in (lin, cash):
        with pytest.raises(AccountBeyondLimit):
            await books.run(
                lambda c, a=account: limit_account(
                    c, a, "chen", "test", floor_minor=floor, ceiling_minor=ceiling
                )
            )
    assert await books.everything() == before


async def test_only_an_empty_account_is_closed_and_stays_so(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    before = await books.everything()
    with pytest.raises(AccountNotEmpty):
        await books.run(lambda c: close_account(c, lin, "chen", "test"))
    assert await books.everything() == before
    await books.post(Leg(lin, mei, 100))
    await books.run(lambda c: close_account(c, lin, "chen", "wish of the owner"))
    assert (await books.balance(lin)).closed
    with pytest.raises(AccountClosed):
        await books.run(lambda c: close_account(c, lin, "chen", "test"))
    with pytest.raises(AccountClosed):
        await books.run(lambda c: unfreeze_account(c, lin, "chen", "test"))
    assert await changes_of(books, lin) == [("close", {}, "chen", "wish of the owner")]


async def test_a_striped_account_that_sums_to_zero_is_not_empty(books: Bookkeeper) -> None:
    shop = await books.open(striped=True, floor_minor=-100)
    await books.post(Leg(shop, shop, 5, 1, 2))
    assert (await books.balance(shop)).balance_minor == 0
    with pytest.raises(AccountNotEmpty):
        await books.run(lambda c: close_account(c, shop, "chen", "test"))


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("chen", " ")])
async def test_a_change_says_who_and_why(books: Bookkeeper, actor: str, reason: str) -> None:
    lin = await books.open()
    before = await books.everything()
    for change in (freeze_account, close_account):
        with pytest.raises(Invalid):
            await books.run(lambda c, change=change: change(c, lin, actor, reason))
    with pytest.raises(Invalid):
        await books.run(
            lambda c: freeze_account(c, lin, "chen", "nothing", debits=False, credits=False)
        )
    assert await books.everything() == before


async def test_changes_and_postings_do_not_wait_in_a_circle(books: Bookkeeper) -> None:
    shop = await books.open(striped=True, floor_minor=None)
    payers = [await books.funded(100, bucket=bucket) for bucket in range(8)]

    async def toggle(connection: Connection) -> None:
        await freeze_account(connection, shop, "chen", "test", debits=False)
        await unfreeze_account(connection, shop, "chen", "test", debits=False)

    doors = [Bookkeeper(books.database).ledger for _ in range(4)]
    results = await asyncio.gather(
        *(books.run(toggle) for _ in range(5)),
        *(doors[n % 4].post(Post(new_id(), (Leg(payers[n % 8], shop, 1),))) for n in range(80)),
    )
    assert {result.outcome for result in results[5:]} == {Outcome.POSTED}
    assert (await books.balance(shop)).balance_minor == 80


async def test_a_balance_is_read_inside_a_transaction_too(books: Bookkeeper) -> None:
    lin = await books.funded(100)
    balance = await books.run(lambda c: fetch_balance(c, lin))
    assert (balance.debits_posted_minor, balance.credits_posted_minor) == (0, 100)
    assert (balance.version, balance.available_minor) == (1, 100)
