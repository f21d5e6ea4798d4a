"""Who answers for an account: an offer is never an acceptance, and nobody is left alone without a clock."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from django.db import DatabaseError, transaction

from accounts import lifecycle, ownership, succession
from accounts.models import Account, AccountKind, Finding, HoldKind, Ownership, OwnershipKind
from accounts.models.finding import FindingState
from tests.conftest import AT
from tests.factories import governance as make
from tests.factories.words import written_from_here

if TYPE_CHECKING:
    from accounts.models import Tenant
    from audit.models import Cause

LATER = AT + dt.timedelta(days=2)
MODELS = (Account, Ownership, Finding)


@pytest.fixture
def owner(tenant: Tenant, because: Cause) -> Account:
    return make.a_person(tenant, "grace", at=AT)


@pytest.fixture
def service(tenant: Tenant, because: Cause) -> Account:
    return make.a_service(tenant, "deploy", at=AT)


def state(account: Account) -> str:
    return Account.objects.values_list("state", flat=True).get(pk=account.pk)


def findings() -> dict[str, str]:
    return dict(Finding.objects.values_list("dedupe_key", "state"))


def test_an_offer_is_made_once_and_activates_nothing(service: Account, owner: Account) -> None:
    written = written_from_here(*MODELS)
    first = ownership.offer(account=service, owner=owner, at=AT, reason="her team")
    second = ownership.offer(account=service, owner=owner, at=LATER)
    assert (first.pk, first.state, first.offered_at) == (second.pk, "offered", AT)
    assert state(service) == "pending"
    assert written.history(*MODELS) == {"Ownership": 1}
    assert written.sentences() == ["a test: deploy offered to grace. her team"]
    assert written.subjects("account") == {str(service.pk), str(owner.pk)}
    assert ownership.offer(account=service, owner=owner, kind=OwnershipKind.DEPUTY, at=AT).pk != first.pk


def test_an_acceptance_activates_the_account_stops_the_clock_and_writes_once(service: Account, owner: Account) -> None:
    offered = ownership.offer(account=service, owner=owner, at=AT)
    written = written_from_here(*MODELS)
    accepted = ownership.accept(ownership=offered, reason="mine", at=LATER)
    assert (accepted.state, accepted.answered_at, accepted.reason) == ("accepted", LATER, "mine")
    assert state(service) == "active"
    assert findings() == {f"no_owner:{service.pk}": "resolved"}
    assert written.history(*MODELS) == {"Account": 1, "Ownership": 1, "Finding": 1}
    assert written.entries() == ["ownership.answered", "account.activated"]
    ownership.accept(ownership=offered, reason="again", at=LATER)
    assert written.entries() == ["ownership.answered", "account.activated"]
    assert written.history(*MODELS) == {"Account": 1, "Ownership": 1, "Finding": 1}


def test_an_acceptance_activates_nothing_that_its_directory_does_not_want_active(
    service: Account, owner: Account
) -> None:
    offered = ownership.offer(account=service, owner=owner, at=AT)
    ownership.accept(ownership=offered, wanted_active=False, at=AT)
    assert state(service) == "pending"
    assert findings() == {f"no_owner:{service.pk}": "resolved"}


def test_an_acceptance_releases_no_hold(service: Account, owner: Account) -> None:
    lifecycle.suspend(accounts=[service.pk], kind=HoldKind.SECURITY, reason="leaked", at=AT)
    ownership.accept(ownership=ownership.offer(account=service, owner=owner, at=AT), at=AT)
    assert state(service) == "suspended"


def test_only_an_active_person_accepts(tenant: Tenant, service: Account, owner: Account) -> None:
    robot = make.a_service(tenant, "robot", at=AT)
    with pytest.raises(ownership.CantOwn, match="robot is a service account: only a person"):
        ownership.offer(account=service, owner=robot, at=AT)
    with pytest.raises(ownership.CantOwn, match="can't answer for itself"):
        ownership.offer(account=owner, owner=owner, at=AT)
    offered = ownership.offer(account=service, owner=owner, at=AT)
    Account.objects.filter(pk=owner.pk).update(expires_at=AT)
    with pytest.raises(ownership.CantOwn, match="grace is not active"):
        ownership.accept(ownership=offered, at=LATER)
    offered.refresh_from_db()
    assert (offered.state, state(service)) == ("offered", "pending")
    lifecycle.deprovision(accounts=[owner.pk], reason="left", at=AT)
    owner.refresh_from_db()
    with pytest.raises(ownership.CantOwn, match="grace is ended: offer it to somebody who is active"):
        ownership.offer(account=service, owner=owner, at=AT)
    with pytest.raises(ownership.CantOwn, match="the offer is ended: it can't be accepted any more"):
        ownership.accept(ownership=offered, at=LATER)


def test_a_declined_offer_is_final_and_the_clock_that_ran_runs_on(service: Account, owner: Account) -> None:
    offered = ownership.offer(account=service, owner=owner, at=AT)
    written = written_from_here(*MODELS)
    declined = ownership.decline(ownership=offered, reason="not mine", at=LATER)
    assert (declined.state, declined.answered_at, declined.reason) == ("declined", LATER, "not mine")
    ownership.decline(ownership=offered, reason="still not", at=LATER)
    assert written.history(*MODELS) == {"Ownership": 1}
    assert written.sentences() == ["a test: grace for deploy: declined. not mine"]
    with pytest.raises(ownership.CantOwn, match="the offer is declined"):
        ownership.accept(ownership=offered, at=LATER)
    (finding,) = Finding.objects.all()
    assert (finding.state, finding.due_at) == ("open", AT + succession.CLOCK)


def test_offering_and_declining_never_moves_the_clock(service: Account, owner: Account) -> None:
    for day in range(1, 6):
        at = AT + dt.timedelta(days=day)
        ownership.decline(ownership=ownership.offer(account=service, owner=owner, at=at), reason="no", at=at)
    (finding,) = Finding.objects.all()
    assert (finding.due_at, finding.evidence["because"]) == (AT + succession.CLOCK, "made without an accepted owner")


def test_the_end_of_the_last_owner_opens_no_owner_in_the_same_transaction_and_changes_no_access(
    tenant: Tenant, service: Account, owner: Account
) -> None:
    deputy = make.a_person(tenant, "edsger", at=AT)
    first = ownership.accept(ownership=ownership.offer(account=service, owner=owner, at=AT), at=AT)
    second = ownership.accept(
        ownership=ownership.offer(account=service, owner=deputy, kind=OwnershipKind.DEPUTY, at=AT), at=AT
    )
    ownership.end(ownership=first, reason="moved", at=LATER)
    assert not Finding.objects.filter(state="open").exists()
    written = written_from_here(*MODELS)
    ended = ownership.end(ownership=second, reason="moved too", at=LATER)
    assert (ended.state, ended.ended_at) == ("ended", LATER)
    finding = Finding.objects.get(state="open")
    assert (finding.kind, finding.severity, finding.due_at) == ("no_owner", 3, LATER + succession.CLOCK)
    assert state(service) == "active"
    assert written.history(*MODELS) == {"Ownership": 1, "Finding": 1}
    assert written.entries() == ["ownership.ended"]
    ownership.end(ownership=second, reason="again", at=LATER)
    assert written.entries() == ["ownership.ended"]


def test_a_person_without_an_owner_is_no_finding(tenant: Tenant, because: Cause, owner: Account) -> None:
    assert succession.open_where_alone(accounts=[owner.pk], reason="x", at=AT) == 0
    assert findings() == {}


def test_a_false_positive_is_opened_anew_by_the_next_end_of_an_owner(service: Account, owner: Account) -> None:
    Finding.objects.update(state=FindingState.FALSE_POSITIVE, resolved_at=AT)
    assert succession.open_where_alone(accounts=[service.pk], reason="x", at=LATER) == 1
    assert set(Finding.objects.values_list("state", flat=True)) == {"false_positive", "open"}


def test_offers_that_a_directory_names_are_made_and_what_can_not_be_is_a_note(
    tenant: Tenant, service: Account, owner: Account
) -> None:
    robot = make.a_service(tenant, "robot", at=AT)
    notes = ownership.offers_said(account=service, owners=[owner.pk, robot.pk], at=AT)
    assert notes == ["robot is a service account: only a person can answer for an account"]
    (offered,) = Ownership.objects.all()
    assert (offered.owner, offered.state, offered.reason) == (owner, "offered", "named by its directory")


@pytest.mark.parametrize("kind", [k for k in AccountKind if k != AccountKind.PERSON])
def test_no_kind_of_machine_is_active_before_an_owner_accepted_whoever_writes(
    tenant: Tenant, because: Cause, kind: AccountKind
) -> None:
    made = lifecycle.create(
        tenant_id=tenant.pk, kind=kind, user_name="m", user_name_key="m", is_active=True, purpose="x",
        expires_at=LATER, at=AT,
    )  # fmt: skip
    with pytest.raises(DatabaseError, match="no owner who accepted"), transaction.atomic():
        Account.objects.filter(pk=made.pk).update(state="active", was_active=True)
    assert state(made) == "pending"
