"""The proof that a posting is in the chain, for somebody who has only it and a public key."""

import struct
from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID

import msgspec

from xinghan.kit.db import Connection
from xinghan.kit.ids import POSTING, PostingId
from xinghan.ledger.model import PostingNotFound
from xinghan.ledger.proof import merkle, store
from xinghan.ledger.proof.model import (
    Block,
    HeadsDisagree,
    NotSealedYet,
    ProofRefused,
    instant_of,
)
from xinghan.ledger.proof.signing import is_signed

PROOF_VERSION: Final = 1

# What `store.ENCODING` writes first: every column that is always there.
_FIXED: Final = struct.Struct(">h16shhhqqhqqqqq")
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000

_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Instant = Annotated[int, msgspec.Meta(ge=0, lt=2**57)]


async def prove(connection: Connection, posting: PostingId) -> list[dict[str, object]]:
    """Prove each leg of a posting: JSON objects for `verify_inclusion`.

    Raises PostingNotFound, NotSealedYet, or HeadsDisagree when the block's postings were changed.
    """
    legs = await store.fetch_legs(connection, posting)
    if not legs:
        raise PostingNotFound(posting=POSTING.show(posting))
    proofs: list[dict[str, object]] = []
    for leg in legs:
        block = await store.fetch_block_of(connection, leg)
        if block is None:
            raise NotSealedYet(posting=POSTING.show(posting))
        proofs.append(await _prove_leg(connection, block, (leg.bucket, posting, leg.leg)))
    return proofs


def verify_inclusion(proof: Mapping[str, object], public_key: bytes) -> dict[str, object]:
    """Give the posting that is proved, column by column; needs nothing but the signer's public key.

    Raises ProofRefused, whose fact `reason` names the step.
    """
    try:
        form = msgspec.convert(proof, _ProofForm)
        leaf = bytes.fromhex(form.leaf)
        path = [bytes.fromhex(step) for step in form.path]
        block = form.block.read()
    except (msgspec.ValidationError, ValueError):
        raise ProofRefused(reason="form") from None
    root = merkle.root_by_path(merkle.hash_leaf(leaf), form.index, block.postings, path)
    if root != block.root:
        raise ProofRefused(reason="path")
    if block.computed_head() != block.head:
        raise ProofRefused(reason="head")
    if block.public_key != public_key or not is_signed(block.head, block.signature, public_key):
        raise ProofRefused(reason="signature")
    return decode_posting(leaf)


def decode_posting(encoding: bytes) -> dict[str, object]:
    """Read what `store.ENCODING` wrote; instants in microseconds of Unix, absent is None.

    Raises ProofRefused.
    """
    try:
        fixed = _FIXED.unpack_from(encoding)
        optional = _Optional(encoding, _FIXED.size)
        refers_to, linked_to = optional.uuid(), optional.uuid()
        event_at, metadata = optional.instant(), optional.text()
    except (struct.error, UnicodeDecodeError, ValueError):
        raise ProofRefused(reason="leaf") from None
    if optional.place != len(encoding):
        raise ProofRefused(reason="leaf")
    names = (
        *("bucket", "id", "leg", "kind", "debit_bucket", "debit_account", "debit_version"),
        *("credit_bucket", "credit_account", "credit_version", "amount", "created_at_us"),
        "transaction",
    )
    posting = dict(zip(names, fixed, strict=True))
    return posting | {
        "id": str(UUID(bytes=fixed[1])),
        "created_at_us": fixed[11] + _POSTGRES_EPOCH_US,
        "refers_to": refers_to,
        "linked_to": linked_to,
        "event_at_us": event_at,
        "metadata": metadata,
    }


async def _prove_leg(
    connection: Connection, block: Block, key: tuple[int, UUID, int]
) -> dict[str, object]:
    encoded = await store.fetch_encodings(connection, block)
    leaves = [merkle.hash_leaf(posting.encoding) for posting in encoded]
    if merkle.root_of(leaves) != block.root:
        raise HeadsDisagree(number=block.number, file="ledger.block")
    index = next(place for place, posting in enumerate(encoded) if posting[:3] == key)
    return {
        "version": PROOF_VERSION,
        "posting": decode_posting(encoded[index].encoding),
        "leaf": encoded[index].encoding.hex(),
        "index": index,
        "path": [step.hex() for step in merkle.path_of(leaves, index)],
        "block": block.to_json(),
    }


class _BlockForm(msgspec.Struct, frozen=True):
    number: _Count
    system_identifier: _Whole
    after_transaction: _Count
    last_transaction: _Count
    created_after_us: _Instant
    created_until_us: _Instant
    postings: _Count
    root: str
    previous: str
    head: str
    public_key: str
    signature: str

    def read(self) -> Block:
        return Block(
            self.number,
            self.system_identifier,
            self.after_transaction,
            self.last_transaction,
            instant_of(self.created_after_us),
            instant_of(self.created_until_us),
            self.postings,
            bytes.fromhex(self.root),
            bytes.fromhex(self.previous),
            bytes.fromhex(self.head),
            bytes.fromhex(self.public_key),
            bytes.fromhex(self.signature),
        )


class _ProofForm(msgspec.Struct, frozen=True):
    leaf: str
    index: _Count
    path: list[str]
    block: _BlockForm


class _Optional:
    """Reads, one after the other, what a posting may lack."""

    def __init__(self, encoding: bytes, place: int) -> None:
        self._encoding = encoding
        self.place = place

    def uuid(self) -> str | None:
        return str(UUID(bytes=self._take(16))) if self._is_present() else None

    def instant(self) -> int | None:
        if not self._is_present():
            return None
        return int.from_bytes(self._take(8), "big", signed=True) + _POSTGRES_EPOCH_US

    def text(self) -> str | None:
        if not self._is_present():
            return None
        return self._take(int.from_bytes(self._take(4), "big")).decode()

    def _is_present(self) -> bool:
        return self._take(1) == b"\x01"

    def _take(self, length: int) -> bytes:
        self.place += length
        return self._encoding[self.place - length : self.place]
