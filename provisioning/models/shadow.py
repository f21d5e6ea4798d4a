"""A shadow: one resource as one system knows it, and so that system's SCIM resource."""

from django.db import models
from django.db.models import Q

from accounts.models.account import Account
from accounts.models.group import Group
from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class Shadow(TenantOwned):
    """One resource of one system. Its key is the SCIM `id`; `userName` and `externalId` are unique among the living.

    `document` is what the system said, without id, meta, active, members and secrets. `wants_active` is its last word
    about `active`; what it is told back comes from the account. `email_key` is the address that counts most;
    `more_emails` says that the document has others, or may have.
    """

    system = TenantForeignKey(System, related_name="shadows")
    resource_type = models.CharField(max_length=16)
    account = TenantForeignKey(Account, null=True, blank=True, related_name="shadows")
    group = TenantForeignKey(Group, null=True, blank=True, related_name="shadows")
    name = models.CharField(max_length=400)
    name_key = models.CharField(max_length=400)
    external_id = models.CharField(max_length=400, blank=True, default="")
    display_name_key = models.CharField(max_length=400, blank=True, default="")
    email_key = models.CharField(max_length=320, blank=True, default="")
    more_emails = models.BooleanField(default=True, db_default=True)
    wants_active = models.BooleanField(default=True)
    document = models.JSONField(default=dict, blank=True)
    digest = models.CharField(max_length=64, blank=True, default="")
    version = models.PositiveIntegerField(default=1)
    made_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("id",)
        indexes = (
            models.Index(
                fields=["tenant", "system", "resource_type", "id"],
                name="provisioning_shadow_page",
                condition=Q(ended_at__isnull=True),
            ),
            # A directory that asks what changed since it asked last.
            models.Index(
                fields=["tenant", "system", "resource_type", "changed_at"],
                name="provisioning_shadow_changed",
                condition=Q(ended_at__isnull=True),
            ),
            models.Index(
                fields=["tenant", "system", "email_key"],
                name="provisioning_shadow_by_email",
                condition=Q(ended_at__isnull=True) & ~Q(email_key=""),
            ),
            # An address is looked for by the index above, and in the documents that may hold more than one.
            models.Index(
                fields=["tenant", "system", "resource_type"],
                name="provisioning_shadow_emails",
                condition=Q(ended_at__isnull=True, more_emails=True),
            ),
            # Ended ones too: whose it was before is evidence for whose it is (`provisioning.correlation`).
            models.Index(
                fields=["tenant", "system", "external_id"],
                name="provisioning_shadow_ever",
                condition=~Q(external_id=""),
            ),
            models.Index(fields=["tenant", "account"], name="provisioning_shadow_of_account"),
            models.Index(fields=["tenant", "group"], name="provisioning_shadow_of_group"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(resource_type="User", account__isnull=False, group__isnull=True)
                | Q(resource_type="Group", account__isnull=True, group__isnull=False),
                name="provisioning_shadow_is_of_its_type",
            ),
            models.CheckConstraint(condition=~Q(name_key=""), name="provisioning_shadow_has_a_name"),
            models.UniqueConstraint(
                fields=["tenant", "system", "resource_type", "name_key"],
                condition=Q(ended_at__isnull=True),
                name="provisioning_shadow_name_once",
            ),
            models.UniqueConstraint(
                fields=["tenant", "system", "resource_type", "external_id"],
                condition=Q(ended_at__isnull=True) & ~Q(external_id=""),
                name="provisioning_shadow_external_id_once",
            ),
            models.UniqueConstraint(
                fields=["tenant", "system", "account"],
                condition=Q(ended_at__isnull=True, account__isnull=False),
                name="provisioning_shadow_one_per_account",
            ),
            models.UniqueConstraint(
                fields=["tenant", "system", "group"],
                condition=Q(ended_at__isnull=True, group__isnull=False),
                name="provisioning_shadow_one_per_group",
            ),
        )

    def __str__(self) -> str:
        return self.name
