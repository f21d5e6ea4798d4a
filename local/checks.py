"""Every check of the code base on servers of its own: `python -m local test` and `serve-test`."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local import servers
from local.errors import CannotRun, StopRequested
from local.processes import before_exec
from local.state import ROOT, State, write_private
from local.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PYTHON = sys.executable
SPELLED = ("audit", "accounts", "provisioning", "governance", "local", "demo", "tests", "docs", "templates", "bench")
_LAST_WORDS = 15.0  # seconds for pytest to say where it was, after Ctrl-C


@dataclass(frozen=True, kw_only=True)
class Step:
    """One check: its title, its command, and what its environment has besides."""

    title: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]


def without_servers() -> list[Step]:
    """Return the checks that read only the code."""
    return [
        Step(title="import contract", argv=(PYTHON, "-c", _LINT_IMPORTS), environment={}),
        Step(title="types", argv=(PYTHON, "-m", "mypy"), environment={}),
        Step(title="lint", argv=(PYTHON, "-m", "ruff", "check", "."), environment={}),
        Step(title="format", argv=(PYTHON, "-m", "ruff", "format", "--check", "."), environment={}),
        Step(title="spelling", argv=(PYTHON, "-m", "codespell_lib", *_spelled()), environment={}),
    ]


def with_servers(environment: Mapping[str, str]) -> list[Step]:
    """Return the checks in which Django looks at its settings, models and database."""
    owner = {"DATABASE_URL": environment["DATABASE_OWNER_URL"], "ROLLCALL_ROLE": "owner"}
    manage = (PYTHON, "manage.py")
    deployment = (*manage, "check", "--deploy", "--fail-level", "WARNING")
    return [
        Step(
            title="missing migrations",
            argv=(*manage, "makemigrations", "--check", "--dry-run"),
            environment=owner,
        ),
        Step(title="deployment check", argv=deployment, environment=_PRODUCTION),
    ]


def tests(*, pytest_arguments: Sequence[str]) -> Step:
    """Return the step that runs the tests, on two processes unless the arguments say otherwise."""
    argv = (PYTHON, "-m", "pytest", "-n", "2", "--dist", "loadscope", *pytest_arguments)
    return Step(title="tests", argv=argv, environment={})


# What a real installation would set, as far as the checks look at it; ROLLCALL_TEST is taken away.
_PRODUCTION = {"ROLLCALL_TEST": "", "ROLLCALL_PUBLIC_URL": "https://rollcall.example.org"}

# The console script would do the same, but its first line breaks when the virtual environment is moved.
_LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def _spelled() -> list[str]:
    present = [name for name in SPELLED if (ROOT / name).exists()]
    return present + sorted(path.name for path in ROOT.glob("*.md")) + ["Makefile", "pyproject.toml", "manage.py"]


def run(*, source: str, pytest_arguments: Sequence[str], tests_only: bool) -> int:
    """Run every check, also after one has failed; return 0 when all passed, else 1."""
    _say_missing_programs()
    with servers.throwaway(source=source) as (supervisor, environment):
        if tests_only:
            to_run = [tests(pytest_arguments=pytest_arguments)]
        else:
            to_run = [*without_servers(), *with_servers(environment), tests(pytest_arguments=pytest_arguments)]
        return _run_all(supervisor, to_run, environment)


def lint() -> int:
    """Run the checks that read only the code; return 0 when all passed, else 1. Made for a hook before a commit."""
    with tempfile.TemporaryDirectory(prefix="rollcall-lint-") as folder:
        state = State(Path(folder).resolve())
        state.prepare()
        # The type checker loads the settings, which want addresses; nothing connects to these.
        environment = {
            **os.environ,
            **servers.product_environment(state, port=8000),
            **servers.addresses(state, postgres_port=1, valkey_port=1),
            "ROLLCALL_TEST": "1",
        }
        with Supervisor(logs=state.logs, quiet=True).running() as supervisor:
            return _run_all(supervisor, without_servers(), environment)


def _run_all(supervisor: Supervisor, to_run: Sequence[Step], environment: Mapping[str, str]) -> int:
    try:
        outcomes = [(step.title, *_run_step(supervisor, step, environment)) for step in to_run]
    except StopRequested:
        print("\nStopped before the end.", file=sys.stderr)
        return 130
    return _summary(outcomes)


def _run_step(supervisor: Supervisor, step: Step, environment: Mapping[str, str]) -> tuple[int, float]:
    print(f"\n== {step.title}", flush=True)
    started = time.monotonic()
    wanted = {**environment, **step.environment}
    # In our own process group: the terminal's Ctrl-C reaches it, and a debugger may read from the terminal.
    process = subprocess.Popen(
        step.argv,
        cwd=ROOT,
        env={name: value for name, value in wanted.items() if value},
        preexec_fn=before_exec(death_signal=signal.SIGTERM),  # noqa: PLW1509 - we have one thread
    )
    try:
        while process.poll() is None:
            supervisor.turn()
    finally:
        if process.poll() is None:
            _interrupt(process)
    seconds = time.monotonic() - started
    print(f"== {step.title}: {_verdict(process.returncode)} ({seconds:.1f} s)", flush=True)
    return process.returncode, seconds


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=_LAST_WORDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _verdict(code: int) -> str:
    return "passed" if code == 0 else f"FAILED (code {code})"


def _summary(outcomes: Sequence[tuple[str, int, float]]) -> int:
    print("\n== summary")
    for title, code, seconds in outcomes:
        print(f"{title:<20} {seconds:7.1f} s  {_verdict(code)}")
    failed = [title for title, code, _ in outcomes if code != 0]
    print(f"FAILED: {', '.join(failed)}" if failed else "All passed.")
    return 1 if failed else 0


def _say_missing_programs() -> None:
    wanted = {"chromium": ("chromium", "chromium-browser", "google-chrome"), "slapd": ("slapd", "/usr/sbin/slapd")}
    missing = [name for name, spellings in wanted.items() if not any(map(shutil.which, spellings))]
    if missing:
        consequence = "are skipped" if os.environ.get("ROLLCALL_REQUIRE_ALL") != "1" else "will fail"
        print(f"NOTICE: not installed here: {', '.join(missing)}. The tests that need them {consequence}.", flush=True)


def serve(*, env_file: Path, source: str) -> int:
    """Run servers for tests until a signal, their environment written as `export` lines into `env_file`."""
    with servers.throwaway(source=source) as (supervisor, environment):
        own = {name: value for name, value in environment.items() if os.environ.get(name) != value}
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(own.items())]
        try:
            env_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(env_file, "".join(lines))
        except OSError as error:
            raise CannotRun(f"{env_file} cannot be written: {error.strerror}.") from error
        print(f"Test servers run. In another shell: . {env_file} && {PYTHON} -m pytest ...", flush=True)
        try:
            supervisor.run_forever()
        finally:
            env_file.unlink(missing_ok=True)
    return 0
