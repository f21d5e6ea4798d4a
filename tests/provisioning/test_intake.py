"""The one door of every system's word about accounts: what is already so writes nothing."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import transaction

from accounts import lifecycle, ownership
from accounts.models import Account, Finding, Hold, HoldKind, Membership, Ownership, Permit, System
from provisioning import shadows
from provisioning.models.plan import Plan, PlannedChange
from provisioning.models.shadow import Shadow
from provisioning.shadows import BadValue, Conflict, Immutable
from tests.factories import governance as make
from tests.factories.intakes import (
    ROBOT,
    account_of,
    change,
    create,
    in_180_days,
    robot,
    said,
)
from tests.factories.words import NHI, written_from_here

if TYPE_CHECKING:
    from accounts.models import Tenant

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
MODELS = (Account, Shadow, Hold, Ownership, Finding, Plan, PlannedChange, Permit, Membership)


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
    assert shadows.seen_active(shadow, now)
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
    assert not shadows.seen_active(taken.shadow, now)
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
    with pytest.raises(BadValue) as raised, transaction.atomic():
        create(system, now, "ada", **values)
    assert (raised.value.attribute, raised.value.detail[: len(detail)]) == (attribute, detail)
    made = create(system, now, "bob")
    if attribute != "owners":
        with pytest.raises(BadValue), transaction.atomic():
            change(made.shadow, now, "bob", **values)
    assert written.history(*MODELS) == {"Account": 1, "Shadow": 1}
    assert written.entries() == ["account.made"]


@pytest.mark.parametrize("name", ["x" * 321, "\ufdfa" * 20, " ", "\u00a0\u3000"])
def test_a_name_that_is_too_long_or_empty_in_its_look_up_form_is_refused(
    system: System, now: dt.datetime, name: str
) -> None:
    for call in (lambda: create(system, now, name), lambda: change(create(system, now, "ok").shadow, now, name)):
        with pytest.raises(BadValue) as raised, transaction.atomic():
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
        with pytest.raises(Conflict) as raised, transaction.atomic():
            call()
        assert raised.value.field == field
    assert (written.history(*MODELS), written.entries()) == ({}, [])
    elsewhere = create(make.a_system(tenant, "Entra", at=now), now, name, email="x@acme.example", **values)
    assert elsewhere.created


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
    with pytest.raises(Immutable) as raised, transaction.atomic():
        change(shadow, now, "deploy", **{**ROBOT, "kind": "agent"})
    assert raised.value.attribute == "kind"
    with pytest.raises(BadValue), transaction.atomic():
        change(shadow, now, "deploy", **{**ROBOT, "kind": "robot"})
    assert said(change(shadow, now, "deploy", purpose="more", said=set()))[0] == "applied"


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
    with pytest.raises(BadValue) as raised, transaction.atomic():
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
    assert shadows.seen_active(taken.shadow, now)
    assert not shadows.seen_active(taken.shadow, now + DAY)


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
