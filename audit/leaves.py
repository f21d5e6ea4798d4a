"""What is sealed of a row, computed by the database for many rows at once.

The leaf of a row is

    sha256(0x00 || table || "\\n" || cells of the open columns || sha256(salt || cells of the personal columns))

where a cell is `name:bytes:text\\n`, columns stand in the order of their names, `bytes` is the length of the text in
UTF-8, and a column without a value has no cell: a nullable column that a later migration adds changes no old leaf. The text
is what PostgreSQL writes for the value, with two exceptions that settings of a session could change: an instant is written
in UTC with microseconds, bytes are hexadecimal. `audit.standalone.verify_export` says the same once more, by itself.

Personal columns are those that a model names as `personal`, and the reason in its history. They stand behind a digest of
their own, so that they can be erased while the leaf still proves everything else.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.contrib.postgres.indexes import BrinIndex
from django.db import connection, models

from audit.guards import is_history
from audit.models import Cause, JournalEntry, JournalSubject, Rights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# The number of no transaction: above all of them.
NEVER = 2**63 - 1
DIGEST = 32
KEY_SIZES = {"bigint": 8, "uuid": 16}
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SEND = {"bigint": "int8send", "uuid": "uuid_send"}
_FORMS = {
    "text": "{}::text",
    "instant": """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "hex": "encode({}, 'hex')",
}
# How the beginning of a column's type says in which form it is written. Others have none yet: their text depends on the
# settings of whoever asks.
_TYPES = {
    "bigint": "text",
    "boolean": "text",
    "bytea": "hex",
    "integer": "text",
    "jsonb": "text",
    "smallint": "text",
    "text": "text",
    "timestamp with time zone": "instant",
    "uuid": "text",
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

    @property
    def is_sound(self) -> bool:
        """Whether every word of it is the name of a table or column, or one of ours."""
        columns = (*self.open, *self.personal)
        names = [self.table, self.key, *(name for name, _ in columns)]
        return (
            self.kind in KEY_SIZES
            and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
            and all(form in _FORMS for _, form in columns)
        )

    def described(self, rows: int) -> dict[str, Any]:
        """As it stands in a seal's shape."""
        key = {"column": self.key, "kind": self.kind}
        return {"key": key, "open": dict(self.open), "personal": dict(self.personal), "rows": rows}


@dataclass(frozen=True)
class Batch:
    """Seals that follow each other, or one that is to be made: their causes, divided by the transactions' numbers.

    The first begins with the first of `starts`, each ends where the next begins, the last before `end`. Causes count
    whose id is above `after` and at most `upto`.
    """

    tenant: UUID | None
    starts: tuple[int, ...]
    end: int
    after: int = 0
    upto: int = NEVER

    @property
    def causes(self) -> tuple[str, list[Any]]:
        """The CTE `c` of the causes' ids, each with the place of its seal from 1 on, and its values."""
        whose, values = ("tenant_id = %s", [self.tenant]) if self.tenant else ("tenant_id IS NULL", [])
        text = (
            "c AS MATERIALIZED (SELECT id, width_bucket(xid, %s::bigint[]) AS place FROM audit_cause"  # noqa: S608  two words of ours
            f" WHERE {whose} AND id > %s AND id <= %s AND xid >= %s AND xid < %s)"
        )
        return text, [list(self.starts), *values, self.after, self.upto, self.starts[0], self.end]


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


def key_text(key: bytes, kind: str) -> str:
    """A row's key as people write it."""
    return str(UUID(bytes=key)) if kind == "uuid" else str(int.from_bytes(key, "big", signed=True))


@cache
def sealed_models() -> tuple[type[models.Model], ...]:
    """Every table that is sealed: the causes, and all evidence and history that names its cause."""
    found = [model for model in apps.get_models() if _is_sealed(model)]
    return tuple(sorted(found, key=lambda model: model._meta.db_table))


def _is_sealed(model: type[models.Model]) -> bool:
    if is_history(model) or model in {Cause, JournalSubject}:
        return True
    is_evidence = getattr(model, "rights", None) == Rights.EVIDENCE
    return is_evidence and any(f.column == "cause_id" for f in model._meta.local_fields)


def personal_columns(model: type[models.Model]) -> set[str]:
    """The columns behind the salted digest. Raises `FieldDoesNotExist` for a name that is no field."""
    named: Any = getattr(model, "instance_type", model)
    columns = {str(named._meta.get_field(name).column) for name in getattr(named, "personal", ())}
    kept = {f.column for f in model._meta.local_fields}
    return (columns | ({"history_change_reason"} if is_history(model) else set())) & kept


def form_of(db_type: str) -> str:
    """In which form a column of this type is written. Raises `CantSeal`."""
    plain = db_type.removesuffix("[]").partition("(")[0]
    form = _TYPES.get(plain)
    if form is None or (db_type.endswith("[]") and form != "text"):
        raise CantSeal(f"a column of the type {db_type} has no fixed text: give it a form in audit.leaves")
    return form


@cache
def layout_of(model: type[models.Model]) -> Layout:
    """The layout of a table as it is today."""
    personal = personal_columns(model)
    fields = sorted((f for f in model._meta.local_concrete_fields if f.column != "salt"), key=lambda f: f.column)
    forms = [(str(f.column), form_of(str(f.db_type(connection)))) for f in fields]
    key = model._meta.pk
    kind = "uuid" if isinstance(key, models.UUIDField) else "bigint"
    return Layout(
        table=model._meta.db_table,
        key=key.column,
        kind=kind,
        open=tuple(one for one in forms if one[0] not in personal),
        personal=tuple(one for one in forms if one[0] in personal),
    )


def layouts() -> dict[str, Layout]:
    """The layouts of today, by table and in the order of their names."""
    return {model._meta.db_table: layout_of(model) for model in sealed_models()}


def _cell(name: str, value: str) -> str:
    return f"'{name}:' || octet_length({value}) || ':' || {value} || chr(10)"


def _joined(model: type[models.Model]) -> tuple[str, str]:
    """How rows of a table are found from the causes `c`: further CTEs, and what joins `r` to it."""
    if model is Cause:
        return "", "JOIN c ON c.id = r.id"
    if model is JournalSubject:
        entries_of = ", e AS MATERIALIZED (SELECT j.id, c.place FROM audit_journalentry j JOIN c ON c.id = j.cause_id)"
        # There is no min() of a uuid before PostgreSQL 18.
        between = (
            "r.entry_id >= (SELECT id FROM e ORDER BY id LIMIT 1)"
            " AND r.entry_id <= (SELECT id FROM e ORDER BY id DESC LIMIT 1)"
        )
        return entries_of, f"JOIN e AS c ON c.id = r.entry_id AND {between}"
    within = ""
    if any(isinstance(index, BrinIndex) for index in model._meta.indexes):
        # Its index knows ranges alone.
        within = " AND r.cause_id >= (SELECT min(id) FROM c) AND r.cause_id <= (SELECT max(id) FROM c)"
    return "", f"JOIN c ON c.id = r.cause_id{within}"


def _texts(layout: Layout) -> tuple[str, list[str], list[str]]:
    """The inner select list, which writes each text once, and the cells of open and personal columns."""
    listed, cells = [], ([], [])  # type: tuple[list[str], tuple[list[str], list[str]]]
    for kind, columns in enumerate((layout.open, layout.personal)):
        for name, form in columns:
            alias = f"x{len(listed)}"
            quoted = connection.ops.quote_name(name)
            listed.append(f"{_FORMS[form].format(f'r.{quoted}')} AS {alias}")
            cells[kind].append(_cell(name, alias))
    return ", ".join(listed), *cells


def _source(model: type[models.Model], batch: Batch, listed: str) -> tuple[str, str, list[Any]]:
    """The statement's CTEs, the rows with their texts, and the values."""
    causes, values = batch.causes
    more, join = _joined(model)
    key = connection.ops.quote_name(model._meta.pk.column)
    # OFFSET 0: each text is written once, however often it is named outside.
    rows = (
        f"(SELECT r.{key} AS k, c.place, r.salt::text AS s, {listed}"  # noqa: S608  sound names (`Layout.is_sound`)
        f" FROM {connection.ops.quote_name(model._meta.db_table)} r {join} OFFSET 0) x"
    )
    return f"WITH {causes}{more}", rows, values


def digests(model: type[models.Model], layout: Layout, batch: Batch) -> dict[int, bytes]:
    """Keys and leaves of a table's rows, for each place of the batch that has any."""
    listed, open_cells, personal_cells = _texts(layout)
    head = f"'{layout.table}' || chr(10)"
    personal = f"sha256(convert_to(concat({', '.join(['s', *personal_cells])}), 'UTF8'))"
    leaf = f"sha256('\\x00'::bytea || convert_to(concat({', '.join([head, *open_cells])}), 'UTF8') || {personal})"
    with_, rows, values = _source(model, batch, listed)
    statement = (
        f"{with_} SELECT place, string_agg(key || leaf, ''::bytea ORDER BY key) FROM ("  # noqa: S608  sound names
        f"SELECT place, {_SEND[layout.kind]}(k) AS key, {leaf} AS leaf FROM {rows}) y GROUP BY place"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return {place: bytes(found) for place, found in cursor.fetchall()}


def texts(model: type[models.Model], layout: Layout, batch: Batch) -> tuple[str, Sequence[Any]]:
    """The statement that lists place, key, salt and texts (as JSON) of a table's rows, in the order of the leaves."""
    listed, _, _ = _texts(layout)
    pairs = ", ".join(f"'{name}', x{place}" for place, (name, _) in enumerate((*layout.open, *layout.personal)))
    with_, rows, values = _source(model, batch, listed)
    statement = (
        f"{with_} SELECT place, {_SEND[layout.kind]}(k), s, json_strip_nulls(json_build_object({pairs}))::text"  # noqa: S608  sound names
        f" FROM {rows} ORDER BY 1, 2"
    )
    return statement, values


def strays(model: type[models.Model]) -> list[str]:
    """Keys of rows that name no cause that there is: no verb can have written them. At most 1,000."""
    key = connection.ops.quote_name(model._meta.pk.column)
    table = connection.ops.quote_name(model._meta.db_table)
    target, column = (JournalEntry, "entry_id") if model is JournalSubject else (Cause, "cause_id")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT r.{key} FROM {table} r WHERE NOT EXISTS"  # noqa: S608  names of our models
            f" (SELECT FROM {target._meta.db_table} t WHERE t.id = r.{column}) ORDER BY 1 LIMIT 1000"
        )
        return [str(found) for (found,) in cursor.fetchall()]
