"""Servers, databases and web processes of a bench: all on this machine, all gone at its end."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from local import ports, servers
from local.errors import CannotRun
from local.processes import before_exec
from local.state import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from local.supervisor import Supervisor

READY_WITHIN = 900.0  # seconds: who keeps everything in memory builds it before the first answer
# Beside the product's own file of settings, for everybody alike: one process, so that who keeps everything in memory can
# take part; connections that outlast the others' turns; and no end to who answers slowly.
_GUNICORN = ("--workers", "1", "--threads", "4", "--keep-alive", "75", "--timeout", "1800", "--log-level", "warning")


def with_database(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@dataclass(kw_only=True)
class House:
    """The servers, and what was started beside them."""

    supervisor: Supervisor
    environment: Mapping[str, str]
    logs: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    files: list[IO[bytes]] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)
    made: set[str] = field(default_factory=set)

    @property
    def owner_url(self) -> str:
        """The address of the cluster's first database, as the owner of all."""
        return self.environment["DATABASE_OWNER_URL"]

    def look(self) -> None:
        """Look after the servers. Raises `StopRequested` when somebody wants an end."""
        self.supervisor.turn(pause=0.0)

    def database(self, name: str, *, template: str = "template1") -> None:
        """Make a database."""
        with psycopg.connect(self.owner_url, autocommit=True) as connection:
            make = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))

    def tidy(self, name: str) -> None:
        """Statistics and visibility, as autovacuum would have left them by and by."""
        with psycopg.connect(with_database(self.owner_url, name), autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")

    def for_product(self, name: str, *, port: int = 8000, as_owner: bool = False) -> dict[str, str]:
        """The environment of the product on one database: its own settings, its own role."""
        given = {key: value for key, value in self.environment.items() if key != "ROLLCALL_TEST"}
        for key in ("DATABASE_URL", "DATABASE_OWNER_URL", "DATABASE_ERASER_URL"):
            given[key] = with_database(given[key], name)
        given |= {
            "ROLLCALL_BIND": f"{ports.LOOPBACK}:{port}",
            "ROLLCALL_PUBLIC_URL": f"http://{ports.LOOPBACK}:{port}",
            # One client asks as fast as it can: requests are counted as ever, and none is refused.
            "ROLLCALL_SCIM_PACE": "100000",
        }
        return given | ({"DATABASE_URL": given["DATABASE_OWNER_URL"], "ROLLCALL_ROLE": "owner"} if as_owner else {})

    def for_peer(self, name: str, *, settings: str, port: int = 8000, token: str = "") -> dict[str, str]:
        """The environment of a Django peer, which owns its database."""
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": settings,
            "BENCH_DATABASE_URL": with_database(self.owner_url, name),
            "BENCH_TOKEN": token,
            "ROLLCALL_BIND": f"{ports.LOOPBACK}:{port}",
        }

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> str:
        """Run a Python module to its end; returns what it printed. Raises `CannotRun` where it fails."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", *argv], env=dict(environment), cwd=ROOT, stdout=out, stderr=err,
                preexec_fn=before_exec(death_signal=signal.SIGTERM),  # noqa: PLW1509 - we have one thread here
            )  # fmt: skip
            try:
                # Whoever reads what the servers say must go on with it: a server whose pipe is full stands still.
                while process.poll() is None:
                    self.supervisor.turn()
            finally:
                self.stop(process)
            out.seek(0)
            err.seek(0)
            said, wrong = out.read(), err.read()
        if process.returncode:
            raise CannotRun(f"`{' '.join(argv[:2])}` failed:\n{wrong.strip()[-2000:] or said.strip()}")
        return said

    def within(self, database: str, module: str, *arguments: str) -> Any:
        """What a module of the bench finds inside the product, on one database (`bench.within`)."""
        said = self.run(["bench.within", module, *arguments], self.for_product(database))
        return json.loads(said.splitlines()[-1])

    def serve(
        self, name: str, application: str, environment: Mapping[str, str], *, workers: int = 1, worker_class: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start gunicorn; it says in a file what it has to say."""
        argv = ["gunicorn", "-c", "gunicorn_conf.py", *_GUNICORN, "--workers", str(workers)]
        argv += ["--worker-class", worker_class] if worker_class else []
        return self._start(name, [*argv, application], {**environment, "ROLLCALL_POOL": "1"})

    def work(self, database: str) -> subprocess.Popen[bytes]:
        """Start the product's worker, without the clock beside it."""
        argv = ["celery", "--quiet", "-A", "governance", "worker", "--without-gossip", "--without-mingle"]
        argv += ["-c", "2", "-l", "WARNING"]
        return self._start(f"{database}_worker", argv, self.for_product(database))

    def _start(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        file = (self.logs / f"{name}.log").open("ab")
        self.files.append(file)
        process = subprocess.Popen(
            [sys.executable, "-m", *argv], env=dict(environment), cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=before_exec(death_signal=signal.SIGTERM),  # noqa: PLW1509 - we have one thread here
        )  # fmt: skip
        self.processes.append(process)
        return process

    def wait_for(self, name: str, process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> None:
        """Wait until a server answers. Raises `CannotRun` when it does not."""
        until = time.monotonic() + READY_WITHIN
        while not is_ready():
            if process.poll() is not None or time.monotonic() > until:
                log = (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
                raise CannotRun(f"{name} does not serve:\n{log[-2000:]}")
            self.supervisor.turn()

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Stop one web server."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Stop all that was started here."""
        for process in self.processes:
            self.stop(process)
        for file in self.files:
            file.close()


@contextmanager
def house() -> Iterator[House]:
    """The servers of one run."""
    with servers.throwaway(durable=True) as (supervisor, environment):
        logs = Path(environment["ROLLCALL_STATE_DIR"]) / "logs"
        found = House(supervisor=supervisor, environment=environment, logs=logs)
        try:
            yield found
        finally:
            found.close()


def a_token() -> str:
    """A bearer token for a peer."""
    return secrets.token_urlsafe(32)
