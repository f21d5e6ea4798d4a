"""What evidence means: one word for each kind of difference, by facts that are made up here. No query is asked."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID, uuid4

import pytest

from audit.models import CauseKind
from provisioning import reasons
from provisioning.changes import Intent, Outcome
from provisioning.models import FieldAuthority
from provisioning.reasons import Seen, Texts, Why, Word

NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
SYSTEM, OTHER = uuid4(), uuid4()
A, B, WAITING, RULE = (UUID(int=n) for n in range(1, 5))
REF = str(UUID(int=9))

FACTS: dict[str, Any] = {
    "clean_at": NOW - 60 * MINUTE, "wants_active": True, "document": {}, "about": UUID(int=8), "told_at": None,
    "told_by": None, "said_at": NOW - 90 * MINUTE, "moved_by": None, "moved_kind": None, "moved_exchange": None,
    "moved_system": None, "moved_by_reading": False, "said_before": None, "ended_before": None, "rule": None,
    "rule_at": None, "waits_reducing": None, "waits": None, "ref": REF, "waiting": [], "remote": "r-ada",
    "gone_kind": None, "gone_by": None, "said_gone": None, "perhaps_waits": None,
}  # fmt: skip
OFF = {"is_off_there": True, "active": False, "state": "active", "because": "active is false"}
ON = {"is_off_there": False, "active": True, "state": "suspended", "because": ""}


def word(
    outcome: Outcome, *, pk: UUID = A, method: str = "PATCH", intent: Intent = Intent.UPDATE, **values: Any
) -> Word:
    given = {"at": NOW - 10 * MINUTE, "cause_id": 10, "request_bytes": 100}
    return Word(id=pk, outcome=outcome, intent=intent, method=method, **(given | values))


def seen(row: dict[str, Any], *words: Word, texts: dict[UUID, str] | None = None, **facts: Any) -> Seen:
    rules = facts.pop("rules", ())
    return Seen(row, FACTS | facts, words, NOW, SYSTEM, rules, Texts(texts or {}))


def said(why: Why) -> tuple[str, str, str]:
    return str(why.attribution), why.by.get("kind", ""), why.by.get("id", "")


SAYS_OFF = {A: '{"operations": [{"op": "replace", "path": "active", "value": false}]}'}
SAYS_TITLE = {A: '{"operations": [{"op": "replace", "path": "title", "value": "x"}]}'}
SAYS_NAME = {A: '{"operations": [{"op": "replace", "path": "displayname", "value": "x"}]}'}
SAYS_REF = {A: f'{{"operations": [{{"op": "remove", "path": "members[value eq \\"{REF}\\"]"}}]}}'}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (seen(OFF), ("lost_event", "", "")),
        (seen(OFF, waits_reducing=WAITING), ("parked", "received", str(WAITING))),
        (seen(OFF, word(Outcome.REJECTED), texts=SAYS_OFF), ("refused", "exchange", str(A))),
        (seen(OFF, word(Outcome.PARKED), texts=SAYS_OFF), ("parked", "exchange", str(A))),
        (seen(OFF, word(Outcome.SUPERSEDED), texts=SAYS_OFF), ("late_event", "exchange", str(A))),
        # What was refused spoke of something else, or nobody can read of what it spoke.
        (seen(OFF, word(Outcome.REJECTED), texts=SAYS_TITLE), ("lost_event", "", "")),
        (seen(OFF, word(Outcome.REJECTED)), ("unknown", "exchange", str(A))),
        # What came before the last reading that found all equal has nothing to do with it.
        (seen(OFF, word(Outcome.REJECTED, at=NOW - 61 * MINUTE), texts=SAYS_OFF), ("lost_event", "", "")),
        # It came, did nothing, and an older word came within the hour.
        (
            seen(OFF, word(Outcome.SAME, cause_id=4), texts=SAYS_OFF, told_at=NOW - 5 * MINUTE, told_by=5),
            ("late_event", "exchange", str(A)),
        ),
        (
            seen(OFF, word(Outcome.SAME, cause_id=4), texts=SAYS_OFF, told_at=NOW + 55 * MINUTE, told_by=5),
            ("lost_event", "", ""),
        ),
        # Its system had said so; somebody here has made it otherwise since.
        (
            seen(OFF, wants_active=False, moved_kind=CauseKind.PAGE, moved_by=7),
            ("local_change", "cause", "7"),
        ),
        (
            seen(OFF, wants_active=False, moved_kind=CauseKind.EXCHANGE, moved_exchange=B, moved_system=OTHER, moved_by=7),
            ("other_source", "exchange", str(B)),
        ),
        (
            seen(OFF, wants_active=False, moved_kind=CauseKind.EXCHANGE, moved_exchange=B, moved_system=SYSTEM, moved_by=7),
            ("unknown", "exchange", str(B)),
        ),
        (seen(OFF, wants_active=False), ("unknown", "", "")),
        # A reading made it so: the word that would have said so never came.
        (
            seen(OFF, wants_active=False, moved_kind=CauseKind.TASK, moved_by=7, moved_by_reading=True),
            ("lost_event", "", ""),
        ),
        # On there and off here: what asks it back waits, or a rule that only noted it has been changed.
        (seen(ON, word(Outcome.HELD, method="POST")), ("held", "exchange", str(A))),
        (
            seen(ON, word(Outcome.HELD, method="POST"), rule=RULE, rule_at=NOW - MINUTE),
            ("mapping_change", "rule", str(RULE)),
        ),
        (seen(ON, moved_kind=CauseKind.TASK, moved_by=7), ("local_change", "cause", "7")),
        (seen({**ON, "state": "pending"}), ("lost_event", "", "")),
    ],
)  # fmt: skip
def test_a_status_that_differs(case: Seen, expected: tuple[str, str, str]) -> None:
    assert said(reasons.status(case)) == expected


def a_rule() -> FieldAuthority:
    """Who has this value has left."""
    return FieldAuthority(
        resource_type="User", field="employmentStatus", direction="reduces", authority="authoritative",
        status_from="attribute", status_values=["left"],
    )  # fmt: skip


def test_a_value_that_means_ended_only_since_a_rule_was_made_is_a_change_of_the_mapping() -> None:
    row = {"is_off_there": True, "active": True, "state": "active", "because": "User:employmentStatus is left"}
    had_it = {"document": {"employmentStatus": "left"}, "rules": (a_rule(),)}
    new = seen(row, **had_it, rule=RULE, rule_at=NOW - MINUTE, said_at=NOW - 90 * MINUTE)
    old = seen(row, **had_it, rule=RULE, rule_at=NOW - 99 * MINUTE, moved_kind=CauseKind.PAGE, moved_by=7)
    never = seen(row, document={}, rules=(a_rule(),), rule=RULE, rule_at=NOW - MINUTE)
    found = [said(reasons.status(case)) for case in (new, old, never)]
    assert found == [("mapping_change", "rule", str(RULE)), ("local_change", "cause", "7"), ("lost_event", "", "")]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (seen({}), ("lost_event", "", "")),
        (seen({}, word(Outcome.REJECTED), texts=SAYS_NAME), ("refused", "exchange", str(A))),
        (seen({}, word(Outcome.REJECTED), texts=SAYS_OFF), ("lost_event", "", "")),
        (seen({}, said_before=B), ("late_event", "exchange", str(B))),
        (seen({}, waits=WAITING), ("parked", "received", str(WAITING))),
        # A name waits for nobody: what is held was about something else.
        (seen({}, word(Outcome.HELD), texts=SAYS_NAME), ("lost_event", "", "")),
    ],
)
def test_a_name_that_differs(case: Seen, expected: tuple[str, str, str]) -> None:
    assert said(reasons.fields(case)) == expected


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (seen({}), ("lost_event", "", "")),
        (seen({}, word(Outcome.REJECTED, method="DELETE", intent=Intent.DELETE)), ("refused", "exchange", str(A))),
        (seen({}, waits_reducing=WAITING), ("parked", "received", str(WAITING))),
        (seen({}, ended_before=B), ("late_event", "exchange", str(B))),
        # Its system spoke of it after the reading began that lacks it.
        (seen({}, word(Outcome.APPLIED, at=NOW + MINUTE)), ("source_fault", "exchange", str(A))),
        (seen({}, word(Outcome.APPLIED, at=NOW + MINUTE, intent=Intent.DELETE)), ("lost_event", "", "")),
    ],
)
def test_what_is_ours_and_not_there_any_more(case: Seen, expected: tuple[str, str, str]) -> None:
    assert said(reasons.missing(case)) == expected


STRANGER = {"name": "ada"}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (seen(STRANGER), ("lost_event", "", "")),
        (seen(STRANGER, clean_at=None), ("unknown", "", "")),
        (seen(STRANGER, said_gone=B, gone_by=7), ("source_fault", "exchange", str(B))),
        (seen(STRANGER, gone_by=7, gone_kind=CauseKind.PAGE), ("local_change", "cause", "7")),
        (seen(STRANGER, waits=WAITING), ("parked", "received", str(WAITING))),
        (
            seen(STRANGER, word(Outcome.REJECTED, method="POST"), texts={A: '{"username": "ada"}'}),
            ("refused", "exchange", str(A)),
        ),
        (
            seen(STRANGER, word(Outcome.PARKED, method="POST"), texts={A: '{"externalid": "r-ada"}'}),
            ("parked", "exchange", str(A)),
        ),
        (
            seen(STRANGER, word(Outcome.REJECTED, method="POST"), texts={A: '{"username": "grace"}'}),
            ("lost_event", "", ""),
        ),
        (seen(STRANGER, word(Outcome.REJECTED, method="POST")), ("unknown", "exchange", str(A))),
        (seen(STRANGER, perhaps_waits=WAITING), ("unknown", "received", str(WAITING))),
    ],
)
def test_what_is_there_and_none_of_ours(case: Seen, expected: tuple[str, str, str]) -> None:
    assert said(reasons.stranger(case)) == expected


LEFT = {"intent": Intent.MEMBER_REMOVE}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (seen({}), ("lost_event", "", "")),
        (seen({}, word(Outcome.REJECTED, **LEFT), texts=SAYS_REF), ("refused", "exchange", str(A))),
        (seen({}, waiting=[A], texts=SAYS_REF), ("parked", "received", str(A))),
        (seen({}, waiting=[A], texts=SAYS_OFF), ("lost_event", "", "")),
        # A removal that can't be read named somebody: perhaps this one.
        (seen({}, word(Outcome.PARKED, **LEFT), texts=SAYS_OFF), ("unknown", "exchange", str(A))),
        # A replacement states everybody, and not this one.
        (seen({}, word(Outcome.REJECTED, method="PUT"), texts=SAYS_OFF), ("refused", "exchange", str(A))),
        (seen({}, moved_kind=CauseKind.PAGE, moved_by=7), ("local_change", "cause", "7")),
        (seen({}, moved_kind=CauseKind.TASK, moved_by=7, moved_by_reading=True), ("lost_event", "", "")),
    ],
)
def test_a_member_here_who_is_none_there(case: Seen, expected: tuple[str, str, str]) -> None:
    assert said(reasons.removed(case)) == expected


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (seen({}), ("lost_event", "", "")),
        (seen({}, word(Outcome.HELD, intent=Intent.MEMBER_ADD), texts=SAYS_REF), ("held", "exchange", str(A))),
        (
            seen({}, word(Outcome.HELD, intent=Intent.MEMBER_ADD), texts=SAYS_REF, rule=RULE, rule_at=NOW),
            ("mapping_change", "rule", str(RULE)),
        ),
        (
            seen(
                {}, word(Outcome.SAME, intent=Intent.MEMBER_ADD, cause_id=4), texts=SAYS_REF, told_at=NOW, told_by=5,
                moved_kind=CauseKind.EXCHANGE,
            ),
            ("late_event", "exchange", str(A)),
        ),
    ],
)  # fmt: skip
def test_a_member_there_who_is_none_here(case: Seen, expected: tuple[str, str, str]) -> None:
    assert said(reasons.added(case)) == expected
