"""Does what is there match what was sealed? Everything is computed anew by the database, and what differs is named.

Nothing that the database says of a seal is believed before its signature and its place in the chain are checked; the keys
and the witness come from outside.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.db import connection

from audit import erased, sealing
from audit.chain import Link, Run, links, runs
from audit.guards import tenant_field
from audit.layouts import Layout, entries, key_text, layouts, sealed_models
from audit.leaves import digests, reach_of
from audit.models import Cause, Seal
from audit.strays import Looked, strays

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta
    from uuid import UUID

    from django.db import models

    from audit.leaves import Reach
    from audit.seal_keys import Trusted
    from audit.witness import Line


@dataclass(frozen=True)
class Fault:
    """One thing that is not as it was sealed: what, and what is wrong with it."""

    what: str
    wrong: str

    def __str__(self) -> str:
        return f"{self.what}: {self.wrong}"


@dataclass
class Report:
    """What a verification looked at, what it found, and what it could not check."""

    seals: int = 0
    rows: int = 0
    erased: int = 0
    archived: int = 0
    faults: list[Fault] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def add(self, what: str, wrong: str) -> None:
        """One more fault."""
        self.faults.append(Fault(what, wrong))


def verify(
    *, tenant: UUID | None, trusted: Trusted | None, witness: Iterable[Line] | None, at: datetime, patience: timedelta
) -> Report:
    """Check the chain of a tenant and every row that it covers, inside the tenant's scope: best a `steady` one.

    `patience` is how long what was written may wait for its seal.
    """
    report = Report()
    lines = _lines(report, witness)
    if trusted is None:
        report.unchecked.append("signatures: no key was given to check them with")
    last: Seal | None = None
    comparison = _Comparison(report)
    for run in runs(_checked(report, links(tenant), trusted, lines)):
        comparison.compare(run)
        last = run.links[-1].seal
    for number in sorted(lines):
        report.add(f"seal {number}", "the witness has it, and it is not in the chain")
    comparison.look_for_strays()
    since = sealing.unsealed_since(tenant=tenant)
    if since is not None and at - since > patience:
        place = f"after seal {last.number}" if last else "from the beginning"
        report.add(place, f"not sealed since {since:%Y-%m-%d %H:%M:%S} UTC")
    return report


def _lines(report: Report, witness: Iterable[Line] | None) -> dict[int, str]:
    """By number, the digest of what the witness keeps. What it contradicts itself about is a fault."""
    found: dict[int, str] = {}
    if witness is None:
        report.unchecked.append("witness: none was given, so a chain that was cut short looks whole")
        return found
    for line in witness:
        digest = sha256(line.statement.encode()).hexdigest()
        if found.setdefault(line.number, digest) != digest:
            report.add(f"seal {line.number}", "the witness has two different ones")
    return found


def _checked(report: Report, found: Iterable[Link], trusted: Trusted | None, lines: dict[int, str]) -> Iterator[Link]:
    """Passes every link on; what can be said of a seal without its rows is said by then."""
    has_witness = "witness" not in "".join(report.unchecked)
    before: Seal | None = None
    unwitnessed = 0
    for link in found:
        seal, name = link.seal, f"seal {link.seal.number}"
        _check_place(report, name, seal, before)
        _check_signature(report, name, seal, trusted)
        told = lines.pop(seal.number, None)
        unwitnessed += told is None
        if told not in {None, sealing.digest_of(seal)}:
            report.add(name, "the witness has another one of this number")
        before = seal
        report.seals += 1
        report.rows += seal.rows
        yield link
    if has_witness and unwitnessed:
        report.unchecked.append(f"witness: it has not got {unwitnessed} of {report.seals} seals")


def _check_place(report: Report, name: str, seal: Seal, before: Seal | None) -> None:
    previous = _previous(seal)
    if previous is None or seal.statement != sealing.statement_of(seal, previous=previous):
        report.add(name, "its statement is not about what the seal holds")
    expected = before.number + 1 if before else 1
    if seal.number < expected:
        report.add(name, "is there twice, or before the first")
    elif seal.number > expected:
        gone = range(expected, seal.number)
        report.add(f"seal {gone[0]}" if len(gone) == 1 else f"seals {expected} to {gone[-1]}", "missing from the chain")
    elif previous != sealing.digest_of(before):
        report.add(name, f"does not follow {f'seal {before.number}' if before else 'the beginning'}")
    elif not _goes_on(seal, before):
        report.add(name, "leaves transactions out that came after the seal before it")


def _previous(seal: Seal) -> str | None:
    try:
        said: Any = json.loads(seal.statement)
        return str(said["previous"])
    except (ValueError, TypeError, KeyError):
        return None


def _goes_on(seal: Seal, before: Seal | None) -> bool:
    if before is None:
        return (seal.after_id, seal.from_xid) == (0, 0)
    return (seal.after_id, seal.from_xid) in {(before.after_id, before.to_xid), (before.last_id, 0)}


def _check_signature(report: Report, name: str, seal: Seal, trusted: Trusted | None) -> None:
    if trusted is None:
        return
    if not trusted.knows(seal.key_id):
        report.add(name, f"signed with a key that is not trusted ({seal.key_id[:16]}…)")
    elif not trusted.says(seal.key_id, seal.statement, bytes(seal.signature)):
        report.add(name, "its signature is wrong")


def _wrong_content(link: Link) -> str:
    """What is wrong with its list of leaves, by itself; nothing, if it is right."""
    leaves = link.leaves
    if link.shape is None or leaves is None:
        return "its list of leaves can't be read"
    return "its list of leaves has another root" if sealing.root_of(link.shape, leaves).hex() != link.seal.root else ""


class _Comparison:
    """The rows of one run after the other, and what is left over at the end."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._looked: dict[str, Looked] = {}
        self._left_out: set[str] = set()
        self._reach: Reach | None = None

    def compare(self, run: Run) -> None:
        """What was sealed with what is there now. Roots are made while the database writes the rows' texts."""
        with ThreadPoolExecutor(max_workers=1) as beside:
            wrong = beside.map(_wrong_content, run.links)
            self._compare_rows(run)
            for link, what in zip(run.links, wrong, strict=True):
                if what:
                    self._report.add(f"seal {link.seal.number}", what)

    def _compare_rows(self, run: Run) -> None:
        readable = [(place, link) for place, link in enumerate(run.links, 1) if link.leaves is not None]
        there = layouts()
        reach = self._reach = reach_of(run.batch, before=self._reach)
        for table in sorted(set(run.layouts) - set(there)):
            self._report.add(table, "the table was sealed, and is not known any more")
        for model in sealed_models():
            layout = run.layout(model._meta.db_table)
            gone = _columns(layout) - _columns(there[layout.table])
            if gone:
                self._report.add(layout.table, f"columns that were sealed are gone: {', '.join(sorted(gone))}")
                self._left_out.add(layout.table)
                continue
            looked = self._looked.setdefault(layout.table, Looked())
            found = digests(model, layout, reach, unknown=looked.unknown)
            looked.add(model, reach)
            for place, link in readable:
                sealed, now = link.parts.get(layout.table, b""), found.get(place, b"")
                if sealed != now:
                    _name(self._report, layout, link.seal.number, sealed, now)

    def look_for_strays(self) -> None:
        """Rows of the tenant that name no cause."""
        for model in sealed_models():
            if model is not Cause and tenant_field(model) is not None:
                table = model._meta.db_table
                for key in strays(model, None if table in self._left_out else self._looked.get(table)):
                    self._report.add(f"{table} {key}", "names no cause that there is")


