"""Whose word counts, by field and direction, and what a status is derived from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from provisioning import authority
from provisioning.authority import StatusWord
from provisioning.models.authority import FieldAuthority
from tests.conftest import AT
from tests.factories import governance as make

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


def test_a_systems_own_rule_comes_before_one_for_every_system(tenant: Tenant, system: System) -> None:
    general = kept(system, everywhere=True, authority="advisory")
    own = kept(system)
    kept(make.a_system(tenant, "Entra", at=AT), authority="needs_approval")
    assert authority.rules_for(system) == [own, general]
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
