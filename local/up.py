"""`python -m local up`: from nothing to a running Rollcall, and its end on Ctrl-C."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local import announce, external, ports, servers
from local.errors import CannotRun, StopRequested
from local.state import ROOT, State
from local.supervisor import Service, Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_PORT = 8000
READY_WITHIN = 120.0  # seconds until the web process answers; a slow machine imports for a while

# What `manage.py demo prepare` exits with where the database holds tenants, and not those of this demo.
_HOLDS_OTHERS = 4

# Of somebody's test session, and wrong for a real installation.
_NOT_INHERITED = ("ROLLCALL_TEST", "ROLLCALL_ROLE", "ROLLCALL_BOUND_TO")


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What was decided before anything is started."""

    state: State
    is_external: bool
    has_demo: bool
    host: str
    port: int


def run() -> int:
    """Start everything, stay until a signal, stop everything; return 0. Raises `CannotRun`."""
    plan = _plan(os.environ)
    os.umask(0o077)  # whatever we or the children write is for this user alone
    plan.state.prepare()
    with (
        plan.state.locked() as lock,
        Supervisor(logs=plan.state.logs, keep_open=lock).running() as supervisor,
    ):
        _refuse_busy_port(plan)
        try:
            _bring_up(supervisor, plan)
            supervisor.run_forever()
        except StopRequested:
            pass
        except CannotRun:
            # Ctrl-C in the terminal also reaches what runs in our own process group, such as initdb, which then fails
            if not supervisor.stop_requested:
                raise
        supervisor.console.say("Stopping everything ...")
        supervisor.stop()
        supervisor.console.say("Stopped.")
    return 0


def _plan(environment: Mapping[str, str]) -> _Plan:
    is_external = external.is_wanted(environment)
    host, port = ports.LOOPBACK, _number(environment.get("PORT") or str(DEFAULT_PORT), "PORT")
    if is_external and environment.get("ROLLCALL_BIND"):
        host, _, number = environment["ROLLCALL_BIND"].rpartition(":")
        port = _number(number, "The port of ROLLCALL_BIND")
    return _Plan(
        state=State.of_this_tree(),
        is_external=is_external,
        has_demo=not is_external or environment.get("DEMO") == "1",
        host=host,
        port=port,
    )


def _number(text: str, what: str) -> int:
    if text.isdecimal() and 0 < int(text) < 2**16:
        return int(text)
    raise CannotRun(f"{what} must be a number from 1 to 65535, not {text!r}.")


def _refuse_busy_port(plan: _Plan) -> None:
    if not ports.is_free(plan.port):
        other = 8123 if plan.port != 8123 and ports.is_free(8123) else ports.pick()  # noqa: PLR2004 - any will do
        raise CannotRun(
            f"Port {plan.port} is taken by another program, or not allowed: choose one, PORT={other} make run.",
        )


def _bring_up(supervisor: Supervisor, plan: _Plan) -> None:
    environment = _environment(supervisor, plan)
    owner = {**environment, "DATABASE_URL": environment["DATABASE_OWNER_URL"], "ROLLCALL_ROLE": "owner"}
    _manage_once(supervisor, "migrate", ("migrate", "--no-input"), owner)
    _manage_once(supervisor, "static", ("collectstatic", "--no-input", "-v0"), environment)
    if plan.has_demo and not _has_prepared(supervisor, plan, environment):
        # Nobody's directory on loopback may be read then, either.
        plan, environment = replace(plan, has_demo=False), _without(environment, "ROLLCALL_DEMO_DIRECTORY_URL")
    for service in _services(plan, environment):
        supervisor.start(service)
    _wait_until_ready(supervisor, plan, environment)
    if plan.has_demo:
        _manage_once(supervisor, "demo", ("demo", "load"), environment)
        supervisor.console.say(announce.demo(plan.state.demo_file, mail=plan.state.mail))
    else:
        supervisor.console.say(announce.without_demo(environment))


def _environment(supervisor: Supervisor, plan: _Plan) -> dict[str, str]:
    """Start our own servers unless there are others; return the whole environment of the product."""
    ours = servers.product_environment(plan.state, port=plan.port)
    plan.state.keep_port("web", plan.port)
    if plan.has_demo:
        ours |= servers.directory_address(plan.state.port("directory", must_keep=True))
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    if plan.is_external:
        external.check(os.environ)
        return {**ours, **inherited}  # whoever brings servers may bring keys and addresses too
    return {**inherited, **ours, **servers.start(supervisor, plan.state)}


