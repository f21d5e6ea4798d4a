"""Small files that survive a crash: written beside, flushed, renamed; readable by their owner only."""

import json
import os
import threading
from pathlib import Path
from typing import Any


class BadFileError(Exception):
    """A file of the demo does not hold what it should; the message names it and says what to do."""


def flush_folder(folder: Path) -> None:
    """Make a rename in this folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Replace the file, whole or not at all. Its folder is made when it is missing; mode 0600."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replace the file by this value as JSON, whole or not at all; mode 0600."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file, or None where there is no file; a BadFileError where it holds anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BadFileError(f"{path} is not JSON ({error}); put it right or delete it") from error
    if not isinstance(value, dict):
        raise BadFileError(f"{path} must hold a JSON object; put it right or delete it")
    return value


class WatchedObject:
    """A JSON object in a file, read again when the file changes. A missing file is an empty object.

    A file that can no longer be read keeps the last good value: a slip of the hand stops no server.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._value: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """What the file holds now."""
        with self._lock:
            seen = self._stamp()
            if seen != self._seen:
                self._seen = seen
                try:
                    self._value = read_object(self._path) or {}
                except BadFileError as error:
                    print(f"demo directory: {error}; going on with what it held before", flush=True)
            return self._value

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
