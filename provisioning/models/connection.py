"""How a system reaches us, and how we reach it."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.identity import Identity
from accounts.models.system import System
from accounts.models.tenant import Tenant, TenantOwned
from audit.fields import ClockTimestamp, TenantForeignKey
from audit.history import track
from audit.keys import uuid7
from audit.models import Rights


class Connector(models.TextChoices):
    """How a system is read."""

    NONE = "none", _("not read")
    SCIM = "scim", _("SCIM 2.0")
    FILE = "file", _("files that it sends")


class Connection(TenantOwned):
    """How one system is read: where, how often, and what proves that a reading is whole.

    `secret` is the bearer token towards it, or what its files are signed with, encrypted (`provisioning.connections`). `cadence_minutes` is how often it is
    read, `freshness_minutes` how old a complete reading may be before the system counts as not measured. The canary is
    an account that every reading must show. `shrink_percent` is how much smaller than the last a reading may be.
    """

    personal: ClassVar = ("canary_user_name", "last_problem")

    system = TenantForeignKey(System, related_name="connections")
    connector = models.CharField(max_length=16, choices=Connector.choices, default=Connector.NONE)
    base_url = models.URLField(max_length=500, blank=True, default="")
    secret = models.TextField(blank=True, default="")
    cadence_minutes = models.PositiveIntegerField(default=15)
    freshness_minutes = models.PositiveIntegerField(default=60)
    canary_user_name = models.CharField(max_length=320, blank=True, default="")
    shrink_percent = models.PositiveIntegerField(default=10)
    page_size = models.PositiveIntegerField(default=100)
    due_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    last_complete_at = models.DateTimeField(null=True, blank=True)
    last_problem = models.TextField(blank=True, default="")

    history = track(excluded_fields=("secret",))

    class Meta(TenantOwned.Meta):
        constraints = (
            models.UniqueConstraint(fields=["tenant", "system"], name="provisioning_connection_one_per_system"),
            models.CheckConstraint(
                condition=Q(connector__in=Connector.values), name="provisioning_connection_connector_is_known"
            ),
            models.CheckConstraint(
                condition=Q(connector__in=["none", "file"]) | ~Q(base_url=""),
                name="provisioning_connection_read_has_url",
            ),
            models.CheckConstraint(
                condition=~Q(connector="file") | ~Q(secret=""), name="provisioning_connection_files_are_signed"
            ),
            models.CheckConstraint(
                condition=Q(connector="none") | ~Q(canary_user_name=""), name="provisioning_connection_read_has_canary"
            ),
            models.CheckConstraint(
                condition=Q(cadence_minutes__gte=1, freshness_minutes__gte=1, page_size__gte=1, page_size__lte=1000),
                name="provisioning_connection_numbers_are_sensible",
            ),
            models.CheckConstraint(
                condition=Q(shrink_percent__gte=0, shrink_percent__lte=100),
                name="provisioning_connection_shrink_is_percent",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_connector_display()} of {self.system}"


class SystemToken(models.Model):
    """One bearer token of a system: `rc_<id>_<secret>`, found by id, its keyed digest compared in constant time."""

    personal: ClassVar = ("label",)
    rights: ClassVar = Rights.NOUN
    global_because: ClassVar = "it says which tenant a request is for, before a tenant is known"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", editable=False)
    system = TenantForeignKey(System, related_name="tokens")
    label = models.CharField(max_length=100, blank=True, default="")
    digest = models.CharField(max_length=64)
    may = ArrayField(models.CharField(max_length=32), default=list)
    made_at = models.DateTimeField()
    made_by = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track(excluded_fields=("digest",))

    class Meta:
        default_permissions = ()
        ordering = ("-made_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(expires_at__gt=models.F("made_at")), name="provisioning_token_expires_after_it_is_made"
            ),
            models.CheckConstraint(condition=Q(may__len__gte=1), name="provisioning_token_may_do_something"),
        )

    def __str__(self) -> str:
        return f"…{str(self.pk)[-6:]}"


class ReadRecord(TenantOwned):
    """One request that changed nothing: the last reads of a token, as a ring that does not grow."""

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = "a bounded ring of reads, not evidence"

    token_id = models.UUIDField()
    system = TenantForeignKey(System, related_name="+")
    at = models.DateTimeField(db_default=ClockTimestamp())
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=300)
    status = models.PositiveSmallIntegerField()
    note = models.CharField(max_length=300, blank=True, default="")

    class Meta(TenantOwned.Meta):
        ordering = ("-id",)
        indexes = (models.Index(fields=["tenant", "system", "id"], name="provisioning_reads_of_system"),)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


class RefusedToken(models.Model):
    """One request whose token nobody knows, or no longer: a ring that does not grow. Never the token itself."""

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = "a bounded ring of refused sign-ins, not evidence"
    global_because: ClassVar = "an unknown token belongs to no tenant"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField(db_default=ClockTimestamp())
    token_id = models.UUIDField(null=True, blank=True)
    because = models.CharField(max_length=100)
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=300)
    remote = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        default_permissions = ()
        ordering = ("-id",)
        indexes = (models.Index(fields=["token_id", "id"], name="provisioning_refused_by_token"),)

    def __str__(self) -> str:
        return f"{self.method} {self.path}: {self.because}"
