"""May this person? Every answer has its reason, and is asked by verb and page alike."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.account import Account
from accounts.models.hold import Hold, HoldKind
from accounts.models.ownership import Ownership
from accounts.models.user import Role, RoleName, User


class Word(StrEnum):
    """What a person may be allowed to do. Not Django's automatic permissions."""

    ROLL_READ = "roll.read"
    ACCOUNT_SUSPEND = "account.suspend"
    ACCOUNT_END = "account.end"
    ACCOUNT_RENEW = "account.renew"
    HOLD_RELEASE = "hold.release"
    HOLD_RELEASE_SECURITY = "hold.release_security"
    OWNERSHIP_OFFER = "ownership.offer"
    OWNERSHIP_ANSWER = "ownership.answer"
    REACTIVATION_ASK = "reactivation.ask"
    REACTIVATION_APPROVE = "reactivation.approve"
    PLAN_APPROVE = "plan.approve"
    FINDING_HANDLE = "finding.handle"
    RUN_START = "run.start"
    LEDGER_REPLAY = "ledger.replay"
    CAMPAIGN_RUN = "campaign.run"
    REVIEW_ANSWER = "review.answer"
    SYSTEM_MANAGE = "system.manage"
    ROLE_ASK = "role.ask"
    ROLE_APPROVE = "role.approve"


# What each word is for a person, at the beginning of a refusal.
SAID: dict[Word, Any] = {
    Word.ROLL_READ: gettext_lazy("Reading the roll"),
    Word.ACCOUNT_SUSPEND: gettext_lazy("Suspending an account"),
    Word.ACCOUNT_END: gettext_lazy("Ending an account"),
    Word.ACCOUNT_RENEW: gettext_lazy("Renewing an account"),
    Word.HOLD_RELEASE: gettext_lazy("Releasing a hold"),
    Word.HOLD_RELEASE_SECURITY: gettext_lazy("Releasing a security hold"),
    Word.OWNERSHIP_OFFER: gettext_lazy("Offering an account to an owner"),
    Word.OWNERSHIP_ANSWER: gettext_lazy("Answering for accounts"),
    Word.REACTIVATION_ASK: gettext_lazy("Asking an account back"),
    Word.REACTIVATION_APPROVE: gettext_lazy("Approving that an account comes back"),
    Word.PLAN_APPROVE: gettext_lazy("Approving a plan"),
    Word.FINDING_HANDLE: gettext_lazy("Handling findings"),
    Word.RUN_START: gettext_lazy("Starting or stopping a reading"),
    Word.LEDGER_REPLAY: gettext_lazy("Replaying the ledger"),
    Word.CAMPAIGN_RUN: gettext_lazy("Running a campaign"),
    Word.REVIEW_ANSWER: gettext_lazy("Answering a review"),
    Word.SYSTEM_MANAGE: gettext_lazy("Connecting or changing a system"),
    Word.ROLE_ASK: gettext_lazy("Asking for a role for somebody"),
    Word.ROLE_APPROVE: gettext_lazy("Approving a role"),
}

# What each role may do in its tenant. A table, so that pages and tests can show it whole.
ROLES: dict[RoleName, frozenset[Word]] = {
    RoleName.SECURITY: frozenset({
        Word.ROLL_READ, Word.ACCOUNT_SUSPEND, Word.ACCOUNT_END, Word.ACCOUNT_RENEW, Word.HOLD_RELEASE,
        Word.HOLD_RELEASE_SECURITY, Word.OWNERSHIP_OFFER, Word.OWNERSHIP_ANSWER, Word.REACTIVATION_ASK,
        Word.REACTIVATION_APPROVE, Word.PLAN_APPROVE, Word.FINDING_HANDLE, Word.RUN_START, Word.CAMPAIGN_RUN,
        Word.REVIEW_ANSWER, Word.ROLE_APPROVE, Word.LEDGER_REPLAY,
    }),
    RoleName.OWNER: frozenset({Word.OWNERSHIP_ANSWER, Word.REVIEW_ANSWER}),
    RoleName.AUDITOR: frozenset({Word.ROLL_READ}),
    RoleName.ADMINISTRATOR: frozenset({
        Word.ROLL_READ, Word.SYSTEM_MANAGE, Word.RUN_START, Word.ROLE_ASK, Word.ROLE_APPROVE, Word.OWNERSHIP_ANSWER,
        Word.REVIEW_ANSWER,
    }),
}  # fmt: skip


@dataclass(frozen=True)
class Ruling:
    """Whether somebody may, and why or why not, as a sentence for a person."""

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


class Refused(PermissionError):
    """Somebody asked for what they may not do. The message is the rule, who could, and how to ask."""


def roles(user: User, *, tenant: UUID, at: datetime) -> frozenset[RoleName]:
    """The roles that somebody has in a tenant now; an administrator of all tenants counts in each."""
    if not user.is_active:
        return frozenset()
    names = Role.objects.filter(
        Q(tenant=tenant) | Q(tenant__isnull=True), Q(until__isnull=True) | Q(until__gt=at), user=user, since__lte=at
    ).values_list("name", flat=True)
    return frozenset(RoleName(name) for name in names)


def may(user: User, word: Word, *, tenant: UUID, at: datetime) -> Ruling:
    """Whether somebody may do a thing in a tenant at all. What it is done to may refuse them still."""
    held = roles(user, tenant=tenant, at=at)
    if any(word in ROLES[name] for name in held):
        return Ruling(allowed=True, reason=_("a role allows it"))
    able = ", ".join(str(name.label) for name in RoleName if word in ROLES[name])
    return Ruling(
        allowed=False,
        reason=_("%(what)s needs one of these roles here: %(able)s. An administrator can ask for it for you.")
        % {"what": SAID[word], "able": able},
    )


def demand(ruling: Ruling) -> None:
    """Raise `Refused` with the reason unless the ruling allows it."""
    if not ruling.allowed:
        raise Refused(ruling.reason)


def may_release(user: User, hold: Hold, *, at: datetime) -> Ruling:
    """A security hold is released by security alone; any other also by who may release holds."""
    word = Word.HOLD_RELEASE_SECURITY if hold.kind == HoldKind.SECURITY else Word.HOLD_RELEASE
    return may(user, word, tenant=hold.tenant_id, at=at)


def is_owner(user: User, account: Account) -> bool:
    """Whether somebody answers for an account, through any of their own accounts."""
    return Ownership.objects.filter(account=account, state="accepted", owner__identity=user.identity_id).exists()


def people_of(accounts: Iterable[Account]) -> set[UUID]:
    """The identities behind accounts and behind whoever answers or answered for them."""
    ids = [a.pk for a in accounts]
    found = set(Account.objects.filter(pk__in=ids, identity__isnull=False).values_list("identity", flat=True))
    owners = Ownership.objects.filter(account__in=ids, state__in=["offered", "accepted"], owner__identity__isnull=False)
    return found | set(owners.values_list("owner__identity", flat=True))
