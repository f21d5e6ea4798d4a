"""Plans carried out: never more than was decided, never twice, each batch a transaction of its own."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError

from accounts import lifecycle, memberships
from accounts.memberships import Member
from accounts.models import Account, HoldKind, Membership, Permit, System
from audit.models import Cause, JournalEntry, history_of
from provisioning import execution, plans
from provisioning.models.plan import ChangeAct, Plan, PlannedChange, PlanState
from provisioning.models.shadow import Shadow
from provisioning.plans import PlanChanged, Wanted
from tests.conftest import take_rules_away
from tests.factories import governance as make
from tests.factories.permits import granted
from tests.factories.plans import a_member, ask, end_of, ended, read, results, state
from tests.factories.words import in_the_ledger, written_from_here

if TYPE_CHECKING:
    from accounts.models import Group, Tenant, User

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
MODELS = (Plan, PlannedChange, Account, Membership, Permit)


def test_below_the_brake_a_plan_is_cleared_and_carried_out_once(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    accounts = [a_member(system, f"p{n}", now) for n in range(3)]
    ended(accounts[2], now)
    written = written_from_here(*MODELS)
    plan = read(system, end_of(*accounts), now)
    assert (plan.state, plan.brake["because"], written.entries()) == ("cleared", [], ["plan.frozen"])
    done = execution.execute(plan_id=plan.pk, at=now)
    assert (done.state, done.ended_at, done.ended_because) == ("done", now, "2 done, 0 not done")
    assert results(plan) == {"p0": ("done", ""), "p1": ("done", ""), "p2": ("same", "ended already")}
    assert [state(a) for a in accounts] == ["deprovisioned"] * 3
    assert set(Shadow.objects.values_list("wants_active", flat=True)) == {False}
    assert written.entries() == ["plan.frozen", "account.ended", "plan.executed"]
    assert written.history(*MODELS) == {"Plan": 4, "PlannedChange": 6, "Account": 2}
    assert execution.execute(plan_id=plan.pk, at=now + MINUTE).ended_at == now
    assert written.entries() == ["plan.frozen", "account.ended", "plan.executed"]
    assert written.history(*MODELS) == {"Plan": 4, "PlannedChange": 6, "Account": 2}


def test_a_stopped_plan_changes_nothing_until_two_people_have_granted_exactly_it(
    tenant: Tenant, system: System, people: list[User], now: dt.datetime
) -> None:
    bob = a_member(system, "bob", now)
    plan = read(system, end_of(bob), now, nothing=True)
    assert execution.execute(plan_id=plan.pk, at=now).state == "tripped"
    assert state(bob) == "active"
    permit = granted(plan, *people, at=now)
    granted_plan = plans.grant(plan=plan, permit=permit, at=now)
    assert (granted_plan.state, granted_plan.permit_id) == ("approved", permit.pk)
    written = written_from_here(*MODELS)
    assert execution.execute(plan_id=plan.pk, at=now).state == "done"
    permit.refresh_from_db()
    assert (permit.used_at, state(bob)) == (now, "deprovisioned")
    assert written.entries() == ["account.ended", "plan.executed"]
    assert written.history(Account, Permit) == {"Account": 1, "Permit": 1}
    with pytest.raises(PlanChanged, match="the plan is done"):
        plans.grant(plan=plan, permit=permit, at=now)


def test_a_used_permit_carries_out_nothing(
    system: System, person: Account, people: list[User], now: dt.datetime
) -> None:
    plan = read(system, end_of(person), now, nothing=True)
    permit = granted(plan, *people, at=now)
    plans.grant(plan=plan, permit=permit, at=now)
    Permit.objects.filter(pk=permit.pk).update(used_at=now)
    with pytest.raises(PlanChanged, match="its permit is used or past its end"):
        execution.execute(plan_id=plan.pk, at=now)
    assert (state(plan), state(person)) == ("approved", "active")


@pytest.mark.parametrize(
    "tampered",
    [
        {"account_id": UUID(int=7)},
        {"label": "somebody else"},
        {"act": "reactivate"},
        {"position": 9},
        {"group_id": UUID(int=7)},
        {"member_ref": UUID(int=7)},
    ],
)
def test_a_plan_whose_rows_are_not_what_was_frozen_writes_nothing(
    system: System, person: Account, now: dt.datetime, tampered: dict[str, Any]
) -> None:
    plan = read(system, end_of(person), now)
    take_rules_away(PlannedChange)
    PlannedChange.objects.filter(plan=plan).update(**tampered)
    with pytest.raises(PlanChanged, match="the plan's rows are not what was frozen"):
        execution.execute(plan_id=plan.pk, at=now)
    # Put back what the deferred keys would refuse at the end of the test.
    PlannedChange.objects.filter(plan=plan).update(account_id=person.pk, group_id=None)
    assert (state(plan), state(person)) == ("cleared", "active")


def test_a_row_added_to_a_plan_that_was_cut_off_is_never_written(
    tenant: Tenant, system: System, person: Account, now: dt.datetime
) -> None:
    plan = read(system, end_of(person), now)
    Plan.objects.filter(pk=plan.pk).update(state="executing")
    bob = a_member(system, "bob", now)
    take_rules_away(PlannedChange)
    PlannedChange.objects.create(tenant=tenant, plan=plan, position=2, act="deprovision", account=bob, label="bob")
    with pytest.raises(PlanChanged):
        execution.execute(plan_id=plan.pk, at=now)
    assert (state(bob), state(person)) == ("active", "active")


def test_an_account_of_which_the_directory_has_spoken_since_is_void(system: System, now: dt.datetime) -> None:
    ada, bob, cyd = (a_member(system, name, now) for name in ("ada", "bob", "cyd"))
    plan = read(system, end_of(ada, bob, cyd), now)
    Shadow.objects.filter(account=bob).update(changed_at=now + MINUTE, wants_active=True)
    Shadow.objects.filter(account=cyd).update(changed_at=now + MINUTE, wants_active=False)
    done = execution.execute(plan_id=plan.pk, at=now + 2 * MINUTE)
    assert (done.state, done.ended_because) == ("done_with_residue", "2 done, 1 not done")
    assert results(plan) == {
        "ada": ("done", ""), "bob": ("void", "its directory has spoken since"), "cyd": ("done", ""),
    }  # fmt: skip
    assert [state(a) for a in (ada, bob, cyd)] == ["deprovisioned", "active", "deprovisioned"]


def test_members_are_removed_once_unless_they_were_put_in_again_since(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    group: Group = memberships.create_group(
        tenant_id=tenant.pk, display_name="Staff", display_name_key="staff", document={}, at=now
    )
    ada, bob, cyd = (Member(ref=uuid4(), account=a_member(system, n, now).pk) for n in ("ada", "bob", "cyd"))
    memberships.add(group=group, system=system, members=[ada], at=now - HOUR)
    wanted = [
        Wanted(act=ChangeAct.REMOVE_MEMBER, label=name, account=m.account, group=group.pk, member_ref=m.ref)
        for name, m in (("ada", ada), ("bob", bob), ("cyd", cyd))
    ]
    plan = read(system, wanted, now)
    memberships.add(group=group, system=system, members=[bob], at=now + MINUTE)
    written = written_from_here(*MODELS)
    execution.execute(plan_id=plan.pk, at=now + 2 * MINUTE)
    assert results(plan) == {
        "ada": ("done", ""), "bob": ("void", "its directory has spoken since"), "cyd": ("same", "out already"),
    }  # fmt: skip
    assert set(memberships.of_system(group=group, system=system).values_list("origin_ref", flat=True)) == {bob.ref}
    assert written.sentences()[0] == "a test: Staff: 0 added, 1 ended. Okta no longer shows them"
    assert written.subjects("account") == {str(ada.account)}
    assert written.history(Membership) == {"Membership": 1}


def test_nobody_is_put_into_a_group_whose_resource_has_ended(tenant: Tenant, system: System, now: dt.datetime) -> None:
    group: Group = memberships.create_group(
        tenant_id=tenant.pk, display_name="Staff", display_name_key="staff", document={}, at=now
    )
    ada, bob = (Shadow.objects.get(account=a_member(system, name, now)) for name in ("ada", "bob"))
    wanted = [
        Wanted(act=ChangeAct.ADD_MEMBER, label=s.name, account=s.account_id, group=group.pk, member_ref=s.pk)
        for s in (ada, bob)
    ]
    plan = read(system, wanted, now)
    Shadow.objects.filter(pk=bob.pk).update(ended_at=now)
    execution.execute(plan_id=plan.pk, at=now + MINUTE)
    assert results(plan) == {"ada": ("done", ""), "bob": ("void", "its directory has ended it since")}
    assert set(memberships.of_system(group=group, system=system).values_list("origin_ref", flat=True)) == {ada.pk}


def test_a_change_that_names_nothing_fails_by_itself_and_ends(
    system: System, person: Account, now: dt.datetime
) -> None:
    wanted = [
        Wanted(act=ChangeAct.REMOVE_MEMBER, label="no group"),
        Wanted(act=ChangeAct.DEPROVISION, label="no account"),
        *end_of(person),
    ]
    plan = read(system, wanted, now)
    assert execution.execute(plan_id=plan.pk, at=now).state == "done_with_residue"
    nothing = ("failed", "it does not name what it would change")
    assert results(plan) == {"no group": nothing, "no account": nothing, "ada": ("done", "")}


def test_a_plan_is_not_begun_when_too_much_changed_just_before(
    system: System, person: Account, now: dt.datetime
) -> None:
    plan = read(system, end_of(person), now)
    in_the_ledger(system, 20, at=now)
    lapsed = execution.execute(plan_id=plan.pk, at=now + MINUTE)
    assert (lapsed.state, lapsed.ended_because) == (
        "lapsed", "too much changed just before; the next reading asks again",
    )  # fmt: skip
    assert state(person) == "active"


def test_a_plan_is_not_begun_when_two_percent_changed_just_before(
    system: System, person: Account, now: dt.datetime
) -> None:
    plan = read(system, end_of(person), now, total=100)
    in_the_ledger(system, 5, at=now)
    assert execution.execute(plan_id=plan.pk, at=now + MINUTE).state == "lapsed"
    assert state(person) == "active"


def test_one_bad_row_stops_no_other(system: System, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = [a_member(system, f"p{n}", now) for n in range(4)]
    bad = accounts[1].pk
    real = lifecycle.deprovision

    def fails_for_one(*, accounts: Any, reason: str, at: dt.datetime) -> Any:
        done = real(accounts=accounts, reason=reason, at=at)
        if bad in accounts:
            Account.objects.filter(pk=bad).update(epoch=0)
        return done

    monkeypatch.setattr(lifecycle, "deprovision", fails_for_one)
    plan = read(system, end_of(*accounts), now)
    done = execution.execute(plan_id=plan.pk, at=now)
    assert (done.state, done.ended_because) == ("done_with_residue", "3 done, 1 not done")
    assert {label: result for label, (result, _) in results(plan).items()} == {
        "p0": "done", "p1": "failed", "p2": "done", "p3": "done",
    }  # fmt: skip
    assert [state(a) for a in accounts] == ["deprovisioned", "active", "deprovisioned", "deprovisioned"]
    assert [a.epoch for a in Account.objects.filter(pk__in=[a.pk for a in accounts]).order_by("user_name_key")] == [
        1, 0, 1, 1,
    ]  # fmt: skip


def test_a_plan_that_was_cut_off_goes_on_where_it_stopped_and_does_nothing_twice(
    system: System, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [a_member(system, f"p{n}", now) for n in range(5)]
    plan = read(system, end_of(*accounts), now)
    monkeypatch.setattr(execution, "BATCH", 2)
    reached: list[str] = []

    def dies(name: str) -> None:
        reached.append(name)
        if reached.count(execution.BEFORE_BATCH) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(execution.crashpoints, "here", dies)
    with pytest.raises(KeyboardInterrupt):
        execution.execute(plan_id=plan.pk, at=now)
    assert sorted(state(a) for a in accounts) == ["active"] + ["deprovisioned"] * 4
    assert state(plan) == "executing"
    monkeypatch.setattr(execution.crashpoints, "here", reached.append)
    written = written_from_here(*MODELS)
    assert execution.execute(plan_id=plan.pk, at=now + MINUTE).state == "done"
    assert written.history(*MODELS) == {"Plan": 1, "PlannedChange": 1, "Account": 1}
    assert written.entries() == ["account.ended", "plan.executed"]
    assert {a.epoch for a in Account.objects.filter(pk__in=[a.pk for a in accounts])} == {1}
    assert set(reached) == {execution.BEFORE_BATCH, execution.AFTER_BATCH, execution.AFTER_EXECUTION}


def advance(plan: Plan, now: dt.datetime, *, batches: int = 1_000) -> tuple[bool, list[str]]:
    """Batches of a plan, each in a scope of its own; and the states of what was found to be over."""
    over: list[str] = []
    left = iter(range(batches - 1))
    is_over = execution.advance(
        tenant=plan.tenant_id, plan_id=plan.pk, clock=lambda: now, go_on=lambda: next(left, None) is not None,
        then=lambda *, plan, at: over.append(plan.state),
    )  # fmt: skip
    return is_over, over


def test_each_batch_is_a_transaction_of_its_own_with_its_history(
    system: System, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [a_member(system, f"p{n}", now) for n in range(5)]
    plan = read(system, end_of(*accounts), now)
    monkeypatch.setattr(execution, "BATCH", 2)
    assert advance(plan, now, batches=1) == (False, [])
    assert (state(plan), sorted(state(a) for a in accounts)) == ("executing", ["active"] * 3 + ["deprovisioned"] * 2)
    assert advance(plan, now) == (True, ["done"])
    ends = history_of(Account).objects.filter(state="deprovisioned", id__in=[a.pk for a in accounts])
    by_cause = Counter(ends.values_list("cause_id", flat=True))
    assert sorted(by_cause.values()) == [1, 2, 2]
    causes = Cause.objects.filter(pk__in=by_cause).values_list("kind", "actor", "reason").distinct()
    assert set(causes) == {("task", "sweep", "a plan is ready to be carried out")}
    written = written_from_here(*MODELS)
    assert advance(plan, now + MINUTE) == (True, ["done"])
    assert (written.history(*MODELS), written.entries()) == ({}, [])


def test_a_plan_that_dies_in_a_batch_keeps_those_before_and_does_each_once(
    system: System, now: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [a_member(system, f"p{n}", now) for n in range(5)]
    plan = read(system, end_of(*accounts), now)
    monkeypatch.setattr(execution, "BATCH", 2)
    reached: list[str] = []

    def dies(name: str) -> None:
        reached.append(name)
        if reached.count(execution.AFTER_BATCH) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(execution.crashpoints, "here", dies)
    with pytest.raises(KeyboardInterrupt):
        advance(plan, now)
    assert reached == [execution.AFTER_BATCH, execution.BEFORE_BATCH, execution.AFTER_BATCH]
    assert sorted(state(a) for a in accounts) == ["active"] * 3 + ["deprovisioned"] * 2
    monkeypatch.setattr(execution.crashpoints, "here", reached.append)
    assert advance(plan, now) == (True, ["done"])
    assert reached[-2:] == [execution.BEFORE_BATCH, execution.AFTER_EXECUTION]
    assert {a.epoch for a in Account.objects.filter(pk__in=[a.pk for a in accounts])} == {1}


@pytest.mark.parametrize("tampered", [{"label": "somebody else"}, {"result": "planned", "act": "remove_member"}])
def test_rows_that_change_between_two_batches_are_written_no_more(
    system: System, now: dt.datetime, monkeypatch: pytest.MonkeyPatch, tampered: dict[str, Any]
) -> None:
    accounts = [a_member(system, f"p{n}", now) for n in range(3)]
    plan = read(system, end_of(*accounts), now)
    monkeypatch.setattr(execution, "BATCH", 1)
    assert advance(plan, now, batches=1) == (False, [])
    take_rules_away(PlannedChange)
    PlannedChange.objects.filter(plan=plan, position=2).update(**tampered)
    with pytest.raises(PlanChanged, match="the plan's rows are not what was frozen"):
        advance(plan, now)
    assert sorted(state(a) for a in accounts) == ["active", "active", "deprovisioned"]
    assert state(plan) == "executing"


def test_a_stopped_plan_is_left_alone_by_the_clock(system: System, person: Account, now: dt.datetime) -> None:
    plan = read(system, end_of(person), now, nothing=True)
    assert advance(plan, now) == (True, ["tripped"])
    assert (state(plan), state(person)) == ("tripped", "active")


def test_the_hash_is_read_row_by_row_and_is_that_of_the_frozen_plan(system: System, now: dt.datetime) -> None:
    plan = read(system, end_of(*(a_member(system, f"p{n}", now) for n in range(3))), now)
    rows = list(plan.changes.all())
    text = json.dumps(
        [
            [str(plan.pk), "reading", str(system.pk), None],
            [[c.position, str(c.act), str(c.account_id), "None", "None", c.label] for c in rows],
        ],
        separators=(",", ":"),
    )
    assert plan.digest == plans.digest_of(plan, rows) == hashlib.sha256(text.encode()).hexdigest()
    assert plans.is_as_frozen(plan)


def test_an_approved_wish_brings_back_with_a_new_expiry_and_writes_what_the_directory_wants(
    tenant: Tenant, system: System, people: list[User], now: dt.datetime
) -> None:
    service = make.a_service(
        tenant, "deploy", at=now, owner=make.a_person(tenant, "grace", at=now), expires_at=now + HOUR
    )
    shadow = make.a_shadow(system, service, at=now)
    Shadow.objects.update(wants_active=False)
    ended(service, now)
    plan = ask(service, system, now)
    plans.grant(plan=plan, permit=granted(plan, *people, at=now), at=now)
    assert execution.execute(plan_id=plan.pk, at=now + MINUTE).state == "done"
    service.refresh_from_db()
    shadow.refresh_from_db()
    assert (service.state, service.expires_at) == (
        "active",
        (now + MINUTE).replace(microsecond=0) + dt.timedelta(days=180),
    )
    assert (shadow.wants_active, shadow.changed_at) == (True, now + MINUTE)
    assert results(plan) == {"deploy": ("done", "active")}
    assert execution.execute(plan_id=plan.pk, at=now + HOUR).state == "done"
    assert Account.objects.get(pk=service.pk).state_since == now + MINUTE


def test_a_wish_granted_before_a_security_hold_was_placed_is_void(
    system: System, person: Account, people: list[User], now: dt.datetime
) -> None:
    ended(person, now)
    plan = ask(person, system, now)
    plans.grant(plan=plan, permit=granted(plan, people[0], at=now), at=now)
    lifecycle.suspend(accounts=[person.pk], kind=HoldKind.SECURITY, reason="stolen", at=now)
    assert execution.execute(plan_id=plan.pk, at=now).state == "done_with_residue"
    assert results(plan)["ada"] == ("void", "ada can't come back: a security hold is on it")
    assert (state(person), Permit.objects.get().used_at) == ("deprovisioned", None)


def test_no_database_error_leaves_a_plan_by_a_stranger(system: System, person: Account, now: dt.datetime) -> None:
    """The database's own words may hold values of a row: only the kind of error is kept."""
    plan = read(system, end_of(person), now)

    def fails(*_args: Any, **_values: Any) -> None:
        raise DatabaseError("ada's secret")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "deprovision", fails)
        execution.execute(plan_id=plan.pk, at=now)
    assert results(plan) == {"ada": ("failed", "DatabaseError")}
    assert all("secret" not in entry.sentence for entry in JournalEntry.objects.all())
    assert plan.state == PlanState.CLEARED
