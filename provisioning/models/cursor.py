"""How far a feed was listened to."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track
from audit.models import Rights
from provisioning.states import CURSOR


class CursorState(models.TextChoices):
    """The states of `provisioning.states.CURSOR`, with the words that people read."""

    WAITING = "waiting", _("waits for a complete reading")
    FOLLOWING = "following", _("following")
    STOPPED = "stopped", _("stopped")


class Cursor(TenantOwned):
    """The position in one stream of one system: the end of a contiguous prefix, all of which has been received.

    Its history has every value that it ever had, each with its cause. `epoch` begins anew with each gap and each rewind.
    A gap has no position: `gap_at` says since when, and only a complete reading that began after that gives a new one.
    """

    personal: ClassVar = ("gap_because",)
    frozen: ClassVar = ("system", "stream")

    system = TenantForeignKey(System, related_name="cursors")
    stream = models.CharField(max_length=40)
    state = models.CharField(max_length=16, choices=CursorState.choices, default=CursorState.WAITING)
    epoch = models.PositiveIntegerField(default=1)
    position = models.JSONField(null=True, blank=True)
    moved_at = models.DateTimeField(null=True, blank=True)
    gap_at = models.DateTimeField(null=True, blank=True)
    gap_because = models.CharField(max_length=400, blank=True, default="")
    cadence_minutes = models.PositiveIntegerField(default=5)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("stream",)
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=sorted(CURSOR.states)), name="provisioning_cursor_state_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="following") | Q(position__isnull=False, gap_at__isnull=True),
                name="provisioning_cursor_follows_from_a_position",
            ),
            models.CheckConstraint(
                condition=~Q(state="waiting") | Q(position__isnull=True, gap_at__isnull=False),
                name="provisioning_cursor_gap_has_no_position",
            ),
            models.CheckConstraint(condition=~Q(stream=""), name="provisioning_cursor_names_its_stream"),
            models.CheckConstraint(
                condition=Q(cadence_minutes__gte=1, cadence_minutes__lte=10_080),
                name="provisioning_cursor_cadence_is_sensible",
            ),
            models.UniqueConstraint(fields=["tenant", "system", "stream"], name="provisioning_cursor_one_per_stream"),
        )

    def __str__(self) -> str:
        return f"{self.stream} of {self.system}"


class Listening(TenantOwned):
    """Who listens to a stream just now, and how the last time went.

    `fence` is bumped by each worker that takes the cursor, so that one that was thought dead can move nothing any more.
    """

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = (
        "bounded: one row for each cursor, which changes with every look and whose history has how far"
    )

    cursor = TenantForeignKey(Cursor, related_name="listenings")
    fence = models.PositiveIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    heard_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=400, blank=True, default="")

    class Meta(TenantOwned.Meta):
        constraints = (
            models.UniqueConstraint(fields=["tenant", "cursor"], name="provisioning_listening_one_per_cursor"),
        )

    def __str__(self) -> str:
        return str(self.cursor)


class FeedEvent(TenantOwned):
    """An event that was received, by its key, as long as its feed may show it again."""

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = (
        "a bounded memory: forgotten once the position has passed it; what was received has rows of its own"
    )

    cursor = TenantForeignKey(Cursor, related_name="+")
    key = models.CharField(max_length=64)
    modified_at = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        indexes = (models.Index(fields=["tenant", "cursor", "modified_at"], name="provisioning_feed_event_old"),)
        constraints = (
            models.UniqueConstraint(fields=["tenant", "cursor", "key"], name="provisioning_feed_event_once"),
        )

    def __str__(self) -> str:
        return self.key
