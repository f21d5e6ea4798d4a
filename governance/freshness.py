"""Freshness: is a system measured now? One answer, for the front page, the pages of systems and the preflight.

of_systems(at=…) -> list[Measured]                every living system of the tenant, by name; four queries
of(system, at=…) -> Measured
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.db.models import Count, Q
from django.utils.translation import gettext as _

from accounts.models.account import AccountState
from accounts.models.finding import Finding, FindingKind
from accounts.models.system import System
from accounts.states import FINDING_OPEN
from provisioning import differences
from provisioning.models.connection import Connection, Connector
from provisioning.models.run import Run, RunState
from provisioning.models.shadow import Shadow

# What makes a system differ from what is said here.
DIFFERENCES = (
    FindingKind.STATUS_DIFFERS,
    FindingKind.MEMBERSHIP_DIFFERS,
    FindingKind.FIELD_DIFFERS,
    FindingKind.MISSING_THERE,
    FindingKind.UNKNOWN_HERE,
    FindingKind.STILL_ACTIVE,
)


class Word(StrEnum):
    """Grey outranks the others: what is not measured is neither equal nor different."""

    EQUAL = "equal"
    DIFFERS = "differs"
    NOT_MEASURED = "not_measured"


@dataclass(frozen=True)
class Measured:
    """The state of one system at an instant. What is unknown is None, never zero.

    `since` and `because` say since when it is not measured, and why, in plain words; `problem` is what the last reading
    failed at, as it was noted: an address, a status, a proof. `age` is that of the last complete reading.
    """

    system: UUID
    name: str
    word: Word
    because: str
    problem: str
    since: datetime | None
    last_complete_at: datetime | None
    age: timedelta | None
    goal: timedelta | None
    accounts: int
    differ: int | None

    @property
    def is_measured(self) -> bool:
        """Read completely within its goal."""
        return self.word != Word.NOT_MEASURED


def no_equality() -> Q:
    """Findings that keep a system from being equal."""
    # Memberships that nobody could read are no equality either.
    unread = Q(kind=FindingKind.NOT_MEASURED, dedupe_key__startswith=differences.UNREAD)
    # Nor is what was acknowledged and is not done.
    undone = Q(kind=FindingKind.NOT_APPLIED)
    return Q(kind__in=DIFFERENCES) | unread | undone


@dataclass(frozen=True)
class _Counts:
    accounts: int
    differ: int
    problem: str


def _why_not(connection: Connection | None, *, at: datetime) -> str:
    """Why a system is not measured, in words for a headline; nothing where it is measured."""
    if connection is None or connection.connector == Connector.NONE:
        return _("no connection reads it")
    if connection.last_complete_at is None:
        return _("never read completely")
    if at - connection.last_complete_at <= timedelta(minutes=connection.freshness_minutes):
        return ""
    if connection.paused_at is not None:
        return _("reading is paused")
    return _("no complete reading within its goal")


def is_fresh(connection: Connection | None, *, at: datetime) -> bool:
    """Whether the last complete reading is within the goal of the connection."""
    return not _why_not(connection, at=at)


def _judge(system: System, connection: Connection | None, counts: _Counts, *, at: datetime) -> Measured:
    because = _why_not(connection, at=at)
    last = connection.last_complete_at if connection is not None else None
    reads = connection is not None and connection.connector != Connector.NONE
    goal = timedelta(minutes=connection.freshness_minutes) if connection is not None and reads else None
    word = Word.NOT_MEASURED if because else Word.DIFFERS if counts.differ else Word.EQUAL
    grey_since = last + goal if last is not None and goal is not None else system.made_at
    return Measured(
        system=system.pk,
        name=system.name,
        word=word,
        because=because,
        problem=counts.problem if because else "",
        since=grey_since if because else None,
        last_complete_at=last,
        age=at - last if last is not None else None,
        goal=goal,
        accounts=counts.accounts,
        differ=None if because else counts.differ,
    )


def _problems(connections: Iterable[Connection]) -> dict[UUID, str]:
    """What the last ended run of each system failed at, where it was not whole; else what its connection noted."""
    found = {c.system_id: c.last_problem for c in connections}
    last = (
        Run.objects.exclude(state=RunState.RUNNING)
        .filter(is_simulated=False)
        .order_by("system_id", "-started_at")
        .distinct("system_id")
    )
    for run in last:
        if run.state != RunState.CLOSED:
            found[run.system_id] = run.problem or str(run.get_state_display())
    return found


def of_systems(*, at: datetime, systems: Iterable[UUID] | None = None) -> list[Measured]:
    """Every living system of the tenant in force (or those named), by name. As many queries for one as for 300."""
    wanted = System.objects.filter(ended_at__isnull=True)
    if systems is not None:
        wanted = wanted.filter(pk__in=list(systems))
    connections = {c.system_id: c for c in Connection.objects.all()}
    living = Shadow.objects.filter(account__isnull=False, ended_at__isnull=True).exclude(
        account__state=AccountState.ARCHIVED
    )
    accounts = dict(living.order_by().values_list("system_id").annotate(Count("id")))
    open_now = Finding.objects.filter(no_equality(), state__in=FINDING_OPEN, system__isnull=False)
    differ = dict(open_now.order_by().values_list("system_id").annotate(Count("id")))
    problems = _problems(connections.values())
    return [
        _judge(
            system,
            connections.get(system.pk),
            _Counts(accounts.get(system.pk, 0), differ.get(system.pk, 0), problems.get(system.pk, "")),
            at=at,
        )
        for system in wanted.order_by("name")
    ]


def of(system: System, *, at: datetime) -> Measured:
    """The state of one system at an instant. Raises `System.DoesNotExist` for one that has ended or is elsewhere."""
    found = of_systems(at=at, systems=[system.pk])
    if not found:
        raise System.DoesNotExist(f"{system} has ended, or is not of this tenant")
    return found[0]


def unknown_accounts(measured: Iterable[Measured]) -> int:
    """How many accounts live in a system that is not measured, each counted once."""
    grey = [m.system for m in measured if not m.is_measured]
    found = Shadow.objects.filter(system__in=grey, account__isnull=False, ended_at__isnull=True).aggregate(
        n=Count("account", distinct=True)
    )
    return int(found["n"])
