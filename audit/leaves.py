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
from collections import defaultdict
from dataclasses import dataclass, field
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
SEND = {"bigint": "int8send", "uuid": "uuid_send"}
_FORMS = {
    "text": "{}::text",
    "instant": """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    "hex": "encode({}, 'hex')",
    "uuid": "{}::text",
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


def _cell(name: str, value: str, form: str) -> str:
    """`name:bytes:text`, or nothing. The length of a uuid is known: half of all columns are some."""
    return f"'{name}:36:' || {value}" if form == "uuid" else f"'{name}:' || octet_length({value}) || ':' || {value}"


@dataclass(frozen=True)
class Reach:
    """The causes of a batch and the entries of the journal that name them, each with the place of its seal.

    Between which of them the rows lie is said as plain values in a statement: they show the planner how little of a large
    table it is.
    """

    batch: Batch
    causes: dict[int, int]
    entries: dict[bytes, int]
    # Of the batch before it: whoever looks at everything leaves nothing out between two of them.
    after_cause: int | None = None
    after_entry: bytes | None = None

    def owners(self, model: type[models.Model]) -> tuple[str, dict[Any, int]]:
        """What a row of this table belongs to, as `COPY` writes it, and the places of all of those."""
        if model is JournalSubject:
            return "uuid_send(r.entry_id)", self.entries
        return f"r.{cause_column(model)}", self.causes

    def span(self, model: type[models.Model]) -> tuple[Any, Any]:
        """The first and the last that rows of a table can belong to. PostgreSQL has no min() of a uuid before 18."""
        _, places = self.owners(model)
        before = self.after_entry if model is JournalSubject else self.after_cause
        first, last = min(places), max(places)
        return (first if before is None else min(first, before)), last

    def between(self, model: type[models.Model]) -> str:
        """Where rows `r` of a table are to be looked for."""
        _, places = self.owners(model)
        if not places:
            return "false"
        if model is JournalSubject:
            first, last = (UUID(bytes=one) for one in self.span(model))
            return f"r.entry_id BETWEEN '{first}' AND '{last}'"
        first, last = self.span(model)
        return f"r.{cause_column(model)} BETWEEN {first} AND {last}"

    @property
    def ends(self) -> tuple[int | None, bytes | None]:
        """The last cause and the last entry up to which everything was looked at."""
        causes = [one for one in (self.after_cause, *self.causes) if one is not None]
        entries = [one for one in (self.after_entry, *self.entries) if one is not None]
        return max(causes, default=None), max(entries, default=None)

    def joined(self, model: type[models.Model]) -> tuple[str, str]:
        """How the database itself finds them from the causes `c`: further CTEs, and what joins `r` to it."""
        if model is JournalSubject:
            entries = (
                "e AS MATERIALIZED (SELECT r.id, c.place FROM audit_journalentry r"  # noqa: S608  numbers
                f" JOIN c ON c.id = r.cause_id AND {self.between(JournalEntry)})"
            )
            return f", {entries}", f"JOIN e AS c ON c.id = r.entry_id AND {self.between(model)}"
        return "", f"JOIN c ON c.id = r.{cause_column(model)} AND {self.between(model)}"


def cause_column(model: type[models.Model]) -> str:
    """Where a row of a table names its cause, if it does that itself."""
    return "id" if model is Cause else "cause_id"


def reach_of(batch: Batch, *, before: Reach | None = None) -> Reach:
    """Ask for it. For the rest of the transaction there is memory for a batch, and no compiler for what runs once.

    With the one `before` it, rows between the two are looked at as well.
    """
    with_, values = batch.causes
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
        cursor.execute(f"WITH {with_} SELECT id, place FROM c", values)  # noqa: S608  two words of ours
        reach = Reach(batch, dict(cursor.fetchall()), {}, *(before.ends if before is not None else ()))
        between = reach.between(JournalEntry)
        cursor.execute(f"SELECT uuid_send(r.id), r.cause_id FROM audit_journalentry r WHERE {between}")  # noqa: S608  numbers
        reach.entries.update((entry, reach.causes[cause]) for entry, cause in cursor if cause in reach.causes)
    return reach


def texts_of(layout: Layout) -> tuple[str, list[str], list[str]]:
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


def digests(
    model: type[models.Model], layout: Layout, reach: Reach, *, unknown: set[Any] | None = None
) -> dict[int, bytes]:
    """Keys and leaves of a table's rows in the order of the keys, for each place of the batch that has any.

    The database writes the texts and the digests are made here, while it writes the next: PostgreSQL's own sha256 is many
    times slower where it was built without OpenSSL. COPY, because it goes on while we hash, where a cursor waits to be
    asked for more. Whose a row is, is looked up here too: for the database it would be a join for every table. Nothing
    but leaves is held in memory. Into `unknown` goes what rows in between belong to that is not of the batch.
    """
    owner, places = reach.owners(model)
    if not places:
        return {}
    listed, open_cells, personal_cells = texts_of(layout)
    table, key = connection.ops.quote_name(layout.table), connection.ops.quote_name(layout.key)
    statement = (
        f"COPY (SELECT owner, {SEND[layout.kind]}(k), s || {lines_of(personal_cells)}, {lines_of(open_cells)}"  # noqa: S608  sound names
        f" FROM (SELECT {owner} AS owner, r.{key} AS k, coalesce(r.salt::text, '') AS s, {listed}"
        f" FROM {table} r WHERE {reach.between(model)} OFFSET 0) x) TO STDOUT (FORMAT binary)"
    )
    head = b"\x00" + layout.table.encode() + b"\n"
    found: defaultdict[int, list[bytes]] = defaultdict(list)
    strangers = set() if unknown is None else unknown
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["bytea" if model is JournalSubject else "int8", "bytea", "bytea", "bytea"])
        for of, row, hidden, seen in copy.rows():
            place = places.get(of)
            if place is None:
                strangers.add(of)
            else:
                leaf = sha256(head + seen + sha256(hidden).digest()).digest()
                found[place].append(row + leaf)
    return {place: b"".join(sorted(one)) for place, one in found.items()}


def lines_of(cells: list[str]) -> str:
    """The cells that have a value, each with a newline: the last, empty one asks for that of the one before it."""
    return f"concat_ws(chr(10), {', '.join(cells)}, '')" if cells else "''::text"


def texts(model: type[models.Model], layout: Layout, reach: Reach) -> tuple[str, Sequence[Any]]:
    """The statement that lists place, key, salt, texts (as JSON) and the digest of what was erased of a table's rows.

    In the order of the leaves.
    """
    listed, _, _ = texts_of(layout)
    pairs = ", ".join(f"'{name}', x{place}" for place, (name, _) in enumerate((*layout.open, *layout.personal)))
    with_, rows, values = _source(model, reach, listed)
    statement = (
        f"{with_} SELECT place, {SEND[layout.kind]}(k), s, json_strip_nulls(json_build_object({pairs}))::text,"  # noqa: S608  sound names
        f" CASE WHEN s IS NULL THEN (SELECT v.digest FROM {ErasedValue._meta.db_table} v"
        f" WHERE v.table_name = '{layout.table}' AND v.row_key = k::text) END FROM {rows} ORDER BY 1, 2"
    )
    return statement, values
