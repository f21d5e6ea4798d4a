"""What was taken out under the eraser's role, by whom and why: what tells of a person, or old rows of the ledger."""

from typing import ClassVar

from django.db import models

from accounts.models.account import Account
from accounts.models.tenant import TenantOwned
from audit.fields import ClockTimestamp, TenantForeignKey, salt
from audit.models import Rights


class Erasure(TenantOwned):
    """One account whose person was erased. `counts` says how many rows of each table were blanked or taken out."""

    personal: ClassVar = ()
    rights: ClassVar = Rights.ERASURE
    for_eraser: ClassVar = ("INSERT", "SELECT")
    untracked: ClassVar = "it is the evidence of an erasure; append-only"

    account = TenantForeignKey(Account, related_name="erasures")
    cause_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    asked_by = models.CharField(max_length=200)
    reason = models.TextField()
    counts = models.JSONField(default=dict)
    salt = salt()

    class Meta(TenantOwned.Meta):
        ordering = ("-id",)
        constraints = (models.CheckConstraint(condition=~models.Q(reason=""), name="provisioning_erasure_says_why"),)

    def __str__(self) -> str:
        return f"erasure of {self.account_id}"


class Archive(TenantOwned):
    """One file that has everything up to a seal, after which old rows of the ledger were taken out of the database.

    `file` is its name when it was written, `digest` its SHA-256, `until_number` the last seal in it; since `kept_since` the
    ledger is whole. `counts` says how many rows of each table were taken out.
    """

    personal: ClassVar = ()
    rights: ClassVar = Rights.ERASURE
    for_eraser: ClassVar = ("INSERT", "SELECT")
    untracked: ClassVar = "it is the evidence of an archive; append-only"

    cause_id = models.BigIntegerField()
    at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    kept_since = models.DateTimeField()
    until_number = models.PositiveBigIntegerField()
    file = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    asked_by = models.CharField(max_length=200)
    reason = models.TextField()
    counts = models.JSONField(default=dict)
    salt = salt()

    class Meta(TenantOwned.Meta):
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=~models.Q(reason="") & ~models.Q(file=""), name="provisioning_archive_says_why_and_where"
            ),
        )

    def __str__(self) -> str:
        return self.file
