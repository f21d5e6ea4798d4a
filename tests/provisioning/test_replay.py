"""One exchange replayed: what is newer stands, what reduces has effect, what expands asks people; a simulation writes
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.db import connection

from accounts import lifecycle, people
from audit.keys import uuid7
from audit.scope import scope
from provisioning import replay, systems
from provisioning.changes import Outcome
from provisioning.models.plan import Plan
from tests.conftest import a_cause
from tests.factories.replays import a_patch, active, apply, joins, leaves, now, parked, simulate, title
from tests.factories.scim import Idp, connect

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import Tenant
    from provisioning.replay import Judged

pytestmark = pytest.mark.django_db


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant, "Okta")


def kept(judged: Judged) -> dict[str, UUID | None]:
    return {one.name: one.by.exchange for one in judged.kept}


def rows() -> dict[str, int]:
    """How many rows every table has, whoever may see them."""
    found = {}
    with connection.cursor() as cursor:
        for model in apps.get_models():
            cursor.execute(f'SELECT count(*) FROM "{model._meta.db_table}"')
            found[model._meta.db_table] = cursor.fetchone()[0]
    return found


def all_rows(tenant: Tenant) -> dict[str, int]:
    with scope(tenant=tenant.pk):
        return rows()


def test_what_is_so_already_is_the_same_and_apply_writes_its_row_alone(idp):
    user = idp.user(title="Ops")
    idp.patch(f"/Users/{user}", title("SRE"))
    original = idp.last()
    version = idp.shadow(user).version
    assert simulate(idp, original).judged.outcome == Outcome.SAME
    made, judged = apply(idp, original)
    assert (judged.outcome, made.outcome, made.replays, made.resource_id) == (
        "same",
        "same",
        original.pk,
        original.resource_id,
    )
    assert idp.shadow(user).version == version


def test_an_older_word_about_an_attribute_is_kept_out_by_the_newer_one(idp):
    user = idp.user(title="Ops")
    idp.patch(f"/Users/{user}", title("SRE"))
    older = idp.last()
    idp.patch(f"/Users/{user}", title("Lead"))
    newer = idp.last()
    judged = simulate(idp, older).judged
    assert (judged.outcome, kept(judged)) == (Outcome.SUPERSEDED, {"title": newer.pk})
    made, _ = apply(idp, older)
    assert made.outcome == "superseded"
    assert idp.shadow(user).document["title"] == "Lead"


def test_of_a_request_only_what_nobody_spoke_of_since_takes_effect(idp):
    user = idp.user(title="Ops", displayName="Ada")
    one = parked(
        idp,
        "PATCH",
        f"/Users/{user}",
        a_patch(title("SRE"), {"op": "replace", "path": "displayName", "value": "A. L."}),
    )
    idp.patch(f"/Users/{user}", title("Lead"))
    newer = idp.last()
    simulated = simulate(idp, one)
    assert (simulated.judged.outcome, kept(simulated.judged)) == (Outcome.APPLIED, {"title": newer.pk})
    assert simulated.after.document["displayName"] == "A. L."
    assert idp.shadow(user).document["displayName"] == "Ada"
    apply(idp, one)
    document = idp.shadow(user).document
    assert (document["title"], document["displayName"]) == ("Lead", "A. L.")


def test_a_simulation_changes_no_row_of_any_table(idp, tenant):
    user = idp.user(title="Ops")
    group = idp.group("Staff", user)
    requests = [
        parked(idp, "PATCH", f"/Users/{user}", a_patch(title("SRE"))),
        parked(idp, "PATCH", f"/Users/{user}", a_patch(active(False)), intent="disable"),
        parked(idp, "DELETE", f"/Users/{user}", None, intent="delete"),
        parked(idp, "POST", "/Users", {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bob"}),
        parked(
            idp,
            "PATCH",
            f"/Groups/{group}",
            a_patch(leaves(user)),
        ),
        parked(idp, "DELETE", f"/Groups/{group}", None, intent="delete"),
    ]
    before = all_rows(tenant)
    for one in requests:
        assert simulate(idp, one).judged.outcome in {Outcome.APPLIED, Outcome.HELD}
    assert all_rows(tenant) == before
    assert idp.members(group) == {user}
    assert idp.get(f"/Users/{user}")["active"] is True


def test_a_lost_reduction_takes_effect_and_twice_is_once(idp):
    user = idp.user()
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(active(False)), intent="disable")
    _made, first = apply(idp, one)
    assert (first.outcome, first.intent) == ("applied", "disable")
    assert idp.shadow(user).account.state == "deprovisioned"
    _again, second = apply(idp, one)
    assert second.outcome == "same"
    assert idp.shadow(user).account.epoch == 1


def test_a_reduction_that_a_newer_word_took_back_does_nothing(idp):
    user = idp.user()
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(active(False)), intent="disable")
    idp.patch(f"/Users/{user}", active(True))
    assert idp.last().outcome == "same"
    newer = idp.last()
    made, judged = apply(idp, one)
    assert (made.outcome, kept(judged)) == ("superseded", {"active": newer.pk})
    assert idp.shadow(user).account.state == "active"


def test_what_expands_becomes_a_wish_of_both_and_gives_nothing(idp, tenant):
    user = idp.user()
    with scope(tenant=tenant.pk, cause=a_cause()):
        first_asked, replays = people.identity_for(at=now()).pk, people.identity_for(at=now()).pk
        systems.add_administrator(system=idp.system, identity=first_asked, at=now())
    idp.patch(f"/Users/{user}", active(False))
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(active(True)), intent="enable")
    made, _judged = apply(idp, one, identity_id=replays)
    with scope(tenant=tenant.pk):
        plan = Plan.objects.get(pk=made.plan_id)
    assert (made.outcome, plan.kind, plan.state, set(plan.requesters)) == (
        "held",
        "reactivation",
        "waiting",
        {first_asked, replays},
    )
    assert plan.exchange_id == made.pk
    assert idp.shadow(user).account.state == "deprovisioned"


def test_nobody_who_was_ended_since_is_asked_back(idp, tenant):
    user = idp.user()
    idp.patch(f"/Users/{user}", active(True))
    enable = idp.last()
    idp.patch(f"/Users/{user}", active(False))
    newer = idp.last()
    _made, judged = apply(idp, enable)
    assert (judged.outcome, judged.plan, kept(judged)) == (Outcome.SUPERSEDED, None, {"active": newer.pk})


def test_a_person_who_ended_it_has_the_last_word(idp, tenant):
    user = idp.user()
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(active(True)), intent="enable")
    with scope(tenant=tenant.pk, cause=a_cause(kind="page", actor="l.chen")):
        lifecycle.deprovision(accounts=[idp.shadow(user).account_id], reason="left", at=now())
    _made, judged = apply(idp, one)
    assert (judged.outcome, [(k.name, k.by.exchange, k.by.who) for k in judged.kept]) == (
        "superseded",
        [("active", None, "l.chen")],
    )


def test_a_request_that_made_nobody_makes_them_waiting(idp, tenant):
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bob@example.com", "active": True}
    one = parked(idp, "POST", "/Users", body, intent="create")
    made, judged = apply(idp, one)
    assert (judged.outcome, judged.held_by) == ("held", ("approval",))
    shadow = idp.shadow(str(made.resource_id))
    assert (shadow.account.state, shadow.wants_active) == ("pending", True)
    _again, twice = apply(idp, one)
    assert (twice.outcome, kept(twice)) == ("superseded", {"userName": made.pk})


def test_members_who_are_to_leave_leave_and_who_is_to_join_is_asked_for(idp, tenant):
    ada, bob, eve = idp.user("ada"), idp.user("bob"), idp.user("eve")
    group = idp.group("Staff", ada)
    one = parked(
        idp,
        "PATCH",
        f"/Groups/{group}",
        a_patch(
            leaves(ada),
            joins(bob, eve),
        ),
        intent="member_remove",
    )
    idp.patch(f"/Groups/{group}", leaves(eve))
    newer = idp.last()
    made, judged = apply(idp, one)
    assert (judged.outcome, judged.out, judged.asked_in, kept(judged)) == ("held", 1, 1, {"members": newer.pk})
    assert idp.members(group) == set()
    with scope(tenant=tenant.pk):
        plan = Plan.objects.get(pk=made.plan_id)
        assert (plan.kind, plan.state) == ("replay", "waiting")
        assert [(c.act, str(c.member_ref)) for c in plan.changes.all()] == [("add_member", bob)]


def test_who_came_into_a_group_since_is_not_taken_out_by_an_older_word(idp, tenant):
    ada, bob = idp.user("ada"), idp.user("bob")
    group = idp.group("Staff", ada)
    one = parked(
        idp,
        "PATCH",
        f"/Groups/{group}",
        a_patch({"op": "replace", "path": "members", "value": []}),
        intent="member_replace",
    )
    idp.patch(f"/Groups/{group}", joins(bob))
    _made, judged = apply(idp, one)
    assert (judged.outcome, judged.out) == ("applied", 1)
    assert idp.members(group) == {bob}


def test_what_was_ended_since_stays_so(idp):
    user = idp.user(title="Ops")
    idp.patch(f"/Users/{user}", title("SRE"))
    older = idp.last()
    idp.delete(f"/Users/{user}")
    gone = idp.last()
    _made, judged = apply(idp, older)
    assert (judged.outcome, kept(judged)) == ("superseded", {"id": gone.pk})
    _made, judged = apply(idp, gone)
    assert judged.outcome == "same"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"request": None}, "its body is not kept"),
        (
            {"request": a_patch({"op": "replace", "path": "title", "value": "***"})},
            "a secret in it is masked, at title",
        ),
        ({"request": a_patch({"op": "replace", "path": "(left out)", "value": "***"})}, "a path in it is not kept"),
        ({"outcome": "rejected", "status": 400, "error": "title is too long."}, "it was refused: title is too long."),
        ({"outcome": "duplicate"}, "it repeats an earlier one"),
        ({"intent": "bulk"}, "it holds several operations"),
        ({"resource_type": ""}, "its address names no kind of resource"),
    ],
)
def test_what_is_in_the_way_is_said_and_nothing_is_written(idp, tenant, values, says):
    user = idp.user()
    one = parked(idp, "PATCH", f"/Users/{user}", **({"request": a_patch(title("SRE"))} | values))
    before = all_rows(tenant)
    with pytest.raises(replay.InTheWay, match=says):
        simulate(idp, one)
    with pytest.raises(replay.InTheWay, match=says):
        apply(idp, one)
    assert all_rows(tenant) == before


def test_a_masked_password_is_in_nobodys_way(idp):
    user = idp.user(title="Ops")
    request = a_patch(title("SRE"), {"op": "replace", "path": "password", "value": "***"})
    _made, judged = apply(idp, parked(idp, "PATCH", f"/Users/{user}", request))
    assert judged.outcome == "applied"
    assert idp.shadow(user).document["title"] == "SRE"


def test_what_a_door_refuses_is_parked_and_leaves_nothing(idp):
    user = idp.user()
    group = idp.group("Staff", user)
    request = a_patch(leaves(str(uuid7())))
    made, judged = apply(idp, parked(idp, "PATCH", f"/Groups/{group}", request))
    assert (made.outcome, judged.because) == (
        "parked",
        "members: the removal names a resource that this connection never had.",
    )
    assert idp.members(group) == {user}


def test_who_never_began_is_not_begun_by_a_replay_and_stays_as_they_were_made(idp):
    user = idp.user(active=False)
    made = idp.last()
    enable = parked(idp, "PATCH", f"/Users/{user}", a_patch(active(True)), intent="enable")
    assert idp.shadow(user).account.state == "pending"
    _again, judged = apply(idp, made)
    assert (judged.outcome, idp.shadow(user).account.state) == ("same", "pending")
    _held, judged = apply(idp, enable)
    assert (judged.outcome, judged.held_by, judged.plan) == ("held", ("approval",), None)
    assert (idp.shadow(user).account.state, idp.shadow(user).wants_active) == ("pending", True)
    idp.patch(f"/Users/{user}", active(True))
    assert idp.shadow(user).account.state == "active"
