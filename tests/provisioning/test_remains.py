"""What is left of an older request: by attribute, by member, and for the status; and under today's rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts import people
from accounts.models import RoleName
from accounts.models.account import Account
from audit.scope import scope
from provisioning import authority, execution, plans, remains, systems
from provisioning.authority import RuleKind
from provisioning.models.exchange import Exchange
from provisioning.newer import By, Decided, Later
from provisioning.scim.spoken import Spoken
from tests.conftest import a_cause
from tests.factories.governance import staff
from tests.factories.permits import granted
from tests.factories.replays import a_patch, active, apply, joins, leaves, now, parked, simulate, title
from tests.factories.scim import Idp, connect

if TYPE_CHECKING:
    from provisioning.models.plan import Plan

pytestmark = pytest.mark.django_db

BY = By(exchange=None, who="Okta")


@pytest.fixture
def idp(tenant) -> Idp:
    return connect(tenant, "Okta")


def test_of_a_document_only_what_differs_and_nobody_spoke_of_is_left():
    left = remains.of_document(
        {"userName": "ada", "title": "Lead", "urn:x:User": {"department": "Ops"}},
        {"userName": "ada", "title": "SRE", "nickName": "A", "urn:x:User": {"department": "IT", "division": "D"}},
        later=[Later(by=BY, method="PATCH", spoken=Spoken(names=frozenset({"title", "urn:x:User:department"})))],
        decided=Decided(names={"nickName": BY}),
    )
    assert left.document == {"userName": "ada", "title": "Lead", "urn:x:User": {"department": "Ops", "division": "D"}}
    assert left.names == {"urn:x:User:division"}
    assert [one.name for one in left.kept] == ["nickName", "title", "urn:x:User:department"]


def test_today_is_said_where_the_rules_of_then_meant_something_else(idp, tenant):
    user = idp.user()
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(title("Leaver"), active(True)))
    assert simulate(idp, one).judged.rules == ""
    with scope(tenant=tenant.pk, cause=a_cause()):
        authority.make_rule(
            system=idp.system, kind=RuleKind.ATTRIBUTE_ENDS, field="title", values=["Leaver"], reason="x", at=now()
        )
    simulated = simulate(idp, one)
    assert simulated.judged.rules == (
        "by the rules of then: active (active is true); by those of today: ended (title is Leaver)"
    )
    assert simulated.after.account.state == "deprovisioned"


def test_nobody_comes_to_life_by_a_replay_and_an_advisory_word_stays_one(idp, tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        one = Exchange.objects.select_related("system").get(pk=parked(idp, "DELETE", "/Users/x", resource_id=None).pk)
        assert [r.authority for r in remains.cautious([], exchange=one)] == ["needs_approval"]
        authority.make_rule(system=idp.system, kind=RuleKind.ACTIVE_NOTED, reason="x", at=now())
        rules = authority.rules_for(idp.system)
        assert remains.cautious(rules, exchange=one) == rules


def asked_in(idp: Idp) -> tuple[Plan, str, str]:
    """A member whom a replay would put into a group: the plan, the group and who."""
    bob, group = idp.user("bob"), idp.group("Staff")
    _made, judged = apply(idp, parked(idp, "PATCH", f"/Groups/{group}", a_patch(joins(bob)), intent="member_add"))
    assert judged.plan is not None
    return judged.plan, group, bob


def carry_out(idp: Idp, plan: Plan) -> Plan:
    """Two people say yes, and it is carried out."""
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        names = ("l.chen", "m.ito")
        two = [staff(idp.tenant, name, RoleName.SECURITY, at=now()) for name in names]
        plan.refresh_from_db()
        return execution.execute(
            plan_id=plans.grant(plan=plan, permit=granted(plan, *two, at=now()), at=now()).pk, at=now()
        )


def test_a_wish_for_members_that_people_granted_puts_them_in(idp):
    plan, group, bob = asked_in(idp)
    assert idp.members(group) == set()
    assert carry_out(idp, plan).state == "done"
    assert idp.members(group) == {bob}


def test_a_wish_for_members_is_void_where_their_system_spoke_of_them_since(idp):
    plan, group, bob = asked_in(idp)
    idp.patch(f"/Groups/{group}", leaves(bob))
    assert carry_out(idp, plan).state == "done_with_residue"
    assert idp.members(group) == set()
    with scope(tenant=idp.tenant.pk):
        assert plan.changes.get().detail == "its directory has spoken since"


def test_a_word_about_the_group_itself_voids_no_wish_for_members(idp):
    plan, group, bob = asked_in(idp)
    idp.patch(f"/Groups/{group}", {"op": "replace", "path": "displayName", "value": "Crew"})
    assert carry_out(idp, plan).state == "done"
    assert idp.members(group) == {bob}


def test_the_same_wish_for_members_again_is_one_plan_with_more_who_asked(idp, tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        first, second = people.identity_for(at=now()).pk, people.identity_for(at=now()).pk
        systems.add_administrator(system=idp.system, identity=first, at=now())
    bob, group = idp.user("bob"), idp.group("Staff")
    one = parked(idp, "PATCH", f"/Groups/{group}", a_patch(joins(bob)), intent="member_add")
    made, _ = apply(idp, one)
    again, judged = apply(idp, one, identity_id=second)
    assert (again.plan_id, judged.plan.repeats, set(judged.plan.requesters)) == (made.plan_id, 1, {first, second})


def test_who_is_asked_in_is_concerned_and_answers_nothing(idp, tenant):
    with scope(tenant=tenant.pk, cause=a_cause()):
        identity = people.identity_for(at=now())
    bob, group = idp.user("bob"), idp.group("Staff")
    with scope(tenant=tenant.pk, cause=a_cause()):
        Account.objects.filter(pk=idp.shadow(bob).account_id).update(identity=identity)
    _made, judged = apply(idp, parked(idp, "PATCH", f"/Groups/{group}", a_patch(joins(bob))))
    with scope(tenant=tenant.pk):
        assert identity.pk in plans.barred(judged.plan)
        assert plans.needs(judged.plan) == 2


def test_members_whom_the_rules_of_today_give_nothing_are_noted(idp, tenant):
    bob, group = idp.user("bob"), idp.group("Staff")
    with scope(tenant=tenant.pk, cause=a_cause()):
        authority.make_rule(system=idp.system, kind=RuleKind.MEMBERS_NOTED, reason="x", at=now())
    _made, judged = apply(idp, parked(idp, "PATCH", f"/Groups/{group}", a_patch(joins(bob))))
    assert (judged.outcome, judged.plan) == ("held", None)
    assert judged.held_by == ("by the rules of today its new members are given nothing",)


def test_who_was_taken_out_since_is_not_asked_in(idp):
    bob = idp.user("bob")
    group = idp.group("Staff", bob)
    one = parked(idp, "PATCH", f"/Groups/{group}", a_patch(joins(bob)))
    idp.patch(f"/Groups/{group}", leaves(bob))
    _made, judged = apply(idp, one)
    assert (judged.outcome, judged.asked_in, [k.by.exchange for k in judged.kept]) == (
        "superseded",
        0,
        [idp.exchanges()[-2].pk],
    )
