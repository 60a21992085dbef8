"""Ports of this machine: which are free, and which to choose.

Chosen ports lie below the range that the system takes for outgoing connections. A part that is being started again would
otherwise find its port taken by a passing connection, or a client would connect to itself.
"""

import random
import socket

from infra.dev.failures import PortTaken

_CHOICE = range(15_000, 30_000)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    return _trouble(host, port) is None


def choose(host: str, count: int) -> tuple[int, ...]:
    """Free ports, all different."""
    free = (port for port in random.sample(_CHOICE, len(_CHOICE)) if is_free(host, port))
    return tuple(next(free) for _ in range(count))


def require_free(host: str, port: int) -> None:
    """Raises:
    PortTaken: nobody can listen there now; the message says why.
    """
    trouble = _trouble(host, port)
    if trouble is not None:
        raise PortTaken(f"cannot listen on {host}:{port} ({trouble}): choose another port with --port")


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _trouble(host: str, port: int) -> str | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except (OSError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None
