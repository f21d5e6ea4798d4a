"""What happens below the product: the database ends, the broker ends or forgets, the clock jumps.

Each blow is over when what it hit answers again. Nobody tells the product's processes: they are never started anew.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.drill.installation import Running

# PostgreSQL's own two ways to stop without waiting for its clients (pg_ctl -m fast, -m immediate): the second is a crash.
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT
HOUR = 3_600.0  # seconds


def restart_database(running: Running, *, database: str, how: signal.Signals) -> None:
    """Stop PostgreSQL under everybody who uses it, and wait until it takes connections again."""
    _restart(running, "postgres", how)
    running.until(lambda: _takes_connections(running.installation.address_of(database)), what="the database is back")


def restart_broker(running: Running) -> None:
    """Kill the broker, with all that waits in it."""
    _restart(running, "valkey", signal.SIGKILL)
    running.until(lambda: _has_broker(running), what="the broker is back")


def flush_broker(running: Running) -> None:
    """Make the broker forget all that it knows: what waits, who listens, what was counted."""
    running.queue.flushall()


def _restart(running: Running, server: str, how: signal.Signals) -> None:
    before = running.installation.end_server(server, how)
    running.until(lambda: running.installation.has_server(server, besides=before), what=f"{server} is started again")


def _takes_connections(address: str) -> bool:
    try:
        with psycopg.connect(address, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def _has_broker(running: Running) -> bool:
    try:
        return bool(running.queue.ping())
    except RedisError:
        return False


@dataclass(frozen=True)
class Clock:
    """The time of day as the product's processes see it: theirs alone, not the database's. `moved` says how."""

    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs whose clock is this one."""
        return {"DJANGO_SETTINGS_MODULE": "tests.flows.drill.moved", "ROLLCALL_DRILL_CLOCK": str(self.file)}

    def move(self, seconds: float) -> None:
        """From now on it is so far ahead of the time, or behind."""
        draft = self.file.with_suffix(".new")
        draft.write_text(str(seconds), encoding="ascii")
        draft.replace(self.file)


def pids(running: Running) -> dict[str, list[int]]:
    """Who lives of web and worker, with those who look after them."""
    return {name: sorted([running.master(name) or 0, *running.workers(name)]) for name in ("web", "worker")}
