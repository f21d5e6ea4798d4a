"""When a sweep last looked at everything of a tenant: that nothing was found counts only if somebody has looked."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.tenant import TenantOwned
from audit.models import Rights


class SweepName(models.TextChoices):
    """The sweeps on which pages rest."""

    EXPIRY = "expiry", _("the sweep of expiries")
    WATCH = "watch", _("the sweep that looks whether all is read and applied")


class Sweep(TenantOwned):
    """One sweep of one tenant, and when it last came to its end. `accounts.sweeps` is its only writer."""

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = "a bounded measurement, one row a tenant and sweep; what a sweep does is in history"

    name = models.CharField(max_length=16, choices=SweepName.choices)
    done_at = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        constraints = (
            models.CheckConstraint(condition=Q(name__in=SweepName.values), name="accounts_sweep_name_is_known"),
            models.UniqueConstraint(fields=["tenant", "name"], name="accounts_sweep_once"),
        )

    def __str__(self) -> str:
        return f"{self.get_name_display()}, {self.done_at:%Y-%m-%d %H:%M}"
