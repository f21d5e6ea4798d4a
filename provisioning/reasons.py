"""What evidence about a difference means: one rule for each kind of difference, pure.

The facts come from `attribution`, which reads them for a thousand differences at once. The newest evidence decides; where
none does, the word is `unknown`. `docs/decisions/0023` says what each word rests on.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.models.account import AccountState
from accounts.models.finding import Attribution
from audit.models import CauseKind
from provisioning import authority
from provisioning.changes import Intent, Outcome
from provisioning.models.authority import FieldAuthority

Row = Mapping[str, Any]
Facts = Mapping[str, Any]

# Within how long two events of one resource may have come in another order than they happened.
OUT_OF_TURN = timedelta(hours=1)
_FAILED = frozenset({Outcome.REJECTED, Outcome.PARKED})
_ACCEPTED = frozenset({Outcome.APPLIED, Outcome.SAME, Outcome.HELD})
# What was taken and did nothing.
_IDLE = frozenset({Outcome.SAME, Outcome.DUPLICATE, Outcome.HELD})
_STUCK = frozenset({*_FAILED, Outcome.HELD, Outcome.SUPERSEDED})
_LEAVES = frozenset({Intent.MEMBER_REMOVE, Intent.MEMBER_REPLACE})
_JOINS = frozenset({Intent.MEMBER_ADD, Intent.MEMBER_REPLACE})


@dataclass(frozen=True)
class Why:
    """One word, and the row that decided it, if one did: its kind (exchange, received, cause, rule) and its id."""

    attribution: Attribution
    by: Mapping[str, str] = field(default_factory=dict)


def _why(attribution: Attribution, kind: str, key: object) -> Why:
    return Why(attribution, {"kind": kind, "id": str(key)})


@dataclass(frozen=True)
class Word:
    """One exchange as its columns show it: that something was said, not what."""

    id: UUID
    outcome: str
    intent: str
    method: str
    at: datetime
    cause_id: int
    request_bytes: int


@dataclass(frozen=True)
class Texts:
    """What was sent, as lower-case JSON, by the id of the exchange or of what was received."""

    by_id: Mapping[UUID, str]

    def name(self, key: UUID, *said: str) -> bool | None:
        """Whether it names one of these attributes or ids; None where what was sent is not kept, or not opened."""
        text = self.by_id.get(key)
        if text is None:
            return None
        return any(re.search(rf"""["':.\[]{re.escape(one.lower())}["'\\\]. \[]""", text) is not None for one in said)


@dataclass(frozen=True)
class Seen:
    """All that is known of one difference: its row of the comparison, the facts about it, and what was said."""

    row: Row
    facts: Facts
    words: Sequence[Word]
    since: datetime
    system: UUID
    rules: Sequence[FieldAuthority] = ()
    texts: Texts = field(default_factory=lambda: Texts({}))

    def after_clean(self, word: Word) -> bool:
        """Whether it can have to do with a difference that the last complete reading before did not show."""
        clean: datetime | None = self.facts["clean_at"]
        return clean is None or word.at > clean

    def after_told(self, word: Word) -> bool:
        """Whether it is at least as new as the word by which it stands here as it does."""
        told: int | None = self.facts.get("told_by")
        return told is None or word.cause_id >= told

    def idle(self) -> list[Word]:
        """What did nothing, shortly before the word by which it stands here as it does."""
        told: datetime | None = self.facts.get("told_at")
        if told is None:
            return []
        return [
            w for w in self.words
            if w.outcome in _IDLE and w.cause_id < self.facts["told_by"] and w.at > told - OUT_OF_TURN
        ]  # fmt: skip

    def stuck(self) -> list[Word]:
        """What came, and had no effect or not all of it; newest first."""
        return [w for w in self.words if w.outcome in _STUCK and self.after_clean(w) and self.after_told(w)]


Says = Callable[[Seen, Word], bool | None]


def _lost_or(seen: Seen, *, waits: UUID | None, says: Says, may_be_held: bool = True) -> Why:
    """By the newest word that says what the directory shows; without one, by an earlier one; without that, it is lost."""
    if waits is not None:
        return _why(Attribution.PARKED, "received", waits)
    doubtful = None
    for word in seen.stuck():
        if word.outcome == Outcome.HELD and not may_be_held:
            continue
        speaks = says(seen, word)
        if speaks:
            return _of_stuck(seen, word)
        if speaks is None and word.outcome in _FAILED:
            doubtful = doubtful or word
    for word in seen.idle():
        if says(seen, word):
            return _why(Attribution.LATE_EVENT, "exchange", word.id)
    return _why(Attribution.UNKNOWN, "exchange", doubtful.id) if doubtful else Why(Attribution.LOST_EVENT)


def _of_stuck(seen: Seen, word: Word) -> Why:
    if word.outcome == Outcome.HELD:
        changed: datetime | None = seen.facts.get("rule_at")
        if changed is not None and changed > word.at:
            return _why(Attribution.MAPPING_CHANGE, "rule", seen.facts["rule"])
        return _why(Attribution.HELD, "exchange", word.id)
    words = {Outcome.REJECTED: Attribution.REFUSED, Outcome.PARKED: Attribution.PARKED}
    return _why(words.get(Outcome(word.outcome), Attribution.LATE_EVENT), "exchange", word.id)


def _of_status(seen: Seen, word: Word) -> bool | None:
    if word.method in {"POST", "DELETE"}:
        return True
    because = str(seen.row.get("because") or "").partition(" is ")[0].rpartition(":")[2]
    return seen.texts.name(word.id, "active", *([because] if because else []))


def _of_name(seen: Seen, word: Word) -> bool | None:
    return None if word.method == "DELETE" else seen.texts.name(word.id, "userName", "displayName")


def _of_end(_seen: Seen, word: Word) -> bool | None:
    return word.method == "DELETE"


def _moved(seen: Seen, *, otherwise: Callable[[], Why]) -> Why:
    """Its system has said what it shows: who has made it otherwise here since."""
    facts = seen.facts
    if facts["moved_by_reading"]:
        return otherwise()
    if facts["moved_kind"] == CauseKind.EXCHANGE and facts["moved_exchange"] is not None:
        is_other = facts["moved_system"] not in {None, seen.system}
        word = Attribution.OTHER_SOURCE if is_other else Attribution.UNKNOWN
        return _why(word, "exchange", facts["moved_exchange"])
    if facts["moved_by"] is None:
        return Why(Attribution.UNKNOWN)
    return _why(Attribution.LOCAL_CHANGE, "cause", facts["moved_by"])


def status(seen: Seen) -> Why:
    """One side is off, and the other is not."""
    row, facts = seen.row, seen.facts
    off_there = row["is_off_there"]
    waits = facts["waits_reducing"] if off_there else facts["waits"]

    def missed() -> Why:
        return _lost_or(seen, waits=waits, says=_of_status)

    if off_there and row["active"] is not False:
        return _by_attribute(seen, missed)
    # Pending here: what it waits for here has not even been asked for.
    if facts["wants_active"] is off_there or (not off_there and row["state"] == AccountState.PENDING):
        return missed()
    if waits is None and (word := next((w for w in seen.stuck() if _of_status(seen, w)), None)):
        return _of_stuck(seen, word)
    return _moved(seen, otherwise=missed)


def _by_attribute(seen: Seen, missed: Callable[[], Why]) -> Why:
    """Off there by an attribute: was that value said already, and means "ended" only since a rule was made?"""
    facts = seen.facts
    word = authority.status(active=facts["wants_active"], document=facts["document"], rules=seen.rules)
    if word.active is not False:
        return missed()
    if facts["rule_at"] is not None and facts["rule_at"] > facts["said_at"]:
        return _why(Attribution.MAPPING_CHANGE, "rule", facts["rule"])
    return _moved(seen, otherwise=missed)


def fields(seen: Seen) -> Why:
    """A name differs."""
    why = _lost_or(seen, waits=seen.facts["waits"] or seen.facts["waits_reducing"], says=_of_name, may_be_held=False)
    before = seen.facts["said_before"]
    if why.attribution == Attribution.LOST_EVENT and before is not None:
        return _why(Attribution.LATE_EVENT, "exchange", before)
    return why


def missing(seen: Seen) -> Why:
    """Ours, and not there any more."""
    spoken = (w for w in seen.words if w.outcome in _ACCEPTED and w.intent != Intent.DELETE and w.at > seen.since)
    if word := next(spoken, None):
        return _why(Attribution.SOURCE_FAULT, "exchange", word.id)
    if seen.facts["ended_before"] is not None:
        return _why(Attribution.LATE_EVENT, "exchange", seen.facts["ended_before"])
    return _lost_or(seen, waits=seen.facts["waits_reducing"], says=_of_end, may_be_held=False)


def stranger(seen: Seen) -> Why:
    """Something there that is none of ours."""
    facts = seen.facts
    if facts["said_gone"] is not None:
        return _why(Attribution.SOURCE_FAULT, "exchange", facts["said_gone"])
    if facts["gone_by"] is not None:
        return _why(Attribution.LOCAL_CHANGE, "cause", facts["gone_by"])
    if facts["waits"] is not None:
        return _why(Attribution.PARKED, "received", facts["waits"])
    return _never_made(seen)


def _never_made(seen: Seen) -> Why:
    facts = seen.facts
    refused = [word for word in seen.words if seen.after_clean(word)]
    named = {word.id: seen.texts.name(word.id, facts["remote"], str(seen.row["name"])) for word in refused}
    if word := next((w for w in refused if named[w.id]), None):
        return _of_stuck(seen, word)
    if facts["perhaps_waits"] is not None:
        return _why(Attribution.UNKNOWN, "received", facts["perhaps_waits"])
    if word := next((w for w in refused if named[w.id] is None), None):
        return _why(Attribution.UNKNOWN, "exchange", word.id)
    # It may have been there before its system said anything to us.
    return Why(Attribution.UNKNOWN if facts["clean_at"] is None else Attribution.LOST_EVENT)


def removed(seen: Seen) -> Why:
    """A member here, and none there."""
    return _member(seen, leaves=True)


def added(seen: Seen) -> Why:
    """A member there, and none here."""
    return _member(seen, leaves=False)


def _member(seen: Seen, *, leaves: bool) -> Why:
    facts = seen.facts
    if facts["moved_kind"] not in {None, CauseKind.EXCHANGE} and not facts["moved_by_reading"]:
        return _why(Attribution.LOCAL_CHANGE, "cause", facts["moved_by"])
    intents = _LEAVES if leaves else _JOINS

    def says(seen: Seen, word: Word) -> bool | None:
        if word.outcome in _IDLE and word.intent not in intents:
            return False
        named = seen.texts.name(word.id, facts["ref"])
        if named is False and leaves and word.method == "PUT":
            return True  # it states everybody, and not this one
        # A removal that named somebody whom nobody knows: who was meant to leave can't be told.
        return None if leaves and not named and word.outcome == Outcome.PARKED else named

    waits = next((one for one in facts["waiting"] if seen.texts.name(one, facts["ref"])), None)
    return _lost_or(seen, waits=waits, says=says, may_be_held=not leaves)
