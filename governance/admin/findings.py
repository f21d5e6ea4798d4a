"""The inbox of findings, first due first."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import findings as door
from accounts.models.finding import Attribution, Finding, FindingKind, FindingState
from accounts.models.system import System
from accounts.rules import Word
from accounts.states import FINDING, FINDING_LIVE, FINDING_OPEN
from audit.journal import timeline
from governance import freshness
from governance.pages import Ask, PageRequest, ask, asked_id, chosen, page, said_facts, window
from provisioning.models.exchange import BODIES, Exchange
from provisioning.models.run import Run

CLOSES: dict[str, Any] = {
    FindingKind.STATUS_DIFFERS: gettext_lazy("a complete reading shows both sides equal"),
    FindingKind.MEMBERSHIP_DIFFERS: gettext_lazy("a complete reading shows both sides equal"),
    FindingKind.FIELD_DIFFERS: gettext_lazy("a complete reading shows both sides equal"),
    FindingKind.MISSING_THERE: gettext_lazy("a complete reading shows it there again, or it has ended here"),
    FindingKind.UNKNOWN_HERE: gettext_lazy("its system sends it, or a complete reading no longer shows it"),
    FindingKind.NOT_MEASURED: gettext_lazy("a complete reading succeeds"),
    FindingKind.NOT_READ_BACK: gettext_lazy("its system was read"),
    FindingKind.STILL_ACTIVE: gettext_lazy("a read shows it inactive or absent there"),
    FindingKind.EXPIRES: gettext_lazy("it is renewed or has ended"),
    FindingKind.NO_OWNER: gettext_lazy("somebody accepts it, or it has ended"),
    FindingKind.FEED_GAP: gettext_lazy("a complete reading has shown what was missed"),
    FindingKind.FEED_SILENT: gettext_lazy("its system answers again, or it is not followed any more"),
    FindingKind.NOT_APPLIED: gettext_lazy("it is applied, or somebody gives it up on the page of the ledger"),
    FindingKind.MEMBERS_UNRESOLVED: gettext_lazy(
        "its system states the whole membership of that group or ends it, or somebody has put it right and says so"
    ),
}


MISSED: dict[str, Any] = {
    Attribution.LOST_EVENT: gettext_lazy("nothing that says so has arrived here since it changed there."),
    Attribution.LATE_EVENT: gettext_lazy("what says so arrived after the reading, or before something older."),
    Attribution.REFUSED: gettext_lazy("its system said so, and was refused."),
    Attribution.PARKED: gettext_lazy("its system said so, and that waits to be applied or for a person."),
    Attribution.HELD: gettext_lazy("its system said so, and people or a rule keep it from taking effect."),
    Attribution.LOCAL_CHANGE: gettext_lazy("somebody, or a sweep of ours, changed it after its system's last word."),
    Attribution.OTHER_SOURCE: gettext_lazy("another system that knows the same account said otherwise."),
    Attribution.MAPPING_CHANGE: gettext_lazy("what its system had said means something else under today's rules."),
    Attribution.SOURCE_FAULT: gettext_lazy("what its system said and what it shows can't both be true."),
    Attribution.UNKNOWN: gettext_lazy("what is kept of the past allows more than one answer."),
}
# What the list shows: what is open, some part of it, or what is not open any more.
SHOWS = (
    ("", gettext_lazy("open")),
    ("mine", gettext_lazy("mine")),
    ("overdue", gettext_lazy("overdue")),
    ("excepted", gettext_lazy("excepted")),
    ("resolved", gettext_lazy("resolved")),
    ("all", gettext_lazy("all")),
)
# How long it has been open: the same bounds as the counts of the front page, in days.
AGES: Mapping[str, tuple[int | None, int | None]] = {
    "day": (None, 1),
    "week": (1, 7),
    "month": (7, 30),
    "older": (30, None),
}
AGE_LABELS = (
    ("day", gettext_lazy("under a day")),
    ("week", gettext_lazy("1 to 7 days")),
    ("month", gettext_lazy("7 to 30 days")),
    ("older", gettext_lazy("30 days and more")),
)
# Every kind that makes a system differ, as one choice.
DIFFERENCES = "differences"
KINDS = ((DIFFERENCES, gettext_lazy("every difference")), *FindingKind.choices)
# What a run did to findings.
_OF_RUN = (("seen", ""), ("opened", ""), ("closed", ""))
_OVER = (FindingState.RESOLVED, FindingState.FALSE_POSITIVE)
_CONDITIONS: dict[str, Callable[[PageRequest], Q]] = {
    "": lambda _request: Q(state__in=FINDING_OPEN),
    "mine": lambda request: Q(state__in=FINDING_OPEN, assigned_to=request.user),
    "overdue": lambda request: Q(state__in=FINDING_OPEN, due_at__lte=request.at) & ~Q(kind=FindingKind.EXPIRES),
    "excepted": lambda _request: Q(state=FindingState.EXCEPTED),
    "resolved": lambda _request: Q(state__in=_OVER),
    "all": lambda _request: Q(),
}


def _asked(request: PageRequest) -> dict[str, str]:
    system, account, run = (asked_id(request, name) for name in ("system", "account", "run"))
    return {
        "kind": chosen(request, "kind", KINDS),
        "show": chosen(request, "show", SHOWS),
        "age": chosen(request, "age", AGE_LABELS),
        "system": str(system or ""),
        "account": str(account or ""),
        "run": str(run or ""),
        "what": chosen(request, "what", _OF_RUN) or "seen",
    }


def _of_run(run: Run, what: str, *, at: datetime) -> Q:
    """The findings that a run saw, opened or closed, by the times that stand on them."""
    end = run.ended_at or at
    of_system = Q(system=run.system_id, kind__in=freshness.DIFFERENCES)
    if what == "opened":
        return of_system & Q(first_seen_at__gte=run.started_at, first_seen_at__lte=end)
    if what == "closed":
        return of_system & Q(resolved_at__gte=run.started_at, resolved_at__lte=end)
    # One that is seen again soon keeps its time of last sight (`accounts.findings`).
    seen = Q(first_seen_at__lte=end, last_seen_at__gte=run.started_at - door.SEEN_AGAIN_AFTER)
    return of_system & seen & (Q(resolved_at__isnull=True) | Q(resolved_at__gte=run.started_at))


def _aged(age: str, *, at: datetime) -> Q:
    least, most = AGES[age]
    found = Q() if least is None else Q(first_seen_at__lte=at - timedelta(days=least))
    return found if most is None else found & Q(first_seen_at__gt=at - timedelta(days=most))


def _filtered(request: PageRequest, asked: dict[str, str], run: Run | None) -> QuerySet[Finding]:
    rows = Finding.objects.select_related("account", "system", "assigned_to")
    if run is not None:
        rows = rows.filter(_of_run(run, asked["what"], at=request.at))
    else:
        rows = rows.filter(_CONDITIONS[asked["show"]](request))
    if kind := asked["kind"]:
        rows = rows.filter(kind__in=freshness.DIFFERENCES if kind == DIFFERENCES else [kind])
    for name in ("system", "account"):
        if asked[name]:
            rows = rows.filter(**{name: UUID(asked[name])})
    if age := asked["age"]:
        rows = rows.filter(_aged(age, at=request.at))
    return rows.order_by(F("due_at").asc(nulls_last=True), "-severity", "pk")


@page(Word.ROLL_READ)
def findings(request: PageRequest) -> HttpResponse:
    """What is open, first due first; by kind, system, age, and what a run saw; also what is over."""
    asked = _asked(request)
    run = Run.objects.select_related("system").filter(pk=asked["run"]).first() if asked["run"] else None
    counts = Finding.objects.filter(state__in=FINDING_OPEN).values_list("kind").annotate(n=Count("pk"))
    by_kind = [(code, FindingKind(code).label, n) for code, n in counts.order_by("-n", "kind")]
    found = window(request, _filtered(request, asked, run))
    # An empty list is all clear only where everything was looked at.
    grey = 0 if found else sum(not m.is_measured for m in freshness.of_systems(at=request.at))
    return render(
        request,
        "pages/findings.html",
        {
            "window": found,
            "counts": by_kind,
            "total": sum(n for _code, _label, n in by_kind),
            "chosen": asked,
            "run": run,
            "shows": SHOWS,
            "kinds": KINDS,
            "ages": AGE_LABELS,
            "systems": System.objects.filter(ended_at__isnull=True).order_by("name")[:200],
            "is_filtered": any(asked[name] for name in ("kind", "show", "age", "system", "account", "run")),
            "grey": grey,
        },
    )


@page(Word.ROLL_READ)
def finding(request: PageRequest, pk: UUID) -> HttpResponse:
    """One finding: what was seen, since when, what closes it."""
    found = get_object_or_404(Finding.objects.select_related("account", "system", "assigned_to"), pk=pk)
    return render(
        request,
        "pages/finding.html",
        {
            "finding": found,
            "closes": CLOSES.get(found.kind, _("somebody handles it")),
            "evidence": said_facts(found.evidence, besides=frozenset({"run", "exchange"})),
            "entries": timeline(kind="finding", subject_id=str(found.pk))[:50],
            "missed": MISSED.get(found.attribution, ""),
            "is_live": found.state in FINDING_LIVE,
            "is_mine": found.assigned_to_id == request.user.pk,
            "off": _off(found),
            "run": _seen_by(found),
            "exchange": _parked(found),
            "is_settled_by_people": found.kind in door.SETTLED_BY_PEOPLE,
        },
    )


def _off(found: Finding) -> dict[str, str]:
    """Why a verb leads nowhere from the state that a finding is in; empty words where it can be done."""
    now = found.get_state_display()
    targets = {
        "acknowledge": FindingState.ACKNOWLEDGED,
        "call_false": FindingState.FALSE_POSITIVE,
        "settle": FindingState.RESOLVED,
    }
    return {
        verb: ""
        if FINDING.allows(source=found.state, target=target)
        else _("it is %(state)s, and can't become that from there") % {"state": now}
        for verb, target in targets.items()
    }


def _seen_by(found: Finding) -> Run | None:
    """The reading that its evidence names."""
    pk = _id_in(found, "run")
    return Run.objects.select_related("system").filter(pk=pk).first() if pk else None


def _parked(found: Finding) -> Exchange | None:
    """The exchange that its evidence names."""
    pk = _id_in(found, "exchange")
    return Exchange.objects.defer(*BODIES).filter(pk=pk).first() if pk else None


def _id_in(found: Finding, name: str) -> UUID | None:
    try:
        return UUID(str(found.evidence.get(name, "")))
    except ValueError:
        return None


def _handle(request: PageRequest, pk: UUID, *, verb: Any, title: str, button: str, consequence: str) -> HttpResponse:
    found = get_object_or_404(Finding, pk=pk)

    def do(cleaned: dict[str, Any]) -> str:
        verb(finding=found, reason=cleaned["reason"], at=request.at)
        return _("Done: %(title)s") % {"title": found.title}

    asked = Ask(
        title=title % {"title": found.title}, button=button, keep=reverse("finding", args=[pk]),
        consequences=[consequence],
    )  # fmt: skip
    return ask(request, asked, do=do, refusals=(door.CantHandle,))


@page(Word.FINDING_HANDLE)
def acknowledge(request: PageRequest, pk: UUID) -> HttpResponse:
    """Seen, and being looked at."""
    return _handle(
        request, pk, verb=door.acknowledge, title=_("Acknowledge “%(title)s”?"), button=_("Acknowledge 1 finding"),
        consequence=_("It stays open and counted; others see that somebody looks at it."),
    )  # fmt: skip


@page(Word.FINDING_HANDLE)
def call_false(request: PageRequest, pk: UUID) -> HttpResponse:
    """It was never wrong."""
    return _handle(
        request, pk, verb=door.call_false, title=_("Was “%(title)s” never wrong?"), button=_("Call 1 finding false"),
        consequence=_("It closes. The next reading that sees the same opens a new one."),
    )  # fmt: skip


@page(Word.FINDING_HANDLE)
def settle(request: PageRequest, pk: UUID) -> HttpResponse:
    """Somebody has put it right, where no reading could show it."""
    return _handle(
        request, pk, verb=door.settle, title=_("Is “%(title)s” put right?"), button=_("Settle 1 finding"),
        consequence=_("It closes with your reason. The next request that can't be read opens a new one."),
    )  # fmt: skip


@page(Word.FINDING_HANDLE)
def take(request: PageRequest, pk: UUID) -> HttpResponse:
    """Assign it to oneself, or give it back."""
    found = get_object_or_404(Finding, pk=pk)
    mine = found.assigned_to_id == request.user.pk

    def do(_cleaned: dict[str, Any]) -> str:
        door.assign(finding=found, to=None if mine else request.user)
        return _("Given back.") if mine else _("It is yours.")

    title = _("Give back “%(title)s”?") if mine else _("Take “%(title)s”?")
    asked = Ask(
        title=title % {"title": found.title}, button=_("Give back 1 finding") if mine else _("Take 1 finding"),
        keep=reverse("finding", args=[pk]),
    )  # fmt: skip
    return ask(request, asked, do=do)
