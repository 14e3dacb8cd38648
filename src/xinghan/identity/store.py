"""The identity room's statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from xinghan.identity.model import AppMode, FeeTerms, PersonKey
from xinghan.kit.db import Connection, Row
from xinghan.kit.ids import AppId, DeviceId, MerchantId, PersonId, uuid7
from xinghan.kit.signing import SignType

NEXT_USER_NUMBER: Final = "SELECT nextval('identity.user_sequence')"

INSERT_PERSON: Final = """
    INSERT INTO identity.person (bucket, id, number, name)
    VALUES ($1, $2, $3, $4)
    RETURNING bucket, id, number, name, status, created_at
"""

CLAIM_SANDBOX_NAME: Final = """
    INSERT INTO identity.sandbox_name (name, bucket, person)
    VALUES ($1, $2, $3)
    ON CONFLICT (name) DO NOTHING
    RETURNING true
"""

FETCH_PERSON: Final = """
    SELECT bucket, id, number, name, status, created_at
    FROM identity.person
    WHERE bucket = $1 AND id = $2
"""

FETCH_PERSON_BY_NUMBER: Final = """
    SELECT bucket, id, number, name, status, created_at
    FROM identity.person
    WHERE bucket = $1 AND number = $2
"""

FETCH_SANDBOX_NAME: Final = "SELECT bucket, person FROM identity.sandbox_name WHERE name = $1"

INSERT_DEVICE: Final = """
    INSERT INTO identity.device (bucket, id, person, number, secret_sealed)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (bucket, number) DO NOTHING
    RETURNING true
"""

FETCH_DEVICES: Final = """
    SELECT d.id AS device_id, d.number AS device_number, d.secret_sealed,
        d.created_at AS added_at, d.revoked_at,
        p.bucket, p.id, p.number, p.name, p.status, p.created_at
    FROM unnest($1::smallint [], $2::bigint []) AS u (bucket, number)
    JOIN identity.device AS d ON d.bucket = u.bucket AND d.number = u.number
    JOIN identity.person AS p ON p.bucket = d.bucket AND p.id = d.person
"""

FETCH_NEWEST_DEVICE: Final = """
    SELECT d.id AS device_id, d.number AS device_number, d.secret_sealed,
        d.created_at AS added_at, d.revoked_at,
        p.bucket, p.id, p.number, p.name, p.status, p.created_at
    FROM identity.device AS d
    JOIN identity.person AS p ON p.bucket = d.bucket AND p.id = d.person
    WHERE d.bucket = $1 AND d.person = $2 AND d.revoked_at IS NULL
    ORDER BY d.id DESC
    LIMIT 1
