"""A departure from policy: asked for, approved by someone else, and always with an end."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.identity import Identity
from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class ExceptionKind(models.TextChoices):
    """From which rule it departs."""

    REACTIVATION = "reactivation", _("a system's accounts come back without approval")
    FINDING = "finding", _("a finding is accepted for a time")


class PolicyException(TenantOwned):
    """One departure. Live while `starts_at <= now < until` and not ended."""

    personal: ClassVar = ("reason",)
    frozen: ClassVar = (
        "kind",
        "system",
        "account",
        "reason",
        "asked_by",
        "approved_by",
        "made_by_setup",
        "starts_at",
        "until",
    )

    kind = models.CharField(max_length=16, choices=ExceptionKind.choices)
    system = TenantForeignKey(System, null=True, blank=True, related_name="exceptions")
    account = TenantForeignKey(Account, null=True, blank=True, related_name="exceptions")
    reason = models.TextField()
    asked_by = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    approved_by = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    made_by_setup = models.BooleanField(default=False)
    starts_at = models.DateTimeField()
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("until",)
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=ExceptionKind.values), name="accounts_exception_kind_is_known"),
            models.CheckConstraint(condition=Q(until__gt=F("starts_at")), name="accounts_exception_ends_after_start"),
            models.CheckConstraint(
                condition=Q(made_by_setup=True)
                | (Q(asked_by__isnull=False, approved_by__isnull=False) & ~Q(asked_by=F("approved_by"))),
                name="accounts_exception_approved_by_another",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, until {self.until:%Y-%m-%d}"
