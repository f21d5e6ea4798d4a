"""One question to people, and what each of them answered."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.identity import Identity
from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from accounts.models.user import User
from audit.fields import TenantForeignKey, salt
from audit.history import track
from audit.models import Rights
from governance.states import APPROVAL


class ApprovalKind(models.TextChoices):
    """What is asked."""

    REACTIVATION = "reactivation", _("may an ended account come back?")
    PLAN = "plan", _("may a stopped plan be executed?")
    ROLE = "role", _("may somebody have a role?")
    EXCEPTION = "exception", _("may a line of a campaign stay open for a time?")
    RETURNS = "returns", _("may a system's accounts come back without people for a time?")
    REWIND = "rewind", _("may a feed be listened to once more?")


class ApprovalState(models.TextChoices):
    """The states of `governance.states.APPROVAL`, with the words that people read."""

    OPEN = "open", _("waits")
    APPROVED = "approved", _("approved")
    REJECTED = "rejected", _("rejected")
    LAPSED = "lapsed", _("lapsed")
    VOID = "void", _("void")


class Approval(TenantOwned):
    """One question. `barred` are the identities that may not answer it: who asked, the subject, its owners.

    `facts` is what the page shows as it was when asked. Silence until `until` means no. `lasts_until` is the end of what
    a yes gives, where it gives something that ends.
    """

    personal: ClassVar = ("title", "facts", "asked_by", "ended_because")
    # The rest of what it asks is kept by a rule of its table (RC023), which also lets `barred` grow.
    frozen: ClassVar = ("title", "facts")

    kind = models.CharField(max_length=16, choices=ApprovalKind.choices)
    state = models.CharField(max_length=16, choices=ApprovalState.choices, default=ApprovalState.OPEN)
    plan_id = models.UUIDField(null=True, blank=True)
    plan_digest = models.CharField(max_length=64, blank=True, default="")
    account = TenantForeignKey(Account, null=True, blank=True, related_name="+")
    system = TenantForeignKey(System, null=True, blank=True, related_name="+")
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    role_name = models.CharField(max_length=16, blank=True, default="")
    review_id = models.UUIDField(null=True, blank=True)
    lasts_until = models.DateTimeField(null=True, blank=True)
    title = models.CharField(max_length=400)
    facts = models.JSONField(default=dict, blank=True)
    needs = models.PositiveSmallIntegerField()
    barred = ArrayField(models.UUIDField(), default=list, blank=True)
    asked_by = models.CharField(max_length=200)
    asked_at = models.DateTimeField()
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_because = models.CharField(max_length=400, blank=True, default="")

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("until",)
        indexes = (models.Index(fields=["tenant", "state", "until"], name="governance_approval_by_state"),)
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=ApprovalKind.values), name="governance_approval_kind_is_known"),
            models.CheckConstraint(
                condition=Q(state__in=sorted(APPROVAL.states)), name="governance_approval_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(needs__gte=1, needs__lte=5), name="governance_approval_needs_one_to_five"
            ),
            models.CheckConstraint(
                condition=Q(kind="role", user__isnull=False)
                | Q(kind="exception", review_id__isnull=False, account__isnull=False, lasts_until__isnull=False)
                | Q(kind="returns", system__isnull=False, lasts_until__isnull=False)
                | Q(kind="rewind", system__isnull=False, facts__has_keys=["cursor", "stream", "to", "epoch"])
                | Q(kind__in=["reactivation", "plan"], plan_id__isnull=False),
                name="governance_approval_has_its_subject",
            ),
            models.CheckConstraint(
                condition=Q(state="open", ended_at__isnull=True) | (~Q(state="open") & Q(ended_at__isnull=False)),
                name="governance_approval_end_has_its_time",
            ),
            models.UniqueConstraint(
                fields=["tenant", "plan_id"],
                condition=Q(state="open", plan_id__isnull=False),
                name="governance_approval_one_open_per_plan",
            ),
            models.UniqueConstraint(
                fields=["tenant", "review_id"],
                condition=Q(state="open", review_id__isnull=False),
                name="governance_approval_one_open_per_line",
            ),
            models.UniqueConstraint(
                fields=["tenant", "system", "kind"],
                condition=Q(state="open", system__isnull=False),
                name="governance_approval_one_open_of_a_kind_per_system",
            ),
        )

    def __str__(self) -> str:
        return self.title


class Answer(TenantOwned):
    """What one person answered, once, with a reason. Append-only.

    `expires_at` is the end that this person set for what comes back. `barred` and `asked_at` are copied from the question, and `role_since` from the person's roles, by a trigger: the
    row itself shows that whoever answered was allowed to.
    """

    personal: ClassVar = ("reason",)
    rights: ClassVar = Rights.EVIDENCE
    untracked: ClassVar = "it is the evidence; append-only"

    approval = TenantForeignKey(Approval, related_name="answers")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    is_yes = models.BooleanField()
    reason = models.TextField()
    expires_at = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField()
    cause_id = models.BigIntegerField()
    barred = ArrayField(models.UUIDField(), default=list, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    role_since = models.DateTimeField(null=True, blank=True)
    salt = salt()

    class Meta(TenantOwned.Meta):
        ordering = ("at",)
        constraints = (
            models.UniqueConstraint(
                fields=["tenant", "approval", "identity"], name="governance_answer_once_per_person"
            ),
            models.CheckConstraint(
                condition=~Q(barred__contains=[F("identity")]), name="governance_answer_not_by_who_is_barred"
            ),
            models.CheckConstraint(
                condition=Q(role_since__isnull=False, asked_at__isnull=False, role_since__lte=F("asked_at")),
                name="governance_answer_by_a_role_older_than_it",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="governance_answer_has_a_reason"),
        )

    def __str__(self) -> str:
        return f"{self.user}: {'yes' if self.is_yes else 'no'}"
