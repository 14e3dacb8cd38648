"""What the database itself refuses, whoever asks and whatever the program believes."""

from typing import Any, Final

import pytest

from bookkeeping import Bookkeeper, new_id
from xinghan.kit.db import (
    CheckViolation,
    Connection,
    Database,
    DatabaseError,
    ForeignKeyViolation,
    InsufficientPrivilege,
    NotNullViolation,
    NumericOutOfRange,
    SerializationFailure,
    UniqueViolation,
)
from xinghan.kit.ids import AccountId
from xinghan.ledger import Leg, close_account, freeze_account
from xinghan.ledger.store import WRITE

APPEND_ONLY: Final = ("posting", "entry", "account_change")
CHANGES: Final = (
    "UPDATE ledger.{table} SET bucket = bucket",
    "UPDATE ledger.{table} SET bucket = 1 WHERE false",
    "DELETE FROM ledger.{table}",
    "DELETE FROM ledger.{table} WHERE false",
    "TRUNCATE ledger.{table}",
)


@pytest.mark.parametrize("table", APPEND_ONLY)
async def test_what_is_written_stays(books: Bookkeeper, owner: Connection, table: str) -> None:
    lin = await books.funded(100)
    await books.run(lambda c: freeze_account(c, lin, "chen", "test"))
    before = await books.everything()
    async with books.database.acquire() as application:
        for connection in (application, owner):
            for change in CHANGES:
                with pytest.raises(InsufficientPrivilege):
                    await connection.execute(change.format(table=table))
    assert await books.everything() == before


FORBIDDEN: Final = (
    "DELETE FROM ledger.account",
    "TRUNCATE ledger.account",
    "DELETE FROM ledger.hold",
    "TRUNCATE ledger.hold",
    "DROP TABLE ledger.posting",
    "ALTER TABLE ledger.posting DISABLE TRIGGER ALL",
    "DROP TRIGGER entry_append_only ON ledger.entry",
    "CREATE TABLE ledger.other (a integer)",
    "ALTER TABLE ledger.account DROP CONSTRAINT account_available_above_floor",
    "SELECT setval('ledger.account_sequence', 1)",
    "SET session_replication_role = replica",
)


async def test_the_application_cannot_take_the_guard_away(books: Bookkeeper) -> None:
    await books.funded(100)
    before = await books.everything()
    async with books.database.acquire() as connection:
        for statement in FORBIDDEN:
            with pytest.raises(InsufficientPrivilege):
                await connection.execute(statement)
    assert await books.everything() == before


def arguments(debit: AccountId, credit: AccountId, **given: Any) -> list[object]:  # noqa: ANN401
    """Build the arrays of `ledger.write_v1` for one leg that is right unless `given` says else."""
    leg: dict[str, Any] = {
        "id": new_id(),
        "bucket": debit & 255,
        "debit_account": debit,
        "credit_account": credit,
        "amount": 10,
        "debit_version": 2,
        "credit_version": 1,
        "debit_balance": 90,
        "credit_balance": 10,
    }
    optional: dict[str, Any] = dict.fromkeys(
        (
            "kind",
            "leg",
            "debit_bucket",
            "credit_bucket",
            "debit_held",
            "credit_held",
            "refers_to",
            "linked_to",
            "event_at",
            "expires_at",
            "metadata",
        )
    )
    return [[value] for value in (leg | optional | given).values()]


@pytest.fixture
async def pair(books: Bookkeeper) -> tuple[AccountId, AccountId]:
    """Give an account with 100 and an empty one beside it."""
    return await books.funded(100, bucket=1), await books.open(bucket=1)


async def refused(
    books: Bookkeeper, error: type[Exception] | tuple[type[Exception], ...], given: list[object]
) -> None:
    before = await books.everything()
    async with books.database.acquire() as connection:
        with pytest.raises(error):
            await connection.fetchval(WRITE, *given)
    assert await books.everything() == before


async def test_the_function_moves_what_is_right(
    books: Bookkeeper, pair: tuple[AccountId, AccountId]
) -> None:
    async with books.database.acquire() as connection:
        await connection.fetchval(WRITE, *arguments(*pair))
    assert await books.minor(*pair) == [90, 10]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"amount": 0}, CheckViolation),
        ({"amount": -10}, CheckViolation),
        ({"amount": 10**15 + 1}, CheckViolation),
        ({"amount": 2**63 - 1}, (CheckViolation, NumericOutOfRange)),
        ({"amount": None}, NotNullViolation),
        ({"amount": 101}, CheckViolation),
        ({"debit_version": 1}, (SerializationFailure, UniqueViolation)),
        ({"debit_version": 3}, SerializationFailure),
        ({"debit_version": None}, (SerializationFailure, NotNullViolation)),
        ({"credit_version": 0}, SerializationFailure),
        ({"credit_version": 2}, SerializationFailure),
        ({"kind": 0}, CheckViolation),
        ({"kind": 7}, CheckViolation),
        ({"kind": 1, "refers_to": new_id()}, CheckViolation),
        ({"kind": 6}, CheckViolation),
        ({"kind": 3, "refers_to": new_id(), "leg": 0}, (CheckViolation, ForeignKeyViolation)),
        ({"kind": 4, "refers_to": new_id(), "leg": 0}, (CheckViolation, ForeignKeyViolation)),
        ({"leg": 1000}, CheckViolation),
        ({"debit_bucket": 2}, (SerializationFailure, CheckViolation)),
        ({"credit_bucket": 2}, (SerializationFailure, CheckViolation)),
    ],
)
async def test_the_function_refuses_what_is_wrong(
    books: Bookkeeper,
    pair: tuple[AccountId, AccountId],
    given: dict[str, object],
    error: type[Exception] | tuple[type[Exception], ...],
) -> None:
    await refused(books, error, arguments(*pair, **given))


