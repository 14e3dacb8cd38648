"""What the platform knows of itself: which keys seal its secrets, and where it serves."""

import hmac
from pathlib import Path
from typing import Final

from xinghan.identity import store
from xinghan.kit.db import Connection
from xinghan.kit.settings import Settings
from xinghan.kit.vault import KeysUnusable, Vault

SERVING_APPLICATION: Final = "xinghan serving"


async def open_vault(connection: Connection, settings: Settings) -> Vault:
    """Open the master keys that belong to the database, making the first one for a new database.

    They are in `settings.master_keys`, else in `keys` of the data directory, else where they were
    when the database was new. Raises KeysUnusable, also when the keys are those of another
    database: what they seal could never be read again, and numbers would be given out twice.
    """
    known = await store.fetch_master_key(connection)
    if known is None:
        vault = _open(settings, settings.data / "keys")
        directory = None if settings.master_keys else str(settings.data / "keys")
        await store.insert_master_key(connection, _fingerprint(vault), directory)
        known = await store.fetch_master_key(connection)
    assert known is not None  # noqa: S101 (this process or another one has just inserted it)
    return _open_known(settings, known["fingerprint"], known["directory"])


async def record_platform_address(connection: Connection, public_url: str) -> None:
    """Write down where the platform serves from now on."""
    await store.upsert_platform_address(connection, public_url)


async def fetch_platform_address(connection: Connection) -> str | None:
    """Tell where the running platform serves; None when none runs."""
    return await store.fetch_platform_address(connection, SERVING_APPLICATION)


def _open_known(settings: Settings, fingerprint: bytes, directory: str | None) -> Vault:
    refusals: list[KeysUnusable] = []
    for place in [settings.data / "keys"] + ([Path(directory)] if directory else []):
        try:
            vault = _open(settings, place, create=False)
        except KeysUnusable as refusal:
            refusals.append(refusal)
            continue
        if hmac.compare_digest(_fingerprint(vault), fingerprint):
            return vault
        refusals.append(_others_keys("XINGHAN_MASTER_KEYS" if settings.master_keys else str(place)))
    raise refusals[0]


def _open(settings: Settings, directory: Path, *, create: bool = True) -> Vault:
    if settings.master_keys:
        return Vault.from_text(settings.master_keys)
    return Vault.open(directory, create=create)


def _fingerprint(vault: Vault) -> bytes:
    return vault.keyed_hash("", "fingerprint")


def _others_keys(place: str) -> KeysUnusable:
    return KeysUnusable(
        f"The master keys in {place} are not those that this database was sealed with. Give"
        " the platform's own data directory with --data, or its keys in XINGHAN_MASTER_KEYS.",
        f"{place} 中的主密钥不是加密该数据库所用的密钥。"
        "请用 --data 指定平台自己的数据目录，或在 XINGHAN_MASTER_KEYS 中提供其密钥。",
    )
