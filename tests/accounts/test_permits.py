"""Permits: minted by people's answers or a live exception, bound to one act, and used once."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from accounts import exceptions, permits
from accounts.models import ExceptionKind, Permit, PolicyException
from tests.conftest import as_setup
from tests.factories import governance as make
from tests.factories.permits import an_exception, answered, excused, granted, security
from tests.factories.words import written_from_here

if TYPE_CHECKING:
    from accounts.models import Account, System, Tenant, User
    from audit.models import Cause
    from provisioning.models.plan import Plan

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def now() -> dt.datetime:
    return make.now()


@pytest.fixture
def system(tenant: Tenant, because: Cause, now: dt.datetime) -> System:
    return make.a_system(tenant, at=now)


@pytest.fixture
def person(tenant: Tenant, because: Cause, now: dt.datetime) -> Account:
    return make.a_person(tenant, "ada", at=now)


@pytest.fixture
def people(tenant: Tenant, because: Cause, now: dt.datetime) -> list[User]:
    return [security(make.a_person(tenant, name, at=now), at=now) for name in ("sam", "sue")]


@pytest.fixture
def wish(person: Account, system: System, now: dt.datetime) -> Plan:
    return make.asked_back(person, system, at=now)


def test_one_yes_makes_a_permit_for_one_person_in_one_epoch_for_eight_hours(
    person: Account, people: list[User], wish: Plan, now: dt.datetime
) -> None:
    question = answered(wish, people[0], at=now)
    written = written_from_here(Permit)
    permit = permits.grant_return(
        account=person, epoch=1, approval_id=question.pk, answered_by=[people[0].identity_id],
        barred=question.barred, at=now,
    )  # fmt: skip
    assert (permit.act, permit.account_id, permit.epoch) == ("reactivate", person.pk, 1)
    assert (permit.granted_at, permit.until, permit.used_at) == (now, now + 8 * HOUR, None)
    assert (permit.answered_by, permit.barred) == ([people[0].identity_id], question.barred)
    assert person.identity_id in permit.barred
    assert written.history(Permit) == {"Permit": 1}
    assert written.sentences() == [f"ada: one account may come back, until {now + 8 * HOUR:%Y-%m-%d %H:%M} UTC"]
    assert written.subjects("account") == {str(person.pk)}
    assert written.subjects("permit") == {str(permit.pk)}


@pytest.mark.parametrize("answered_by", ["nobody", "the subject"])
def test_without_an_answer_of_somebody_who_may_there_is_no_permit(
    person: Account, people: list[User], wish: Plan, now: dt.datetime, answered_by: str
) -> None:
    question = answered(wish, people[0], at=now)
    who = [] if answered_by == "nobody" else [person.identity_id]
    with pytest.raises(permits.CantPermit):
        permits.grant_return(
            account=person, epoch=1, approval_id=question.pk, answered_by=who, barred=question.barred, at=now
        )
    with pytest.raises(permits.CantPermit):
        permits.grant_plan(
            tenant_id=wish.tenant_id, plan_id=wish.pk, plan_hash=wish.digest, approval_id=question.pk,
            answered_by=who, barred=question.barred, label="x", at=now,
        )  # fmt: skip
    assert not Permit.objects.exists()


def test_the_database_refuses_a_permit_by_who_is_barred_and_one_without_a_reason(
    tenant: Tenant, person: Account, now: dt.datetime
) -> None:
    one = uuid4()
    columns: dict[str, Any] = {
        "tenant": tenant, "act": "reactivate", "account": person, "epoch": 1, "granted_at": now, "until": now + HOUR,
    }  # fmt: skip
    with pytest.raises(IntegrityError, match="accounts_permit_has_its_reason"), transaction.atomic():
        Permit.objects.create(**columns)
    exception = an_exception(make.a_system(tenant, at=now), at=now)
    with pytest.raises(IntegrityError, match="accounts_permit_not_by_who_is_barred"), transaction.atomic():
        Permit.objects.create(**columns, exception=exception, answered_by=[one], barred=[uuid4(), one])
    with pytest.raises(IntegrityError, match="accounts_permit_to_return_names_epoch"), transaction.atomic():
        Permit.objects.create(**columns | {"epoch": None}, exception=exception)
    with pytest.raises(IntegrityError, match="accounts_permit_for_plan_names_hash"), transaction.atomic():
        Permit.objects.create(**columns | {"act": "execute_plan"}, exception=exception)
    with pytest.raises(DatabaseError, match="has not been answered so"), transaction.atomic():
        Permit.objects.create(**columns, approval_id=uuid4(), answered_by=[one])


def test_what_a_permit_permits_never_changes_and_a_used_one_stays_used(person: Account, now: dt.datetime) -> None:
    permit = excused(person, at=now)
    for fields in ({"epoch": 7}, {"answered_by": [uuid4()]}, {"act": "execute_plan"}):
        with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
            Permit.objects.filter(pk=permit.pk).update(**fields)
    Permit.objects.filter(pk=permit.pk).update(used_at=now)
    with pytest.raises(DatabaseError, match="stays used"), transaction.atomic():
        Permit.objects.filter(pk=permit.pk).update(used_at=None)


def test_a_permit_by_exception_ends_with_its_exception(person: Account, system: System, now: dt.datetime) -> None:
    exception = an_exception(system, at=now, until=now + HOUR)
    written = written_from_here()
    permit = permits.grant_return_by_exception(account=person, exception=exception, at=now)
    assert (permit.until, permit.exception_id, permit.epoch) == (now + HOUR, exception.pk, 0)
    assert written.entries() == ["permit.granted"]
    with pytest.raises(permits.CantPermit, match="not in force"):
        permits.grant_return_by_exception(account=person, exception=exception, at=now + HOUR)
    exceptions.end(exception=exception, reason="enough", at=now)
    exception.refresh_from_db()
    with pytest.raises(permits.CantPermit, match="not in force"):
        permits.grant_return_by_exception(account=person, exception=exception, at=now)


def test_an_exception_from_another_rule_brings_nobody_back(
    tenant: Tenant, person: Account, system: System, now: dt.datetime
) -> None:
    with as_setup():
        accepted = PolicyException.objects.create(
            tenant=tenant, kind=ExceptionKind.FINDING, account=person, reason="x", made_by_setup=True, starts_at=now,
            until=now + HOUR,
        )  # fmt: skip
    with pytest.raises(permits.CantPermit, match="from another rule"):
        permits.grant_return_by_exception(account=person, exception=accepted, at=now)
    assert not Permit.objects.exists()


def test_a_permit_for_a_plan_is_used_once_for_its_hash_before_its_end(
    tenant: Tenant, system: System, people: list[User], now: dt.datetime
) -> None:
    plan = make.tripped(system, [make.a_person(tenant, "bob", at=now)], at=now)
    permit = granted(plan, *people, at=now)
    assert (permit.act, permit.plan_id, permit.plan_hash) == ("execute_plan", plan.pk, plan.digest)
    use = {"permit": permit, "plan_id": plan.pk, "plan_hash": plan.digest, "at": now}
    assert not permits.use_for_plan(**use | {"plan_hash": "0" * 64})
    assert not permits.use_for_plan(**use | {"plan_id": uuid4()})
    assert not permits.use_for_plan(**use | {"at": permit.until})
    assert Permit.objects.get(pk=permit.pk).used_at is None
    assert permits.use_for_plan(**use)
    assert Permit.objects.get(pk=permit.pk).used_at == now
    assert not permits.use_for_plan(**use)
