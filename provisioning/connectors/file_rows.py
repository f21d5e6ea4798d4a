"""What one uploaded file says, row by row: CSV (RFC 4180) of accounts, or a SCIM document on each line (NDJSON).

A file is read as a stream, and no row of it may be longer than a bound: whatever its size, a row is all that is held.
The form of the file is judged here, and it is refused as a whole, with the line that is wrong. What a row says of its
resource is not: that is judged when it is read, one resource at a time, as it is for every other system.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from io import TextIOWrapper
from typing import IO, Any, Final

from provisioning.connectors.addresses import EgressError
from provisioning.connectors.contract import Kind
from provisioning.connectors.readings import BadAnswer, attribute, strict_json

COLUMNS: Final = ("id", "userName", "active", "displayName", "externalId")
REQUIRED: Final = ("id", "userName", "active")
LONGEST_LINE = 4 * 1024 * 1024
"""Characters of one line: a group names all of its members in one."""
LONGEST_ID = 400
_USER = "urn:ietf:params:scim:schemas:core:2.0:user"
_GROUP = "urn:ietf:params:scim:schemas:core:2.0:group"
_KINDS: Final[Mapping[str, Kind]] = {_USER: "User", _GROUP: "Group"}


class Form(StrEnum):
    """How a file is written."""

    CSV = "csv"
    NDJSON = "ndjson"


class BadFile(EgressError):
    """The file is not of the form that it should have; the reason names its line, and no value of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One resource of a file, as a SCIM document in JSON."""

    kind: Kind
    id: str
    text: str


def rows(stream: IO[bytes], *, form: Form) -> Iterator[Row]:
    """The resources of a file from its beginning on, in its own order. Raises `BadFile`. The stream stays open."""
    text = TextIOWrapper(stream, encoding="utf-8-sig", errors="strict", newline="")
    lines = _Lines(text)
    try:
        yield from _of_csv(lines) if form is Form.CSV else _of_ndjson(lines)
    except UnicodeDecodeError:
        raise BadFile(f"After line {lines.number} the file is not UTF-8.") from None
    finally:
        text.detach()


class _Lines:
    """The lines of a text with their numbers, none longer than the bound."""

    def __init__(self, text: TextIOWrapper) -> None:
        self.number = 0
        self._text = text

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(LONGEST_LINE + 1):
            self.number += 1
            if len(line) > LONGEST_LINE:
                raise BadFile(f"Line {self.number} is longer than {LONGEST_LINE:,} characters.")
            if "\0" in line:
                raise BadFile(f"Line {self.number} has a NUL character.")
            yield line


def _of_csv(lines: _Lines) -> Iterator[Row]:
    reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, None)
        columns = _columns(header)
        for cells in reader:
            if len(cells) != len(columns):
                raise BadFile(f"Line {lines.number} has {len(cells)} cells, and the header has {len(columns)}.")
            # An empty cell says nothing, as an attribute that is not there.
            document: dict[str, Any] = {name: cell for name, cell in zip(columns, cells, strict=True) if cell}
            yield _row("User", document, number=lines.number)
    except csv.Error as error:
        # Its words name characters and limits, no values.
        raise BadFile(f"Line {lines.number} is not CSV: {error}.") from None


def _columns(header: list[str] | None) -> list[str]:
    if header is None:
        raise BadFile("The file is empty: even without accounts it has a header.")
    unknown = [name for name in header if name not in COLUMNS]
    missing = [name for name in REQUIRED if name not in header]
    if unknown:
        # What stands in a first line may be a person's data where the header was left out.
        places = ", ".join(str(header.index(name) + 1) for name in unknown)
        raise BadFile(f"Column {places} of the header is not known; there are: {', '.join(COLUMNS)}.")
    if missing:
        raise BadFile(f"The header lacks {', '.join(missing)}.")
    if len(set(header)) != len(header):
        raise BadFile("The header names a column twice.")
    return header


def _of_ndjson(lines: _Lines) -> Iterator[Row]:
    for line in lines:
        if not line.strip():
            raise BadFile(f"Line {lines.number} is empty.")
        try:
            document = strict_json(line)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise BadFile(f"Line {lines.number} is not a JSON object.")
        document = {name: value for name, value in document.items() if name.casefold() != "password"}
        yield _row(_kind(document, number=lines.number), document, number=lines.number)


def _kind(document: Mapping[str, Any], *, number: int) -> Kind:
    """Whether it is a User or a Group, by its `schemas` (RFC 7643, 3)."""
    schemas = _attribute(document, "schemas", number=number)
    named = [one.casefold() for one in schemas if isinstance(one, str)] if isinstance(schemas, list) else []
    kinds = {_KINDS[one] for one in named if one in _KINDS}
    if len(kinds) != 1:
        raise BadFile(f"Line {number} does not say in its schemas whether it is a User or a Group.")
    return kinds.pop()


def _row(kind: Kind, document: Mapping[str, Any], *, number: int) -> Row:
    found = _attribute(document, "id", number=number)
    if not isinstance(found, str) or not found:
        raise BadFile(f"Line {number} has no id that is a string.")
    if len(found) > LONGEST_ID:
        raise BadFile(f"Line {number} has an id of more than {LONGEST_ID} characters.")
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (ValueError, RecursionError):
        raise BadFile(f"Line {number} holds a number or a text that can't be kept.") from None
    return Row(kind, found, text)


def _attribute(document: Mapping[str, Any], name: str, *, number: int) -> Any:
    try:
        return attribute(document, name)
    except BadAnswer:
        raise BadFile(f"Line {number} has {name} twice.") from None
