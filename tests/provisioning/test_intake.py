"""The one door of every system's word: reductions at once, wishes wait, and what is already so writes nothing."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from accounts import lifecycle, memberships, ownership
from accounts.memberships import Member
from accounts.models import Account, Finding, Hold, HoldKind, Membership, Ownership, Permit, System
from provisioning import intake, plans
from provisioning.intake import BadValue, Conflict, Immutable, Taken
from provisioning.models.authority import FieldAuthority
from provisioning.models.plan import Plan, PlannedChange
from provisioning.models.shadow import Shadow
from tests.factories import governance as make
from tests.factories.permits import an_exception, excused, granted, security
from tests.factories.words import NHI, a_sender, a_word, in_the_ledger, written_from_here

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import Tenant
    from audit.models import Cause

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
MODELS = (Account, Shadow, Hold, Ownership, Finding, Plan, PlannedChange, Permit, Membership)
ROBOT = {"kind": "service", "purpose": "deploys the shop", "environment": "prod"}


@pytest.fixture
def now() -> dt.datetime:
    return make.now()


@pytest.fixture
def system(tenant: Tenant, because: Cause, now: dt.datetime) -> System:
    return make.a_system(tenant, at=now)


def create(system: System, now: dt.datetime, *args: Any, requesters: tuple[UUID, ...] = (), **values: Any) -> Taken:
    return intake.create_account(sender=a_sender(system, *requesters), change=a_word(*args, **values), at=now)


def change(shadow: Shadow, now: dt.datetime, *args: Any, requesters: tuple[UUID, ...] = (), **values: Any) -> Taken:
    found = intake.lock_shadow(system=shadow.system, resource_type="User", id=shadow.pk)
    assert found is not None
    sender = a_sender(shadow.system, *requesters)
    return intake.change_account(sender=sender, shadow=found, change=a_word(*args, **values), at=now)


def end(shadow: Shadow, now: dt.datetime) -> Taken:
    found = intake.lock_shadow(system=shadow.system, resource_type="User", id=shadow.pk)
    assert found is not None
    return intake.end_account(sender=a_sender(shadow.system), shadow=found, at=now)


def in_180_days(now: dt.datetime) -> dt.datetime:
    """The tenant's default for a machine, in whole seconds."""
    return now.replace(microsecond=0) + 180 * DAY


def account_of(taken: Taken) -> Account:
    assert taken.shadow.account_id is not None
    return Account.objects.get(pk=taken.shadow.account_id)


def said(taken: Taken) -> tuple[str, str, tuple[str, ...]]:
    return taken.outcome.value, taken.intent.value, taken.held_by


def authority(system: System, **values: Any) -> None:
    FieldAuthority.objects.create(
        tenant=system.tenant, system=system,
        **{"field": "active", "direction": "expands", "authority": "authoritative", **values},
    )  # fmt: skip


# -- making


def test_a_person_is_made_active_with_one_row_of_each_and_one_entry(system: System, now: dt.datetime) -> None:
    written = written_from_here(*MODELS)
    taken = create(
        system, now, "Ada@Acme", external_id="00u1", display_name="Ada L.", email="Ada@acme.example", active=True,
        employee_number="7",
    )  # fmt: skip
    account, shadow = account_of(taken), taken.shadow
    assert said(taken) == ("applied", "create", ())
    assert (taken.created, taken.plan, taken.notes) == (True, None, ())
    assert (account.state, account.user_name, account.user_name_key) == ("active", "Ada@Acme", "ada@acme")
    assert (account.display_name, account.email, account.employee_number) == ("Ada L.", "Ada@acme.example", "7")
    assert (shadow.name_key, shadow.external_id, shadow.email_key, shadow.display_name_key) == (
        "ada@acme", "00u1", "ada@acme.example", "ada l.",
    )  # fmt: skip
    assert (shadow.version, shadow.wants_active, shadow.document) == (1, True, {"userName": "Ada@Acme"})
    assert intake.seen_active(shadow, now)
    assert written.history(*MODELS) == {"Account": 1, "Shadow": 1}
    assert written.entries() == ["account.made"]


def test_silence_about_active_wants_it_active(system: System, now: dt.datetime) -> None:
    assert account_of(create(system, now)).state == "active"


