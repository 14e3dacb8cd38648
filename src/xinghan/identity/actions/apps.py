"""Merchants, their apps, and the keys by which an app and the platform trust each other."""

import asyncio
from collections.abc import Sequence
from typing import Final, cast
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from xinghan.identity import store
from xinghan.identity.model import (
    App,
    AppMode,
    CertificateFiles,
    FeeTerms,
    Merchant,
    MerchantStatus,
    NewApp,
)
from xinghan.identity.rules import clean_name, numbers_of_apps, numbers_of_users
from xinghan.kit.certificates import (
    CertificateAuthority,
    CertificateSerials,
    certificate_sn,
    create_authority,
    export_certificates,
    issue_certificate,
    load_certificates,
    root_sn,
)
from xinghan.kit.clock import Clock
from xinghan.kit.db import Connection, Row
from xinghan.kit.ids import AppId, MerchantId, uuid7
from xinghan.kit.money import Rounding
from xinghan.kit.signing import SignType, generate_aes_key, generate_private_key, load_aes_key
from xinghan.kit.vault import Vault

ORGANISATION: Final = "Xinghan"
SANDBOX_FEES: Final = FeeTerms()


async def create_merchant(
    connection: Connection,
    vault: Vault,
    name: str,
    *,
    actor: str,
    fee_terms: FeeTerms = SANDBOX_FEES,
) -> Merchant:
    """Create a merchant who may be paid at once. Raises NameMalformed."""
    name = clean_name(name)
    number, merchant = await store.next_user_number(connection), MerchantId(uuid7())
    row = await store.insert_merchant(connection, merchant, number, name, fee_terms)
    await store.insert_audit(connection, actor, "create_merchant", merchant, {"name": name})
    return _merchant(vault, row)


async def fetch_merchant(
    connection: Connection, vault: Vault, merchant: MerchantId
) -> Merchant | None:
    """Find a merchant; None when there is none."""
    row = await store.fetch_merchant(connection, merchant)
    return _merchant(vault, row) if row else None


async def create_app(
    connection: Connection,
    vault: Vault,
    merchant: Merchant,
    mode: AppMode,
    *,
    actor: str,
    clock: Clock,
) -> NewApp:
    """Create an app with every key it needs, also the merchant's own, as a sandbox does.

    The merchant's private key is in the result and nowhere else. In certificate mode the
    platform's root issues one certificate to the app and one to the platform.
    """
    merchant_key, platform_key = await asyncio.gather(
        asyncio.to_thread(generate_private_key), asyncio.to_thread(generate_private_key)
    )
    app = AppId(uuid7())
    app_id = numbers_of_apps(vault).number(await store.next_app_number(connection))
    await store.insert_app(connection, app, app_id, merchant.id, merchant.name, mode)
    files = None
    if mode is AppMode.CERTIFICATE:
        authority = await _ensure_authority(connection, vault, clock)
        files = _issue(authority, merchant, app_id, merchant_key, platform_key, clock)
    aes_key = generate_aes_key()
    for key in _app_keys(vault, merchant_key.public_key(), platform_key, aes_key, files):
        await store.insert_app_key(connection, app, key)
    detail = {"app_id": app_id, "merchant": str(merchant.id), "mode": mode}
    await store.insert_audit(connection, actor, "create_app", app, detail)
    return NewApp(app, app_id, merchant_key, platform_key.public_key(), aes_key, files)


async def fetch_app(connection: Connection, vault: Vault, app_id: str) -> App | None:
    """Find an app with its keys unsealed and loaded.

    None when there is none, when it or its merchant may not call, or when it has no valid keys.
    Raises SealBroken.
    """
    rows = await store.fetch_calling_app(connection, app_id)
    merchant_keys = [row for row in rows if row["purpose"] == "merchant_signature"]
    platform_key = _newest(rows, "platform_signature")
    if not merchant_keys or platform_key is None:
        return None
    aes_key = _newest(rows, "content_encryption")
    first = rows[0]
    return App(
        app_id=app_id,
        public_keys=tuple(_load_public_key(row["public_key"]) for row in merchant_keys),
        platform_private_key=_load_private_key(_unseal(vault, platform_key)),
        sign_types=frozenset(SignType(name) for row in merchant_keys for name in row["sign_types"]),
        aes_key=_unseal(vault, aes_key) if aes_key else None,
        certificates=_serials(first["mode"], merchant_keys[0], platform_key),
        id=AppId(first["app"]),
        name=first["app_name"],
        merchant=_merchant(vault, first),
    )


