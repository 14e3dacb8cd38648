"""Checks the chain: each block against its postings, its links, signatures and kept heads."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from xinghan.kit.db import Connection
from xinghan.kit.ids import POSTING, PostingId
from xinghan.ledger.proof import Block, KeptHead, is_signed, merkle, store
from xinghan.ledger.proof.model import FINGERPRINT_BYTES, NO_HEAD
from xinghan.ledger.verification.report import FINDINGS_MAX, Check, Findings, Progress

BLOCKS_PER_READING: Final = 10_000
POSTINGS_PER_READING: Final = 262_144

# Since its last block a server seals by transaction. On a server that counts anew and has sealed
# nothing yet, what was created after the last block is not sealed either.
COUNT_TAIL: Final = """
    SELECT count(*) FROM ledger.posting
    WHERE (transaction > $1 AND created_at > $2) OR created_at > $3
"""

FIND_OUTSIDE: Final = f"""
    SELECT p.bucket, p.id, p.leg, p.transaction, count(*) OVER () AS total
    FROM ledger.posting AS p
    WHERE NOT coalesce((p.transaction > $1 AND p.created_at > $2) OR p.created_at > $3, false)
        AND NOT EXISTS (
            SELECT FROM ledger.block AS b
            WHERE p.transaction > b.after_transaction AND p.transaction <= b.last_transaction
                AND p.created_at > b.created_after AND p.created_at <= b.created_until
        )
    LIMIT {FINDINGS_MAX}
"""  # noqa: S608 (a constant)


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What the chain's checks found, its length, what is not sealed yet, and its last block."""

    checks: list[Check]
    blocks: int
    unsealed: int
    last: Block | None


async def check_chain(
    connection: Connection,
    postings: int,
    kept: Sequence[KeptHead],
    public_keys: Collection[bytes],
    progress: Progress,
) -> ChainReport:
    """Check the whole chain over a journal of `postings` rows, and the kept heads against it."""
    walk = _Walk(connection, kept, public_keys)
    sealed = 0
    async for blocks in walk.blocks():
        for group in _readable_together(blocks):
            found = await walk.check_contents(group)
            sealed += found
            progress("blocks", found, postings)
    await walk.check_outside(postings - sealed)
    walk.check_cut()
    return walk.report(postings - sealed)


