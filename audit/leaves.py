"""What is sealed of a row, for many rows at once.

The leaf of a row is

    sha256(0x00 || table || "\\n" || line of the open columns || sha256(salt || line of the personal columns))

where a line is what `COPY` writes for the columns in the order of their names (PostgreSQL's manual, COPY, text format):
values divided by tabs, their backslashes and control characters escaped, `\\N` where there is none; without a newline. The
settings of a session that could change a text are fixed for that (`fix_texts`). A seal says which columns it hashed, so
what a later migration adds changes no old leaf. `audit.standalone.verify_export` says the same once more, by itself.

Seals of the first format wrote cells instead of lines: `name:bytes:text\\n` for each column with a value, `bytes` the
length in UTF-8, an instant with six digits and a Z, bytes without their prefix. They verify as they did.

Personal columns are those that a model names as `personal`, and the reason in its history. They stand behind a digest of
their own, so that they can be erased while the leaf still proves everything else.
"""

from __future__ import annotations

from binascii import unhexlify
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection

from audit.layouts import KEY_SIZES, LINES, meant
from audit.models import Cause, ErasedValue, JournalEntry, JournalSubject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db import models

    from audit.layouts import Layout

# The number of no transaction: above all of them.
NEVER = 2**63 - 1
# What settings of a session could change of a text.
_FIXED = "set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, MDY', true), set_config('bytea_output', 'hex', true)"
SEND = {"bigint": "int8send", "uuid": "uuid_send"}


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
        """Which column says what a row of this table belongs to, and the places of all of those."""
        if model is JournalSubject:
            return "r.entry_id", self.entries
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
    """Ask for it. With the one `before` it, rows between the two are looked at as well.

    For the rest of the transaction there is memory for a batch, no compiler for what runs once, and texts are as in leaves.
    """
    with_, values = batch.causes
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true), {_FIXED}")
        cursor.execute(f"WITH {with_} SELECT id, place FROM c", values)  # noqa: S608  two words of ours
        reach = Reach(batch, dict(cursor.fetchall()), {}, *(before.ends if before is not None else ()))
        between = reach.between(JournalEntry)
        cursor.execute(f"SELECT uuid_send(r.id), r.cause_id FROM audit_journalentry r WHERE {between}")  # noqa: S608  numbers
        reach.entries.update((entry, reach.causes[cause]) for entry, cause in cursor if cause in reach.causes)
    return reach


def fix_texts() -> None:
    """From here on to the end of the transaction, PostgreSQL writes values as leaves have them."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_FIXED}")


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
    columns = [*layout.selected(layout.personal), *layout.selected(layout.open)]
    table, key = connection.ops.quote_name(layout.table), connection.ops.quote_name(layout.key)
    statement = (
        f"COPY (SELECT {owner}, r.{key}, coalesce(r.salt::text, ''), {', '.join(columns)}"  # noqa: S608  sound names
        f" FROM {table} r WHERE {reach.between(model)}) TO STDOUT"
    )
    owner_of, raw_of = (_raw_uuid if model is JournalSubject else int), _RAW[layout.kind]
    halves, head = _halves(layout), b"\x00" + layout.table.encode() + b"\n"
    found: defaultdict[int, list[bytes]] = defaultdict(list)
    strangers = set() if unknown is None else unknown
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for line in copy:
            of, row, salt, rest = bytes(line[:-1]).split(b"\t", 3)
            place = places.get(owner_of(of))
            if place is None:
                strangers.add(owner_of(of))
                continue
            hidden, seen = halves(rest)
            leaf = sha256(head + seen + sha256(salt + hidden).digest()).digest()
            found[place].append(raw_of(row) + leaf)
    return {place: b"".join(sorted(one)) for place, one in found.items()}


def _raw_uuid(text: bytes) -> bytes:
    return unhexlify(text.replace(b"-", b""))


def _raw_number(text: bytes) -> bytes:
    return int(text).to_bytes(KEY_SIZES["bigint"], "big", signed=True)


_RAW: dict[str, Callable[[bytes], bytes]] = {"uuid": _raw_uuid, "bigint": _raw_number}


def _halves(layout: Layout) -> Callable[[bytes], tuple[bytes, bytes]]:
    """What divides a line of COPY into what is hashed of the personal columns, which come first, and of the open ones."""
    hidden = len(layout.personal)

    def lines(rest: bytes) -> tuple[bytes, bytes]:
        if not hidden:
            return b"", rest
        seen = rest.split(b"\t", hidden)[hidden]
        return rest[: len(rest) - len(seen) - 1], seen

    def cells(rest: bytes) -> tuple[bytes, bytes]:
        texts = [meant(text) for text in rest.split(b"\t")]
        return layout.written(layout.personal, texts[:hidden]), layout.written(layout.open, texts[hidden:])

    return lines if layout.format == LINES else cells


def texts(model: type[models.Model], layout: Layout, reach: Reach) -> tuple[str, Sequence[Any]]:
    """The statement that lists place, key, salt, texts (as JSON) and the digest of what was erased of a table's rows.

    In the order of the leaves, and to be asked in the transaction of the reach, which fixed how texts are written.
    """
    columns = (*layout.open, *layout.personal)
    # A value that is no text would be written as JSON's own: as a number, or with an instant's T.
    listed = ", ".join(f"({text})::text AS x{place}" for place, text in enumerate(layout.selected(columns)))
    pairs = ", ".join(f"'{name}', x{place}" for place, (name, _) in enumerate(columns))
    causes, values = reach.batch.causes
    more, join = reach.joined(model)
    table, key = connection.ops.quote_name(layout.table), connection.ops.quote_name(layout.key)
    statement = (
        f"WITH {causes}{more}"  # noqa: S608  sound names (`Layout.is_sound`)
        f" SELECT place, {SEND[layout.kind]}(k), s, json_strip_nulls(json_build_object({pairs}))::text,"
        f" CASE WHEN s IS NULL THEN (SELECT v.digest FROM {ErasedValue._meta.db_table} v"
        f" WHERE v.table_name = '{layout.table}' AND v.row_key = k::text) END"
        # OFFSET 0: each text is written once, however often it is named outside.
        f" FROM (SELECT r.{key} AS k, c.place, r.salt::text AS s, {listed} FROM {table} r {join} OFFSET 0) x ORDER BY 1, 2"
    )
    return statement, values
