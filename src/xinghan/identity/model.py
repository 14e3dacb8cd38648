"""Who there is: people with their devices, merchants with their apps, and the keys of both."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from xinghan.kit.certificates import CertificateSerials
from xinghan.kit.errors import Conflict, Invalid
from xinghan.kit.ids import AppId, DeviceId, MerchantId, PersonId
from xinghan.kit.money import Rounding
from xinghan.kit.signing import SignType

BUCKETS: Final = 64
NAME_CHARACTERS_MAX: Final = 64


class PersonStatus(StrEnum):
    """Whether a person may do anything here."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    CLOSED = "closed"


class MerchantStatus(StrEnum):
    """Whether a merchant's apps may call; a suspended merchant may be let in again."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


class AppMode(StrEnum):
    """How an app and the platform trust each other: by exchanged keys, or by certificates."""

    KEY = "key"
    CERTIFICATE = "certificate"


class PersonKey(NamedTuple):
    """Where a person's rows are: the bucket, then the id."""

    bucket: int
    id: PersonId


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has a wallet. `user_id` is the number of 16 digits that merchants know."""

    bucket: int
    id: PersonId
    user_id: str
    name: str
    status: PersonStatus
    created_at: datetime

    @property
    def key(self) -> PersonKey:
        """Where this person's rows are."""
        return PersonKey(self.bucket, self.id)


@dataclass(frozen=True, slots=True)
class Device:
    """A person's device; its `number` (below 10**10) is what its payment codes tell of it."""

    id: DeviceId
    number: int
    owner: Person
    secret_sealed: bytes = field(repr=False)
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device that was just added, with the secret (32 bytes) that it has to be given."""

    id: DeviceId
    number: int
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FeeTerms:
    """What a merchant pays: `fee_bps` hundredths of a percent within bounds in minor units.

    `fee_on_refund` says whether the fee of what is refunded comes back to the merchant.
    """

    fee_bps: int = 60
    fee_rounding: Rounding = Rounding.HALF_UP
    fee_min_minor: int | None = None
    fee_max_minor: int | None = None
    fee_on_refund: Literal["returned", "kept"] = "returned"


@dataclass(frozen=True, slots=True)
class Merchant:
    """A business that is paid. `user_id` is its number as a seller, 16 digits."""

    id: MerchantId
    user_id: str
    name: str
    status: MerchantStatus
    fee_terms: FeeTerms
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """What the gateway needs to trust an app and to be trusted by it.

    `public_keys` are the app's, several while it changes its key. `platform_private_key` signs
    what this app receives. `aes_key` holds the raw bytes. With `certificates` the app works in
    certificate mode, and each request has to name them.
    """

    app_id: str
    public_keys: tuple[RSAPublicKey, ...]
    platform_private_key: RSAPrivateKey = field(repr=False)
    sign_types: frozenset[SignType] = frozenset(SignType)
    aes_key: bytes | None = field(default=None, repr=False)
    certificates: CertificateSerials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class App(AppCredentials):
    """An app that may call, with its keys ready for use and the merchant it acts for."""

    id: AppId
    name: str
    merchant: Merchant


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The certificates of an app in certificate mode, each as PEM."""

    app: str
    platform: str
    root: str


@dataclass(frozen=True, slots=True)
class NewApp:
    """An app that was just made. `private_key` is the merchant's, and is kept nowhere else."""

    id: AppId
    app_id: str
    private_key: RSAPrivateKey = field(repr=False)
    platform_public_key: RSAPublicKey
    aes_key: str = field(repr=False)
    certificates: CertificateFiles | None


class NameMalformed(Invalid):
    """A name is empty, too long, or holds characters that cannot be seen."""

    code = "name_malformed"


class NameTaken(Conflict):
    """In the sandbox, somebody has this name already."""

    code = "name_taken"
