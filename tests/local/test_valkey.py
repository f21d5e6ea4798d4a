"""The Redis-compatible server of one machine."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
import redis

from local import ports, processes, valkey
from local.errors import CannotRun
from local.valkey import Valkey

if TYPE_CHECKING:
    from pathlib import Path

    from local.state import State
    from local.supervisor import Supervisor

pytestmark = pytest.mark.local


@pytest.fixture
def server(state: State) -> Valkey:
    """A server that keeps its data, configured but not running."""
    made = Valkey(data=state.path / "with blank" / "valkey", port=ports.pick(), password=state.secrets().redis_password)
    made.create()
    return made


def client(server: Valkey, *, password: str | None = None) -> redis.Redis:
    return redis.Redis.from_url(valkey.url(password=password or server.password, port=server.port))


def pid_of(server: Valkey) -> int:
    return int((server.data / "valkey.pid").read_text(encoding="ascii"))


def test_its_configuration_holds_the_password_and_is_private(server: Valkey) -> None:
    path = server.data / "valkey.conf"

    assert server.password in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_wants_the_password_and_shows_it_to_nobody(server: Valkey, supervisor: Supervisor) -> None:
    supervisor.start(server.service())
    supervisor.wait_for(server.is_ready, what="Valkey", seconds=10)

    with client(server, password="guessed") as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis(port=server.port) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()
    assert server.password not in processes.command_line(pid_of(server))


def test_it_forgets_nothing_and_refuses_when_it_is_full(server: Valkey, supervisor: Supervisor) -> None:
    supervisor.start(server.service())
    supervisor.wait_for(server.is_ready, what="Valkey", seconds=10)

    with client(server) as connection:
        assert connection.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert connection.config_get("appendonly") == {"appendonly": "yes"}


def test_what_it_held_is_there_again_after_it_was_killed(server: Valkey, supervisor: Supervisor) -> None:
    supervisor.start(server.service())
    supervisor.wait_for(server.is_ready, what="Valkey", seconds=10)
    with client(server) as connection:
        connection.rpush("queue", *range(1000))
        connection.execute_command("WAITAOF", 1, 0, 5000)
    killed = pid_of(server)

    os.kill(killed, signal.SIGKILL)
    supervisor.wait_for(lambda: not processes.is_alive(killed), what="the end", seconds=10)
    supervisor.wait_for(server.is_ready, what="Valkey", seconds=10)

    with client(server) as connection:
        assert connection.llen("queue") == 1000
    assert pid_of(server) != killed


def test_a_server_that_was_left_behind_is_stopped_first(server: Valkey, supervisor: Supervisor) -> None:
    service = server.service()
    orphan = subprocess.Popen(service.argv, env=dict(service.env), stdout=subprocess.DEVNULL)
    supervisor.wait_for(server.is_ready, what="the orphan", seconds=10)

    supervisor.start(service)

    assert orphan.wait(timeout=10) == 0
    supervisor.wait_for(server.is_ready, what="Valkey", seconds=10)
    assert pid_of(server) != orphan.pid


def test_a_pid_file_that_names_somebody_elses_process_harms_nobody(server: Valkey, supervisor: Supervisor) -> None:
    foreign = subprocess.Popen(["/bin/sleep", "60"])
    try:
        (server.data / "valkey.pid").write_text(f"{foreign.pid}\n", encoding="ascii")
        supervisor.start(server.service())
        supervisor.wait_for(server.is_ready, what="Valkey", seconds=10)
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_without_the_wheel_the_path_is_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(valkey.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotRun, match=r"^No Redis-compatible server was found: install Valkey or Redis"):
        valkey.find_server()

    program = tmp_path / "redis-server"
    program.touch(mode=0o755)
    assert valkey.find_server() == program
