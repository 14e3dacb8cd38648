"""Heads kept outside the database: whoever cuts or rewrites the chain cannot cut or rewrite these.

The file has one JSON object per line, as `Block.to_json` gives it, and only ever grows.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from xinghan.kit.db import Connection
from xinghan.ledger.proof import store
from xinghan.ledger.proof.merkle import HASH_BYTES
from xinghan.ledger.proof.model import Block, HeadsDisagree

# Its name in the data directory.
HEADS_FILE: Final = "heads.jsonl"
BLOCKS_PER_READING: Final = 1_000
LAST_LINE_BYTES_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class KeptHead:
    """One head as it stands in a file; a line that is none has `number` 0."""

    number: int
    head: bytes
    source: str
    line: int


class HeadsFile:
    """A file of heads that this platform appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def catch_up(self, connection: Connection) -> int:
        """Append the heads that the file lacks, and flush them to the disk; give how many.

        Raises HeadsDisagree when the newest head of the file is not in the chain.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        async with connection.transaction():
            await store.lock_chain(connection)
            self._drop_torn_line()
            kept = self._last()
            number = 0 if kept is None else await self._find(connection, kept)
            appended = 0
            while blocks := await store.fetch_blocks(connection, number, BLOCKS_PER_READING):
                self._append(blocks)
                number = blocks[-1].number
                appended += len(blocks)
            return appended

    async def _find(self, connection: Connection, kept: KeptHead) -> int:
        found = await store.fetch_blocks(connection, kept.number - 1, 1)
        if not found or (found[0].number, found[0].head) != (kept.number, kept.head):
            raise HeadsDisagree(number=kept.number, file=str(self.path))
        return kept.number

    def _append(self, blocks: list[Block]) -> None:
        new = not self.path.exists()
        with self.path.open("ab") as file:
            file.writelines(msgspec.json.encode(block.to_json()) + b"\n" for block in blocks)
            file.flush()
            os.fsync(file.fileno())
        if new:
            _flush_directory(self.path.parent)

    def _drop_torn_line(self) -> None:
        """Cut off what a crash left of a line: the database has its block, so it comes again."""
        if not self.path.exists():
            return
        with self.path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LAST_LINE_BYTES_MAX))
            end = file.read()
            file.truncate(size - len(end) + end.rfind(b"\n") + 1)

    def _last(self) -> KeptHead | None:
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LAST_LINE_BYTES_MAX))
            lines = file.read().splitlines()
        return _read_head(lines[-1], str(self.path), 0) if lines else None


def read_heads(path: Path) -> Iterator[KeptHead]:
    """Read a file of heads, also of a single one as `xinghan ledger head --json` prints it.

    Raises OSError. A last line without its end is left out: it was being written.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n") or number == 1:
                yield _read_head(line, str(path), number)


def _read_head(line: bytes, source: str, place: int) -> KeptHead:
    try:
        content = msgspec.json.decode(line)
        number, head = content["number"], bytes.fromhex(content["head"])
    except (msgspec.DecodeError, TypeError, KeyError, ValueError):
        return KeptHead(0, b"", source, place)
    whole = isinstance(content, Mapping) and type(number) is int and number > 0
    return KeptHead(number if whole and len(head) == HASH_BYTES else 0, head, source, place)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
