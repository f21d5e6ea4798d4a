"""An event that was lost for one reading may come before the next: then it was late, and what it was blamed for says so.

Looked for at each complete reading, for as long as an event may reasonably be on its way. One that comes later still is
taken for a new one.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection as database

from accounts import findings
from accounts.models.finding import Attribution
from provisioning import attribution, differences, plans
from provisioning.changes import Intent, Outcome
from provisioning.models.snapshot import Snapshot
from provisioning.reasons import Word

ON_ITS_WAY = timedelta(days=7)
_SQL = attribution.statements(__file__)


def catch_up(*, snapshot: Snapshot, at: datetime) -> int:
    """Say of each repair, and each finding, of a lost event whose event has come since that it was late. How many."""
    changes: dict[UUID, UUID] = {}
    keys: dict[str, UUID] = {}
    for row in _rows("late_endings", snapshot, at):
        changes[row["change"]] = UUID(row["exchange"])
        keys[differences.status_key(snapshot.system_id, row["account"])] = UUID(row["exchange"])
    for row in _rows("late_comings", snapshot, at):
        keys[row["key"]] = UUID(row["exchange"])
    for row, exchange in _left_late(_rows("lost_leavings", snapshot, at)):
        changes[row["change"]] = exchange
        keys[differences.member_key(snapshot.system_id, row["grp"], row["member"])] = exchange
    word = Attribution.LATE_EVENT
    plans.attribute_anew(changes, was=Attribution.LOST_EVENT, word=word)
    findings.attribute_anew(keys, was=Attribution.LOST_EVENT, word=word, seen_since=at - ON_ITS_WAY)
    return len(changes.keys() | keys.keys())


def _left_late(rows: list[dict[str, Any]]) -> list[tuple[Mapping[str, Any], UUID]]:
    """Of members who were taken out: by which exchange since their system has said so too, which then did nothing."""
    if not rows:
        return []
    words = attribution.words_about({row["about"] for row in rows})
    first = min(row["planned_by"] for row in rows)
    asked = [word for said in words.values() for word in said if word.cause_id > first and _is_out(word)]
    texts = attribution.texts_of(asked)
    found = []
    for row in rows:
        since = (w for w in reversed(words.get(row["about"], ())) if w.cause_id > row["planned_by"] and _is_out(w))
        if word := next((w for w in since if texts.name(w.id, str(row["member"]))), None):
            found.append((row, word.id))
    return found


def _is_out(word: Word) -> bool:
    return word.outcome == Outcome.SAME and word.intent == Intent.MEMBER_REMOVE


def _rows(name: str, snapshot: Snapshot, at: datetime) -> list[dict[str, Any]]:
    with database.cursor() as cursor:
        cursor.execute(_SQL[name], {"system": snapshot.system_id, "horizon": at - ON_ITS_WAY})
        columns = [column.name for column in cursor.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
