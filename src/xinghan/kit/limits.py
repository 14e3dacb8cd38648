"""Paces: how often somebody may ask, counted in this process by buckets of tokens."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

KEYS_MAX: Final = 10_000


class Buckets:
    """A bucket of tokens for each key: `burst` at once, then `per_second` on the long run.

    Each serving process counts for itself. Beyond `keys_max` the key that asked longest ago is
    forgotten, so that nobody can fill the memory by asking under many names. `clock` counts seconds
    from any beginning.
    """

    def __init__(
        self,
        *,
        per_second: float,
        burst: int,
        keys_max: int = KEYS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._burst = burst
        self._keys_max = keys_max
        self._clock = clock
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> bool:
        """Take a token; False when the key has none left."""
        tokens, now = self._tokens(key)
        allowed = tokens >= 1
        self._filled[key] = (tokens - allowed, now)
        self._filled.move_to_end(key)
        if len(self._filled) > self._keys_max:
            self._filled.popitem(last=False)
        return allowed

    def has(self, key: str) -> bool:
        """Whether the key has a token left; takes none."""
        return self._tokens(key)[0] >= 1

    def _tokens(self, key: str) -> tuple[float, float]:
        now = self._clock()
        tokens, since = self._filled.get(key, (float(self._burst), now))
        return min(self._burst, tokens + (now - since) * self._per_second), now
