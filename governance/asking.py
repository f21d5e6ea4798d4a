"""How a question to people begins: one for each plan that waits, and those that a person asks.

`governance.approvals` is the door; who may answer, and what follows, stands behind it.
"""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models.system import ReactivationPolicy, System
from accounts.models.tenant import Tenant
from accounts.models.user import RoleName, User
from accounts.rules import Word, demand, may, people_of, roles
from audit.journal import record
from governance import facts, notices
from governance.consequences import BadAnswer, subjects
from governance.models.approval import Approval, ApprovalKind, ApprovalState
from governance.models.campaign import Review, ReviewState
from governance.rules import constraint_of
from governance.states import Event
from provisioning import plans, systems
from provisioning.models.plan import Plan, PlanKind

OTHERS_LAST = timedelta(days=7)
LONGEST_EXCEPTION = timedelta(days=180)


class CantAsk(ValueError):
    """There is nothing to ask; the message says why."""


def begin(approval: Approval, *, at: datetime) -> Approval:
    """A question that was just written: the journal and whoever may answer it are told."""
    # The database adds whoever else is barred; the row shows it from the start.
    approval.refresh_from_db(fields=["barred"])
    record(
        event=Event.APPROVAL_ASKED,
        sentence=f"{approval.asked_by}: {approval.title} {approval.needs} must say yes by {approval.until:%F %H:%M} UTC",
        subjects=subjects(approval),
    )
    notices.tell_approval(approval=approval, at=at)
    return approval


# -- asking


def to_ask(*, at: datetime) -> QuerySet[Plan]:
    """Plans that wait for people and have no open question."""
    asked = Approval.objects.filter(state=ApprovalState.OPEN, plan_id__isnull=False)
    return plans.waiting().filter(until__gt=at).exclude(pk__in=asked.values("plan_id"))


def open_for_plans(*, at: datetime) -> int:
    """Open a question for every plan that waits for people and has none. Safe to run twice at once.

    A question is as old as its plan: a role that is younger than the wish can't answer it.
    """
    opened = 0
    for plan in to_ask(at=at).select_for_update(skip_locked=True, of=("self",)).select_related("system", "account"):
        try:
            with transaction.atomic():
                begin(_of_plan(plan), at=at)
                opened += 1
        except IntegrityError as error:
            if constraint_of(error) != "governance_approval_one_open_per_plan":
                raise
    return opened


def _of_plan(plan: Plan) -> Approval:
    if plan.until is None:
        raise CantAsk(f"{plan} has no end: a question about it would never lapse")
    if plan.kind == PlanKind.REACTIVATION and plan.account is not None:
        kind, shown = ApprovalKind.REACTIVATION, facts.of_return(plan, plan.account)
        title = _("May %(account)s come back?") % {"account": plan.account.user_name}
    else:
        kind, shown = ApprovalKind.PLAN, facts.of_stopped(plan)
        title = _("May %(n)d changes at %(system)s be carried out?") % {
            "n": plan.changes.count(),
            "system": plan.system.name,
        }
    made: Approval = Approval.objects.create(
        tenant_id=plan.tenant_id,
        kind=kind,
        plan_id=plan.pk,
        plan_digest=plan.digest,
        account=plan.account,
        title=title,
        facts=shown,
        needs=plans.needs(plan),
        barred=sorted(plans.barred(plan)),
        asked_by=plan.asked_by,
        asked_at=plan.asked_at,
        until=plan.until,
    )
    return made


def reasoned(reason: str) -> str:
    """The reason without what stands around it. Raises `BadAnswer` for none."""
    text = reason.strip()
    if not text:
        raise BadAnswer(_("write a reason: a ticket, a request, what you saw"))
    return text


def ask_role(*, user: User, name: RoleName, tenant: Tenant, asked_by: User, reason: str, at: datetime) -> Approval:
    """Ask that somebody have a role in a tenant. Another person answers; an open question is returned as it is.

    Raises `Refused`, `BadAnswer` without a reason, `CantAsk` where they have it or may not sign in.
    """
    demand(may(asked_by, Word.ROLE_ASK, tenant=tenant.pk, at=at))
    why = reasoned(reason)
    if not user.is_active:
        raise CantAsk(_("%(user)s may not sign in: reopen that first") % {"user": user})
    if name in roles(user, tenant=tenant.pk, at=at):
        raise CantAsk(_("%(user)s has that role already") % {"user": user})
    with transaction.atomic():
        # Whoever asks the same at the same time waits here, and finds the question open.
        User.objects.select_for_update().get(pk=user.pk)
        live = Approval.objects.filter(
            kind=ApprovalKind.ROLE, state=ApprovalState.OPEN, user=user, role_name=name, until__gt=at
        ).first()
        if live is not None:
            return live
        made = Approval.objects.create(
            tenant=tenant,
            kind=ApprovalKind.ROLE,
            user=user,
            role_name=name,
            title=_("May %(user)s be %(role)s?") % {"user": user, "role": name.label},
            facts={"reason": why, "asked_by_identity": str(asked_by.identity_id), "username": user.username},
            needs=1,
            barred=sorted({user.identity_id, asked_by.identity_id}),
            asked_by=str(asked_by),
            asked_at=at,
            until=at + OTHERS_LAST,
        )
        return begin(made, at=at)


