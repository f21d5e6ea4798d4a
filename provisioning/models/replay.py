"""The ledger applied again: one exchange, what a resource was told, a range of a system's, or all that is parked."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track
from provisioning.states import REPLAY


class ReplayKind(models.TextChoices):
    """What is replayed."""

    EXCHANGE = "exchange", _("one exchange")
    RESOURCE = "resource", _("all of one resource")
    RANGE = "range", _("a range of one system")
    PARKED = "parked", _("all that is parked")


class ReplayState(models.TextChoices):
    """The states of `provisioning.states.REPLAY`, with the words that people read."""

    RUNNING = "running", _("running")
    STOPPED = "stopped", _("stopped")
    DONE = "done", _("done")


class Replay(TenantOwned):
    """What somebody asked to be replayed, and how far it is.

    It is about what the ledger had when it was asked: the ids from `first_id` to `last_id`. `position` is the last that
    was judged, written in the transaction of its effect; `counts` says what became of them, by outcome, and
    `in_the_way` names a few that could not be replayed, with the reason.
    """

    personal: ClassVar = ("in_the_way", "asked_by", "reason")
    frozen: ClassVar = (
        "kind", "system", "resource_id", "first_id", "last_id", "total", "asked_by", "user_id", "identity_id", "reason",
        "made_at",
    )  # fmt: skip

    kind = models.CharField(max_length=16, choices=ReplayKind.choices)
    state = models.CharField(max_length=16, choices=ReplayState.choices, default=ReplayState.RUNNING)
    system = TenantForeignKey(System, null=True, blank=True, related_name="+")
    resource_id = models.UUIDField(null=True, blank=True)
    first_id = models.UUIDField()
    last_id = models.UUIDField()
    position = models.UUIDField(null=True, blank=True)
    total = models.PositiveIntegerField()
    counts = models.JSONField(default=dict, blank=True)
    in_the_way = models.JSONField(default=list, blank=True)
    asked_by = models.CharField(max_length=200)
    user_id = models.UUIDField(null=True, blank=True)
    identity_id = models.UUIDField(null=True, blank=True)
    reason = models.TextField()
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("-made_at",)
        indexes = (models.Index(fields=["tenant", "state", "made_at"], name="provisioning_replay_by_state"),)
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=ReplayKind.values), name="provisioning_replay_kind_is_known"),
            models.CheckConstraint(
                condition=Q(state__in=sorted(REPLAY.states)), name="provisioning_replay_state_is_known"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="provisioning_replay_says_why"),
            models.CheckConstraint(
                condition=Q(state="running", ended_at__isnull=True) | (~Q(state="running") & Q(ended_at__isnull=False)),
                name="provisioning_replay_end_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(first_id__lte=models.F("last_id")), name="provisioning_replay_ends_after_it_begins"
            ),
            models.CheckConstraint(
                condition=~Q(kind="resource") | Q(resource_id__isnull=False),
                name="provisioning_replay_names_its_resource",
            ),
            models.CheckConstraint(
                condition=~Q(kind="range") | Q(system__isnull=False), name="provisioning_replay_range_has_a_system"
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.made_at:%Y-%m-%d %H:%M}"

    @property
    def done(self) -> int:
        """How many were judged so far."""
        return sum(int(count) for count in self.counts.values())
