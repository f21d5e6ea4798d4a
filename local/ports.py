"""TCP ports on loopback: which is free, which answers."""

from __future__ import annotations

import errno
import http.client
import random
import socket
from contextlib import closing

LOOPBACK = "127.0.0.1"

# Below the range from which Linux (32768) and macOS (49152) take the local ends of outgoing connections,
# so that a port which is kept from one start to the next is rarely taken by accident.
KEPT_PORTS = range(20_000, 32_000)


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of 127.0.0.1 now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        # Servers set SO_REUSEADDR too: connections in TIME_WAIT of an earlier run don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    # macOS lets 127.0.0.1 be bound beside a listener on all addresses; asking it is the proof.
    return not accepts(port)


def pick(*, taken: frozenset[int] = frozenset()) -> int:
    """Return a free port of `KEPT_PORTS` that is not in `taken`.

    Raises `OSError` when a thousand random ports were all busy.
    """
    chooser = random.SystemRandom()
    for _ in range(1000):
        port = chooser.choice(KEPT_PORTS)
        if port not in taken and is_free(port):
            return port
    raise OSError(errno.EADDRINUSE, "no free port was found on 127.0.0.1")


def accepts(port: int, *, host: str = LOOPBACK, seconds: float = 0.5) -> bool:
    """Say whether something accepts TCP connections there, within `seconds`."""
    try:
        with closing(socket.create_connection((host, port), timeout=seconds)):
            return True
    except OSError:
        return False


def answers_ok(port: int, path: str, *, host: str, called: str, seconds: float = 5.0) -> bool:
    """Say whether `GET http://host:port{path}` answers 200 within `seconds`, when the host is `called` by that name."""
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    with closing(connection):
        try:
            connection.request("GET", path, headers={"Host": called})
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
