"""Wishes: one for each ending, one for each reading; frozen, and replaced by what is newer."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from accounts import lifecycle
from accounts.models import Account, HoldKind, Membership, Permit, ReactivationPolicy, System
from provisioning import execution, plans
from provisioning.models.plan import Plan, PlannedChange
from tests.factories import governance as make
from tests.factories.permits import an_exception, excused, granted, security
from tests.factories.plans import a_member, ask, end_of, ended, read, results, state
from tests.factories.words import written_from_here

if TYPE_CHECKING:
    from accounts.models import Tenant

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
MODELS = (Plan, PlannedChange, Account, Membership, Permit)


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


def test_nothing_wanted_is_no_plan(system: System, now: dt.datetime) -> None:
    assert read(system, [], now) is None
    assert not Plan.objects.exists()


def test_a_newer_reading_replaces_what_waits_and_leaves_what_says_the_same(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    ada, bob = a_member(system, "ada", now), a_member(system, "bob", now)
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


def test_what_a_plan_that_is_being_carried_out_has_still_to_do_is_not_wanted_twice(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    people = [security(make.a_person(tenant, name, at=now), at=now) for name in ("sam", "sue")]
    ada, bob, cyd = (a_member(system, name, now) for name in ("ada", "bob", "cyd"))
    plan = read(system, end_of(ada, bob), now, nothing=True)
    plans.grant(plan=plan, permit=granted(plan, *people, at=now), at=now)
    assert read(system, end_of(ada, bob), now) is None
    newer = read(system, end_of(ada, bob, cyd), now)
    assert (state(plan), list(results(newer)), newer.brake["count"]) == ("approved", ["cyd"], 1)
    execution.execute(plan_id=plan.pk, at=now)
    # Carried out, it holds nothing back any more: somebody who is here again, and not there, is wanted off again.
    again = read(system, end_of(ada), now)
    assert list(results(again)) == ["ada"]
