"""The journal: why, and what was decided or refused, in one sentence, with what it was about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import QuerySet

from audit.cause import current
from audit.models import JournalEntry, JournalSubject


@dataclass(frozen=True)
class Subject:
    """A soft reference: it stays readable when the thing is gone."""

    kind: str
    id: str
    label: str


def record(
    *, event: StrEnum, sentence: str, subjects: Iterable[Subject] = (), facts: Mapping[str, Any] | None = None
) -> JournalEntry:
    """One entry under the cause in force. Raises `audit.cause.NoCause` outside of one."""
    cause = current()
    entry = JournalEntry.objects.create(
        tenant_id=cause.tenant_id, cause_id=cause.pk, event=event.value, sentence=sentence, facts=dict(facts or {})
    )
    JournalSubject.objects.bulk_create(
        JournalSubject(tenant_id=cause.tenant_id, entry_id=entry.pk, kind=s.kind, subject_id=s.id, label=s.label[:400])
        for s in subjects
    )
    return entry


def timeline(*, kind: str, subject_id: str) -> QuerySet[JournalEntry]:
    """The entries that speak of one thing, newest first."""
    entries = JournalSubject.objects.filter(kind=kind, subject_id=str(subject_id)).values("entry_id")
    return JournalEntry.objects.filter(id__in=entries).order_by("-id")
