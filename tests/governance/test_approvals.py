"""One question, its answers, and everybody who may not give one."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts import lifecycle, ownership, people, permits
from accounts.models.account import Account, AccountState
from accounts.models.exception import PolicyException
from accounts.models.hold import HoldKind
from accounts.models.permit import Permit
from accounts.models.system import SystemAdministrator
from accounts.models.user import Role, RoleName, User
from accounts.rules import Refused
from audit.models import JournalEntry
from governance import approvals, rules
from governance.models.approval import Answer, Approval, ApprovalState
from governance.models.notice import Notice
from provisioning import execution, plans, systems, wishes
from provisioning.models.plan import Plan
from tests.conftest import take_rules_away
from tests.factories.governance import a_person, a_role, a_service, a_system, a_user, asked_back, now, staff, tripped

if TYPE_CHECKING:
    from accounts.models import System, Tenant
    from audit.models import Cause

SECURITY = RoleName.SECURITY


@pytest.fixture
def at() -> dt.datetime:
    """The database's clock is compared with: these tests happen now."""
    return now()


@dataclass
class World:
    """An ended service account of a.ruiz that Okta asks back, with two security people who may answer."""

    system: System
    owner: Account
    account: Account
    chen: User
    ito: User
    plan: Plan
    question: Approval


@pytest.fixture
def world(tenant: Tenant, because: Cause, at: dt.datetime) -> World:
    system = a_system(tenant, at=at)
    owner = a_person(tenant, "a.ruiz", at=at)
    account = a_service(tenant, "svc-deploy", at=at, owner=owner)
    chen, ito = (staff(tenant, name, SECURITY, at=at) for name in ("l.chen", "m.ito"))
    plan = asked_back(account, system, at=at)
    assert approvals.open_for_plans(at=at) == 1
    return World(system, owner, account, chen, ito, plan, Approval.objects.get())


def say(world: World, user: User, at: dt.datetime, *, yes: bool = True, **more: Any) -> Approval:
    """One answer."""
    return approvals.answer(approval=world.question, user=user, is_yes=yes, reason="restore drill", at=at, **more)


def insert_answer(approval: Approval, user: User, at: dt.datetime, **values: Any) -> None:
    """An answer straight in SQL, with whatever its writer would like to be true."""
    row: dict[str, Any] = {
        "id": uuid4(),
        "tenant_id": approval.tenant_id,
        "approval_id": approval.pk,
        "user_id": user.pk,
        "identity_id": uuid4(),
        "is_yes": True,
        "reason": "by hand",
        "at": at,
        "cause_id": 1,
        "barred": "{}",
        "asked_at": at,
        "role_since": at - dt.timedelta(days=999),
    } | values
    names, marks = ", ".join(f'"{n}"' for n in row), ", ".join(["%s"] * len(row))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO governance_answer ({names}) VALUES ({marks})", list(row.values()))


def refused_in_sql(approval: Approval, user: User, at: dt.datetime) -> str:
    """The constraint or SQLSTATE with which the database refuses an answer."""
    with pytest.raises(DatabaseError) as caught:
        insert_answer(approval, user, at)
    cause: Any = caught.value.__cause__
    return str(cause.diag.constraint_name or cause.sqlstate)


# -- the question


def test_a_question_is_opened_once_for_each_waiting_plan_with_its_facts_frozen(world: World, at: dt.datetime) -> None:
    question = world.question
    assert (question.kind, question.state, question.needs) == ("reactivation", "open", 2)
    assert (question.plan_id, question.plan_digest, question.account_id) == (
        world.plan.pk, world.plan.digest, world.account.pk,
    )  # fmt: skip
    assert question.asked_at == world.plan.asked_at
    assert question.until == world.plan.until
    assert question.facts["ended"]["epoch"] == 1
    assert "svc-deploy ended. left" in question.facts["ended"]["because"]
    assert question.facts["owners"] == ["a.ruiz"]
    assert question.facts["needs_owner"] is False
    assert question.facts["risk"] == {
        "kind": "service", "environment": "", "privileged": False, "last_used_at": None, "name_reused": False,
    }  # fmt: skip
    assert approvals.open_for_plans(at=at) == 0
    assert Approval.objects.count() == 1


def test_everybody_who_may_answer_is_told_and_nobody_else(
    tenant: Tenant, because: Cause, world: World, at: dt.datetime
) -> None:
    told = Notice.objects.filter(dedupe_key__startswith=f"approval:{world.question.pk}:open:")
    assert set(told.values_list("to_address", flat=True)) == {"l.chen@acme.example", "m.ito@acme.example"}


