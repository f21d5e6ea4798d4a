"""Approvals: one question to people, what each answered, and what follows. Silence means no.

    open_for_plans(at=…) -> int                       a question for every plan that waits and has none
    ask_role(user=…, name=…, tenant=…, asked_by=…, reason=…, at=…) -> Approval
    ask_exception(review=…, asked_by=…, reason=…, until=…, at=…) -> Approval
    ask_returns(system=…, asked_by=…, reason=…, until=…, at=…) -> Approval
    ask_rewind(cursor=…, to=…, asked_by=…, reason=…, at=…) -> Approval    (`governance.rewinds`)
    version(approval) -> str                          what a page showed; handed back to `answer` as `seen`
    answer(approval=…, user=…, is_yes=…, reason=…, at=…, expires_at=None, seen="") -> Approval
    lapse_due(at=…) -> int                            what nobody answered in time, and what has become idle

Who may answer is `governance.rules.may_answer`. The database compares the same identities on the rows themselves, so
that an answer written straight in SQL is refused by the same rule; `answer` turns its refusal into the same sentence.
Enough right answers make a Permit in the transaction of the last one, and a plan of one is carried out in it too. A plan
of many is carried out by the clock, in batches, from then on.
"""

from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import lifecycle
from accounts.models.account import Account
from accounts.models.user import User
from accounts.rules import Refused, demand
from audit.cause import current
from audit.journal import record
from audit.outages import is_outage
from audit.transitions import move
from governance import notices, rewinds
from governance.asking import CantAsk, ask_exception, ask_returns, ask_role, open_for_plans, reasoned, to_ask
from governance.consequences import DO, BadAnswer, Stale, subjects
from governance.models.approval import Answer, Approval, ApprovalKind, ApprovalState
from governance.rewinds import ask_rewind
from governance.rules import bars, may_answer, refusal
from governance.states import APPROVAL, Event
from provisioning import plans
from provisioning.models.plan import Plan
from provisioning.states import PLAN_WAITS

__all__ = [
    "BadAnswer", "CantAsk", "Stale", "answer", "ask_exception", "ask_returns", "ask_rewind", "ask_role", "lapse_due",
    "open_for_plans", "subjects", "to_ask", "version",
]  # fmt: skip


# -- answering


def version(approval: Approval) -> str:
    """What a page shows, in a word: a form that was drawn before a newer wish hands back another."""
    if approval.plan_id is None:
        return str(approval.pk)
    plan = Plan.objects.values_list("digest", "repeats").filter(pk=approval.plan_id).first()
    return "" if plan is None else f"{plan[0][:24]}.{plan[1]}"


def answer(
    *,
    approval: Approval,
    user: User,
    is_yes: bool,
    reason: str,
    at: datetime,
    expires_at: datetime | None = None,
    seen: str = "",
) -> Approval:
    """One person's answer. A no rejects at once; enough yes make the permit, and what was asked is done.

    `expires_at` is the end of an account that comes back (the nearest that anybody set counts); `seen` is `version` as
    the page showed it. Raises `Refused` with the rule, `Stale`, `BadAnswer`; then nothing was written.
    """
    with transaction.atomic():
        question = _locked(approval)
        demand(may_answer(user, question, at=at))
        plan = _plan_of(question, seen=seen)
        _check(question, is_yes=is_yes, expires_at=expires_at, at=at)
        _write(question, user, is_yes=is_yes, reason=reasoned(reason), expires_at=expires_at, at=at)
        if not is_yes:
            because = _("%(who)s: no. %(reason)s") % {"who": user, "reason": reason.strip()}
            if plan is not None:
                plans.reject(plan=plan, because=because, at=at)
            return _end(question, ApprovalState.REJECTED, because=because, event=Event.APPROVAL_REJECTED, at=at)
        barred = set(bars(question, at=at))
        yes = [a.identity_id for a in question.answers.filter(is_yes=True) if a.identity_id not in barred]
        if len(yes) < question.needs:
            return question
        try:
            done = DO[ApprovalKind(question.kind)](question, plan, yes, barred, at)
        except plans.PlanChanged as error:
            raise Stale(str(error)) from error
        return _end(question, ApprovalState.APPROVED, because=done, event=Event.APPROVAL_APPROVED, at=at)


def _locked(approval: Approval) -> Approval:
    question = (
        Approval.objects.select_for_update(of=("self",))
        .select_related("account__tenant", "user", "system")
        .get(pk=approval.pk)
    )
    if question.account_id is not None:
        # The order in which a directory's request locks: the account, then its plan.
        Account.objects.select_for_update(of=("self",), no_key=True).get(pk=question.account_id)
    return question


def _plan_of(question: Approval, *, seen: str) -> Plan | None:
    changed = _(
        "The plan changed or ended, or was asked again, since this was shown; nothing was written. Read it again."
    )
    if seen and seen != version(question):
        raise Stale(changed)
    if question.plan_id is None:
        return None
    plan = Plan.objects.select_for_update(of=("self",)).get(pk=question.plan_id)
    if plan.digest != question.plan_digest or plan.state not in PLAN_WAITS:
        raise Stale(changed)
    return plan


