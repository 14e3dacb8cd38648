"""Who signs the heads: a key that the database does not hold."""

from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

# The name under which the platform's vault derives the seed (`Vault.subkey`).
SEED_PURPOSE: Final = "ledger head"


class HeadSigner(Protocol):
    """Signs heads; `public_key` is the Ed25519 key (32 bytes) by which anybody checks them."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, head: bytes) -> bytes:
        """Give the signature of a head (64 bytes)."""
        ...


class HeadKey:
    """An Ed25519 key (RFC 8032) in this process."""

    __slots__ = ("_private", "public_key")

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._private.public_key().public_bytes_raw()

    def sign(self, head: bytes) -> bytes:
        """Give the signature of a head (64 bytes)."""
        return self._private.sign(head)


def is_signed(head: bytes, signature: bytes, public_key: bytes) -> bool:
    """Whether the key's holder signed this head."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, head)
    except (InvalidSignature, ValueError):
        return False
    return True