def test_a_wish_that_nobody_is_barred_from_but_its_owner_names_the_owner(world: World) -> None:
    assert world.question.barred == [world.owner.identity_id]


def test_an_owner_who_has_left_is_a_fact_of_the_question(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    owner = a_person(tenant, "a.ruiz", at=at)
    account = a_service(tenant, "svc-deploy", at=at, owner=owner)
    system = a_system(tenant, at=at)
    asked_back(account, system, at=at)
    lifecycle.deprovision(accounts=[owner.pk], reason="left too", at=at)
    approvals.open_for_plans(at=at)
    question = Approval.objects.get()
    assert question.facts["since"]["owners_gone"] == ["a.ruiz"]
    assert question.facts["needs_owner"] is True


def test_a_person_needs_one_yes_and_a_privileged_person_two(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    system = a_system(tenant, at=at)
    asked_back(a_person(tenant, "k.osei", at=at), system, at=at)
    asked_back(a_person(tenant, "root", at=at, is_privileged=True), system, at=at)
    approvals.open_for_plans(at=at)
    assert dict(Approval.objects.values_list("account__user_name", "needs")) == {"k.osei": 1, "root": 2}


# -- enough yes


def test_two_people_bring_a_service_account_back_in_the_transaction_of_the_second_answer(
    world: World, at: dt.datetime
) -> None:
    first = say(world, world.chen, at)
    assert first.state == ApprovalState.OPEN
    assert Account.objects.get(pk=world.account.pk).state == AccountState.DEPROVISIONED
    assert not Permit.objects.exists()

    second = say(world, world.ito, at)
    assert second.state == ApprovalState.APPROVED
    account = Account.objects.get(pk=world.account.pk)
    assert account.state == AccountState.ACTIVE
    permit = Permit.objects.get()
    assert set(permit.answered_by) == {world.chen.identity_id, world.ito.identity_id}
    assert permit.approval_id == world.question.pk
    assert permit.used_at is not None
    assert Plan.objects.get().state == "done"
    assert [a.event for a in JournalEntry.objects.filter(event__startswith="approval.").order_by("id")] == [
        "approval.asked", "approval.answered", "approval.answered", "approval.approved",
    ]  # fmt: skip


def test_the_nearest_end_that_anybody_set_counts(world: World, at: dt.datetime) -> None:
    near, far = at + dt.timedelta(days=10), at + dt.timedelta(days=20)
    say(world, world.chen, at, expires_at=far)
    say(world, world.ito, at, expires_at=near)
    assert Account.objects.get(pk=world.account.pk).expires_at == near


def test_an_end_past_the_longest_allowed_is_refused_and_nothing_is_written(world: World, at: dt.datetime) -> None:
    with pytest.raises(approvals.BadAnswer, match="at most 180 days"):
        say(world, world.chen, at, expires_at=at + dt.timedelta(days=181))
    assert not Answer.objects.exists()


def test_one_no_rejects_at_once(world: World, at: dt.datetime) -> None:
    say(world, world.chen, at)
    question = say(world, world.ito, at, yes=False)
    assert question.state == ApprovalState.REJECTED
    plan = Plan.objects.get()
    assert (plan.state, plan.ended_because) == ("rejected", "m.ito: no. restore drill")
    assert Account.objects.get(pk=world.account.pk).state == AccountState.DEPROVISIONED
    told = Notice.objects.filter(dedupe_key__startswith=f"approval:{question.pk}:rejected:")
    assert [n.to_address for n in told] == ["a.ruiz@acme.example"]
    with pytest.raises(Refused, match="rejected"):
        say(world, staff(world.account.tenant, "third", SECURITY, at=at), at)


def test_a_reason_is_needed(world: World, at: dt.datetime) -> None:
    with pytest.raises(approvals.BadAnswer, match="write a reason"):
        approvals.answer(approval=world.question, user=world.chen, is_yes=True, reason="  ", at=at)
    assert not Answer.objects.exists()


def test_a_yes_under_a_security_hold_is_refused(world: World, at: dt.datetime) -> None:
    lifecycle.suspend(accounts=[world.account.pk], kind=HoldKind.SECURITY, reason="leaked", at=at)
    with pytest.raises(Refused, match="a security hold is on it"):
        say(world, world.chen, at)
    assert not Answer.objects.exists()


def test_a_stopped_plan_is_let_go_by_two_people_and_carried_out_by_the_clock(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    system = a_system(tenant, "GitHub", at=at)
    gone = [a_person(tenant, f"p{n}", at=at) for n in range(3)]
    chen, ito = (staff(tenant, name, SECURITY, at=at) for name in ("l.chen", "m.ito"))
    plan = tripped(system, gone, at=at)
    approvals.open_for_plans(at=at)
    question = Approval.objects.get()
    assert (question.kind, question.needs, question.title) == ("plan", 2, "May 3 changes at GitHub be carried out?")
    assert question.facts["brake"]["because"] == ["the reading shows nothing at all"]
    assert question.facts["acts"] == {"deprovision": 3}
    approvals.answer(approval=question, user=chen, is_yes=True, reason="checked", at=at)
    assert set(Account.objects.filter(pk__in=[a.pk for a in gone]).values_list("state", flat=True)) == {"active"}
    answered = approvals.answer(approval=question, user=ito, is_yes=True, reason="checked", at=at)
    assert (answered.state, answered.ended_because) == ("approved", "approved: it is being carried out")
    assert set(Account.objects.filter(pk__in=[a.pk for a in gone]).values_list("state", flat=True)) == {"active"}
    assert Plan.objects.get(pk=plan.pk).state == "approved"
    assert execution.execute(plan_id=plan.pk, at=at).state == "done"
    assert set(Account.objects.filter(pk__in=[a.pk for a in gone]).values_list("state", flat=True)) == {"deprovisioned"}


@dataclass
class Stopped:
    """A plan that the brake stopped, with two security people who may let it go."""

    system: System
    chen: User
    ito: User
    question: Approval

    def yes(self, user: User, at: dt.datetime) -> Approval:
        return approvals.answer(approval=self.question, user=user, is_yes=True, reason="checked", at=at)


@pytest.fixture
def stopped(tenant: Tenant, because: Cause, at: dt.datetime) -> Stopped:
    system = a_system(tenant, "GitHub", at=at)
    chen, ito = (staff(tenant, name, SECURITY, at=at) for name in ("l.chen", "m.ito"))
    tripped(system, [a_person(tenant, "p1", at=at)], at=at)
    approvals.open_for_plans(at=at)
    return Stopped(system, chen, ito, Approval.objects.get())


@pytest.mark.parametrize("because_of", ["administers", "made_token", "changed_policy"])
def test_whoever_changed_the_configuration_within_30_days_does_not_let_a_stopped_plan_go(
    stopped: Stopped, at: dt.datetime, because_of: str
) -> None:
    for user, days in ((stopped.chen, 29), (stopped.ito, 31)):
        SystemAdministrator.objects.create(
            tenant_id=stopped.system.tenant_id, system=stopped.system, identity_id=user.identity_id,
            because=because_of, since=at - dt.timedelta(days=days), until=at - dt.timedelta(days=days),
        )  # fmt: skip
    with pytest.raises(Refused, match="you changed how GitHub is read, its token, policy or rules in the last 30 days"):
        stopped.yes(stopped.chen, at)
    assert refused_in_sql(stopped.question, stopped.chen, at) == "governance_answer_not_by_who_is_barred"
    assert stopped.yes(stopped.ito, at).answers.count() == 1


def test_whoever_administers_a_system_and_changed_nothing_may_let_its_stopped_plan_go(
    stopped: Stopped, at: dt.datetime
) -> None:
    SystemAdministrator.objects.create(
        tenant_id=stopped.system.tenant_id, system=stopped.system, identity_id=stopped.chen.identity_id,
        because="administers", since=at - dt.timedelta(days=31),
    )  # fmt: skip
    assert stopped.yes(stopped.chen, at).answers.count() == 1


def test_whoever_gave_somebody_a_role_within_30_days_does_not_let_a_stopped_plan_go(
    stopped: Stopped, tenant: Tenant, at: dt.datetime
) -> None:
    new = staff(tenant, "k.osei", at=at)
    people.grant_role(
        user=new, name=SECURITY, tenant=tenant, asked_by=stopped.chen.identity_id, granted_by=stopped.ito.identity_id,
        at=at,
    )  # fmt: skip
    for user in (stopped.chen, stopped.ito):
        with pytest.raises(Refused, match="you asked for or granted a role in the last 30 days"):
            stopped.yes(user, at)
        assert refused_in_sql(stopped.question, user, at) == "governance_answer_not_by_who_is_barred"
    with pytest.raises(Refused, match="younger than the question"):
        stopped.yes(new, at)


# -- who may not


def test_whoever_asked_may_not_answer(world: World, tenant: Tenant, at: dt.datetime) -> None:
    wishes.ask_return(
        account=world.account, system=world.system, requesters=[world.chen.identity_id], asked_by="l.chen",
        exchange_id=None, at=at,
    )  # fmt: skip
    with pytest.raises(Refused, match="you asked for it"):
        say(world, world.chen, at)
    assert refused_in_sql(world.question, world.chen, at) == "governance_answer_not_by_who_is_barred"


def test_the_subject_may_not_answer(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    subject = a_person(tenant, "k.osei", at=at)
    # Their sign-in here outlives the one account: they have another.
    a_person(tenant, "k.osei.admin", at=at, identity_id=subject.identity_id)
    user = a_user(subject, SECURITY, at=at)
    asked_back(subject, a_system(tenant, at=at), at=at)
    approvals.open_for_plans(at=at)
    question = Approval.objects.get()
    with pytest.raises(Refused, match="an account of yours"):
        approvals.answer(approval=question, user=user, is_yes=True, reason="me", at=at)
    assert refused_in_sql(question, user, at) == "governance_answer_not_by_who_is_barred"


def test_the_owner_may_not_answer(world: World, at: dt.datetime) -> None:
    owner = a_user(world.owner, SECURITY, at=at)
    with pytest.raises(Refused, match="you answer for this account"):
        say(world, owner, at)
    assert refused_in_sql(world.question, owner, at) == "governance_answer_not_by_who_is_barred"


def test_whoever_became_an_owner_after_it_was_asked_may_not_answer(
    world: World, tenant: Tenant, at: dt.datetime
) -> None:
    osei = a_person(tenant, "k.osei", at=at)
    user = a_user(osei, SECURITY, at=at)
    ownership.offer(account=world.account, owner=osei, at=at)
    with pytest.raises(Refused, match="offered to you"):
        say(world, user, at)
    assert refused_in_sql(world.question, user, at) == "governance_answer_not_by_who_is_barred"


def test_a_yes_of_somebody_who_became_an_owner_since_does_not_count(
    world: World, tenant: Tenant, at: dt.datetime
) -> None:
    osei = a_person(tenant, "k.osei", at=at)
    say(world, a_user(osei, SECURITY, at=at), at)
    ownership.offer(account=world.account, owner=osei, at=at)
    assert say(world, world.chen, at).state == ApprovalState.OPEN
    assert say(world, world.ito, at).state == ApprovalState.APPROVED
    assert set(Permit.objects.get().answered_by) == {world.chen.identity_id, world.ito.identity_id}


def test_whoever_administers_the_system_that_asks_may_not_answer(world: World, at: dt.datetime) -> None:
    systems.add_administrator(system=world.system, identity=world.chen.identity_id, at=at)
    with pytest.raises(Refused, match="Okta asked, and you administer it"):
        say(world, world.chen, at)
    assert refused_in_sql(world.question, world.chen, at) == "governance_answer_not_by_who_is_barred"


@pytest.mark.parametrize("because_of", ["made_token", "changed_policy"])
def test_whoever_made_its_token_or_changed_its_policy_within_30_days_may_not_answer(
    world: World, at: dt.datetime, because_of: str
) -> None:
    for user, days in ((world.chen, 29), (world.ito, 31)):
        SystemAdministrator.objects.create(
            tenant_id=world.system.tenant_id, system=world.system, identity_id=user.identity_id, because=because_of,
            since=at - dt.timedelta(days=days),
        )  # fmt: skip
    with pytest.raises(Refused, match="made its token or changed its policy in the last 30 days"):
        say(world, world.chen, at)
    assert refused_in_sql(world.question, world.chen, at) == "governance_answer_not_by_who_is_barred"
    assert say(world, world.ito, at).answers.count() == 1


def test_an_administrator_of_the_system_may_answer_what_a_person_asked(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    chen = staff(tenant, "l.chen", SECURITY, at=at)
    system = a_system(tenant, at=at, made_by=chen.identity_id)
    asked_back(a_person(tenant, "k.osei", at=at), system, at=at, by_directory=False)
    approvals.open_for_plans(at=at)
    done = approvals.answer(approval=Approval.objects.get(), user=chen, is_yes=True, reason="asked by HR", at=at)
    assert done.state == ApprovalState.APPROVED


def test_the_same_person_does_not_answer_twice(world: World, at: dt.datetime) -> None:
    say(world, world.chen, at)
    with pytest.raises(Refused, match="you have answered"):
        say(world, world.chen, at)
    assert refused_in_sql(world.question, world.chen, at) == "governance_answer_once_per_person"


def test_the_same_person_does_not_answer_twice_through_a_second_user(world: World, at: dt.datetime) -> None:
    say(world, world.chen, at)
    second = people.make_user(username="chen-two", at=at, identity=world.chen.identity)
    a_role(second, SECURITY, world.account.tenant, since=at - dt.timedelta(days=90))
    with pytest.raises(Refused, match="under this sign-in name or another"):
        say(world, second, at)
    assert refused_in_sql(world.question, second, at) == "governance_answer_once_per_person"
    assert Account.objects.get(pk=world.account.pk).state == AccountState.DEPROVISIONED


def test_a_role_that_is_younger_than_the_question_does_not_answer(
    world: World, tenant: Tenant, at: dt.datetime
) -> None:
    young = staff(tenant, "young", SECURITY, at=at, since=dt.timedelta(seconds=30))
    with pytest.raises(Refused, match="your role is younger than the question"):
        say(world, young, at)
    assert refused_in_sql(world.question, young, at) == "governance_answer_by_a_role_older_than_it"


def test_an_old_role_that_does_not_answer_this_makes_no_young_one_older(
    world: World, tenant: Tenant, at: dt.datetime
) -> None:
    user = staff(tenant, "climber", RoleName.ADMINISTRATOR, at=at)
    a_role(user, SECURITY, tenant, since=at - dt.timedelta(seconds=30))
    with pytest.raises(Refused, match="your role is younger than the question"):
        say(world, user, at)
    assert refused_in_sql(world.question, user, at) == "governance_answer_by_a_role_older_than_it"


@pytest.mark.parametrize("name", [RoleName.OWNER, RoleName.AUDITOR, RoleName.ADMINISTRATOR])
def test_a_role_that_may_not_approve_does_not_answer(
    world: World, tenant: Tenant, at: dt.datetime, name: RoleName
) -> None:
    user = staff(tenant, "other", name, at=at)
    with pytest.raises(Refused, match="Approving that an account comes back needs one of these roles"):
        say(world, user, at)
    assert refused_in_sql(world.question, user, at) == "governance_answer_by_a_role_older_than_it"


def test_somebody_of_another_tenant_does_not_answer(world: World, make_tenant: Any, at: dt.datetime) -> None:
    other = make_tenant("other")
    user = staff(world.account.tenant, "guest", at=at)
    a_role(user, SECURITY, other, since=at - dt.timedelta(days=90))
    with pytest.raises(Refused, match="Approving that an account comes back needs"):
        say(world, user, at)
    assert refused_in_sql(world.question, user, at) == "governance_answer_by_a_role_older_than_it"


def test_the_databases_refusal_reads_like_the_rule(
    world: World, at: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "may_answer", lambda *_a, **_k: rules._yes())
    owner = a_user(world.owner, SECURITY, at=at)
    with pytest.raises(Refused, match="you asked for it, are its subject, answer for it or administer the system"):
        say(world, owner, at)
    assert not Answer.objects.exists()


# -- what nobody can do in SQL either


def test_a_permit_with_one_answer_of_two_is_refused_by_the_database(world: World, at: dt.datetime) -> None:
    say(world, world.chen, at)
    with pytest.raises(DatabaseError, match="has not been answered so"), transaction.atomic():
        permits.grant_return(
            account=world.account, epoch=1, approval_id=world.question.pk, answered_by=[world.chen.identity_id],
            barred=world.question.barred, at=at,
        )  # fmt: skip


def test_a_permit_with_one_answer_named_twice_is_refused_by_the_database(world: World, at: dt.datetime) -> None:
    say(world, world.chen, at)
    with pytest.raises(DatabaseError, match="has not been answered so"), transaction.atomic():
        permits.grant_return(
            account=world.account, epoch=1, approval_id=world.question.pk,
            answered_by=[world.chen.identity_id, world.chen.identity_id], barred=world.question.barred, at=at,
        )  # fmt: skip


def test_a_permit_that_leaves_out_who_is_barred_is_refused_by_the_database(
    world: World, tenant: Tenant, at: dt.datetime
) -> None:
    insert_answer(world.question, world.chen, at)
    insert_answer(world.question, world.ito, at)
    with pytest.raises(DatabaseError, match="has not been answered so"), transaction.atomic():
        permits.grant_return(
            account=world.account, epoch=1, approval_id=world.question.pk, barred=[],
            answered_by=[world.chen.identity_id, world.ito.identity_id], at=at,
        )  # fmt: skip


def test_a_permit_for_another_account_is_refused_by_the_database(world: World, tenant: Tenant, at: dt.datetime) -> None:
    other = a_service(tenant, "svc-other", at=at, owner=world.owner)
    lifecycle.deprovision(accounts=[other.pk], reason="x", at=at)
    insert_answer(world.question, world.chen, at)
    insert_answer(world.question, world.ito, at)
    with pytest.raises(DatabaseError, match="was about something else"), transaction.atomic():
        permits.grant_return(
            account=other, epoch=1, approval_id=world.question.pk, barred=world.question.barred,
            answered_by=[world.chen.identity_id, world.ito.identity_id], at=at,
        )  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"barred": []}, {"needs": 1}, {"asked_at": now()}, {"plan_digest": "x"}, {"account_id": None}]
)
def test_what_a_question_asks_never_changes(world: World, change: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic():
        Approval.objects.filter(pk=world.question.pk).update(**change)


def test_an_answered_question_does_not_open_again(world: World, at: dt.datetime) -> None:
    say(world, world.chen, at, yes=False)
    with pytest.raises(DatabaseError, match="is answered"), transaction.atomic():
        Approval.objects.filter(pk=world.question.pk).update(state="open", ended_at=None)


def test_a_question_written_without_its_barred_people_has_them(world: World, at: dt.datetime) -> None:
    Approval.objects.filter(pk=world.question.pk).update(state="void", ended_at=at)
    made = Approval.objects.create(
        tenant_id=world.question.tenant_id, kind="reactivation", plan_id=world.plan.pk, account=world.account,
        plan_digest=world.plan.digest, title="mine", needs=1, barred=[], asked_by="x", asked_at=at,
        until=at + dt.timedelta(hours=1),
    )  # fmt: skip
    made.refresh_from_db()
    assert made.barred == [world.owner.identity_id]


def test_an_answer_is_never_changed(world: World, at: dt.datetime) -> None:
    say(world, world.chen, at)
    with pytest.raises(DatabaseError), transaction.atomic():
        Answer.objects.update(is_yes=False)


# -- stale, late, silent


def test_a_form_that_is_older_than_a_newer_wish_writes_nothing(world: World, at: dt.datetime) -> None:
    shown = approvals.version(world.question)
    wishes.ask_return(
        account=world.account, system=world.system, requesters=[], asked_by="Okta", exchange_id=uuid4(), at=at
    )
    with pytest.raises(approvals.Stale, match="nothing was written"):
        say(world, world.chen, at, seen=shown)
    assert not Answer.objects.exists()
    say(world, world.chen, at, seen=approvals.version(world.question))
    assert Answer.objects.count() == 1


def test_an_answer_about_a_plan_that_has_changed_writes_nothing(world: World, at: dt.datetime) -> None:
    take_rules_away(Plan)
    Plan.objects.filter(pk=world.plan.pk).update(digest="0" * 64)
    with pytest.raises(approvals.Stale, match="nothing was written"):
        say(world, world.chen, at)
    assert not Answer.objects.exists()


def test_silence_means_no(world: World, at: dt.datetime) -> None:
    say(world, world.chen, at)
    assert approvals.has_something_to_lapse(at=at) is False
    later = world.question.until
    assert approvals.has_something_to_lapse(at=later) is True
    with pytest.raises(Refused, match="silence means no"):
        say(world, world.ito, later)
    assert approvals.lapse_due(at=later) == 1
    world.question.refresh_from_db()
    assert world.question.state == ApprovalState.LAPSED
    assert Plan.objects.get().state == "lapsed"
    assert approvals.lapse_due(at=later) == 0


def test_a_question_past_its_end_takes_no_answer_in_the_database(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    chen = staff(tenant, "l.chen", SECURITY, at=at)
    account = a_person(tenant, "k.osei", at=at)
    plan = asked_back(account, a_system(tenant, at=at), at=at, asked_ago=dt.timedelta(hours=9))
    assert approvals.open_for_plans(at=at) == 0
    assert approvals.open_for_plans(at=at - dt.timedelta(hours=2)) == 1
    assert refused_in_sql(Approval.objects.get(), chen, at) == "RC020"
    assert approvals.lapse_due(at=at) == 1
    plan.refresh_from_db()
    assert plan.state == "lapsed"


def test_a_wish_that_was_never_asked_about_lapses_too(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    plan = asked_back(
        a_person(tenant, "k.osei", at=at), a_system(tenant, at=at), at=at, asked_ago=dt.timedelta(hours=9)
    )
    assert approvals.lapse_due(at=at) == 1
    plan.refresh_from_db()
    assert plan.state == "lapsed"


def test_a_question_whose_plan_ended_otherwise_is_void(world: World, at: dt.datetime) -> None:
    plans.lapse(plan=world.plan, because="a newer reading", at=at)
    assert approvals.has_something_to_lapse(at=at) is True
    assert approvals.lapse_due(at=at) == 1
    world.question.refresh_from_db()
    assert (world.question.state, world.question.ended_because) == ("void", "a newer reading")


# -- roles


def test_a_role_is_asked_by_one_and_granted_by_another(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    admin = staff(tenant, "admin", RoleName.ADMINISTRATOR, at=at)
    chen = staff(tenant, "l.chen", SECURITY, at=at)
    osei = staff(tenant, "k.osei", at=at)
    question = approvals.ask_role(
        user=osei, name=RoleName.AUDITOR, tenant=tenant, asked_by=admin, reason="audit in May", at=at
    )
    assert question.title == "May k.osei be auditor?"
    again = approvals.ask_role(user=osei, name=RoleName.AUDITOR, tenant=tenant, asked_by=admin, reason="again", at=at)
    assert again.pk == question.pk
    for user, why in ((admin, "you asked for it"), (osei, "Approving a role needs")):
        with pytest.raises(Refused, match=why):
            approvals.answer(approval=question, user=user, is_yes=True, reason="yes", at=at)
    assert refused_in_sql(question, admin, at) == "governance_answer_not_by_who_is_barred"
    done = approvals.answer(approval=question, user=chen, is_yes=True, reason="fine", at=at)
    assert done.state == ApprovalState.APPROVED
    role = Role.objects.get(user=osei, name=RoleName.AUDITOR)
    assert (role.tenant, role.asked_by_id, role.granted_by_id) == (tenant, admin.identity_id, chen.identity_id)


def test_nobody_grants_a_role_to_themselves(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    admin = staff(tenant, "admin", RoleName.ADMINISTRATOR, at=at)
    chen = staff(tenant, "l.chen", SECURITY, at=at)
    question = approvals.ask_role(
        user=chen, name=RoleName.ADMINISTRATOR, tenant=tenant, asked_by=admin, reason="stands in", at=at
    )
    with pytest.raises(Refused, match="a role of yours"):
        approvals.answer(approval=question, user=chen, is_yes=True, reason="yes", at=at)
    assert refused_in_sql(question, chen, at) == "governance_answer_not_by_who_is_barred"


def test_a_role_is_not_asked_by_who_may_not_nor_for_who_has_it(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    admin = staff(tenant, "admin", RoleName.ADMINISTRATOR, at=at)
    chen = staff(tenant, "l.chen", SECURITY, at=at)
    with pytest.raises(Refused, match="Asking for a role for somebody needs"):
        approvals.ask_role(user=admin, name=SECURITY, tenant=tenant, asked_by=chen, reason="x", at=at)
    with pytest.raises(approvals.CantAsk, match="has that role already"):
        approvals.ask_role(user=chen, name=SECURITY, tenant=tenant, asked_by=admin, reason="x", at=at)
    with pytest.raises(approvals.BadAnswer, match="write a reason"):
        approvals.ask_role(user=admin, name=SECURITY, tenant=tenant, asked_by=admin, reason=" ", at=at)
    assert not Approval.objects.exists()
    assert not PolicyException.objects.exists()


def test_a_question_about_nothing_is_refused_by_the_database(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    with pytest.raises(IntegrityError, match="governance_approval_has_its_subject"), transaction.atomic():
        Approval.objects.create(
            tenant=tenant, kind="plan", title="?", needs=1, asked_by="x", asked_at=at, until=at + dt.timedelta(hours=1)
        )
