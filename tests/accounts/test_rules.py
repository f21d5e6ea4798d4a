"""May this person? A table of every role and word, and a reason with every answer."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts import lifecycle, ownership, people, rules
from accounts.models import Account, Hold, HoldKind, Role, RoleName, Tenant, User
from accounts.rules import ROLES, Refused, Ruling, Word
from audit.scope import scope
from tests.conftest import AT, a_cause, as_setup
from tests.factories import governance as make

if TYPE_CHECKING:
    from collections.abc import Callable

    from audit.models import Cause

# Written out once more, so that a changed right is seen in two places.
ALLOWED = {
    "security": {
        "roll.read", "account.suspend", "account.end", "account.renew", "hold.release", "hold.release_security",
        "ownership.offer", "ownership.answer", "reactivation.ask", "reactivation.approve", "plan.approve",
        "finding.handle", "run.start", "campaign.run", "review.answer", "role.approve", "ledger.replay",
    },
    "owner": {"ownership.answer", "review.answer"},
    "auditor": {"roll.read"},
    "administrator": {
        "roll.read", "system.manage", "run.start", "role.ask", "role.approve", "ownership.answer", "review.answer",
    },
}  # fmt: skip


@pytest.fixture
def user(tenant: Tenant, because: Cause) -> User:
    return people.make_user(username="m.ito", at=AT)


def give(user: User, name: str, tenant: Tenant | None, **values: Any) -> Role:
    with as_setup():
        return Role.objects.create(user=user, tenant=tenant, name=name, made_by_setup=True, **{"since": AT} | values)


def may(user: User, word: Word, tenant: Tenant) -> Ruling:
    return rules.may(user, word, tenant=tenant.pk, at=AT)


def test_the_table_of_roles_is_this_one() -> None:
    assert {name.value: {word.value for word in words} for name, words in ROLES.items()} == ALLOWED


@pytest.mark.parametrize("name", list(RoleName))
@pytest.mark.parametrize("word", list(Word))
def test_each_role_may_exactly_what_the_table_says(tenant: Tenant, user: User, name: RoleName, word: Word) -> None:
    give(user, name, tenant)
    assert bool(may(user, word, tenant)) is (word.value in ALLOWED[name.value])


def test_a_refusal_says_in_plain_words_what_is_refused_and_who_could(tenant: Tenant, user: User) -> None:
    ruling = may(user, Word.ROLE_APPROVE, tenant)
    assert ruling == Ruling(
        allowed=False,
        reason="Approving a role needs one of these roles here: security, administrator."
        " An administrator can ask for it for you.",
    )
    with pytest.raises(Refused, match="needs one of these roles here"):
        rules.demand(ruling)
    give(user, RoleName.SECURITY, tenant)
    rules.demand(may(user, Word.ROLE_APPROVE, tenant))


@pytest.mark.parametrize("word", list(Word))
def test_no_refusal_shows_an_internal_word(tenant: Tenant, user: User, word: Word) -> None:
    assert set(rules.SAID) == set(Word)
    assert word.value not in may(user, word, tenant).reason


def test_a_role_counts_in_its_tenant_and_its_time_and_for_who_may_sign_in(
    make_tenant: Callable[..., Tenant], tenant: Tenant, user: User
) -> None:
    other = make_tenant("other")
    give(user, RoleName.SECURITY, tenant)
    give(user, RoleName.AUDITOR, tenant, until=AT)
    give(user, RoleName.OWNER, tenant, since=AT + dt.timedelta(seconds=1))
    give(user, RoleName.ADMINISTRATOR, None)
    assert rules.roles(user, tenant=tenant.pk, at=AT) == {RoleName.SECURITY, RoleName.ADMINISTRATOR}
    assert rules.roles(user, tenant=other.pk, at=AT) == {RoleName.ADMINISTRATOR}
    User.objects.filter(pk=user.pk).update(is_active=False)
    user.refresh_from_db()
    assert rules.roles(user, tenant=tenant.pk, at=AT) == frozenset()


def test_a_security_hold_is_released_by_security_and_any_hold_by_nobody_else(tenant: Tenant, user: User) -> None:
    account = make.a_person(tenant, "ada", at=AT)
    for kind in (HoldKind.SECURITY, HoldKind.MANUAL):
        lifecycle.suspend(accounts=[account.pk], kind=kind, reason="x", at=AT)
    holds = {h.kind: h for h in Hold.objects.all()}
    for name in (RoleName.OWNER, RoleName.AUDITOR, RoleName.ADMINISTRATOR):
        give(user, name, tenant)
    refused = {kind: rules.may_release(user, hold, at=AT) for kind, hold in holds.items()}
    assert {kind: ruling.reason.split(" needs")[0] for kind, ruling in refused.items() if not ruling} == {
        "security": "Releasing a security hold", "manual": "Releasing a hold",
    }  # fmt: skip
    give(user, RoleName.SECURITY, tenant)
    assert all(rules.may_release(user, hold, at=AT) for hold in holds.values())


def test_somebody_answers_for_an_account_through_any_of_their_own(tenant: Tenant, because: Cause) -> None:
    grace = make.a_person(tenant, "grace", at=AT)
    second = make.a_person(tenant, "grace-admin", at=AT, identity_id=grace.identity_id)
    service = make.a_service(tenant, "deploy", at=AT)
    hers, stranger = make.a_user(second, at=AT), make.a_user(make.a_person(tenant, "bob", at=AT), at=AT)
    offered = ownership.offer(account=service, owner=grace, at=AT)
    assert not rules.is_owner(hers, service)
    ownership.accept(ownership=offered, at=AT)
    assert rules.is_owner(hers, service)
    assert not rules.is_owner(stranger, service)
    ownership.end(ownership=offered, reason="moved", at=AT)
    assert not rules.is_owner(hers, service)


def test_the_people_of_accounts_are_their_own_and_those_who_answer_or_are_asked_to(
    tenant: Tenant, because: Cause
) -> None:
    def person(name: str) -> Account:
        return make.a_person(tenant, name, at=AT)

    subject, owner, asked, former, stranger = (person(name) for name in ("ada", "grace", "bob", "cyd", "dan"))
    service = make.a_service(tenant, "deploy", at=AT, owner=owner)
    ownership.offer(account=service, owner=asked, at=AT)
    ownership.decline(ownership=ownership.offer(account=service, owner=former, at=AT), reason="no", at=AT)
    nobody = make.a_person(tenant, "eve", at=AT, identity_id=None)
    assert rules.people_of([service, subject, nobody]) == {
        subject.identity_id, owner.identity_id, asked.identity_id,
    }  # fmt: skip
    assert stranger.identity_id not in rules.people_of([service])
    assert rules.people_of([]) == set()


def test_nothing_is_asked_of_another_tenant(make_tenant: Callable[..., Tenant], tenant: Tenant) -> None:
    other = make_tenant("other")
    with scope(tenant=other.pk, cause=a_cause()):
        foreign = make.a_service(other, "deploy", at=AT, owner=make.a_person(other, "grace", at=AT))
        assert len(rules.people_of([foreign])) == 1
    with scope(tenant=tenant.pk):
        assert rules.people_of([foreign]) == set()
