"""The journal: why, and what was decided or refused, in one sentence, with what it was about."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from audit.cause import current
from audit.models import JournalEntry, JournalSubject

# One statement, since nearly every write of anybody ends with it.
_RECORD = """
WITH entry AS (
  INSERT INTO audit_journalentry (id, tenant_id, cause_id, event, sentence, facts)
  VALUES (%s, %s, %s, %s, %s, %s::jsonb) RETURNING id, tenant_id, at),
about AS (
  INSERT INTO audit_journalsubject (tenant_id, entry_id, kind, subject_id, label)
  SELECT e.tenant_id, e.id, s.kind, s.subject, s.label
  FROM entry e, unnest(%s::text[], %s::text[], %s::text[]) WITH ORDINALITY AS s (kind, subject, label, place)
  ORDER BY s.place)
SELECT at FROM entry
"""


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
    entry = JournalEntry(
        tenant_id=cause.tenant_id, cause_id=cause.pk, event=event.value, sentence=sentence, facts=dict(facts or {})
    )
    about = list(subjects)
    with connection.cursor() as cursor:
        cursor.execute(
            _RECORD,
            [
                entry.pk, entry.tenant_id, entry.cause_id, entry.event, entry.sentence, json.dumps(entry.facts),
                [s.kind for s in about], [s.id for s in about], [s.label[:400] for s in about],
            ],
        )  # fmt: skip
        (entry.at,) = cursor.fetchone()
    return entry


def timeline(*, kind: str, subject_id: str) -> QuerySet[JournalEntry]:
    """The entries that speak of one thing, newest first."""
    entries = JournalSubject.objects.filter(kind=kind, subject_id=str(subject_id)).values("entry_id")
    return JournalEntry.objects.filter(id__in=entries).order_by("-id")
