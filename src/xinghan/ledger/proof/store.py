"""The proof's statements: what is not sealed yet, the blocks, and the leaves of a block."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from xinghan.kit.db import Connection, Row
from xinghan.ledger.model import BUCKETS
from xinghan.ledger.proof.merkle import HASH_BYTES
from xinghan.ledger.proof.model import FINGERPRINT_BYTES, Block

# A posting as bytes, every column of it, in one way only: integers big-endian of their column's
# width, instants as microseconds since 2000-01-01 UTC, a byte 0 or 1 before what may be absent, and
# before the text of the metadata its length in bytes. It is no function of the database, because
# whoever changes postings there could change the function as well.
ENCODING: Final = """
    int2send(p.bucket) || uuid_send(p.id) || int2send(p.leg) || int2send(p.kind)
    || int2send(p.debit_bucket) || int8send(p.debit_account) || int8send(p.debit_version)
    || int2send(p.credit_bucket) || int8send(p.credit_account) || int8send(p.credit_version)
    || int8send(p.amount) || timestamptz_send(p.created_at) || int8send(p.transaction)
    || coalesce('\\x01'::bytea || uuid_send(p.refers_to), '\\x00'::bytea)
    || coalesce('\\x01'::bytea || uuid_send(p.linked_to), '\\x00'::bytea)
    || coalesce('\\x01'::bytea || timestamptz_send(p.event_at), '\\x00'::bytea)
    || coalesce(
        '\\x01'::bytea || int4send(octet_length(p.metadata::text))
            || convert_to(p.metadata::text, 'UTF8'),
        '\\x00'::bytea
    )
"""

# Only a name for the lock: two processes must not seal together.
ADVISORY_LOCK: Final = 0x58485345

FETCH_POSITION: Final = """
    SELECT system_identifier,
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS unfinished,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next,
        clock_timestamp() AS now
    FROM pg_control_system()
"""

BLOCK_COLUMNS: Final = """
    number, system_identifier, after_transaction, last_transaction, created_after, created_until,
    postings, root, previous, head, public_key, signature
"""

FETCH_LAST_BLOCK: Final = f"SELECT {BLOCK_COLUMNS} FROM ledger.block ORDER BY number DESC LIMIT 1"  # noqa: S608 (a constant)

FETCH_BLOCKS: Final = f"""
    SELECT {BLOCK_COLUMNS} FROM ledger.block WHERE number > $1 ORDER BY number LIMIT $2
"""  # noqa: S608 (a constant)

FETCH_BLOCK_OF: Final = f"""
    SELECT {BLOCK_COLUMNS} FROM ledger.block
    WHERE after_transaction < $1 AND last_transaction >= $1
        AND created_after < $2 AND created_until >= $2
    ORDER BY last_transaction, number
    LIMIT 1
"""  # noqa: S608 (a constant)

FETCH_FINGERPRINTS: Final = "SELECT fingerprints FROM ledger.block WHERE number = $1"

INSERT_BLOCK: Final = f"""
    INSERT INTO ledger.block ({BLOCK_COLUMNS}, fingerprints)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""  # noqa: S608 (a constant)

ANY_FROM_ELSEWHERE: Final = "SELECT EXISTS (SELECT FROM ledger.posting WHERE transaction >= $1)"

# A transaction is sealed whole, so the last one's number is enough to say where a block ends.
FETCH_CUT: Final = """
    SELECT max(transaction) FROM (
        SELECT transaction FROM ledger.posting
        WHERE transaction > $1 AND transaction < $2 AND created_at > $3
            AND created_at <= coalesce($4::timestamptz, 'infinity')
        ORDER BY transaction
        LIMIT $5
    ) AS next
"""

FETCH_LEAVES: Final = f"""
    SELECT greatest(clock_timestamp(), max(p.created_at)) AS created_until,
        string_agg(
            sha256('\\x00'::bytea || {ENCODING}), ''::bytea
            ORDER BY p.transaction, p.bucket, p.id, p.leg
        ) AS leaves
    FROM ledger.posting AS p
    WHERE p.transaction > $1 AND p.transaction <= $2 AND p.created_at > $3
        AND p.created_at <= coalesce($4::timestamptz, 'infinity')
"""  # noqa: S608 (a constant)

# Several blocks in one reading: $1 to $2 is all of them, $4 where each begins, $5 its end in time.
FETCH_LEAVES_BY_BLOCK: Final = f"""
    SELECT p.place,
        string_agg(
            sha256('\\x00'::bytea || p.encoding), ''::bytea
            ORDER BY p.transaction, p.bucket, p.id, p.leg
        ) AS leaves
    FROM (
        SELECT width_bucket(p.transaction, $4::bigint []) AS place, {ENCODING} AS encoding,
            p.transaction, p.bucket, p.id, p.leg, p.created_at
        FROM ledger.posting AS p
        WHERE p.transaction > $1 AND p.transaction <= $2 AND p.created_at > $3
    ) AS p
    WHERE p.created_at <= ($5::timestamptz [])[p.place]
    GROUP BY p.place
"""  # noqa: S608 (a constant)

FETCH_ENCODINGS: Final = f"""
    SELECT p.bucket, p.id, p.leg, {ENCODING} AS encoding
    FROM ledger.posting AS p
    WHERE p.transaction > $1 AND p.transaction <= $2 AND p.created_at > $3 AND p.created_at <= $4
    ORDER BY p.transaction, p.bucket, p.id, p.leg
"""  # noqa: S608 (a constant)

FETCH_LEGS: Final = """
    SELECT bucket, leg, transaction, created_at FROM ledger.posting
    WHERE bucket = ANY ($1::smallint []) AND id = $2
    ORDER BY bucket, leg
"""


