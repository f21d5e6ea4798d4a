"""Which columns of a table a seal hashes, and how each is written: what seals say of themselves in their shape.

The text of a value is what PostgreSQL writes for it; what settings of a session could change has a form of its own, or is
fixed for the statement (`audit.leaves.fix_texts`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.db import connection, models

from audit.grants import APPEND_ONLY
from audit.models import Cause, JournalSubject, is_history, personal_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DIGEST = 32
KEY_SIZES = {"bigint": 8, "uuid": 16}
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
CELLS, LINES = 1, 2
# How a column of each form is written, by format. What a cast would only repeat is left as it is: a cast costs.
_FORMS = {
    CELLS: {
        "text": "{}::text",
        "instant": """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
        "hex": "encode({}, 'hex')",
        "uuid": "{}::text",
    },
    LINES: {"text": "{}", "word": "{}::text", "instant": "{}", "hex": "{}", "uuid": "{}"},
}
# What else than UTF-8 stands in a text that COPY writes, and what is meant (PostgreSQL's manual, COPY, text format).
_ESCAPES = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_ESCAPING = str.maketrans(_ESCAPES)
_ESCAPED = re.compile(rb"\\(.)")
_MEANT = {text[1].encode(): one.encode() for one, text in _ESCAPES.items()}
_NONE = b"\\N"
# How the beginning of a column's type says in which form it is written. Others have none yet: their text depends on the
# settings of whoever asks.
_TYPES = {
    "bigint": "text",
    "boolean": "word",
    "bytea": "hex",
    "integer": "text",
    "jsonb": "text",
    "smallint": "text",
    "text": "text",
    "timestamp with time zone": "instant",
    "uuid": "uuid",
    "varchar": "text",
}


class CantSeal(TypeError):
    """A column of a kind whose text nobody has fixed."""


@dataclass(frozen=True)
class Layout:
    """Which columns of a table are hashed, and how: what a seal says of itself, so that it can be verified later."""

    table: str
    key: str
    kind: str
    open: tuple[tuple[str, str], ...]
    personal: tuple[tuple[str, str], ...]
    format: int = LINES

    @property
    def is_sound(self) -> bool:
        """Whether every word of it is the name of a table or column, or one of ours."""
        columns = (*self.open, *self.personal)
        names = [self.table, self.key, *(name for name, _ in columns)]
        return (
            self.kind in KEY_SIZES
            and self.format in _FORMS
            and all(_NAME.fullmatch(str(name)) for name in names)
            and all(form in _FORMS[self.format] for _, form in columns)
        )

    def described(self, rows: int) -> dict[str, Any]:
        """As it stands in a seal's shape."""
        key = {"column": self.key, "kind": self.kind}
        said = {"key": key, "open": dict(self.open), "personal": dict(self.personal), "rows": rows}
        return said if self.format == CELLS else {**said, "format": self.format}

    def selected(self, columns: tuple[tuple[str, str], ...]) -> list[str]:
        """How a statement writes these columns of a row `r`, each as its leaf has it."""
        forms = _FORMS[self.format]
        return [forms[form].format(f"r.{connection.ops.quote_name(name)}") for name, form in columns]

    def written(self, columns: tuple[tuple[str, str], ...], texts: Sequence[str | None]) -> bytes:
        """What is hashed of these columns, from their texts."""
        if self.format == LINES:
            return "\t".join(r"\N" if text is None else text.translate(_ESCAPING) for text in texts).encode()
        found = [(name, text.encode()) for (name, _), text in zip(columns, texts, strict=True) if text is not None]
        return b"".join(b"%s:%d:%s\n" % (name.encode(), len(text), text) for name, text in found)


