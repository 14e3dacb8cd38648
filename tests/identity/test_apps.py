"""Merchants and apps: what is made, what is kept, and who may call."""

import pytest
from cryptography import x509

from cast.clock import FixedClock
from xinghan import identity
from xinghan.kit import db
from xinghan.kit.certificates import certificate_sn, load_certificates, public_key_of
from xinghan.kit.money import Rounding
from xinghan.kit.signing import (
    SignType,
    export_private_key_pkcs8,
    export_public_key,
    load_aes_key,
    sign,
    verify,
)
from xinghan.kit.vault import SealBroken, Vault

MODES = pytest.mark.parametrize("mode", list(identity.AppMode))


async def make_app(
    database: db.Database, vault: Vault, mode: identity.AppMode, name: str = "Mei's teahouse"
) -> tuple[identity.Merchant, identity.NewApp]:
    async with database.transaction() as connection:
        merchant = await identity.create_merchant(connection, vault, name, actor="mei")
        app = await identity.create_app(
            connection, vault, merchant, mode, actor="mei", clock=FixedClock()
        )
    return merchant, app


async def fetch(database: db.Database, vault: Vault, app_id: str) -> identity.App | None:
    async with database.acquire() as connection:
        return await identity.fetch_app(connection, vault, app_id)


@MODES
async def test_what_the_app_signs_the_platform_believes_and_the_other_way_round(
    database: db.Database, vault: Vault, mode: identity.AppMode
) -> None:
    merchant, new = await make_app(database, vault, mode)
    app = await fetch(database, vault, new.app_id)
    assert app is not None
    assert (app.id, app.merchant, app.sign_types) == (new.id, merchant, frozenset(SignType))
    [public_key] = app.public_keys
    assert verify(public_key, b"x", sign(new.private_key, b"x", SignType.RSA2), SignType.RSA2)
    answer = sign(app.platform_private_key, b"y", SignType.RSA2)
    assert verify(new.platform_public_key, b"y", answer, SignType.RSA2)
    assert app.aes_key == load_aes_key(new.aes_key)


async def test_numbers_of_merchants_and_apps_have_their_forms(
    database: db.Database, vault: Vault
) -> None:
    merchant, new = await make_app(database, vault, identity.AppMode.KEY)
    assert merchant.user_id.startswith("2088")
    assert new.app_id.startswith("2021")
    assert len(merchant.user_id) == len(new.app_id) == 16
    assert new.certificates is None


async def test_a_merchant_and_a_person_never_share_a_number(
    database: db.Database, vault: Vault
) -> None:
    async with database.transaction() as connection:
        merchant = await identity.create_merchant(connection, vault, "Mei", actor="mei")
        await identity.create_person(connection, vault, "Lin", actor="mei")
        found = await identity.fetch_person_by_user_id(connection, vault, merchant.user_id)
    assert found is None


async def test_a_merchant_has_the_terms_that_were_agreed(
    database: db.Database, vault: Vault
) -> None:
    terms = identity.FeeTerms(38, Rounding.UP, 1, 2000, "kept")
    async with database.transaction() as connection:
        made = await identity.create_merchant(
            connection, vault, "Mei", actor="mei", fee_terms=terms
        )
        default = await identity.create_merchant(connection, vault, "Mei", actor="mei")
        found = await identity.fetch_merchant(connection, vault, made.id)
    assert found == made
    assert made.fee_terms == terms
    assert default.fee_terms == identity.FeeTerms(60, Rounding.HALF_UP, None, None, "returned")


async def test_impossible_terms_are_refused_by_the_database(
    database: db.Database, vault: Vault
) -> None:
    async with database.acquire() as connection:
        for terms in (identity.FeeTerms(10_001), identity.FeeTerms(1, Rounding.UP, 5, 4)):
            with pytest.raises(db.CheckViolation):
                await identity.create_merchant(
                    connection, vault, "Mei", actor="mei", fee_terms=terms
                )


async def test_certificates_belong_together(database: db.Database, vault: Vault) -> None:
    _, new = await make_app(database, vault, identity.AppMode.CERTIFICATE)
    _, second = await make_app(database, vault, identity.AppMode.CERTIFICATE, "Wei")
    found = await fetch(database, vault, new.app_id)
    assert found is not None
    assert found.certificates is not None
    assert new.certificates is not None
    assert second.certificates is not None
    app, platform, root = (
        load_certificates(pem)[0]
        for pem in (new.certificates.app, new.certificates.platform, new.certificates.root)
    )
    for certificate in (app, platform, root):
        certificate.verify_directly_issued_by(root)
    assert public_key_of(app) == new.private_key.public_key()
    assert public_key_of(platform) == new.platform_public_key
    assert found.certificates.app == certificate_sn(app)
    assert found.certificates.platform == certificate_sn(platform)
    assert found.certificates.root == certificate_sn(root)
    assert app.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == new.app_id
    assert second.certificates.root == new.certificates.root


