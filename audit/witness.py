"""The witness: a file outside of the database, to which every seal's statement and signature are appended.

Whoever can rewrite the database, and has the key besides, still can't take a line out of a file that is kept elsewhere,
or by a system that only appends. Lines may come twice, and a line may be torn by a crash: both are mended by writing it
once more.
"""

import base64
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class NoWitness(RuntimeError):
    """The witness can't be written or read."""


@dataclass(frozen=True)
class Line:
    """What the witness keeps of one seal."""

    tenant: str | None
    number: int
    statement: str
    signature: bytes


def append(path: Path, lines: Iterable[Line]) -> None:
    """Append them and wait until they are on the disk. Raises `NoWitness`, also where only a part was written."""
    text = "".join(_written(line) for line in lines).encode("ascii")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                text = b"\n" + text  # somebody was killed in the middle of a line
            if os.write(descriptor, text) != len(text):
                raise NoWitness(f"{path} took only a part of what was written to it")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NoWitness(f"{path} can't be written: {error.strerror}") from error


def _written(line: Line) -> str:
    body = {"signature": base64.b64encode(line.signature).decode("ascii"), "statement": line.statement}
    return json.dumps(body, sort_keys=True) + "\n"


def read(path: Path, *, tenant: str | None) -> Iterator[Line]:
    """The whole lines about one tenant, in the order of the file. Raises `NoWitness` where it can't be read."""
    try:
        with path.open("rb") as file:
            for raw in file:
                line = _read(raw)
                if line is not None and line.tenant == tenant:
                    yield line
    except OSError as error:
        raise NoWitness(f"{path} can't be read: {error.strerror}") from error


def _read(raw: bytes) -> Line | None:
    """A line, or nothing where it is torn: what it should have said stands in a later one."""
    try:
        body: dict[str, Any] = json.loads(raw)
        said = json.loads(body["statement"])
        signature = base64.b64decode(body["signature"], validate=True)
        return Line(said["tenant"], int(said["number"]), body["statement"], signature)
    except (ValueError, KeyError, TypeError):
        return None
