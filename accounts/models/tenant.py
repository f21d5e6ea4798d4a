"""A tenant: one organisation's boundary. Nothing crosses it."""

from typing import ClassVar
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.history import track
from audit.keys import uuid7
from audit.models import Rights


class TenantKind(models.TextChoices):
    """What a tenant is for. A web process that is not bound to loopback refuses to start beside the last two."""

    ORGANISATION = "organisation", _("organisation")
    DEMO = "demo", _("demo")
    SANDBOX = "sandbox", _("sandbox")


class Tenant(models.Model):
    """One organisation. `nhi_days` is the expiry, in days, of a non-human account that names none.

    `ledger_months` is how long the ledger keeps what is about resources that are gone; nothing means for ever.
    """

    personal: ClassVar = ()
    frozen: ClassVar = ("kind", "made_at")
    rights: ClassVar = Rights.NOUN
    global_because: ClassVar = "it is the boundary itself"
    for_eraser: ClassVar = ("SELECT",)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=TenantKind.choices, default=TenantKind.ORGANISATION)
    time_zone = models.CharField(max_length=64, default="UTC")
    nhi_days = models.PositiveIntegerField(default=180)
    ledger_months = models.PositiveIntegerField(null=True, blank=True)
    made_at = models.DateTimeField()

    history = track()

    class Meta:
        default_permissions = ()
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(kind__in=TenantKind.values), name="accounts_tenant_kind_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(nhi_days__gte=1, nhi_days__lte=3650), name="accounts_tenant_nhi_days_is_sensible"
            ),
            models.CheckConstraint(
                condition=models.Q(ledger_months__isnull=True)
                | models.Q(ledger_months__gte=1, ledger_months__lte=1200),
                name="accounts_tenant_ledger_months_is_sensible",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which the tenant's days begin and end."""
        return ZoneInfo(self.time_zone)


class TenantOwned(models.Model):
    """Base of every row that belongs to a tenant: a uuid7 key, and the tenant that the database isolates it by."""

    rights: ClassVar = Rights.NOUN

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", editable=False)

    class Meta:
        abstract = True
        default_permissions = ()
