"""What a supervisor's children say: each line to the terminal with the child's name before it, and to the child's log."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_COLOURS = ("36", "33", "32", "35", "34", "31")
_WIDTH = 9
_LONGEST_LINE = 64 * 1024
_LARGEST_LOG = 5 * 1024 * 1024


class Console:
    """The terminal, shared by all children; when it goes away (closed window, ended pipe) the children live on."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._descriptor = None if quiet else 1
        self._colourful = not quiet and sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._colours: dict[str, str] = {}

    def write(self, name: str, line: bytes) -> None:
        """Show one line of the child `name`."""
        if self._descriptor is None:
            return
        label = f"{name:<{_WIDTH}}|"
        if self._colourful:
            colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            label = f"\x1b[{colour}m{label}\x1b[0m"
        self._put(label.encode() + b" " + line + b"\n")

    def say(self, text: str) -> None:
        """Show a text of the supervisor's own."""
        self._put(text.encode() + b"\n")

    def _put(self, data: bytes) -> None:
        while self._descriptor is not None and data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError:
                self._descriptor = None  # nobody reads any more; the logs still do


class Log:
    """The log file of one child, readable by its owner only; a large one is set aside at the start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and path.stat().st_size > _LARGEST_LOG:
            path.replace(path.with_name(f"{path.name}.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "ab", buffering=0)

    def write(self, line: bytes) -> None:
        """Append one line."""
        self._file.write(line + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LineReader:
    """Cuts what arrives on a non-blocking pipe into lines."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._rest = b""
        self.ended = False

    def lines(self) -> list[bytes]:
        """Read once; return the lines that are complete now, a very long one in pieces, and at the end what is left."""
        return self._cut(self._read() or b"")

    def last_lines(self) -> list[bytes]:
        """Read all that is there; return it, the last line complete or not."""
        found = []
        while data := self._read():
            found += self._cut(data)
        self.ended = True
        return found + self._cut(b"")

    def _read(self) -> bytes | None:
        try:
            data = os.read(self._descriptor, _LONGEST_LINE)
        except BlockingIOError:
            return None
        self.ended = not data
        return data

    def _cut(self, data: bytes) -> list[bytes]:
        *complete, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (self.ended or len(self._rest) >= _LONGEST_LINE):
            complete.append(self._rest)
            self._rest = b""
        return [line.rstrip(b"\r") for line in complete]
