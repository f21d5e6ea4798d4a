"""The virtual environment: made, filled, and looked at before each use. Run as `python3 -m local.venv`.

This runs before anything is installed, with whatever Python 3.11 or newer the machine has: standard library only.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import NamedTuple

# Each list of requirements contains the ones before it, so filling from one makes their stamps too.
STAMPS = {
    "requirements.txt": ".stamp",
    "requirements-dev.txt": ".stamp-dev",
    "requirements-browser.txt": ".stamp-browser",
}
OLDEST = (3, 11)


class Trouble(NamedTuple):
    """Why a virtual environment cannot be used as it is."""

    reason: str

    def __str__(self) -> str:
        return f"rollcall: {self.reason}: delete it (rm -rf .venv) and run make again."


def trouble(venv: Path) -> Trouble | None:
    """Say what is wrong with an existing virtual environment; None when it is good or not there yet."""
    configuration = venv / "pyvenv.cfg"
    if not configuration.exists():
        return None
    pairs = (line.partition("=") for line in configuration.read_text(encoding="utf-8").splitlines())
    written = {key.strip(): value.strip() for key, _, value in pairs}
    made_by = ".".join(written.get("version", "").split(".")[:2])
    runs = _version_of(venv / "bin" / "python")
    if runs is None:
        return Trouble(f"{venv} was made by a Python {made_by} that is no longer there")
    if runs != made_by:
        return Trouble(f"{venv} was made by Python {made_by} and now finds Python {runs}")
    made_at = Path(written.get("command", "").rpartition(" -m venv ")[2].split(" ")[-1])
    if made_at.name == venv.name and made_at.is_absolute() and not _is_same(made_at, venv):
        return Trouble(f"{venv} was made at {made_at} and has been moved")
    return None


def _version_of(python: Path) -> str | None:
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        said = subprocess.run([python, "-I", "-c", question], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return said.stdout.strip() or None


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def install(venv: Path, requirements: Path) -> int:
    """Make the virtual environment if it is missing and fill it from a hashed list; return an exit code.

    Progress is one line, rewritten on a terminal. When pip fails its last lines are shown.
    """
    if importlib.util.find_spec("ensurepip") is None:
        print(
            "rollcall: this Python has no venv module: install it (Debian, Ubuntu: apt install python3-venv).",
            file=sys.stderr,
        )
        return 1
    if not (venv / "bin" / "python").exists() or not (venv / "pyvenv.cfg").exists():
        print(f"Making {venv} with Python {sys.version.split()[0]} ...", flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(venv)], check=False)
        if made.returncode != 0:
            return made.returncode
    code = _run_pip(venv, requirements)
    if code == 0:
        for listed, stamp in STAMPS.items():
            (venv / stamp).touch()
            if listed == requirements.name:
                break
    return code


def _run_pip(venv: Path, requirements: Path) -> int:
    total = sum(1 for line in requirements.read_text(encoding="utf-8").splitlines() if re.match(r"[A-Za-z0-9]", line))
    print(f"Installing {total} packages of {requirements.name} into {venv}, about half a minute ...", flush=True)
    argv = [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    argv += ["--progress-bar", "off", "--require-hashes", "-r", str(requirements)]
    last: deque[str] = deque(maxlen=20)
    count = 0
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as pip:
        for line in pip.stdout or ():
            last.append(line)
            found = re.match(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", line)
            count += found is not None
            _progress(
                f"{count} of {total}: {found[1]}" if found else "", is_last=line.startswith("Installing collected")
            )
    _progress("", is_last=True, clear=True)
    if pip.returncode != 0:
        print("".join(last), file=sys.stderr)
        print(f"rollcall: pip could not install {requirements.name}; its last lines are above.", file=sys.stderr)
    return pip.returncode


def _progress(text: str, *, is_last: bool, clear: bool = False) -> None:
    if not sys.stdout.isatty():
        return
    if clear:
        sys.stdout.write("\r\x1b[K")
    elif is_last:
        sys.stdout.write("\r\x1b[Kwriting files ...")
    elif text:
        sys.stdout.write(f"\r\x1b[K{text}")
    sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """Run `check VENV` or `install VENV REQUIREMENTS`; return the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m local.venv", description="The virtual environment of Rollcall.")
    parser.add_argument("verb", choices=["check", "install"])
    parser.add_argument("venv", type=Path)
    parser.add_argument("requirements", type=Path, nargs="?")
    arguments = parser.parse_args(argv)
    found = trouble(arguments.venv)
    if found:
        print(found, file=sys.stderr)
        return 1
    if arguments.verb == "check":
        return 0
    return install(arguments.venv, arguments.requirements or Path("requirements.txt"))


if __name__ == "__main__":
    os.environ.pop("PYTHONHOME", None)
    sys.exit(main())
