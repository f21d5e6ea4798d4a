"""The virtual environment, looked at and filled by a Python that has nothing installed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from local import venv as module
from local.state import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.local


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment as this Python makes it, without pip, which is not looked at."""
    made = tmp_path / "tree" / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True)
    return made


def test_a_good_one_and_a_missing_one_are_no_trouble(venv: Path, tmp_path: Path) -> None:
    assert module.trouble(venv) is None
    assert module.trouble(tmp_path / "none") is None


def test_one_that_was_reached_by_another_way_is_no_trouble(venv: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(venv.parent)

    assert module.trouble(tmp_path / "link" / ".venv") is None


def test_one_that_was_moved_is_said_with_what_to_do(venv: Path, tmp_path: Path) -> None:
    moved = venv.parent.rename(tmp_path / "moved") / ".venv"

    assert str(module.trouble(moved)) == (
        f"rollcall: {moved} was made at {venv} and has been moved: delete it (rm -rf .venv) and run make again."
    )


def test_one_whose_python_is_gone_is_said(venv: Path) -> None:
    for python in venv.glob("bin/python*"):
        python.unlink()
    (venv / "bin" / "python").symlink_to("/no/such/python")

    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert str(module.trouble(venv)) == (
        f"rollcall: {venv} was made by a Python {ours} that is no longer there: "
        "delete it (rm -rf .venv) and run make again."
    )


def test_one_whose_python_has_become_another_is_said(venv: Path) -> None:
    configuration = venv / "pyvenv.cfg"
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = configuration.read_text(encoding="utf-8")
    version = ".".join(map(str, sys.version_info[:3]))
    configuration.write_text(text.replace(f"version = {version}", "version = 3.10.4"), encoding="utf-8")

    assert str(module.trouble(venv)) == (
        f"rollcall: {venv} was made by Python 3.10 and now finds Python {ours}: "
        "delete it (rm -rf .venv) and run make again."
    )


@pytest.mark.parametrize(
    ("listed", "stamps"),
    [
        ("requirements.txt", {".stamp"}),
        ("requirements-dev.txt", {".stamp", ".stamp-dev"}),
        ("requirements-browser.txt", {".stamp", ".stamp-dev", ".stamp-browser"}),
    ],
)
def test_filling_from_a_list_stamps_all_that_it_contains(
    venv: Path, monkeypatch: pytest.MonkeyPatch, listed: str, stamps: set[str]
) -> None:
    monkeypatch.setattr(module, "_run_pip", lambda _venv, _requirements: 0)

    assert module.main(["install", str(venv), listed]) == 0
    assert {path.name for path in venv.glob(".stamp*")} == stamps


def test_a_failed_installation_leaves_no_stamp_and_shows_what_pip_said(
    venv: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    python = venv / "bin" / "python"
    python.unlink()
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *pip*) echo "ERROR: hashes differ"; exit 2;; esac\nexec {sys.executable} "$@"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# made by a lock\ndjango==5.2.19 \\\n    --hash=sha256:00\nredis==8.1\n", encoding="utf-8")

    assert module.main(["install", str(venv), str(requirements)]) == 2
    said = capfd.readouterr()
    assert said.out == f"Installing 2 packages of requirements.txt into {venv}, about half a minute ...\n"
    assert said.err == (
        "ERROR: hashes differ\n\nrollcall: pip could not install requirements.txt; its last lines are above.\n"
    )
    assert list(venv.glob(".stamp*")) == []


def test_a_python_without_venv_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _name: None)

    assert module.main(["install", str(tmp_path / ".venv"), "requirements.txt"]) == 1
    assert capsys.readouterr().err == (
        "rollcall: this Python has no venv module: install it (Debian, Ubuntu: apt install python3-venv).\n"
    )
    assert not (tmp_path / ".venv").exists()


def test_it_needs_nothing_that_is_not_in_the_standard_library() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "local.venv", "check", "/no/such/.venv"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


# The Makefile, which calls it


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        check=False,
        capture_output=True,
        text=True,
    )


def test_make_alone_lists_every_target() -> None:
    done = make()

    assert done.returncode == 0
    targets = [line.split()[1] for line in done.stdout.splitlines()[1:]]
    building = ["fix", "test-servers", "drill", "bench-scim", "bench-ledger", "bench-pages", "screenshots", "lock"]
    assert targets == ["help", "run", "test", "reset", *building]


@pytest.mark.parametrize("target", ["run", "test", "reset"])
def test_a_python_that_is_too_old_is_said_in_one_line(tmp_path: Path, target: str) -> None:
    old = tmp_path / "python3"
    # it answers the only question that is asked of it as Python 3.9 would
    code = "import sys; sys.version_info = (3, 9); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -c "{code}" "$@"\n', encoding="utf-8")
    old.chmod(0o755)

    done = make(target, f"PYTHON={old}", f"VENV={tmp_path / '.venv'}")

    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "rollcall: Python 3.11 or newer is needed, this is 3.9: "
        "install one (Debian, Ubuntu: apt install python3 python3-venv), or set PYTHON="
    )
    assert not (tmp_path / ".venv").exists()


def test_no_python_at_all_is_said_in_one_line(tmp_path: Path) -> None:
    done = make("run", "PYTHON=no-such-python", f"VENV={tmp_path / '.venv'}")

    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "rollcall: Python 3.11 or newer is needed: "
        "install it (Debian, Ubuntu: apt install python3 python3-venv), or set PYTHON="
    )
