"""What the proof speaks of: blocks of postings, each with a head that names all before it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from struct import Struct
from typing import Final

from xinghan.kit.errors import Conflict, Invalid, XinghanError

BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
NO_HEAD: Final = bytes(32)
FINGERPRINT_BYTES: Final = 8

_DOMAIN: Final = b"xinghan ledger head 1\x00"
# number, system identifier, after and last transaction, created after and until, postings
_FIELDS: Final = Struct(">QqQQqqQ")


class HeadsDisagree(XinghanError):
    """A head that was kept outside the database is not, or no longer, in its chain."""

    code = "heads_disagree"
    http_status = 503


class NotSealedYet(Conflict):
    """The posting stands, but no block holds it yet."""

    code = "not_sealed_yet"


class ProofRefused(Invalid):
    """A proof of inclusion proves nothing; `reason` says in which step it failed."""

    code = "proof_refused"


@dataclass(frozen=True, slots=True)
class Block:
    """Some whole transactions' postings under one root; `head` hashes it and the head before.

    It holds the postings with a transaction in (after_transaction, last_transaction] and created in
    (created_after, created_until]. `system_identifier` names the server that counted them.
    """

    number: int
    system_identifier: int
    after_transaction: int
    last_transaction: int
    created_after: datetime
    created_until: datetime
    postings: int
    root: bytes
    previous: bytes
    head: bytes
    public_key: bytes
    signature: bytes

    def computed_head(self) -> bytes:
        """Hash what the head has to say: the chain before, the root, and the block's bounds."""
        fields = _FIELDS.pack(
            self.number,
            self.system_identifier,
            self.after_transaction,
            self.last_transaction,
            microseconds_of(self.created_after),
            microseconds_of(self.created_until),
            self.postings,
        )
        return sha256(_DOMAIN + self.previous + self.root + fields).digest()

    def to_json(self) -> dict[str, object]:
        """Give it as a JSON object: bytes in hexadecimal, instants in microseconds of Unix."""
        return {
            "number": self.number,
            "system_identifier": self.system_identifier,
            "after_transaction": self.after_transaction,
            "last_transaction": self.last_transaction,
            "created_after_us": microseconds_of(self.created_after),
            "created_until_us": microseconds_of(self.created_until),
            "postings": self.postings,
            "root": self.root.hex(),
            "previous": self.previous.hex(),
            "head": self.head.hex(),
            "public_key": self.public_key.hex(),
            "signature": self.signature.hex(),
        }


def microseconds_of(instant: datetime) -> int:
    """Count the microseconds since 1970-01-01 UTC, exactly."""
    return (instant - BEGINNING) // timedelta(microseconds=1)


def instant_of(microseconds: int) -> datetime:
    """Give the instant that `microseconds_of` counted."""
    return BEGINNING + timedelta(microseconds=microseconds)