class _Walk:
    """Goes along the chain once, from its beginning to its end."""

    def __init__(
        self, connection: Connection, kept: Sequence[KeptHead], public_keys: Collection[bytes]
    ) -> None:
        self._connection = connection
        self._public_keys = public_keys
        self._last: Block | None = None
        self._blocks = 0
        self._kept: dict[int, list[KeptHead]] = {}
        self._contents = Findings("blocks")
        self._links = Findings("chain")
        self._signatures = Findings("signatures")
        self._heads = Findings("kept_heads")
        for head in kept:
            self._note_kept(head)

    async def blocks(self) -> AsyncIterator[list[Block]]:
        """Read the blocks, checking what each says of itself and of the one before."""
        number = 0
        while blocks := await store.fetch_blocks(self._connection, number, BLOCKS_PER_READING):
            for block in blocks:
                self._check_link(block)
                self._check_signature(block)
                self._check_kept(block)
                self._last = block
            number = blocks[-1].number
            self._blocks += len(blocks)
            yield blocks

    async def check_contents(self, blocks: list[Block]) -> int:
        """Make the roots of blocks again from the postings; give how many postings there are."""
        found = await store.fetch_leaves_by_block(self._connection, blocks)
        for block, leaves in zip(blocks, found, strict=True):
            if merkle.root_of(leaves) != block.root or len(leaves) != block.postings:
                await self._explain(block, len(leaves))
        return sum(map(len, found))

    async def check_outside(self, outside: int) -> None:
        """Check that what no block holds is all newer than the last one."""
        if self._last is None:
            return
        last = self._last
        position = await store.fetch_position(self._connection)
        moved = (
            last.system_identifier != position.system_identifier
            or last.last_transaction >= position.next
        )
        bounds = (
            last.last_transaction,
            last.created_after,
            last.created_until if moved else None,
        )
        tail = await self._connection.fetchval(COUNT_TAIL, *bounds)
        if tail == outside:
            return
        rows = await self._connection.fetch(FIND_OUTSIDE, *bounds)
        for row in rows:
            self._contents.add(
                "posting_slipped_in",
                posting=POSTING.show(PostingId(row["id"])),
                bucket=row["bucket"],
                leg=row["leg"],
                transaction=row["transaction"],
            )
        self._contents.count_unlisted(rows[0]["total"] - len(rows) if rows else 0)

    def check_cut(self) -> None:
        """Check that no kept head lies beyond the end of the chain."""
        end = self._last.number if self._last else 0
        for number in sorted(self._kept):
            for head in self._kept[number]:
                self._heads.add(
                    "kept_head_cut_off" if number > end else "kept_head_missing",
                    block=number,
                    last=end,
                    source=head.source,
                    line=head.line,
                    expected=head.head.hex(),
                    found=None,
                )

    def report(self, unsealed: int) -> ChainReport:
        """Give everything that was found."""
        checks = [
            findings.check()
            for findings in (self._contents, self._links, self._signatures, self._heads)
        ]
        return ChainReport(checks, self._blocks, unsealed, self._last)

    def _note_kept(self, head: KeptHead) -> None:
        if head.number:
            self._kept.setdefault(head.number, []).append(head)
        else:
            self._heads.add("kept_head_unreadable", source=head.source, line=head.line)

    def _check_link(self, block: Block) -> None:
        expected = self._last.number + 1 if self._last else 1
        previous = self._last.head if self._last else NO_HEAD
        if block.number != expected:
            self._links.add("block_missing", block=expected, expected=expected, found=block.number)
        elif block.previous != previous:
            facts = {"expected": previous.hex(), "found": block.previous.hex()}
            self._links.add("link_broken", block=block.number, **facts)
        if (head := block.computed_head()) != block.head:
            facts = {"expected": head.hex(), "found": block.head.hex()}
            self._links.add("head_differs", block=block.number, **facts)

    def _check_signature(self, block: Block) -> None:
        if block.public_key not in self._public_keys:
            self._signatures.add("key_unknown", block=block.number, found=block.public_key.hex())
        elif not is_signed(block.head, block.signature, block.public_key):
            self._signatures.add("signature_wrong", block=block.number, found=block.signature.hex())

    def _check_kept(self, block: Block) -> None:
        for head in self._kept.pop(block.number, ()):
            if head.head != block.head:
                self._heads.add(
                    "kept_head_differs",
                    block=block.number,
                    source=head.source,
                    line=head.line,
                    expected=head.head.hex(),
                    found=block.head.hex(),
                )

    async def _explain(self, block: Block, found: int) -> None:
        """Name the postings of a block that are not as sealed, and count those that are gone."""
        self._contents.add(
            "block_differs", block=block.number, expected=block.postings, found=found
        )
        fingerprints = Counter(await store.fetch_fingerprints(self._connection, block.number))
        for encoded in await store.fetch_encodings(self._connection, block):
            fingerprint = merkle.hash_leaf(encoded.encoding)[:FINGERPRINT_BYTES]
            if fingerprints[fingerprint]:
                fingerprints[fingerprint] -= 1
            else:
                self._contents.add(
                    "posting_not_as_sealed",
                    block=block.number,
                    posting=POSTING.show(PostingId(encoded.id)),
                    bucket=encoded.bucket,
                    leg=encoded.leg,
                )
        if gone := fingerprints.total():
            self._contents.add("postings_gone", block=block.number, found=gone)


def _readable_together(blocks: list[Block]) -> Iterator[list[Block]]:
    """Group blocks that follow one another on one server, up to a size that sorts in memory."""
    group: list[Block] = []
    postings = 0
    for block in blocks:
        follows = group and (group[-1].last_transaction, group[-1].created_after) == (
            block.after_transaction,
            block.created_after,
        )
        if group and (not follows or postings + block.postings > POSTINGS_PER_READING):
            yield group
            group, postings = [], 0
        group.append(block)
        postings += block.postings
    if group:
        yield group
