"""Something told to someone."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.finding import Finding
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class Channel(models.TextChoices):
    """How it is told."""

    MAIL = "mail", _("mail")


class Notice(TenantOwned):
    """One message to one person. Rows are the queue: one without `sent_at` is still to be sent."""

    personal: ClassVar = ("to_address", "dedupe_key", "subject", "body", "problem")

    channel = models.CharField(max_length=16, choices=Channel.choices, default=Channel.MAIL)
    to_account = TenantForeignKey(Account, null=True, blank=True, related_name="+")
    to_address = models.CharField(max_length=320)
    dedupe_key = models.CharField(max_length=300)
    finding = TenantForeignKey(Finding, null=True, blank=True, related_name="notices")
    subject = models.CharField(max_length=300)
    body = models.TextField()
    made_at = models.DateTimeField()
    due_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=400, blank=True, default="")

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("-made_at",)
        indexes = (
            models.Index(fields=["tenant", "due_at"], name="governance_notice_due", condition=Q(sent_at__isnull=True)),
        )
        constraints = (
            models.CheckConstraint(condition=Q(channel__in=Channel.values), name="governance_notice_channel_is_known"),
            models.UniqueConstraint(fields=["tenant", "dedupe_key"], name="governance_notice_once"),
        )

    def __str__(self) -> str:
        return self.subject