def _columns(layout: Layout) -> set[str]:
    return {name for name, _ in (*layout.open, *layout.personal)}


def _name(report: Report, layout: Layout, number: int, sealed: bytes, now: bytes) -> None:
    """Which rows they are that make two lists differ, but for those that are blank or gone by right."""
    before, after = dict(entries(sealed, layout.kind)), dict(entries(now, layout.kind))
    if before == after:
        report.add(f"seal {number}", f"its list of leaves has another order in {layout.table}")
    blank = erased.leaves(layout, [key for key in after if before.get(key, after[key]) != after[key]])
    filed = erased.archived(number, layout) if before.keys() - after.keys() else set()
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key):
            continue
        if key in after and key in before and blank.get(key) == before[key]:
            report.erased += 1
        elif key not in after and key in filed:
            report.archived += 1
        else:
            wrong = "added later" if key not in before else "missing" if key not in after else "changed"
            report.add(f"{layout.table} {key_text(key, layout.kind)}", f"{wrong} (seal {number})")


class Everywhere:
    """Rows of tables that have no tenant, and whose cause is in no tenant either: known once every tenant was seen."""

    def __init__(self) -> None:
        self._models = [model for model in sealed_models() if model is not Cause and tenant_field(model) is None]
        self._left: set[int | None] = set()
        for model in self._models:
            self._left |= {cause for (cause,) in _rows(f"SELECT DISTINCT cause_id FROM {_table(model)}")}  # noqa: S608  a table of ours

    def see(self) -> None:
        """The causes of the scope in force are there."""
        asked = [cause for cause in self._left if cause is not None]
        self._left -= {cause for (cause,) in _rows("SELECT id FROM audit_cause WHERE id = ANY(%s)", asked)}

    def faults(self) -> list[Fault]:
        """Every row whose cause no scope had."""
        asked = [cause for cause in self._left if cause is not None]
        return [
            Fault(f"{model._meta.db_table} {key}", "names no cause that there is")
            for model in self._models
            for (key,) in _rows(
                f"SELECT {model._meta.pk.column} FROM {_table(model)}"  # noqa: S608  names of our models
                " WHERE cause_id = ANY(%s) OR cause_id IS NULL ORDER BY 1",
                asked,
            )
        ]


def _table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _rows(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())
