"""A shadow: one resource as one system knows it, and so that system's SCIM resource."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models.account import Account
from accounts.models.group import Group
from accounts.models.system import System
from accounts.models.tenant import Tenant, TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track
from audit.models import Rights
from provisioning.changes import ACCOUNT_TYPES, CATALOGUE_TYPES, GROUP_TYPE


class Shadow(TenantOwned):
    """One resource of one system. Its key is the SCIM `id`; its name and `externalId` are unique among the living.

    `document` is what the system said, without id, meta, an account's active, members and secrets. `wants_active` is
    its last word about `active`; what it is told back comes from the account. `took_active_back` says that it took that
    word back and has not given another: then it is told only what differs from it. `email_key` is the address that
    counts most; `more_emails` says that the document has others, or may have.
    """

    personal: ClassVar = ("name", "name_key", "external_id", "display_name_key", "email_key", "document", "digest")

    system = TenantForeignKey(System, related_name="shadows")
    resource_type = models.CharField(max_length=24)
    account = TenantForeignKey(Account, null=True, blank=True, related_name="shadows")
    group = TenantForeignKey(Group, null=True, blank=True, related_name="shadows")
    name = models.CharField(max_length=400)
    name_key = models.CharField(max_length=400)
    external_id = models.CharField(max_length=400, blank=True, default="")
    display_name_key = models.CharField(max_length=400, blank=True, default="")
    email_key = models.CharField(max_length=320, blank=True, default="")
    more_emails = models.BooleanField(default=True, db_default=True)
    wants_active = models.BooleanField(default=True)
    took_active_back = models.BooleanField(default=False, db_default=False)
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
                condition=Q(resource_type__in=ACCOUNT_TYPES, account__isnull=False, group__isnull=True)
                | Q(resource_type=GROUP_TYPE, account__isnull=True, group__isnull=False)
                | Q(resource_type__in=CATALOGUE_TYPES, account__isnull=True, group__isnull=True),
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


class ShadowCount(TenantOwned):
    """How many resources of a type a system has: the sum of `delta`, so that no list is counted to say its length.

    A trigger adds a row for each resource that comes or ends, so that no two writers wait for one total; a sweep folds
    them (`provisioning.shadows.fold_counts`).
    """

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = "a bounded running total of rows that are tracked themselves"

    # One index: a row is written with every resource that comes or goes, and every question names all three.
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", editable=False, db_index=False)
    system = TenantForeignKey(System, related_name="+", db_index=False)
    resource_type = models.CharField(max_length=24)
    delta = models.BigIntegerField()

    class Meta(TenantOwned.Meta):
        indexes = (
            models.Index(
                fields=["tenant", "system", "resource_type"], include=["delta"], name="provisioning_shadows_counted"
            ),
        )

    def __str__(self) -> str:
        return f"{self.resource_type}: {self.delta:+}"