def test_what_is_made_inactive_is_pending_and_its_first_activation_is_no_return(
    system: System, now: dt.datetime
) -> None:
    taken = create(system, now, active=False)
    assert said(taken) == ("applied", "create", ())
    account = account_of(taken)
    assert (account.state, account.epoch, account.cutoff_at, taken.shadow.wants_active) == ("pending", 0, None, False)
    enabled = change(taken.shadow, now, active=True)
    assert (said(enabled), enabled.plan) == (("applied", "enable", ()), None)
    assert account_of(enabled).state == "active"
    assert not Plan.objects.exists()


def test_a_service_account_waits_for_its_owner_who_is_only_offered_it(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    owner = create(system, now, "grace").shadow
    taken = create(system, now, "deploy", owners=(owner.pk,), active=True, **ROBOT)
    account = account_of(taken)
    assert said(taken) == ("held", "create", ("an owner who accepts",))
    assert (account.state, account.kind, account.environment) == ("pending", "service", "production")
    assert account.expires_at == in_180_days(now)
    (offered,) = Ownership.objects.all()
    assert (offered.owner_id, offered.state) == (owner.account_id, "offered")
    assert not intake.seen_active(taken.shadow, now)
    again = change(taken.shadow, now, "deploy", active=True, owners=(owner.pk,), **ROBOT)
    assert said(again) == ("held", "enable", ("an owner who accepts",))
    ownership.accept(ownership=offered, at=now)
    assert account_of(taken).state == "active"


@pytest.mark.parametrize(
    ("values", "attribute", "detail"),
    [
        ({"kind": "robot"}, "kind", "it must be one of person, service, workload, agent, shared"),
        ({"environment": "moon"}, "environment", "it must be one of production, staging, development"),
        ({"owners": (uuid4(),), "kind": "service"}, "owners", "this system has no resource"),
        ({"display_name": "x" * 401}, "displayName", "it is longer than 400 characters"),
        ({"email": "x" * 321}, "emails", "it is longer than 320 characters"),
        ({"employee_number": "x" * 101}, "employeeNumber", "it is longer than 100 characters"),
        ({"external_id": "x" * 401}, "externalId", "it is longer than 400 characters"),
    ],
)
def test_a_value_that_can_not_be_taken_is_named_and_nothing_is_written(
    system: System, now: dt.datetime, values: dict[str, Any], attribute: str, detail: str
) -> None:
    written = written_from_here(*MODELS)
    with pytest.raises(BadValue) as raised:
        create(system, now, "ada", **values)
    assert (raised.value.attribute, raised.value.detail[: len(detail)]) == (attribute, detail)
    made = create(system, now, "bob")
    if attribute != "owners":
        with pytest.raises(BadValue):
            change(made.shadow, now, "bob", **values)
    assert written.history(*MODELS) == {"Account": 1, "Shadow": 1}
    assert written.entries() == ["account.made"]


@pytest.mark.parametrize("name", ["x" * 321, "\ufdfa" * 20, " ", "\u00a0\u3000"])
def test_a_name_that_is_too_long_or_empty_in_its_look_up_form_is_refused(
    system: System, now: dt.datetime, name: str
) -> None:
    for call in (lambda: create(system, now, name), lambda: change(create(system, now, "ok").shadow, now, name)):
        with pytest.raises(BadValue) as raised:
            call()
        assert raised.value.attribute == "userName"


@pytest.mark.parametrize(
    ("values", "field"),
    [({"name": " ADA "}, "userName"), ({"name": "bob", "external_id": "00u1"}, "externalId")],
)
def test_a_name_or_external_id_of_a_living_resource_is_a_conflict_and_nothing_is_written(
    tenant: Tenant, system: System, now: dt.datetime, values: dict[str, Any], field: str
) -> None:
    create(system, now, "ada", external_id="00u1")
    third = create(system, now, "cyd").shadow
    written = written_from_here(*MODELS)
    name = values.pop("name")
    for call in (lambda: create(system, now, name, **values), lambda: change(third, now, name, **values)):
        with pytest.raises(Conflict) as raised:
            call()
        assert raised.value.field == field
    assert (written.history(*MODELS), written.entries()) == ({}, [])
    elsewhere = create(make.a_system(tenant, "Entra", at=now), now, name, email="x@acme.example", **values)
    assert elsewhere.created


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [("name_key", "ada", "userName"), ("external_id", "00u1", "externalId")],
)
def test_a_race_for_a_name_is_a_conflict_and_no_database_error(
    system: System, now: dt.datetime, column: str, value: str, field: str
) -> None:
    create(system, now, "ada", external_id="00u1")
    other = create(system, now, "bob").shadow
    setattr(other, column, value)
    with pytest.raises(Conflict) as raised:
        intake.save_shadow(other, is_new=False)
    assert raised.value.field == field