def _check(question: Approval, *, is_yes: bool, expires_at: datetime | None, at: datetime) -> None:
    account = question.account
    if not is_yes or question.kind != ApprovalKind.REACTIVATION or account is None:
        if expires_at is not None:
            raise BadAnswer(_("an end is set for an account that comes back, and for nothing else"))
        return
    if held := lifecycle.blocks_return(account):
        raise Refused(_("%(account)s can't come back: %(why)s") % {"account": account.user_name, "why": held})
    if expires_at is None:
        return
    longest = at + timedelta(days=account.tenant.nhi_days)
    if expires_at <= at or (account.is_nhi and expires_at > longest):
        raise BadAnswer(_("the end must lie ahead, at most %(days)d days") % {"days": account.tenant.nhi_days})


def _write(
    question: Approval, user: User, *, is_yes: bool, reason: str, expires_at: datetime | None, at: datetime
) -> None:
    try:
        with transaction.atomic():
            Answer.objects.create(
                tenant_id=question.tenant_id,
                approval=question,
                user=user,
                identity_id=user.identity_id,
                is_yes=is_yes,
                reason=reason,
                expires_at=expires_at,
                at=at,
                cause_id=current().pk,
            )
    except DatabaseError as error:
        if is_outage(error):
            raise
        raise Refused(refusal(error)) from error
    record(
        event=Event.APPROVAL_ANSWERED,
        sentence=f"{user}: {question.title} {'Yes' if is_yes else 'No'}. {reason}",
        subjects=subjects(question),
    )


def _end(question: Approval, to: ApprovalState, *, because: str, event: Event, at: datetime) -> Approval:
    move(question, to, by=APPROVAL)
    question.ended_at, question.ended_because = at, because[:400]
    question.save(update_fields=["state", "ended_at", "ended_because"])
    record(event=event, sentence=f"{question.title} {to.label}: {because}", subjects=subjects(question))
    notices.tell_outcome(approval=question, at=at)
    return question


# -- the clock


def _over(*, at: datetime) -> QuerySet[Approval]:
    return Approval.objects.filter(state=ApprovalState.OPEN, until__lte=at)


def _never_asked(*, at: datetime) -> QuerySet[Plan]:
    open_still = Approval.objects.filter(state=ApprovalState.OPEN, plan_id__isnull=False)
    return plans.waiting().filter(until__lte=at).exclude(pk__in=open_still.values("plan_id"))


def _idle() -> QuerySet[Approval]:
    """Questions whose plan ended otherwise: a newer reading, another answer."""
    ended = Plan.objects.exclude(state__in=sorted(PLAN_WAITS))
    return Approval.objects.filter(state=ApprovalState.OPEN, plan_id__in=ended.values("pk"))


def has_something_to_lapse(*, at: datetime) -> bool:
    """Whether anything is past its time or idle, so that an idle tick writes nothing at all."""
    ended = (_over(at=at), _idle(), rewinds.overtaken(), _never_asked(at=at))
    return any(rows.exists() for rows in ended)


def lapse_due(*, at: datetime) -> int:
    """Silence means no: what is past its time lapses with its plan. What asks about something that is over is void.

    Returns how many questions and plans ended.
    """
    with transaction.atomic():
        ended = 0
        for question in _claim(_idle()):
            plan = _its_plan(question)
            because = plan.ended_because or _("the plan is %(state)s") % {"state": plan.get_state_display()}
            _end(question, ApprovalState.VOID, because=because, event=Event.APPROVAL_VOID, at=at)
            ended += 1
        anew = _("the feed has begun anew since: what was asked about is not there any more")
        for question in _claim(rewinds.overtaken()):
            _end(question, ApprovalState.VOID, because=anew, event=Event.APPROVAL_VOID, at=at)
            ended += 1
        because = _("nobody, or too few, answered in time; silence means no")
        for question in _claim(_over(at=at)):
            if question.plan_id is not None:
                plans.lapse(plan=_its_plan(question), because=because, at=at)
            _end(question, ApprovalState.LAPSED, because=because, event=Event.APPROVAL_LAPSED, at=at)
            ended += 1
        # What was never asked, since no opener ran in its time, ends too.
        for plan in _never_asked(at=at):
            plans.lapse(plan=plan, because=because, at=at)
            ended += 1
    return ended


def _claim(questions: QuerySet[Approval]) -> QuerySet[Approval]:
    return questions.select_for_update(skip_locked=True, of=("self",)).select_related("account", "user")


def _its_plan(question: Approval) -> Plan:
    if question.plan_id is None:
        raise LookupError(f"{question} is about no plan")
    return Plan.objects.get(pk=question.plan_id)
