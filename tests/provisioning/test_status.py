"""What a word about the status does: reductions at once, a storm of them with an alarm, and every way back waits."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from accounts import lifecycle, memberships
from accounts.memberships import Member
from accounts.models import Account, Finding, Hold, HoldKind, Membership, Ownership, Permit, System
from provisioning import execution, plans, shadows, wishes
from provisioning.models.plan import ChangeAct, Plan, PlannedChange
from provisioning.models.run import Run
from provisioning.models.shadow import Shadow
from tests.factories import governance as make
from tests.factories.intakes import (
    ROBOT,
    a_rule,
    account_of,
    change,
    create,
    end,
    in_180_days,
    off,
    robot,
    said,
    the_wish,
)
from tests.factories.permits import an_exception, excused, granted, security
from tests.factories.words import in_the_ledger, written_from_here

if TYPE_CHECKING:
    from accounts.models import Tenant

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
MODELS = (Account, Shadow, Hold, Ownership, Finding, Plan, PlannedChange, Permit, Membership)


def test_inactive_takes_effect_at_once_and_the_second_word_changes_nothing(system: System, now: dt.datetime) -> None:
    shadow = create(system, now, "ada", active=True).shadow
    written = written_from_here(*MODELS)
    taken = change(shadow, now + HOUR, "ada", active=False)
    assert (said(taken), taken.shadow.version, taken.shadow.wants_active) == (("applied", "disable", ()), 2, False)
    account = account_of(taken)
    assert (account.state, account.epoch, account.cutoff_at) == ("deprovisioned", 1, now + HOUR)
    assert written.history(*MODELS) == {"Account": 1, "Shadow": 1}
    assert written.sentences() == ["a test: ada ended. Okta says inactive"]
    again = change(shadow, now + 2 * HOUR, "ada", active=False)
    assert said(again) == ("same", "update", ())
    assert written.history(*MODELS) == {"Account": 1, "Shadow": 1}


@pytest.mark.parametrize("state", ["active", "suspended", "pending"])
def test_inactive_ends_an_active_a_suspended_and_a_pending_account(
    tenant: Tenant, system: System, now: dt.datetime, state: str
) -> None:
    shadow = create(system, now, "deploy", **ROBOT).shadow if state == "pending" else robot(tenant, system, now)
    assert shadow.account_id is not None
    if state == "suspended":
        lifecycle.suspend(accounts=[shadow.account_id], kind=HoldKind.SECURITY, reason="leaked", at=now)
    assert Account.objects.get(pk=shadow.account_id).state == state
    taken = change(shadow, now, "deploy", active=False)
    assert account_of(taken).state == "deprovisioned"
    assert account_of(taken).epoch == (0 if state == "pending" else 1)
    back = change(shadow, now, "deploy", active=True)
    if state == "pending":
        assert (said(back), back.plan) == (("held", "enable", ("an owner who accepts",)), None)
        assert account_of(back).state == "pending"
    else:
        assert back.plan is not None
        assert account_of(back).state == "deprovisioned"


def test_a_deletion_ends_the_resource_its_memberships_and_the_account(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    shadow = create(system, now, "ada").shadow
    group = memberships.create_group(
        tenant_id=tenant.pk, display_name="Staff", display_name_key="staff", document={}, at=now
    )
    memberships.add(group=group, system=system, members=[Member(ref=shadow.pk, account=shadow.account_id)], at=now)
    taken = end(shadow, now + HOUR)
    assert said(taken) == ("applied", "delete", ())
    assert account_of(taken).state == "deprovisioned"
    row = Shadow.objects.get(pk=shadow.pk)
    assert (row.ended_at, row.wants_active, row.version) == (now + HOUR, False, 2)
    assert Membership.objects.get().ended_at == now + HOUR
    assert shadows.lock_shadow(system=system, resource_type="User", id=shadow.pk) is None


def test_an_attribute_that_means_ended_ends_and_comes_before_active_true(system: System, now: dt.datetime) -> None:
    a_rule(system, field="employment", direction="reduces", status_from="attribute", status_values=["left"])
    shadow = create(system, now, "ada").shadow
    taken = change(shadow, now, "ada", active=True, document={"employment": "Left"})
    assert (account_of(taken).state, taken.shadow.wants_active) == ("deprovisioned", False)
    assert account_of(create(system, now, "bob", active=True, document={"employment": "left"})).state == "pending"


def test_an_advisory_word_makes_nobody_active_and_ends_nobody(system: System, now: dt.datetime) -> None:
    a_rule(system, authority="advisory")
    a_rule(system, authority="advisory", direction="reduces")
    taken = create(system, now, "ada", active=True)
    assert (said(taken), account_of(taken).state) == (("held", "create", ("active is advisory here",)), "pending")
    assert said(change(taken.shadow, now, "ada", active=True)) == ("held", "update", ("active is advisory here",))
    Account.objects.filter(pk=taken.shadow.account_id).update(state="active", was_active=True)
    assert account_of(change(taken.shadow, now, "ada", active=False)).state == "active"


def test_a_word_that_needs_approval_makes_nobody_active(system: System, now: dt.datetime) -> None:
    a_rule(system, authority="needs_approval")
    taken = create(system, now, "ada", active=True)
    assert (said(taken), account_of(taken).state) == (("held", "create", ("approval",)), "pending")
    assert said(change(taken.shadow, now, "ada", active=True)) == ("held", "enable", ("approval",))
    assert account_of(change(taken.shadow, now, "ada", active=False)).state == "deprovisioned"


def test_a_storm_of_reductions_takes_effect_and_raises_one_finding(system: System, now: dt.datetime) -> None:
    shadows = [create(system, now, f"p{n}").shadow for n in range(8)]
    in_the_ledger(system, 4, at=now)
    change(shadows[0], now, "p0", active=False)
    assert not Finding.objects.exists()
    for _ in range(2):
        in_the_ledger(system, 1, at=now + dt.timedelta(milliseconds=Finding.objects.count() + 1))
        shadow = shadows.pop()
        change(shadow, now, shadow.name, active=False)
        assert Account.objects.get(pk=shadow.account_id).state == "deprovisioned"
    (finding,) = Finding.objects.all()
    assert (finding.kind, finding.severity, finding.system_id) == ("mass_reduction", 4, system.pk)
    assert finding.dedupe_key == f"mass_reduction:{system.pk}:{now:%Y-%m-%d}"
    # What an undo gives back reaches until the last of them.
    assert (finding.evidence["count"], finding.evidence["of"]) == (7, 8)


def test_a_storm_holds_that_sources_plans(system: System, now: dt.datetime) -> None:
    person = make.a_person(system.tenant, "zed", at=now)
    run = Run.objects.create(
        tenant_id=system.tenant_id, system=system, started_by="t", started_at=now, state="closed", ended_at=now
    )
    in_the_ledger(system, 21, at=now - dt.timedelta(minutes=1))
    wanted = [plans.Wanted(act=ChangeAct.DEPROVISION, label="zed", account=person.pk)]
    plan = wishes.freeze_reading(system=system, run=run, wanted=wanted, total=10_000, read_nothing=False, at=now)
    assert plan is not None
    assert (plan.state, plan.brake["because"]) == ("tripped", ["22 changes are more than 20 (21 just before)"])


def test_active_true_by_patch_becomes_one_plan_and_stays_inactive(system: System, now: dt.datetime) -> None:
    asker = uuid4()
    shadow = off(system, now)
    taken = change(shadow, now, "ada", active=True, email="ada@acme.example", external_id="id-ada", requesters=(asker,))
    plan = the_wish(taken)
    assert said(taken) == ("held", "enable", ("approval",))
    assert (plan.requesters, plan.asked_by, plan.epoch, taken.shadow.wants_active) == ([asker], "Okta", 1, True)
    assert plan.exchange_id is not None


def test_active_true_by_a_replacement_becomes_one_plan_and_writes_the_rest(system: System, now: dt.datetime) -> None:
    taken = change(off(system, now), now, "ada-new", active=True, document={"title": "Countess"})
    the_wish(taken)
    assert (taken.shadow.name, account_of(taken).user_name) == ("ada-new", "ada-new")


def test_repeats_are_counted_and_write_nothing_else(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    word: dict[str, Any] = {"active": True, "email": "ada@acme.example", "external_id": "id-ada"}
    change(shadow, now, "ada", **word)
    written = written_from_here(*MODELS)
    for repeats in (1, 2):
        the_wish(change(shadow, now, "ada", **word), repeats=repeats)
    assert written.history(*MODELS) == {"Plan": 2}
    assert written.entries() == []


@pytest.mark.parametrize("by", ["external id", "name", "employee number", "name and mail"])
def test_create_again_after_delete_makes_an_inactive_resource_that_waits_for_the_same_approval(
    system: System, now: dt.datetime, by: str
) -> None:
    first = create(system, now, "ada", email="ada@acme.example", external_id="id-ada", employee_number="7").shadow
    end(first, now)
    name, values = {
        "external id": ("brand-new", {"external_id": "id-ada"}),
        "name": ("ADA", {}),
        "employee number": ("brand-new", {"employee_number": "7"}),
        "name and mail": ("ada", {"email": "Ada@acme.example"}),
    }[by]
    taken = create(system, now, name, active=True, **values)
    the_wish(taken)
    assert taken.shadow.pk != first.pk
    assert (taken.shadow.account_id, taken.created) == (first.account_id, True)
    again = change(taken.shadow, now, name, active=True, **values)
    the_wish(again, repeats=1)


def test_create_again_inactive_is_linked_and_asks_for_nothing(system: System, now: dt.datetime) -> None:
    first = create(system, now, "ada", external_id="id-ada").shadow
    end(first, now)
    taken = create(system, now, "ada", external_id="id-ada", active=False)
    assert (taken.shadow.account_id, said(taken)) == (first.account_id, ("applied", "create", ()))
    assert (account_of(taken).epoch, Plan.objects.count()) == (1, 0)


def test_rename_and_delete_and_create_becomes_one_plan(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    renamed = change(shadow, now, "ada-left", active=False, email="", external_id="other").shadow
    end(renamed, now)
    taken = create(system, now, "ada", active=True)
    the_wish(taken)
    assert taken.shadow.account_id == shadow.account_id


def test_rename_and_create_makes_a_disputed_resource_that_a_person_must_look_at(
    system: System, now: dt.datetime
) -> None:
    shadow = off(system, now)
    change(shadow, now, "ada-left", active=False, email="", external_id="other")
    taken = create(system, now, "ada", active=True)
    why = "the user name is that of ada-left, which is ended here"
    assert (said(taken), taken.notes) == (("held", "create", ("approval",)), (f"disputed: {why}",))
    account = account_of(taken)
    # It is off like the one that it may be, and comes to life as that one would: by a wish that waits for people.
    assert (account.state, account.pk != shadow.account_id) == ("deprovisioned", True)
    assert taken.plan is not None
    assert (taken.plan.state, taken.plan.account_id) == ("waiting", account.pk)
    finding = Finding.objects.get(kind="correlation")
    assert (finding.account_id, finding.evidence, finding.due_at) == (account.pk, {"because": why}, now + 3 * DAY)
    again = change(taken.shadow, now, "ada", active=True)
    assert (said(again)[2], again.plan) == (("approval",), taken.plan)
    # Off and on again is no way out of the dispute either.
    change(taken.shadow, now, "ada", active=False)
    back = change(taken.shadow, now, "ada", active=True)
    assert back.plan is not None
    assert back.plan != taken.plan
    assert account_of(back).state == "deprovisioned"


def test_a_disputed_resource_that_is_made_inactive_stays_held(system: System, now: dt.datetime) -> None:
    make.a_person(system.tenant, "ada", at=now)
    taken = create(system, now, "ada", active=False)
    assert (account_of(taken).state, taken.notes[0][:8]) == ("suspended", "disputed")


def test_a_wish_of_an_administrator_and_one_of_the_directory_are_one(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    assert shadow.account is not None
    asked = wishes.ask_return(
        account=shadow.account, system=system, requesters=[uuid4()], asked_by="m.ito", exchange_id=None, at=now
    )
    taken = change(shadow, now, "ada", active=True)
    assert the_wish(taken, repeats=1) == asked


def test_a_second_system_that_makes_an_ended_person_asks_for_the_same_wish(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    off(system, now, employee_number="7")
    taken = create(make.a_system(tenant, "Entra", at=now), now, "a.lovelace", employee_number="7", active=True)
    the_wish(taken)


def test_inactive_again_takes_the_wish_back(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    plan = change(shadow, now, "ada", active=True).plan
    assert plan is not None
    taken = change(shadow, now, "ada", active=False)
    plan.refresh_from_db()
    assert (plan.state, plan.ended_because) == ("lapsed", "Okta says inactive again")
    assert said(taken) == ("applied", "update", ())
    assert not Plan.objects.filter(state="waiting").exists()


def test_a_title_that_changes_while_a_wish_waits_leaves_the_wish(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    change(shadow, now, "ada", active=True)
    taken = change(shadow, now, "ada", document={"title": "x"})
    assert (said(taken), Plan.objects.get().state) == (("applied", "update", ()), "waiting")


def test_after_a_no_only_a_new_wish_is_asked_and_no_repeat(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    plan = change(shadow, now, "ada", active=True).plan
    assert plan is not None
    plans.reject(plan=plan, because="no", at=now)
    repeat = change(shadow, now, "ada", active=True)
    assert (said(repeat), repeat.plan) == (("held", "enable", ("people said no",)), None)
    change(shadow, now, "ada", active=False)
    edge = change(shadow, now, "ada", active=True)
    assert edge.plan is not None
    assert edge.plan.pk != plan.pk


def test_a_wish_that_nobody_answered_is_asked_again_by_a_repeat(system: System, now: dt.datetime) -> None:
    shadow = off(system, now - 9 * HOUR)
    first = change(shadow, now - 9 * HOUR, "ada", active=True).plan
    assert first is not None
    plans.lapse(plan=first, because="nobody answered", at=now - HOUR)
    again = change(shadow, now, "ada", active=True)
    assert again.plan is not None
    assert again.plan.pk != first.pk


def test_under_a_live_exception_an_automatic_system_brings_back_at_once(system: System, now: dt.datetime) -> None:
    System.objects.filter(pk=system.pk).update(reactivation_policy="automatic")
    system.refresh_from_db()
    shadow = off(system, now)
    held = change(shadow, now, "ada", active=True)
    the_wish(held)
    an_exception(system, at=now)
    taken = change(shadow, now, "ada", active=True)
    assert (said(taken), account_of(taken).state) == (("applied", "enable", ()), "active")
    assert taken.plan is not None
    assert (taken.plan.state, shadows.seen_active(taken.shadow, now)) == ("done", True)
    assert said(change(shadow, now, "ada", active=True)) == ("same", "update", ())


def test_after_an_approved_return_the_directorys_word_is_the_same(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    shadow = off(system, now)
    plan = change(shadow, now, "ada", active=True).plan
    assert plan is not None
    user = security(make.a_person(tenant, "sam", at=now), at=now)
    plans.grant(plan=plan, permit=granted(plan, user, at=now), at=now)
    execution.execute(plan_id=plan.pk, at=now)
    taken = change(shadow, now, "ada", active=True)
    assert (said(taken), account_of(taken).state) == (("same", "update", ()), "active")


def test_a_hold_is_said_and_never_released_by_a_directory(system: System, now: dt.datetime) -> None:
    shadow = create(system, now, "ada", active=True).shadow
    assert shadow.account_id is not None
    for kind in (HoldKind.SECURITY, HoldKind.CAMPAIGN):
        lifecycle.suspend(accounts=[shadow.account_id], kind=kind, reason="x", at=now)
    taken = change(shadow, now, "ada", active=True)
    assert said(taken) == ("held", "enable", ("security", "campaign"))
    assert taken.plan is None
    assert account_of(taken).state == "suspended"


def test_a_security_hold_on_an_ended_account_is_said_with_the_wish(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    assert shadow.account_id is not None
    lifecycle.suspend(accounts=[shadow.account_id], kind=HoldKind.SECURITY, reason="stolen", at=now)
    taken = change(shadow, now, "ada", active=True)
    assert taken.held_by == ("approval", "a security hold is on it")
    never = create(system, now, "bob", active=False).shadow
    change(never, now, "bob", active=False)
    lifecycle.suspend(accounts=[never.account_id], kind=HoldKind.SECURITY, reason="stolen", at=now)
    assert change(never, now, "bob", active=True).held_by == ("security",)


def test_an_archived_account_is_said_to_be_so(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    Account.objects.filter(pk=shadow.account_id).update(state="archived")
    assert said(change(shadow, now, "ada", active=True)) == ("held", "enable", ("the account is archived",))


def test_a_permit_of_another_ending_is_no_way_back(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    assert shadow.account is not None
    old = excused(shadow.account, at=now)
    lifecycle.reactivate(account=shadow.account, permit=excused(shadow.account, at=now), expires_at=None, at=now)
    change(shadow, now, "ada", active=False)
    with pytest.raises(lifecycle.CantReturn, match="the permit is for another ending"):
        lifecycle.reactivate(account=Account.objects.get(pk=shadow.account_id), permit=old, expires_at=None, at=now)


def test_an_expiry_that_a_directory_only_sends_back_changes_no_account(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    shadow = robot(tenant, system, now)
    written = written_from_here(Account)
    taken = change(shadow, now, "deploy", **ROBOT, expires_at=in_180_days(now))
    assert (said(taken), written.history(Account)) == (("applied", "update", ()), {})
