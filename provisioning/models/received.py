"""What is acknowledged before it is applied: the queue between "received" and the ledger."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import ClockTimestamp, TenantForeignKey
from audit.history import track
from provisioning.states import RECEIVED, RECEIVED_OPEN


class ReceivedState(models.TextChoices):
    """The states of `provisioning.states.RECEIVED`, with the words that people read."""

    WAITING = "waiting", _("received, not yet applied")
    APPLIED = "applied", _("applied")
    PARKED = "parked", _("parked")
    GIVEN_UP = "given_up", _("given up")


class ReceivedFrom(models.TextChoices):
    """How it came."""

    RESPOND_ASYNC = "respond-async", _("a request that asked to be answered later")
    FEED = "feed", _("a feed that we listen to")


class Received(TenantOwned):
    """One change that its sender has been promised. Its key becomes that of its Exchange when it is applied.

    `lane` is what keeps its order: the id of its resource, a digest of the name for one that is to be made, or the
    system's id; of a feed, a digest of the system's own id of it. `token_id` is that of the token, or of the cursor. `sealed` is the body as it came, encrypted, and empty from the moment when nobody needs it any more.
    `reduces` says that it takes access away: it never waits for what is stuck before it. What it went past is
    `overtaken`: by that exchange, and `wholly` where that one said what the whole resource is to be.
    """

    personal: ClassVar = ("path", "remote", "error")
    frozen: ClassVar = (
        "system", "token_id", "source", "method", "path", "resource_type", "resource_id", "lane", "reduces", "key",
        "request_digest", "request_bytes", "if_match", "base", "remote", "received_at",
    )  # fmt: skip

    system = TenantForeignKey(System, related_name="+")
    token_id = models.UUIDField()
    source = models.CharField(max_length=16, choices=ReceivedFrom.choices, default=ReceivedFrom.RESPOND_ASYNC)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=400)
    resource_type = models.CharField(max_length=24)
    resource_id = models.UUIDField(null=True, blank=True)
    lane = models.CharField(max_length=64)
    reduces = models.BooleanField(default=False)
    sealed = models.TextField(blank=True, default="")
    key = models.CharField(max_length=64, blank=True, default="")
    request_digest = models.CharField(max_length=64)
    request_bytes = models.PositiveIntegerField(default=0)
    if_match = models.TextField(null=True, blank=True)  # noqa: DJ001  none sent, and an empty one, are not the same
    base = models.CharField(max_length=400)
    remote = models.CharField(max_length=64, blank=True, default="")
    received_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    state = models.CharField(max_length=16, choices=ReceivedState.choices, default=ReceivedState.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(db_default=ClockTimestamp())
    overtaken_by = models.UUIDField(null=True, blank=True)
    is_overtaken_wholly = models.BooleanField(default=False)
    error = models.CharField(max_length=400, blank=True, default="")
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track(excluded_fields=("sealed",))

    class Meta(TenantOwned.Meta):
        ordering = ("received_at", "id")
        indexes = (
            # What is next: the reductions of a tenant first, then the oldest.
            models.Index(
                models.F("tenant"), models.F("reduces").desc(), models.F("received_at"), models.F("id"),
                name="provisioning_received_next",
                condition=Q(state="waiting"),
            ),
            # What stands before it in its lane.
            models.Index(
                fields=["tenant", "system", "lane", "received_at", "id"],
                name="provisioning_received_lane",
                condition=Q(state__in=sorted(RECEIVED_OPEN)),
            ),
        )  # fmt: skip
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=sorted(RECEIVED.states)), name="provisioning_received_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(source__in=ReceivedFrom.values), name="provisioning_received_source_is_known"
            ),
            models.CheckConstraint(condition=~Q(lane=""), name="provisioning_received_has_a_lane"),
            models.CheckConstraint(
                condition=Q(state__in=sorted(RECEIVED.final), ended_at__isnull=False, sealed="")
                | (~Q(state__in=sorted(RECEIVED.final)) & Q(ended_at__isnull=True)),
                name="provisioning_received_end_has_its_time_and_no_body",
            ),
            models.CheckConstraint(
                condition=~Q(state="parked") | ~Q(error=""), name="provisioning_received_parked_says_why"
            ),
            models.CheckConstraint(
                condition=Q(is_overtaken_wholly=False) | Q(overtaken_by__isnull=False),
                name="provisioning_received_overtaken_names_by_what",
            ),
            models.UniqueConstraint(
                fields=["tenant", "system", "key"],
                condition=Q(state__in=sorted(RECEIVED_OPEN)) & ~Q(key=""),
                name="provisioning_received_key_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.get_state_display()}"
