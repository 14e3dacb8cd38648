"""Tamper evidence: postings in a chain of signed heads, and the proof that one is in it."""

from xinghan.ledger.proof.heads import HEADS_FILE, HeadsFile, KeptHead, read_heads
from xinghan.ledger.proof.inclusion import decode_posting, prove, verify_inclusion
from xinghan.ledger.proof.model import (
    Block,
    HeadsDisagree,
    NotSealedYet,
    ProofRefused,
)
from xinghan.ledger.proof.sealing import POSTINGS_MAX, seal, seal_tail
from xinghan.ledger.proof.signing import SEED_PURPOSE, HeadKey, HeadSigner, is_signed
from xinghan.ledger.proof.store import fetch_last_block

__all__ = [
    "HEADS_FILE",
    "POSTINGS_MAX",
    "SEED_PURPOSE",
    "Block",
    "HeadKey",
    "HeadSigner",
    "HeadsDisagree",
    "HeadsFile",
    "KeptHead",
    "NotSealedYet",
    "ProofRefused",
    "decode_posting",
    "fetch_last_block",
    "is_signed",
    "prove",
    "read_heads",
    "seal",
    "seal_tail",
    "verify_inclusion",
]