async def _ensure_authority(
    connection: Connection, vault: Vault, clock: Clock
) -> CertificateAuthority:
    row = await store.fetch_authority(connection)
    if row is None:
        private_key = await asyncio.to_thread(generate_private_key)
        made = create_authority(private_key, organisation=ORGANISATION, now=clock.now())
        identity, pem = uuid7(), export_certificates(made.certificate)
        sealed = vault.seal(_export_private_key(private_key), _authority_context(identity))
        await store.insert_authority(connection, identity, pem, sealed)
        row = await store.fetch_authority(connection)
    assert row is not None  # noqa: S101 (this process or another one has just inserted it)
    unsealed = vault.unseal(row["private_key_sealed"], _authority_context(row["id"]))
    [certificate] = load_certificates(row["certificate_pem"])
    return CertificateAuthority(certificate, _load_private_key(unsealed))


def _issue(
    authority: CertificateAuthority,
    merchant: Merchant,
    app_id: str,
    merchant_key: RSAPrivateKey,
    platform_key: RSAPrivateKey,
    clock: Clock,
) -> CertificateFiles:
    app = issue_certificate(
        authority,
        merchant_key.public_key(),
        organisation=merchant.name,
        common_name=app_id,
        now=clock.now(),
    )
    platform = issue_certificate(
        authority,
        platform_key.public_key(),
        organisation=ORGANISATION,
        common_name=f"{ORGANISATION} platform for {app_id}",
        now=clock.now(),
    )
    root = authority.certificate
    return CertificateFiles(*(export_certificates(one) for one in (app, platform, root)))


def _app_keys(
    vault: Vault,
    merchant_key: RSAPublicKey,
    platform_key: RSAPrivateKey,
    aes_key: str,
    files: CertificateFiles | None,
) -> list[store.AppKeyRow]:
    merchant_id, platform_id, aes_id = uuid7(), uuid7(), uuid7()
    return [
        store.AppKeyRow(
            merchant_id,
            "merchant_signature",
            public_key=_export_public_key(merchant_key),
            sign_types=list(SignType),
            certificate_sn=_sn(files.app) if files else None,
            certificate_pem=files.app if files else None,
        ),
        store.AppKeyRow(
            platform_id,
            "platform_signature",
            public_key=_export_public_key(platform_key.public_key()),
            secret_sealed=vault.seal(_export_private_key(platform_key), _key_context(platform_id)),
            certificate_sn=_sn(files.platform) if files else None,
            certificate_pem=files.platform if files else None,
            root_sn=root_sn(load_certificates(files.root)) if files else None,
        ),
        store.AppKeyRow(
            aes_id,
            "content_encryption",
            secret_sealed=vault.seal(load_aes_key(aes_key), _key_context(aes_id)),
        ),
    ]


def _newest(rows: Sequence[Row], purpose: store.Purpose) -> Row | None:
    return next((row for row in rows if row["purpose"] == purpose), None)


def _serials(mode: str, merchant_key: Row, platform_key: Row) -> CertificateSerials | None:
    if mode != AppMode.CERTIFICATE:
        return None
    return CertificateSerials(
        merchant_key["certificate_sn"], platform_key["certificate_sn"], platform_key["root_sn"]
    )


def _merchant(vault: Vault, row: Row) -> Merchant:
    terms = FeeTerms(
        row["fee_bps"],
        Rounding(row["fee_rounding"]),
        row["fee_min_minor"],
        row["fee_max_minor"],
        row["fee_on_refund"],
    )
    return Merchant(
        MerchantId(row["id"]),
        numbers_of_users(vault).number(row["number"]),
        row["name"],
        MerchantStatus(row["status"]),
        terms,
        row["created_at"],
    )


def _unseal(vault: Vault, key: Row) -> bytes:
    return vault.unseal(key["secret_sealed"], _key_context(key["key"]))


def _key_context(key: UUID) -> bytes:
    return b"identity.app_key " + key.bytes


def _authority_context(authority: UUID) -> bytes:
    return b"identity.certificate_authority " + authority.bytes


def _sn(pem: str) -> str:
    [certificate] = load_certificates(pem)
    return certificate_sn(certificate)


def _export_private_key(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _export_public_key(key: RSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _load_private_key(der: bytes) -> RSAPrivateKey:
    # Its seal proves that it is the key that was checked when it was made; checking its primes
    # again would stop the event loop for some 50 ms.
    key = load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    return cast("RSAPrivateKey", key)


def _load_public_key(der: bytes) -> RSAPublicKey:
    return cast("RSAPublicKey", load_der_public_key(der))
