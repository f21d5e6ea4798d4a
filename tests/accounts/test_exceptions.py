"""Departures from policy: between two people, always with an end, and worth nothing once it has come."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction

from accounts import exceptions, people
from accounts.models import ExceptionKind, PolicyException, ReactivationPolicy, System
from tests.conftest import AT, as_setup
from tests.factories import governance as make
from tests.factories.words import written_from_here

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import Tenant
    from audit.models import Cause

HOUR = dt.timedelta(hours=1)
KIND = ExceptionKind.REACTIVATION


@pytest.fixture
def system(tenant: Tenant, because: Cause) -> System:
    return make.a_system(tenant, at=AT)


@pytest.fixture
def two(because: Cause) -> tuple[UUID, UUID]:
    return people.identity_for(at=AT).pk, people.identity_for(at=AT).pk


def setup(system: System, *, until: dt.datetime = AT + HOUR) -> PolicyException:
    with as_setup():
        return exceptions.make_for_setup(kind=KIND, system=system, reason="sandbox", until=until, at=AT)


def live(system: System, at: dt.datetime) -> PolicyException | None:
    return exceptions.live(kind=KIND, system=system.pk, at=at)


def test_an_exception_is_made_between_two_people_and_journaled(system: System, two: tuple[UUID, UUID]) -> None:
    written = written_from_here(PolicyException)
    made = exceptions.make(
        kind=KIND, about=system, reason="migration", asked_by=two[0], approved_by=two[1], until=AT + HOUR, at=AT
    )
    assert (made.asked_by_id, made.approved_by_id, made.made_by_setup) == (*two, False)
    assert written.history(PolicyException) == {"PolicyException": 1}
    assert written.sentences() == [
        "a test: a system's accounts come back without approval at Okta, until 2026-11-23. migration"
    ]
    assert (written.subjects("system"), written.subjects("exception")) == ({str(system.pk)}, {str(made.pk)})


def test_an_exception_about_an_account_names_it_and_no_system(tenant: Tenant, two: tuple[UUID, UUID]) -> None:
    written = written_from_here(PolicyException)
    account = make.a_person(tenant, "ada", at=AT)
    made = exceptions.make(
        kind=ExceptionKind.FINDING, about=account, reason="audit", asked_by=two[0], approved_by=two[1],
        until=AT + HOUR, at=AT,
    )  # fmt: skip
    assert (made.account, made.system) == (account, None)
    assert written.sentences()[-1] == f"a test: {made.get_kind_display()} of ada, until 2026-11-23. audit"
    assert str(account.pk) in written.subjects("account")


def test_nobody_approves_what_they_asked_for_and_nothing_is_without_an_end(
    system: System, two: tuple[UUID, UUID]
) -> None:
    with pytest.raises(exceptions.CantExcept, match="approved by another"):
        exceptions.make(
            kind=KIND, about=system, reason="x", asked_by=two[0], approved_by=two[0], until=AT + HOUR, at=AT
        )
    with pytest.raises(exceptions.CantExcept, match="its end lies ahead"):
        exceptions.make(kind=KIND, about=system, reason="x", asked_by=two[0], approved_by=two[1], until=AT, at=AT)
    with pytest.raises(exceptions.CantExcept, match="its end lies ahead"):
        setup(system, until=AT)
    assert not PolicyException.objects.exists()


def test_the_database_refuses_the_same_whoever_writes(tenant: Tenant, system: System, two: tuple[UUID, UUID]) -> None:
    columns = {"tenant": tenant, "kind": KIND, "system": system, "reason": "x", "starts_at": AT, "until": AT + HOUR}
    for who in ({}, {"asked_by_id": two[0], "approved_by_id": two[0]}, {"asked_by_id": two[0]}):
        with pytest.raises(IntegrityError, match="approved_by_another"), transaction.atomic():
            PolicyException.objects.create(**columns, **who)
    with pytest.raises(IntegrityError, match="ends_after_start"), transaction.atomic(), as_setup():
        PolicyException.objects.create(**columns | {"until": AT}, made_by_setup=True)


def test_an_exception_is_live_from_its_start_to_before_its_end(tenant: Tenant, system: System) -> None:
    short, long = setup(system), setup(system, until=AT + 2 * HOUR)
    assert live(system, AT - dt.timedelta(seconds=1)) is None
    assert live(system, AT) == long
    exceptions.end(exception=long, reason="enough", at=AT + HOUR / 2)
    assert live(system, AT + HOUR / 2) == short
    assert live(system, AT + HOUR) is None
    assert live(make.a_system(tenant, "Entra", at=AT), AT) is None
    assert exceptions.live(kind=ExceptionKind.FINDING, system=system.pk, at=AT) is None


def test_an_exception_is_ended_once(system: System) -> None:
    made = setup(system)
    written = written_from_here(PolicyException)
    assert exceptions.end(exception=made, reason="enough", at=AT).ended_at == AT
    assert exceptions.end(exception=made, reason="again", at=AT + HOUR / 2).ended_at == AT
    over = setup(system)
    assert exceptions.end(exception=over, reason="late", at=AT + HOUR).ended_at is None
    assert written.history(PolicyException) == {"PolicyException": 2}
    assert written.entries() == ["exception.ended", "exception.made"]


@pytest.mark.parametrize(
    ("policy", "with_exception", "hours_ago", "excused"),
    [
        ("approval", True, 0, False),
        ("automatic", False, 0, False),
        ("automatic", True, 0, True),
        ("automatic", True, 1000, True),
        ("grace", False, 0, False),
        ("grace", True, 0, True),
        ("grace", True, 24, True),
        ("grace", True, 25, False),
        ("grace", True, None, False),
    ],
)
def test_a_policy_excuses_approval_only_with_a_live_exception_and_grace_only_within_its_hours(
    system: System, policy: str, with_exception: bool, hours_ago: int | None, excused: bool
) -> None:
    if with_exception:
        setup(system)
    system.reactivation_policy = ReactivationPolicy(policy)
    ended_at = None if hours_ago is None else AT - hours_ago * HOUR
    found = exceptions.excuses_approval(system=system, ended_at=ended_at, at=AT)
    assert (found is not None) is excused
    assert exceptions.excuses_approval(system=system, ended_at=ended_at, at=AT + HOUR) is None
