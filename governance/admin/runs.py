"""Reconciliation runs, each with the proofs that its reading was whole."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.rules import Word
from governance.pages import Ask, PageRequest, ask, page, window
from provisioning import reconciliation
from provisioning.models.plan import Plan
from provisioning.models.run import Run
from provisioning.models.snapshot import Snapshot, SnapshotProof


def shown(run: Run) -> list[tuple[str, Any]]:
    """The counts of a run, in words."""
    return [(name.replace("_", " "), value) for name, value in run.counts.items() if not isinstance(value, dict | list)]


@page(Word.ROLL_READ)
def runs(request: PageRequest) -> HttpResponse:
    """The newest first, of one system or all."""
    rows = Run.objects.select_related("system").order_by("-started_at")
    found = window(request, rows)
    for run in found.rows:
        run.shown = shown(run)  # type: ignore[attr-defined]
    return render(request, "pages/runs.html", {"window": found})


@page(Word.ROLL_READ)
def run(request: PageRequest, pk: UUID) -> HttpResponse:
    """One run."""
    found = get_object_or_404(Run.objects.select_related("system"), pk=pk)
    snapshot = Snapshot.objects.filter(run=found).first()
    return render(
        request,
        "pages/run.html",
        {
            "run": found,
            "snapshot": snapshot,
            "proofs": SnapshotProof.objects.filter(snapshot=snapshot) if snapshot else [],
            "counts": shown(found),
            "plans": Plan.objects.filter(run=found).select_related("system"),
        },
    )


@page(Word.RUN_START)
def stop(request: PageRequest, pk: UUID) -> HttpResponse:
    """Stop a run after its page."""
    found = get_object_or_404(Run.objects.select_related("system"), pk=pk)

    def do(_cleaned: dict[str, Any]) -> str:
        reconciliation.ask_stop(run=found, at=request.at)
        return _("It stops after the page that it reads now.")

    return ask(
        request,
        Ask(
            title=_("Stop the reading of %(name)s?") % {"name": found.system.name},
            button=_("Stop 1 run"),
            keep=reverse("run", args=[pk]),
            consequences=[_("Its counts are thrown away; the next reading begins from the start.")],
            is_danger=True,
        ),
        do=do,
    )
