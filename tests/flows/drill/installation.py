"""A whole installation on servers of its own: the product's own commands under the product's own supervisor.

The tests stand in the same process as the supervisor and look at the database through Django, so whatever waits here
also turns the supervisors: a child that nobody listens to would stop at a full pipe.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from celery import Celery
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from local import ports, processes, servers, up
from local import supervisor as supervising
from local.state import ROOT, State
from local.supervisor import Service, Supervisor
from tests.local.conftest import family_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FIRST = "rollcall"  # the database that `local.servers` makes; migrated once, then copied
READY_WITHIN = 90.0  # seconds, on a machine that does something else as well
TICK = 0.3  # seconds between two rounds of the alarm clock
KILLED = (b"SIGKILL", b"signal 9")  # how gunicorn and Celery log it
# What a test session sets and an installation must not have.
_OF_TESTS = ("ROLLCALL_TEST", "ROLLCALL_CRASH_AT", "ROLLCALL_CRASH_MARK", "ROLLCALL_BOUND_TO")


class TooLate(AssertionError):
    """Something that was waited for did not come; the message says what, and the logs say more."""


@dataclass
class Running:
    """Some of the product's processes, alive until the end of their block."""

    installation: Installation
    supervisor: Supervisor
    logs: Path
    address: str
    broker: Celery
    queue: redis.Redis
    ticked_at: float = 0.0
    busy_at: float = 0.0

    def turn(self) -> None:
        """One look at every child, of the servers too."""
        self.installation.servers.turn(pause=0.01)
        self.supervisor.turn(pause=0.04)

    def until(self, condition: Callable[[], bool], *, what: str, seconds: float = READY_WITHIN) -> None:
        """Wait for a condition. Raises `TooLate`."""
        ends_at = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > ends_at:
                raise TooLate(f"{what}: not after {seconds:.0f} seconds. {self.last_words()}")
            self.turn()

    def last_words(self) -> str:
        """The end of each log, for a failure's message."""
        said = {path.name: path.read_text(errors="replace")[-1500:] for path in self.logs.glob("*.log")}
        return "\n".join(f"-- {name}\n{text}" for name, text in sorted(said.items()))

    def master(self, name: str) -> int | None:
        """The pid of a service's first process; None while it is being started again."""
        return _pid(self.supervisor, name)

    def workers(self, name: str) -> list[int]:
        """The pids of the processes that do a service's work."""
        pid = self.master(name)
        return [] if pid is None else [one for one in family_tree().get(pid, []) if processes.is_alive(one)]

    def answers(self) -> bool:
        """Whether the web process answers."""
        where = urlsplit(self.address)
        return ports.answers_ok(where.port or 0, "/healthz", host=ports.LOOPBACK, called=where.netloc, seconds=2.0)

    def is_killed(self, name: str) -> bool:
        """Whether a service's log says that one of its processes was ended by SIGKILL."""
        log = self.logs / f"{name}.log"
        return log.exists() and any(word in log.read_bytes() for word in KILLED)

    def is_quiet(self) -> bool:
        """Whether no task waits and none is being done. On its way to a worker a task is in neither, for a moment."""
        now = time.monotonic()
        if self.queue.llen("celery") or self.queue.hlen("unacked"):
            self.busy_at = now
        return now - self.busy_at > TICK

    def wake(self, *tasks: str, alone: bool = False) -> None:
        """Tick, as the scheduler does, unless the last tick still waits (with `alone`: is done) or was a moment ago."""
        now = time.monotonic()
        is_busy = not self.is_quiet() if alone else self.queue.llen("celery")
        if now - self.ticked_at < TICK or is_busy:
            return
        self.ticked_at = self.busy_at = now
        for task in tasks:
            self.broker.send_task(task, expires=30.0)