def test_a_race_for_one_account_is_a_conflict_and_no_database_error(system: System, now: dt.datetime) -> None:
    first = create(system, now, "ada").shadow
    second = Shadow(
        tenant_id=system.tenant_id, system=system, resource_type="User", account=first.account, name="b",
        name_key="b", made_at=now, changed_at=now,
    )  # fmt: skip
    with pytest.raises(Conflict):
        intake.save_shadow(second, is_new=True)


# -- changing


def test_a_change_writes_what_differs_once_and_the_same_again_writes_nothing(system: System, now: dt.datetime) -> None:
    shadow = create(system, now, "ada", email="ada@acme.example").shadow
    written = written_from_here(*MODELS)
    word: dict[str, Any] = {"email": "a@acme.example", "active": True, "document": {"title": "Countess"}}
    taken = change(shadow, now + HOUR, "Ada2", **word)
    assert (said(taken), taken.shadow.version, taken.shadow.changed_at) == (("applied", "update", ()), 2, now + HOUR)
    account = account_of(taken)
    assert (account.user_name, account.email, taken.shadow.name_key) == ("Ada2", "a@acme.example", "ada2")
    assert written.history(*MODELS) == {"Account": 1, "Shadow": 1}
    assert written.sentences() == ["Okta: Ada2: user_name, user_name_key, email changed"]
    again = change(shadow, now + 2 * HOUR, "Ada2", **word)
    assert (said(again), again.shadow.version) == (("same", "update", ()), 2)
    assert written.history(*MODELS) == {"Account": 1, "Shadow": 1}
    assert len(written.entries()) == 1


def test_the_kind_is_given_once(system: System, now: dt.datetime) -> None:
    shadow = create(system, now, "deploy", **ROBOT).shadow
    with pytest.raises(Immutable) as raised:
        change(shadow, now, "deploy", **{**ROBOT, "kind": "agent"})
    assert raised.value.attribute == "kind"
    with pytest.raises(BadValue):
        change(shadow, now, "deploy", **{**ROBOT, "kind": "robot"})
    assert said(change(shadow, now, "deploy", purpose="more", said=set()))[0] == "applied"


def robot(tenant: Tenant, system: System, now: dt.datetime, **values: Any) -> Shadow:
    """A service account of the system that is active."""
    shadow = create(system, now, "deploy", **{**ROBOT, **values}).shadow
    assert shadow.account is not None
    offered = ownership.offer(account=shadow.account, owner=make.a_person(tenant, "grace", at=now), at=now)
    ownership.accept(ownership=offered, at=now)
    return Shadow.objects.select_related("account", "system").get(pk=shadow.pk)


