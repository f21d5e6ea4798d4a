"""What is sealed of a row, for many rows at once.

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
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.db import connection, models

from audit.grants import APPEND_ONLY
from audit.models import Cause, ErasedValue, JournalEntry, JournalSubject, is_history, personal_columns

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
    "uuid": "{}::text",
}
_MANY, _AT_ONCE = 1_000, 2_000
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

    @property
    def is_sound(self) -> bool:
        """Whether every word of it is the name of a table or column, or one of ours."""
        columns = (*self.open, *self.personal)
        names = [self.table, self.key, *(name for name, _ in columns)]
        return (
            self.kind in KEY_SIZES
            and all(_NAME.fullmatch(str(name)) for name in names)
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


def _cell(name: str, value: str, form: str) -> str:
    """`name:bytes:text`, or nothing. The length of a uuid is known: half of all columns are some."""
    return f"'{name}:36:' || {value}" if form == "uuid" else f"'{name}:' || octet_length({value}) || ':' || {value}"


@dataclass(frozen=True)
class Reach:
    """Between which causes, and between which entries of the journal, the rows of a batch lie.

    As plain values in a statement they show the planner how little of a large table it is.
    """

    batch: Batch
    causes: tuple[int, int]
    entries: tuple[UUID, UUID]

    @property
    def is_wide(self) -> bool:
        """Whether there may be many rows."""
        return self.causes[1] - self.causes[0] > _MANY

    def joined(self, model: type[models.Model]) -> tuple[str, str]:
        """How rows of a table are found from the causes `c`: further CTEs, and what joins `r` to it."""
        if model is Cause:
            return "", "JOIN c ON c.id = r.id"
        if model is JournalSubject:
            between = f"r.entry_id BETWEEN '{self.entries[0]}' AND '{self.entries[1]}'"
            return f", {self.of_journal}", f"JOIN e AS c ON c.id = r.entry_id AND {between}"
        return "", f"JOIN c ON c.id = r.cause_id AND r.cause_id BETWEEN {self.causes[0]} AND {self.causes[1]}"

    @property
    def of_journal(self) -> str:
        """The CTE `e` of the journal's entries."""
        within = f"j.cause_id BETWEEN {self.causes[0]} AND {self.causes[1]}"
        return (
            "e AS MATERIALIZED (SELECT j.id, c.place FROM audit_journalentry j"  # noqa: S608  numbers
            f" JOIN c ON c.id = j.cause_id AND {within})"
        )


