"""Why no event told of a difference: each that a reading finds gets one word, and the row that decided it.

The facts are read for a thousand differences at once, by `attribution.sql`; what they mean is decided by `reasons`,
without a query for any of them. Where the ledger keeps what is asked about only encrypted (which member, which
attribute), the few bodies in question are opened for that one question. `docs/decisions/0023` says why.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from accounts.states import FINDING_LIVE
from audit.keys import uuid7_of_tomorrow
from provisioning import authority, bodies, reasons, received
from provisioning.bodies import BodyUnreadable
from provisioning.changes import fold
from provisioning.models.exchange import Exchange
from provisioning.models.received import Received
from provisioning.models.snapshot import Snapshot
from provisioning.reasons import OUT_OF_TURN, Facts, Row, Seen, Texts, Why, Word
from provisioning.statements import Statements

# How many exchanges about one resource are looked at, and how many bodies of a thousand differences are opened.
MOST_WORDS = 100
MOST_OPENED = 500
LARGEST_OPENED = 1024 * 1024

_SQL = Statements(__file__)


def texts_of(words: Iterable[Word], waiting: Iterable[UUID] = ()) -> Texts:
    """Three queries at most, whatever the number."""
    small = {word.id for word in words if word.method != "DELETE" and word.request_bytes <= LARGEST_OPENED}
    newest = sorted(small, reverse=True)[:MOST_OPENED]
    rows = list(Exchange.objects.filter(pk__in=newest)) if newest else []
    opened = bodies.opener(rows)
    found: dict[UUID, str] = {}
    for row in rows:
        try:
            sent = opened(row).request
        except BodyUnreadable:
            continue
        if sent is not None:
            found[row.pk] = json.dumps(sent, ensure_ascii=False).lower()
    first = sorted(set(waiting), reverse=True)[:MOST_OPENED]
    for item in Received.objects.filter(pk__in=first) if first else ():
        try:
            found[item.pk] = json.dumps(received.body_of(item), ensure_ascii=False).lower()
        except received.Unreadable:
            continue
    return Texts(found)


@dataclass(frozen=True)
class _Family:
    """How one kind of difference is looked at: which statement knows of it, and which rule decides."""

    facts: str
    decides: Callable[[Seen], Why]


_FAMILIES: Mapping[str, _Family] = {
    "status": _Family("of_resources", reasons.status),
    "fields": _Family("of_resources", reasons.fields),
    "missing": _Family("of_resources", reasons.missing),
    "unknown": _Family("of_strangers", reasons.stranger),
    "removed": _Family("of_members", reasons.removed),
    "added": _Family("of_members", reasons.added),
}


def explain(*, snapshot: Snapshot, name: str, found: Sequence[tuple[str, Row]]) -> dict[str, Why]:
    """For differences of one statement of the comparison, by the dedupe keys of their findings: why no event told.

    Six queries at most for as many as are given at once.
    """
    family = _FAMILIES[name]
    parameters = _parameters(snapshot) | _asked(found)
    facts = {row["key"]: row for row in _SQL.rows(family.facts, parameters)}
    words = _words(family, facts.values(), parameters)
    rules = authority.rules_for(snapshot.system) if name == "status" else ()
    seen = {
        key: Seen(row, facts[key], words.get(facts[key].get("about"), ()), snapshot.since, snapshot.system_id, rules)
        for key, row in found if key in facts
    }  # fmt: skip
    texts = texts_of(_in_question(seen.values()), (one for row in facts.values() for one in row.get("waiting") or ()))
    return {key: family.decides(replace(one, texts=texts)) for key, one in seen.items()}


def _in_question(every: Iterable[Seen]) -> list[Word]:
    return list({word.id: word for seen in every for word in (*seen.stuck(), *seen.idle())}.values())


def _words(family: _Family, facts: Iterable[Facts], parameters: Mapping[str, Any]) -> dict[UUID | None, list[Word]]:
    if family.facts == "of_strangers":
        return {None: [Word(**row) for row in _SQL.rows("refused_creations", parameters)]}
    return words_about({row["about"] for row in facts})


def words_about(about: Collection[UUID]) -> dict[UUID | None, list[Word]]:
    """What was said about each of these resources, the newest first. One query."""
    found: dict[UUID | None, list[Word]] = {}
    if about:
        parameters = {"about": sorted(about), "tomorrow": uuid7_of_tomorrow(), "most": MOST_WORDS}
        for row in _SQL.rows("words", parameters):
            found.setdefault(row.pop("about"), []).append(Word(**row))
    return found


def _asked(found: Sequence[tuple[str, Row]]) -> dict[str, Any]:
    rows = [row for _key, row in found]
    return {
        "keys": [key for key, _row in found],
        "shadows": [row.get("shadow_id") for row in rows],
        "groups": [row.get("group_id") for row in rows],
        "members": [row.get("origin_ref") for row in rows],
        "types": [row.get("resource_type", "") for row in rows],
        "remotes": [row.get("remote_id", "") for row in rows],
        "names": [row.get("there_key", "") for row in rows],
        "displays": [fold(row.get("displayed_there") or "")[:400] for row in rows],
    }


def _parameters(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "run": snapshot.run_id, "system": snapshot.system_id, "since": snapshot.since, "window": OUT_OF_TURN,
        "live": sorted(FINDING_LIVE), "tomorrow": uuid7_of_tomorrow(), "most": MOST_WORDS,
    }  # fmt: skip
