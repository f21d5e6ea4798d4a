"""The state directory: private, kept, and held by one supervisor at a time."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from socket import create_server

import pytest

from local import state as module
from local import up
from local.errors import CannotRun
from local.ports import KEPT_PORTS, LOOPBACK, is_free
from local.state import ROOT, Secrets, State, write_private

pytestmark = pytest.mark.local


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_that_is_kept_is_readable_by_its_owner_only(state: State) -> None:
    state.secrets()
    state.seal_key()
    state.port("postgres")
    with state.locked():
        pass

    # as root PostgreSQL runs as somebody else, who passes through the directory without reading it
    assert mode(state.path) == (0o711 if os.geteuid() == 0 else 0o700)
    assert {path.name: mode(path) for path in state.path.iterdir()} == {
        "logs": 0o700,
        "mail": 0o700,
        "static": 0o700,
        "secrets.json": 0o600,
        "seal-key.pem": 0o600,
        "ports.json": 0o600,
        "lock": 0o600,
    }


def test_secrets_are_made_once_and_kept(state: State) -> None:
    first = state.secrets()

    assert State(state.path).secrets() == first
    assert len(set(vars(first).values())) == len(vars(first))
    assert Secrets.new() != first


def test_the_key_of_the_seals_is_made_once_and_kept(state: State) -> None:
    first = state.seal_key().read_text()

    assert State(state.path).seal_key().read_text() == first
    assert first.startswith("-----BEGIN PRIVATE KEY-----")


def test_the_worker_alone_is_told_where_the_key_of_the_seals_is(state: State) -> None:
    plan = up._Plan(state=state, is_external=True, has_demo=False, host=LOOPBACK, port=8000)
    told = {service.name: service.env for service in up._services(plan, {"PATH": "/bin"})}

    assert {name for name, env in told.items() if "ROLLCALL_SEAL_KEY_FILE" in env} == {"worker"}
    assert told["worker"]["ROLLCALL_SEAL_KEY_FILE"] == str(state.path / "seal-key.pem")
    assert told["worker"]["ROLLCALL_SEAL_WITNESS"] == str(state.path / "witness.jsonl")


def test_whoever_names_a_key_of_their_own_keeps_it_and_the_web_does_not_see_it(state: State) -> None:
    plan = up._Plan(state=state, is_external=True, has_demo=False, host=LOOPBACK, port=8000)
    told = {service.name: service.env for service in up._services(plan, {"ROLLCALL_SEAL_KEY_FILE": "/run/key.pem"})}

    assert told["worker"]["ROLLCALL_SEAL_KEY_FILE"] == "/run/key.pem"
    assert "ROLLCALL_SEAL_KEY_FILE" not in told["web"]


def test_secrets_that_others_could_read_are_closed_again(state: State) -> None:
    state.secrets()
    (state.path / "secrets.json").chmod(0o644)

    state.secrets()

    assert mode(state.path / "secrets.json") == 0o600


def test_broken_secrets_are_refused_and_never_replaced(state: State) -> None:
    path = state.path / "secrets.json"
    path.write_text("{not json", encoding="utf-8")

    with pytest.raises(CannotRun, match="is not readable as JSON: put back a copy, or start afresh"):
        state.secrets()
    assert path.read_text(encoding="utf-8") == "{not json"


def test_missing_secrets_are_named(state: State) -> None:
    kept = vars(state.secrets()) | {"token_key": None}
    del kept["secret_key"]
    (state.path / "secrets.json").write_text(json.dumps(kept), encoding="utf-8")

    with pytest.raises(CannotRun, match=r"secrets\.json lacks secret_key, token_key: put back a copy"):
        state.secrets()


def test_a_port_is_kept_from_one_start_to_the_next(state: State) -> None:
    port = state.port("postgres")

    assert port in KEPT_PORTS
    assert state.port("postgres") == port
    assert state.port("valkey") != port
    assert state.kept_ports()["postgres"] == port


def test_a_kept_port_that_is_taken_is_replaced(state: State) -> None:
    port = state.port("postgres")
    with closing(create_server((LOOPBACK, port))):
        assert not is_free(port)
        other = state.port("postgres")

    assert other != port
    assert state.kept_ports() == {"postgres": other}


def test_a_port_that_somebody_wrote_down_is_not_replaced(state: State) -> None:
    port = state.port("directory", must_keep=True)
    with closing(create_server((LOOPBACK, port))), pytest.raises(CannotRun) as refusal:
        state.port("directory", must_keep=True)

    assert str(refusal.value) == (
        f"Port {port}, which directory keeps, is taken by another program: stop that and try again."
    )


def test_a_directory_is_held_by_one_at_a_time(state: State) -> None:
    with state.locked(), pytest.raises(CannotRun) as refusal, state.locked():
        pass

    assert str(refusal.value) == f"Rollcall already runs here (pid {os.getpid()}), stop it first."
    with state.locked():
        pass


def test_the_servers_of_a_killed_supervisor_are_waited_for(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    # a supervisor that has ended, while its watcher still holds the lock for a second
    code = (
        "import subprocess, sys\nfrom pathlib import Path\nfrom local.state import State\n"
        "with State(Path(sys.argv[1])).locked() as lock:\n"
        "    subprocess.Popen([sys.executable, '-S', '-c', 'import time; print(1, flush=True); time.sleep(1)'],"
        " pass_fds=(lock.fileno(),))\n"
    )
    ended = subprocess.Popen([sys.executable, "-c", code, state.path], cwd=ROOT, stdout=subprocess.PIPE)
    assert ended.stdout is not None
    with ended.stdout:
        assert ended.stdout.readline() == b"1\n"
        assert ended.wait(timeout=10) == 0

        with state.locked() as lock:
            lock.seek(0)
            assert lock.read() == f"{os.getpid()}\n"

    assert capsys.readouterr().err == "The previous run was killed; waiting for its servers to end ...\n"


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
        foreign, owner = State(tmp_path), 65534
    else:
        foreign, owner = State(Path("/")), 0

    with pytest.raises(CannotRun) as refusal:
        foreign.prepare()

    assert str(refusal.value) == (
        f"{foreign.path} belongs to user number {owner}: run as that user, or move the directory away."
    )


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    with pytest.raises(CannotRun, match="cannot be used as a directory for data: File exists"):
        State(tmp_path / "state").prepare()


def test_the_directory_is_beside_manage_py_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROLLCALL_STATE_DIR", raising=False)
    assert State.of_this_tree().path == ROOT / ".rollcall"
    monkeypatch.setenv("ROLLCALL_STATE_DIR", str(tmp_path / "named"))
    assert State.of_this_tree().path == tmp_path / "named"


def test_a_private_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secrets"
    write_private(path, "old")

    def fails(_descriptor: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(module.os, "fsync", fails)
    with pytest.raises(OSError, match="the disk is full"):
        write_private(path, "new")

    assert path.read_text(encoding="utf-8") == "old"