def reach_of(batch: Batch) -> Reach:
    """Ask for it. For the rest of the transaction there is memory for a batch, and no compiler for what runs once."""
    with_, values = batch.causes
    none = UUID(int=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
        span = "coalesce(min(id), 0), coalesce(max(id), 0)"
        cursor.execute(f"WITH {with_} SELECT {span} FROM c", values)  # noqa: S608  two words of ours
        reach = Reach(batch, cursor.fetchone(), (none, none))
        # There is no min() of a uuid before PostgreSQL 18.
        cursor.execute(
            f"WITH {with_}, {reach.of_journal} SELECT (SELECT id FROM e ORDER BY id LIMIT 1),"  # noqa: S608  the same
            " (SELECT id FROM e ORDER BY id DESC LIMIT 1)",
            values,
        )
        first, last = cursor.fetchone()
    return replace(reach, entries=(first or none, last or none))


def _texts(layout: Layout) -> tuple[str, list[str], list[str]]:
    """The inner select list, which writes each text once, and the cells of open and personal columns."""
    listed, cells = [], ([], [])  # type: tuple[list[str], tuple[list[str], list[str]]]
    for kind, columns in enumerate((layout.open, layout.personal)):
        for name, form in columns:
            alias = f"x{len(listed)}"
            quoted = connection.ops.quote_name(name)
            listed.append(f"{_FORMS[form].format(f'r.{quoted}')} AS {alias}")
            cells[kind].append(_cell(name, alias, form))
    return ", ".join(listed), *cells


def _source(model: type[models.Model], reach: Reach, listed: str) -> tuple[str, str, list[Any]]:
    """The statement's CTEs, the rows with their texts, and the values."""
    causes, values = reach.batch.causes
    more, join = reach.joined(model)
    key = connection.ops.quote_name(str(model._meta.pk.column))
    # OFFSET 0: each text is written once, however often it is named outside.
    rows = (
        f"(SELECT r.{key} AS k, c.place, r.salt::text AS s, {listed}"  # noqa: S608  sound names (`Layout.is_sound`)
        f" FROM {connection.ops.quote_name(model._meta.db_table)} r {join} OFFSET 0) x"
    )
    return f"WITH {causes}{more}", rows, values


def digests(model: type[models.Model], layout: Layout, reach: Reach) -> dict[int, bytes]:
    """Keys and leaves of a table's rows in the order of the keys, for each place of the batch that has any.

    The database writes the texts and the digests are made here, while it writes the next: PostgreSQL's own sha256 is many
    times slower where it was built without OpenSSL, and nothing but leaves is held in memory.
    """
    listed, open_cells, personal_cells = _texts(layout)
    with_, rows, values = _source(model, reach, listed)
    columns = f"{_SEND[layout.kind]}(k), s, {_lines(open_cells)}, {_lines(personal_cells)}"
    head = b"\x00" + layout.table.encode() + b"\n"
    found: dict[int, list[bytes]] = {}
    # Many rows are read piece by piece; for a few that would be three round trips instead of one.
    with connection.chunked_cursor() if reach.is_wide else connection.cursor() as cursor:
        cursor.itersize = _AT_ONCE  # type: ignore[attr-defined]  # psycopg has it
        cursor.execute(f"{with_} SELECT place, {columns} FROM {rows}", values)  # noqa: S608  sound names
        for place, key, salt, seen, hidden in cursor:
            personal = personal_digest(salt, hidden)
            found.setdefault(place, []).append(key + sha256(head + f"{seen}\n".encode() + personal).digest())
    return {place: b"".join(sorted(one)) for place, one in found.items()}


def _lines(cells: list[str]) -> str:
    """The cells that have a value, with a newline between them."""
    return f"concat_ws(chr(10), {', '.join(cells)})" if cells else "''::text"


def texts(model: type[models.Model], layout: Layout, reach: Reach) -> tuple[str, Sequence[Any]]:
    """The statement that lists place, key, salt, texts (as JSON) and the digest of what was erased of a table's rows.

    In the order of the leaves.
    """
    listed, _, _ = _texts(layout)
    pairs = ", ".join(f"'{name}', x{place}" for place, (name, _) in enumerate((*layout.open, *layout.personal)))
    with_, rows, values = _source(model, reach, listed)
    statement = (
        f"{with_} SELECT place, {_SEND[layout.kind]}(k), s, json_strip_nulls(json_build_object({pairs}))::text,"  # noqa: S608  sound names
        f" CASE WHEN s IS NULL THEN (SELECT v.digest FROM {ErasedValue._meta.db_table} v"
        f" WHERE v.table_name = '{layout.table}' AND v.row_key = k::text) END FROM {rows} ORDER BY 1, 2"
    )
    return statement, values


def strays(model: type[models.Model]) -> list[str]:
    """Keys of rows that name no cause that there is: no verb can have written them. At most 1,000."""
    key = connection.ops.quote_name(str(model._meta.pk.column))
    table = connection.ops.quote_name(model._meta.db_table)
    target, column = (JournalEntry, "entry_id") if model is JournalSubject else (Cause, "cause_id")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT r.{key} FROM {table} r WHERE NOT EXISTS"  # noqa: S608  names of our models
            f" (SELECT FROM {target._meta.db_table} t WHERE t.id = r.{column}) ORDER BY 1 LIMIT 1000"
        )
        return [str(found) for (found,) in cursor.fetchall()]


@dataclass(frozen=True)
class Row:
    """One row by its key, with the texts that its leaf hashes, and those of its personal columns one by one."""

    key: Any
    raw: bytes
    salt: str | None
    seen: str
    hidden: str
    personal: tuple[str | None, ...]


def read(model: type[models.Model], layout: Layout, keys: Sequence[Any]) -> Iterator[Row]:
    """These rows, as far as they are there."""
    listed, open_cells, personal_cells = _texts(layout)
    key = connection.ops.quote_name(str(model._meta.pk.column))
    single = ", ".join(f"x{len(layout.open) + at}" for at in range(len(layout.personal)))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT k, {_SEND[layout.kind]}(k), s, {_lines(open_cells)}, {_lines(personal_cells)},"  # noqa: S608  sound names
            f" ARRAY[{single}]::text[] FROM (SELECT r.{key} AS k, r.salt::text AS s, {listed}"
            f" FROM {connection.ops.quote_name(model._meta.db_table)} r WHERE r.{key} = ANY(%s) OFFSET 0) x",
            [list(keys)],
        )
        for k, raw, salt, seen, hidden, personal in cursor.fetchall():
            yield Row(k, bytes(raw), salt, seen, hidden, tuple(personal))


def personal_digest(salt: str | None, hidden: str) -> bytes:
    """What stands in a leaf for the personal columns."""
    return sha256(f"{salt or ''}{hidden}{hidden and chr(10)}".encode()).digest()


def leaf_of(layout: Layout, seen: str, personal: bytes) -> bytes:
    """The leaf of one row."""
    return sha256(b"\x00" + f"{layout.table}\n{seen}\n".encode() + personal).digest()
