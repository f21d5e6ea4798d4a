"""May this person answer this question, decide this line? Each refusal says the rule, and who could."""

from datetime import datetime
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Min, Q, QuerySet
from django.utils.translation import gettext as _

from accounts.models.account import Account
from accounts.models.ownership import Ownership, OwnershipState
from accounts.models.system import System
from accounts.models.user import Role, RoleName, User
from accounts.rules import ROLES, Ruling, Word, may
from governance.models.approval import Answer, Approval, ApprovalKind, ApprovalState
from governance.models.campaign import CampaignState, Review, ReviewState
from provisioning import systems
from provisioning.models.plan import Plan, PlanState

WORDS: dict[ApprovalKind, Word] = {
    ApprovalKind.REACTIVATION: Word.REACTIVATION_APPROVE,
    ApprovalKind.PLAN: Word.PLAN_APPROVE,
    ApprovalKind.ROLE: Word.ROLE_APPROVE,
    ApprovalKind.EXCEPTION: Word.FINDING_HANDLE,
    ApprovalKind.RETURNS: Word.REACTIVATION_APPROVE,
    ApprovalKind.REWIND: Word.LEDGER_REPLAY,
}
# What may still change before a line is settled.
DECIDABLE = frozenset({ReviewState.WAITING, ReviewState.CERTIFIED, ReviewState.REVOKED, ReviewState.SILENT})


def _no(reason: str) -> Ruling:
    return Ruling(allowed=False, reason=reason)


def _yes() -> Ruling:
    return Ruling(allowed=True, reason=_("a role allows it"))


def roles_for(word: Word) -> list[RoleName]:
    """The roles that a permission word belongs to."""
    return [name for name in RoleName if word in ROLES[name]]


def _bars_of_plan(approval: Approval, plan_id: UUID, *, at: datetime) -> dict[UUID, str]:
    plan = Plan.objects.select_related("system").filter(pk=plan_id).first()
    if plan is None:
        return {}
    asked = _("you asked for it; somebody who did not ask answers")
    found = dict.fromkeys(plan.requesters, asked)
    if approval.kind == ApprovalKind.REACTIVATION and plan.exchange_id is not None:
        found |= _bars_of_system(plan.system, at=at)
    if plan.state == PlanState.TRIPPED:
        found |= _bars_of_stopped(plan, at=at)
    return found


def _bars_of_stopped(plan: Plan, *, at: datetime) -> dict[UUID, str]:
    """Who changed what the brake judged by, or who may answer, so lately that it may have been for this."""
    lately = Role.objects.filter(Q(tenant=plan.tenant_id) | Q(tenant__isnull=True), since__gt=at - systems.COUNTS_FOR)
    by = {
        *lately.filter(asked_by__isnull=False).values_list("asked_by", flat=True),
        *lately.filter(granted_by__isnull=False).values_list("granted_by", flat=True),
    }
    gave = _("you asked for or granted a role in the last 30 days; of a stopped plan, somebody who did not decides")
    changed = _(
        "you changed how %(system)s is read, its token, policy or rules in the last 30 days; somebody who did not"
        " decides"
    ) % {"system": plan.system.name}
    return dict.fromkeys(by, gave) | dict.fromkeys(systems.changed_lately(system=plan.system, at=at), changed)


def _bars_of_system(system: System, *, at: datetime) -> dict[UUID, str]:
    rules = _(
        "%(system)s asked, and you administer it, or made its token or changed its policy in the last 30 days:"
        " that counts as asking yourself"
    ) % {"system": system.name}
    return dict.fromkeys(systems.requesters(system=system, at=at), rules)


def _identities(accounts: QuerySet[Account]) -> set[UUID]:
    return {a.identity_id for a in accounts if a.identity_id is not None}


def _bars_of_account(account: UUID) -> dict[UUID, str]:
    live = Ownership.objects.filter(account=account, state__in=[OwnershipState.OFFERED, OwnershipState.ACCEPTED])
    owners = Account.objects.filter(pk__in=live.values("owner_id"))
    found = dict.fromkeys(
        _identities(owners), _("you answer for this account, or it is offered to you; somebody else decides")
    )
    subject = Account.objects.filter(pk=account).values_list("identity_id", flat=True).first()
    if subject is not None:
        found[subject] = _("it is about an account of yours; somebody else decides")
    return found