async def test_a_leg_never_crosses_currencies(
    books: Bookkeeper, pair: tuple[AccountId, AccountId]
) -> None:
    yen = await books.open(currency="JPY", bucket=1)
    await refused(books, CheckViolation, arguments(pair[0], yen))


async def test_a_leg_has_two_sides(books: Bookkeeper, pair: tuple[AccountId, AccountId]) -> None:
    lin, _ = pair
    given = arguments(lin, lin, credit_version=3)
    await refused(books, CheckViolation, given)


async def test_an_account_that_is_not_there_takes_nothing(
    books: Bookkeeper, pair: tuple[AccountId, AccountId]
) -> None:
    nobody = AccountId(pair[1] + (1 << 40))
    await refused(books, SerializationFailure, arguments(pair[0], nobody))


@pytest.mark.parametrize("change", ["freeze", "close"])
async def test_a_frozen_or_closed_account_takes_nothing(
    books: Bookkeeper, pair: tuple[AccountId, AccountId], change: str
) -> None:
    make = freeze_account if change == "freeze" else close_account
    await books.run(lambda c: make(c, pair[1], "chen", "test"))
    await refused(books, SerializationFailure, arguments(*pair))


async def test_an_id_stands_once(books: Bookkeeper, pair: tuple[AccountId, AccountId]) -> None:
    first = (await books.post(Leg(*pair, 10))).id
    given = arguments(*pair, id=first, debit_version=3, credit_version=2)
    await refused(books, UniqueViolation, given)


async def test_a_balance_that_was_made_up_does_not_change_the_books(
    books: Bookkeeper, pair: tuple[AccountId, AccountId]
) -> None:
    """Counters follow the amounts, whatever the caller says; verification finds the false entry."""
    async with books.database.acquire() as connection:
        undone = connection.transaction()
        await undone.start()
        await connection.fetchval(WRITE, *arguments(*pair, credit_balance=10**6))
        balance = await connection.fetchval(
            "SELECT credits_posted - debits_posted FROM ledger.account WHERE id = $1", pair[1]
        )
        await undone.rollback()
    assert balance == 10


async def test_counters_are_bounded_whole_numbers(books: Bookkeeper, owner: Connection) -> None:
    lin = await books.open(floor_minor=None)
    change = f"UPDATE ledger.account SET {{}} = {{}} WHERE id = {lin}"
    for column in ("debits_posted", "credits_posted", "debits_pending", "credits_pending"):
        for number in ("-1", f"{4 * 10**18 + 1}"):
            with pytest.raises(CheckViolation):
                await owner.execute(change.format(column, number))
        for number in ("'NaN'", "'Infinity'", "1e300", "'1.5'"):
            with pytest.raises(DatabaseError, match=r"invalid input syntax|out of range"):
                await owner.execute(change.format(column, number))
    with pytest.raises(CheckViolation):
        await owner.execute(change.format("version", -1))


async def test_bounds_hold_for_the_owner_too(books: Bookkeeper, owner: Connection) -> None:
    lin = await books.open(ceiling_minor=100)
    for column, number in (("debits_posted", 1), ("debits_pending", 1), ("credits_posted", 101)):
        with pytest.raises(CheckViolation):
            await owner.execute(f"UPDATE ledger.account SET {column} = {number} WHERE id = {lin}")


async def test_a_row_lives_where_its_number_says(books: Bookkeeper, owner: Connection) -> None:
    lin = await books.open(bucket=1)
    for bucket in (2, 64, -1):
        with pytest.raises(CheckViolation):
            await owner.execute(f"UPDATE ledger.account SET bucket = {bucket} WHERE id = {lin}")


async def test_a_hold_is_not_overdrawn(books: Bookkeeper, database: Database) -> None:
    lin, mei = await books.funded(100), await books.open()
    hold = await books.hold(Leg(lin, mei, 60))
    async with database.acquire() as connection:
        for column, number in (("captured", 61), ("released", 61), ("captured", -1)):
            with pytest.raises(CheckViolation):
                await connection.execute(
                    f"UPDATE ledger.hold SET {column} = {number} WHERE id = $1", hold.id
                )
