"""Seals committed postings into blocks, behind the posting and never in its way.

A transaction below the oldest unfinished one is over, so whatever it posted is visible, and nothing
can come in below it later: blocks are cut there.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from xinghan.kit.db import Connection, Database
from xinghan.ledger.proof import merkle, store
from xinghan.ledger.proof.heads import HeadsFile
from xinghan.ledger.proof.model import BEGINNING, NO_HEAD, Block
from xinghan.ledger.proof.signing import HeadSigner
from xinghan.ledger.proof.store import Position, Range

POSTINGS_MAX: Final = 65_536
PAUSE: Final = timedelta(seconds=10)
TRANSACTION_MAX: Final = 2**63 - 1
SUMMARIZE_EVERY_BLOCKS: Final = 16


async def seal_tail(
    database: Database,
    signer: HeadSigner,
    heads: HeadsFile,
    *,
    pause: timedelta = PAUSE,
    postings_max: int = POSTINGS_MAX,
) -> int:
    """Seal all that is finished and keep the heads outside the database; give the postings sealed.

    Does nothing until `pause` has passed since the last block, so that blocks are few. Raises
    HeadsDisagree, before sealing anything, when the database lost or changed a kept head;
    LockNotAvailable as `seal` does.
    """
    sealed = 0
    async with database.acquire() as connection:
        await heads.catch_up(connection)
        if not await _is_due(connection, pause):
            return 0
        while postings := await seal(connection, signer, postings_max=postings_max):
            sealed += postings
            await heads.catch_up(connection)
            last = await store.fetch_last_block(connection)
            if last and last.number % SUMMARIZE_EVERY_BLOCKS == 0:
                await store.summarize_postings(connection)
    return sealed


async def seal(
    connection: Connection, signer: HeadSigner, *, postings_max: int = POSTINGS_MAX
) -> int:
    """Seal a block of about `postings_max` finished postings in its own transaction; give how many.

    A transaction is never split: a block with a large one at its end is larger. The first time
    after a move to another server, everything from before is sealed at once while posting waits;
    this raises LockNotAvailable, to be tried again, when somebody reads the books for long.
    """
    async with connection.transaction():
        await store.lock_chain(connection)
        await store.use_index(connection)
        last = await store.fetch_last_block(connection)
        chain = _Chain(connection, signer, last, await store.fetch_position(connection))
        sealed = await chain.enter_server(postings_max) if await chain.is_new_here() else 0
        block = await chain.seal_next(chain.tail(), postings_max)
        return sealed + (block.postings if block else 0)


async def _is_due(connection: Connection, pause: timedelta) -> bool:
    last = await store.fetch_last_block(connection)
    if last is None:
        return True
    return (await store.fetch_position(connection)).now >= last.created_until + pause


class _Chain:
    """The end of the chain, to which blocks are added."""

    def __init__(
        self, connection: Connection, signer: HeadSigner, last: Block | None, position: Position
    ) -> None:
        self._connection = connection
        self._signer = signer
        self._last = last
        self._position = position

    async def is_new_here(self) -> bool:
        """Whether the last block, or without one any posting, was counted by another server."""
        if self._last is None:
            return await store.any_from_elsewhere(self._connection, self._position.next)
        return (
            self._last.system_identifier != self._position.system_identifier
            or self._last.last_transaction >= self._position.next
        )

    def tail(self) -> Range:
        """Tell what follows the last block on this server and is finished."""
        if self._last is None:
            return Range(0, self._position.unfinished, BEGINNING)
        after, created_after = self._last.last_transaction, self._last.created_after
        return Range(after, self._position.unfinished, created_after)

    async def enter_server(self, postings_max: int) -> int:
        """Close what another server counted and open this one's count; give the postings sealed.

        Postings that were made here before this was noticed may have numbers that are sealed
        already. They are told apart by having been created after the last block.
        """
        boundary = await store.stop_postings(self._connection)
        self._position = await store.fetch_position(self._connection)
        after, created_after, created_until = (
            (0, BEGINNING, BEGINNING)
            if self._last is None
            else (self._last.last_transaction, self._last.created_after, self._last.created_until)
        )
        sealed = await self._seal_all(
            Range(after, TRANSACTION_MAX, created_after, boundary), postings_max
        )
        sealed += await self._seal_all(Range(0, after + 1, created_until, boundary), postings_max)
        opening = self._position.unfinished - 1
        await self._add(Range(opening, opening, boundary), opening, boundary, [])
        return sealed

    async def seal_next(self, tail: Range, postings_max: int) -> Block | None:
        """Add one block from the beginning of `tail`, if there is anything in it."""
        last = await store.fetch_cut(self._connection, tail, postings_max)
        if last is None:
            return None
        created_until, leaves = await store.fetch_leaves(self._connection, tail, last)
        return await self._add(tail, last, tail.created_until or created_until, leaves)

    async def _seal_all(self, tail: Range, postings_max: int) -> int:
        sealed = 0
        while block := await self.seal_next(tail, postings_max):
            sealed += block.postings
            tail = replace(tail, after=block.last_transaction)
        return sealed

    async def _add(
        self, tail: Range, last: int, created_until: datetime, leaves: list[bytes]
    ) -> Block:
        unsigned = Block(
            number=1 if self._last is None else self._last.number + 1,
            system_identifier=self._position.system_identifier,
            after_transaction=tail.after,
            last_transaction=last,
            created_after=tail.created_after,
            created_until=created_until,
            postings=len(leaves),
            root=merkle.root_of(leaves),
            previous=NO_HEAD if self._last is None else self._last.head,
            head=b"",
            public_key=self._signer.public_key,
            signature=b"",
        )
        head = unsigned.computed_head()
        block = replace(unsigned, head=head, signature=self._signer.sign(head))
        await store.insert_block(self._connection, block, leaves)
        self._last = block
        return block
