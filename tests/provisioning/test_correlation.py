"""To whom a new resource belongs: by evidence that agrees, never as a side effect of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from accounts import lifecycle
from accounts.models import Account, HoldKind, System
from audit.scope import scope
from provisioning import correlation
from provisioning.correlation import Match
from provisioning.models.shadow import Shadow
from tests.conftest import AT, a_cause
from tests.factories import governance as make
from tests.factories.words import a_word

if TYPE_CHECKING:
    from accounts.models import Tenant
    from audit.models import Cause


@pytest.fixture
def system(tenant: Tenant, because: Cause) -> System:
    return make.a_system(tenant, at=AT)


@pytest.fixture
def other(tenant: Tenant, because: Cause) -> System:
    return make.a_system(tenant, "Entra", at=AT)


def ada(tenant: Tenant, name: str = "ada", **fields: Any) -> Account:
    values = {"email": "ada@acme.example", "employee_number": "7", "display_name": "Ada Lovelace"}
    return make.a_person(tenant, name, at=AT, **values | fields)


def shadow_of(system: System, account: Account, *, ended: bool = False, **values: Any) -> Shadow:
    shadow = make.a_shadow(system, account, at=AT)
    columns = {"email_key": account.email, **values} | ({"ended_at": AT} if ended else {})
    Shadow.objects.filter(pk=shadow.pk).update(**columns)
    return shadow


def end(account: Account) -> None:
    lifecycle.deprovision(accounts=[account.pk], reason="left", at=AT)


def find(system: System, *args: Any, **values: Any) -> Match:
    return correlation.find(change=a_word(*args, **values), system=system)


def test_a_stranger_is_nobodys_and_not_disputed(tenant: Tenant, system: System) -> None:
    ada(tenant)
    assert find(system, "zoe", external_id="x", employee_number="8", email="ada@acme.example") == Match()


# -- evidence, in its order


def test_the_external_id_of_the_same_system_comes_first(tenant: Tenant, system: System, other: System) -> None:
    first, second = ada(tenant, employee_number=""), ada(tenant, "eve", employee_number="9")
    shadow_of(system, first, ended=True, external_id="00u1")
    shadow_of(other, second, ended=True, external_id="00u2")
    assert find(system, "renamed", external_id="00u1", employee_number="9") == Match(first, "externalId")
    assert find(system, "renamed", external_id="00u2") == Match()
    assert find(system, "renamed", external_id="") == Match()


def test_the_employee_number_comes_second_and_is_a_persons(tenant: Tenant, system: System) -> None:
    person = ada(tenant)
    robot = make.a_service(tenant, "robot", at=AT, employee_number="8")
    assert find(system, "anything", employee_number="7") == Match(person, "employee number")
    assert find(system, "anything", employee_number="8") == Match()
    assert robot.employee_number == "8"


@pytest.mark.parametrize(
    ("values", "second"),
    [
        ({"email": "ADA@acme.example"}, "email"),
        ({"display_name": "ada lovelace"}, "display name"),
    ],
)
def test_a_user_name_counts_with_a_second_attribute_that_agrees(
    tenant: Tenant, system: System, values: dict[str, Any], second: str
) -> None:
    person = ada(tenant)
    assert find(system, " ADA ", **values) == Match(person, f"user name and {second}")


def test_a_user_name_alone_is_weak_and_disputed(tenant: Tenant, system: System) -> None:
    ada(tenant)
    weak = "the user name is that of 1 other accounts, and nothing else agrees"
    assert find(system, "ada") == Match(disputed=weak)
    assert find(system, "ada", email="other@acme.example", display_name="Ada Byron") == Match(disputed=weak)
    empty = ada(tenant, "bob", email="", display_name="")
    assert find(system, "bob", email="", display_name="") == Match(disputed=weak)
    assert empty.email == ""


def test_an_ended_account_is_known_again_by_its_name_at_the_same_system_alone(
    tenant: Tenant, system: System, other: System
) -> None:
    person = ada(tenant)
    shadow_of(system, person, ended=True)
    end(person)
    assert find(system, "ada") == Match(person, "user name and the same system knew it by this name")
    assert find(other, "ada").account is None
    assert find(other, "ada").disputed


def test_an_ended_account_is_known_again_by_a_name_that_it_had(tenant: Tenant, system: System) -> None:
    person = ada(tenant)
    shadow = shadow_of(system, person)
    Shadow.objects.filter(pk=shadow.pk).update(name="ada-old", name_key="ada-old", ended_at=AT)
    lifecycle.change(account=person, fields={"user_name": "ada-old", "user_name_key": "ada-old"})
    end(person)
    assert find(system, "ada") == Match(person, "user name and the same system knew it by this name")


# -- disputes


def test_evidence_of_several_accounts_is_disputed(tenant: Tenant, system: System) -> None:
    ada(tenant)
    ada(tenant, "ada2")
    assert find(system, "new", employee_number="7") == Match(disputed="the employee number belongs to several accounts")
    Account.objects.update(user_name="ada", user_name_key="ada")
    assert find(system, "ada", email="ada@acme.example") == Match(
        disputed="the user name and email belongs to several accounts"
    )


def test_the_one_whose_second_attribute_agrees_is_taken_from_several_of_a_name(tenant: Tenant, system: System) -> None:
    person = ada(tenant)
    ada(tenant, email="other@acme.example", display_name="", employee_number="")
    assert find(system, "ada", email="ada@acme.example") == Match(person, "user name and email")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"kind": "service"}, "it is a person and not a service account"),
        ({"employee_number": "8"}, "the employee numbers differ"),
    ],
)
def test_evidence_that_is_contradicted_is_disputed(
    tenant: Tenant, system: System, values: dict[str, Any], why: str
) -> None:
    ada(tenant)
    match = find(system, "ada", email="ada@acme.example", **values)
    assert match == Match(disputed=f"the user name and email is that of ada, but {why}")


def test_a_service_account_made_again_as_a_person_is_disputed(tenant: Tenant, system: System) -> None:
    robot = make.a_service(tenant, "robot", at=AT)
    shadow_of(system, robot, ended=True)
    end(robot)
    same = "the user name and the same system knew it by this name is that of robot, but"
    assert find(system, "robot") == Match(disputed=f"{same} it is a service account and not a person", perhaps=robot)
    assert find(system, "robot", kind="service").account == robot


# -- who has a living resource here already


def test_an_account_with_a_living_resource_here_is_never_a_match(tenant: Tenant, system: System, other: System) -> None:
    person = ada(tenant)
    shadow_of(system, person)
    assert find(system, "ada-admin", employee_number="7", email="ada@acme.example") == Match()
    assert find(other, "ada-admin", employee_number="7") == Match(person, "employee number")


def test_an_archived_account_is_never_a_match(tenant: Tenant, system: System) -> None:
    person = ada(tenant)
    end(person)
    Account.objects.update(state="archived")
    assert find(system, "ada", employee_number="7", email="ada@acme.example") == Match()


@pytest.mark.parametrize(
    ("word", "evidence"),
    [
        ({"employee_number": "7"}, "employee number"),
        ({"email": "Ada@acme.example"}, "email"),
    ],
)
@pytest.mark.parametrize("off", ["ended", "suspended"])
def test_rename_and_create_is_no_way_around_an_ending_or_a_hold(
    tenant: Tenant, system: System, word: dict[str, Any], evidence: str, off: str
) -> None:
    person = ada(tenant, "ada-old")
    shadow_of(system, person)
    if off == "ended":
        end(person)
    else:
        lifecycle.suspend(accounts=[person.pk], kind=HoldKind.SECURITY, reason="stolen", at=AT)
    match = find(system, "brand-new", **word)
    assert match == Match(disputed=f"the {evidence} is that of ada-old, which is {off} here", perhaps=person)


def test_a_name_that_an_ended_account_of_this_system_had_is_disputed_while_its_resource_lives(
    tenant: Tenant, system: System, other: System
) -> None:
    person = ada(tenant)
    shadow = shadow_of(system, person)
    Shadow.objects.filter(pk=shadow.pk).update(name="ada-old", name_key="ada-old", email_key="")
    lifecycle.change(account=person, fields={"user_name": "ada-old", "user_name_key": "ada-old"})
    assert find(system, "ada") == Match()
    end(person)
    because = "the user name is that of ada-old, which is ended here"
    assert find(system, "ADA") == Match(disputed=because, perhaps=person)
    assert find(other, "ada") == Match()


@pytest.mark.parametrize(
    ("word", "evidence"),
    [
        ({"external_id": "E-1"}, "externalId"),
        ({"employee_number": "7"}, "employee number"),
        ({"email": "Ada@acme.example"}, "email"),
    ],
)
def test_what_somebody_had_before_they_were_ended_is_theirs_still(
    tenant: Tenant, system: System, word: dict[str, Any], evidence: str
) -> None:
    person = ada(tenant)
    shadow = shadow_of(system, person, external_id="E-1")
    Shadow.objects.filter(pk=shadow.pk).update(external_id="", email_key="", name_key="moved")
    lifecycle.change(account=person, fields={"employee_number": "", "email": ""})
    assert find(system, "brand-new", **word) == Match()
    end(person)
    because = f"the {evidence} is that of ada, which is ended here"
    assert find(system, "brand-new", **word) == Match(disputed=because, perhaps=person)


def test_machines_that_share_a_mail_address_are_told_apart(tenant: Tenant, system: System) -> None:
    robot = make.a_service(tenant, "robot", at=AT, email="team@acme.example")
    shadow_of(system, robot)
    end(robot)
    assert find(system, "robot2", kind="service", email="team@acme.example") == Match()
    assert find(system, "person", email="team@acme.example") == Match()


def test_another_tenants_accounts_are_no_evidence(make_tenant: Any, tenant: Tenant, system: System) -> None:
    foreign = make_tenant("foreign")
    with scope(tenant=foreign.pk, cause=a_cause()):
        ada(foreign)
    with scope(tenant=tenant.pk, cause=a_cause()):
        assert find(system, "ada", employee_number="7", email="ada@acme.example") == Match()
