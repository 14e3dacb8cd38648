"""A child process that does not outlive its parent, however the parent ends."""

import ctypes
import os
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PARENT_VARIABLE: Final = "XINGHAN_SERVER_PID"


def announce_parent() -> None:
    """Tell child processes, through their environment, whose children they are."""
    os.environ[PARENT_VARIABLE] = str(os.getpid())


def follow_parent() -> None:
    """Tie this process to the parent that its environment names; do nothing where none does."""
    if parent_pid := os.environ.get(PARENT_VARIABLE):
        die_with_parent(int(parent_pid))
        leave_terminal_group()


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process as soon as its parent is gone.

    A parent that was killed cannot tell its children; they would hold its port and go on serving.
    `parent_pid` is the process that is supposed to be the parent: it may have died before this
    call, of which the kernel then says nothing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def leave_terminal_group() -> None:
    """Keep the terminal's Ctrl-C from this process: the parent alone decides when it stops."""
    os.setpgid(0, 0)
