"""Who answers for an account."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.tenant import TenantOwned
from accounts.states import OWNERSHIP
from audit.fields import TenantForeignKey
from audit.history import track


class OwnershipKind(models.TextChoices):
    """In what part somebody answers."""

    PRIMARY = "primary", _("owner")
    DEPUTY = "deputy", _("deputy")
    TEAM = "team", _("team")
    SPONSOR = "sponsor", _("sponsor")


class OwnershipState(models.TextChoices):
    """An offer is never an acceptance."""

    OFFERED = "offered", _("offered")
    ACCEPTED = "accepted", _("accepted")
    DECLINED = "declined", _("declined")
    ENDED = "ended", _("ended")


class Ownership(TenantOwned):
    """One person's answer for one account: offered, then accepted or declined, then ended."""

    personal: ClassVar = ("reason",)
    frozen: ClassVar = ("account", "owner")

    account = TenantForeignKey(Account, related_name="ownerships")
    owner = TenantForeignKey(Account, related_name="owned")
    kind = models.CharField(max_length=16, choices=OwnershipKind.choices, default=OwnershipKind.PRIMARY)
    state = models.CharField(max_length=16, choices=OwnershipState.choices, default=OwnershipState.OFFERED)
    offered_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, default="")

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("kind", "offered_at")
        indexes = (
            models.Index(fields=["tenant", "account", "state"], name="accounts_ownership_of_account"),
            models.Index(fields=["tenant", "owner", "state"], name="accounts_ownership_of_owner"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=OwnershipKind.values), name="accounts_ownership_kind_is_known"),
            models.CheckConstraint(
                condition=Q(state__in=sorted(OWNERSHIP.states)), name="accounts_ownership_state_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(account=models.F("owner")), name="accounts_ownership_is_of_another_account"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["accepted", "declined"]) | Q(answered_at__isnull=False),
                name="accounts_ownership_answer_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(state="ended", ended_at__isnull=False) | (~Q(state="ended") & Q(ended_at__isnull=True)),
                name="accounts_ownership_end_has_its_time",
            ),
            models.UniqueConstraint(
                fields=["tenant", "account", "owner", "kind"],
                condition=Q(state__in=["offered", "accepted"]),
                name="accounts_ownership_once_alive",
            ),
        )

    def __str__(self) -> str:
        return f"{self.owner} for {self.account}: {self.get_state_display()}"
