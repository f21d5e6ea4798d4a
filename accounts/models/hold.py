"""A reason why an account is suspended."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class HoldKind(models.TextChoices):
    """Why. `security` alone survives the end of the account, and blocks any return while it lives."""

    SECURITY = "security", _("security")
    EXPIRED = "expired", _("expired")
    ORPHAN = "orphan", _("no owner")
    DORMANT = "dormant", _("dormant")
    CAMPAIGN = "campaign", _("campaign")
    MANUAL = "manual", _("by hand")


class Hold(TenantOwned):
    """One reason, placed and released by who may. A directory can never release one."""

    personal: ClassVar = ("reason", "placed_by", "released_by", "release_reason")
    frozen: ClassVar = ("account", "kind", "placed_at", "placed_by")

    account = TenantForeignKey(Account, related_name="holds")
    kind = models.CharField(max_length=16, choices=HoldKind.choices)
    reason = models.TextField()
    placed_at = models.DateTimeField()
    placed_by = models.CharField(max_length=200)
    released_at = models.DateTimeField(null=True, blank=True)
    released_by = models.CharField(max_length=200, blank=True, default="")
    release_reason = models.TextField(blank=True, default="")

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("placed_at",)
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=HoldKind.values), name="accounts_hold_kind_is_known"),
            models.CheckConstraint(
                condition=Q(released_at__isnull=True, released_by="")
                | (Q(released_at__isnull=False) & ~Q(released_by="")),
                name="accounts_hold_release_names_who",
            ),
            models.UniqueConstraint(
                fields=["tenant", "account", "kind"],
                condition=Q(released_at__isnull=True),
                name="accounts_hold_once_alive",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reason}"
