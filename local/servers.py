"""The two servers that Rollcall needs, started under a supervisor, and the environment that leads to them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from local import ports, postgres, roles, valkey
from local.errors import CannotRun
from local.state import State, write_private
from local.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_WITHIN = 60.0  # seconds; recovery after a crash is part of it

SETTINGS = "governance.settings"


def start(
    supervisor: Supervisor,
    state: State,
    *,
    source: str = "any",
    throwaway: bool = False,
    durable: bool = False,
) -> dict[str, str]:
    """Start PostgreSQL and Valkey, establish roles and database; return their part of the product's environment.

    `source` says whose PostgreSQL programs are taken: `wheel`, `system` or `any`. With `throwaway` the data are fast
    and mortal, and the owner may do what tests need; with `durable` besides, commits wait for the disk all the same.
    Raises `CannotRun` and `StopRequested`.
    """
    kept = state.secrets()
    place = _place(state)
    mortal = throwaway and not durable
    cluster = postgres.Cluster(
        data=place / "pg",
        binaries=postgres.reachable_binaries(postgres.find_binaries(source), place=place),
        port=0,
        throwaway=mortal,
    )
    cluster.create(password=kept.cluster_password)
    cluster.clear_pid_file()  # before the port is chosen: a server of an earlier run may still hold it
    cluster = cluster.at(state.port("postgres"))
    store = valkey.Valkey(data=state.path / "valkey", port=0, password=kept.redis_password, throwaway=mortal)
    store.end_earlier()
    store = store.at(state.port("valkey"))
    store.create()
    supervisor.start(cluster.service())
    supervisor.start(store.service())
    supervisor.wait_for(
        lambda: cluster.says_ready() and roles.is_ready(secrets=kept, port=cluster.port),
        what="PostgreSQL",
        seconds=READY_WITHIN,
    )
    supervisor.wait_for(store.is_ready, what="Valkey", seconds=READY_WITHIN)
    roles.establish(secrets=kept, port=cluster.port, for_tests=throwaway)
    return addresses(state, postgres_port=cluster.port, valkey_port=store.port)


def addresses(state: State, *, postgres_port: int, valkey_port: int) -> dict[str, str]:
    """Return the product's environment as far as it leads to our own servers, which listen on these ports."""
    kept = state.secrets()
    return {
        "DATABASE_URL": roles.url(role=roles.APP, password=kept.app_password, port=postgres_port),
        "DATABASE_OWNER_URL": roles.url(role=roles.OWNER, password=kept.owner_password, port=postgres_port),
        "DATABASE_ERASER_URL": roles.url(role=roles.ERASER, password=kept.eraser_password, port=postgres_port),
        "REDIS_URL": valkey.url(password=kept.redis_password, port=valkey_port),
    }


def directory_address(port: int) -> dict[str, str]:
    """Return the product's environment as far as it leads to the demo's directory."""
    return {"ROLLCALL_DEMO_DIRECTORY_URL": f"http://{ports.LOOPBACK}:{port}"}


def product_environment(state: State, *, port: int) -> dict[str, str]:
    """Return the rest of the product's environment: keys, places and addresses of this installation."""
    kept = state.secrets()
    return {
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "SECRET_KEY": kept.secret_key,
        "ROLLCALL_TOKEN_KEY": kept.token_key,
        "ROLLCALL_FIELD_KEYS": kept.field_keys,
        "ROLLCALL_STATE_DIR": str(state.path),
        "ROLLCALL_MAIL_DIR": str(state.mail),
        "ROLLCALL_STATIC_ROOT": str(state.static),
        "ROLLCALL_BIND": f"{ports.LOOPBACK}:{port}",
        "ROLLCALL_PUBLIC_URL": f"http://{ports.LOOPBACK}:{port}",
        "PYTHONUNBUFFERED": "1",
    }


def sealing_environment(state: State) -> dict[str, str]:
    """Return what only the worker is told, and whoever runs a command: where the key of the seals is, and the witness."""
    return {"ROLLCALL_SEAL_KEY_FILE": str(state.seal_key()), "ROLLCALL_SEAL_WITNESS": str(state.witness)}


@contextmanager
def throwaway(*, source: str = "any", durable: bool = False) -> Iterator[tuple[Supervisor, dict[str, str]]]:
    """Run servers whose data nobody will miss; yields their supervisor and the whole environment for tests.

    What is measured there is `durable`: it commits as an installation does.
    """
    state = State(Path(tempfile.mkdtemp(prefix="rollcall-test-")).resolve())
    try:
        state.prepare()
        with Supervisor(logs=state.logs, quiet=True).running() as supervisor:
            environment = start(supervisor, state, source=source, throwaway=True, durable=durable)
            environment |= product_environment(state, port=state.port("web"))
            environment |= directory_address(state.port("directory"))
            yield supervisor, {**os.environ, **environment, "ROLLCALL_TEST": "1"}
    finally:
        remove(state)


def _place(state: State) -> Path:
    """Return the folder for PostgreSQL's data: the state directory, or as root a refuge that another user can enter.

    Where the refuge is stands in the state directory, so that a moved tree finds its data again.
    """
    note = state.path / "postgres-place.json"
    if not note.exists():
        if (state.path / "pg").exists():
            return state.path
        place = postgres.place_for(state.path, refuge=_refuges() / f"rollcall-{secrets.token_hex(6)}")
        if place == state.path:
            return place
    else:
        told = json.loads(note.read_text(encoding="utf-8"))
        place = Path(told["place"])
        if Path(told["of"]) != state.path and Path(told["of"]).exists():
            raise CannotRun(f"{state.path} is a copy; its data stay with {told['of']}: start afresh here (make reset).")
    write_private(note, json.dumps({"place": str(place), "of": str(state.path)}) + "\n")
    return place


def _refuges() -> Path:
    # /var/tmp only where there is no /var/lib: some systems sweep it after a month
    kept = Path("/var/lib")
    return kept if kept.is_dir() else Path("/var/tmp")  # noqa: S108 - the folder made in it is ours alone


def remove(state: State) -> None:
    """Delete a state directory with everything in it, and PostgreSQL's refuge if it has one of its own."""
    note = state.path / "postgres-place.json"
    if note.exists():
        told = json.loads(note.read_text(encoding="utf-8"))
        if Path(told["of"]) == state.path or not Path(told["of"]).exists():
            shutil.rmtree(told["place"], ignore_errors=False)
    shutil.rmtree(state.path)
