"""Plans: frozen and hashed, and decided about by people who may."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from accounts import ownership
from accounts.models import Account, Membership, Permit, System
from audit.transitions import IllegalMove
from provisioning import execution, plans
from provisioning.models.plan import Plan, PlannedChange
from provisioning.plans import PlanChanged
from tests.factories import governance as make
from tests.factories.permits import excused, granted
from tests.factories.plans import a_member, ask, end_of, ended, made_up, read, results, state
from tests.factories.words import written_from_here

if TYPE_CHECKING:
    from accounts.models import Tenant, User

HOUR = dt.timedelta(hours=1)
MODELS = (Plan, PlannedChange, Account, Membership, Permit)


def test_one_person_decides_about_a_person_and_two_about_a_machine_a_privileged_account_and_a_stopped_plan(
    tenant: Tenant, person: Account, system: System, now: dt.datetime
) -> None:
    grace = make.a_person(tenant, "grace", at=now)
    service = make.a_service(tenant, "deploy", at=now, owner=grace)
    root = a_member(system, "root", now, is_privileged=True)
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


def test_a_permit_for_something_else_grants_nothing(
    tenant: Tenant, system: System, person: Account, people: list[User], now: dt.datetime
) -> None:
    bob, cyd = a_member(system, "bob", now), a_member(system, "cyd", now)
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
    assert execution.execute(plan_id=plan.pk, at=now).state == "rejected"
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
