"""Permits as they come about: by a live exception, or by people who answered a question."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from accounts import exceptions, permits
from accounts.models import ExceptionKind, Permit, PolicyException, RoleName, System
from audit.cause import current
from governance import approvals
from governance.models.approval import Answer, Approval
from tests.conftest import as_setup
from tests.factories import governance as make

if TYPE_CHECKING:
    from accounts.models import Account, User
    from provisioning.models.plan import Plan

DAY = dt.timedelta(days=1)


def an_exception(system: System, *, at: dt.datetime, until: dt.datetime | None = None) -> PolicyException:
    """A live exception under which a system's accounts come back without approval, where its policy says so."""
    with as_setup():
        return exceptions.make_for_setup(
            kind=ExceptionKind.REACTIVATION, system=system, reason="a test bed", until=until or at + DAY, at=at
        )


def excused(account: Account, *, at: dt.datetime, **values: Any) -> Permit:
    """A permit by exception; `values` replace columns, which the verb itself never lets anybody do."""
    system = System.objects.filter(name="excused").first() or make.a_system(account.tenant, "excused", at=at)
    permit = permits.grant_return_by_exception(account=account, exception=an_exception(system, at=at), at=at)
    if not values:
        return permit
    columns = {name: getattr(permit, name) for name in ("tenant", "act", "account", "epoch", "exception", "until")}
    return Permit.objects.create(**{**columns, "granted_at": at, **values})


def security(account: Account, *, at: dt.datetime) -> User:
    """Somebody who may answer."""
    return make.a_user(account, RoleName.SECURITY, at=at)


def answered(plan: Plan, *users: User, at: dt.datetime) -> Approval:
    """The question about a plan, with everybody's yes, and nothing done about it yet."""
    approvals.open_for_plans(at=at)
    question: Approval = Approval.objects.get(plan_id=plan.pk)
    for user in users:
        Answer.objects.create(
            tenant_id=plan.tenant_id, approval=question, user=user, identity_id=user.identity_id, is_yes=True,
            reason="checked", at=at, cause_id=current().pk,
        )  # fmt: skip
    return question


def granted(plan: Plan, *users: User, at: dt.datetime) -> Permit:
    """The permit that these people's yes makes for a plan."""
    question = answered(plan, *users, at=at)
    people = {"approval_id": question.pk, "answered_by": [u.identity_id for u in users], "barred": question.barred}
    if plan.kind == "reactivation":
        assert plan.account is not None
        assert plan.epoch is not None
        return permits.grant_return(account=plan.account, epoch=plan.epoch, at=at, **people)
    return permits.grant_plan(
        tenant_id=plan.tenant_id, plan_id=plan.pk, plan_hash=plan.digest, label=str(plan), at=at, **people
    )
