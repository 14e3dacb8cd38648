"""People and devices as they are created, found and kept."""

import asyncio

import pytest

from xinghan import identity
from xinghan.identity.actions import people
from xinghan.kit import db
from xinghan.kit.ids import PersonId, uuid7
from xinghan.kit.vault import SealBroken, Vault


async def create_lin(database: db.Database, vault: Vault) -> identity.Person:
    async with database.transaction() as connection:
        return await identity.create_sandbox_person(connection, vault, "Lin", actor="mei")


async def add_phone(
    database: db.Database, vault: Vault, owner: identity.Person
) -> identity.NewDevice:
    async with database.transaction() as connection:
        return await identity.add_device(connection, vault, owner, actor="mei")


async def test_a_person_is_found_by_name_by_number_and_by_place(
    database: db.Database, vault: Vault
) -> None:
    lin = await create_lin(database, vault)
    assert (lin.name, lin.status) == ("Lin", identity.PersonStatus.ACTIVE)
    assert lin.user_id.startswith("2088")
    assert len(lin.user_id) == 16
    async with database.acquire() as connection:
        assert await identity.fetch_person(connection, vault, lin.key) == lin
        assert await identity.fetch_person_by_name(connection, vault, " Lin ") == lin
        assert await identity.fetch_person_by_user_id(connection, vault, lin.user_id) == lin


async def test_nobody_is_found_under_what_was_never_given(
    database: db.Database, vault: Vault
) -> None:
    lin = await create_lin(database, vault)
    nobody = identity.PersonKey(lin.bucket, PersonId(uuid7()))
    async with database.acquire() as connection:
        assert await identity.fetch_person(connection, vault, nobody) is None
        assert await identity.fetch_person_by_name(connection, vault, "Wei") is None
        assert await identity.fetch_person_by_user_id(connection, vault, "2088000000000000") is None
        assert await identity.fetch_person_by_user_id(connection, vault, "Lin") is None
        assert await identity.fetch_device(connection, vault, 10**10 - 1) is None
        assert await identity.fetch_newest_device(connection, vault, lin.key) is None


async def test_people_are_spread_over_the_buckets_and_numbered_apart(
    database: db.Database, vault: Vault
) -> None:
    async with database.transaction() as connection:
        made = [
            await identity.create_person(connection, vault, "Lin", actor="mei") for _ in range(128)
        ]
    assert {person.bucket for person in made} == set(range(64))
    assert len({person.user_id for person in made}) == 128


async def test_a_name_is_given_once_in_a_sandbox(
    database: db.Database, owner: db.Connection, vault: Vault
) -> None:
    await create_lin(database, vault)
    with pytest.raises(identity.NameTaken) as caught:
        await create_lin(database, vault)
    assert "Lin" in caught.value.message("zh")
    assert await owner.fetchval("SELECT count(*) FROM identity.person") == 1


async def test_two_who_want_one_name_at_once_do_not_both_get_it(
    database: db.Database, vault: Vault
) -> None:
    answers = await asyncio.gather(
        *(create_lin(database, vault) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(answer, identity.Person) for answer in answers) == 1
    assert sum(isinstance(answer, identity.NameTaken) for answer in answers) == 7


async def test_a_device_leads_to_its_owner_and_keeps_its_secret(
    database: db.Database, vault: Vault
) -> None:
    lin = await create_lin(database, vault)
    first, phone = [await add_phone(database, vault, lin) for _ in range(2)]
    assert phone.number % 64 == lin.bucket
    assert len(phone.secret) == 32
    async with database.acquire() as connection:
        found = await identity.fetch_device(connection, vault, phone.number)
        newest = await identity.fetch_newest_device(connection, vault, lin.key)
    assert found is not None
    assert found == newest
    assert (found.id, found.owner, found.revoked_at) == (phone.id, lin, None)
    assert identity.unseal_device_secret(vault, found) == phone.secret != first.secret


async def test_a_revoked_device_is_no_longer_the_newest(
    database: db.Database, owner: db.Connection, vault: Vault
) -> None:
    lin = await create_lin(database, vault)
    kept, lost = [await add_phone(database, vault, lin) for _ in range(2)]
    await owner.execute(
        "UPDATE identity.device SET revoked_at = now(), revoked_by = 'lin' WHERE id = $1", lost.id
    )
    async with database.acquire() as connection:
        found = await identity.fetch_device(connection, vault, lost.number)
        newest = await identity.fetch_newest_device(connection, vault, lin.key)
    assert found is not None
    assert found.revoked_at is not None
    assert newest is not None
    assert newest.number == kept.number


async def test_a_number_that_is_taken_is_drawn_again(
    database: db.Database, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    lin = await create_lin(database, vault)
    drawn = iter([5, 5, 5, 6])
    monkeypatch.setattr(people, "randbelow", lambda _: next(drawn))
    numbers = [(await add_phone(database, vault, lin)).number for _ in range(2)]
    assert numbers == [5 * 64 + lin.bucket, 6 * 64 + lin.bucket]


async def test_a_secret_is_readable_neither_in_the_table_nor_in_another_row(
    database: db.Database, owner: db.Connection, vault: Vault
) -> None:
    lin = await create_lin(database, vault)
    mine, other = [await add_phone(database, vault, lin) for _ in range(2)]
    rows = await owner.fetch("SELECT d::text AS row FROM identity.device AS d")
    assert all(mine.secret.hex() not in row["row"] for row in rows)
    await owner.execute(
        "UPDATE identity.device SET secret_sealed = (SELECT secret_sealed FROM identity.device"
        " WHERE id = $1) WHERE id = $2",
        mine.id,
        other.id,
    )
    async with database.acquire() as connection:
        swapped = await identity.fetch_device(connection, vault, other.number)
    assert swapped is not None
    with pytest.raises(SealBroken):
        identity.unseal_device_secret(vault, swapped)
    assert mine.secret.hex() not in repr(mine)


async def test_every_creation_is_audited_and_the_audit_cannot_be_changed(
    database: db.Database, owner: db.Connection, vault: Vault
) -> None:
    lin = await create_lin(database, vault)
    phone = await add_phone(database, vault, lin)
    rows = await owner.fetch("SELECT actor, act, subject, detail FROM identity.audit ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("mei", "create_person", lin.id, {"name": "Lin"}),
        ("mei", "add_device", phone.id, {"person": str(lin.id)}),
    ]
    for change in (
        "UPDATE identity.audit SET actor = 'wei'",
        "DELETE FROM identity.audit",
        "TRUNCATE identity.audit",
    ):
        with pytest.raises(db.InsufficientPrivilege):
            await owner.execute(change)
