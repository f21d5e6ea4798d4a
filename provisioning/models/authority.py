"""Who has the last word about a field, in each direction, and what an account's status is derived from."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class Direction(models.TextChoices):
    """Whether a change takes access away or gives it."""

    REDUCES = "reduces", _("reduces access")
    EXPANDS = "expands", _("expands access")


class Authority(models.TextChoices):
    """What the system's word is worth."""

    AUTHORITATIVE = "authoritative", _("takes effect")
    ADVISORY = "advisory", _("is noted")
    NEEDS_APPROVAL = "needs_approval", _("needs approval")


class StatusSource(models.TextChoices):
    """What an account's status is derived from, beside `active`."""

    NONE = "", _("nothing")
    ATTRIBUTE = "attribute", _("an attribute")
    GROUP = "group", _("membership of a group")


class FieldAuthority(TenantOwned):
    """One rule: for a field of one system (empty: of every system) and one direction.

    With `status_from`, the field also decides the status: an attribute whose value is in `status_values` (compared
    without case), or the loss of membership in the group named by `status_values`, means the account has ended.
    A rule never changes what it says: another is made in its place.
    """

    personal: ClassVar = ()
    frozen: ClassVar = (
        "system", "resource_type", "field", "direction", "authority", "status_from", "status_values",
    )  # fmt: skip

    system = TenantForeignKey(System, null=True, blank=True, related_name="field_authorities")
    resource_type = models.CharField(max_length=16, default="User")
    field = models.CharField(max_length=200)
    direction = models.CharField(max_length=16, choices=Direction.choices)
    authority = models.CharField(max_length=16, choices=Authority.choices)
    status_from = models.CharField(max_length=16, choices=StatusSource.choices, blank=True, default="")
    status_values = models.JSONField(default=list, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        verbose_name_plural = "field authorities"
        constraints = (
            models.CheckConstraint(
                condition=Q(direction__in=Direction.values), name="provisioning_authority_direction_is_known"
            ),
            models.CheckConstraint(
                condition=Q(authority__in=Authority.values), name="provisioning_authority_word_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status_from__in=StatusSource.values), name="provisioning_authority_source_is_known"
            ),
            # The names of attributes are compared in any case: two rules for one would be a tie.
            models.UniqueConstraint(
                "tenant",
                "system",
                "resource_type",
                Lower("field"),
                "direction",
                condition=Q(ended_at__isnull=True),
                nulls_distinct=False,
                name="provisioning_authority_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.field} {self.get_direction_display()}: {self.get_authority_display()}"
