"""An exception by which ended accounts come back without people: asked by one, answered by two others, always ending."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from accounts import exceptions
from accounts.models import RoleName, Tenant, User
from accounts.models.account import Account
from accounts.models.exception import ExceptionKind, PolicyException
from accounts.models.system import ReactivationPolicy, System
from accounts.rules import ROLES, Refused, Word
from audit.scope import scope
from governance import approvals
from governance.models.approval import Approval
from provisioning import systems
from tests.conftest import a_cause, as_setup
from tests.factories.governance import a_role, a_system, now, staff
from tests.factories.scim import Idp
from tests.factories.scim import a_user as a_scim_user
from tests.governance.shell import a_user, enter
from tests.governance.world import World, make_world, text_of

if TYPE_CHECKING:
    from django.test import Client

    from audit.models import Cause

DAY = dt.timedelta(days=1)
SECURITY = RoleName.SECURITY


@pytest.fixture
def at() -> dt.datetime:
    return now()


@pytest.fixture
def system(tenant: Tenant, because: Cause, at: dt.datetime) -> System:
    made = a_system(tenant, at=at)
    return systems.change_policy(system=made, policy=ReactivationPolicy.AUTOMATIC, reason="lab", at=at)


@pytest.fixture
def admin(tenant: Tenant, because: Cause, at: dt.datetime) -> User:
    return staff(tenant, "k.osei", RoleName.ADMINISTRATOR, at=at)


@pytest.fixture
def two(tenant: Tenant, because: Cause, at: dt.datetime) -> list[User]:
    return [staff(tenant, name, SECURITY, at=at) for name in ("l.chen", "m.ito")]


def asked(system: System, admin: User, at: dt.datetime, **values: Any) -> Approval:
    return approvals.ask_returns(
        **{"system": system, "asked_by": admin, "reason": "a lab", "until": at + 30 * DAY, "at": at} | values
    )


def yes(question: Approval, user: User, at: dt.datetime) -> Approval:
    return approvals.answer(approval=question, user=user, is_yes=True, reason="seen", at=at)


def live(system: System, at: dt.datetime) -> PolicyException | None:
    return exceptions.live(kind=ExceptionKind.REACTIVATION, system=system.pk, at=at)


def test_two_security_people_make_it_and_it_ends_by_itself(
    system: System, admin: User, two: list[User], at: dt.datetime
) -> None:
    question = asked(system, admin, at)
    assert (question.kind, question.needs, question.state) == ("returns", 2, "open")
    assert question.title == f"May ended accounts come back at Okta without people until {at + 30 * DAY:%Y-%m-%d}?"
    assert yes(question, two[0], at).state == "open"
    assert live(system, at) is None
    done = yes(question, two[1], at)
    assert done.state == "approved"
    made = live(system, at)
    assert made is not None
    assert (made.reason, made.asked_by_id, made.approved_by_id, made.made_by_setup) == (
        "a lab", admin.identity_id, two[1].identity_id, False,
    )  # fmt: skip
    assert exceptions.excuses_approval(system=system, ended_at=at, at=at) == made
    assert live(system, at + 30 * DAY) is None


def test_whoever_asked_or_administers_the_system_may_not_answer_and_the_database_says_the_same(
    system: System, admin: User, two: list[User], tenant: Tenant, at: dt.datetime
) -> None:
    a_role(admin, SECURITY, tenant, since=at - 90 * DAY)
    question = asked(system, admin, at)
    with pytest.raises(Refused, match="you asked for it"):
        yes(question, admin, at)
    systems.add_administrator(system=system, identity=two[0].identity_id, at=at)
    with pytest.raises(Refused, match="you administer it"):
        yes(question, two[0], at)
    with pytest.raises(IntegrityError, match="governance_answer_not_by_who_is_barred"), transaction.atomic():
        question.answers.create(
            tenant=tenant, user=two[0], identity_id=two[0].identity_id, is_yes=True, reason="by hand", at=at, cause_id=1
        )
    systems.end_administrator(system=system, identity=two[0].identity_id, at=at)
    with pytest.raises(Refused, match="in the last 30 days"):
        yes(question, two[0], at)


def test_a_role_that_may_not_approve_returns_does_not_answer(
    system: System, admin: User, tenant: Tenant, at: dt.datetime
) -> None:
    other = staff(tenant, "p.lind", RoleName.ADMINISTRATOR, at=at)
    with pytest.raises(Refused, match="Approving that an account comes back needs"):
        yes(asked(system, admin, at), other, at)


def test_one_question_is_open_for_a_system_at_a_time(system: System, admin: User, at: dt.datetime) -> None:
    first = asked(system, admin, at)
    assert asked(system, admin, at, until=at + 9 * DAY) == first


def test_the_system_that_a_question_is_about_never_changes(
    system: System, admin: User, tenant: Tenant, at: dt.datetime
) -> None:
    question = asked(system, admin, at)
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        Approval.objects.filter(pk=question.pk).update(system=a_system(tenant, "Entra", at=at))


def test_what_can_not_be_asked_is_said(system: System, admin: User, two: list[User], at: dt.datetime) -> None:
    with pytest.raises(Refused, match="Connecting or changing a system needs"):
        asked(system, two[0], at)
    with pytest.raises(approvals.BadAnswer, match="write a reason"):
        asked(system, admin, at, reason=" ")
    for until in (at, at + 181 * DAY):
        with pytest.raises(approvals.BadAnswer, match="ends within 180 days"):
            asked(system, admin, at, until=until)
    systems.change_policy(system=system, policy=ReactivationPolicy.APPROVAL, reason="no more", at=at)
    with pytest.raises(approvals.CantAsk, match="people approve each return at Okta: change its policy first"):
        asked(system, admin, at)
    systems.end_system(system=system, reason="gone", at=at)
    with pytest.raises(approvals.CantAsk, match="has ended"):
        asked(system, admin, at)
    assert not Approval.objects.exists()


@pytest.mark.parametrize("change", ["policy", "hours", "end"])
def test_a_yes_to_another_policy_than_was_asked_about_makes_nothing(
    system: System, admin: User, two: list[User], at: dt.datetime, change: str
) -> None:
    question = asked(system, admin, at)
    yes(question, two[0], at)
    if change == "end":
        systems.end_system(system=system, reason="gone", at=at)
    else:
        policy = ReactivationPolicy.GRACE if change == "policy" else ReactivationPolicy.AUTOMATIC
        systems.change_policy(system=system, policy=policy, grace_hours=100, reason="other", at=at)
    with pytest.raises(approvals.Stale, match="nothing was written"):
        yes(question, two[1], at)
    assert live(system, at) is None


# -- on pages


@pytest.fixture
def world(tenant: Tenant) -> World:
    found = make_world(tenant)
    with scope(tenant=tenant.pk, cause=a_cause()):
        systems.change_policy(system=found.system, policy=ReactivationPolicy.AUTOMATIC, reason="lab", at=now())
    return found


def answer(client: Client, world: World, user: User) -> None:
    with scope(tenant=world.tenant.pk):
        question = Approval.objects.get(kind="returns")
    page = f"/t/acme/admin/approvals/{question.pk}/"
    shown = text_of(enter(client, user).get(page))
    assert "System Okta" in shown
    assert "a lab" in shown
    assert client.post(f"{page}yes/", {"reason": "seen"}).status_code == 302


@pytest.mark.face
@pytest.mark.django_db
def test_from_asking_on_a_page_to_an_account_that_comes_back_at_once_and_the_end_of_it(
    client: Client, world: World
) -> None:
    idp = Idp(tenant=world.tenant, system=world.system, token=world.text)
    admin = a_user("k.osei", RoleName.ADMINISTRATOR, tenant=world.tenant)
    two = [a_user(name, SECURITY, tenant=world.tenant) for name in ("l.chen", "m.ito")]
    page = world.url("system")
    assert "no exception is live, so people approve each return. Ask for an exception" in text_of(
        enter(client, admin).get(page)
    )
    form = {"until": (now() + 9 * DAY).date().isoformat(), "reason": "a lab"}
    assert "Asked. Two security people" in text_of(client.post(f"{page}exception/", form, follow=True))
    assert "An exception is asked for" in text_of(client.get(page))
    for user in two:
        answer(client, world, user)

    made = idp.post("/Users", a_scim_user("ada@example.com"))
    for active in (False, True):
        patch = {"op": "replace", "path": "active", "value": active}
        body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [patch]}
        said = idp.call("PATCH", f"/Users/{made.body['id']}", body)
        assert (said.status, said.body["active"]) == (200, active)

    with scope(tenant=world.tenant.pk):
        exception = PolicyException.objects.get()
    end = f"{page}exception/{exception.pk}/end/"
    assert enter(client, admin).get(end).status_code == 403
    assert "End the exception" in text_of(enter(client, two[0]).get(page))
    assert "The exception has ended" in text_of(client.post(end, {"reason": "lab is over"}, follow=True))
    with scope(tenant=world.tenant.pk):
        assert live(world.system, now()) is None
        assert Account.objects.get(user_name="ada@example.com").state == "active"
    assert client.get(end).status_code == 404


@pytest.mark.face
@pytest.mark.django_db
@pytest.mark.parametrize("role", list(RoleName))
def test_each_role_asks_and_ends_by_its_words(client: Client, world: World, role: RoleName) -> None:
    with as_setup(), scope(tenant=world.tenant.pk, cause=a_cause()):
        exception = exceptions.make_for_setup(
            kind=ExceptionKind.REACTIVATION, system=world.system, reason="set-up", until=now() + DAY, at=now()
        )
    enter(client, a_user("somebody", role, tenant=world.tenant))
    page = world.url("system")
    for url, word in (
        (f"{page}exception/", Word.SYSTEM_MANAGE),
        (f"{page}exception/{exception.pk}/end/", Word.REACTIVATION_APPROVE),
    ):
        allowed = word in ROLES[role]
        assert client.get(url).status_code == (200 if allowed else 403)
        assert client.post(url).status_code == (422 if allowed else 403)


@pytest.mark.face
@pytest.mark.django_db
@pytest.mark.parametrize(("days", "problem"), [(-3, "lies ahead"), (300, "within 180 days")])
def test_an_end_that_is_past_or_too_far_is_refused_by_the_form(
    client: Client, world: World, days: int, problem: str
) -> None:
    enter(client, a_user("k.osei", RoleName.ADMINISTRATOR, tenant=world.tenant))
    form = {"until": (now() + days * DAY).date().isoformat(), "reason": "a lab"}
    shown = client.post(f"{world.url('system')}exception/", form)
    assert shown.status_code == 422
    assert problem in text_of(shown)
