"""The ledger: every request that could change something, with its answer and what became of it."""

import json
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.system import System
from accounts.rules import Word
from audit.models import Cause, JournalEntry
from governance.admin import changes, replay_facts
from governance.admin.coercions import coerced, noted, tolerated
from governance.admin.received import ahead
from governance.admin.replays import asked_range, instant
from governance.admin.transcripts import fixture
from governance.pages import PageRequest, asked_id, chosen, page, window
from provisioning import archives, bodies, replay, replaying
from provisioning.changes import Intent
from provisioning.models.exchange import BODIES, Exchange, OutcomeWord
from provisioning.models.plan import Plan
from provisioning.models.received import Received
from provisioning.models.shadow import Shadow

INTENTS = (
    (Intent.CREATE.value, gettext_lazy("create")),
    (Intent.UPDATE.value, gettext_lazy("change")),
    (Intent.DISABLE.value, gettext_lazy("disable")),
    (Intent.ENABLE.value, gettext_lazy("enable")),
    (Intent.DELETE.value, gettext_lazy("delete")),
    (Intent.MEMBER_ADD.value, gettext_lazy("add members")),
    (Intent.MEMBER_REMOVE.value, gettext_lazy("remove members")),
    (Intent.MEMBER_REPLACE.value, gettext_lazy("replace members")),
    (Intent.UNKNOWN.value, gettext_lazy("could not be read")),
)
INTENT_WORDS = dict(INTENTS)
# As the sentence of the page: who asked for what, about whom.
_ASKED = {
    Intent.CREATE.value: gettext_lazy("%(system)s asked to create %(name)s"),
    Intent.UPDATE.value: gettext_lazy("%(system)s asked to change %(name)s"),
    Intent.DISABLE.value: gettext_lazy("%(system)s asked to disable %(name)s"),
    Intent.ENABLE.value: gettext_lazy("%(system)s asked to enable %(name)s"),
    Intent.DELETE.value: gettext_lazy("%(system)s asked to delete %(name)s"),
    Intent.MEMBER_ADD.value: gettext_lazy("%(system)s asked to add members to %(name)s"),
    Intent.MEMBER_REMOVE.value: gettext_lazy("%(system)s asked to remove members from %(name)s"),
    Intent.MEMBER_REPLACE.value: gettext_lazy("%(system)s asked to replace the members of %(name)s"),
}
_SYSTEMS_OFFERED = 200
_LATER_SHOWN = 10
_ENTRIES_SHOWN = 50
# An empty filter says how many there are without it: up to this many are counted.
_MOST_COUNTED = 10_000


def _asked(request: PageRequest) -> dict[str, str]:
    system, resource = asked_id(request, "system"), asked_id(request, "resource_id")
    return {
        "system": str(system or ""),
        "resource_id": str(resource or ""),
        "intent": chosen(request, "intent", INTENTS),
        "outcome": chosen(request, "outcome", OutcomeWord.choices),
        "coerced": "1" if request.GET.get("coerced") else "",
        "from": request.GET.get("from", "") if instant(request, "from") else "",
        "until": request.GET.get("until", "") if instant(request, "until") else "",
    }


def _filtered(request: PageRequest, asked: dict[str, str]) -> QuerySet[Exchange]:
    rows = Exchange.objects.select_related("system").defer(*BODIES).order_by("-id")
    for name in ("system", "resource_id", "intent", "outcome"):
        if asked[name]:
            rows = rows.filter(**{name: asked[name]})
    if (first := instant(request, "from")) is not None:
        rows = rows.filter(id__gte=replaying.since(first))
    if (last := instant(request, "until")) is not None:
        rows = rows.filter(id__lte=replaying.until(last))
    return coerced(rows) if asked["coerced"] else rows


def _shown(one: Exchange) -> dict[str, Any]:
    return {
        "exchange": one,
        "intent": INTENT_WORDS.get(one.intent, one.intent),
        "tolerated": tolerated(one.coercions),
        "notes": noted(one.coercions),
    }


@page(Word.ROLL_READ)
def ledger(request: PageRequest) -> HttpResponse:
    """Newest first; by system, intent, outcome, resource, and with coercions only."""
    asked = _asked(request)
    found = window(request, _filtered(request, asked))
    is_filtered = any(asked.values())
    counted = Exchange.objects.order_by()[: _MOST_COUNTED + 1].count() if is_filtered and not found else 0
    return render(
        request,
        "pages/ledger.html",
        {
            "window": found,
            "ahead": ahead(asked),
            "rows": [_shown(one) for one in found.rows],
            "intents": INTENTS,
            "outcomes": OutcomeWord.choices,
            "systems": System.objects.order_by("name")[:_SYSTEMS_OFFERED],
            "chosen": asked,
            "is_filtered": is_filtered,
            "without": min(counted, _MOST_COUNTED),
            "is_more": counted > _MOST_COUNTED,
            "can_replay": asked_range(request) is not None,
            "query": request.GET.urlencode(),
        },
    )


def _pretty(value: Any) -> str:
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def _gone(request: PageRequest, pk: UUID) -> HttpResponse:
    """Of one that left for an archive, which file has it. Raises `Http404` for one that never was."""
    archive = archives.holding(pk)
    if archive is None:
        raise Http404
    return render(request, "pages/exchange_archived.html", {"archive": archive, "id": pk}, status=HTTPStatus.GONE)


@page(Word.ROLL_READ)
def exchange(request: PageRequest, pk: UUID) -> HttpResponse:
    """One exchange whole: sent, read as, answered, done, what it changed, and what came after on the same resource."""
    found = Exchange.objects.select_related("system").filter(pk=pk).first()
    if found is None:
        return _gone(request, pk)
    shadow = (
        Shadow.objects.filter(pk=found.resource_id).select_related("account").first() if found.resource_id else None
    )
    kept = bodies.shown(found)
    later = Exchange.objects.filter(resource_id=found.resource_id, id__gt=found.pk).order_by("id")
    changed = changes.of_exchange(shadow, cause=found.cause_id) if shadow else []
    return render(
        request,
        "pages/exchange.html",
        _shown(found)
        | {
            "asked": str(_ASKED.get(found.intent, _("%(system)s sent what could not be read")))
            % {"system": found.system.name, "name": found.resource_label or found.path},
            "cause": Cause.objects.filter(pk=found.cause_id).first(),
            "entries": JournalEntry.objects.filter(cause_id=found.cause_id).order_by("id")[:_ENTRIES_SHOWN],
            "sent": _pretty(kept.request),
            "answered": _pretty(kept.answer),
            "unreadable": kept.problem,
            "fixture": "" if kept.problem else fixture(found, kept.request),
            "later": [_shown(one) for one in later[:_LATER_SHOWN]] if found.resource_id else [],
            "plan": Plan.objects.filter(pk=found.plan_id).first() if found.plan_id else None,
            "shadow": shadow,
            "received_at": Received.objects.filter(pk=found.pk).values_list("received_at", flat=True).first(),
            "changes": changed,
            "replayed": replay_facts.of(found, then=changed, at=request.at) if request.GET.get("simulate") else None,
            "replays": [
                _shown(one) for one in Exchange.objects.filter(replays=found.pk).order_by("-id")[:_LATER_SHOWN]
            ],
            "no_replay": replay.in_the_way(found),
        },
    )
