"""Sends what is in the outbox: many at once, but to one shop never so many that others wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter_ns
from typing import Final, Protocol

import prometheus_client
import structlog

from xinghan.kit.clock import Clock
from xinghan.kit.commit import commit
from xinghan.kit.db import ConnectionLost, Database
from xinghan.kit.destination import UrlMalformed
from xinghan.kit.group import Group
from xinghan.kit.outgoing import AddressRefused, Outgoing, Unreachable
from xinghan.payments.notifications import (
    SCHEDULE,
    AttemptOutcome,
    Claimed,
    Due,
    Told,
    Tried,
    claim,
    clean_answer,
    list_due,
    read_content,
    record,
)

_NANOSECONDS_PER_MILLISECOND: Final = 1_000_000
_LOOKED_AT_PER_FREE_PLACE: Final = 4

_log = structlog.get_logger(__name__)
_attempts = prometheus_client.Counter(
    "xinghan_notification_attempts", "Tries to tell a shop, by what came of them.", ["outcome"]
)


class Form(Protocol):
    """A body to post, with its content type."""

    @property
    def content_type(self) -> str: ...
    @property
    def body(self) -> bytes: ...


class Wire(Protocol):
    """How shops are spoken to, which the gateway knows."""

    async def render(self, claimed: Claimed, told: Told) -> Form | None:
        """Write and sign what a shop is told; None when its app may not be told anything."""
        ...

    def accepts(self, status: int, body: bytes) -> bool:
        """Say whether a shop's answer means that it knows now."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tries are under way at most: in all, and for one app or one host."""

    total: int = 32
    per_shop: int = 8
    timeout: timedelta = timedelta(seconds=10)


class Deliverer:
    """Tells shops what they have to be told. Any number of them may work on one database."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        outgoing: Outgoing,
        wire: Wire,
        *,
        schedule: Sequence[timedelta] = SCHEDULE,
        limits: Limits = Limits(),
    ) -> None:
        self._database = database
        self._clock = clock
        self._outgoing = outgoing
        self._wire = wire
        self._schedule = schedule
        self._limits = limits
        self._sending: dict[asyncio.Task[None], Due] = {}
        self._records: Group[Tried, None] = Group(self._record, lanes=1)

    async def send_due(self) -> int:
        """Begin to send what is due, as much as the limits allow; gives how many tries were begun.

        Raises ConnectionLost; what was claimed by then is due again when its lease is over.
        """
        begun = 0
        while claimed := await self._claim_due():
            begun += claimed
        return begun

    async def finish(self) -> None:
        """Wait until nothing is under way."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def stop(self, grace: timedelta) -> None:
        """Wait a little for what is under way, then give it up: it is due again after its lease."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=grace.total_seconds())
        left = list(self._sending)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _claim_due(self) -> int:
        free = self._limits.total - len(self._sending)
        if free <= 0:
            return 0
        apps = Counter(due.app_id for due in self._sending.values())
        hosts = Counter(due.host for due in self._sending.values())
        now = self._clock.now()
        async with self._database.acquire() as connection:
            waiting = await list_due(
                connection,
                now,
                full_apps=self._full(apps),
                full_hosts=self._full(hosts),
                per_app=self._limits.per_shop,
                limit=free * _LOOKED_AT_PER_FREE_PLACE,
            )
            chosen = choose_due(waiting, apps, hosts, free, self._limits.per_shop)
            claimed = await claim(connection, chosen, now) if chosen else []
        places = {due.id: due for due in chosen}
        for one in claimed:
            task = asyncio.create_task(self._send(one))
            self._sending[task] = places[one.id]
            task.add_done_callback(self._sending.__delitem__)
        return len(claimed)

    def _full(self, sending: Counter[str]) -> list[str]:
        return [name for name, count in sending.items() if count >= self._limits.per_shop]

    async def _send(self, claimed: Claimed) -> None:
        try:
            tried = await self._try(claimed)
            await self._records.submit(tried)
        except ConnectionLost as error:
            # As after a crash, the lease brings the next try; it is no fault of the shop's.
            _log.warning("notification_interrupted", notification=str(claimed.id), why=str(error))
        except Exception:  # noqa: BLE001 (the lease brings the next try)
            _log.exception("notification_not_recorded", notification=str(claimed.id))
        else:
            _attempts.labels(tried.outcome).inc()

    async def _try(self, claimed: Claimed) -> Tried:
        try:
            form = await self._wire.render(claimed, read_content(claimed.content))
        except ConnectionLost:
            raise
        except Exception as error:  # noqa: BLE001 (one notice that cannot be written stops no other)
            _log.exception("notification_not_rendered", notification=str(claimed.id))
            return Tried(claimed, AttemptOutcome.NOT_SENT, answer=type(error).__name__)
        if form is None:
            return Tried(claimed, AttemptOutcome.NOT_SENT, answer=f"unknown app {claimed.app_id}")
        return await self._post(claimed, form)

    async def _post(self, claimed: Claimed, form: Form) -> Tried:
        began = perf_counter_ns()
        status: int | None = None
        try:
            reply = await self._outgoing.post_form(
                claimed.url, form.body, form.content_type, self._limits.timeout.total_seconds()
            )
        except (AddressRefused, UrlMalformed) as error:
            outcome, said = AttemptOutcome.ADDRESS_REFUSED, error.message("en")
        except Unreachable as error:
            outcome, said = AttemptOutcome.UNREACHABLE, str(error.facts.get("reason", ""))
        else:
            accepted = self._wire.accepts(reply.status, reply.body)
            outcome = AttemptOutcome.DELIVERED if accepted else AttemptOutcome.REFUSED
            status, said = reply.status, reply.body.decode("utf-8", errors="replace")
        elapsed_milliseconds = (perf_counter_ns() - began) // _NANOSECONDS_PER_MILLISECOND
        return Tried(claimed, outcome, status, clean_answer(said), elapsed_milliseconds)

    async def _record(self, tried: Sequence[Tried]) -> Sequence[None]:
        now = self._clock.now()
        await commit(self._database, lambda c: record(c, tried, now, self._schedule))
        return [None] * len(tried)


def choose_due(
    waiting: Sequence[Due], apps: Counter[str], hosts: Counter[str], free: int, per_shop: int
) -> list[Due]:
    """Choose whom to tell now: in order, but no app and no host more often than `per_shop`.

    `apps` and `hosts` count what is under way already. Both are bounded: one shop may use many
    host names, and one host may serve many shops.
    """
    apps, hosts = apps.copy(), hosts.copy()
    chosen: list[Due] = []
    for due in waiting:
        if len(chosen) == free:
            break
        if apps[due.app_id] < per_shop and hosts[due.host] < per_shop:
            apps[due.app_id] += 1
            hosts[due.host] += 1
            chosen.append(due)
    return chosen
