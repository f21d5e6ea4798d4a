"""The inbox of findings, worst and first due first."""

from typing import Any
from uuid import UUID

from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import findings as door
from accounts.models.finding import Finding, FindingKind
from accounts.rules import Word
from accounts.states import FINDING_LIVE, FINDING_OPEN
from audit.journal import timeline
from governance.pages import Ask, PageRequest, ask, page, said_facts, window

CLOSES: dict[str, str] = {
    FindingKind.STATUS_DIFFERS: "a complete reading shows both sides equal",
    FindingKind.MEMBERSHIP_DIFFERS: "a complete reading shows both sides equal",
    FindingKind.FIELD_DIFFERS: "a complete reading shows both sides equal",
    FindingKind.MISSING_THERE: "a complete reading shows it there again, or it has ended here",
    FindingKind.UNKNOWN_HERE: "its system sends it, or a complete reading no longer shows it",
    FindingKind.NOT_MEASURED: "a complete reading succeeds",
    FindingKind.NOT_READ_BACK: "its system was read",
    FindingKind.STILL_ACTIVE: "a read shows it inactive or absent there",
    FindingKind.EXPIRES: "it is renewed or has ended",
    FindingKind.NO_OWNER: "somebody accepts it, or it has ended",
}


@page(Word.ROLL_READ)
def findings(request: PageRequest) -> HttpResponse:
    """What is open; `?show=all` adds what was resolved."""
    rows = Finding.objects.select_related("account", "system", "assigned_to")
    everything = request.GET.get("show") == "all"
    if not everything:
        rows = rows.filter(state__in=FINDING_LIVE if request.GET.get("show") == "excepted" else FINDING_OPEN)
    if kind := request.GET.get("kind"):
        rows = rows.filter(kind=kind)
    if request.GET.get("mine"):
        rows = rows.filter(assigned_to=request.user)
    counts = Finding.objects.filter(state__in=FINDING_OPEN).values_list("kind").annotate(n=Count("pk")).order_by("-n")
    return render(
        request,
        "pages/findings.html",
        {
            "window": window(request, rows.order_by("-severity", "due_at", "pk")),
            "counts": [(code, FindingKind(code).label, n) for code, n in counts],
            "total": sum(n for _code, n in counts),
            "chosen": {name: request.GET.get(name, "") for name in ("kind", "show", "mine")},
            "everything": everything,
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
            "evidence": said_facts(found.evidence, besides=frozenset({"run"})),
            "entries": timeline(kind="finding", subject_id=str(found.pk))[:50],
            "is_live": found.state in FINDING_LIVE,
        },
    )


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