def _has_prepared(supervisor: Supervisor, plan: _Plan, environment: Mapping[str, str]) -> bool:
    """Make the demo's tenants and logins, or find them. False where the database of somebody else holds tenants."""
    if _manage_once(supervisor, "demo", ("demo", "prepare"), environment, also_well=_HOLDS_OTHERS) == 0:
        return True
    if plan.is_external:
        return False
    raise CannotRun(f"{plan.state.demo_file} is not about these data: put it back, or start afresh (make reset).")


def _without(environment: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key != name}


def _manage_once(
    supervisor: Supervisor,
    name: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    also_well: int = 0,
) -> int:
    """Run `manage.py` to its end; return 0 or `also_well`. Raises `CannotRun` when it ends with anything else."""
    service = Service(name=name, argv=(sys.executable, "manage.py", *arguments), env=environment, cwd=ROOT)
    code = supervisor.run_once(service)
    if code not in {0, also_well}:
        raise CannotRun(f"`manage.py {' '.join(arguments)}` failed; the lines above say why.")
    return code


def _services(plan: _Plan, environment: Mapping[str, str]) -> list[Service]:
    commands: dict[str, tuple[str, ...]] = {}
    if plan.has_demo:
        data = str(plan.state.path / "directory")
        commands["directory"] = ("demo.directory", "--port", _directory_port(environment), "--data", data)
    celery = ("celery", "--quiet", "-A", "governance")  # no banner
    commands["web"] = ("gunicorn", "-c", "gunicorn_conf.py", "governance.wsgi")
    commands["worker"] = (
        *celery,
        "worker",
        "--without-gossip",
        "--without-mingle",
        "-P",
        "prefork",
        "-c",
        "2",
        "-l",
        "INFO",
    )
    commands["beat"] = (*celery, "beat", "-l", "INFO")
    special = {
        # threads share connections; Celery's processes need no pool
        "web": {"ROLLCALL_POOL": "1", **_without(environment, "ROLLCALL_SEAL_KEY_FILE")},
        # alone among these it signs
        "worker": {**servers.sealing_environment(plan.state), **environment},
    }
    return [
        Service(
            name=name,
            argv=(sys.executable, "-m", *command),
            env=special.get(name, environment),
            cwd=ROOT,
        )
        for name, command in commands.items()
    ]


def _directory_port(environment: Mapping[str, str]) -> str:
    return environment["ROLLCALL_DEMO_DIRECTORY_URL"].rpartition(":")[2]


def _wait_until_ready(supervisor: Supervisor, plan: _Plan, environment: Mapping[str, str]) -> None:
    if plan.has_demo:
        directory = int(_directory_port(environment))
        supervisor.wait_for(lambda: ports.accepts(directory), what="The demo's directory", seconds=READY_WITHIN)
    # a server on all addresses is asked on loopback
    host = ports.LOOPBACK if plan.host in {"", "0.0.0.0", "[::]"} else plan.host.strip("[]")  # noqa: S104 - compared
    called = urlsplit(
        environment["ROLLCALL_PUBLIC_URL"]
    ).netloc  # a public name, where there is one: others are refused
    supervisor.wait_for(
        lambda: ports.answers_ok(plan.port, "/readyz", host=host, called=called),
        what="The web process",
        seconds=READY_WITHIN,
    )


def manage(arguments: Sequence[str]) -> int:
    """Become `manage.py` with these arguments, in the environment of the installation that runs here.

    Raises `CannotRun` when it does not run: its servers are needed.
    """
    state = State.of_this_tree()
    kept = state.kept_ports()
    ours = servers.product_environment(state, port=kept.get("web", DEFAULT_PORT)) if kept else {}
    if "directory" in kept and state.demo_file.exists():
        ours |= servers.directory_address(kept["directory"])
    ours |= servers.sealing_environment(state) if kept else {}
    environment = {**ours, **os.environ}
    if not external.is_wanted(os.environ):
        if not ports.accepts(kept.get("postgres", 0)):
            raise CannotRun("Rollcall does not run here: start it first (make run).")
        servers_of_ours = servers.addresses(state, postgres_port=kept["postgres"], valkey_port=kept["valkey"])
        environment = {**os.environ, **ours, **servers_of_ours}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, str(Path(ROOT) / "manage.py"), *arguments], environment)
