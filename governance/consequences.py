"""What enough yes do: a permit is minted and the plan carried out, a role granted, an exception made, a feed rewound.

Each is called by `governance.approvals.answer` in the transaction of the last answer, and returns one sentence.
"""

from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from accounts import exceptions, lifecycle, people, permits
from accounts.models.account import Account, AccountState
from accounts.models.exception import ExceptionKind
from accounts.models.system import System
from accounts.models.tenant import Tenant
from accounts.models.user import RoleName
from accounts.rules import Refused
from audit.journal import Subject
from governance.models.approval import Approval, ApprovalKind
from governance.models.campaign import Review, ReviewState
from provisioning import cursors, execution, plans
from provisioning.models.cursor import Cursor
from provisioning.models.plan import Plan


class Stale(ValueError):
    """The question is no longer what the page showed; nothing was written."""


class BadAnswer(ValueError):
    """The answer lacks something, or names an end that can't be; the message says what to write."""


def subjects(approval: Approval) -> list[Subject]:
    """What the journal notes a question about."""
    found = [Subject("approval", str(approval.pk), approval.title)]
    if approval.plan_id is not None:
        found.append(Subject("plan", str(approval.plan_id), approval.title))
    if approval.account is not None:
        found.append(Subject("account", str(approval.account_id), approval.account.user_name))
    if approval.user is not None:
        found.append(Subject("user", str(approval.user_id), str(approval.user)))
    if approval.system is not None:
        found.append(Subject("system", str(approval.system_id), approval.system.name))
    if approval.review_id is not None:
        found.append(Subject("review", str(approval.review_id), approval.title))
    return found


def _return(question: Approval, plan: Plan | None, yes: list[UUID], barred: set[UUID], at: datetime) -> str:
    account = question.account
    if plan is None or account is None or plan.epoch is None:
        raise Stale(_("the account or its plan is gone; nothing was written"))
    ends = [a.expires_at for a in question.answers.filter(is_yes=True) if a.expires_at is not None]
    if ends and min(ends) <= at:
        raise Refused(_("the end that the first person set has passed; reject it, and let it be asked again"))
    permit = permits.grant_return(
        account=account, epoch=plan.epoch, approval_id=question.pk, answered_by=yes, barred=barred, at=at
    )
    plans.grant(plan=plan, permit=permit, at=at)
    done = execution.execute(plan_id=plan.pk, at=at)
    account.refresh_from_db()
    if ends and account.state in {AccountState.ACTIVE, AccountState.PENDING}:
        lifecycle.renew(account=account, until=min(ends), reason=_("the end that was approved"), at=at)
    return _("%(plan)s; the account is %(state)s") % {
        "plan": done.ended_because,
        "state": account.get_state_display(),
    }


def _execute(question: Approval, plan: Plan | None, yes: list[UUID], barred: set[UUID], at: datetime) -> str:
    if plan is None:
        raise Stale(_("the plan is gone; nothing was written"))
    permit = permits.grant_plan(
        tenant_id=question.tenant_id,
        plan_id=plan.pk,
        plan_hash=plan.digest,
        approval_id=question.pk,
        answered_by=yes,
        barred=barred,
        label=question.title,
        at=at,
    )
    # Of a plan of many, each batch is a transaction of its own: the clock begins it with its next tick.
    plans.grant(plan=plan, permit=permit, at=at)
    return _("approved: it is being carried out")


def _role(question: Approval, _plan: Plan | None, yes: list[UUID], _barred: set[UUID], at: datetime) -> str:
    if question.user is None:
        raise Stale(_("nobody to have the role; nothing was written"))
    try:
        role = people.grant_role(
            user=question.user,
            name=RoleName(question.role_name),
            tenant=Tenant.objects.get(pk=question.tenant_id),
            asked_by=UUID(question.facts["asked_by_identity"]),
            granted_by=yes[-1],
            at=at,
        )
    except people.CantGrant as error:
        raise BadAnswer(str(error)) from error
    return _("%(user)s is %(role)s") % {"user": question.user, "role": role}


def _excepted(kind: ExceptionKind, about: System | Account, question: Approval, yes: list[UUID], at: datetime) -> None:
    if question.lasts_until is None:
        raise Stale(_("the question names no end; nothing was written"))
    try:
        exceptions.make(
            kind=kind,
            about=about,
            reason=question.facts["reason"],
            asked_by=UUID(question.facts["asked_by_identity"]),
            approved_by=yes[-1],
            until=question.lasts_until,
            at=at,
        )
    except exceptions.CantExcept as error:
        raise Stale(str(error)) from error


def _except(question: Approval, _plan: Plan | None, yes: list[UUID], _barred: set[UUID], at: datetime) -> str:
    until, account = question.lasts_until, question.account
    open_still = Review.objects.filter(pk__in=[question.review_id], state__in=[ReviewState.REVOKED, ReviewState.SILENT])
    if until is None or account is None or until <= at or not open_still.exists():
        raise Stale(_("the line was settled otherwise, or the exception would have ended; nothing was written"))
    _excepted(ExceptionKind.FINDING, account, question, yes, at)
    return _("excepted until %(until)s") % {"until": f"{until:%Y-%m-%d %H:%M} UTC"}


def _returns(question: Approval, _plan: Plan | None, yes: list[UUID], _barred: set[UUID], at: datetime) -> str:
    until, system = question.lasts_until, question.system
    if until is None or system is None or system.ended_at is not None:
        raise Stale(_("the system has ended; nothing was written"))
    if [system.reactivation_policy, system.grace_hours] != question.facts["policy_asked"]:
        raise Stale(
            _("the policy of %(system)s changed since this was asked; nothing was written") % {"system": system}
        )
    _excepted(ExceptionKind.REACTIVATION, system, question, yes, at)
    return _("excepted until %(until)s") % {"until": f"{until:%Y-%m-%d %H:%M} UTC"}


def _rewind(question: Approval, _plan: Plan | None, _yes: list[UUID], _barred: set[UUID], at: datetime) -> str:
    facts, system = question.facts, question.system
    cursor = Cursor.objects.select_related("system").filter(pk=facts["cursor"], system=system).first()
    if cursor is None or system is None or system.ended_at is not None:
        raise Stale(_("the system has ended; nothing was written"))
    reason = f"Asked by {question.asked_by}: {facts['reason']}"
    try:
        cursors.rewind(cursor=cursor, to=facts["to"], epoch=facts["epoch"], reason=reason, at=at)
    except (cursors.CantFollow, cursors.Stale) as error:
        raise Stale(_("%(why)s Nothing was written.") % {"why": error}) from error
    return _("it is listened to once more from %(when)s UTC") % {
        "when": f"{datetime.fromisoformat(facts['goes_back_to']):%Y-%m-%d %H:%M}"
    }


DO = {
    ApprovalKind.REACTIVATION: _return,
    ApprovalKind.PLAN: _execute,
    ApprovalKind.ROLE: _role,
    ApprovalKind.EXCEPTION: _except,
    ApprovalKind.RETURNS: _returns,
    ApprovalKind.REWIND: _rewind,
}
