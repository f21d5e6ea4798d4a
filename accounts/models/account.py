"""An account: what SCIM calls a User. A person, a service account, a workload, an agent or a shared account."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.identity import Identity
from accounts.models.tenant import TenantOwned
from accounts.states import ACCOUNT
from audit.fields import TenantForeignKey
from audit.history import track


class AccountKind(models.TextChoices):
    """Who or what uses the account. All but a person are non-human identities (NHI)."""

    PERSON = "person", _("person")
    SERVICE = "service", _("service account")
    WORKLOAD = "workload", _("workload")
    AGENT = "agent", _("agent")
    SHARED = "shared", _("shared account")


class AccountState(models.TextChoices):
    """The states of `accounts.states.ACCOUNT`, with the words that people read."""

    PENDING = "pending", _("pending")
    ACTIVE = "active", _("active")
    SUSPENDED = "suspended", _("suspended")
    DEPROVISIONED = "deprovisioned", _("ended")
    ARCHIVED = "archived", _("archived")


class Environment(models.TextChoices):
    """Where a non-human account works."""

    PRODUCTION = "production", _("production")
    STAGING = "staging", _("staging")
    DEVELOPMENT = "development", _("development")
    UNKNOWN = "", _("not said")


class Account(TenantOwned):
    """One account of a tenant. `accounts.lifecycle` is its only writer.

    `epoch` counts deprovisionings: a permit for the way back names the epoch that it was asked in. `cutoff_at` is the
    authorization cutoff: sessions and tokens from before are void; it never moves back. `document` is the rest of the
    SCIM document, after the typed columns.
    """

    personal: ClassVar = (
        "user_name",
        "user_name_key",
        "display_name",
        "display_name_key",
        "email",
        "employee_number",
        "purpose",
        "document",
    )

    # What was erased is archived too.
    for_eraser: ClassVar = ("UPDATE (state)", "UPDATE (state_since)")

    kind = models.CharField(max_length=16, choices=AccountKind.choices, default=AccountKind.PERSON)
    state = models.CharField(max_length=16, choices=AccountState.choices, default=AccountState.PENDING)
    state_since = models.DateTimeField()
    user_name = models.CharField(max_length=320)
    user_name_key = models.CharField(max_length=320)
    display_name = models.CharField(max_length=400, blank=True, default="")
    display_name_key = models.CharField(max_length=400, blank=True, default="")
    email = models.CharField(max_length=320, blank=True, default="")
    employee_number = models.CharField(max_length=100, blank=True, default="")
    purpose = models.TextField(blank=True, default="")
    environment = models.CharField(max_length=16, choices=Environment.choices, blank=True, default="")
    is_privileged = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    epoch = models.PositiveIntegerField(default=0)
    cutoff_at = models.DateTimeField(null=True, blank=True)
    was_active = models.BooleanField(default=False)
    permit = TenantForeignKey("accounts.Permit", null=True, blank=True, related_name="+")
    identity = models.ForeignKey(Identity, null=True, blank=True, on_delete=models.PROTECT, related_name="accounts")
    read_due_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    document = models.JSONField(default=dict, blank=True)
    made_at = models.DateTimeField()

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("user_name_key", "id")
        indexes = (
            models.Index(fields=["tenant", "user_name_key", "id"], name="accounts_account_by_name"),
            models.Index(fields=["tenant", "state", "user_name_key"], name="accounts_account_by_state"),
            models.Index(fields=["tenant", "kind", "state"], name="accounts_account_by_kind"),
            models.Index(
                fields=["tenant", "employee_number"],
                name="accounts_account_by_employee",
                condition=~Q(employee_number=""),
            ),
            models.Index(
                fields=["tenant", "expires_at"],
                name="accounts_account_by_expiry",
                condition=Q(expires_at__isnull=False) & ~Q(state="archived"),
            ),
            models.Index(
                fields=["tenant", "read_due_at"],
                name="accounts_account_read_due",
                condition=Q(read_due_at__isnull=False),
            ),
            models.Index(fields=["identity"], name="accounts_account_by_identity"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=AccountKind.values), name="accounts_account_kind_is_known"),
            models.CheckConstraint(
                condition=Q(state__in=sorted(ACCOUNT.states)), name="accounts_account_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(environment__in=Environment.values), name="accounts_account_environment_is_known"
            ),
            models.CheckConstraint(
                condition=Q(kind="person") | ~Q(state="active") | Q(expires_at__isnull=False),
                name="accounts_account_active_nhi_has_expiry",
            ),
            models.CheckConstraint(
                condition=Q(kind="person") | ~Q(state="active") | ~Q(purpose=""),
                name="accounts_account_active_nhi_has_purpose",
            ),
            models.CheckConstraint(
                condition=~Q(state="deprovisioned") | Q(epoch__gte=1) | Q(was_active=False),
                name="accounts_account_ended_has_epoch",
            ),
            models.CheckConstraint(
                condition=~Q(state="active") | Q(was_active=True), name="accounts_account_active_was_active"
            ),
            models.CheckConstraint(
                condition=~Q(user_name="") & ~Q(user_name_key=""), name="accounts_account_has_a_name"
            ),
        )

    def __str__(self) -> str:
        return self.user_name

    @property
    def is_nhi(self) -> bool:
        """Whether this is a non-human identity."""
        return self.kind != AccountKind.PERSON

    def is_active(self, *, at: datetime) -> bool:
        """What SCIM calls `active`: in state active, and not past its expiry, whether or not a sweep has run."""
        return self.state == AccountState.ACTIVE and (self.expires_at is None or self.expires_at > at)
