"""The front page: is the roll complete, and what waits for a person?

    front(tenant=…, at=…) -> Front        everything on it, with a number of queries that does not grow with the rows

"Yes" needs every system measured inside its goal; what differs is then found, and counted. Grey outranks green, and what
is unknown is None, never zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Exists, Min, OuterRef, Q, Subquery
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.finding import Finding, FindingKind
from accounts.models.ownership import Ownership, OwnershipState
from accounts.models.tenant import Tenant
from accounts.states import FINDING_OPEN
from governance import campaigns as campaign_verbs
from governance import coverage, dimensions, freshness
from governance.campaigns import Progress
from governance.dimensions import LEDGER_GOAL, Matrix
from governance.models.approval import Approval, ApprovalState
from governance.models.campaign import Campaign, CampaignState
from provisioning import plans
from provisioning.models.connection import RefusedToken, SystemToken
from provisioning.models.plan import Plan, PlanKind, PlanState
from provisioning.models.rebuild import Rebuild
from provisioning.models.run import Run
from provisioning.states import PLAN_LIVE, PLAN_WAITS

LAST_RUNS = 5
WAITS_SHOWN = 20
SYSTEMS_SHOWN = 50
# A sweep every minute: what is past its end this long and still active means that the sweep is late.
LATE_AFTER = timedelta(minutes=5)
REFUSED_WITHIN = timedelta(hours=24)
ENDS_SOON = (1, 7, 14, 30)


@dataclass(frozen=True)
class SystemRow:
    """One system: its state, and what is on its way there (`queue` plans, the oldest of that age)."""

    measured: freshness.Measured
    queue: int
    queue_age: timedelta | None


@dataclass(frozen=True)
class Wait:
    """One thing that waits for people. `approval` is None for a plan whose question opens within the minute."""

    title: str
    is_stopped: bool
    """Whether the brake stopped it, and nobody asked for it."""
    left: timedelta
    approval: UUID | None
    plan: UUID | None
    answered: int
    needs: int


@dataclass(frozen=True)
class FindingsByAge:
    """How many findings are open, by how long; `overdue` are past their due date."""

    day: int
    week: int
    month: int
    older: int
    overdue: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.day + self.week + self.month + self.older


@dataclass(frozen=True)
class Nhi:
    """What is not as it should be among living non-human identities."""

    total: int
    no_owner: int
    no_end: int
    past_end: int
    use_unknown: int


@dataclass(frozen=True)
class CampaignRow:
    """One campaign that is not closed, and how far it is. `left` is negative past the deadline."""

    campaign: UUID
    name: str
    state: str
    deadline: datetime
    left: timedelta
    progress: Progress


@dataclass(frozen=True)
class RunRow:
    """One of the last runs."""

    run: UUID
    system: str
    state: str
    label: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Refusals:
    """Requests refused in the last 24 hours: at systems of this tenant, most first, and with tokens nobody knows."""

    systems: tuple[tuple[UUID, str, int], ...]
    unknown: int

    @property
    def ours(self) -> int:
        """With a token of this tenant that is not good any more."""
        return sum(count for _system, _name, count in self.systems)


@dataclass(frozen=True)
class Ledger:
    """Whether the ledger replayed from empty gives today's roll: `equal` and `differing` resources, None if unmeasured."""

    shape: str
    sentence: str
    as_of: datetime | None
    left_out: int = 0
    differing: int = 0


@dataclass(frozen=True)
class Front:
    """Everything on the front page, as of `at`. `systems` are the worst, of `systems_count`."""

    at: datetime
    is_complete: bool
    sentence: str
    banners: tuple[str, ...]
    systems: tuple[SystemRow, ...]
    systems_count: int
    unknown_accounts: int
    coverage: coverage.Coverage
    waits: tuple[Wait, ...]
    waits_count: int
    findings: FindingsByAge
    nhi: Nhi
    campaigns: tuple[CampaignRow, ...]
    runs: tuple[RunRow, ...]
    ends: dict[int, int]
    refusals: Refusals
    ledger: Ledger


def front(*, tenant: Tenant, at: datetime) -> Front:
    """The front page of the tenant in force, at an instant."""
    systems = _systems(at=at)
    unknown = freshness.unknown_accounts([row.measured for row in systems])
    waits = _waits(at=at)
    nhi, late, ends = _accounts(at=at)
    findings = _findings(at=at)
    measured = [row.measured for row in systems]
    matrix = dimensions.matrix(at=at, measured=measured)
    is_complete, sentence = _sentence(measured, unknown, findings, matrix)
    return Front(
        at=at,
        is_complete=is_complete,
        sentence=sentence,
        banners=_banners(late),
        systems=tuple(systems[:SYSTEMS_SHOWN]),
        systems_count=len(systems),
        unknown_accounts=unknown,
        coverage=coverage.of_systems([row.measured for row in systems]),
        waits=tuple(waits[:WAITS_SHOWN]),
        waits_count=len(waits),
        findings=findings,
        nhi=nhi,
        campaigns=_campaigns(at=at),
        runs=_runs(),
        ends=ends,
        refusals=_refusals(tenant, {row.measured.system: row.measured.name for row in systems}, at=at),
        ledger=_ledger(at=at),
    )


