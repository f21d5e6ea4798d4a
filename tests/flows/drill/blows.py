"""What happens below the product: the database ends, the broker ends or forgets, the clock jumps.

Each blow is over when what it hit answers again. Nobody tells the product's processes: they are never started anew.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
from redis.exceptions import RedisError

from tests.factories import governance as make

if TYPE_CHECKING:
    from tests.flows.drill.installation import Running

# PostgreSQL's own two ways to stop without waiting for its clients (pg_ctl -m fast, -m immediate): the second is a crash.
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT
HOUR = 3_600.0
# Where Debian and Ubuntu put the library that shows a process another time of day.
_LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


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
    """The time of day as the product's processes see it. Only theirs: not the database's, nor that of a stopwatch."""

    library: Path
    file: Path

    @classmethod
    def found(cls, file: Path) -> Clock | None:
        """None where the library is not installed."""
        for pattern in _LIBRARIES:
            for library in sorted(Path("/").glob(pattern.lstrip("/"))):
                made = cls(library, file)
                made.move(0.0)
                return made
        return None

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs whose clock is this one."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def move(self, seconds: float) -> None:
        """From now on it is so far ahead of the time, or behind."""
        draft = self.file.with_suffix(".new")
        draft.write_text(f"{seconds:+.0f}\n", encoding="ascii")
        draft.replace(self.file)

    def jump(self, running: Running, seconds: float) -> None:
        """Move it, and wait until the web process has seen that."""
        self.move(seconds)
        running.until(lambda: abs(self.ahead(running) - seconds) < 30.0, what=f"the clock is moved by {seconds:+.0f} s")

    def ahead(self, running: Running) -> float:
        """How many seconds the web process's clock is ahead of the time, by what it says itself."""
        said = httpx.get(f"{running.address}/healthz", timeout=10.0).headers["Date"]
        return (parsedate_to_datetime(said) - make.now()).total_seconds()


def pids(running: Running) -> dict[str, list[int]]:
    """Who lives of web and worker, with those who look after them."""
    return {name: sorted([running.master(name) or 0, *running.workers(name)]) for name in ("web", "worker")}


def demanded() -> bool:
    """Whether nothing may be left out for want of a program."""
    return os.environ.get("ROLLCALL_REQUIRE_ALL") == "1"
