"""One reconciliation of one system."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class RunState(models.TextChoices):
    """The states of `provisioning.states.RUN`, with the words that people read."""

    RUNNING = "running", _("running")
    CLOSED = "closed", _("closed")
    INCOMPLETE = "incomplete", _("incomplete")
    FAILED = "failed", _("failed")
    STOPPED = "stopped", _("stopped")
    SIMULATED = "simulated", _("simulated")


class Run(TenantOwned):
    """One reconciliation. One is running for each system; whoever holds the lease works on it, and may be replaced.

    `step` is the named step it stands at: listing, verifying, comparing, planning, closed. `lease` is bumped by each
    worker that takes it, so that one that was thought dead can't write any more. One that `is_simulated` ends as such,
    and what it showed is only counted: nothing follows from it.
    """

    personal: ClassVar = ("started_by", "problem")

    system = TenantForeignKey(System, related_name="runs")
    state = models.CharField(max_length=16, choices=RunState.choices, default=RunState.RUNNING)
    step = models.CharField(max_length=16, default="listing")
    is_simulated = models.BooleanField(default=False, db_default=False)
    started_by = models.CharField(max_length=200)
    started_at = models.DateTimeField()
    lease = models.PositiveIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    stop_asked_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    counts = models.JSONField(default=dict, blank=True)
    problem = models.TextField(blank=True, default="")

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("-started_at",)
        indexes = (models.Index(fields=["tenant", "system", "started_at"], name="provisioning_run_of_system"),)
        constraints = (
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="provisioning_run_state_is_known"),
            models.CheckConstraint(
                condition=Q(state="running", ended_at__isnull=True) | (~Q(state="running") & Q(ended_at__isnull=False)),
                name="provisioning_run_end_has_its_time",
            ),
            models.CheckConstraint(
                condition=(Q(is_simulated=True) & ~Q(state__in=["closed", "incomplete"]))
                | (Q(is_simulated=False) & ~Q(state="simulated")),
                name="provisioning_run_simulated_ends_as_such",
            ),
            models.UniqueConstraint(
                fields=["tenant", "system"], condition=Q(state="running"), name="provisioning_run_one_per_system"
            ),
        )

    def __str__(self) -> str:
        return f"{self.system}, {self.started_at:%Y-%m-%d %H:%M}"
