"""Certificates and their SNs."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from xinghan.kit import certificates as pki
from xinghan.kit.signing import generate_private_key

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = generate_private_key()
AUTHORITY = pki.create_authority(KEY, organisation="Xinghan", now=NOW)


def issue(name: str) -> x509.Certificate:
    return pki.issue_certificate(
        AUTHORITY, KEY.public_key(), organisation="Mei's teahouse", common_name=name, now=NOW
    )


def test_a_certificate_is_the_root_s_and_valid_now() -> None:
    issued = issue("2021000000000001")
    issued.verify_directly_issued_by(AUTHORITY.certificate)
    AUTHORITY.certificate.verify_directly_issued_by(AUTHORITY.certificate)
    assert issued.not_valid_before_utc < NOW < issued.not_valid_after_utc
    assert issued.not_valid_after_utc - NOW == timedelta(days=pki.LEAF_VALIDITY_DAYS)
    assert pki.public_key_of(issued) == KEY.public_key()
    assert not issued.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_names_and_serials_are_of_the_kind_on_which_sdks_agree() -> None:
    labels = [part.rfc4514_attribute_name for part in issue("app").issuer]
    assert labels == ["C", "O", "OU", "CN"]
    serials = {issue("app").serial_number for _ in range(20)}
    assert len(serials) == 20
    assert all(serial.bit_length() == 126 for serial in serials)


def test_an_sn_is_the_digest_of_issuer_and_serial() -> None:
    issued = issue("app")
    text = f"CN=Xinghan Root,OU=Certification Authority,O=Xinghan,C=CN{issued.serial_number}"
    assert pki.certificate_sn(issued) == hashlib.md5(text.encode()).hexdigest()  # noqa: S324


def test_a_root_file_s_sn_joins_its_rsa_members() -> None:
    other = pki.create_authority(KEY, organisation="Elsewhere", now=NOW).certificate
    elliptic = elliptic_root()
    bundle = pki.export_certificates(AUTHORITY.certificate, elliptic, other)
    roots = pki.load_certificates(bundle)
    assert roots == [AUTHORITY.certificate, elliptic, other]
    expected = "_".join(pki.certificate_sn(one) for one in (AUTHORITY.certificate, other))
    assert pki.root_sn(roots) == expected
    with pytest.raises(pki.CertificateFormatError):
        pki.public_key_of(elliptic)


def test_one_sdk_can_cut_a_bundle_at_its_blank_lines() -> None:
    bundle = pki.export_certificates(AUTHORITY.certificate, elliptic_root())
    pieces = [piece for piece in bundle.split("\n\n") if piece]
    assert [pki.load_certificates(piece) for piece in pieces] == [
        [one] for one in pki.load_certificates(bundle)
    ]


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(pki.CertificateFormatError):
        pki.load_certificates(text)


def test_an_issuer_without_all_parts_has_no_sn() -> None:
    with pytest.raises(pki.CertificateFormatError, match="OU"):
        pki.certificate_sn(elliptic_root(organisation_unit=False))


def elliptic_root(*, organisation_unit: bool = True) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [(NameOID.COUNTRY_NAME, "CN"), (NameOID.ORGANIZATION_NAME, "Elliptic")]
    if organisation_unit:
        parts.append((NameOID.ORGANIZATIONAL_UNIT_NAME, "Curves"))
    parts.append((NameOID.COMMON_NAME, "Elliptic Root"))
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    builder = x509.CertificateBuilder().issuer_name(name).subject_name(name)
    builder = builder.public_key(key.public_key()).serial_number(7)
    builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    return builder.sign(key, SHA256())
