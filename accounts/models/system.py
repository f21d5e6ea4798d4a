"""A system: a directory that we obey, an application that we provision, or both, in one tenant."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models.identity import Identity
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class SystemKind(models.TextChoices):
    """What a system is to us."""

    DIRECTORY = "directory", _("directory")
    APPLICATION = "application", _("application")
    BOTH = "both", _("directory and application")


class ReactivationPolicy(models.TextChoices):
    """What happens when the system asks for an ended account to be active again."""

    APPROVAL = "approval", _("people approve each")
    GRACE = "grace", _("automatic within hours of the ending")
    AUTOMATIC = "automatic", _("automatic")


class System(TenantOwned):
    """A system by name. A policy other than `approval` takes effect only with a live PolicyException.

    `is_strict`: what arrives from it is refused where it is not plain SCIM, instead of being read as it was meant.
    """

    personal: ClassVar = ()
    for_eraser: ClassVar = ("SELECT",)

    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, choices=SystemKind.choices, default=SystemKind.DIRECTORY)
    reactivation_policy = models.CharField(
        max_length=16, choices=ReactivationPolicy.choices, default=ReactivationPolicy.APPROVAL
    )
    grace_hours = models.PositiveIntegerField(default=24)
    is_strict = models.BooleanField(default=False)
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=["tenant", "name"], name="accounts_system_name_is_unique"),
            models.CheckConstraint(
                condition=models.Q(kind__in=SystemKind.values), name="accounts_system_kind_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(reactivation_policy__in=ReactivationPolicy.values),
                name="accounts_system_policy_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(grace_hours__gte=1, grace_hours__lte=720),
                name="accounts_system_grace_is_1_to_720_hours",
            ),
        )

    def __str__(self) -> str:
        return self.name


class SystemAdministrator(TenantOwned):
    """Who administers a system, made its token or changed its policy, and when.

    Whoever did so in the last 30 days counts as a requester of what that system asks for, and can't approve it.
    """

    personal: ClassVar = ()
    frozen: ClassVar = ("system", "identity", "because", "since")

    class Because(models.TextChoices):
        """What made somebody count."""

        ADMINISTERS = "administers", _("administers it")
        MADE_TOKEN = "made_token", _("made its token")
        CHANGED_POLICY = "changed_policy", _("changed its policy")

    system = TenantForeignKey(System, related_name="administrators")
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    because = models.CharField(max_length=16, choices=Because.choices)
    since = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        constraints = (
            models.CheckConstraint(
                condition=models.Q(because__in=["administers", "made_token", "changed_policy"]),
                name="accounts_administrator_because_is_known",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_because_display()}, since {self.since:%Y-%m-%d}"
