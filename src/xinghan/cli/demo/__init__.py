"""`xinghan demo`: start the platform, play one real payment through the gateway, keep serving."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Final

import typer
from rich.console import Console

from xinghan.cli.demo.steps import Story
from xinghan.cli.platform import DataOption, read_settings
from xinghan.kit.settings import Settings
from xinghan.kit.startup import StartupError

READY: Final = "ready "
STOP_SECONDS_MAX: Final = 30


class DemoFailed(StartupError):
    """The demonstration could not go on; what a step printed says why."""

    exit_code = 1


def demo(
    data: DataOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the payment instead of serving on.")
    ] = False,
) -> None:
    """Start the platform and play one real payment with an unmodified Alipay SDK, step by step.

    A shop and a payer are made at the first run and used again at the next.
    """
    settings = read_settings(data)
    with _platform(settings) as (process, address):
        try:
            Story(settings.data, address, Console(highlight=False)).play()
        except subprocess.CalledProcessError as error:
            raise _failed(error) from None
        if not once:
            process.wait()


@contextmanager
def _platform(settings: Settings) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run `xinghan up` beside us; it gets the terminal's Ctrl-C itself, and is waited for."""
    command = [sys.executable, "-m", "xinghan", "up", "--data", str(settings.data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own program)
    try:
        yield process, _read_address(process)
    except KeyboardInterrupt:
        pass
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=STOP_SECONDS_MAX)


def _read_address(process: "subprocess.Popen[str]") -> str:
    output: IO[str] | None = process.stdout
    line = output.readline() if output else ""
    if not line.startswith(READY):
        process.wait(timeout=STOP_SECONDS_MAX)
        raise DemoFailed(
            "The platform did not start; its own message is above.",
            "平台未能启动；原因见上方的消息。",
        )
    return line.removeprefix(READY).strip()


def _failed(error: subprocess.CalledProcessError) -> DemoFailed:
    said = str(error.stderr or error.stdout or "").strip()
    program = Path(str(error.cmd[0])).name
    return DemoFailed(f"{program} failed: {said}", f"{program} 失败：{said}")
