"""Whose word counts, by field and direction, and what a status is derived from."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import Identity
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import authority, systems
from provisioning.authority import RuleKind, StatusWord
from provisioning.models.authority import FieldAuthority
from tests.conftest import AT, a_cause
from tests.factories import governance as make
from tests.factories import intakes

if TYPE_CHECKING:
    from accounts.models import System, Tenant
    from audit.models import Cause

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def rule(**values: Any) -> FieldAuthority:
    return FieldAuthority(
        **{"field": "active", "direction": "expands", "authority": "authoritative", "status_values": [], **values}
    )


def status(active: bool | None, *rules: FieldAuthority, **document: Any) -> StatusWord:
    return authority.status(active=active, document=document, rules=rules)


@pytest.mark.parametrize(("active", "because"), [(True, "active is true"), (False, "active is false"), (None, "")])
def test_without_rules_a_directory_is_authoritative_and_silence_says_nothing(active: bool | None, because: str) -> None:
    assert status(active) == StatusWord(active=active, because=because)


@pytest.mark.parametrize("direction", ["expands", "reduces"])
def test_an_advisory_word_counts_for_nothing_in_its_direction_alone(direction: str) -> None:
    advisory = rule(direction=direction, authority="advisory")
    noted = StatusWord(active=None, because="active is advisory here")
    assert status(direction == "expands", advisory) == noted
    assert status(direction != "expands", advisory).active is (direction != "expands")


def test_a_word_that_needs_approval_waits_to_expand_and_never_to_reduce() -> None:
    assert status(True, rule(authority="needs_approval")) == StatusWord(
        active=True, because="active is true", needs_approval=True
    )
    reduces = rule(direction="reduces", authority="needs_approval")
    assert status(False, reduces) == StatusWord(active=False, because="active is false")


@pytest.mark.parametrize(
    ("field", "document", "ended"),
    [
        ("employmentStatus", {"employmentStatus": "Terminated "}, "employmentStatus is Terminated "),
        ("employmentStatus", {"employmentStatus": "employed"}, ""),
        ("employmentStatus", {"employmentStatus": ["terminated"]}, ""),
        ("employmentStatus", {}, ""),
        (f"{ENTERPRISE}:department", {ENTERPRISE: {"department": "TERMINATED"}}, f"{ENTERPRISE}:department is TERMINATED"),
        (f"{ENTERPRISE}:department", {ENTERPRISE: "terminated"}, ""),
        (f"{ENTERPRISE}:manager.note", {ENTERPRISE: {"manager": {"note": "terminated"}}}, f"{ENTERPRISE}:manager.note is terminated"),
        ("name.note", {"name": {"note": "terminated"}}, "name.note is terminated"),
        ("retired", {"retired": True}, "retired is True"),
        ("retired", {"retired": False}, ""),
        ("code", {"code": 9}, "code is 9"),
        ("Title", {"tItle": "terminated"}, "Title is terminated"),
        (f"{ENTERPRISE.upper()}:DEPARTMENT", {ENTERPRISE: {"department": "terminated"}}, f"{ENTERPRISE.upper()}:DEPARTMENT is terminated"),
    ],
)  # fmt: skip
def test_an_attribute_that_means_ended_wins_over_active_true(field: str, document: dict[str, Any], ended: str) -> None:
    rules = [rule(field=field, direction="reduces", status_from="attribute", status_values=["terminated", True, 9])]
    word = authority.status(active=True, document=document, rules=rules)
    assert word == (
        StatusWord(active=False, because=ended) if ended else StatusWord(active=True, because="active is true")
    )
    silent = authority.status(active=None, document=document, rules=rules)
    assert silent.active is (False if ended else None)


def test_an_attribute_that_is_only_advisory_ends_nothing() -> None:
    rules = [rule(field="title", status_from="attribute", status_values=["gone"], authority="advisory")]
    assert authority.status(active=True, document={"title": "gone"}, rules=rules).active is True


@pytest.fixture
def system(tenant: Tenant, because: Cause) -> System:
    return make.a_system(tenant, at=AT)


def kept(system: System, *, everywhere: bool = False, **values: Any) -> FieldAuthority:
    made = rule(tenant=system.tenant, system=None if everywhere else system, **values)
    made.save()
    return made


def test_a_systems_own_rule_takes_the_place_of_one_for_every_system(tenant: Tenant, system: System) -> None:
    kept(system, everywhere=True, authority="advisory")
    own = kept(system)
    kept(make.a_system(tenant, "Entra", at=AT), authority="needs_approval")
    assert authority.rules_for(system) == [own]
    assert status(True, *authority.rules_for(system)).active is True


def test_the_groups_whose_loss_is_an_ending_are_compared_without_case(tenant: Tenant, system: System) -> None:
    kept(system, field="members", direction="reduces", status_from="group", status_values=[" Employees ", "STAFF"])
    kept(system, field="other", status_from="group", status_values=["advisors"], authority="advisory")
    assert authority.status_groups(system=system) == {"employees", "staff"}
    assert authority.ends_members_of(system=system, group_key="staff")
    assert not authority.ends_members_of(system=system, group_key="advisors")
    assert authority.status_groups(system=make.a_system(tenant, "Entra", at=AT)) == frozenset()


@pytest.mark.parametrize(
    ("word", "allowed"), [(None, True), ("authoritative", True), ("needs_approval", False), ("advisory", False)]
)
def test_members_may_be_put_in_by_an_authoritative_word_alone(system: System, word: str | None, allowed: bool) -> None:
    kept(system, field="members", direction="reduces", authority="needs_approval")
    if word is not None:
        kept(system, field="members", authority=word)
    assert authority.expanding_members_allowed(system=system) is allowed


def test_the_rules_of_many_systems_are_one_query(
    tenant: Tenant, system: System, django_assert_num_queries: Any
) -> None:
    other = make.a_system(tenant, "Entra", at=AT)
    for of, field in ((system, "a"), (other, "b"), (None, "c")):
        FieldAuthority.objects.create(
            tenant=tenant, system=of, field=field, direction="reduces", authority="authoritative"
        )
    with django_assert_num_queries(1):
        found = authority.rules_by_system([system.pk, other.pk])
    assert {pk: [r.field for r in rules] for pk, rules in found.items()} == {
        system.pk: ["a", "c"], other.pk: ["b", "c"],
    }  # fmt: skip
    assert [r.field for r in authority.rules_for(system)] == ["a", "c"]


# -- rules are made and ended


@pytest.fixture
def somebody(because: Cause) -> Identity:
    return Identity.objects.create(made_at=AT)


def made(system: System, kind: RuleKind, **values: Any) -> FieldAuthority:
    return authority.make_rule(**{"system": system, "kind": kind, "reason": "CHG-7", "at": AT} | values)


def said() -> list[tuple[str, str]]:
    rules = JournalEntry.objects.filter(event__startswith="system.rule")
    return list(rules.order_by("id").values_list("event", "sentence"))


@pytest.mark.parametrize(
    ("kind", "given", "shape"),
    [
        (
            RuleKind.ATTRIBUTE_ENDS, {"field": " employmentStatus ", "values": ["left", " retired", "left", ""]},
            ("User", "employmentStatus", "reduces", "authoritative", "attribute", ["left", "retired"]),
        ),
        (
            RuleKind.GROUP_ENDS, {"values": ["Staff"], "field": "ignored"},
            ("Group", "members", "reduces", "authoritative", "group", ["Staff"]),
        ),
        (RuleKind.ACTIVE_NOTED, {"values": ["ignored"]}, ("User", "active", "expands", "advisory", "", [])),
        (RuleKind.MEMBERS_NOTED, {}, ("Group", "members", "expands", "advisory", "", [])),
    ],
)  # fmt: skip
def test_each_kind_of_rule_is_made_as_what_reads_it_understands(
    system: System, kind: RuleKind, given: dict[str, Any], shape: tuple[Any, ...]
) -> None:
    rule = made(system, kind, **given)
    assert (
        rule.resource_type, rule.field, rule.direction, rule.authority, rule.status_from, rule.status_values,
    ) == shape  # fmt: skip
    assert authority.rules_for(system) == [rule]
    assert {k.value for k in RuleKind} == set(authority._ACTS)


def test_what_was_made_counts(system: System) -> None:
    made(system, RuleKind.ATTRIBUTE_ENDS, field="title", values=["Left"])
    made(system, RuleKind.GROUP_ENDS, values=["Staff"])
    made(system, RuleKind.ACTIVE_NOTED)
    made(system, RuleKind.MEMBERS_NOTED)
    rules = authority.rules_for(system)
    assert status(True, *rules, title="left") == StatusWord(active=False, because="title is left")
    assert status(True, *rules) == StatusWord(active=None, because="active is advisory here")
    assert authority.status_groups(system=system) == {"staff"}
    assert authority.expanding_members_allowed(system=system) is False


def test_a_rule_takes_the_place_of_the_one_before_and_the_same_again_writes_nothing(system: System) -> None:
    first = made(system, RuleKind.ATTRIBUTE_ENDS, field="title", values=["left"])
    again = made(system, RuleKind.ATTRIBUTE_ENDS, field="Title", values=["left", "gone"], reason="CHG-8")
    first.refresh_from_db()
    assert (first.ended_at, first.status_values) == (AT, ["left"])
    made(system, RuleKind.ATTRIBUTE_ENDS, field="Title", values=["left", "gone"], reason="CHG-9")
    assert authority.rules_for(system) == [again]
    assert said() == [
        ("system.rule_made", "a test: Okta: rule: an account ends when title is one of: left. CHG-7"),
        (
            "system.rule_made",
            (
                "a test: Okta: rule: an account ends when Title is one of: left, gone"
                " (before: an account ends when title is one of: left). CHG-8"
            ),
        ),
    ]


def test_an_ended_rule_counts_no_longer_and_its_history_stays(system: System) -> None:
    rule = made(system, RuleKind.ACTIVE_NOTED)
    for _twice in range(2):
        authority.end_rule(system=system, rule=rule, reason="CHG-9", at=AT)
    assert authority.rules_for(system) == []
    assert said()[1:] == [
        ("system.rule_ended", "a test: Okta: no rule any more: “active: true” is noted, and gives nothing. CHG-9")
    ]
    assert list(FieldAuthority.history.order_by("history_id").values_list("history_type", flat=True)) == ["+", "~"]


def test_who_makes_or_ends_a_rule_counts_as_having_asked_for_thirty_days(system: System, somebody: Identity) -> None:
    with scope(tenant=system.tenant_id, cause=a_cause(identity_id=somebody.pk)):
        rule = made(system, RuleKind.ACTIVE_NOTED)
        assert systems.requesters(system=system, at=AT) == {somebody.pk}
    later = AT + dt.timedelta(days=31)
    assert systems.requesters(system=system, at=later) == set()
    with scope(tenant=system.tenant_id, cause=a_cause(identity_id=somebody.pk)):
        authority.end_rule(system=system, rule=rule, reason="CHG-9", at=later)
    assert systems.requesters(system=system, at=later) == {somebody.pk}


@pytest.mark.parametrize(
    ("field", "values", "problem"),
    [
        ("two words", ["x"], "two words is no path of an attribute"),
        ("", ["x"], "is no path"),
        ("a.b.c", ["x"], "is no path"),
        ("emails[primary eq true].value", ["x"], "is no path"),
        ("x" * 201, ["x"], "is no path"),
        ("userName", ["x"], "Nobody can end by a value of userName"),
        ("ACTIVE", ["false"], "Nobody can end by a value of ACTIVE"),
        ("title", [" ", ""], "at least one value"),
        ("title", ["x" * 257], "at most 256 characters"),
        ("title", [str(n) for n in range(101)], "At most 100 values"),
    ],
)
def test_what_can_be_no_rule_is_refused_and_writes_nothing(
    system: System, field: str, values: list[str], problem: str
) -> None:
    with pytest.raises(systems.BadSystem, match=problem):
        made(system, RuleKind.ATTRIBUTE_ENDS, field=field, values=values)
    assert (FieldAuthority.objects.count(), said()) == (0, [])


def test_an_ended_system_gets_no_rule_and_loses_none(system: System) -> None:
    rule = made(system, RuleKind.ACTIVE_NOTED)
    systems.end_system(system=system, reason="gone", at=AT)
    with pytest.raises(systems.BadSystem, match="has ended"):
        made(system, RuleKind.MEMBERS_NOTED)
    with pytest.raises(systems.BadSystem, match="has ended"):
        authority.end_rule(system=system, rule=rule, reason="x", at=AT)
    assert authority.rules_for(system) == [rule]


def test_those_who_would_end_are_counted_by_the_systems_last_word(tenant: Tenant, system: System) -> None:
    other = make.a_system(tenant, "Entra", at=AT)
    for name, title, of in (("ada", "Left", system), ("bo", "left ", system), ("cy", "here", system), ("di", "left", other)):  # fmt: skip
        intakes.create(of, AT, name, document={"title": title})
    gone = intakes.create(system, AT, "ed", document={"title": "left"}).shadow
    intakes.change(gone, AT, "ed", document={"title": "left"}, active=False)
    assert authority.ended_by(system=system, field="TITLE", values=["LEFT"]) == 2
    assert authority.ended_by(system=system, field="title", values=["nobody"]) == 0


def test_rules_are_those_that_counted_at_an_instant(because, tenant):
    system = make.a_system(tenant, at=make.now())
    noted = authority.make_rule(system=system, kind=RuleKind.ACTIVE_NOTED, reason="x", at=make.now())
    middle = make.now()
    authority.end_rule(system=system, rule=noted, reason="x", at=make.now())
    members = authority.make_rule(system=system, kind=RuleKind.MEMBERS_NOTED, reason="x", at=make.now())
    assert [rule.pk for rule in authority.rules_of(system.pk, at=middle)] == [noted.pk]
    assert [rule.pk for rule in authority.rules_of(system.pk, at=make.now())] == [members.pk]
    assert authority.rules_of(system.pk, at=middle - dt.timedelta(hours=1)) == []