def _ledger(*, at: datetime) -> Ledger:
    """What the last comparison showed. An old one is no measurement: grey, as where there was none."""
    row = Rebuild.objects.first()
    if row is None or row.compared_at is None or row.until_at is None:
        return Ledger("?", _("not yet measured: the ledger is replayed each night"), None)
    left_out = sum(int(count) for count in row.left_out.values())
    resources = ngettext("%(n)d resource", "%(n)d resources", row.equal or 0) % {"n": row.equal or 0}
    if row.differing:
        text = ngettext("no: %(n)d resource differs", "no: %(n)d resources differ", row.differing)
        return Ledger("!", text % {"n": row.differing}, row.until_at, left_out, row.differing)
    if not row.equal and left_out:
        return Ledger("?", _("not measured: no resource could be judged"), row.until_at, left_out)
    if at - row.compared_at > LEDGER_GOAL:
        return Ledger("?", _("not measured since, then: yes, %(what)s") % {"what": resources}, row.until_at, left_out)
    return Ledger("=", _("yes, %(what)s") % {"what": resources}, row.until_at, left_out)


def _sentence(
    measured: Sequence[freshness.Measured], unknown: int, findings: FindingsByAge, matrix: Matrix
) -> tuple[bool, str]:
    """The answer, with the worst reason."""
    if not measured:
        return False, _("No: no system is connected yet, so nothing is measured.")
    grey = [m for m in measured if not m.is_measured]
    if grey:
        worst = min(grey, key=lambda m: (m.since is None, m.since, m.name))
        systems = ngettext(
            "No: %(grey)d of %(all)d systems is not measured",
            "No: %(grey)d of %(all)d systems are not measured",
            len(grey),
        ) % {"grey": len(grey), "all": len(measured)}
        accounts = ngettext("%(n)d account unknown", "%(n)d accounts unknown", unknown) % {"n": unknown}
        return False, _("%(systems)s; %(accounts)s. %(worst)s: %(because)s.") % {
            "systems": systems,
            "accounts": accounts,
            "worst": worst.name,
            "because": worst.because.rstrip("."),
        }
    if unsound := dimensions.unsound(matrix):
        return False, unsound
    differ = sum(m.differ or 0 for m in measured)
    systems = ngettext("Yes: %(n)d system is measured", "Yes: all %(n)d systems are measured", len(measured)) % {
        "n": len(measured)
    }
    if differ:
        found = ngettext("%(n)d difference is found and open", "%(n)d differences are found and open", differ)
        return True, f"{systems}; {found % {'n': differ}}."
    overdue = _("%(n)d findings are overdue") % {"n": findings.overdue} if findings.overdue else _("nothing differs")
    return True, f"{systems}; {overdue}."


def _banners(late: int) -> tuple[str, ...]:
    if not late:
        return ()
    text = ngettext(
        "The expiry sweep is late: %(n)d account is past its end and still active.",
        "The expiry sweep is late: %(n)d accounts are past their end and still active.",
        late,
    )
    return (text % {"n": late},)


def _systems(*, at: datetime) -> list[SystemRow]:
    """Worst first: grey, then different, then equal."""
    live = Plan.objects.filter(state__in=sorted(PLAN_LIVE))
    queues = {
        row["system_id"]: row
        for row in live.order_by().values("system_id").annotate(n=Count("id"), oldest=Min("asked_at"))
    }
    order = [freshness.Word.NOT_MEASURED, freshness.Word.DIFFERS, freshness.Word.EQUAL]
    rows = []
    for measured in freshness.of_systems(at=at):
        queue = queues.get(measured.system)
        age = at - queue["oldest"] if queue else None
        rows.append(SystemRow(measured=measured, queue=queue["n"] if queue else 0, queue_age=age))
    return sorted(rows, key=lambda row: (order.index(row.measured.word), row.measured.name))


def _waits(*, at: datetime) -> list[Wait]:
    """Open questions and plans that have none yet, the one with the least time first."""
    yes = Count("answers", filter=Q(answers__is_yes=True))
    asked = Approval.objects.filter(state=ApprovalState.OPEN, until__gt=at).annotate(yes=yes)
    live = plans.waiting().select_related("system", "account").filter(state__in=PLAN_WAITS, until__gt=at)
    waiting = {plan.pk: plan for plan in live}
    stopped = {pk for pk, plan in waiting.items() if plan.state == PlanState.TRIPPED}
    found = [
        Wait(
            title=a.title,
            is_stopped=a.plan_id in stopped,
            left=a.until - at,
            approval=a.pk,
            plan=a.plan_id,
            answered=a.yes,
            needs=a.needs,
        )
        for a in asked
    ]
    known = {wait.plan for wait in found}
    found += [
        Wait(
            title=_title(plan),
            is_stopped=plan.pk in stopped,
            left=plan.until - at,
            approval=None,
            plan=plan.pk,
            answered=0,
            needs=0,
        )
        for plan in waiting.values()
        if plan.pk not in known and plan.until is not None
    ]
    return sorted(found, key=lambda wait: wait.left)