@dataclass
class Shape:
    """The tables of one seal in the order of its leaves: each with its layout and its number of rows."""

    tables: dict[str, tuple[Layout, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        said = {name: layout.described(rows) for name, (layout, rows) in sorted(self.tables.items())}
        return json.dumps(said, sort_keys=True, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Shape:
        """What a seal said. Raises `ValueError` for what no seal says: its words become names in statements."""
        try:
            said = json.loads(text)
            tables = {
                table: (
                    Layout(
                        table, one["key"]["column"], one["key"]["kind"],
                        tuple(sorted(one["open"].items())), tuple(sorted(one["personal"].items())),
                        int(one.get("format", CELLS)),
                    ),
                    int(one["rows"]),
                )
                for table, one in sorted(said.items())
            }  # fmt: skip
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("no shape of a seal") from error
        if not all(layout.is_sound and rows >= 0 for layout, rows in tables.values()):
            raise ValueError("no shape of a seal")
        return cls(tables)

    @property
    def size(self) -> int:
        """How many bytes the list of leaves must have."""
        return sum((KEY_SIZES[layout.kind] + DIGEST) * rows for layout, rows in self.tables.values())

    def parts(self, leaves: bytes) -> dict[str, bytes]:
        """The list of leaves, cut into tables. It must have the right size."""
        found, at = {}, 0
        for table, (layout, rows) in self.tables.items():
            length = (KEY_SIZES[layout.kind] + DIGEST) * rows
            found[table] = leaves[at : at + length]
            at += length
        return found


def entries(part: bytes, kind: str) -> Iterator[tuple[bytes, bytes]]:
    """Key and digest of each row of one table's part."""
    key = KEY_SIZES[kind]
    for at in range(0, len(part), key + DIGEST):
        yield part[at : at + key], part[at + key : at + key + DIGEST]


def leaf_digests(part: bytes, kind: str) -> list[bytes]:
    """The digest of each row of one table's part."""
    key = KEY_SIZES[kind]
    return [part[at : at + DIGEST] for at in range(key, len(part), key + DIGEST)]


def key_value(key: bytes, kind: str) -> UUID | int:
    """A row's key as a column has it."""
    return UUID(bytes=key) if kind == "uuid" else int.from_bytes(key, "big", signed=True)


def key_text(key: bytes, kind: str) -> str:
    """A row's key as people write it."""
    return str(key_value(key, kind))


@cache
def sealed_models() -> tuple[type[models.Model], ...]:
    """Every table that is sealed: the causes, and all evidence and history that names its cause."""
    found = [model for model in apps.get_models() if _is_sealed(model)]
    return tuple(sorted(found, key=lambda model: model._meta.db_table))


def _is_sealed(model: type[models.Model]) -> bool:
    if is_history(model) or model in {Cause, JournalSubject}:
        return True
    is_evidence = getattr(model, "rights", None) in APPEND_ONLY
    return is_evidence and any(f.column == "cause_id" for f in model._meta.local_fields)


def form_of(db_type: str) -> str:
    """In which form a column of this type is written. Raises `CantSeal`."""
    is_list = db_type.endswith("[]")
    form = _TYPES.get(db_type.removesuffix("[]").partition("(")[0])
    if form is None or (is_list and form not in {"text", "uuid"}):
        raise CantSeal(f"a column of the type {db_type} has no fixed text: give it a form in audit.leaves")
    return "text" if is_list else form


@cache
def layout_of(model: type[models.Model]) -> Layout:
    """The layout of a table as it is today."""
    personal = personal_columns(model)
    fields = [f for f in model._meta.local_concrete_fields if f.column != "salt"]
    forms = sorted((str(f.column), form_of(str(f.db_type(connection)))) for f in fields)
    key = model._meta.pk
    kind = "uuid" if isinstance(key, models.UUIDField) else "bigint"
    return Layout(
        table=model._meta.db_table,
        key=str(key.column),
        kind=kind,
        open=tuple(one for one in forms if one[0] not in personal),
        personal=tuple(one for one in forms if one[0] in personal),
    )


def layouts() -> dict[str, Layout]:
    """The layouts of today, by table and in the order of their names."""
    return {model._meta.db_table: layout_of(model) for model in sealed_models()}


def meant(text: bytes) -> str | None:
    """The text of a value that COPY wrote."""
    return None if text == _NONE else _ESCAPED.sub(lambda found: _MEANT[found[1]], text).decode()