@MODES
async def test_no_private_key_is_readable_in_the_tables(
    database: db.Database, owner: db.Connection, vault: Vault, mode: identity.AppMode
) -> None:
    _, new = await make_app(database, vault, mode)
    app = await fetch(database, vault, new.app_id)
    assert app is not None
    keys = [new.private_key, app.platform_private_key]
    primes = [key.private_numbers().p.to_bytes(128, "big").hex() for key in keys]
    secrets = [*primes, load_aes_key(new.aes_key).hex()]
    texts = [export_private_key_pkcs8(key) for key in keys] + [new.aes_key]
    rows = await owner.fetch(
        "SELECT k::text AS row FROM identity.app_key AS k"
        " UNION ALL SELECT a::text FROM identity.certificate_authority AS a"
        " UNION ALL SELECT a::text FROM identity.audit AS a"
    )
    assert len(rows) >= 5
    for row in rows:
        assert not any(secret in row["row"] for secret in secrets + texts)
    stored = await owner.fetchval(
        "SELECT public_key FROM identity.app_key WHERE purpose = 'merchant_signature'"
    )
    assert stored.hex() in "".join(row["row"] for row in rows)
    assert new.aes_key not in repr(new)


async def test_another_vault_cannot_use_the_keys(database: db.Database, vault: Vault) -> None:
    _, new = await make_app(database, vault, identity.AppMode.KEY)
    with pytest.raises(SealBroken):
        await fetch(database, Vault({1: bytes(32)}), new.app_id)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE identity.app SET status = 'disabled'",
        "UPDATE identity.merchant SET status = 'suspended'",
        "UPDATE identity.app_key SET retired_at = now() WHERE purpose = 'merchant_signature'",
        "UPDATE identity.app_key SET retired_at = now() WHERE purpose = 'platform_signature'",
        "UPDATE identity.app_key SET valid_from = now() + interval '1 hour'",
    ],
)
async def test_an_app_that_may_not_call_is_not_found(
    database: db.Database, owner: db.Connection, vault: Vault, change: str
) -> None:
    _, new = await make_app(database, vault, identity.AppMode.KEY)
    await owner.execute(change)
    assert await fetch(database, vault, new.app_id) is None


async def test_an_unknown_app_is_not_found(database: db.Database, vault: Vault) -> None:
    assert await fetch(database, vault, "2021000000000000") is None


async def test_an_app_without_an_aes_key_still_calls(
    database: db.Database, owner: db.Connection, vault: Vault
) -> None:
    _, new = await make_app(database, vault, identity.AppMode.KEY)
    await owner.execute("DELETE FROM identity.app_key WHERE purpose = 'content_encryption'")
    app = await fetch(database, vault, new.app_id)
    assert app is not None
    assert app.aes_key is None


async def test_an_old_and_a_new_key_of_the_merchant_count_side_by_side(
    database: db.Database, owner: db.Connection, vault: Vault
) -> None:
    _, new = await make_app(database, vault, identity.AppMode.KEY)
    _, other = await make_app(database, vault, identity.AppMode.KEY)
    await owner.execute(
        "UPDATE identity.app_key SET app = $1, valid_from = now()"
        " WHERE app = $2 AND purpose = 'merchant_signature'",
        new.id,
        other.id,
    )
    app = await fetch(database, vault, new.app_id)
    assert app is not None
    assert [export_public_key(key) for key in app.public_keys] == [
        export_public_key(made.private_key.public_key()) for made in (other, new)
    ]


async def test_making_a_merchant_and_an_app_is_audited(
    database: db.Database, owner: db.Connection, vault: Vault
) -> None:
    merchant, new = await make_app(database, vault, identity.AppMode.KEY)
    rows = await owner.fetch("SELECT actor, act, subject, detail FROM identity.audit ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("mei", "create_merchant", merchant.id, {"name": "Mei's teahouse"}),
        (
            "mei",
            "create_app",
            new.id,
            {"app_id": new.app_id, "merchant": str(merchant.id), "mode": "key"},
        ),
    ]