def bars(approval: Approval, *, at: datetime) -> dict[UUID, str]:
    """Every identity that may not answer now, with the reason. The database compares the same identities."""
    found = dict.fromkeys(
        approval.barred, _("you asked for it, or are concerned by it, since it was asked; somebody else answers")
    )
    if approval.plan_id is not None:
        found |= _bars_of_plan(approval, approval.plan_id, at=at)
    if approval.system is not None:
        found |= _bars_of_system(approval.system, at=at)
    if approval.account_id is not None:
        found |= _bars_of_account(approval.account_id)
    if approval.user is not None:
        found[approval.user.identity_id] = _("it is about a role of yours; somebody else answers")
    return found


def role_since(user: User, word: Word, *, tenant: UUID, at: datetime) -> datetime | None:
    """Since when the person behind a user has had a role that holds the word, through any of their users."""
    live = Role.objects.filter(
        Q(tenant=tenant) | Q(tenant__isnull=True),
        Q(until__isnull=True) | Q(until__gt=at),
        user__identity=user.identity_id,
        user__is_active=True,
        name__in=roles_for(word),
    )
    since: datetime | None = live.aggregate(since=Min("since"))["since"]
    return since


def is_open(approval: Approval, *, at: datetime) -> Ruling:
    """Whether a question can still be answered by anybody."""
    if approval.state != ApprovalState.OPEN:
        return _no(
            _("the question is %(state)s: %(because)s")
            % {"state": approval.get_state_display(), "because": approval.ended_because or _("it has ended")}
        )
    if approval.until <= at:
        return _no(
            _("its time was over on %(until)s UTC, and silence means no") % {"until": f"{approval.until:%F %H:%M}"}
        )
    return _yes()


def may_answer(user: User, approval: Approval, *, at: datetime) -> Ruling:
    """Whether this person may answer this question now. Nobody is exempt."""
    word = WORDS[ApprovalKind(approval.kind)]
    for ruling in (is_open(approval, at=at), may(user, word, tenant=approval.tenant_id, at=at)):
        if not ruling:
            return ruling
    if reason := bars(approval, at=at).get(user.identity_id):
        return _no(reason)
    since = role_since(user, word, tenant=approval.tenant_id, at=at)
    if since is None or since > approval.asked_at:
        return _no(_("your role is younger than the question; somebody who had theirs before it was asked answers"))
    if Answer.objects.filter(approval=approval, identity=user.identity_id).exists():
        return _no(_("you have answered, under this sign-in name or another; a second person answers next"))
    return _yes()


def constraint_of(error: DatabaseError) -> str:
    """The name of the constraint that refused a write, or nothing."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""


def refusal(error: DatabaseError) -> str:
    """The database's refusal of an answer, in the words of the rule. Re-raises what is no refusal of ours."""
    rules = {
        "governance_answer_not_by_who_is_barred": _(
            "you asked for it, are its subject, answer for it or administer the system that asks; somebody else answers"
        ),
        "governance_answer_once_per_person": _(
            "you have answered, under this sign-in name or another; a second person answers next"
        ),
        "governance_answer_by_a_role_older_than_it": _(
            "you have no role that answers this, or it is younger than the question"
        ),
        "governance_answer_has_a_reason": _("write a reason: a ticket, a request, what you saw"),
        "RC020": _("the question is not open any more"),
    }
    word = constraint_of(error) or getattr(error.__cause__, "sqlstate", "")
    if word not in rules:
        raise error
    return rules[word]


def may_decide(user: User, review: Review, *, at: datetime) -> Ruling:
    """Whether this person may decide this line: its reviewer until the deadline, and security also after it."""
    campaign = review.campaign
    if campaign.state not in {CampaignState.RUNNING, CampaignState.SETTLING} or review.state not in DECIDABLE:
        return _no(
            _("the line is %(line)s in a campaign that is %(campaign)s: nothing changes it any more")
            % {"line": review.get_state_display(), "campaign": campaign.get_state_display()}
        )
    ruling = may(user, Word.REVIEW_ANSWER, tenant=review.tenant_id, at=at)
    if not ruling:
        return ruling
    if review.account.identity_id is not None and review.account.identity_id == user.identity_id:
        return _no(_("it is an account of yours; nobody reviews their own"))
    is_reviewer = review.reviewer.identity_id is not None and review.reviewer.identity_id == user.identity_id
    is_security = bool(may(user, Word.CAMPAIGN_RUN, tenant=review.tenant_id, at=at))
    if not is_reviewer and not is_security:
        return _no(_("%(reviewer)s answers this line; security can too") % {"reviewer": review.reviewer})
    if campaign.deadline <= at and not (is_security and review.state in {ReviewState.WAITING, ReviewState.SILENT}):
        return _no(_("the deadline has passed; what nobody answered is decided by security now"))
    return _yes()
