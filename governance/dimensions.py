"""The freshness screen: of each system and dimension, is it measured now, and equal?

    matrix(at=…) -> Matrix      every living system of the tenant, worst first; a number of queries that does not grow

A cell is `=` measured and equal, `!` differing and `x` overdue, each with its findings, `#` excepted, `?` grey: not
measured, with why and since when. Whatever stops being evidence (a reading, its canary, a dimension that is not shown, a
read-back, a feed, what was acknowledged, a sweep, the replayed ledger) turns what it fed grey, and grey is never green.
Credentials are held for no account yet: they are grey everywhere and stay out of the sums, which would else say nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Max, Min, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import sweeps
from accounts.models.account import Account, AccountState
from accounts.models.finding import Finding, FindingKind, FindingState
from accounts.models.sweep import SweepName
from accounts.states import FINDING_LIVE
from governance import freshness
from governance.freshness import Measured
from provisioning import capabilities, replaying
from provisioning.capabilities import READ, Capability, Dimension
from provisioning.models.rebuild import Rebuild
from provisioning.models.replay import ReplayKind
from provisioning.models.shadow import Shadow
from provisioning.replaying import Range

# The worst wins in a sum; grey always outranks green.
WORST_FIRST = ("x", "?", "!", "~", "#", "=", "-")
STATES = {"x": "overdue", "?": "not_measured", "!": "differs", "#": "excepted", "=": "equal"}
# An ending that is due to be read back, and is not, for so long.
READ_BACK_LATE = timedelta(minutes=2)
# The ledger is replayed each night: what is older than a night and a morning is no measurement.
LEDGER_GOAL = timedelta(hours=36)

NAMES: Mapping[Dimension, object] = {
    Dimension.EXISTENCE: gettext_lazy("existence"),
    Dimension.STATUS: gettext_lazy("status"),
    Dimension.ATTRIBUTES: gettext_lazy("attributes"),
    Dimension.MEMBERSHIPS: gettext_lazy("memberships"),
    Dimension.OWNERSHIP: gettext_lazy("ownership"),
    Dimension.EXPIRY: gettext_lazy("expiry"),
    Dimension.CREDENTIALS: gettext_lazy("credentials"),
}
# What is wrong with a dimension while such a finding is open.
WRONG: Mapping[FindingKind, Dimension] = {
    FindingKind.MISSING_THERE: Dimension.EXISTENCE,
    FindingKind.UNKNOWN_HERE: Dimension.EXISTENCE,
    FindingKind.CORRELATION: Dimension.EXISTENCE,
    FindingKind.STATUS_DIFFERS: Dimension.STATUS,
    FindingKind.STILL_ACTIVE: Dimension.STATUS,
    FindingKind.FIELD_DIFFERS: Dimension.ATTRIBUTES,
    FindingKind.MEMBERSHIP_DIFFERS: Dimension.MEMBERSHIPS,
    FindingKind.MEMBERS_UNRESOLVED: Dimension.MEMBERSHIPS,
    FindingKind.NO_OWNER: Dimension.OWNERSHIP,
    FindingKind.SWEEP_FAILED: Dimension.EXPIRY,
}
# What is no measurement while such a finding is live, excepted or not: nobody can excuse that nobody looked.
GREY: Mapping[FindingKind, tuple[object, tuple[Dimension, ...]]] = {
    FindingKind.NOT_READ_BACK: (gettext_lazy("an ending could not be read back"), (Dimension.STATUS,)),
    FindingKind.FEED_SILENT: (gettext_lazy("its feed does not answer"), READ),
    FindingKind.FEED_GAP: (gettext_lazy("its feed has a gap"), READ),
    FindingKind.NOT_APPLIED: (gettext_lazy("what it sent was acknowledged and is not applied"), READ),
}


@dataclass(frozen=True)
class Counted:
    """Findings of one kind in a cell."""

    kind: str
    label: str
    count: int
    by_system: bool
    """Whether the list of findings can be narrowed to the system; one of an account names none."""


@dataclass(frozen=True)
class Cell:
    """One dimension of one system. `because` and `since` say why it is grey; `capability` by what it is read."""

    dimension: Dimension
    shape: str
    because: str
    since: datetime | None
    findings: tuple[Counted, ...]
    capability: Capability

    @property
    def name(self) -> str:
        """The dimension, for a person."""
        return str(NAMES[self.dimension])

    @property
    def state(self) -> str:
        """The word of its shape."""
        return STATES[self.shape]

    @property
    def is_summed(self) -> bool:
        """Whether it counts: nothing is held of what nothing reads."""
        return self.dimension != Dimension.CREDENTIALS


@dataclass(frozen=True)
class Row:
    """One system: its cells in the order of `Dimension`, and the worst of them."""

    measured: Measured
    cells: tuple[Cell, ...]

    @property
    def shape(self) -> str:
        """The worst wins; grey always outranks green."""
        return worst(cell.shape for cell in self.cells if cell.is_summed)

    @property
    def state(self) -> str:
        """The word of its shape."""
        return STATES[self.shape]

    @property
    def grey(self) -> tuple[Cell, ...]:
        """What of it is not measured, credentials left out."""
        return tuple(cell for cell in self.cells if cell.shape == "?" and cell.is_summed)


@dataclass(frozen=True)
class Rest:
    """Something of our own on which every row rests."""

    name: str
    shape: str
    because: str
    since: datetime | None


@dataclass(frozen=True)
class Matrix:
    """The screen as of `at`."""

    at: datetime
    rows: tuple[Row, ...]
    rests: tuple[Rest, ...]

    @property
    def shape(self) -> str:
        """The worst of all of it; grey where there is nothing."""
        return worst([row.shape for row in self.rows] + [rest.shape for rest in self.rests]) if self.rows else "?"

    @property
    def grey(self) -> list[tuple[Row, Cell]]:
        """Every cell that is not measured, of systems that are read: the others say so as a whole."""
        return [(row, cell) for row in self.rows if row.measured.is_measured for cell in row.grey]


def worst(shapes: Iterable[str]) -> str:
    """The shape of a sum: the worst of its parts; of nothing, `?`."""
    return min(shapes, key=WORST_FIRST.index, default="?")


def unsound(matrix: Matrix) -> str:
    """Why it is not complete although every system is read: what it rests on, or a dimension, is not measured."""
    for rest in matrix.rests:
        if rest.shape == "?":
            return _("No: every system is read, and what that rests on is not measured: %(name)s, %(because)s.") % {
                "name": rest.name,
                "because": rest.because.rstrip("."),
            }
    if not matrix.grey:
        return ""
    row, cell = matrix.grey[0]
    text = ngettext(
        "No: every system is read, and %(n)d dimension is not measured. %(system)s, %(dimension)s: %(because)s.",
        "No: every system is read, and %(n)d dimensions are not measured. %(system)s, %(dimension)s: %(because)s.",
        len(matrix.grey),
    )
    return text % {
        "n": len(matrix.grey),
        "system": row.measured.name,
        "dimension": cell.name,
        "because": cell.because.rstrip("."),
    }


@dataclass(frozen=True)
class _Greys:
    """Why a dimension of a system is grey, the first reason first."""

    reasons: dict[tuple[UUID, Dimension], tuple[str, datetime | None]]

    def add(self, system: UUID, dimensions: Iterable[Dimension], because: str, since: datetime | None) -> None:
        for dimension in dimensions:
            self.reasons.setdefault((system, dimension), (because, since))


def matrix(*, at: datetime, measured: Sequence[Measured] | None = None) -> Matrix:
    """Every living system of the tenant in force, worst first; `measured` where somebody has asked for it just now."""
    measured = freshness.of_systems(at=at) if measured is None else measured
    readable = capabilities.of_systems([one.system for one in measured])
    late = sweeps.late(at=at)
    greys = _Greys({})
    _not_read(greys, measured, readable)
    _not_looked(greys, [one.system for one in measured], late)
    _not_read_back(greys, at=at)
    _parked(greys, measured)
    found = _findings(greys, at=at)
    _past_end(greys, at=at)
    rows = [
        Row(one, tuple(_cell(one, able, greys, found) for able in readable[one.system]))
        for one in measured
    ]  # fmt: skip
    ordered = sorted(rows, key=lambda row: (WORST_FIRST.index(row.shape), row.measured.name))
    return Matrix(at=at, rows=tuple(ordered), rests=(*_sweeps(late), ledger(at=at)))


def _cell(
    measured: Measured,
    able: Capability,
    greys: _Greys,
    found: Mapping[tuple[UUID, Dimension], dict[str, list[Counted]]],
) -> Cell:
    key = (measured.system, able.dimension)
    by_shape = found.get(key, {})
    findings = tuple(one for shape in WORST_FIRST for one in by_shape.get(shape, ()))
    if key in greys.reasons:
        because, since = greys.reasons[key]
        return Cell(able.dimension, "?", because, since, findings, able)
    return Cell(able.dimension, worst(by_shape) if by_shape else "=", "", None, findings, able)


# -- what turns a cell grey


def _not_read(greys: _Greys, measured: Sequence[Measured], readable: Mapping[UUID, tuple[Capability, ...]]) -> None:
    """No complete reading within its goal, or one that shows nothing that can be believed of a dimension."""
    for one in measured:
        if not one.is_measured:
            greys.add(one.system, READ, one.because, one.since)
        for able in readable[one.system]:
            if not able.is_readable:
                greys.add(one.system, [able.dimension], able.because, able.as_of)


def _not_looked(greys: _Greys, systems: Iterable[UUID], late: Mapping[SweepName, tuple[str, datetime | None]]) -> None:
    """A sweep that did not run has found nothing, which says nothing."""
    fed = {SweepName.EXPIRY: (Dimension.EXPIRY,), SweepName.WATCH: READ}
    for system in systems:
        for name, (because, since) in late.items():
            greys.add(system, fed[name], because, since)


def _not_read_back(greys: _Greys, *, at: datetime) -> None:
    """Endings whose read-back is due, and has not been made."""
    due = Account.objects.filter(
        read_due_at__lte=at - READ_BACK_LATE, state__in=[AccountState.SUSPENDED, AccountState.DEPROVISIONED]
    )
    living = Shadow.objects.filter(account__in=due, resource_type="User").order_by()
    for row in living.values("system_id").annotate(
        n=Count("account", distinct=True), since=Min("account__read_due_at")
    ):
        text = ngettext(
            "%(n)d ending is due to be read back, and is not",
            "%(n)d endings are due to be read back, and are not",
            row["n"],
        )
        greys.add(row["system_id"], [Dimension.STATUS], text % {"n": row["n"]}, row["since"])


def _parked(greys: _Greys, measured: Sequence[Measured]) -> None:
    """What was said and could not be taken in since the last complete reading began. What was before it, that has judged."""
    read = {
        one.system: one.last_complete_at for one in measured if one.is_measured and one.last_complete_at is not None
    }
    if not read:
        return
    parked = Range(kind=ReplayKind.PARKED, first_id=replaying.since(min(read.values()))).exchanges()
    rows = parked.filter(system__in=list(read)).order_by().values("system_id").annotate(last=Max("at"))
    for row in rows:
        if row["last"] >= read[row["system_id"]]:
            greys.add(
                row["system_id"],
                READ,
                _("a request of it is parked, and no complete reading has begun since"),
                row["last"],
            )


def _past_end(greys: _Greys, *, at: datetime) -> None:
    """Accounts past their end and still active: the sweep that should have ended them did not."""
    past = Shadow.objects.filter(
        account__state=AccountState.ACTIVE, account__expires_at__lte=at - sweeps.LATE_AFTER, ended_at__isnull=True
    )
    for row in past.order_by().values("system_id").annotate(since=Min("account__expires_at")):
        greys.add(row["system_id"], [Dimension.EXPIRY], _("the expiry sweep is late"), row["since"])


# -- what differs


def _findings(greys: _Greys, *, at: datetime) -> dict[tuple[UUID, Dimension], dict[str, list[Counted]]]:
    """Live findings by system, dimension and shape. One of an account without a system is of each that it lives in."""
    overdue = Count("id", distinct=True, filter=Q(due_at__lte=at) & ~Q(state=FindingState.EXCEPTED))
    excepted = Count("id", distinct=True, filter=Q(state=FindingState.EXCEPTED))
    wanted = Finding.objects.filter(state__in=sorted(FINDING_LIVE), kind__in=[*WRONG, *GREY]).order_by()
    counts = {"n": Count("id", distinct=True), "overdue": overdue, "excepted": excepted, "since": Min("first_seen_at")}
    named: Any = wanted.filter(system__isnull=False).values("kind", where=F("system_id")).annotate(**counts)
    lives = Q(account__shadows__ended_at__isnull=True, account__shadows__resource_type="User")
    others: Any = wanted.filter(lives, system__isnull=True).values("kind", where=F("account__shadows__system_id"))
    found: dict[tuple[UUID, Dimension], dict[str, list[Counted]]] = {}
    rows = [(row, True) for row in named] + [(row, False) for row in others.annotate(**counts)]
    for row, by_system in rows:
        kind = FindingKind(row["kind"])
        if kind in GREY:
            because, dimensions = GREY[kind]
            greys.add(row["where"], dimensions, str(because), row["since"])
            continue
        shapes = {"x": row["overdue"], "#": row["excepted"], "!": row["n"] - row["overdue"] - row["excepted"]}
        cell = found.setdefault((row["where"], WRONG[kind]), {})
        for shape, count in shapes.items():
            if count:
                cell.setdefault(shape, []).append(Counted(str(kind), str(kind.label), count, by_system))
    return found


# -- what everything rests on


def _sweeps(late: Mapping[SweepName, tuple[str, datetime | None]]) -> Iterable[Rest]:
    for name in SweepName:
        because, since = late.get(name, ("", None))
        yield Rest(str(name.label), "?" if because else "=", because or _("it looked in the last minutes"), since)


def ledger(*, at: datetime) -> Rest:
    """Whether the ledger, replayed from empty, gave today's roll the last time, and not too long ago."""
    name, row = _("the ledger, replayed, gives today's roll"), Rebuild.objects.first()
    if row is None or row.compared_at is None:
        return Rest(name, "?", _("not yet measured: the ledger is replayed each night"), None)
    if at - row.compared_at > LEDGER_GOAL:
        return Rest(name, "?", _("not measured since"), row.compared_at + LEDGER_GOAL)
    if row.differing:
        text = ngettext(
            "%(n)d resource differs: what is here was not all said",
            "%(n)d resources differ: what is here was not all said",
            row.differing,
        )
        return Rest(name, "?", text % {"n": row.differing}, row.compared_at)
    if not row.equal and any(row.left_out.values()):
        return Rest(name, "?", _("no resource could be judged"), row.compared_at)
    return Rest(name, "=", _("yes"), row.compared_at)