@dataclass
class Installation:
    """Servers with a migrated database, of which copies are made."""

    servers: Supervisor
    state: State
    environment: dict[str, str]
    blocker: Any
    is_durable: bool = False
    _copies: int = 0
    _starts: int = 0
    _wrappers: dict[str, DatabaseWrapper] = field(default_factory=dict)

    @property
    def mark(self) -> Path:
        """The file whose maker dies. While it exists, an armed point is not armed."""
        return self.state.path / "crashed"

    def address_of(self, database: str, *, role: str = "DATABASE_URL") -> str:
        """The address of a copy."""
        return urlunsplit(urlsplit(self.environment[role])._replace(path=f"/{database}"))

    def copy(self, of: str = FIRST) -> str:
        """A database with the same contents, in a fraction of a second; nobody may be connected to the first."""
        for name, wrapper in self._wrappers.items():
            if name == of:
                wrapper.close()
        self._copies += 1
        made = f"drill_{self._copies}"
        with psycopg.connect(self.address_of("postgres", role="DATABASE_OWNER_URL"), autocommit=True) as owner:
            # A process that was killed is told so by the operating system; its session ends a moment later.
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user",
                [of],
            )
            owner.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(made), sql.Identifier(of)))
            if self.is_durable:
                owner.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = on").format(sql.Identifier(made)))
        return made

    def forget(self, database: str) -> None:
        """Drop a copy that nobody looks at any more: at the end, each that is left costs two seconds to delete."""
        if (wrapper := self._wrappers.pop(database, None)) is not None:
            wrapper.close()
        address = self.address_of("postgres", role="DATABASE_OWNER_URL")
        # A session that is slow to end keeps it, and costs nothing but those seconds.
        with suppress(psycopg.errors.ObjectInUse), psycopg.connect(address, autocommit=True) as owner:
            owner.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(database)))

    def migrate(self) -> None:
        """Make the tables of the first database, as an operator does."""
        owner = {"DATABASE_URL": self.environment["DATABASE_OWNER_URL"], "ROLLCALL_ROLE": "owner"}
        command = (sys.executable, "manage.py", "migrate", "--no-input", "-v0")
        service = Service(name="migrate", argv=command, env={**self.environment, **owner}, cwd=ROOT)
        if self.servers.run_once(service) != 0:
            raise TooLate((self.state.logs / "migrate.log").read_text(encoding="utf-8"))

    @contextmanager
    def looking(self, database: str) -> Iterator[None]:
        """Inside, Django in this process uses that database, as the application's role."""
        before = connections["default"]
        connections["default"] = self._wrapper(database, before)
        ContentType.objects.clear_cache()  # its ids are each database's own
        try:
            with self.blocker.unblock():
                yield
        finally:
            connections["default"] = before
            ContentType.objects.clear_cache()

    def _wrapper(self, database: str, like: Any) -> DatabaseWrapper:
        if database not in self._wrappers:
            found = conninfo_to_dict(self.address_of(database))
            address = {name: str(found[key]) for name, key in (("HOST", "host"), ("PORT", "port"), ("USER", "user"), ("PASSWORD", "password"))}  # fmt: skip
            self._wrappers[database] = DatabaseWrapper({**like.settings_dict, **address, "NAME": database}, "default")
        return self._wrappers[database]

    def end_server(self, name: str, sign: signal.Signals) -> int:
        """Send a server a signal that ends it; its pid. Its supervisor starts it again: nobody here uses it until then."""
        pid = _pid(self.servers, name)
        if pid is None:
            raise TooLate(f"{name} does not run")
        self.close()
        os.kill(pid, sign)
        return pid

    def has_server(self, name: str, *, besides: int | None = None) -> bool:
        """Whether a server runs, in another process than `besides`."""
        return _pid(self.servers, name) not in {None, besides}

    def close(self) -> None:
        """Let go of every connection of this process."""
        for wrapper in self._wrappers.values():
            wrapper.close()

    @contextmanager
    def running(
        self, *names: str, database: str, armed: str = "", besides: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[Running]:
        """Start the product's processes on a database; at the end they are killed, as by a power cut.

        Their environment is the product's, and `besides`.
        """
        port = self.state.port("web")
        environment = self.environment | _product(self.state, port) | {"DATABASE_URL": self.address_of(database)}
        environment |= besides
        if armed:
            environment |= {"ROLLCALL_CRASH_AT": armed, "ROLLCALL_CRASH_MARK": str(self.mark)}
        self._starts += 1
        logs = self.state.logs / f"{self._starts}-{armed or 'unarmed'}"
        logs.mkdir(mode=0o700)
        with ExitStack() as stack:
            queue = stack.enter_context(redis.Redis.from_url(self.environment["REDIS_URL"]))
            queue.flushdb()  # what an earlier start left in the queue speaks of another database
            broker = stack.enter_context(Celery("drill", broker=self.environment["REDIS_URL"], set_as_current=False))
            supervisor = stack.enter_context(Supervisor(logs=logs, quiet=True).running())
            for service in self._services(environment, port):
                if service.name in names:
                    supervisor.start(service)
            address = environment["ROLLCALL_PUBLIC_URL"]
            yield Running(self, supervisor, logs, address, broker, queue)

    def _services(self, environment: dict[str, str], port: int) -> list[Service]:
        """The product's own, except that they are stopped as roughly as they are killed."""
        plan = up._Plan(state=self.state, is_external=False, has_demo=False, host=ports.LOOPBACK, port=port)
        return [replace(one, stop_signal=signal.SIGKILL) for one in up._services(plan, environment)]


def _pid(supervisor: Supervisor, name: str) -> int | None:
    for child in supervisor._children:
        if child.service.name == name and child.process is not None and child.process.poll() is None:
            return child.process.pid
    return None


def _product(state: State, port: int) -> dict[str, str]:
    """The product's part of the environment, with the keys of this process: it makes tokens and reads secrets too."""
    keys = {
        "SECRET_KEY": settings.SECRET_KEY,
        "ROLLCALL_TOKEN_KEY": settings.ROLLCALL_TOKEN_KEY,
        "ROLLCALL_FIELD_KEYS": ",".join(settings.ROLLCALL_FIELD_KEYS),
        # The drill's clients ask as fast as they can, which no directory does.
        "ROLLCALL_SCIM_PACE": "100000",
    }
    return servers.product_environment(state, port=port) | keys


@contextmanager
def installed(blocker: Any, *, durable: bool = False) -> Iterator[Installation]:
    """Servers whose data nobody will miss, a migrated database, and a supervisor that never gives up.

    `durable`: what is committed outlives the database server, as with any installation's. (Not the machine.)
    """
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        # Outside of a drill, a child that ends six times within minutes is a fault that a restart does not mend.
        patch.setattr(supervising, "RESTARTS", 10_000)
        patch.setattr(supervising, "LONGEST_PAUSE", supervising.FIRST_PAUSE)
        supervisor, given = stack.enter_context(servers.throwaway())
        environment = {name: value for name, value in given.items() if name not in _OF_TESTS}
        state = State(Path(environment["ROLLCALL_STATE_DIR"]))
        made = Installation(supervisor, state, environment, blocker, durable)
        stack.callback(made.close)
        made.migrate()
        yield made
