"""The ledger replayed from empty gives today's roll, and says where it does not."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import RoleName
from accounts.models.finding import Finding
from audit.keys import uuid7_floor
from audit.scope import scope
from provisioning import authority, execution, plans, rebuilding, shadows, tasks
from provisioning.authority import RuleKind
from provisioning.models.exchange import Exchange
from provisioning.models.plan import Plan
from provisioning.models.rebuild import Rebuild, Rebuilt, RebuiltMember
from provisioning.models.shadow import Shadow
from tests.conftest import a_cause, as_setup
from tests.factories.governance import a_person, a_shadow, staff
from tests.factories.permits import granted
from tests.factories.rebuilds import rebuild, shown
from tests.factories.replays import a_patch, active, apply, joins, leaves, now, parked, title
from tests.factories.scim import Idp, connect

if TYPE_CHECKING:
    from accounts.models import Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant, "Okta")


def result(row: Rebuild) -> tuple[int | None, int | None, dict[str, int]]:
    return row.equal, row.differing, row.left_out


def findings(tenant: Tenant) -> list[tuple[str, dict[str, Any]]]:
    with scope(tenant=tenant.pk):
        rows = Finding.objects.filter(kind="ledger_differs").order_by("first_seen_at")
        return [(row.state, row.evidence) for row in rows]


def a_history(idp: Idp) -> tuple[str, str, str]:
    """Users and groups made, changed, filled, emptied and ended."""
    ada, bob, eve = idp.user("ada", title="Ops"), idp.user("bob"), idp.user("eve")
    group, other = idp.group("Staff", ada, bob), idp.group("Crew", eve)
    idp.patch(f"/Users/{ada}", title("SRE"), {"op": "add", "path": "emails", "value": [{"value": "a@x.example"}]})
    idp.put(
        f"/Users/{bob}", {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bob", "active": False}
    )
    idp.patch(f"/Groups/{group}", joins(eve), leaves(ada), {"op": "replace", "path": "displayName", "value": "All"})
    idp.patch(f"/Groups/{other}", {"op": "replace", "path": "members", "value": [{"value": ada}]})
    idp.delete(f"/Users/{eve}")
    idp.patch(f"/Users/{bob}", active(True))
    return ada, bob, group


def test_a_history_folded_from_empty_is_the_roll(tenant, idp):
    _ada, bob, group = a_history(idp)
    assert result(rebuild(tenant)) == (5, 0, {})
    with scope(tenant=tenant.pk):
        assert {str(m.member_ref) for m in RebuiltMember.objects.filter(group_ref=group)} == {bob} == idp.members(group)
        documents = dict(Rebuilt.objects.values_list("resource_id", "document"))
        assert documents == dict(Shadow.objects.values_list("pk", "document"))
    assert findings(tenant) == []


def test_it_goes_on_where_it_stopped_and_from_empty_is_the_same(tenant, idp):
    a_history(idp)
    rebuild(tenant)
    first = shown(tenant)
    idp.user("joe")
    assert result(rebuild(tenant)) == (6, 0, {})
    assert shown(tenant).folded == first.folded + 1
    assert result(rebuild(tenant, from_empty=True)) == (6, 0, {})
    assert shown(tenant).folded == first.folded + 1


def test_one_that_is_cut_off_goes_on_where_it_stands(tenant, idp, monkeypatch):
    a_history(idp)
    monkeypatch.setattr(rebuilding, "BATCH", 2)
    real, left = rebuilding._fold, [None, None]

    def dies(batch: Any, **values: Any) -> int:
        count: int = real(batch, **values)
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return count

    monkeypatch.setattr(rebuilding, "_fold", dies)
    with pytest.raises(KeyboardInterrupt):
        rebuild(tenant)
    assert (shown(tenant).folded, shown(tenant).state) == (4, "folding")
    monkeypatch.setattr(rebuilding, "_fold", real)
    assert result(rebuild(tenant)) == (5, 0, {})


def tampered(shadow: str, **values: Any) -> None:
    with as_setup():
        Shadow.objects.filter(pk=shadow).update(**values)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"document": {"userName": "ada", "title": "CEO"}, "digest": "0" * 64}, "document"),
        ({"wants_active": False}, "active"),
        ({"ended_at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, "ended"),
    ],
)
def test_what_nobody_said_is_found_named_and_closed_when_it_is_right_again(tenant, idp, values, word):
    ada = idp.user("ada", title="Ops")
    idp.user("bob")
    before = {name: getattr(idp.shadow(ada), name) for name in values}
    with scope(tenant=tenant.pk, cause=a_cause()):
        tampered(ada, **values)
    assert result(rebuild(tenant)) == (1, 1, {})
    ((state, evidence),) = findings(tenant)
    assert (state, evidence["what"], evidence["resources"]) == ("open", {word: 1}, [f"ada ({word}), {ada}"])
    with scope(tenant=tenant.pk, cause=a_cause()):
        tampered(ada, **before)
    assert result(rebuild(tenant)) == (2, 0, {})
    assert [state for state, _ in findings(tenant)] == ["resolved"]


def test_a_resource_that_no_exchange_made_and_one_that_is_gone_are_found(tenant, idp):
    idp.user("ada")
    rebuild(tenant)
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_shadow(idp.system, a_person(tenant, "smuggled", at=now()), at=now())
        row = Rebuilt(tenant=tenant, system=idp.system, resource_id=idp.last().pk, resource_type="User", label="ghost")
        row.exchange_id, row.said_at = idp.last().pk, now()
        row.save()
    assert result(rebuild(tenant)) == (1, 2, {})
    assert findings(tenant)[0][1]["what"] == {"not in the ledger": 1, "not in the roll": 1}


def test_a_member_whom_nobody_put_in_is_found(tenant, idp):
    ada, bob = idp.user("ada"), idp.user("bob")
    group = idp.group("Staff", ada)
    rebuild(tenant)
    with scope(tenant=tenant.pk):
        RebuiltMember.objects.create(tenant=tenant, group_ref=group, member_ref=bob)
    assert result(rebuild(tenant)) == (2, 1, {})
    assert findings(tenant)[0][1]["what"] == {"members": 1}


def test_what_is_younger_than_a_few_minutes_is_left_out_and_said(tenant, idp):
    idp.user("ada")
    rebuild(tenant)
    idp.user("bob")
    rebuilding.advance(tenant=tenant.pk, clock=now, go_on=lambda: True)
    assert result(shown(tenant)) == (0, 0, {"newer": 2})


def test_a_masked_value_is_left_out_until_the_resource_is_stated_whole(tenant, idp):
    ada = idp.user("ada")
    idp.patch(f"/Users/{ada}", title("password=hunter2"))
    assert result(rebuild(tenant)) == (0, 0, {"unclear": 1})
    idp.put(f"/Users/{ada}", {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada"})
    assert result(rebuild(tenant)) == (1, 0, {})


def test_one_that_was_applied_late_under_an_old_key_is_folded_all_the_same(tenant, idp):
    ada = idp.user("ada", title="Ops")
    rebuild(tenant)
    folded = shown(tenant).folded
    hour_ago = uuid7_floor(int((now() - dt.timedelta(hours=1)).timestamp() * 1000))
    with scope(tenant=tenant.pk, cause=a_cause()):
        document = {"userName": "ada", "title": "SRE"}
        tampered(ada, document=document, digest=shadows.digest(document))
    parked(idp, "PATCH", f"/Users/{ada}", a_patch(title("SRE")), id=hour_ago, outcome="applied", status=200)
    assert result(rebuild(tenant)) == (1, 0, {})
    assert shown(tenant).folded == folded + 1
    assert result(rebuild(tenant)) == (1, 0, {})
    assert shown(tenant).folded == folded + 1


def test_rules_of_their_time_are_folded_with(tenant, idp):
    with scope(tenant=tenant.pk, cause=a_cause()):
        noted = authority.make_rule(system=idp.system, kind=RuleKind.ACTIVE_NOTED, reason="x", at=now())
        authority.make_rule(system=idp.system, kind=RuleKind.MEMBERS_NOTED, reason="x", at=now())
        authority.make_rule(
            system=idp.system, kind=RuleKind.ATTRIBUTE_ENDS, field="title", values=["Leaver"], reason="x", at=now()
        )
    ada = idp.user("ada")
    idp.group("Staff", ada)
    idp.patch(f"/Users/{ada}", title("Leaver"))
    with scope(tenant=tenant.pk, cause=a_cause()):
        authority.end_rule(system=idp.system, rule=noted, reason="x", at=now())
    bob = idp.user("bob")
    idp.patch(f"/Users/{bob}", title("Leaver"))
    assert [idp.shadow(one).wants_active for one in (ada, bob)] == [False, False]
    assert result(rebuild(tenant)) == (3, 0, {})


def test_what_people_granted_is_theirs_and_not_the_ledgers(tenant, idp):
    ada, bob = idp.user("ada"), idp.user("bob")
    group = idp.group("Staff", ada)
    idp.patch(f"/Users/{ada}", active(False))
    made, _ = apply(idp, parked(idp, "PATCH", f"/Groups/{group}", a_patch(joins(bob)), intent="member_add"))
    with scope(tenant=tenant.pk, cause=a_cause()):
        two = [staff(tenant, name, RoleName.SECURITY, at=now()) for name in ("l.chen", "m.ito")]
        plan = Plan.objects.get(pk=made.plan_id)
        done = plans.grant(plan=plan, permit=granted(plan, *two, at=now()), at=now())
        execution.execute(plan_id=done.pk, at=now())
    assert idp.members(group) == {ada, bob}
    assert result(rebuild(tenant)) == (2, 0, {"decided": 1})


def test_what_a_replay_took_is_folded_and_what_was_superseded_is_not(tenant, idp):
    ada = idp.user("ada", title="Ops", displayName="Ada")
    bob, group = idp.user("bob"), idp.group("Staff", ada)
    one = parked(
        idp, "PATCH", f"/Users/{ada}", a_patch(title("SRE"), {"op": "replace", "path": "displayName", "value": "A"})
    )
    two = parked(idp, "PATCH", f"/Groups/{group}", a_patch(leaves(ada)), intent="member_remove")
    three = parked(idp, "PATCH", f"/Users/{bob}", a_patch(active(False)), intent="disable")
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "joe", "active": True}
    four = parked(idp, "POST", "/Users", body, intent="create")
    idp.patch(f"/Users/{ada}", title("Lead"))
    for each in (one, two, three, four):
        apply(idp, each)
    assert idp.shadow(ada).document["displayName"] == "A"
    assert result(rebuild(tenant)) == (4, 0, {})


def test_each_night_it_goes_on_by_itself_and_begins_from_empty_after_a_week(tenant, idp, monkeypatch):
    idp.user("ada")
    moment = [dt.datetime.now(dt.UTC).replace(hour=1) + dt.timedelta(days=1)]
    monkeypatch.setattr(tasks, "_now", lambda: moment[0])
    tasks.rebuild_due()
    first = shown(tenant)
    assert (first.state, first.compared_at) == ("compared", moment[0])
    moment[0] += dt.timedelta(minutes=30)
    tasks.rebuild_due()
    assert shown(tenant).compared_at == first.compared_at
    moment[0] += dt.timedelta(hours=2)
    tasks.rebuild_due()
    assert (shown(tenant).compared_at, shown(tenant).emptied_at) == (moment[0], first.emptied_at)
    moment[0] += dt.timedelta(days=8)
    tasks.rebuild_due()
    assert shown(tenant).emptied_at == moment[0]
    assert result(shown(tenant)) == (1, 0, {})


def test_nothing_of_the_roll_is_touched(tenant, idp):
    a_history(idp)
    with scope(tenant=tenant.pk):
        before = (Shadow.history.count(), Exchange.objects.count())
    rebuild(tenant)
    with scope(tenant=tenant.pk):
        assert (Shadow.history.count(), Exchange.objects.count()) == before


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_costs_the_same_for_one_and_for_three(tenant, idp, count, django_assert_num_queries):
    for number in range(count):
        idp.user(f"u{number}@example.com")
    with scope(tenant=tenant.pk):
        Rebuild.objects.create(tenant=tenant, emptied_at=now())
        with django_assert_num_queries(7):
            assert rebuilding._step(until=now() + dt.timedelta(minutes=1)) is False
