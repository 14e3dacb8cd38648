"""How the embedded server is configured: the one place where its settings are chosen."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

MIB = 1024 * 1024
SHARED_BUFFERS_MIN = 512 * MIB
SHARED_BUFFERS_MAX = 2048 * MIB
MEMORY_LIMIT_FILES = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)

OPERATOR_FILE = "operator.conf"
OPERATOR_TEXT = """\
# Settings of PostgreSQL that you choose; they win over xinghan.conf. Restart the platform after a
# change.
"""

# Read by the server at the end of its postgresql.conf; the later file wins.
INCLUDES = """
# The platform rewrites xinghan.conf at every start. Put your own choices into operator.conf.
include_if_exists = 'xinghan.conf'
include_if_exists = 'operator.conf'
"""

# The directory of the unix socket lets nobody in but the server's account, its caller and root.
HOST_BASED_AUTHENTICATION = """\
# TYPE  DATABASE  USER  ADDRESS        METHOD
local   all       all                  trust
host    all       all   127.0.0.1/32   scram-sha-256
"""

DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}
# Checkpoints cost most when they come often: each first change of a page afterwards is logged
# whole. A quarter of an hour bounds crash recovery to seconds on the disks we know.
WRITE_AHEAD_LOG = {
    "max_wal_size": "8GB",
    "min_wal_size": "1GB",
    "checkpoint_timeout": "15min",
}
PLANNING = {
    "jit": "off",  # compiling costs more than our short statements take
    "random_page_cost": "1.1",  # solid-state disks
}
# The defaults of the cost limit date from disks that turn; balances change all day.
VACUUM = {
    "autovacuum": "on",
    "autovacuum_naptime": "20s",
    "autovacuum_vacuum_cost_delay": "2ms",
    "autovacuum_vacuum_cost_limit": "2000",
}
CONNECTIONS = {
    "max_connections": "100",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    "listen_addresses": "127.0.0.1",
}
LOGGING = {
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "log_checkpoints": "off",
}


def settings_text(
    port: int, socket_directory: Path, *, with_lz4: bool, overrides: Mapping[str, str]
) -> str:
    """Give the content of xinghan.conf; `overrides` take precedence over everything here."""
    memory = memory_bytes()
    chosen = {
        **CONNECTIONS,
        "port": str(port),
        "unix_socket_directories": str(socket_directory),
        "shared_buffers": f"{shared_buffers_bytes(memory) // MIB}MB",
        "effective_cache_size": f"{memory // 2 // MIB}MB",
        **DURABLE,
        **WRITE_AHEAD_LOG,
        "wal_compression": "lz4" if with_lz4 else "off",
        **PLANNING,
        **VACUUM,
        **LOGGING,
        **overrides,
    }
    lines = [f"{name} = '{_quoted(value)}'" for name, value in chosen.items()]
    return "\n".join(["# Written by xinghan at every start; see operator.conf.", *lines, ""])


def shared_buffers_bytes(memory: int) -> int:
    """Choose a quarter of the memory, at most 2 GiB, at least 512 MiB where a third allows it."""
    wanted = min(max(memory // 4, SHARED_BUFFERS_MIN), SHARED_BUFFERS_MAX)
    return min(wanted, memory // 3)


def memory_bytes() -> int:
    """Give the memory of the machine, or of the container if that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in MEMORY_LIMIT_FILES:
        with suppress(OSError, ValueError):
            found.append(int(path.read_text()))
    return min(found)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
