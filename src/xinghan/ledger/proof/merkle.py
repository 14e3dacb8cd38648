"""The hash tree of RFC 6962, section 2.1, over SHA-256: its root, and the path from a leaf to it.

A leaf is hashed behind a byte 0, a node behind a byte 1, so that neither passes for the other.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()


def hash_leaf(content: bytes) -> bytes:
    """Hash what a leaf stands for."""
    return sha256(b"\x00" + content).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Give the root over the hashes of the leaves, in order."""
    level = list(leaves)
    while len(level) > 1:
        level = _level_above(level)
    return level[0] if level else EMPTY_ROOT


def path_of(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Give the hashes that, joined to leaf `index` one after the other, make the root."""
    path: list[bytes] = []
    level = list(leaves)
    while len(level) > 1:
        neighbour = index ^ 1
        if neighbour < len(level):
            path.append(level[neighbour])
        level = _level_above(level)
        index >>= 1
    return path


def root_by_path(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """Give the root that a path leads to; None if it is no path of leaf `index` of `count`."""
    if not 0 <= index < count:
        return None
    steps = iter(path)
    here, last = leaf, count - 1
    while last:
        # The last node of an odd level has no neighbour and rises unchanged.
        if index & 1 or index < last:
            neighbour = next(steps, None)
            if neighbour is None:
                return None
            here = _join(neighbour, here) if index & 1 else _join(here, neighbour)
        index >>= 1
        last >>= 1
    return here if next(steps, None) is None else None


def _level_above(level: list[bytes]) -> list[bytes]:
    above = [
        sha256(b"\x01" + left + right).digest()
        for left, right in zip(level[::2], level[1::2], strict=False)
    ]
    if len(level) % 2:
        above.append(level[-1])
    return above


def _join(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
