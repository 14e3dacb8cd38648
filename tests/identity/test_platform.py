"""The master keys that belong to a database, and the address that a platform leaves."""

from base64 import b64encode
from pathlib import Path

import pytest

from xinghan import identity
from xinghan.kit import db
from xinghan.kit.settings import Settings
from xinghan.kit.vault import KeysUnusable


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"XINGHAN_{field.upper()}", raising=False)


def text_of(key: bytes) -> str:
    return f"1:{b64encode(key).decode()}"


async def test_the_first_key_is_made_once_and_then_found(
    database: db.Database, tmp_path: Path
) -> None:
    settings = Settings.read(data=tmp_path)
    async with database.acquire() as connection:
        first = await identity.open_vault(connection, settings)
        again = await identity.open_vault(connection, settings)
    assert again.unseal(first.seal(b"tea", b"row"), b"row") == b"tea"
    assert (tmp_path / "keys" / "master-001.key").stat().st_mode & 0o777 == 0o600


async def test_keys_are_found_where_the_database_was_made(
    database: db.Database, tmp_path: Path
) -> None:
    async with database.acquire() as connection:
        first = await identity.open_vault(connection, Settings.read(data=tmp_path / "one"))
        again = await identity.open_vault(connection, Settings.read(data=tmp_path / "two"))
    assert again.unseal(first.seal(b"tea", b"row"), b"row") == b"tea"
    assert not (tmp_path / "two").exists()


async def test_keys_of_another_database_are_refused(database: db.Database, tmp_path: Path) -> None:
    ours, others = text_of(bytes(32)), text_of(bytes(range(32)))
    async with database.acquire() as connection:
        await identity.open_vault(connection, Settings.read(data=tmp_path, master_keys=ours))
        with pytest.raises(KeysUnusable, match="XINGHAN_MASTER_KEYS are not those") as caught:
            await identity.open_vault(connection, Settings.read(data=tmp_path, master_keys=others))
    assert others[2:] not in caught.value.english + caught.value.chinese
    assert not (tmp_path / "keys").exists()


async def test_lost_keys_are_not_replaced_by_new_ones(
    database: db.Database, tmp_path: Path
) -> None:
    settings = Settings.read(data=tmp_path)
    async with database.acquire() as connection:
        await identity.open_vault(connection, settings)
        (tmp_path / "keys" / "master-001.key").unlink()
        with pytest.raises(KeysUnusable, match="no master key"):
            await identity.open_vault(connection, settings)


async def test_the_database_keeps_no_key(
    database: db.Database, owner: db.Connection, tmp_path: Path
) -> None:
    async with database.acquire() as connection:
        await identity.open_vault(connection, Settings.read(data=tmp_path))
    key = (tmp_path / "keys" / "master-001.key").read_bytes()
    row = await owner.fetchval("SELECT m::text FROM identity.master_key AS m")
    assert key.hex() not in row


async def test_an_address_counts_only_while_a_platform_serves(
    database: db.Database, database_url: str
) -> None:
    async with database.acquire() as connection:
        await identity.record_platform_address(connection, "http://127.0.0.1:9001")
        await identity.record_platform_address(connection, "http://127.0.0.1:9002")
        assert await identity.fetch_platform_address(connection) is None
        serving = await db.connect(database_url, application_name=identity.SERVING_APPLICATION)
        assert await identity.fetch_platform_address(connection) == "http://127.0.0.1:9002"
        await serving.close()