def _title(plan: Plan) -> str:
    """As its question will be put, which opens within the minute."""
    if plan.kind == PlanKind.REACTIVATION and plan.account is not None:
        return _("May %(name)s come back?") % {"name": plan.account.user_name}
    return _("May a plan for %(system)s be carried out?") % {"system": plan.system.name}


def _findings(*, at: datetime) -> FindingsByAge:
    days = {n: at - timedelta(days=n) for n in (1, 7, 30)}
    counts = Finding.objects.filter(state__in=sorted(FINDING_OPEN)).aggregate(
        day=Count("id", filter=Q(first_seen_at__gt=days[1])),
        week=Count("id", filter=Q(first_seen_at__gt=days[7], first_seen_at__lte=days[1])),
        month=Count("id", filter=Q(first_seen_at__gt=days[30], first_seen_at__lte=days[7])),
        older=Count("id", filter=Q(first_seen_at__lte=days[30])),
        overdue=Count("id", filter=Q(due_at__lte=at) & ~Q(kind=FindingKind.EXPIRES)),
    )
    return FindingsByAge(**counts)


def _accounts(*, at: datetime) -> tuple[Nhi, int, dict[int, int]]:
    """The block of non-human identities, how many of any kind the sweep is late for, and how many end within days."""
    living = Account.objects.exclude(state__in=[AccountState.DEPROVISIONED, AccountState.ARCHIVED])
    answered = Ownership.objects.filter(account=OuterRef("pk"), state=OwnershipState.ACCEPTED)
    nhi, past = ~Q(kind=AccountKind.PERSON), Q(state=AccountState.ACTIVE, expires_at__lte=at)
    ends = {
        f"ends_{days}": Count("id", filter=Q(expires_at__gt=at, expires_at__lte=at + timedelta(days=days)))
        for days in ENDS_SOON
    }
    counts = living.annotate(has_owner=Exists(answered)).aggregate(
        total=Count("id", filter=nhi),
        no_owner=Count("id", filter=nhi & Q(has_owner=False)),
        no_end=Count("id", filter=nhi & Q(expires_at__isnull=True)),
        past_end=Count("id", filter=nhi & past),
        use_unknown=Count("id", filter=nhi & Q(last_used_at__isnull=True)),
        late=Count("id", filter=Q(state=AccountState.ACTIVE, expires_at__lte=at - LATE_AFTER)),
        **ends,
    )
    block = Nhi(**{word: counts[word] for word in ("total", "no_owner", "no_end", "past_end", "use_unknown")})
    return block, counts["late"], {days: counts[f"ends_{days}"] for days in ENDS_SOON}


def _campaigns(*, at: datetime) -> tuple[CampaignRow, ...]:
    live = list(
        Campaign.objects.filter(state__in=[CampaignState.RUNNING, CampaignState.SETTLING]).order_by("deadline", "name")
    )
    progress = campaign_verbs.progress([c.pk for c in live])
    return tuple(
        CampaignRow(
            campaign=c.pk,
            name=c.name,
            state=str(c.state),
            deadline=c.deadline,
            left=c.deadline - at,
            progress=progress.get(c.pk, Progress()),
        )
        for c in live
    )


def _runs() -> tuple[RunRow, ...]:
    last = Run.objects.select_related("system").order_by("-started_at", "-id")[:LAST_RUNS]
    return tuple(
        RunRow(
            run=run.pk,
            system=run.system.name,
            state=str(run.state),
            label=str(run.get_state_display()),
            started_at=run.started_at,
            ended_at=run.ended_at,
        )
        for run in last
    )


def _refusals(tenant: Tenant, names: Mapping[UUID, str], *, at: datetime) -> Refusals:
    """Tokens stand in a global table: those of this tenant are counted by system, those of others not at all.

    `names` are those of the living systems: what an ended one still sends is refused as it should be.
    """
    token = SystemToken.objects.filter(pk=OuterRef("token_id"))
    recent = RefusedToken.objects.filter(at__gt=at - REFUSED_WITHIN).annotate(
        of=Subquery(token.filter(tenant=tenant).values("system_id")[:1]), is_known=Exists(token)
    )
    counted = recent.filter(Q(of__isnull=False) | Q(is_known=False)).order_by().values("of").annotate(n=Count("id"))
    by_system = {row["of"]: int(row["n"]) for row in counted}
    ours = [(system, name, by_system[system]) for system, name in names.items() if system in by_system]
    return Refusals(systems=tuple(sorted(ours, key=lambda one: (-one[2], one[1]))), unknown=by_system.get(None, 0))
