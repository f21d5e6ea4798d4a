"""What is wanted and not yet done: frozen and hashed before the first write."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.finding import Attribution
from accounts.models.group import Group
from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track
from provisioning.models.run import Run
from provisioning.states import PLAN, PLAN_LIVE


class PlanKind(models.TextChoices):
    """Where the wish comes from."""

    REACTIVATION = "reactivation", _("an ended account is asked back")
    READING = "reading", _("what a reading showed")
    UNDO = "undo", _("a mass reduction is undone")
    REPLAY = "replay", _("what a replay would give")


class PlanState(models.TextChoices):
    """The states of `provisioning.states.PLAN`, with the words that people read."""

    DRAFT = "draft", _("draft")
    EVALUATED = "evaluated", _("evaluated")
    CLEARED = "cleared", _("cleared")
    WAITING = "waiting", _("waits for people")
    TRIPPED = "tripped", _("stopped by the brake")
    APPROVED = "approved", _("approved")
    REJECTED = "rejected", _("rejected")
    LAPSED = "lapsed", _("lapsed")
    EXECUTING = "executing", _("being executed")
    VERIFYING = "verifying", _("being verified")
    DONE = "done", _("done")
    RESIDUE = "done_with_residue", _("done, with residue")


class Plan(TenantOwned):
    """A frozen set of changes. Its writes are at most these, bound to `digest`.

    `requesters` are the identities that count as having asked. `held_by` says in words what it still waits for.
    """

    personal: ClassVar = ("asked_by", "held_by", "ended_because")
    frozen: ClassVar = ("kind", "system", "account", "epoch", "run", "exchange_id", "asked_by", "asked_at")

    kind = models.CharField(max_length=16, choices=PlanKind.choices)
    state = models.CharField(max_length=20, choices=PlanState.choices, default=PlanState.DRAFT)
    system = TenantForeignKey(System, related_name="plans")
    account = TenantForeignKey(Account, null=True, blank=True, related_name="plans")
    epoch = models.PositiveIntegerField(null=True, blank=True)
    run = TenantForeignKey(Run, null=True, blank=True, related_name="plans")
    exchange_id = models.UUIDField(null=True, blank=True)
    repeats = models.PositiveIntegerField(default=0)
    requesters = ArrayField(models.UUIDField(), default=list, blank=True)
    asked_by = models.CharField(max_length=200)
    asked_at = models.DateTimeField()
    digest = models.CharField(max_length=64, blank=True, default="")
    brake = models.JSONField(default=dict, blank=True)
    held_by = models.JSONField(default=list, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    permit_id = models.UUIDField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_because = models.CharField(max_length=400, blank=True, default="")

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("-asked_at",)
        indexes = (
            models.Index(fields=["tenant", "state", "until"], name="provisioning_plan_by_state"),
            models.Index(fields=["tenant", "account"], name="provisioning_plan_of_account"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=PlanKind.values), name="provisioning_plan_kind_is_known"),
            models.CheckConstraint(condition=Q(state__in=sorted(PLAN.states)), name="provisioning_plan_state_is_known"),
            models.CheckConstraint(
                condition=Q(state="draft") | ~Q(digest=""), name="provisioning_plan_is_hashed_before_it_is_judged"
            ),
            models.CheckConstraint(
                condition=~Q(kind="reactivation") | Q(account__isnull=False, epoch__isnull=False),
                name="provisioning_plan_of_one_names_account",
            ),
            models.UniqueConstraint(
                fields=["tenant", "account", "epoch"],
                condition=Q(kind="reactivation", state__in=sorted(PLAN_LIVE)),
                name="provisioning_plan_one_wish_alive",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.system})"


class ChangeAct(models.TextChoices):
    """What one planned change does."""

    DEPROVISION = "deprovision", _("end the account")
    REACTIVATE = "reactivate", _("bring the account back")
    REMOVE_MEMBER = "remove_member", _("remove from the group")
    ADD_MEMBER = "add_member", _("add to the group")


class PlannedChange(TenantOwned):
    """One change of a plan, with what it would change, and what became of it.

    `attribution` says of what a reading wants why no event had told of it, and `attributed_by` which row decided that, as
    on its finding. Both are no part of what is decided about, and change when what was thought lost arrives.
    """

    personal: ClassVar = ("label", "before", "detail")
    frozen: ClassVar = ("plan", "position", "act", "account", "group", "member_ref", "label", "before", "is_privileged")

    class Result(models.TextChoices):
        """What became of it."""

        PLANNED = "planned", _("planned")
        DONE = "done", _("done")
        SAME = "same", _("already so")
        VOID = "void", _("void: something newer was decided")
        FAILED = "failed", _("failed")
        REJECTED = "rejected", _("rejected")

    plan = TenantForeignKey(Plan, related_name="changes")
    position = models.PositiveIntegerField()
    act = models.CharField(max_length=16, choices=ChangeAct.choices)
    account = TenantForeignKey(Account, null=True, blank=True, related_name="+")
    group = TenantForeignKey(Group, null=True, blank=True, related_name="+")
    member_ref = models.UUIDField(null=True, blank=True)
    label = models.CharField(max_length=400)
    before = models.JSONField(default=dict, blank=True)
    is_privileged = models.BooleanField(default=False)
    result = models.CharField(max_length=16, choices=Result.choices, default=Result.PLANNED)
    detail = models.CharField(max_length=400, blank=True, default="")
    attribution = models.CharField(max_length=16, choices=Attribution.choices, blank=True, default="", db_default="")
    attributed_by = models.JSONField(default=dict, db_default=Value({}, models.JSONField()), blank=True)
    done_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("position",)
        indexes = (
            # What was done in the last ten minutes is counted for every reduction, however long the past is.
            models.Index(
                fields=["tenant", "done_at"], name="provisioning_change_done", condition=Q(done_at__isnull=False)
            ),
        )
        constraints = (
            models.CheckConstraint(condition=Q(act__in=ChangeAct.values), name="provisioning_change_act_is_known"),
            models.CheckConstraint(
                condition=Q(result__in=["planned", "done", "same", "void", "failed", "rejected"]),
                name="provisioning_change_result_is_known",
            ),
            models.CheckConstraint(
                condition=Q(attribution__in=Attribution.values), name="provisioning_change_attribution_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(attribution="") | Q(attributed_by={}),
                name="provisioning_change_evidence_has_its_attribution",
            ),
            models.UniqueConstraint(fields=["tenant", "plan", "position"], name="provisioning_change_position_once"),
        )

    def __str__(self) -> str:
        return f"{self.get_act_display()}: {self.label}"

    @property
    def is_absence(self) -> bool:
        """Whether it is concluded from what a reading left out, and not from what it showed."""
        return bool(self.before.get("absent"))
