"""What a serving platform keeps an eye on beside its workers."""

import http.client
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.settings import WILDCARDS, Settings
from xinghan.kit.startup import StartupError

READY_POLL_SECONDS: Final = 0.02
READY_TIMEOUT_SECONDS: Final = 2.0
DATABASE_POLL_SECONDS: Final = 0.25

log = logging.getLogger("xinghan.up")


@contextmanager
def announce_when_ready(settings: Settings) -> Iterator[None]:
    """Print the one line on stdout that tells other programs that requests are accepted."""

    def announce() -> bool:
        if not answers(settings):
            return False
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        print(f"ready http://{host}:{settings.port}", flush=True)
        return True

    with _repeating(announce, READY_POLL_SECONDS):
        yield


@contextmanager
def keep_running(embedded: EmbeddedPostgres | None) -> Iterator[None]:
    """Bring the embedded database back when it dies, as after a kill or for want of memory."""

    def revive() -> bool:
        if embedded is not None and not embedded.is_running():
            log.warning("the embedded PostgreSQL is gone; starting it again")
            try:
                embedded.start()
            except StartupError as error:
                log.error("%s", error)  # noqa: TRY400 (the text says all; there is no bug to trace)
        return embedded is None

    with _repeating(revive, DATABASE_POLL_SECONDS):
        yield


def answers(settings: Settings) -> bool:
    """Tell whether a serving process answers that it can serve."""
    host = WILDCARDS.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=READY_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz", headers={"Connection": "close"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


@contextmanager
def _repeating(step: Callable[[], bool], interval_seconds: float) -> Iterator[None]:
    """Repeat a step in a thread until it returns True or the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        while not step() and not ended.wait(interval_seconds):
            pass

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