def test_a_replacement_that_is_silent_about_purpose_and_expiry_keeps_both(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    shadow = robot(tenant, system, now)
    before = account_of(change(shadow, now, "deploy", document={"title": "x"}))
    assert (before.purpose, before.state, before.expires_at) == ("deploys the shop", "active", in_180_days(now))


def test_an_active_service_account_keeps_its_purpose_and_an_inactive_one_may_lose_it(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    shadow = robot(tenant, system, now)
    cleared = {"document": {"title": "x"}, "said": {f"{NHI}:purpose"}}
    with pytest.raises(BadValue) as raised:
        change(shadow, now, "deploy", **cleared)
    assert raised.value.attribute == "purpose"
    lifecycle.suspend(accounts=[shadow.account_id], kind=HoldKind.MANUAL, reason="odd", at=now)
    assert account_of(change(shadow, now, "deploy", **cleared)).purpose == ""


def test_an_expiry_moves_by_a_new_word_and_not_by_silence_nor_by_the_same_word_again(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    shadow = robot(tenant, system, now, expires_at=now + 30 * DAY)
    account = account_of(change(shadow, now, "deploy", expires_at=now + 60 * DAY))
    assert account.expires_at == now + 60 * DAY
    lifecycle.renew(account=account, until=now + 10 * DAY, reason="people say less", at=now)
    same = change(shadow, now, "deploy", expires_at=now + 60 * DAY, document={"title": "y"})
    assert account_of(same).expires_at == now + 10 * DAY
    newer = change(shadow, now, "deploy", expires_at=now + 20 * DAY)
    assert account_of(newer).expires_at == now + 20 * DAY
    removed = change(shadow, now, "deploy", said={f"{NHI}:expiresAt"})
    assert account_of(removed).expires_at == in_180_days(now)


def test_an_end_that_people_gave_a_person_is_not_taken_away_by_the_next_word(system: System, now: dt.datetime) -> None:
    shadow = create(system, now, "ada").shadow
    assert shadow.account is not None
    lifecycle.renew(account=shadow.account, until=now + DAY, reason="a week, they said", at=now)
    taken = change(shadow, now, "ada", active=True, document={"title": "x"})
    assert account_of(taken).expires_at == now + DAY
    assert intake.seen_active(taken.shadow, now)
    assert not intake.seen_active(taken.shadow, now + DAY)


def test_where_an_account_lives_in_two_systems_each_only_fills_what_is_empty(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    first = create(system, now, "ada", employee_number="7", email="ada@acme.example").shadow
    entra = make.a_system(tenant, "Entra", at=now)
    second = create(entra, now, "a.lovelace", employee_number="7", email="other@acme.example", display_name="Ada L.")
    assert second.shadow.account_id == first.account_id
    assert second.notes == ("linked to ada by employee number",)
    account = account_of(second)
    assert (account.user_name, account.email, account.display_name) == ("ada", "ada@acme.example", "Ada L.")
    change(second.shadow, now, "a.byron", employee_number="7", email="third@acme.example", display_name="Ada B.")
    account.refresh_from_db()
    assert (account.user_name, account.email, account.display_name) == ("ada", "ada@acme.example", "Ada L.")
    assert Shadow.objects.get(pk=second.shadow.pk).name == "a.byron"


# -- reductions


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
    assert intake.lock_shadow(system=system, resource_type="User", id=shadow.pk) is None


def test_a_resource_is_found_by_its_own_system_and_type_alone(tenant: Tenant, system: System, now: dt.datetime) -> None:
    shadow = create(system, now, "ada").shadow
    other = make.a_system(tenant, "Entra", at=now)
    assert intake.lock_shadow(system=other, resource_type="User", id=shadow.pk) is None
    assert intake.lock_shadow(system=system, resource_type="Group", id=shadow.pk) is None
    assert intake.lock_shadow(system=system, resource_type="User", id=uuid4()) is None


def test_an_attribute_that_means_ended_ends_and_comes_before_active_true(system: System, now: dt.datetime) -> None:
    authority(system, field="employment", direction="reduces", status_from="attribute", status_values=["left"])
    shadow = create(system, now, "ada").shadow
    taken = change(shadow, now, "ada", active=True, document={"employment": "Left"})
    assert (account_of(taken).state, taken.shadow.wants_active) == ("deprovisioned", False)
    assert account_of(create(system, now, "bob", active=True, document={"employment": "left"})).state == "pending"


def test_an_advisory_word_makes_nobody_active_and_ends_nobody(system: System, now: dt.datetime) -> None:
    authority(system, authority="advisory")
    authority(system, authority="advisory", direction="reduces")
    taken = create(system, now, "ada", active=True)
    assert (said(taken), account_of(taken).state) == (("held", "create", ("active is advisory here",)), "pending")
    assert said(change(taken.shadow, now, "ada", active=True)) == ("held", "update", ("active is advisory here",))
    Account.objects.filter(pk=taken.shadow.account_id).update(state="active", was_active=True)
    assert account_of(change(taken.shadow, now, "ada", active=False)).state == "active"


def test_a_word_that_needs_approval_makes_nobody_active(system: System, now: dt.datetime) -> None:
    authority(system, authority="needs_approval")
    taken = create(system, now, "ada", active=True)
    assert (said(taken), account_of(taken).state) == (("held", "create", ("approval",)), "pending")
    assert said(change(taken.shadow, now, "ada", active=True)) == ("held", "enable", ("approval",))
    assert account_of(change(taken.shadow, now, "ada", active=False)).state == "deprovisioned"


# -- a storm


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
    assert (finding.evidence["count"], finding.evidence["of"]) == (6, 8)


def test_a_storm_holds_that_sources_plans(system: System, now: dt.datetime) -> None:
    person = make.a_person(system.tenant, "zed", at=now)
    run = plans.Run.objects.create(
        tenant_id=system.tenant_id, system=system, started_by="t", started_at=now, state="closed", ended_at=now
    )
    in_the_ledger(system, 21, at=now - dt.timedelta(minutes=1))
    wanted = [plans.Wanted(act=plans.ChangeAct.DEPROVISION, label="zed", account=person.pk)]
    plan = plans.freeze_reading(system=system, run=run, wanted=wanted, total=10_000, read_nothing=False, at=now)
    assert plan is not None
    assert (plan.state, plan.brake["because"]) == ("tripped", ["22 changes are more than 20 (21 just before)"])


# -- every way back


def off(system: System, now: dt.datetime, name: str = "ada", **values: Any) -> Shadow:
    """An account that the system ended."""
    fields = {"email": f"{name}@acme.example", "external_id": f"id-{name}", **values}
    shadow = create(system, now, name, **fields).shadow
    return change(shadow, now, name, active=False, **fields).shadow


def the_wish(taken: Taken, *, repeats: int = 0) -> Plan:
    """The one plan of one that waits, and that the account is off."""
    (plan,) = Plan.objects.filter(kind="reactivation")
    assert taken.plan == plan
    assert (plan.state, plan.repeats, plan.account_id) == ("waiting", repeats, taken.shadow.account_id)
    assert taken.outcome.value == "held"
    assert taken.held_by[0] == "approval"
    assert account_of(taken).state == "deprovisioned"
    assert not intake.seen_active(taken.shadow, make.now())
    assert intake.waiting_plan(taken.shadow) == plan
    return plan


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
    assert (said(taken), taken.notes) == (("held", "create", ("by hand",)), (f"disputed: {why}",))
    account = account_of(taken)
    assert (account.state, account.pk != shadow.account_id) == ("suspended", True)
    finding = Finding.objects.get(kind="correlation")
    assert (finding.account_id, finding.evidence, finding.due_at) == (account.pk, {"because": why}, now + 3 * DAY)
    assert said(change(taken.shadow, now, "ada", active=True))[2] == ("by hand",)
    # Off and on again is no way out of the dispute either.
    change(taken.shadow, now, "ada", active=False)
    back = change(taken.shadow, now, "ada", active=True)
    assert back.plan is not None
    assert account_of(back).state == "deprovisioned"


def test_a_disputed_resource_that_is_made_inactive_stays_held(system: System, now: dt.datetime) -> None:
    make.a_person(system.tenant, "ada", at=now)
    taken = create(system, now, "ada", active=False)
    assert (account_of(taken).state, taken.notes[0][:8]) == ("suspended", "disputed")


def test_a_wish_of_an_administrator_and_one_of_the_directory_are_one(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    assert shadow.account is not None
    asked = plans.ask_return(
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
    assert intake.waiting_plan(taken.shadow) is None


def test_a_title_that_changes_while_a_wish_waits_leaves_the_wish(system: System, now: dt.datetime) -> None:
    shadow = off(system, now)
    change(shadow, now, "ada", active=True)
    taken = change(shadow, now, "ada", document={"title": "x"})
    assert (said(taken), intake.waiting_plan(taken.shadow) is not None) == (("applied", "update", ()), True)


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
    assert (taken.plan.state, intake.seen_active(taken.shadow, now)) == ("done", True)
    assert said(change(shadow, now, "ada", active=True)) == ("same", "update", ())


def test_after_an_approved_return_the_directorys_word_is_the_same(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    shadow = off(system, now)
    plan = change(shadow, now, "ada", active=True).plan
    assert plan is not None
    user = security(make.a_person(tenant, "sam", at=now), at=now)
    plans.grant(plan=plan, permit=granted(plan, user, at=now), at=now)
    plans.execute(plan_id=plan.pk, at=now)
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