class Position(NamedTuple):
    """A server's count: transactions before `unfinished` are over, `next` was not given yet."""

    system_identifier: int
    unfinished: int
    next: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Range:
    """Which postings to seal: transaction in (after, before), created in (after, until]."""

    after: int
    before: int
    created_after: datetime
    created_until: datetime | None = None


class Encoded(NamedTuple):
    """One posting of a block and the bytes that its leaf hashes."""

    bucket: int
    id: UUID
    leg: int
    encoding: bytes


class PostedLeg(NamedTuple):
    """Where a posting's leg stands among all transactions."""

    bucket: int
    leg: int
    transaction: int
    created_at: datetime


async def lock_chain(connection: Connection) -> None:
    """Wait for whoever seals or keeps heads; nobody else does until this transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)


async def use_index(connection: Connection) -> None:
    """Make the planner read the index by transaction, whatever it believes of the newest pages."""
    await connection.execute("SET LOCAL enable_seqscan = off")


async def fetch_position(connection: Connection) -> Position:
    """Ask the server which one it is and how far its transactions are."""
    return Position(*await _one(connection, FETCH_POSITION))


async def fetch_last_block(connection: Connection) -> Block | None:
    """Fetch the newest block."""
    row = await connection.fetchrow(FETCH_LAST_BLOCK)
    return Block(*row) if row else None


async def fetch_blocks(connection: Connection, after_number: int, limit: int) -> list[Block]:
    """Fetch blocks in order."""
    return [Block(*row) for row in await connection.fetch(FETCH_BLOCKS, after_number, limit)]


async def fetch_block_of(connection: Connection, leg: PostedLeg) -> Block | None:
    """Fetch the block that holds a posting's leg; None when it is not sealed yet."""
    row = await connection.fetchrow(FETCH_BLOCK_OF, leg.transaction, leg.created_at)
    return Block(*row) if row else None


async def fetch_fingerprints(connection: Connection, number: int) -> list[bytes]:
    """Fetch the beginnings of a block's leaves as they were when it was sealed."""
    fingerprints: bytes = await connection.fetchval(FETCH_FINGERPRINTS, number)
    return split(fingerprints, FINGERPRINT_BYTES)


async def insert_block(connection: Connection, block: Block, leaves: list[bytes]) -> None:
    """Add a block to the chain."""
    await connection.execute(
        INSERT_BLOCK,
        block.number,
        block.system_identifier,
        block.after_transaction,
        block.last_transaction,
        block.created_after,
        block.created_until,
        block.postings,
        block.root,
        block.previous,
        block.head,
        block.public_key,
        block.signature,
        b"".join(leaf[:FINGERPRINT_BYTES] for leaf in leaves),
    )


async def any_from_elsewhere(connection: Connection, next_transaction: int) -> bool:
    """Tell whether a posting has a number that this server never gave."""
    return bool(await connection.fetchval(ANY_FROM_ELSEWHERE, next_transaction))


async def fetch_cut(connection: Connection, tail: Range, postings_max: int) -> int | None:
    """Find the transaction with which the next block ends; None when there is nothing to seal."""
    last: int | None = await connection.fetchval(
        FETCH_CUT, tail.after, tail.before, tail.created_after, tail.created_until, postings_max
    )
    return last


async def fetch_leaves(
    connection: Connection, tail: Range, last: int
) -> tuple[datetime, list[bytes]]:
    """Fetch the leaves of `tail` up to a transaction, and until when they reach."""
    row = await _one(
        connection, FETCH_LEAVES, tail.after, last, tail.created_after, tail.created_until
    )
    return row["created_until"], split(row["leaves"] or b"", HASH_BYTES)


async def fetch_leaves_by_block(connection: Connection, blocks: list[Block]) -> list[list[bytes]]:
    """Fetch the leaves of blocks that follow one another on the same server."""
    rows = await connection.fetch(
        FETCH_LEAVES_BY_BLOCK,
        blocks[0].after_transaction,
        blocks[-1].last_transaction,
        blocks[0].created_after,
        [block.after_transaction + 1 for block in blocks],
        [block.created_until for block in blocks],
    )
    leaves: list[list[bytes]] = [[] for _ in blocks]
    for place, joined in rows:
        leaves[place - 1] = split(joined, HASH_BYTES)
    return leaves


async def fetch_encodings(connection: Connection, block: Block) -> list[Encoded]:
    """Fetch a block's postings as they are now, in the order of its leaves."""
    rows = await connection.fetch(
        FETCH_ENCODINGS,
        block.after_transaction,
        block.last_transaction,
        block.created_after,
        block.created_until,
    )
    return [Encoded(*row) for row in rows]


async def fetch_legs(connection: Connection, posting: UUID) -> list[PostedLeg]:
    """Find a posting's legs in every bucket, because an id is unique only within one."""
    rows = await connection.fetch(FETCH_LEGS, list(range(BUCKETS)), posting)
    return [PostedLeg(*row) for row in rows]


async def stop_postings(connection: Connection) -> datetime:
    """Let nobody post before this transaction ends; give the instant that parts the postings."""
    boundary: datetime = await connection.fetchval("SELECT ledger.stop_postings_v1()")
    return boundary


async def summarize_postings(connection: Connection) -> None:
    """Let the index by transaction know the newest pages."""
    await connection.execute("SELECT ledger.summarize_postings_v1()")


def split(joined: bytes, length: int) -> list[bytes]:
    """Cut bytes into pieces of one length."""
    return [joined[start : start + length] for start in range(0, len(joined), length)]


async def _one(connection: Connection, statement: str, *arguments: object) -> Row:
    row = await connection.fetchrow(statement, *arguments)
    if row is None:  # pragma: no cover (these statements always give a row)
        raise LookupError(statement)
    return row
