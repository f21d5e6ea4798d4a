"""The ledger: every request that could change something, with its answer and what became of it."""

import json
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render

from accounts.rules import Word
from audit.models import Cause, JournalEntry
from governance.pages import PageRequest, page, window
from provisioning.changes import Intent
from provisioning.models.exchange import Exchange, OutcomeWord
from provisioning.models.plan import Plan

FILTERS = ("system", "resource_id", "intent", "outcome", "coerced")


@page(Word.ROLL_READ)
def ledger(request: PageRequest) -> HttpResponse:
    """Newest first; by system, intent, outcome, resource, and with coercions only."""
    rows = Exchange.objects.select_related("system").order_by("-id")
    for name in ("system", "resource_id"):
        if value := request.GET.get(name):
            try:
                rows = rows.filter(**{name: UUID(value)})
            except ValueError:
                rows = rows.none()
    for name in ("intent", "outcome"):
        if value := request.GET.get(name):
            rows = rows.filter(**{name: value})
    if request.GET.get("coerced"):
        rows = rows.exclude(coercions=[])
    return render(
        request,
        "pages/ledger.html",
        {
            "window": window(request, rows),
            "intents": [i.value for i in Intent],
            "outcomes": OutcomeWord.choices,
            "chosen": {name: request.GET.get(name, "") for name in FILTERS},
            "is_filtered": any(request.GET.get(name) for name in FILTERS),
        },
    )


def _pretty(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


@page(Word.ROLL_READ)
def exchange(request: PageRequest, pk: UUID) -> HttpResponse:
    """One exchange whole: sent, read as, answered, done, and what came after on the same resource."""
    found = get_object_or_404(Exchange.objects.select_related("system"), pk=pk)
    later = Exchange.objects.filter(resource_id=found.resource_id, id__gt=found.pk).order_by("id")[:10]
    return render(
        request,
        "pages/exchange.html",
        {
            "exchange": found,
            "cause": Cause.objects.filter(pk=found.cause_id).first(),
            "entries": JournalEntry.objects.filter(cause_id=found.cause_id).order_by("id"),
            "sent": _pretty(found.request),
            "answered": _pretty(found.answer),
            "later": later if found.resource_id else [],
            "plan": Plan.objects.filter(pk=found.plan_id).first() if found.plan_id else None,
        },
    )
