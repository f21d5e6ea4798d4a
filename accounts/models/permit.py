"""A permit: one granted permission for one expanding act."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.exception import PolicyException
from accounts.models.tenant import TenantOwned
from audit.fields import TenantForeignKey
from audit.history import track


class PermitAct(models.TextChoices):
    """What exactly is permitted."""

    REACTIVATE = "reactivate", _("one account may come back")
    EXECUTE_PLAN = "execute_plan", _("one frozen plan may be executed")


class Permit(TenantOwned):
    """How people's decisions reach the floors below them: asked for by a door that expands access, and consumed there.

    `barred` are the identities that may not have answered: who asked, the subject, its owners; where a directory asks,
    all who administer it. The database compares them with `answered_by`; nobody is exempt.
    """

    personal: ClassVar = ()

    act = models.CharField(max_length=16, choices=PermitAct.choices)
    account = TenantForeignKey(Account, null=True, blank=True, related_name="permits")
    epoch = models.PositiveIntegerField(null=True, blank=True)
    plan_id = models.UUIDField(null=True, blank=True)
    plan_hash = models.CharField(max_length=64, blank=True, default="")
    approval_id = models.UUIDField(null=True, blank=True)
    exception = TenantForeignKey(PolicyException, null=True, blank=True, related_name="permits")
    answered_by = ArrayField(models.UUIDField(), default=list, blank=True)
    barred = ArrayField(models.UUIDField(), default=list, blank=True)
    granted_at = models.DateTimeField()
    until = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        indexes = (models.Index(fields=["tenant", "account", "epoch"], name="accounts_permit_of_account"),)
        constraints = (
            models.CheckConstraint(condition=Q(act__in=PermitAct.values), name="accounts_permit_act_is_known"),
            models.CheckConstraint(
                condition=~Q(act="reactivate") | Q(account__isnull=False, epoch__isnull=False),
                name="accounts_permit_to_return_names_epoch",
            ),
            models.CheckConstraint(
                condition=~Q(act="execute_plan") | (Q(plan_id__isnull=False) & ~Q(plan_hash="")),
                name="accounts_permit_for_plan_names_hash",
            ),
            models.CheckConstraint(
                condition=~Q(answered_by__overlap=models.F("barred")),
                name="accounts_permit_not_by_who_is_barred",
            ),
            models.CheckConstraint(
                condition=Q(answered_by__len__gte=1, approval_id__isnull=False) | Q(exception__isnull=False),
                name="accounts_permit_has_its_reason",
            ),
        )

    def __str__(self) -> str:
        return self.get_act_display()
