"""The state directory: what one installation keeps between starts (`.rollcall` beside `manage.py`)."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import stat
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from local import ports, processes
from local.errors import CannotRun

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

# A supervisor that was killed leaves its servers at most this long (seconds): their grace, and a little more.
AFTERMATH = 15.0


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What is made once for an installation and never shown: passwords and keys."""

    cluster_password: str
    owner_password: str
    app_password: str
    eraser_password: str
    redis_password: str
    secret_key: str
    token_key: str
    field_keys: str

    @classmethod
    def new(cls) -> Secrets:
        """Draw fresh secrets from the operating system."""
        return cls(
            cluster_password=secrets.token_hex(24),
            owner_password=secrets.token_hex(24),
            app_password=secrets.token_hex(24),
            eraser_password=secrets.token_hex(24),
            redis_password=secrets.token_hex(24),
            secret_key=secrets.token_urlsafe(64),
            token_key=secrets.token_hex(32),
            field_keys=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        )


class State:
    """The directory that holds the data, secrets, logs and ports of one installation."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of_this_tree(cls) -> State:
        """Return the directory named by ROLLCALL_STATE_DIR, else `.rollcall` beside `manage.py`."""
        named = os.environ.get("ROLLCALL_STATE_DIR")
        return cls(Path(named).expanduser().resolve() if named else ROOT / ".rollcall")

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def mail(self) -> Path:
        return self.path / "mail"

    @property
    def static(self) -> Path:
        return self.path / "static"

    @property
    def demo_file(self) -> Path:
        return self.path / "demo.json"

    def prepare(self) -> None:
        """Make the directory and its rooms, readable by their owner only.

        As root the directory itself may be passed through by others, since PostgreSQL runs as another user below it;
        what it holds stays closed. Raises `CannotRun` when the directory belongs to another user.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            owner = self.path.stat().st_uid
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise CannotRun(f"{self.path} cannot be used as a directory for data: {error.strerror}.") from error
        if owner != os.geteuid():
            raise CannotRun(
                f"{self.path} belongs to user number {owner}: run as that user, or move the directory away.",
            )
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for room in (self.logs, self.mail, self.static):
            room.mkdir(mode=0o700, exist_ok=True)

    def secrets(self) -> Secrets:
        """Return the secrets of this installation; made at the first call, kept for ever."""
        path = self.path / "secrets.json"
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            fresh = Secrets.new()
            write_private(path, json.dumps(vars(fresh), indent=1) + "\n")
            return fresh
        except ValueError as error:
            raise CannotRun(
                f"{path} is not readable as JSON: put back a copy, or start afresh (make reset)."
            ) from error
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
        missing = [field.name for field in fields(Secrets) if not isinstance(kept.get(field.name), str)]
        if missing:
            raise CannotRun(f"{path} lacks {', '.join(missing)}: put back a copy, or start afresh (make reset).")
        return Secrets(**{field.name: kept[field.name] for field in fields(Secrets)})

    @property
    def witness(self) -> Path:
        """Where a copy of every seal goes, outside of the database."""
        return self.path / "witness.jsonl"

    def seal_key(self) -> Path:
        """Return the file of the Ed25519 key that signs seals; made at the first call, kept for ever."""
        path = self.path / "seal-key.pem"
        if not path.exists():
            fresh = Ed25519PrivateKey.generate()
            pem = fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_private(path, pem.decode("ascii"))
        return path

    def port(self, name: str, *, must_keep: bool = False) -> int:
        """Return the port kept under `name`, if it is free; else pick another and keep that.

        With `must_keep` a busy port is not replaced (somebody has written it down): raises `CannotRun`.
        """
        kept = self.kept_ports()
        port = kept.get(name)
        if port and ports.is_free(port):
            return port
        if port and must_keep:
            raise CannotRun(f"Port {port}, which {name} keeps, is taken by another program: stop that and try again.")
        picked = ports.pick(taken=frozenset(kept.values()))
        self.keep_port(name, picked)
        return picked

    def kept_ports(self) -> dict[str, int]:
        """Return the ports of the last start by name; empty before the first one."""
        try:
            kept: dict[str, int] = json.loads((self.path / "ports.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return kept

    def keep_port(self, name: str, port: int) -> None:
        """Note the port of `name` for other commands and the next start."""
        write_private(self.path / "ports.json", json.dumps({**self.kept_ports(), name: port}, indent=1) + "\n")

    @contextmanager
    def locked(self) -> Iterator[IO[str]]:
        """Hold the directory for one supervisor; yields the open lock file, which a watcher may keep too.

        Raises `CannotRun` when another supervisor runs here. When that one was killed and its servers are still
        ending, waits for them, at most `AFTERMATH` seconds.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a+", encoding="utf-8") as file:
            self._acquire(file)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield file

    def _acquire(self, file: IO[str]) -> None:
        deadline = time.monotonic() + AFTERMATH
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = int(file.read().strip() or 0)
                if processes.is_alive(holder) or time.monotonic() > deadline:
                    raise CannotRun(f"Rollcall already runs here (pid {holder}), stop it first.") from None
                if not told:
                    print("The previous run was killed; waiting for its servers to end ...", file=sys.stderr)
                    told = True
                time.sleep(0.2)
            else:
                return


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
