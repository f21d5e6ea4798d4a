"""The ledger folded from empty: what it alone says of each resource, to be compared with the roll."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.models import Rights
from provisioning.states import REBUILD


class RebuildState(models.TextChoices):
    """The states of `provisioning.states.REBUILD`, with the words that people read."""

    EMPTYING = "emptying", _("emptying")
    FOLDING = "folding", _("folding")
    COMPARED = "compared", _("compared")


class Rebuild(TenantOwned):
    """How far a tenant's ledger is folded, and what the last comparison showed. One row for each tenant.

    `position` is the last exchange that is folded in, `until_at` the instant up to which the ledger counts. `equal`,
    `differing` and `left_out` are of the last comparison; they are unknown before the first.
    """

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = "a bounded measurement, one row a tenant; what it showed is in the journal and in findings"

    state = models.CharField(max_length=16, choices=RebuildState.choices, default=RebuildState.FOLDING)
    position = models.UUIDField(null=True, blank=True)
    folded = models.PositiveBigIntegerField(default=0)
    until_at = models.DateTimeField(null=True, blank=True)
    emptied_at = models.DateTimeField()
    compared_at = models.DateTimeField(null=True, blank=True)
    equal = models.PositiveIntegerField(null=True, blank=True)
    differing = models.PositiveIntegerField(null=True, blank=True)
    left_out = models.JSONField(default=dict, blank=True)

    class Meta(TenantOwned.Meta):
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=sorted(REBUILD.states)), name="provisioning_rebuild_state_is_known"
            ),
            models.UniqueConstraint(fields=["tenant"], name="provisioning_rebuild_one_per_tenant"),
            models.CheckConstraint(
                condition=Q(compared_at__isnull=True, equal__isnull=True, differing__isnull=True)
                | Q(compared_at__isnull=False, equal__isnull=False, differing__isnull=False),
                name="provisioning_rebuild_result_is_whole",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_state_display()}: {self.folded}"


class Rebuilt(TenantOwned):
    """One resource as the ledger alone tells it. `unclear` says why its document can't be told, in a word."""

    rights: ClassVar = Rights.BOUNDED
    for_eraser: ClassVar = ("SELECT", "DELETE")
    untracked: ClassVar = "bounded by the roll: a fold of the ledger that is thrown away and made again"

    system = TenantForeignKey(System, related_name="+", db_index=False)
    resource_id = models.UUIDField()
    resource_type = models.CharField(max_length=24)
    label = models.CharField(max_length=400, blank=True, default="")
    document = models.JSONField(default=dict, blank=True)
    digest = models.CharField(max_length=64, blank=True, default="")
    wants_active = models.BooleanField(default=True)
    is_ended = models.BooleanField(default=False)
    unclear = models.CharField(max_length=40, blank=True, default="")
    members_unclear = models.CharField(max_length=40, blank=True, default="")
    exchange_id = models.UUIDField()
    said_at = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        constraints = (models.UniqueConstraint(fields=["tenant", "resource_id"], name="provisioning_rebuilt_once"),)

    def __str__(self) -> str:
        return self.label


class RebuiltMember(TenantOwned):
    """One member of a rebuilt group: the resource ids of both."""

    rights: ClassVar = Rights.BOUNDED
    untracked: ClassVar = "bounded by the roll: a fold of the ledger that is thrown away and made again"

    group_ref = models.UUIDField()
    member_ref = models.UUIDField()

    class Meta(TenantOwned.Meta):
        indexes = (models.Index(fields=["tenant", "member_ref"], name="provisioning_rebuilt_is_in"),)
        constraints = (
            models.UniqueConstraint(
                fields=["tenant", "group_ref", "member_ref"], name="provisioning_rebuilt_member_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.member_ref} in {self.group_ref}"
