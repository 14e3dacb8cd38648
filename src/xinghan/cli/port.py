"""The address that a platform will listen on, checked before anything else is started."""

import errno
import socket

from xinghan.kit.startup import PortTaken, SettingsInvalid


def check_port_is_free(host: str, port: int) -> None:
    """Raise PortTaken if something listens on an address, SettingsInvalid if nothing can.

    The serving processes listen with SO_REUSEPORT, with which the kernel would also let a second
    platform share the address, and half of the requests. This question is asked without it.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            # Connections of a platform that has just ended may linger without harm.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _taken(host, port) from None
        raise _cannot_listen(host, port, error) from None


def _taken(host: str, port: int) -> PortTaken:
    return PortTaken(
        f"{host}:{port} is taken by another program. Stop it, or choose another port with --port.",
        f"{host}:{port} 已被其他程序占用。请停止该程序，或用 --port 另选端口。",
    )


def _cannot_listen(host: str, port: int, error: OSError) -> SettingsInvalid:
    reason = error.strerror or str(error)
    return SettingsInvalid(
        f"Cannot listen on {host}:{port}: {reason}. Choose another with --host and --port.",
        f"无法监听 {host}:{port}：{reason}。请用 --host 和 --port 另选地址。",
    )
