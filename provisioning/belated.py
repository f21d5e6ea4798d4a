"""An event that was lost for one reading may come before the next: then it was late, and what it caused says so.

Looked for at each complete reading, for as long as an event may reasonably be on its way. One that comes later still is
taken for a new one.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from accounts import findings
from accounts.models.finding import Attribution
from provisioning import attribution, differences, plans
from provisioning.changes import Intent, Outcome
from provisioning.models.plan import ChangeAct
from provisioning.models.snapshot import Snapshot
from provisioning.reasons import Word
from provisioning.statements import Statements

ON_ITS_WAY = timedelta(days=7)
_NOTHING_NEW = frozenset({Outcome.SAME, Outcome.DUPLICATE})
_SQL = Statements(__file__)


def catch_up(*, snapshot: Snapshot, at: datetime) -> int:
    """Say of each repair, and each finding, of a lost event that it was late where its event has come since.

    Returns how many differences.
    """
    parameters = {"system": snapshot.system_id, "horizon": at - ON_ITS_WAY}
    changes: dict[UUID, UUID] = {}
    keys = {row["key"]: UUID(row["exchange"]) for row in _SQL.rows("late_comings", parameters)}
    for row, exchange in _come(list(_SQL.rows("lost_repairs", parameters))):
        changes[row["change"]] = exchange
        keys[_key(snapshot, row)] = exchange
    word = Attribution.LATE_EVENT
    plans.attribute_anew(changes, was=Attribution.LOST_EVENT, word=word)
    findings.attribute_anew(keys, was=Attribution.LOST_EVENT, word=word, seen_since=at - ON_ITS_WAY)
    return len(keys)


def _key(snapshot: Snapshot, row: Mapping[str, Any]) -> str:
    if row["act"] == ChangeAct.DEPROVISION:
        return differences.status_key(snapshot.system_id, row["account"])
    return differences.member_key(snapshot.system_id, row["grp"], row["member"])


def _come(repairs: list[dict[str, Any]]) -> list[tuple[Mapping[str, Any], UUID]]:
    """Of what was repaired: by which exchange its system has asked for it since."""
    words = attribution.words_about({row["about"] for row in repairs})
    since = [(row, [word for word in words.get(row["about"], ()) if _may_ask(row, word)]) for row in repairs]
    texts = attribution.texts_of({word.id: word for _row, said in since for word in said}.values())
    found: list[tuple[Mapping[str, Any], UUID]] = []
    for row, said in since:
        asks = (word for word in reversed(said) if word.method == "DELETE" or texts.name(word.id, _what(row)))
        if word := next(asks, None):
            found.append((row, word.id))
    return found


def _may_ask(row: Mapping[str, Any], word: Word) -> bool:
    """Whether it came after the plan, and asked for nothing but what was done: it was so already, or the end."""
    if word.cause_id <= row["planned_by"]:
        return False
    if row["act"] == ChangeAct.REMOVE_MEMBER:
        return word.outcome in _NOTHING_NEW and word.intent == Intent.MEMBER_REMOVE
    is_end = word.outcome == Outcome.APPLIED and word.intent == Intent.DELETE
    return is_end or (word.outcome in _NOTHING_NEW and word.intent in {Intent.UPDATE, Intent.DISABLE})


def _what(row: Mapping[str, Any]) -> str:
    return "active" if row["act"] == ChangeAct.DEPROVISION else str(row["member"])
