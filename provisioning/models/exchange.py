"""The ledger: one row for each inbound request that could change something, with its answer and its outcome."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import ClockTimestamp, TenantForeignKey, salt
from audit.models import Rights

# What a list of exchanges leaves unread.
BODIES = ("body", "request", "answer")


class OutcomeWord(models.TextChoices):
    """What became of a request. The same words as `provisioning.changes.Outcome`."""

    APPLIED = "applied", _("applied")
    SAME = "same", _("no change")
    SUPERSEDED = "superseded", _("superseded")
    DUPLICATE = "duplicate", _("repeat")
    HELD = "held", _("held")
    REJECTED = "rejected", _("refused")
    PARKED = "parked", _("parked")


class Exchange(TenantOwned):
    """One request and its answer, redacted. Append-only, partitioned by month; inserted once, at the end.

    One that was replayed is a row of its own: `replays` is the id of its original, which keeps the body, and `took` says
    what of it took effect this time (`provisioning.replay`).
    """

    personal: ClassVar = ("path", "resource_label", "request", "coercions", "answer", "error", "remote")
    rights: ClassVar = Rights.EVIDENCE
    for_eraser: ClassVar = ("SELECT", "DELETE")
    untracked: ClassVar = "it is the evidence; append-only"

    system = TenantForeignKey(System, related_name="+")
    token_id = models.UUIDField()
    cause_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=400)
    resource_type = models.CharField(max_length=24, blank=True, default="")
    resource_id = models.UUIDField(null=True, blank=True)
    resource_label = models.CharField(max_length=400, blank=True, default="")
    intent = models.CharField(max_length=24)
    outcome = models.CharField(max_length=16, choices=OutcomeWord.choices)
    # What was sent and answered, encrypted under a key of its subject: read by `provisioning.bodies`. The two columns of
    # JSON are of the time before that.
    body = models.BinaryField(null=True, blank=True)
    body_key_id = models.UUIDField(null=True, blank=True)
    request = models.JSONField(null=True, blank=True)
    request_digest = models.CharField(max_length=64)
    request_bytes = models.PositiveIntegerField(default=0)
    coercions = models.JSONField(default=list, blank=True)
    status = models.PositiveSmallIntegerField()
    answer = models.JSONField(null=True, blank=True)
    error = models.CharField(max_length=400, blank=True, default="")
    plan_id = models.UUIDField(null=True, blank=True)
    replays = models.UUIDField(null=True, blank=True)
    took = models.JSONField(null=True, blank=True)
    remote = models.CharField(max_length=64, blank=True, default="")
    milliseconds = models.PositiveIntegerField(default=0)
    salt = salt()

    class Meta(TenantOwned.Meta):
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["tenant", "system", "id"], name="provisioning_exchange_by_sys"),
            models.Index(fields=["tenant", "resource_id", "id"], name="provisioning_exchange_by_res"),
            models.Index(fields=["tenant", "outcome", "id"], name="provisioning_exchange_by_out"),
            models.Index(
                fields=["tenant", "replays"],
                name="provisioning_exchange_replayed",
                condition=Q(replays__isnull=False),
            ),
            # What a system never sent is found without reading what it did send (`provisioning.seen`).
            models.Index(
                fields=["tenant", "system", "resource_type", "intent", "id"], name="provisioning_exchange_by_kind"
            ),
            # Rows lie as their causes were made, so that an index of a few pages finds those of a range.
            BrinIndex(
                fields=["cause_id"], name="provisioning_exchange_by_cause", pages_per_range=32, autosummarize=True
            ),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(outcome__in=OutcomeWord.values), name="provisioning_exchange_outcome_is_known"
            ),
            models.CheckConstraint(
                condition=Q(body__isnull=True) | Q(body_key_id__isnull=False),
                name="provisioning_exchange_body_has_a_key",
            ),
        )

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.outcome}"


class BodyKey(TenantOwned):
    """The key of all bodies about one subject, wrapped under its tenant's.

    Append-only for the application; erasure and retention delete it, under their own role, which also wraps it anew when the
    field key changes (`provisioning.rewrapping`). What is said of the subject after its key was deleted has another one, of
    another id.
    """

    rights: ClassVar = Rights.EVIDENCE
    for_eraser: ClassVar = ("SELECT", "DELETE", "UPDATE (wrapped)")
    untracked: ClassVar = "a history would keep what its deletion destroys"

    subject_id = models.UUIDField()
    wrapped = models.BinaryField()

    class Meta(TenantOwned.Meta):
        constraints = (models.UniqueConstraint(fields=["tenant", "subject_id"], name="provisioning_body_key_once"),)

    def __str__(self) -> str:
        return str(self.subject_id)


class ExchangeKey(TenantOwned):
    """A sender's own key of a request (`jti`, `Idempotency-Key`), so that a repeat is answered from the ledger."""

    rights: ClassVar = Rights.EVIDENCE
    for_eraser: ClassVar = ("SELECT", "DELETE")
    untracked: ClassVar = "it is the evidence; append-only"

    system = TenantForeignKey(System, related_name="+")
    key = models.CharField(max_length=200)
    exchange_id = models.UUIDField()
    request_digest = models.CharField(max_length=64)

    class Meta(TenantOwned.Meta):
        constraints = (
            models.UniqueConstraint(fields=["tenant", "system", "key"], name="provisioning_exchange_key_once"),
        )

    def __str__(self) -> str:
        return self.key
