"""Figures for a monitoring system, each read from rows when it is asked for.

of_tenant(tenant=…, at=…) -> list[Figure]      of the tenant in force; as many queries for one system as for three hundred
of_nobody(at=…)                                what belongs to no tenant

Rows are the truth: no process counts anything by itself, so that a restart forgets nothing and any number of processes
say the same. What is unknown has no figure at all, never a zero. Labels are tenants, systems and words of our own, never
accounts or people: their number is bounded by what was connected.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q

from accounts.models.account import Account, AccountState
from accounts.models.exception import PolicyException
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.system import System
from accounts.models.tenant import Tenant
from accounts.states import FINDING_OPEN
from audit import sealing
from governance import coverage, freshness
from governance.models.approval import Approval, ApprovalState
from provisioning.models.plan import Plan
from provisioning.models.received import Received
from provisioning.models.run import Run, RunState
from provisioning.states import PLAN_WAITS, RECEIVED_OPEN

RUNS_WITHIN = timedelta(hours=24)

# Every figure by its name, with what it says. All are gauges: they are counted anew each time.
HELP: Mapping[str, str] = {
    "rollcall_system_measured": "1 where the last complete reading of a system is within its goal, else 0.",
    "rollcall_system_reading_age_seconds": "Age of the last complete reading; none where there never was one.",
    "rollcall_system_goal_seconds": "How old the last complete reading may be; none where no connection reads it.",
    "rollcall_system_accounts": "Accounts that live at a system.",
    "rollcall_system_differing": "Differences found and open; none where the system is not measured.",
    "rollcall_findings_open": "Open findings.",
    "rollcall_findings_overdue": "Open findings past their due date.",
    "rollcall_runs_ended": "Readings that ended in the last 24 hours, by how.",
    "rollcall_plans_waiting": "Plans that wait for people; tripped ones were stopped by the brake.",
    "rollcall_received": "Changes that were acknowledged and are not applied.",
    "rollcall_received_age_seconds": "Age of the oldest of them; none where there is none.",
    "rollcall_sweep_late_seconds": "How long the longest due thing waits for its sweep; 0 where none does.",
    "rollcall_unsealed_age_seconds": "How long what was written waits for its seal; 0 where all is sealed.",
    "rollcall_exceptions_live": "Policy exceptions in force.",
    "rollcall_coverage_ratio": "Accounts at systems that were measured and are equal, of all; none without any.",
    "rollcall_coverage_accounts": "The parts of that whole: equal, differing, excepted, unmeasured.",
}


@dataclass(frozen=True)
class Figure:
    """One number, by its name and labels."""

    name: str
    labels: Mapping[str, str]
    value: float


def of_tenant(*, tenant: Tenant, at: datetime) -> list[Figure]:
    """Every figure of the tenant in force."""
    measured = freshness.of_systems(at=at)
    parts = (
        *_systems(measured),
        *_findings(at=at),
        *_runs({m.system: m.name for m in measured}, at=at),
        *_queues(at=at),
        *_sweeps(at=at),
        *_coverage(measured),
        ("rollcall_exceptions_live", {}, _exceptions(at=at)),
        ("rollcall_unsealed_age_seconds", {}, _unsealed(tenant, at=at)),
    )
    return [Figure(name, {"tenant": tenant.slug} | labels, float(value)) for name, labels, value in parts]


def of_nobody(*, at: datetime) -> list[Figure]:
    """What belongs to no tenant, such as sign-ins and settings, is sealed too."""
    return [Figure("rollcall_unsealed_age_seconds", {"tenant": ""}, _unsealed(None, at=at))]


_Part = tuple[str, dict[str, str], float]


def _systems(measured: list[freshness.Measured]) -> Iterator[_Part]:
    for one in measured:
        of = {"system": one.name}
        yield "rollcall_system_measured", of, one.is_measured
        yield "rollcall_system_accounts", of, one.accounts
        if one.age is not None:
            yield "rollcall_system_reading_age_seconds", of, one.age.total_seconds()
        if one.goal is not None:
            yield "rollcall_system_goal_seconds", of, one.goal.total_seconds()
        if one.differ is not None:
            yield "rollcall_system_differing", of, one.differ


def _findings(*, at: datetime) -> Iterator[_Part]:
    live = Finding.objects.filter(state__in=sorted(FINDING_OPEN)).order_by()
    overdue = Count("id", filter=Q(due_at__lte=at) & ~Q(kind=FindingKind.EXPIRES))
    late = 0
    for row in live.values("kind", "severity").annotate(n=Count("id"), late=overdue):
        yield (
            "rollcall_findings_open",
            {"kind": row["kind"], "severity": Severity(row["severity"]).name.lower()},
            row["n"],
        )
        late += row["late"]
    yield "rollcall_findings_overdue", {}, late


def _runs(names: Mapping[Any, str], *, at: datetime) -> Iterator[_Part]:
    ended = Run.objects.filter(ended_at__gt=at - RUNS_WITHIN, ended_at__lte=at).order_by()
    counted = {
        (row["system_id"], row["state"]): row["n"] for row in ended.values("system_id", "state").annotate(n=Count("id"))
    }
    states = [state.value for state in RunState if state != RunState.RUNNING]
    for system, name in names.items():
        for state in states:
            yield "rollcall_runs_ended", {"system": name, "state": state}, counted.get((system, state), 0)


def _queues(*, at: datetime) -> Iterator[_Part]:
    waiting = Plan.objects.filter(state__in=sorted(PLAN_WAITS)).order_by()
    plans = dict(waiting.values_list("state").annotate(Count("id")))
    for state in sorted(PLAN_WAITS):
        yield "rollcall_plans_waiting", {"state": state}, plans.get(state, 0)
    rows = Received.objects.filter(state__in=sorted(RECEIVED_OPEN)).order_by().values("state")
    received = {row["state"]: row for row in rows.annotate(n=Count("id"), oldest=Min("received_at"))}
    for state in sorted(RECEIVED_OPEN):
        row = received.get(state)
        yield "rollcall_received", {"state": state}, row["n"] if row else 0
        if row:
            yield "rollcall_received_age_seconds", {"state": state}, (at - row["oldest"]).total_seconds()


def _sweeps(*, at: datetime) -> Iterator[_Part]:
    """A sweep that finds nothing leaves no row; one that does not run leaves what is due. That is what is told."""
    past = Account.objects.filter(state=AccountState.ACTIVE, expires_at__lte=at)
    unread = Account.objects.filter(read_due_at__lte=at)
    silent = Approval.objects.filter(state=ApprovalState.OPEN, until__lte=at)
    oldest = {
        "expiry": past.aggregate(oldest=Min("expires_at"))["oldest"],
        "read_back": unread.aggregate(oldest=Min("read_due_at"))["oldest"],
        "approvals": silent.aggregate(oldest=Min("until"))["oldest"],
    }
    for sweep, due in oldest.items():
        yield "rollcall_sweep_late_seconds", {"sweep": sweep}, (at - due).total_seconds() if due is not None else 0


def _coverage(measured: list[freshness.Measured]) -> Iterator[_Part]:
    found = coverage.of_systems(measured)
    if found.ratio is not None:
        yield "rollcall_coverage_ratio", {}, found.ratio
    for part in ("equal", "differing", "excepted", "unmeasured"):
        yield "rollcall_coverage_accounts", {"part": part}, getattr(found, part)


def _exceptions(*, at: datetime) -> int:
    """Of living systems and of accounts: what is of an ended system excuses nothing."""
    ended = System.objects.filter(ended_at__lte=at)
    live = PolicyException.objects.filter(
        Q(ended_at__isnull=True) | Q(ended_at__gt=at), starts_at__lte=at, until__gt=at
    )
    return live.exclude(system__in=ended).count()


def _unsealed(tenant: Tenant | None, *, at: datetime) -> float:
    since = sealing.unsealed_since(tenant=tenant.pk if tenant is not None else None)
    return max((at - since).total_seconds(), 0.0) if since is not None else 0.0
