"""How gunicorn serves Rollcall: `gunicorn -c gunicorn_conf.py governance.wsgi`. ROLLCALL_BIND says where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

bind = os.environ.get("ROLLCALL_BIND", "127.0.0.1:8000")

worker_class = "governance.workers.Worker"  # threads, and refusals that SCIM clients can read
workers = 2
threads = 4
preload_app = False  # each process has its own pool of database connections
timeout = 60  # seconds a worker may be silent
graceful_timeout = 8  # seconds for running requests at a stop; the supervisor waits as long

# What a proxy says of the client is judged in one place, governance/proxies.py: by itself gunicorn would believe any peer
# on loopback or on a Unix socket.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

accesslog = None  # the product logs its requests itself, with their cause
limit_request_line = 8_190  # bytes, gunicorn's most: a SCIM filter stands in the address
limit_request_field_size = 16_384  # bytes

# The workers' heartbeat files: in memory where there is such a place, since a slow disk would look like a dead worker.
_memory = Path("/dev/shm")  # noqa: S108 - gunicorn makes unlinked files in it
worker_tmp_dir = str(_memory) if os.access(_memory, os.W_OK | os.X_OK) else None

control_socket_disable = True  # nobody steers us but the supervisor


def on_starting(server: Any) -> None:
    """Tell the product on which addresses it will really be reachable, comma-separated.

    Command line and GUNICORN_CMD_ARGS may have changed `bind`; while a demo tenant exists the product refuses anything
    but loopback.
    """
    # an address is (host, port), the path of a socket, or the number of an inherited one
    os.environ["ROLLCALL_BOUND_TO"] = ",".join(
        f"{address[0]}:{address[1]}" if isinstance(address, tuple) else str(address) for address in server.cfg.address
    )
