"""The apps that call now, kept in the process so that a call costs no look-up."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from xinghan.identity.actions.apps import fetch_app
from xinghan.identity.model import App
from xinghan.kit.db import Database
from xinghan.kit.vault import Vault

APPS_MAX: Final = 10_000
TIME_TO_LIVE_SECONDS: Final = 10.0
UNKNOWN_SECONDS: Final = 1.0


class _Answer(NamedTuple):
    app: App | None
    expires_at_seconds: float


class AppDirectory:
    """Finds apps by their ids: what is found counts for ten seconds, what is not for one.

    Each id is looked up at most once at a time. Unknown ids are kept apart, so that nobody can
    push out the known ones by asking for many. `clock` counts seconds from any beginning.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        apps_max: int = APPS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._vault = vault
        self._apps_max = apps_max
        self._clock = clock
        self._known: OrderedDict[str, _Answer] = OrderedDict()
        self._unknown: OrderedDict[str, _Answer] = OrderedDict()
        self._loading: dict[str, asyncio.Task[App | None]] = {}

    async def find(self, app_id: str) -> App | None:
        """Find an app; None when there is none, or when it may not call. Raises SealBroken."""
        for answers in (self._known, self._unknown):
            answer = answers.get(app_id)
            if answer is not None and self._clock() < answer.expires_at_seconds:
                answers.move_to_end(app_id)
                return answer.app
        # Shielded, because a caller who gives up must not take the answer from the others.
        return await asyncio.shield(self._load(app_id))

    def _load(self, app_id: str) -> asyncio.Task[App | None]:
        task = self._loading.get(app_id)
        if task is None:
            task = self._loading[app_id] = asyncio.create_task(self._fetch(app_id))
            task.add_done_callback(lambda done: self._keep(app_id, done))
        return task

    async def _fetch(self, app_id: str) -> App | None:
        async with self._database.acquire() as connection:
            return await fetch_app(connection, self._vault, app_id)

    def _keep(self, app_id: str, done: asyncio.Task[App | None]) -> None:
        del self._loading[app_id]
        self._known.pop(app_id, None)
        self._unknown.pop(app_id, None)
        # Asking for the exception also marks it as seen when every caller has given up.
        if done.cancelled() or done.exception() is not None:
            return
        app = done.result()
        answers = self._unknown if app is None else self._known
        seconds = UNKNOWN_SECONDS if app is None else TIME_TO_LIVE_SECONDS
        answers[app_id] = _Answer(app, self._clock() + seconds)
        if len(answers) > self._apps_max:
            answers.popitem(last=False)
