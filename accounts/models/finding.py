"""Something that is wrong, and how long it has been."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value
from django.utils.translation import gettext_lazy as _

from accounts.models.account import Account
from accounts.models.system import System
from accounts.models.tenant import TenantOwned
from accounts.states import FINDING, FINDING_LIVE
from audit.fields import TenantForeignKey
from audit.history import track


class Severity(models.IntegerChoices):
    """How bad. Higher is worse."""

    LOW = 1, _("low")
    MEDIUM = 2, _("medium")
    HIGH = 3, _("high")
    CRITICAL = 4, _("critical")


class FindingKind(models.TextChoices):
    """What is wrong."""

    STATUS_DIFFERS = "status_differs", _("status differs")
    MEMBERSHIP_DIFFERS = "membership_differs", _("membership differs")
    FIELD_DIFFERS = "field_differs", _("attribute differs")
    MISSING_THERE = "missing_there", _("missing in its system")
    UNKNOWN_HERE = "unknown_here", _("unknown here")
    NOT_MEASURED = "not_measured", _("system not measured")
    NOT_READ_BACK = "not_read_back", _("ending not read back")
    STILL_ACTIVE = "still_active", _("ended here, still active there")
    EXPIRES = "expires", _("expires soon")
    NO_OWNER = "no_owner", _("no owner")
    MASS_REDUCTION = "mass_reduction", _("mass reduction")
    CORRELATION = "correlation", _("belongs to whom?")
    ENDED_ELSEWHERE = "ended_elsewhere", _("ended elsewhere")
    SWEEP_FAILED = "sweep_failed", _("a sweep failed on it")
    FEED_GAP = "feed_gap", _("gap in a feed")
    FEED_SILENT = "feed_silent", _("feed without an answer")
    MEMBERS_UNRESOLVED = "members_unresolved", _("removal that could not be read")
    NOT_APPLIED = "not_applied", _("acknowledged and not applied")
    LEDGER_DIFFERS = "ledger_differs", _("the ledger gives another roll")
    NOT_CERTIFIED = "not_certified", _("night without a certificate")


class FindingState(models.TextChoices):
    """The states of `accounts.states.FINDING`, with the words that people read."""

    OPEN = "open", _("open")
    ACKNOWLEDGED = "acknowledged", _("acknowledged")
    REMEDIATING = "remediating", _("being fixed")
    RESOLVED = "resolved", _("resolved")
    REOPENED = "reopened", _("open again")
    EXCEPTED = "excepted", _("excepted")
    FALSE_POSITIVE = "false_positive", _("false positive")


class Attribution(models.TextChoices):
    """Why no event of a system told of a difference that a reading found. What decides is in `provisioning.attribution`."""

    NONE = "", _("not looked into")
    LOST_EVENT = "lost_event", _("never said")
    LATE_EVENT = "late_event", _("said late, or out of turn")
    REFUSED = "refused", _("said, and refused here")
    PARKED = "parked", _("said, and not applied yet")
    HELD = "held", _("said, and waits for people or a rule")
    LOCAL_CHANGE = "local_change", _("changed here since")
    OTHER_SOURCE = "other_source", _("another system said otherwise")
    MAPPING_CHANGE = "mapping_change", _("a rule was changed since")
    SOURCE_FAULT = "source_fault", _("its system contradicts itself")
    UNKNOWN = "unknown", _("the evidence does not decide")


class Finding(TenantOwned):
    """One thing that is wrong. One is open for each tenant and dedupe key. `accounts.findings` is its only writer.

    `controls` are identifiers of guidance, such as "NHI1:2025 Improper Offboarding" (OWASP NHI Top 10, 2025).
    `attribution` says of a difference why its system's events did not tell of it; `attributed_by` names the row that
    decided: its `kind` (exchange, received, cause, rule) and its `id`.
    """

    personal: ClassVar = ("dedupe_key", "title", "evidence", "resolution")

    kind = models.CharField(max_length=24, choices=FindingKind.choices)
    severity = models.PositiveSmallIntegerField(choices=Severity.choices)
    dedupe_key = models.CharField(max_length=300)
    title = models.CharField(max_length=400)
    account = TenantForeignKey(Account, null=True, blank=True, related_name="findings")
    system = TenantForeignKey(System, null=True, blank=True, related_name="findings")
    subject_kind = models.CharField(max_length=32, blank=True, default="")
    subject_id = models.CharField(max_length=64, blank=True, default="")
    evidence = models.JSONField(default=dict, blank=True)
    controls = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    state = models.CharField(max_length=16, choices=FindingState.choices, default=FindingState.OPEN)
    stage = models.CharField(max_length=32, blank=True, default="")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.TextField(blank=True, default="")
    attribution = models.CharField(max_length=16, choices=Attribution.choices, blank=True, default="", db_default="")
    attributed_by = models.JSONField(default=dict, db_default=Value({}, models.JSONField()), blank=True)
    assigned_to = models.ForeignKey("accounts.User", null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    history = track()

    class Meta(TenantOwned.Meta):
        ordering = ("-severity", "due_at", "id")
        indexes = (
            models.Index(fields=["tenant", "state", "kind"], name="accounts_finding_by_state"),
            models.Index(fields=["tenant", "account"], name="accounts_finding_of_account"),
            models.Index(fields=["tenant", "system", "kind"], name="accounts_finding_of_system"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=FindingKind.values), name="accounts_finding_kind_is_known"),
            models.CheckConstraint(
                condition=Q(severity__in=Severity.values), name="accounts_finding_severity_is_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(FINDING.states)), name="accounts_finding_state_is_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["resolved", "false_positive"], resolved_at__isnull=False)
                | (~Q(state__in=["resolved", "false_positive"]) & Q(resolved_at__isnull=True)),
                name="accounts_finding_end_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(attribution__in=Attribution.values), name="accounts_finding_attribution_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(attribution="") | Q(attributed_by={}), name="accounts_finding_evidence_has_its_attribution"
            ),
            models.UniqueConstraint(
                fields=["tenant", "dedupe_key"],
                condition=Q(state__in=sorted(FINDING_LIVE)),
                name="accounts_finding_once_alive",
            ),
        )

    def __str__(self) -> str:
        return self.title
