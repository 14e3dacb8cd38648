"""The worker: what is done after commits and by the clock, in a process of its own.

It runs beside the serving processes and gives way to them. Several may work on one database.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import uvloop

from xinghan.gateway.notices import Notices
from xinghan.identity import AppDirectory, open_vault
from xinghan.kit.clock import Clock, SystemClock
from xinghan.kit.commit import commit
from xinghan.kit.db import Database
from xinghan.kit.logs import log_to_stderr
from xinghan.kit.outgoing import Outgoing
from xinghan.kit.parent import follow_parent
from xinghan.kit.recurring import Job, repeat
from xinghan.kit.settings import Settings
from xinghan.kit.startup import StartupError
from xinghan.kit.vault import Vault
from xinghan.ledger import RACES, expire_holds
from xinghan.ledger.proof import SEED_PURPOSE, HeadKey, HeadsFile, seal_tail
from xinghan.payments.delivery import Deliverer
from xinghan.payments.desk import Payments
from xinghan.payments.jobs import deliver_notifications, end_due_trades

NICENESS: Final = 5
CONNECTIONS_MAX: Final = 8
# One quick shop gets Limits.per_shop notifications in this time.
DELIVER_BUSY_SECONDS: Final = 0.01
GRACE: Final = timedelta(seconds=1.5)
HEADS_FILE: Final = "heads.jsonl"


def main() -> None:
    """Work until SIGTERM, as a child of `xinghan up`, with the settings in the environment."""
    follow_parent()
    os.nice(NICENESS)
    settings = Settings.read()
    log_to_stderr(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_work_until_told(settings))
    except StartupError as error:
        print(f"xinghan worker: {error.text()}", file=sys.stderr)  # noqa: T201 (for an operator)
        sys.exit(error.exit_code)


async def work(settings: Settings, clock: Clock | None = None) -> None:
    """Do the jobs until this is cancelled; then what is being sent gets a moment to finish.

    Raises StartupError when it cannot begin.
    """
    if settings.database_url is None:
        raise ValueError("the worker needs settings.database_url")
    database = await Database.open(
        settings.database_url, size_max=CONNECTIONS_MAX, application_name="xinghan worker"
    )
    try:
        async with database.acquire() as connection:
            vault = await open_vault(connection, settings)
        async with _jobs(settings, database, vault, clock or SystemClock()) as jobs:
            await _repeat_all(jobs)
    finally:
        await database.close()


@asynccontextmanager
async def _jobs(
    settings: Settings, database: Database, vault: Vault, clock: Clock
) -> AsyncIterator[list[Job]]:
    apps = AppDirectory(database, vault)
    schedule = [timedelta(seconds=seconds) for seconds in settings.notify_schedule_seconds]
    payments = Payments(database, clock)
    signer, heads = HeadKey(vault.subkey(SEED_PURPOSE)), HeadsFile(settings.data / HEADS_FILE)
    async with Outgoing(settings.notify_allow) as outgoing:
        notices = Notices(database, vault, apps.find, clock)
        deliverer = Deliverer(database, clock, outgoing, notices, schedule=schedule)
        deliver = Job(
            "deliver_notifications",
            lambda: deliver_notifications(deliverer),
            busy_seconds=DELIVER_BUSY_SECONDS,
        )

        async def end_due() -> int:
            ended = await end_due_trades(payments)
            if ended:
                deliver.wake.set()
            return ended

        try:
            yield [
                deliver,
                Job("end_due_trades", end_due),
                Job("expire_holds", lambda: commit(database, expire_holds, races=RACES)),
                Job("seal_postings", lambda: seal_tail(database, signer, heads)),
            ]
        finally:
            await deliverer.stop(GRACE)


async def _repeat_all(jobs: Sequence[Job]) -> None:
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(repeat(job), name=job.name)


async def _work_until_told(settings: Settings) -> None:
    working = asyncio.create_task(work(settings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    await asyncio.wait([working])
    if not working.cancelled():
        working.result()


if __name__ == "__main__":
    main()
