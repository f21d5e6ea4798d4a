"""One reading of a whole system, page by page, and what proves it complete."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q, Value
from django.utils.translation import gettext_lazy as _

from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track
from audit.models import Rights
from provisioning.models.run import Run


class SnapshotState(models.TextChoices):
    """The states of `provisioning.states.SNAPSHOT`, with the words that people read."""

    LISTING = "listing", _("listing")
    VERIFYING = "verifying", _("verifying")
    COMPLETE = "complete", _("complete")
    INCOMPLETE = "incomplete", _("incomplete")
    FAILED = "failed", _("failed")


class Snapshot(TenantOwned):
    """One reading. `position` is where to go on after a crash: it moves with its page, in one transaction.

    Its text is the connector's own; "" is the beginning of a kind. `next_index` counts what came of the kind, from 1. What
    was read is so since `since`: since the reading began, or, where the system showed something older, since `dated_at`.
    `unreadable` names the resource types that can't be read there, each with why: nothing follows about them.
    `dimensions` says of each dimension how far this reading can be believed, and by what (`provisioning.capabilities`).
    """

    personal: ClassVar = ("unreadable",)

    run = TenantForeignKey(Run, related_name="snapshots")
    system = TenantForeignKey(System, related_name="snapshots")
    state = models.CharField(max_length=16, choices=SnapshotState.choices, default=SnapshotState.LISTING)
    resource_type = models.CharField(max_length=16, default="User")
    position = models.TextField(blank=True, default="", db_default="")
    next_index = models.PositiveIntegerField(default=1)
    pages = models.PositiveIntegerField(default=0)
    first_totals = models.JSONField(default=dict, blank=True)
    last_totals = models.JSONField(default=dict, blank=True)
    unreadable = models.JSONField(default=dict, db_default=Value({}, models.JSONField()), blank=True)
    dimensions = models.JSONField(default=dict, db_default=Value({}, models.JSONField()), blank=True)
    started_at = models.DateTimeField()
    dated_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("-started_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=SnapshotState.values), name="provisioning_snapshot_state_is_known"
            ),
            models.UniqueConstraint(fields=["tenant", "run"], name="provisioning_snapshot_one_per_run"),
        )

    def __str__(self) -> str:
        return f"reading of {self.system}, {self.started_at:%Y-%m-%d %H:%M}"

    @property
    def since(self) -> datetime:
        """Since when what it shows is so: what changed here later was not necessarily seen."""
        return self.started_at if self.dated_at is None else min(self.dated_at, self.started_at)


class SnapshotProof(TenantOwned):
    """One proof that a reading is whole, and whether it held. All must hold before absence means anything."""

    personal: ClassVar = ("detail",)

    class Word(models.TextChoices):
        """What is proven."""

        DRAINED = "drained", _("every page was read to the end")
        TOTAL = "total", _("the total was the same on the first and the last page")
        UNIQUE = "unique", _("no id came twice")
        CANARY = "canary", _("the canary was seen")
        SHRINK = "shrink", _("it did not shrink past its limit")
        ABSENT = "absent", _("what it left out is not there")

    snapshot = TenantForeignKey(Snapshot, related_name="proofs")
    word = models.CharField(max_length=16, choices=Word.choices)
    holds = models.BooleanField()
    detail = models.CharField(max_length=400)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(word__in=["drained", "total", "unique", "canary", "shrink", "absent"]),
                name="provisioning_proof_word_is_known",
            ),
            models.UniqueConstraint(fields=["tenant", "snapshot", "word"], name="provisioning_proof_once"),
        )

    def __str__(self) -> str:
        return f"{self.get_word_display()}: {self.detail}"


class StagedResource(TenantOwned):
    """One resource as it was read: staging, removed when its run has closed.

    `active` is what it shows, `means_active` what that says of the status by the rules for its system.
    """

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = "staging, removed when its run has closed"

    snapshot = TenantForeignKey(Snapshot, related_name="+")
    resource_type = models.CharField(max_length=16)
    remote_id = models.CharField(max_length=400)
    external_id = models.CharField(max_length=400, blank=True, default="")
    name = models.CharField(max_length=400, blank=True, default="")
    name_key = models.CharField(max_length=400, blank=True, default="")
    active = models.BooleanField(null=True)
    means_active = models.BooleanField(null=True)
    digest = models.CharField(max_length=64)
    document = models.JSONField(default=dict)

    class Meta(TenantOwned.Meta):
        indexes = (
            models.Index(fields=["snapshot", "resource_type", "remote_id"], name="provisioning_staged_by_id"),
            models.Index(fields=["snapshot", "resource_type", "name_key"], name="provisioning_staged_by_name"),
        )

    def __str__(self) -> str:
        return self.name or self.remote_id


class StagedMember(TenantOwned):
    """One membership as it was read: staging, removed when its run has closed."""

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = "staging, removed when its run has closed"

    snapshot = TenantForeignKey(Snapshot, related_name="+")
    group_id = models.CharField(max_length=400)
    member_id = models.CharField(max_length=400)

    class Meta(TenantOwned.Meta):
        indexes = (models.Index(fields=["snapshot", "group_id", "member_id"], name="provisioning_staged_member"),)

    def __str__(self) -> str:
        return f"{self.member_id} in {self.group_id}"
