"""What the operating system says about processes, and what a child is told before it starts."""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PR_SET_PDEATHSIG = 1  # prctl(2)
_HAS_PROC = Path("/proc/self/stat").exists()  # not on macOS; there `ps` is always installed
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user of the operating system under whom a child is to run."""

    name: str
    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Return the arguments that make `subprocess` run a child as this user, with no other groups."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def unprivileged_account() -> Account | None:
    """Return the user under whom PostgreSQL runs, as it refuses root; None when we are not root.

    Raises `CannotRun` when the machine has neither `postgres` nor `nobody`.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise CannotRun("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody`: add one.")


def before_exec(*, death_signal: int) -> Callable[[], None]:
    """Return what a child does between fork and exec.

    SIGINT is put back to its default (a shell's `&` hands down "ignored"), and on Linux the kernel is asked to send
    `death_signal` when the thread that forked ends. Call it from the main thread of a process with one thread.
    """
    parent = os.getpid()

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
            if os.getppid() != parent:  # it died before we could ask
                os._exit(1)

    return prepare


def run_quietly(
    argv: Sequence[str],
    *,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    seconds: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Run a short program to its end, under `account` if given, from `/`; output is captured.

    Raises `PermissionError` when that user cannot reach the program, `subprocess.TimeoutExpired` after `seconds`.
    """
    return subprocess.run(
        argv,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env=env,
        timeout=seconds,
        preexec_fn=before_exec(death_signal=signal.SIGTERM),
        **(account.popen_arguments() if account else {}),
    )


def command_line(pid: int) -> str:
    """Return the command line of a process, arguments separated by blanks; empty when there is no such process."""
    if _HAS_PROC:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    found = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def is_alive(pid: int) -> bool:
    """Say whether a process with this id exists and is no zombie."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    if _HAS_PROC:
        try:
            # "pid (name) state ...": the name may hold blanks and brackets, so read from the last one
            return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2][1] == "Z"
        except (OSError, IndexError):
            return True
    found = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip().startswith("Z") or not found.stdout.strip()


def end_orphan(pid: int, *, sign: signal.Signals, seconds: float = 10.0) -> None:
    """Stop a process that is no child of ours and wait until it is gone.

    Raises `CannotRun` when it lives on after `seconds`.
    """
    deadline = time.monotonic() + seconds
    try:
        os.kill(pid, sign)
        while is_alive(pid):
            if time.monotonic() > deadline:
                raise CannotRun(f"Process {pid} of an earlier run does not end: stop it by hand (kill -9 {pid}).")
            time.sleep(0.1)
    except ProcessLookupError:
        return
