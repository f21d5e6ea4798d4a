"""Groups, and who is in them for which reason."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class Group(TenantOwned):
    """A group of a tenant."""

    personal: ClassVar = ("display_name", "display_name_key", "document")

    display_name = models.CharField(max_length=400)
    display_name_key = models.CharField(max_length=400)
    is_privileged = models.BooleanField(default=False)
    document = models.JSONField(default=dict, blank=True)
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("display_name_key", "id")
        indexes = (models.Index(fields=["tenant", "display_name_key"], name="accounts_group_by_name"),)
        constraints = (models.CheckConstraint(condition=~Q(display_name=""), name="accounts_group_has_a_name"),)

    def __str__(self) -> str:
        return self.display_name


class Origin(models.TextChoices):
    """Where a membership comes from."""

    SYSTEM = "system", _("a system")
    LOCAL = "local", _("given here")
    WINDOW = "window", _("an access window")


class Membership(TenantOwned):
    """One reason why one account, or one group, is in a group. `accounts.memberships` is its only writer.

    The same member may be in a group for several reasons, a row each. `origin_ref` is the SCIM id of the member in
    its origin system, `origin_type` the type of that resource (empty where nobody said: then it is `User`, or `Group`
    for a group): a system's answer lists only memberships of its own origin, and needs no other row for it.
    """

    personal: ClassVar = ()

    group = TenantForeignKey(Group, related_name="memberships")
    account = TenantForeignKey(Account, null=True, blank=True, related_name="memberships")
    member_group = TenantForeignKey(Group, null=True, blank=True, related_name="+")
    origin = models.CharField(max_length=16, choices=Origin.choices)
    system = TenantForeignKey(System, null=True, blank=True, related_name="+")
    origin_ref = models.UUIDField(null=True, blank=True)
    origin_type = models.CharField(max_length=32, blank=True, default="", db_default="")
    since = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        indexes = (
            # In which groups a resource is. Who is in a group is found by the constraint below.
            models.Index(
                fields=["tenant", "origin_ref"],
                name="accounts_membership_of_member",
                condition=Q(ended_at__isnull=True, origin="system"),
            ),
            models.Index(
                fields=["tenant", "account"],
                name="accounts_membership_of_account",
                condition=Q(ended_at__isnull=True),
            ),
        )
        constraints = (
            models.CheckConstraint(condition=Q(origin__in=Origin.values), name="accounts_membership_origin_is_known"),
            models.CheckConstraint(
                condition=Q(account__isnull=True) ^ Q(member_group__isnull=True),
                name="accounts_membership_has_one_member",
            ),
            models.CheckConstraint(
                condition=Q(origin="system", system__isnull=False, origin_ref__isnull=False)
                | (~Q(origin="system") & Q(system__isnull=True, origin_ref__isnull=True)),
                name="accounts_membership_of_system_names_it",
            ),
            models.UniqueConstraint(
                fields=["tenant", "group", "system", "origin_ref"],
                condition=Q(ended_at__isnull=True, origin="system"),
                # An answer about a group reads nothing but this index.
                include=["origin_type"],
                name="accounts_membership_once_per_system",
            ),
            models.UniqueConstraint(
                fields=["tenant", "group", "account", "origin"],
                condition=Q(ended_at__isnull=True) & ~Q(origin="system"),
                name="accounts_membership_once_per_origin",
            ),
        )

    def __str__(self) -> str:
        return f"{self.account or self.member_group} in {self.group}"