def ask_exception(*, review: Review, asked_by: User, reason: str, until: datetime, at: datetime) -> Approval:
    """Ask that a revoked or silent line be settled without having been read as off, for a time.

    A second security person answers. Raises `Refused`, `BadAnswer`, `CantAsk`.
    """
    demand(may(asked_by, Word.FINDING_HANDLE, tenant=review.tenant_id, at=at))
    why = reasoned(reason)
    _check_end(until, at=at)
    with transaction.atomic():
        line = Review.objects.select_for_update(of=("self",)).select_related("account", "campaign").get(pk=review.pk)
        if line.state not in {ReviewState.REVOKED, ReviewState.SILENT}:
            raise CantAsk(_("the line is %(state)s: there is nothing to except") % {"state": line.get_state_display()})
        live = Approval.objects.filter(state=ApprovalState.OPEN, review_id=line.pk).first()
        if live is not None:
            return live
        made = Approval.objects.create(
            tenant_id=line.tenant_id,
            kind=ApprovalKind.EXCEPTION,
            review_id=line.pk,
            account=line.account,
            lasts_until=until,
            title=_("May %(account)s be excepted in %(campaign)s until %(until)s?")
            % {"account": line.account.user_name, "campaign": line.campaign.name, "until": f"{until:%Y-%m-%d}"},
            facts={"reason": why, "asked_by_identity": str(asked_by.identity_id), "line": line.note},
            needs=1,
            barred=sorted({asked_by.identity_id, *people_of([line.account])}),
            asked_by=str(asked_by),
            asked_at=at,
            until=min(at + OTHERS_LAST, until),
        )
        return begin(made, at=at)


def _check_end(until: datetime, *, at: datetime) -> None:
    if not at < until <= at + LONGEST_EXCEPTION:
        raise BadAnswer(_("an exception ends within %(days)d days from now") % {"days": LONGEST_EXCEPTION.days})


def open_about(system: System, kind: ApprovalKind) -> Approval | None:
    """The question of that kind about a system that waits, if there is one."""
    return Approval.objects.filter(state=ApprovalState.OPEN, system=system, kind=kind).first()


def ask_returns(*, system: System, asked_by: User, reason: str, until: datetime, at: datetime) -> Approval:
    """Ask that a system's policy have effect for a time: its ended accounts then come back without people.

    Two security people answer, none of whom administers it. An open question is returned as it is. Raises `Refused`,
    `BadAnswer`, and `CantAsk` for a system that has ended, or whose policy asks people anyway.
    """
    demand(may(asked_by, Word.SYSTEM_MANAGE, tenant=system.tenant_id, at=at))
    why = reasoned(reason)
    _check_end(until, at=at)
    with transaction.atomic():
        try:
            found = systems.living(system)
        except systems.BadSystem as error:
            raise CantAsk(str(error)) from error
        if found.reactivation_policy == ReactivationPolicy.APPROVAL:
            raise CantAsk(_("people approve each return at %(system)s: change its policy first") % {"system": found})
        live = open_about(found, ApprovalKind.RETURNS)
        if live is not None:
            return live
        policy = found.get_reactivation_policy_display()
        made = Approval.objects.create(
            tenant_id=found.tenant_id,
            kind=ApprovalKind.RETURNS,
            system=found,
            lasts_until=until,
            title=_("May ended accounts come back at %(system)s without people until %(until)s?")
            % {"system": found.name, "until": f"{until:%Y-%m-%d}"},
            facts={
                "reason": why,
                "policy": policy,
                "policy_asked": [found.reactivation_policy, found.grace_hours],
                "asked_by_identity": str(asked_by.identity_id),
            },
            needs=2,
            barred=sorted({asked_by.identity_id, *systems.requesters(system=found, at=at)}),
            asked_by=str(asked_by),
            asked_at=at,
            until=min(at + OTHERS_LAST, until),
        )
        return begin(made, at=at)
