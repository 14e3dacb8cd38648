"""The small certificate authority of certificate mode, and the SNs by which SDKs name its files.

An SN is not the serial number of X.509: it is the MD5 of the issuer's name and that number. The
SDKs build the issuer's text in different ways, and agree only when the name's parts stand in the
certificate in the order C, O, OU, CN, and when the number is positive and below 127 bits.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

ROOT_VALIDITY_DAYS = 30 * 365
LEAF_VALIDITY_DAYS = 5 * 365

_SERIAL_BITS = 126
_BACKDATING_DAYS = 1
_ORGANISATION_UNIT = "Certification Authority"
_RSA_SIGNATURES = "1.2.840.113549.1.1."
_SN_PARTS = (
    ("CN", NameOID.COMMON_NAME),
    ("OU", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("O", NameOID.ORGANIZATION_NAME),
    ("C", NameOID.COUNTRY_NAME),
)


class CertificateFormatError(ValueError):
    """The text holds no PEM certificate, or one without the parts that an SN needs."""


@dataclass(frozen=True, slots=True)
class CertificateSerials:
    """The SNs (see `certificate_sn`) that an app in certificate mode works with."""

    app: str
    platform: str
    root: str


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """The root certificate and its key; the key stays with the platform."""

    certificate: x509.Certificate
    private_key: RSAPrivateKey = field(repr=False)


def create_authority(
    private_key: RSAPrivateKey, *, organisation: str, now: datetime
) -> CertificateAuthority:
    """Make a root that signs itself, valid for 30 years."""
    name = _name(organisation, f"{organisation} Root")
    builder = _builder(name, name, private_key.public_key(), now, ROOT_VALIDITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
    builder = builder.add_extension(_key_usage(for_authority=True), critical=True)
    return CertificateAuthority(builder.sign(private_key, SHA256()), private_key)


def issue_certificate(
    authority: CertificateAuthority,
    public_key: RSAPublicKey,
    *,
    organisation: str,
    common_name: str,
    now: datetime,
) -> x509.Certificate:
    """Issue a certificate to the platform or to an app, valid for five years."""
    issuer = authority.certificate
    subject = _name(organisation, common_name)
    builder = _builder(issuer.subject, subject, public_key, now, LEAF_VALIDITY_DAYS)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    )
    builder = builder.add_extension(_key_usage(for_authority=False), critical=True)
    return builder.sign(authority.private_key, SHA256())


def export_certificates(*certificates: x509.Certificate) -> str:
    """Give certificates as PEM; a blank line stands between two, where one SDK cuts."""
    return "\n".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in certificates)


def load_certificates(pem: str) -> list[x509.Certificate]:
    """Read every certificate of a PEM text; raises CertificateFormatError when there is none."""
    try:
        return x509.load_pem_x509_certificates(pem.encode("utf-8"))
    except ValueError as error:
        raise CertificateFormatError("the text holds no certificate in PEM") from error


def public_key_of(certificate: x509.Certificate) -> RSAPublicKey:
    """Give a certificate's RSA key; raises CertificateFormatError when it holds another kind."""
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise CertificateFormatError("the certificate's key is not RSA")
    return key


def certificate_sn(certificate: x509.Certificate) -> str:
    """Give the SN of one certificate, as `app_cert_sn` and `alipay_cert_sn` carry it."""
    parts = []
    for label, oid in _SN_PARTS:
        values = certificate.issuer.get_attributes_for_oid(oid)
        if not values:
            raise CertificateFormatError(f"the certificate's issuer has no {label}")
        parts.append(f"{label}={values[0].value!s}")
    text = ",".join(parts) + str(certificate.serial_number)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def root_sn(certificates: list[x509.Certificate]) -> str:
    """Give the SN of a root file, as `alipay_root_cert_sn` carries it: its RSA members' SNs."""
    return "_".join(
        certificate_sn(one)
        for one in certificates
        if one.signature_algorithm_oid.dotted_string.startswith(_RSA_SIGNATURES)
    )


def serials_of(
    app: x509.Certificate, platform: x509.Certificate, roots: list[x509.Certificate]
) -> CertificateSerials:
    """Give the SNs that an app in certificate mode works with."""
    return CertificateSerials(certificate_sn(app), certificate_sn(platform), root_sn(roots))


def _name(organisation: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, _ORGANISATION_UNIT),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    public_key: RSAPublicKey,
    now: datetime,
    validity_days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public_key)
        # The top bit is set, so that every serial has the same length and none is zero.
        .serial_number(secrets.randbits(_SERIAL_BITS - 1) | (1 << (_SERIAL_BITS - 1)))
        .not_valid_before(now - timedelta(days=_BACKDATING_DAYS))
        .not_valid_after(now + timedelta(days=validity_days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, for_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not for_authority,
        content_commitment=not for_authority,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=for_authority,
        crl_sign=for_authority,
        encipher_only=False,
        decipher_only=False,
    )
