"""`python -m local test`, `lint` and `serve-test`."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis

from local import __main__ as command_line
from local import checks
from local.checks import Step
from local.errors import CannotRun, StopRequested
from local.state import ROOT
from tests.local.conftest import all_gone, descendants, newcomers_environment, until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.supervisor import Supervisor

pytestmark = pytest.mark.local


def step(title: str, code: str, environment: Mapping[str, str] | None = None) -> Step:
    return Step(title=title, argv=(sys.executable, "-S", "-c", code), environment=environment or {})


def test_every_check_is_run_and_the_tests_come_last() -> None:
    listed = [*checks.without_servers(), *checks.with_servers({"DATABASE_OWNER_URL": "owner"})]
    listed.append(checks.tests(pytest_arguments=["-x"]))

    assert [one.title for one in listed] == [
        "import contract",
        "types",
        "lint",
        "format",
        "spelling",
        "missing migrations",
        "deployment check",
        "tests",
    ]
    assert listed[5].environment == {"DATABASE_URL": "owner", "ROLLCALL_ROLE": "owner"}
    assert listed[6].environment["ROLLCALL_TEST"] == ""
    assert listed[6].environment["ROLLCALL_PUBLIC_URL"].startswith("https://")
    assert listed[7].argv[1:] == ("-m", "pytest", "-n", "2", "--dist", "loadscope", "-x")


def test_the_steps_after_a_failed_one_are_run_too(
    supervisor: Supervisor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    after = tmp_path / "after"
    steps = [
        step("first", "raise SystemExit(3)"),
        step("second", f"open({str(after)!r}, 'w').write('run')"),
    ]

    assert checks._run_all(supervisor, steps, {}) == 1
    assert after.read_text(encoding="utf-8") == "run"
    said = capfd.readouterr().out
    assert "\n== first\n== first: FAILED (code 3) (" in said
    assert "\n== second\n== second: passed (" in said
    assert said.endswith("FAILED: first\n")


def test_when_all_passed_it_says_so(supervisor: Supervisor, capfd: pytest.CaptureFixture[str]) -> None:
    assert checks._run_all(supervisor, [step("only", "pass")], {}) == 0
    assert capfd.readouterr().out.endswith("All passed.\n")


def test_a_step_has_its_own_environment_and_an_empty_value_takes_one_away(supervisor: Supervisor) -> None:
    code = "import os, sys; sys.exit(os.environ.get('KEPT') != 'yes' or os.environ.get('NEW') != '1' or 'GONE' in os.environ)"

    given = {"KEPT": "yes", "GONE": "no"}
    assert checks._run_all(supervisor, [step("environment", code, {"NEW": "1", "GONE": ""})], given) == 0


def test_a_stop_ends_the_step_that_runs(supervisor: Supervisor, tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(60)"
    )

    assert checks._run_all(supervisor, [step("endless", code), step("never", "pass")], {}) == 130
    assert all_gone({int((tmp_path / "pid").read_text(encoding="ascii"))})


@pytest.mark.parametrize(("demanded", "consequence"), [("1", "will fail"), ("", "are skipped")])
def test_programs_that_are_missing_are_said_loudly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], demanded: str, consequence: str
) -> None:
    monkeypatch.setenv("ROLLCALL_REQUIRE_ALL", demanded)
    monkeypatch.setattr(checks.shutil, "which", lambda _name: None)
    checks._say_missing_programs()
    monkeypatch.setattr(checks.shutil, "which", lambda name: f"/usr/bin/{name}")
    checks._say_missing_programs()

    assert capsys.readouterr().out == (
        f"NOTICE: not installed here: chromium, slapd. The tests that need them {consequence}.\n"
    )


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["test"], {"source": "any", "pytest_arguments": [], "tests_only": False}),
        (
            ["test", "--", "-x", "-k", "a b"],
            {"source": "any", "pytest_arguments": ["-x", "-k", "a b"], "tests_only": False},
        ),
        (["test", "--tests-only", "--", "-x"], {"source": "any", "pytest_arguments": ["-x"], "tests_only": True}),
        (
            ["test", "--postgres", "system", "--database-only"],
            {
                "source": "system",
                "pytest_arguments": ["-m", "not local and not browser and not house and not once"],
                "tests_only": True,
            },
        ),
    ],
)
def test_the_command_line_says_what_is_run(
    monkeypatch: pytest.MonkeyPatch, typed: list[str], expected: dict[str, object]
) -> None:
    asked: dict[str, object] = {}

    def run(**arguments: object) -> int:
        asked.update(arguments)
        return 7

    monkeypatch.setattr(checks, "run", run)

    assert command_line.main(typed) == 7
    assert asked == expected


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (CannotRun("The disk is full: make room."), 1, "rollcall: The disk is full: make room.\n"),
        (StopRequested(), 130, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_a_refusal_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    code: int,
    said: str,
) -> None:
    def lint() -> int:
        raise raised

    monkeypatch.setattr(checks, "lint", lint)

    assert command_line.main(["lint"]) == code
    assert capsys.readouterr().err == said


def test_servers_for_tests_run_until_they_are_stopped_and_leave_nothing(tmp_path: Path) -> None:
    file = tmp_path / "rooms" / "test.env"
    process = subprocess.Popen(
        [sys.executable, "-m", "local", "serve-test", "--env-file", file],
        cwd=ROOT,
        env=newcomers_environment(),
        stdout=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: file.exists() and file.stat().st_size > 0)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        shown = subprocess.run(
            ["/bin/sh", "-c", f". {file} && env"],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "/usr/bin:/bin"},
        )
        given = dict(line.split("=", 1) for line in shown.stdout.splitlines())
        with psycopg.connect(given["DATABASE_OWNER_URL"], autocommit=True) as connection:
            connection.execute("CREATE DATABASE test_rollcall")
        with redis.Redis.from_url(given["REDIS_URL"]) as client:
            assert client.ping()
        family = descendants(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0

    assert given["ROLLCALL_TEST"] == "1"
    assert not file.exists()
    assert all_gone(family)
    assert not (tmp_path / given["ROLLCALL_STATE_DIR"]).exists()