"""

NEXT_APP_NUMBER: Final = "SELECT nextval('identity.app_sequence')"

INSERT_MERCHANT: Final = """
    INSERT INTO identity.merchant (
        id, number, name, fee_bps, fee_rounding, fee_min_minor, fee_max_minor, fee_on_refund
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    RETURNING id, number, name, status,
        fee_bps, fee_rounding, fee_min_minor, fee_max_minor, fee_on_refund, created_at
"""

FETCH_MERCHANT: Final = """
    SELECT id, number, name, status,
        fee_bps, fee_rounding, fee_min_minor, fee_max_minor, fee_on_refund, created_at
    FROM identity.merchant
    WHERE id = $1
"""

INSERT_APP: Final = """
    INSERT INTO identity.app (id, app_id, merchant, name, mode) VALUES ($1, $2, $3, $4, $5)
"""

INSERT_APP_KEY: Final = """
    INSERT INTO identity.app_key (
        app, id, purpose, public_key, secret_sealed, sign_types,
        certificate_sn, certificate_pem, root_sn
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""

# One row per valid key, newest first, each with the app and its merchant: one round trip.
FETCH_CALLING_APP: Final = """
    SELECT a.id AS app, a.app_id, a.name AS app_name, a.mode,
        k.id AS key, k.purpose, k.public_key, k.secret_sealed, k.sign_types,
        k.certificate_sn, k.root_sn,
        m.id, m.number, m.name, m.status, m.created_at,
        m.fee_bps, m.fee_rounding, m.fee_min_minor, m.fee_max_minor, m.fee_on_refund
    FROM identity.app AS a
    JOIN identity.merchant AS m ON m.id = a.merchant
    JOIN identity.app_key AS k ON k.app = a.id
    WHERE a.app_id = $1 AND a.status = 'active' AND m.status = 'active'
        AND k.valid_from <= now() AND (k.retired_at IS NULL OR k.retired_at > now())
    ORDER BY k.valid_from DESC, k.id DESC
"""

FETCH_AUTHORITY: Final = (
    "SELECT id, certificate_pem, private_key_sealed FROM identity.certificate_authority"
)

INSERT_AUTHORITY: Final = """
    INSERT INTO identity.certificate_authority (id, certificate_pem, private_key_sealed)
    VALUES ($1, $2, $3)
    ON CONFLICT (singleton) DO NOTHING
"""

INSERT_AUDIT: Final = """
    INSERT INTO identity.audit (id, actor, act, subject, detail) VALUES ($1, $2, $3, $4, $5)
"""

FETCH_MASTER_KEY: Final = "SELECT fingerprint, directory FROM identity.master_key"

INSERT_MASTER_KEY: Final = """
    INSERT INTO identity.master_key (fingerprint, directory)
    VALUES ($1, $2)
    ON CONFLICT (singleton) DO NOTHING
"""

UPSERT_PLATFORM_ADDRESS: Final = """
    INSERT INTO identity.platform_address (public_url)
    VALUES ($1)
    ON CONFLICT (singleton) DO UPDATE SET public_url = excluded.public_url, since = now()
"""

# A platform that was killed leaves its address behind, but no session of its name.
FETCH_PLATFORM_ADDRESS: Final = """
    SELECT public_url
    FROM identity.platform_address
    WHERE EXISTS (
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
    )
"""

Purpose = Literal["merchant_signature", "platform_signature", "content_encryption"]


@dataclass(frozen=True, slots=True)
class AppKeyRow:
    """A row of `identity.app_key` to insert; which columns are filled follows from the purpose."""

    id: UUID
    purpose: Purpose
    public_key: bytes | None = None
    secret_sealed: bytes | None = None
    sign_types: Sequence[SignType] | None = None
    certificate_sn: str | None = None
    certificate_pem: str | None = None
    root_sn: str | None = None


async def next_user_number(connection: Connection) -> int:
    """Take the next number for a person or a merchant."""
    number: int = await connection.fetchval(NEXT_USER_NUMBER)
    return number


async def insert_person(connection: Connection, key: PersonKey, number: int, name: str) -> Row:
    """Insert a person; gives the row."""
    row = await connection.fetchrow(INSERT_PERSON, key.bucket, key.id, number, name)
    assert row is not None  # noqa: S101 (an INSERT without ON CONFLICT returns its row)
    return row


async def claim_sandbox_name(connection: Connection, name: str, key: PersonKey) -> bool:
    """Give a name to a person; False when somebody has it."""
    return bool(await connection.fetchval(CLAIM_SANDBOX_NAME, name, key.bucket, key.id))


async def fetch_person(connection: Connection, key: PersonKey) -> Row | None:
    """Fetch a person by place."""
    return await connection.fetchrow(FETCH_PERSON, key.bucket, key.id)


async def fetch_person_by_number(connection: Connection, bucket: int, number: int) -> Row | None:
    """Fetch a person by sequence number."""
    return await connection.fetchrow(FETCH_PERSON_BY_NUMBER, bucket, number)


async def fetch_sandbox_name(connection: Connection, name: str) -> PersonKey | None:
    """Find whose name this is in the sandbox."""
    row = await connection.fetchrow(FETCH_SANDBOX_NAME, name)
    return PersonKey(row["bucket"], PersonId(row["person"])) if row else None


async def insert_device(
    connection: Connection, owner: PersonKey, device: DeviceId, number: int, secret_sealed: bytes
) -> bool:
    """Insert a device; False when its number is taken."""
    inserted = await connection.fetchval(
        INSERT_DEVICE, owner.bucket, device, owner.id, number, secret_sealed
    )
    return bool(inserted)


async def fetch_devices(connection: Connection, wanted: Sequence[tuple[int, int]]) -> list[Row]:
    """Fetch devices by (bucket, number), each together with its person."""
    buckets, numbers = zip(*wanted, strict=True)
    return await connection.fetch(FETCH_DEVICES, buckets, numbers)


async def fetch_newest_device(connection: Connection, owner: PersonKey) -> Row | None:
    """Fetch the device that a person added last and did not revoke, together with its person."""
    return await connection.fetchrow(FETCH_NEWEST_DEVICE, owner.bucket, owner.id)


async def next_app_number(connection: Connection) -> int:
    """Take the next number for an app."""
    number: int = await connection.fetchval(NEXT_APP_NUMBER)
    return number


async def insert_merchant(
    connection: Connection, merchant: MerchantId, number: int, name: str, terms: FeeTerms
) -> Row:
    """Insert a merchant; gives the row."""
    row = await connection.fetchrow(
        INSERT_MERCHANT,
        merchant,
        number,
        name,
        terms.fee_bps,
        terms.fee_rounding,
        terms.fee_min_minor,
        terms.fee_max_minor,
        terms.fee_on_refund,
    )
    assert row is not None  # noqa: S101 (an INSERT without ON CONFLICT returns its row)
    return row


async def fetch_merchant(connection: Connection, merchant: MerchantId) -> Row | None:
    """Fetch a merchant."""
    return await connection.fetchrow(FETCH_MERCHANT, merchant)


async def insert_app(
    connection: Connection, app: AppId, app_id: str, merchant: MerchantId, name: str, mode: AppMode
) -> None:
    """Insert an app, still without keys."""
    await connection.execute(INSERT_APP, app, app_id, merchant, name, mode)


async def insert_app_key(connection: Connection, app: AppId, key: AppKeyRow) -> None:
    """Insert a key of an app, valid from now on."""
    await connection.execute(
        INSERT_APP_KEY,
        app,
        key.id,
        key.purpose,
        key.public_key,
        key.secret_sealed,
        key.sign_types,
        key.certificate_sn,
        key.certificate_pem,
        key.root_sn,
    )


async def fetch_calling_app(connection: Connection, app_id: str) -> list[Row]:
    """Fetch the valid keys of an app that may call, newest first; empty when it may not."""
    return await connection.fetch(FETCH_CALLING_APP, app_id)


async def fetch_authority(connection: Connection) -> Row | None:
    """Fetch the platform's root certificate with its sealed key."""
    return await connection.fetchrow(FETCH_AUTHORITY)


async def insert_authority(
    connection: Connection, authority: UUID, certificate_pem: str, private_key_sealed: bytes
) -> None:
    """Insert the platform's root unless another process was first."""
    await connection.execute(INSERT_AUTHORITY, authority, certificate_pem, private_key_sealed)


async def insert_audit(
    connection: Connection, actor: str, act: str, subject: UUID, detail: Mapping[str, object]
) -> None:
    """Write down who did what to what."""
    await connection.execute(INSERT_AUDIT, uuid7(), actor, act, subject, dict(detail))


async def fetch_master_key(connection: Connection) -> Row | None:
    """Fetch which master keys this database was sealed with, and where they lay."""
    return await connection.fetchrow(FETCH_MASTER_KEY)


async def insert_master_key(
    connection: Connection, fingerprint: bytes, directory: str | None
) -> None:
    """Write down the master keys' fingerprint unless another process was first."""
    await connection.execute(INSERT_MASTER_KEY, fingerprint, directory)


async def upsert_platform_address(connection: Connection, public_url: str) -> None:
    """Write down where the platform serves."""
    await connection.execute(UPSERT_PLATFORM_ADDRESS, public_url)


async def fetch_platform_address(connection: Connection, application_name: str) -> str | None:
    """Read where the platform serves; None when no process of that name uses the database."""
    url: str | None = await connection.fetchval(FETCH_PLATFORM_ADDRESS, application_name)
    return url
