"""The worker process beside the servers: started after them, again when it dies, and stopped."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from xinghan.cli.watch import answers
from xinghan.kit.parent import PARENT_VARIABLE
from xinghan.kit.settings import Settings

STOP_SECONDS_MAX: Final = 3.0
POLL_SECONDS: Final = 0.2
RESTART_SECONDS_MIN: Final = 0.5
RESTART_SECONDS_MAX: Final = 30.0
STABLE_SECONDS: Final = 60.0

log = logging.getLogger("xinghan.up")


@contextmanager
def keep_working(settings: Settings) -> Iterator[None]:
    """Run a worker, again when it dies, until the block ends; the first when the servers answer.

    The thread that starts the worker lives as long as the worker may: the kernel ends a process
    that follows its parent when the parent's starting thread ends.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_supervise, args=(settings, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _environment(settings: Settings) -> dict[str, str]:
    return os.environ | settings.environment() | {PARENT_VARIABLE: str(os.getpid())}


def _supervise(settings: Settings, ended: threading.Event) -> None:
    # Until then the processors are the servers' alone: the platform is ready a third sooner.
    while not answers(settings) and not ended.wait(POLL_SECONDS):
        pass
    environment = _environment(settings)
    pause_seconds = RESTART_SECONDS_MIN
    while not ended.is_set():
        began = monotonic()
        code = _run_once(environment, ended)
        if ended.is_set():
            return
        if monotonic() - began >= STABLE_SECONDS:
            pause_seconds = RESTART_SECONDS_MIN
        log.warning("the worker ended with code %s; starting it again", code)
        ended.wait(pause_seconds)
        pause_seconds = min(2 * pause_seconds, RESTART_SECONDS_MAX)


def _run_once(environment: dict[str, str], ended: threading.Event) -> int:
    """Run a worker until it ends by itself or is told to; gives its exit code."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "xinghan.worker"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        process_group=0,
    )
    while worker.poll() is None and not ended.wait(POLL_SECONDS):
        pass
    worker.terminate()
    try:
        return worker.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        worker.kill()
        return worker.wait()
