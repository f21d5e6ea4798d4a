"""A recertification: are these accounts still needed?"""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.tenant import TenantOwned
from accounts.models.user import User
from audit.fields import TenantForeignKey, salt
from audit.history import track
from audit.models import Rights
from governance.states import CAMPAIGN, REVIEW


class CampaignState(models.TextChoices):
    """The states of `governance.states.CAMPAIGN`, with the words that people read."""

    DRAFT = "draft", _("draft")
    RUNNING = "running", _("running")
    SETTLING = "settling", _("past its deadline, being settled")
    CLOSED = "closed", _("closed")
    ABANDONED = "abandoned", _("never launched")


class Silence(models.TextChoices):
    """What no answer means. Silence may suspend at most; silence that keeps leaves the line open."""

    SUSPEND = "suspend", _("suspend the account")
    ESCALATE = "escalate", _("stay open, and tell security")


class Campaign(TenantOwned):
    """One recertification over a filter (`query`), with a deadline and a rule for silence."""

    personal: ClassVar = ("name", "query")

    name = models.CharField(max_length=200)
    state = models.CharField(max_length=16, choices=CampaignState.choices, default=CampaignState.DRAFT)
    query = models.JSONField(default=dict, blank=True)
    silence = models.CharField(max_length=16, choices=Silence.choices, default=Silence.SUSPEND)
    deadline = models.DateTimeField()
    made_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    launched_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("-made_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=sorted(CAMPAIGN.states)), name="governance_campaign_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(silence__in=Silence.values), name="governance_campaign_silence_is_known"
            ),
            models.UniqueConstraint(fields=["tenant", "name"], name="governance_campaign_name_once"),
        )

    def __str__(self) -> str:
        return self.name


class ReviewState(models.TextChoices):
    """The states of `governance.states.REVIEW`, with the words that people read."""

    WAITING = "waiting", _("no answer yet")
    CERTIFIED = "certified", _("still needed")
    REVOKED = "revoked", _("suspended here, not yet read as off")
    SILENT = "silent", _("silent past the deadline")
    VERIFIED_OFF = "verified_off", _("read as off")
    EXCEPTED = "excepted", _("excepted")


class Review(TenantOwned):
    """One line of a campaign: one account, one reviewer, and the evidence as it was at the launch."""

    personal: ClassVar = ("evidence", "note")
    frozen: ClassVar = ("campaign", "account", "evidence")

    campaign = TenantForeignKey(Campaign, related_name="reviews")
    account = TenantForeignKey(Account, related_name="reviews")
    reviewer = TenantForeignKey(Account, related_name="+")
    state = models.CharField(max_length=16, choices=ReviewState.choices, default=ReviewState.WAITING)
    evidence = models.JSONField(default=dict, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=400, blank=True, default="")

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("id",)
        indexes = (
            models.Index(fields=["tenant", "campaign", "state"], name="governance_review_by_state"),
            models.Index(fields=["tenant", "reviewer", "state"], name="governance_review_of_reviewer"),
            models.Index(fields=["tenant", "account"], name="governance_review_of_account"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(state__in=sorted(REVIEW.states)), name="governance_review_state_is_known"
            ),
            models.UniqueConstraint(fields=["tenant", "campaign", "account"], name="governance_review_once"),
            models.CheckConstraint(condition=~Q(account=models.F("reviewer")), name="governance_review_not_of_oneself"),
        )

    def __str__(self) -> str:
        return f"{self.account}, by {self.reviewer}"


class ReviewDecision(TenantOwned):
    """What somebody decided about a line, and why. Append-only: a changed mind is a second row.

    `until` is the end that came with it: of the account where it stays, of the exception where one was made.
    """

    personal: ClassVar = ("reason", "actor")
    rights: ClassVar = Rights.EVIDENCE
    untracked: ClassVar = "it is the evidence; append-only"

    class Word(models.TextChoices):
        """What was decided."""

        CERTIFY = "certify", _("still needed")
        REVOKE = "revoke", _("end it")
        SILENCE = "silence", _("no answer")
        EXCEPT = "except", _("excepted")

    review = TenantForeignKey(Review, related_name="decisions")
    word = models.CharField(max_length=16, choices=Word.choices)
    reason = models.TextField(blank=True, default="")
    until = models.DateTimeField(null=True, blank=True)
    actor = models.CharField(max_length=200)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    cause_id = models.BigIntegerField()
    salt = salt()

    class Meta(TenantOwned.Meta):
        ordering = ("at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(word__in=["certify", "revoke", "silence", "except"]),
                name="governance_decision_word_is_known",
            ),
            models.CheckConstraint(
                condition=~Q(word__in=["revoke", "except"]) | ~Q(reason=""),
                name="governance_decision_to_end_has_a_reason",
            ),
        )

    def __str__(self) -> str:
        return self.get_word_display()
