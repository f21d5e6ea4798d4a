"""A targeted read of one account in one system, after an ending."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class ReadResult(models.TextChoices):
    """What the system showed."""

    ABSENT = "absent", _("absent")
    INACTIVE = "inactive", _("inactive")
    ACTIVE = "active", _("still active")
    FAILED = "failed", _("could not be read")


class Readback(TenantOwned):
    """One targeted read, and what it showed. `off` (absent or inactive) is what settles an ending."""

    personal: ClassVar = ("detail",)

    account = TenantForeignKey(Account, related_name="readbacks")
    system = TenantForeignKey(System, related_name="+")
    at = models.DateTimeField()
    result = models.CharField(max_length=16, choices=ReadResult.choices)
    detail = models.CharField(max_length=400, blank=True, default="")
    run_id = models.UUIDField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("-at",)
        indexes = (models.Index(fields=["tenant", "account", "at"], name="provisioning_readback_of"),)
        constraints = (
            models.CheckConstraint(
                condition=Q(result__in=ReadResult.values), name="provisioning_readback_result_is_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.account} at {self.system}: {self.get_result_display()}"
