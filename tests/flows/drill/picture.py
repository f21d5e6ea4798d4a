"""What a tenant's tables hold, in words that are the same for two that went the same way."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from django.apps import apps

from accounts.models import Account, Finding, Hold, Membership
from audit.models import JournalEntry, JournalSubject, history_of, tracked
from audit.scope import scope
from governance.models.campaign import Campaign, Review
from provisioning.models import (
    Cursor,
    Exchange,
    FeedEvent,
    PlannedChange,
    Readback,
    Received,
    Run,
    Shadow,
    SnapshotProof,
)
from provisioning.models.plan import Plan
from provisioning.models.rebuild import Rebuild, Rebuilt
from provisioning.models.replay import Replay
from provisioning.models.snapshot import StagedMember, StagedResource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from django.db.models import Model

# Who works on something, and until when: a claim that died with its worker is taken once more, and that is all of it.
CLAIMS = frozenset({"lease", "leased_until", "read_due_at", "tries", "next_try_at"})
_NAMES_NOBODY = frozenset({"run", "plan", "system", "permit", "campaign"})


def picture(tenant: UUID) -> dict[str, Any]:
    """Everything that the work leaves behind: states, findings, plans, evidence, and how many rows of history."""
    with scope(tenant=tenant):
        return {
            "accounts": _sorted(Account.objects, "user_name", "state", "epoch", "was_active", "read_due_at"),
            "holds": _sorted(Hold.objects, "account__user_name", "kind", "released_at"),
            "members": _sorted(Membership.objects, "group__display_name", "account__user_name", "ended_at"),
            "shadows": _sorted(Shadow.objects, "system__name", "name", "wants_active", "version", "ended_at"),
            "findings": _sorted(Finding.objects, "kind", "state", "severity", "title"),
            "runs": _runs(),
            "proofs": _sorted(SnapshotProof.objects, "word", "holds", "detail"),
            "staged": StagedResource.objects.count() + StagedMember.objects.count(),
            "plans": _sorted(Plan.objects, "kind", "state", "repeats", "ended_because"),
            "changes": _sorted(PlannedChange.objects, "act", "label", "result", "detail"),
            "read back": _sorted(Readback.objects, "account__user_name", "result", "detail"),
            "campaigns": _sorted(Campaign.objects, "name", "state"),
            "lines": _sorted(Review.objects, "account__user_name", "state", "note"),
            "exchanges": _sorted(Exchange.objects, "method", "resource_label", "intent", "outcome", "status"),
            "cursors": _sorted(Cursor.objects, "stream", "state", "epoch", "position", "gap_because"),
            "heard": _sorted(FeedEvent.objects, "cursor__stream", "key"),
            "received": _sorted(Received.objects, "method", "path", "state", "sealed", "error"),
            "replays": _sorted(Replay.objects, "kind", "state", "counts", "total", "ended_at"),
            "rebuilt": _sorted(Rebuilt.objects, "label", "document", "wants_active", "is_ended", "unclear"),
            "compared": _sorted(Rebuild.objects, "state", "folded", "equal", "differing", "left_out"),
            "journal": journal(),
            "history": {model.__name__: _changes_of(model) for model in models_with_history()},
        }


def _sorted(manager: Any, *fields: str) -> list[tuple[Any, ...]]:
    """The rows, without when: an instant counts only as there or not."""
    rows = ([isinstance(value, dt.datetime) or value for value in row] for row in manager.values_list(*fields))
    return sorted(map(tuple, rows), key=repr)


def _runs() -> list[tuple[Any, ...]]:
    """What each counted, without how long it took."""
    rows = _sorted(Run.objects, "state", "step", "problem", "leased_until", "counts")
    return [(*words, {name: count for name, count in counts.items() if name != "seconds"}) for *words, counts in rows]


def journal() -> Counter[tuple[str, tuple[str, ...]]]:
    """How often each event is told, and of whom."""
    told: dict[UUID, list[str]] = {}
    for entry, kind, label in JournalSubject.objects.values_list("entry_id", "kind", "label"):
        if kind not in _NAMES_NOBODY:
            told.setdefault(entry, []).append(f"{kind} {label}")
    events = JournalEntry.objects.values_list("id", "event")
    return Counter((event, tuple(sorted(told.get(entry, [])))) for entry, event in events)


def models_with_history() -> list[type[Model]]:
    """Every model of a tenant whose changes are kept."""
    return [m for m in apps.get_models() if tracked(m) and any(f.name == "tenant" for f in m._meta.concrete_fields)]


def _changes_of(model: type[Model]) -> int:
    """Rows of history, without those in which only a claim has moved."""
    fields = [f.attname for f in history_of(model)._meta.concrete_fields if f.name in _own_fields(model)]
    rows = list(history_of(model).objects.order_by("id", "history_id").values(*fields))
    return len(rows) - sum(_only_claims(before, after) for before, after in pairwise(rows))


def _own_fields(model: type[Model]) -> set[str]:
    return {f.name for f in model._meta.concrete_fields}


def _only_claims(before: dict[str, Any], after: dict[str, Any]) -> bool:
    differing = {name for name in after if before[name] != after[name]}
    return bool(differing) and differing <= CLAIMS


def torn(models: Iterable[type[Model]] | None = None) -> list[str]:
    """Rows whose last row of history does not say what they hold; as nothing else, a half-written change."""
    found = []
    for model in models if models is not None else models_with_history():
        fields = [f.attname for f in history_of(model)._meta.concrete_fields if f.name in _own_fields(model)]
        last = {row["id"]: row for row in history_of(model).objects.order_by("history_id").values(*fields)}
        rows = {row["id"]: row for row in model._default_manager.values(*fields)}
        found += [f"{model.__name__} {pk}" for pk in rows.keys() | last.keys() if rows.get(pk) != last.get(pk)]
    return found


def differing(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What two pictures do not share, by section: only in the first, only in the second."""
    return {
        name: (_only_in(before[name], after[name]), _only_in(after[name], before[name]))
        for name in before
        if before[name] != after[name]
    }


def _only_in(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {key: value for key, value in one.items() if other.get(key) != value}
    if isinstance(one, list):
        return [row for row in one if one.count(row) > other.count(row)]
    return one
