"""Plans: frozen and hashed, judged by the brake, granted by people, executed once, and never more than was decided."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError

from accounts import lifecycle, memberships, ownership
from accounts.memberships import Member
from accounts.models import Account, HoldKind, Membership, Permit, ReactivationPolicy, System
from audit.models import JournalEntry
from audit.transitions import IllegalMove
from provisioning import plans
from provisioning.models.plan import ChangeAct, Plan, PlannedChange, PlanState
from provisioning.models.run import Run
from provisioning.models.shadow import Shadow
from provisioning.plans import PlanChanged, Wanted
from tests.factories import governance as make
from tests.factories.permits import an_exception, excused, granted, security
from tests.factories.words import in_the_ledger, written_from_here

if TYPE_CHECKING:
    from accounts.models import Group, Tenant, User
    from audit.models import Cause

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
MODELS = (Plan, PlannedChange, Account, Membership, Permit)


@pytest.fixture
def now() -> dt.datetime:
    return make.now()


@pytest.fixture
def system(tenant: Tenant, because: Cause, now: dt.datetime) -> System:
    return make.a_system(tenant, at=now)


@pytest.fixture
def person(tenant: Tenant, system: System, now: dt.datetime) -> Account:
    return member_of(system, "ada", now)


@pytest.fixture
def people(tenant: Tenant, because: Cause, now: dt.datetime) -> list[User]:
    return [security(make.a_person(tenant, name, at=now), at=now) for name in ("sam", "sue")]


def member_of(system: System, name: str, now: dt.datetime, **fields: Any) -> Account:
    """A person whom the system knows."""
    account = make.a_person(system.tenant, name, at=now - HOUR, **fields)
    make.a_shadow(system, account, at=now - HOUR)
    return account


def ended(account: Account, at: dt.datetime) -> Account:
    lifecycle.deprovision(accounts=[account.pk], reason="left", at=at)
    account.refresh_from_db()
    return account


def ask(account: Account, system: System, now: dt.datetime, **values: Any) -> Plan:
    return plans.ask_return(
        **{
            "account": account, "system": system, "requesters": [], "asked_by": system.name, "exchange_id": uuid4(),
            "at": now, **values,
        }
    )  # fmt: skip


def end_of(*accounts: Account) -> list[Wanted]:
    return [
        Wanted(act=ChangeAct.DEPROVISION, label=a.user_name, account=a.pk, is_privileged=a.is_privileged)
        for a in accounts
    ]


def read(system: System, wanted: list[Wanted], now: dt.datetime, *, total: int = 10_000, nothing: bool = False) -> Any:
    run = Run.objects.create(
        tenant_id=system.tenant_id, system=system, started_by="test", started_at=now, state="closed", ended_at=now
    )
    return plans.freeze_reading(system=system, run=run, wanted=wanted, total=total, read_nothing=nothing, at=now)


def made_up(count: int) -> list[Wanted]:
    """So many changes that the brake can count; it asks nothing of their accounts."""
    return [Wanted(act=ChangeAct.DEPROVISION, label=f"n{n}", account=UUID(int=n)) for n in range(count)]


def state(thing: Any) -> str:
    return str(type(thing).objects.values_list("state", flat=True).get(pk=thing.pk))


def results(plan: Plan) -> dict[str, tuple[str, str]]:
    return {c.label: (c.result, c.detail) for c in PlannedChange.objects.filter(plan=plan)}


# -- a plan of one


def test_a_wish_is_frozen_hashed_and_waits_eight_hours(person: Account, system: System, now: dt.datetime) -> None:
    ended(person, now)
    asker = uuid4()
    written = written_from_here(*MODELS)
    plan = ask(person, system, now, requesters=[asker])
    assert (plan.kind, plan.state, plan.account_id, plan.epoch) == ("reactivation", "waiting", person.pk, 1)
    assert (plan.until, plan.requesters, plan.held_by, plan.repeats) == (now + 8 * HOUR, [asker], ["approval"], 0)
    assert plan.digest == plans.digest_of(plan, plan.changes.all())
    assert [(c.act, c.account_id, c.result) for c in plan.changes.all()] == [("reactivate", person.pk, "planned")]
    assert state(person) == "deprovisioned"
    assert written.entries() == ["plan.asked"]
    assert written.history(*MODELS) == {"Plan": 2, "PlannedChange": 1}
    assert {written.subjects(kind).pop() for kind in ("plan", "system", "account")} == {
        str(plan.pk), str(system.pk), str(person.pk),
    }  # fmt: skip
    assert list(plans.waiting()) == [plan]


def test_a_repeat_is_counted_adds_who_asks_and_makes_no_second_plan(
    person: Account, system: System, now: dt.datetime
) -> None:
    ended(person, now)
    first, second = sorted([uuid4(), uuid4()])
    plan = ask(person, system, now, requesters=[second])
    written = written_from_here(*MODELS)
    again = ask(person, system, now + MINUTE, requesters=[first])
    assert (again.pk, again.repeats, again.requesters, again.until) == (plan.pk, 1, [first, second], now + 8 * HOUR)
    assert Plan.objects.count() == 1
    assert written.history(*MODELS) == {"Plan": 1}
    assert written.entries() == []


def test_each_ending_has_a_wish_of_its_own(person: Account, system: System, now: dt.datetime) -> None:
    ended(person, now)
    first = ask(person, system, now)
    plans.lapse(plan=first, because="inactive again", at=now)
    lifecycle.reactivate(account=person, permit=excused(person, at=now), expires_at=None, at=now)
    ended(person, now)
    second = ask(person, system, now)
    assert (first.epoch, second.epoch, second.pk != first.pk) == (1, 2, True)


def test_a_wish_whose_time_is_over_lapses_when_it_is_asked_again(
    person: Account, system: System, now: dt.datetime
) -> None:
    ended(person, now - 9 * HOUR)
    old = ask(person, system, now - 9 * HOUR)
    new = ask(person, system, now)
    assert (state(old), state(new), new.until) == ("lapsed", "waiting", now + 8 * HOUR)


def test_an_account_that_has_not_ended_is_not_asked_back(person: Account, system: System, now: dt.datetime) -> None:
    with pytest.raises(lifecycle.CantReturn, match="ada has not ended: it is active"):
        ask(person, system, now)
    assert not Plan.objects.exists()


def test_a_wish_says_what_holds_it_besides_people(tenant: Tenant, system: System, now: dt.datetime) -> None:
    service = make.a_service(tenant, "deploy", at=now, owner=make.a_person(tenant, "grace", at=now))
    lifecycle.suspend(accounts=[service.pk], kind=HoldKind.SECURITY, reason="leaked", at=now)
    ended(service, now)
    ended(Account.objects.get(user_name="grace"), now)
    assert ask(service, system, now).held_by == ["approval", "owner", "a security hold is on it"]


@pytest.mark.parametrize(
    ("policy", "excepted", "hours", "back"),
    [
        ("approval", True, 0, False),
        ("automatic", False, 0, False),
        ("automatic", True, 400, True),
        ("grace", False, 0, False),
        ("grace", True, 23, True),
        ("grace", True, 25, False),
    ],
)
def test_a_policy_brings_back_only_with_a_live_exception(
    person: Account, system: System, now: dt.datetime, policy: str, excepted: bool, hours: int, back: bool
) -> None:
    ended(person, now - hours * HOUR)
    system.reactivation_policy = ReactivationPolicy(policy)
    system.save()
    if excepted:
        an_exception(system, at=now)
    plan = ask(person, system, now)
    assert (state(person), plan.state) == (("active", "done") if back else ("deprovisioned", "waiting"))
    permits = [(p.account_id, p.exception_id is not None, p.used_at is not None) for p in Permit.objects.all()]
    assert permits == ([(person.pk, True, True)] if back else [])


def test_a_security_hold_blocks_an_automatic_return_until_it_is_released(
    person: Account, system: System, now: dt.datetime
) -> None:
    System.objects.filter(pk=system.pk).update(reactivation_policy="automatic")
    system.refresh_from_db()
    an_exception(system, at=now)
    lifecycle.suspend(accounts=[person.pk], kind=HoldKind.SECURITY, reason="stolen", at=now)
    ended(person, now)
    plan = ask(person, system, now)
    assert (plan.state, plan.held_by, state(person)) == (
        "waiting", ["approval", "a security hold is on it"], "deprovisioned",
    )  # fmt: skip
    lifecycle.release(hold=person.holds.get(kind="security"), reason="found", at=now)
    again = ask(person, system, now)
    assert (again.pk, again.state, state(person)) == (plan.pk, "done", "active")


def test_one_person_decides_about_a_person_and_two_about_a_machine_a_privileged_account_and_a_stopped_plan(
    tenant: Tenant, person: Account, system: System, now: dt.datetime
) -> None:
    grace = make.a_person(tenant, "grace", at=now)
    service = make.a_service(tenant, "deploy", at=now, owner=grace)
    root = member_of(system, "root", now, is_privileged=True)
    for account in (person, service, root):
        ended(account, now)
    assert [plans.needs(ask(a, system, now)) for a in (person, service, root)] == [1, 2, 2]
    stopped = read(system, made_up(0) + end_of(grace), now, nothing=True)
    assert plans.needs(stopped) == 2


def test_who_asked_the_subject_and_whoever_answers_for_it_are_barred(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    grace, heir = make.a_person(tenant, "grace", at=now), make.a_person(tenant, "heir", at=now)
    service = make.a_service(tenant, "deploy", at=now, owner=grace, identity_id=make.people.identity_for(at=now).pk)
    ownership.offer(account=service, owner=heir, at=now)
    ended(service, now)
    asker = uuid4()
    plan = ask(service, system, now, requesters=[asker])
    assert plans.barred(plan) == {asker, service.identity_id, grace.identity_id, heir.identity_id}
    bob = make.a_person(tenant, "bob", at=now)
    assert plans.barred(read(system, end_of(bob), now, nothing=True)) == set()


# -- the brake


@pytest.mark.parametrize(
    ("count", "total", "nothing", "reasons"),
    [
        (20, 10_000, False, []),
        (21, 10_000, False, ["21 changes are more than 20"]),
        (5, 10, False, []),
        (6, 300, False, []),
        (6, 299, False, ["2.0 % of 299 is more than 2 %"]),
        (6, 100, False, ["6.0 % of 100 is more than 2 %"]),
        (6, 0, False, ["100.0 % of 0 is more than 2 %"]),
        (1, 10_000, True, ["the reading shows nothing at all"]),
        (30, 40, True, [
            "the reading shows nothing at all", "30 changes are more than 20", "75.0 % of 40 is more than 2 %",
        ]),
    ],
)  # fmt: skip
def test_the_brake_trips_on_more_than_20_or_more_than_2_percent_and_5_or_nothing_read(
    system: System, now: dt.datetime, count: int, total: int, nothing: bool, reasons: list[str]
) -> None:
    judged = plans.judge(system=system, wanted=made_up(count), total=total, read_nothing=nothing, at=now)
    assert judged["because"] == reasons
    assert (judged["count"], judged["of"], judged["just_before"]) == (count, total, 0)


def test_the_total_rolls_over_ten_minutes_and_counts_events_and_plans_together(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    other = make.a_system(tenant, "Entra", at=now)
    in_the_ledger(system, 3, at=now - 9 * MINUTE)
    in_the_ledger(system, 2, at=now - 8 * MINUTE, intent="delete")
    in_the_ledger(system, 7, at=now - 11 * MINUTE)
    in_the_ledger(system, 7, at=now - 7 * MINUTE, intent="update")
    in_the_ledger(other, 7, at=now - 6 * MINUTE)
    plan = read(system, end_of(*(member_of(system, f"p{n}", now) for n in range(4))), now)
    assert plans.recent_reductions(system=system, at=now) == 5
    plans.execute(plan_id=plan.pk, at=now)
    assert plans.recent_reductions(system=system, at=now) == 9
    assert plans.recent_reductions(system=system, at=now + 11 * MINUTE) == 0

    def because(count: int) -> list[str]:
        judged = plans.judge(system=system, wanted=made_up(count), total=10_000, read_nothing=False, at=now)
        return list(judged["because"])

    assert because(11) == []
    assert because(12) == ["21 changes are more than 20 (9 just before)"]


def test_the_brake_counts_privileged_accounts_and_owners_who_would_lose_all(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    grace, edsger = (make.a_person(tenant, name, at=now) for name in ("grace", "edsger"))
    only = make.a_service(tenant, "only", at=now, owner=grace, is_privileged=True)
    one, two = (make.a_service(tenant, name, at=now, owner=edsger) for name in ("one", "two"))
    ended(make.a_service(tenant, "gone", at=now, owner=grace), now)
    judged = plans.judge(system=system, wanted=end_of(only, one), total=10_000, read_nothing=False, at=now)
    assert (judged["privileged"], judged["owners_losing_all"]) == (1, 1)
    assert two.state == "active"


# -- a plan of many


def test_below_the_brake_a_plan_is_cleared_and_carried_out_once(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    accounts = [member_of(system, f"p{n}", now) for n in range(3)]
    ended(accounts[2], now)
    written = written_from_here(*MODELS)
    plan = read(system, end_of(*accounts), now)
    assert (plan.state, plan.brake["because"], written.entries()) == ("cleared", [], ["plan.frozen"])
    done = plans.execute(plan_id=plan.pk, at=now)
    assert (done.state, done.ended_at, done.ended_because) == ("done", now, "2 done, 0 not done")
    assert results(plan) == {"p0": ("done", ""), "p1": ("done", ""), "p2": ("same", "ended already")}
    assert [state(a) for a in accounts] == ["deprovisioned"] * 3
    assert set(Shadow.objects.values_list("wants_active", flat=True)) == {False}
    assert written.entries() == ["plan.frozen", "account.ended", "plan.executed"]
    assert written.history(*MODELS) == {"Plan": 4, "PlannedChange": 6, "Account": 2}
    assert plans.execute(plan_id=plan.pk, at=now + MINUTE).ended_at == now
    assert written.entries() == ["plan.frozen", "account.ended", "plan.executed"]
    assert written.history(*MODELS) == {"Plan": 4, "PlannedChange": 6, "Account": 2}


def test_nothing_wanted_is_no_plan(system: System, now: dt.datetime) -> None:
    assert read(system, [], now) is None
    assert not Plan.objects.exists()


def test_a_newer_reading_replaces_what_waits_and_leaves_what_says_the_same(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    ada, bob = member_of(system, "ada", now), member_of(system, "bob", now)
    stopped = read(system, end_of(ada, bob), now, nothing=True)
    assert (stopped.state, stopped.until) == ("tripped", now + 4 * HOUR)
    same = read(system, end_of(bob, ada), now + HOUR, nothing=True)
    assert (same.pk, same.until) == (stopped.pk, now + 4 * HOUR)
    other_system = read(make.a_system(tenant, "Entra", at=now), end_of(ada), now, nothing=True)
    newer = read(system, end_of(ada), now + HOUR)
    assert (state(stopped), newer.state, state(other_system)) == ("lapsed", "cleared", "tripped")
    assert results(stopped) == {"ada": ("rejected", "a newer reading"), "bob": ("rejected", "a newer reading")}
    assert read(system, [], now + HOUR) is None
    assert state(newer) == "lapsed"


def test_a_stopped_plan_changes_nothing_until_two_people_have_granted_exactly_it(
    tenant: Tenant, system: System, people: list[User], now: dt.datetime
) -> None:
    bob = member_of(system, "bob", now)
    plan = read(system, end_of(bob), now, nothing=True)
    assert plans.execute(plan_id=plan.pk, at=now).state == "tripped"
    assert state(bob) == "active"
    permit = granted(plan, *people, at=now)
    granted_plan = plans.grant(plan=plan, permit=permit, at=now)
    assert (granted_plan.state, granted_plan.permit_id) == ("approved", permit.pk)
    written = written_from_here(*MODELS)
    assert plans.execute(plan_id=plan.pk, at=now).state == "done"
    permit.refresh_from_db()
    assert (permit.used_at, state(bob)) == (now, "deprovisioned")
    assert written.entries() == ["account.ended", "plan.executed"]
    assert written.history(Account, Permit) == {"Account": 1, "Permit": 1}
    with pytest.raises(PlanChanged, match="the plan is done"):
        plans.grant(plan=plan, permit=permit, at=now)


def test_a_permit_for_something_else_grants_nothing(
    tenant: Tenant, system: System, person: Account, people: list[User], now: dt.datetime
) -> None:
    bob, cyd = member_of(system, "bob", now), member_of(system, "cyd", now)
    first = read(system, end_of(bob), now, nothing=True)
    permit = granted(first, *people, at=now)
    second = read(system, end_of(cyd), now, nothing=True)
    with pytest.raises(PlanChanged, match="for another plan"):
        plans.grant(plan=second, permit=permit, at=now)
    with pytest.raises(PlanChanged, match="time is over"):
        plans.grant(plan=second, permit=permit, at=now + 4 * HOUR)
    ended(person, now)
    ended(cyd, now)
    wish = ask(person, system, now)
    with pytest.raises(PlanChanged, match="for another ending"):
        plans.grant(plan=wish, permit=excused(cyd, at=now), at=now)
    assert [state(p) for p in (first, second, wish)] == ["lapsed", "tripped", "waiting"]


def test_a_used_permit_carries_out_nothing(
    system: System, person: Account, people: list[User], now: dt.datetime
) -> None:
    plan = read(system, end_of(person), now, nothing=True)
    permit = granted(plan, *people, at=now)
    plans.grant(plan=plan, permit=permit, at=now)
    Permit.objects.filter(pk=permit.pk).update(used_at=now)
    with pytest.raises(PlanChanged, match="its permit is used or past its end"):
        plans.execute(plan_id=plan.pk, at=now)
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
    PlannedChange.objects.filter(plan=plan).update(**tampered)
    with pytest.raises(PlanChanged, match="the plan's rows are not what was frozen"):
        plans.execute(plan_id=plan.pk, at=now)
    # Put back what the deferred keys would refuse at the end of the test.
    PlannedChange.objects.filter(plan=plan).update(account_id=person.pk, group_id=None)
    assert (state(plan), state(person)) == ("cleared", "active")


def test_a_row_added_to_a_plan_that_was_cut_off_is_never_written(
    tenant: Tenant, system: System, person: Account, now: dt.datetime
) -> None:
    plan = read(system, end_of(person), now)
    Plan.objects.filter(pk=plan.pk).update(state="executing")
    bob = member_of(system, "bob", now)
    PlannedChange.objects.create(tenant=tenant, plan=plan, position=2, act="deprovision", account=bob, label="bob")
    with pytest.raises(PlanChanged):
        plans.execute(plan_id=plan.pk, at=now)
    assert (state(bob), state(person)) == ("active", "active")


def test_an_account_of_which_the_directory_has_spoken_since_is_void(system: System, now: dt.datetime) -> None:
    ada, bob, cyd = (member_of(system, name, now) for name in ("ada", "bob", "cyd"))
    plan = read(system, end_of(ada, bob, cyd), now)
    Shadow.objects.filter(account=bob).update(changed_at=now + MINUTE, wants_active=True)
    Shadow.objects.filter(account=cyd).update(changed_at=now + MINUTE, wants_active=False)
    done = plans.execute(plan_id=plan.pk, at=now + 2 * MINUTE)
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
    ada, bob, cyd = (Member(ref=uuid4(), account=member_of(system, n, now).pk) for n in ("ada", "bob", "cyd"))
    memberships.add(group=group, system=system, members=[ada], at=now - HOUR)
    wanted = [
        Wanted(act=ChangeAct.REMOVE_MEMBER, label=name, account=m.account, group=group.pk, member_ref=m.ref)
        for name, m in (("ada", ada), ("bob", bob), ("cyd", cyd))
    ]
    plan = read(system, wanted, now)
    memberships.add(group=group, system=system, members=[bob], at=now + MINUTE)
    written = written_from_here(*MODELS)
    plans.execute(plan_id=plan.pk, at=now + 2 * MINUTE)
    assert results(plan) == {
        "ada": ("done", ""), "bob": ("void", "its directory has spoken since"), "cyd": ("same", "out already"),
    }  # fmt: skip
    assert set(memberships.of_system(group=group, system=system).values_list("origin_ref", flat=True)) == {bob.ref}
    assert written.sentences()[0] == "a test: Staff: 0 added, 1 ended. Okta no longer shows them"
    assert written.subjects("account") == {str(ada.account)}
    assert written.history(Membership) == {"Membership": 1}


def test_a_change_that_names_nothing_fails_by_itself_and_ends(
    system: System, person: Account, now: dt.datetime
) -> None:
    wanted = [
        Wanted(act=ChangeAct.REMOVE_MEMBER, label="no group"),
        Wanted(act=ChangeAct.DEPROVISION, label="no account"),
        *end_of(person),
    ]
    plan = read(system, wanted, now)
    assert plans.execute(plan_id=plan.pk, at=now).state == "done_with_residue"
    nothing = ("failed", "it does not name what it would change")
    assert results(plan) == {"no group": nothing, "no account": nothing, "ada": ("done", "")}


def test_a_plan_is_not_begun_when_too_much_changed_just_before(
    system: System, person: Account, now: dt.datetime
) -> None:
    plan = read(system, end_of(person), now)
    in_the_ledger(system, 20, at=now)
    lapsed = plans.execute(plan_id=plan.pk, at=now + MINUTE)
    assert (lapsed.state, lapsed.ended_because) == (
        "lapsed", "too much changed just before; the next reading asks again",
    )  # fmt: skip
    assert state(person) == "active"


def test_a_plan_is_not_begun_when_two_percent_changed_just_before(
    system: System, person: Account, now: dt.datetime
) -> None:
    plan = read(system, end_of(person), now, total=100)
    in_the_ledger(system, 5, at=now)
    assert plans.execute(plan_id=plan.pk, at=now + MINUTE).state == "lapsed"
    assert state(person) == "active"


def test_one_bad_row_stops_no_other(system: System, now: dt.datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = [member_of(system, f"p{n}", now) for n in range(4)]
    bad = accounts[1].pk
    real = lifecycle.deprovision

    def fails_for_one(*, accounts: Any, reason: str, at: dt.datetime) -> Any:
        done = real(accounts=accounts, reason=reason, at=at)
        if bad in accounts:
            Account.objects.filter(pk=bad).update(epoch=0)
        return done

    monkeypatch.setattr(lifecycle, "deprovision", fails_for_one)
    plan = read(system, end_of(*accounts), now)
    done = plans.execute(plan_id=plan.pk, at=now)
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
    accounts = [member_of(system, f"p{n}", now) for n in range(5)]
    plan = read(system, end_of(*accounts), now)
    monkeypatch.setattr(plans, "BATCH", 2)
    reached: list[str] = []

    def dies(name: str) -> None:
        reached.append(name)
        if reached.count(plans.BEFORE_BATCH) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(plans.crashpoints, "here", dies)
    with pytest.raises(KeyboardInterrupt):
        plans.execute(plan_id=plan.pk, at=now)
    assert sorted(state(a) for a in accounts) == ["active"] + ["deprovisioned"] * 4
    assert state(plan) == "executing"
    monkeypatch.setattr(plans.crashpoints, "here", reached.append)
    written = written_from_here(*MODELS)
    assert plans.execute(plan_id=plan.pk, at=now + MINUTE).state == "done"
    assert written.history(*MODELS) == {"Plan": 1, "PlannedChange": 1, "Account": 1}
    assert written.entries() == ["account.ended", "plan.executed"]
    assert {a.epoch for a in Account.objects.filter(pk__in=[a.pk for a in accounts])} == {1}
    assert set(reached) == {plans.BEFORE_BATCH, plans.AFTER_BATCH, plans.AFTER_EXECUTION}


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
    assert plans.execute(plan_id=plan.pk, at=now + MINUTE).state == "done"
    service.refresh_from_db()
    shadow.refresh_from_db()
    assert (service.state, service.expires_at) == (
        "active",
        (now + MINUTE).replace(microsecond=0) + dt.timedelta(days=180),
    )
    assert (shadow.wants_active, shadow.changed_at) == (True, now + MINUTE)
    assert results(plan) == {"deploy": ("done", "active")}
    assert plans.execute(plan_id=plan.pk, at=now + HOUR).state == "done"
    assert Account.objects.get(pk=service.pk).state_since == now + MINUTE


def test_a_wish_granted_before_a_security_hold_was_placed_is_void(
    system: System, person: Account, people: list[User], now: dt.datetime
) -> None:
    ended(person, now)
    plan = ask(person, system, now)
    plans.grant(plan=plan, permit=granted(plan, people[0], at=now), at=now)
    lifecycle.suspend(accounts=[person.pk], kind=HoldKind.SECURITY, reason="stolen", at=now)
    assert plans.execute(plan_id=plan.pk, at=now).state == "done_with_residue"
    assert results(plan)["ada"] == ("void", "ada can't come back: a security hold is on it")
    assert (state(person), Permit.objects.get().used_at) == ("deprovisioned", None)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("person", None, None), ("person", 30, 30), ("person", -1, None), ("service", 30, 180), ("service", -1, 180)],
)
def test_a_machine_comes_back_with_the_tenants_default_and_a_person_with_what_lies_ahead(
    tenant: Tenant, because: Cause, now: dt.datetime, kind: str, before: int | None, after: int | None
) -> None:
    def days(number: int | None) -> dt.datetime | None:
        return None if number is None else now + dt.timedelta(days=number)

    now = now.replace(microsecond=0)
    account = Account(tenant=tenant, kind=kind, expires_at=days(before))
    assert plans.new_expiry(account, at=now) == days(after)


# -- ends


def test_a_rejected_or_lapsed_wish_is_over_and_its_rows_say_why(
    system: System, person: Account, now: dt.datetime
) -> None:
    ended(person, now)
    plan = ask(person, system, now)
    written = written_from_here(*MODELS)
    rejected = plans.reject(plan=plan, because="nobody knows her", at=now)
    assert (rejected.state, rejected.ended_at, rejected.ended_because) == ("rejected", now, "nobody knows her")
    assert results(plan) == {"ada": ("rejected", "nobody knows her")}
    assert plans.reject(plan=plan, because="again", at=now + HOUR).ended_because == "nobody knows her"
    assert written.entries() == ["plan.rejected"]
    assert written.history(*MODELS) == {"Plan": 1, "PlannedChange": 1}
    with pytest.raises(IllegalMove):
        plans.lapse(plan=plan, because="late", at=now)
    assert plans.execute(plan_id=plan.pk, at=now).state == "rejected"
    assert not plans.waiting().exists()
    assert state(person) == "deprovisioned"


def test_the_hash_covers_the_order_and_the_place(system: System, now: dt.datetime) -> None:
    plan = Plan(pk=uuid4(), kind="reading", system=system)
    rows = [PlannedChange(position=n, act="deprovision", account_id=UUID(int=n), label="x") for n in (1, 2)]
    digest = plans.digest_of(plan, rows)
    assert plans.digest_of(plan, reversed(rows)) == digest
    swapped = [PlannedChange(position=3 - r.position, act=r.act, account_id=r.account_id, label="x") for r in rows]
    assert plans.digest_of(plan, swapped) != digest
    assert plans.digest_of(Plan(pk=uuid4(), kind="reading", system=system), rows) != digest
    assert len(digest) == 64


def test_no_database_error_leaves_a_plan_by_a_stranger(system: System, person: Account, now: dt.datetime) -> None:
    """The database's own words may hold values of a row: only the kind of error is kept."""
    plan = read(system, end_of(person), now)

    def fails(*_args: Any, **_values: Any) -> None:
        raise DatabaseError("ada's secret")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lifecycle, "deprovision", fails)
        plans.execute(plan_id=plan.pk, at=now)
    assert results(plan) == {"ada": ("failed", "DatabaseError")}
    assert all("secret" not in entry.sentence for entry in JournalEntry.objects.all())
    assert plan.state == PlanState.CLEARED
