"""Apps that are kept in the process: for how long, how many, and who asks the database."""

import asyncio

import pytest

from cast.clock import FixedClock
from xinghan import identity
from xinghan.identity import directory as directory_module
from xinghan.identity.directory import AppDirectory
from xinghan.kit import db
from xinghan.kit.vault import Vault


class Seconds:
    """A clock of seconds that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that were looked up in the database, in order."""
    ids: list[str] = []
    fetch_app = directory_module.fetch_app

    async def note(connection: db.Connection, vault: Vault, app_id: str) -> identity.App | None:
        ids.append(app_id)
        return await fetch_app(connection, vault, app_id)

    monkeypatch.setattr(directory_module, "fetch_app", note)
    return ids


async def make_app_id(database: db.Database, vault: Vault) -> str:
    async with database.transaction() as connection:
        merchant = await identity.create_merchant(connection, vault, "Mei", actor="mei")
        mode = identity.AppMode.KEY
        new = await identity.create_app(
            connection, vault, merchant, mode, actor="mei", clock=FixedClock()
        )
    return new.app_id


async def test_an_app_is_looked_up_once_in_ten_seconds(
    database: db.Database, owner: db.Connection, vault: Vault, seconds: Seconds, asked: list[str]
) -> None:
    app_id = await make_app_id(database, vault)
    directory = AppDirectory(database, vault, clock=seconds)
    first = await directory.find(app_id)
    assert first is not None
    seconds.now += 9.9
    assert await directory.find(app_id) is first
    assert asked == [app_id]
    await owner.execute("UPDATE identity.app SET status = 'disabled'")
    seconds.now += 0.2
    assert await directory.find(app_id) is None
    assert asked == [app_id, app_id]


async def test_callers_at_the_same_time_share_one_look_up(
    database: db.Database, vault: Vault, seconds: Seconds, asked: list[str]
) -> None:
    app_id = await make_app_id(database, vault)
    directory = AppDirectory(database, vault, clock=seconds)
    found = await asyncio.gather(*(directory.find(app_id) for _ in range(20)))
    assert found[0] is not None
    assert all(app is found[0] for app in found)
    assert asked == [app_id]


async def test_a_caller_who_gives_up_takes_nothing_from_the_others(
    database: db.Database, vault: Vault, seconds: Seconds, asked: list[str]
) -> None:
    app_id = await make_app_id(database, vault)
    directory = AppDirectory(database, vault, clock=seconds)
    impatient, patient = (asyncio.create_task(directory.find(app_id)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient is not None
    assert asked == [app_id]


async def test_an_unknown_id_is_remembered_for_a_second(
    database: db.Database, vault: Vault, seconds: Seconds, asked: list[str]
) -> None:
    directory = AppDirectory(database, vault, clock=seconds)
    for later_seconds in (0.0, 0.9, 0.2):
        seconds.now += later_seconds
        assert await directory.find("2021000000000000") is None
    assert asked == ["2021000000000000"] * 2


async def test_unknown_ids_are_bounded_and_push_out_no_app(
    database: db.Database, vault: Vault, seconds: Seconds, asked: list[str]
) -> None:
    app_id = await make_app_id(database, vault)
    directory = AppDirectory(database, vault, apps_max=3, clock=seconds)
    await directory.find(app_id)
    unknown = [f"20210000000000{number:02}" for number in range(10)]
    for one in unknown:
        await directory.find(one)
    asked.clear()
    for one in [app_id, *unknown[-3:]]:
        await directory.find(one)
    assert asked == []
    await directory.find(unknown[0])
    assert asked == unknown[:1]


async def test_the_app_that_was_not_asked_for_longest_is_forgotten(
    database: db.Database, vault: Vault, seconds: Seconds, asked: list[str]
) -> None:
    ids = [await make_app_id(database, vault) for _ in range(3)]
    directory = AppDirectory(database, vault, apps_max=2, clock=seconds)
    for app_id in (ids[0], ids[1], ids[0], ids[2]):
        await directory.find(app_id)
    asked.clear()
    for app_id in (ids[0], ids[2]):
        await directory.find(app_id)
    assert asked == []
    await directory.find(ids[1])
    assert asked == [ids[1]]


async def test_a_failure_reaches_every_caller_and_is_not_remembered(
    database: db.Database, vault: Vault, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id = await make_app_id(database, vault)
    directory = AppDirectory(database, vault, clock=seconds)

    async def fail(*_: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(directory_module, "fetch_app", fail)
        answers = await asyncio.gather(
            *(directory.find(app_id) for _ in range(3)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [ConnectionError] * 3
    assert await directory.find(app_id) is not None
