"""People and their devices."""

from collections.abc import Sequence
from secrets import randbelow, token_bytes
from typing import Final

from xinghan.identity import store
from xinghan.identity.model import (
    BUCKETS,
    Device,
    NameTaken,
    NewDevice,
    Person,
    PersonKey,
    PersonStatus,
)
from xinghan.identity.rules import (
    DEVICE_NUMBERS_PER_BUCKET,
    bucket_of_number,
    clean_name,
    numbers_of_users,
)
from xinghan.kit.db import Connection, Row
from xinghan.kit.ids import DeviceId, PersonId, uuid7
from xinghan.kit.vault import Vault

DEVICE_SECRET_BYTES: Final = 32


async def create_person(connection: Connection, vault: Vault, name: str, *, actor: str) -> Person:
    """Create a person; the name need not differ from others'. Raises NameMalformed."""
    name = clean_name(name)
    number = await store.next_user_number(connection)
    key = PersonKey(bucket_of_number(number), PersonId(uuid7()))
    person = _person(vault, await store.insert_person(connection, key, number, name))
    await store.insert_audit(connection, actor, "create_person", key.id, {"name": name})
    return person


async def create_sandbox_person(
    connection: Connection, vault: Vault, name: str, *, actor: str
) -> Person:
    """Create a person who is found by name. Raises NameMalformed, NameTaken."""
    person = await create_person(connection, vault, name, actor=actor)
    if not await store.claim_sandbox_name(connection, person.name, person.key):
        raise NameTaken(field="name", name=person.name)
    return person


async def fetch_person(connection: Connection, vault: Vault, key: PersonKey) -> Person | None:
    """Find a person; None when there is none."""
    row = await store.fetch_person(connection, key)
    return _person(vault, row) if row else None


async def fetch_person_by_name(connection: Connection, vault: Vault, name: str) -> Person | None:
    """Find a person of the sandbox by name. Raises NameMalformed for what nobody can be called."""
    key = await store.fetch_sandbox_name(connection, clean_name(name))
    return await fetch_person(connection, vault, key) if key else None


async def fetch_person_by_user_id(
    connection: Connection, vault: Vault, user_id: str
) -> Person | None:
    """Find a person by the 16 digits that merchants know; None when there is none."""
    number = numbers_of_users(vault).sequence(user_id)
    if number is None:
        return None
    row = await store.fetch_person_by_number(connection, bucket_of_number(number), number)
    return _person(vault, row) if row else None


async def add_device(
    connection: Connection, vault: Vault, owner: Person, *, actor: str
) -> NewDevice:
    """Add a device to a person and make its secret, which is stored only sealed.

    Devices are numbered at random, so that a guessed number seldom is a device's.
    """
    device, secret = DeviceId(uuid7()), token_bytes(DEVICE_SECRET_BYTES)
    sealed = vault.seal(secret, _device_context(device))
    number = _draw_number(owner.bucket)
    while not await store.insert_device(connection, owner.key, device, number, sealed):
        number = _draw_number(owner.bucket)
    detail = {"person": str(owner.id)}
    await store.insert_audit(connection, actor, "add_device", device, detail)
    return NewDevice(device, number, secret)


async def fetch_device(connection: Connection, vault: Vault, number: int) -> Device | None:
    """Find a device by number, also a revoked one; None when there is none."""
    return (await fetch_devices(connection, vault, [number]))[0]


async def fetch_devices(
    connection: Connection, vault: Vault, numbers: Sequence[int]
) -> list[Device | None]:
    """Find devices by their numbers, in order, also revoked ones; None where there is none."""
    wanted = [(bucket_of_number(number), number) for number in numbers]
    rows = await store.fetch_devices(connection, wanted)
    found = {row["device_number"]: _device(vault, row) for row in rows}
    return [found.get(number) for number in numbers]


async def fetch_newest_device(
    connection: Connection, vault: Vault, owner: PersonKey
) -> Device | None:
    """Find the device that a person added last and did not revoke; None when there is none."""
    row = await store.fetch_newest_device(connection, owner)
    return _device(vault, row) if row else None


def unseal_device_secret(vault: Vault, device: Device) -> bytes:
    """Give the secret (32 bytes) from which a device derives its codes. Raises SealBroken."""
    return vault.unseal(device.secret_sealed, _device_context(device.id))


def _draw_number(bucket: int) -> int:
    return randbelow(DEVICE_NUMBERS_PER_BUCKET) * BUCKETS + bucket


def _device_context(device: DeviceId) -> bytes:
    return b"identity.device " + device.bytes


def _person(vault: Vault, row: Row) -> Person:
    return Person(
        row["bucket"],
        PersonId(row["id"]),
        numbers_of_users(vault).number(row["number"]),
        row["name"],
        PersonStatus(row["status"]),
        row["created_at"],
    )


def _device(vault: Vault, row: Row) -> Device:
    return Device(
        DeviceId(row["device_id"]),
        row["device_number"],
        _person(vault, row),
        row["secret_sealed"],
        row["added_at"],
        row["revoked_at"],
    )
