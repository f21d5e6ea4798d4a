"""Whose word counts, told: what is built in is what happens, the most specific wins, a tie is refused, nothing is forgotten."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError

from accounts.models import Identity
from audit.models import JournalEntry, JournalSubject
from audit.scope import scope
from provisioning import authority, rulebook, systems
from provisioning.authority import RuleKind, StatusWord
from provisioning.models.authority import Direction, FieldAuthority
from tests.conftest import a_cause
from tests.factories import governance as make
from tests.factories import intakes

if TYPE_CHECKING:
    from accounts.models import System, Tenant
    from audit.models import Cause

pytestmark = pytest.mark.django_db


@pytest.fixture
def okta(tenant: Tenant, because: Cause) -> System:
    return make.a_system(tenant, "Okta", at=make.now())


@pytest.fixture
def entra(tenant: Tenant, because: Cause) -> System:
    return make.a_system(tenant, "Entra", at=make.now())


def a_rule(system: System | None, kind: RuleKind = RuleKind.ATTRIBUTE_ENDS, **values: Any) -> FieldAuthority:
    given = {"field": "title", "values": ["left"]} if kind == RuleKind.ATTRIBUTE_ENDS else {}
    return authority.make_rule(system=system, kind=kind, reason="CHG-7", at=make.now(), **(given | values))


def words(system: System, **document: str) -> StatusWord:
    return authority.status(active=True, document=document, rules=authority.rules_for(system))


def test_what_is_built_in_is_what_happens_without_rules() -> None:
    said = {(line.resource_type, line.field, line.direction): line.authority for line in authority.BUILT_IN}
    assert set(said.values()) == {"authoritative"}
    assert sorted(said) == [
        ("Group", "members", "expands"), ("Group", "members", "reduces"), ("User", "", "expands"),
        ("User", "", "reduces"), ("User", "active", "expands"), ("User", "active", "reduces"),
    ]  # fmt: skip
    for active in (True, False):
        word = authority.status(active=active, document={"title": "left"}, rules=[])
        assert (word.active, word.needs_approval) == (active, False)
    assert authority.status(active=None, document={"title": "left"}, rules=[]).active is None
    assert authority.members_may_come([]) is True


def test_a_systems_own_rule_wins_over_the_one_for_every_system(okta: System, entra: System) -> None:
    a_rule(None, values=["left"])
    own = a_rule(okta, field="Title", values=["gone"])
    assert words(okta, title="left") == StatusWord(active=True, because="active is true")
    assert words(okta, title="gone") == StatusWord(active=False, because="Title is gone")
    assert words(entra, title="left") == StatusWord(active=False, because="title is left")
    assert authority.rules_of(okta.pk, at=make.now()) == [own]

    authority.end_rule(system=okta, rule=own, reason="CHG-8", at=make.now())
    assert words(okta, title="left") == StatusWord(active=False, because="title is left")


def test_a_rule_for_every_system_replaces_its_own_kind_alone_and_tells_each_system(
    tenant: Tenant, okta: System, entra: System
) -> None:
    gone = make.a_system(tenant, "Old", at=make.now())
    systems.end_system(system=gone, reason="over", at=make.now())
    somebody = Identity.objects.create(made_at=make.now())
    own = a_rule(okta, RuleKind.ACTIVE_NOTED)
    with scope(tenant=tenant.pk, cause=a_cause(identity_id=somebody.pk)):
        first = a_rule(None, RuleKind.ACTIVE_NOTED)
        assert a_rule(None, RuleKind.ACTIVE_NOTED) == first
    assert [rule.pk for rule in authority.rules_for(okta)] == [own.pk]
    assert [rule.pk for rule in authority.rules_for(entra)] == [first.pk]
    entries = JournalEntry.objects.filter(event="system.rule_made", sentence__contains="every system")
    assert [entry.sentence for entry in entries] == [
        "a test: every system: rule: “active: true” is noted, and gives nothing. CHG-7"
    ]
    told = JournalSubject.objects.filter(entry_id=entries[0].pk).values_list("label", flat=True)
    assert sorted(told) == ["Entra", "Okta"]
    for system, asked in ((okta, {somebody.pk}), (entra, {somebody.pk}), (gone, set())):
        assert systems.requesters(system=system, at=make.now()) == asked


def test_a_rule_for_every_system_ends_by_its_own_door(okta: System) -> None:
    rule = a_rule(None)
    authority.end_rule(system=okta, rule=rule, reason="wrong door", at=make.now())
    assert authority.rules_for(okta) == [rule]
    for _twice in range(2):
        authority.end_rule(system=None, rule=rule, reason="CHG-9", at=make.now())
    assert authority.rules_for(okta) == []
    ended = JournalEntry.objects.filter(event="system.rule_ended").values_list("sentence", flat=True)
    assert list(ended) == ["a test: every system: no rule any more: an account ends when title is one of: left. CHG-9"]


def test_a_tie_is_refused_by_a_sentence_and_changes_nothing(okta: System, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = a_rule(None)

    def tied(_rule: FieldAuthority, **_values: Any) -> None:
        raise IntegrityError("provisioning_authority_once")

    monkeypatch.setattr(FieldAuthority, "save", tied)
    with pytest.raises(systems.BadSystem, match="Somebody made a rule for department and the same direction just now"):
        a_rule(None, field="department")
    assert authority.rules_for(okta) == [rule]
    assert JournalEntry.objects.filter(event="system.rule_made").count() == 1


def test_those_who_would_end_by_a_rule_for_every_system_are_counted_once_and_where_it_counts(
    okta: System, entra: System, tenant: Tenant
) -> None:
    third = make.a_system(tenant, "Ping", at=make.now())
    for of, name in ((okta, "ada"), (entra, "bo"), (third, "cy")):
        intakes.create(of, make.now(), name, document={"title": "Left"})
    a_rule(third, values=["never"])
    assert authority.ended_by(system=None, field="TITLE", values=["left"]) == 2
    systems.end_system(system=entra, reason="over", at=make.now())
    assert authority.ended_by(system=None, field="title", values=["left"]) == 1


def test_why_a_rule_counts_is_said_by_what_there_is_beside_it(okta: System, entra: System) -> None:
    every, own = a_rule(None), a_rule(okta)
    alone = a_rule(okta, RuleKind.ACTIVE_NOTED)
    at = make.now()
    taken = rulebook.taken(at=at)
    assert rulebook.of_rule(own, taken) == (True, "it is of this system, and so wins over the rule for every system")
    assert rulebook.of_rule(alone, taken) == (True, "it is of this system, in the place of what is built in")
    assert rulebook.of_rule(every, taken) == (True, "for every system but 1, which has a rule of its own")
    assert rulebook.of_rule(every, rulebook.taken(at=at, system=okta.pk)) == (
        False, "the system has a rule of its own, which is more specific",
    )  # fmt: skip
    here = {
        (line.field, line.direction): counts
        for line, counts, _why in rulebook.built_in(rulebook.taken(at=at, system=okta.pk))
        if line.resource_type == "User"
    }
    assert here == {
        ("active", Direction.REDUCES): True, ("active", Direction.EXPANDS): False, ("", Direction.REDUCES): True,
        ("", Direction.EXPANDS): True,
    }  # fmt: skip
    others = {line.field: why for line, _counts, why in rulebook.built_in(taken) if line.direction == "expands"}
    assert others["active"] == "for every system but 1, which has a rule"


def test_an_ended_rule_keeps_who_made_and_who_ended_it_and_the_past_shows_it(tenant: Tenant, okta: System) -> None:
    with scope(tenant=tenant.pk, cause=a_cause(actor="m.ito", reason="CHG-1")):
        rule = a_rule(okta)
    between = make.now()
    with scope(tenant=tenant.pk, cause=a_cause(actor="l.chen", reason="CHG-2")):
        authority.end_rule(system=okta, rule=rule, reason="CHG-2", at=make.now())
    assert list(rulebook.in_force(at=between)) == [rule]
    assert list(rulebook.ended(at=between)) == []
    assert list(rulebook.in_force(at=make.now())) == []
    (told,) = rulebook.versions(rulebook.ended(at=make.now()))
    assert told.made is not None
    assert told.ended is not None
    assert (told.made.who, told.made.why, told.ended.who, told.ended.why) == ("m.ito", "CHG-1", "l.chen", "CHG-2")
    assert told.ended.at == FieldAuthority.objects.get().ended_at
    assert list(rulebook.in_force(at=between - dt.timedelta(hours=1))) == []


def test_the_rules_of_an_ended_system_stand_no_more(okta: System) -> None:
    a_rule(okta)
    before = make.now()
    systems.end_system(system=okta, reason="over", at=make.now())
    assert list(rulebook.in_force(at=make.now())) == []
    assert len(rulebook.in_force(at=before)) == 1
    assert rulebook.taken(at=make.now()).own == {}
