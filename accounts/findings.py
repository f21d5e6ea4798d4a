"""Findings: the only writer of them. What is wrong is opened, raised and closed by evidence; by a person alone only
where no reading could show it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction

from accounts.models.account import Account
from accounts.models.finding import Finding, FindingKind, FindingState, Severity
from accounts.models.system import System
from accounts.models.user import User
from accounts.states import FINDING, FINDING_LIVE, Event
from audit.cause import current
from audit.journal import Subject, record
from audit.scope import together
from audit.transitions import move

# Identifiers of today; NHI-03, PR.AC-4 and DE.CM-8 of earlier guidance are kept as aliases in the documentation.
OFFBOARDING = "NHI1:2025 Improper Offboarding"
LONG_LIVED = "NHI7:2025 Long-Lived Secrets"
OVERPRIVILEGED = "NHI5:2025 Overprivileged NHI"
IDENTITIES = "PR.AA-01"
ACCESS = "PR.AA-05"
MONITORING = "DE.CM-09"
INVENTORY = "ID.AM-08"
ROLES = "GV.RR-04"

CONTROLS: Mapping[FindingKind, tuple[str, ...]] = {
    FindingKind.STATUS_DIFFERS: (OFFBOARDING, ACCESS, "DE.CM-03"),
    FindingKind.MEMBERSHIP_DIFFERS: (OVERPRIVILEGED, ACCESS, "DE.CM-03"),
    FindingKind.FIELD_DIFFERS: (IDENTITIES, "DE.CM-03"),
    FindingKind.MISSING_THERE: (OFFBOARDING, IDENTITIES, INVENTORY),
    FindingKind.UNKNOWN_HERE: (IDENTITIES, INVENTORY),
    FindingKind.NOT_MEASURED: (MONITORING, INVENTORY),
    FindingKind.NOT_READ_BACK: (OFFBOARDING, MONITORING),
    FindingKind.STILL_ACTIVE: (OFFBOARDING, ACCESS),
    FindingKind.EXPIRES: (OFFBOARDING, LONG_LIVED, INVENTORY),
    FindingKind.NO_OWNER: (OFFBOARDING, ROLES),
    FindingKind.MASS_REDUCTION: (MONITORING, "DE.CM-03"),
    FindingKind.CORRELATION: (IDENTITIES, INVENTORY),
    FindingKind.ENDED_ELSEWHERE: (OFFBOARDING, ACCESS),
    FindingKind.SWEEP_FAILED: (MONITORING, "PR.PS-04"),
    FindingKind.FEED_GAP: (MONITORING, "DE.CM-03"),
    FindingKind.FEED_SILENT: (MONITORING, INVENTORY),
    FindingKind.MEMBERS_UNRESOLVED: (OVERPRIVILEGED, ACCESS, MONITORING),
    FindingKind.NOT_APPLIED: (OFFBOARDING, ACCESS, MONITORING),
    FindingKind.LEDGER_DIFFERS: (MONITORING, INVENTORY, "PR.PS-04"),
    FindingKind.NOT_CERTIFIED: (MONITORING, "PR.PS-04"),
}
# What a person may close by saying that it is settled: no reading shows it.
SETTLED_BY_PEOPLE = frozenset({FindingKind.MEMBERS_UNRESOLVED})
# A finding seen again within this time writes nothing: sightings are in the runs, not in its history.
SEEN_AGAIN_AFTER = timedelta(hours=1)
_SEEN = ("last_seen_at", "severity", "stage", "title", "evidence", "due_at", "attribution", "attributed_by")


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One thing that was seen to be wrong. `key` says whether it is the same thing as one already open.

    `each` sighting is written down where the evidence of the latest one is what somebody will act on.
    """

    kind: FindingKind
    key: str
    title: str
    severity: Severity
    account: UUID | None = None
    system: UUID | None = None
    subject_kind: str = ""
    subject_id: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    due_at: datetime | None = None
    stage: str = ""
    each: bool = False
    attribution: str = ""
    attributed_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """How many findings are new, and how many got worse."""

    new: int
    raised: int


class CantHandle(ValueError):
    """The finding is not in a state in which that can be done; the message says which."""


def _fresh(wrong: Wrong, *, tenant: UUID, at: datetime) -> Finding:
    return Finding(
        tenant_id=tenant,
        kind=wrong.kind,
        severity=wrong.severity,
        dedupe_key=wrong.key,
        title=wrong.title[:400],
        account_id=wrong.account,
        system_id=wrong.system,
        subject_kind=wrong.subject_kind,
        subject_id=wrong.subject_id,
        evidence=dict(wrong.evidence),
        controls=list(CONTROLS[wrong.kind]),
        stage=wrong.stage,
        attribution=wrong.attribution,
        attributed_by=dict(wrong.attributed_by),
        first_seen_at=at,
        last_seen_at=at,
        due_at=wrong.due_at,
    )


def _see_again(finding: Finding, wrong: Wrong, *, at: datetime) -> tuple[bool, bool]:
    """Whether the row changes, and whether the finding got worse."""
    worse = wrong.severity > finding.severity or (wrong.stage != finding.stage and bool(wrong.stage))
    explained = bool(wrong.attribution) and wrong.attribution != finding.attribution
    changed = worse or explained or wrong.each or at - finding.last_seen_at >= SEEN_AGAIN_AFTER
    if changed:
        finding.last_seen_at = at
        finding.severity = max(finding.severity, wrong.severity)
        finding.stage = wrong.stage or finding.stage
        finding.title = wrong.title[:400]
        finding.evidence = dict(wrong.evidence)
        finding.due_at = wrong.due_at if wrong.due_at is not None else finding.due_at
        if wrong.attribution:
            finding.attribution, finding.attributed_by = wrong.attribution, dict(wrong.attributed_by)
    return changed, worse


def open_or_raise(wrongs: Iterable[Wrong], *, at: datetime) -> Opened:
    """Open what is new, raise what got worse, see again what is known. Safe to repeat and to run twice at once."""
    by_key = {w.key: w for w in wrongs}
    if not by_key:
        return Opened(0, 0)
    tenant = current().tenant_id
    if tenant is None:
        raise ValueError("a finding belongs to a tenant: open its scope first")
    with together():
        live = Finding.objects.select_for_update().filter(dedupe_key__in=by_key, state__in=FINDING_LIVE).order_by("id")
        seen, raised = [], 0
        known = set()
        for finding in live:
            known.add(finding.dedupe_key)
            changed, worse = _see_again(finding, by_key[finding.dedupe_key], at=at)
            raised += worse
            if changed:
                seen.append(finding)
        if seen:
            Finding.objects.bulk_update(seen, _SEEN, batch_size=500)
        fresh = [_fresh(w, tenant=tenant, at=at) for key, w in by_key.items() if key not in known]
        # Somebody else may open the same one now: theirs stands.
        Finding.objects.bulk_create(fresh, batch_size=500, ignore_conflicts=True)
    return Opened(new=len(fresh), raised=raised)


def resolve(keys: Iterable[str], *, because: str, at: datetime) -> int:
    """Close what evidence shows to be no longer wrong. Returns how many were open."""
    wanted = list(keys)
    if not wanted:
        return 0
    return Finding.objects.filter(dedupe_key__in=wanted, state__in=FINDING_LIVE).update(
        state=FindingState.RESOLVED, resolved_at=at, resolution=because
    )


def resolve_others(
    *, kinds: Iterable[FindingKind], system: System, still_wrong: Iterable[str], because: str, at: datetime
) -> int:
    """Close every live finding of those kinds at a system that a complete reading no longer shows."""
    return (
        Finding.objects.filter(system=system, kind__in=list(kinds), state__in=FINDING_LIVE)
        .exclude(dedupe_key__in=list(still_wrong))
        .update(state=FindingState.RESOLVED, resolved_at=at, resolution=because)
    )


def attribute_anew(keys: Mapping[str, UUID], *, was: str, word: str, seen_since: datetime) -> int:
    """Attribute findings, by the exchange of each, to something else than was thought; also those that are closed.

    Returns how many.
    """
    if not keys:
        return 0
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_finding f SET attribution = %s,"
            " attributed_by = jsonb_build_object('kind', 'exchange', 'id', w.exchange::text)"
            " FROM unnest(%s::text[], %s::uuid[]) AS w (key, exchange)"
            " WHERE f.dedupe_key = w.key AND f.attribution = %s AND f.last_seen_at >= %s",
            [word, list(keys), list(keys.values()), was, seen_since],
        )
        return int(cursor.rowcount)


def _handle(finding: Finding, to: FindingState, *, reason: str, at: datetime) -> Finding:
    with transaction.atomic():
        found = Finding.objects.select_for_update().get(pk=finding.pk)
        if not FINDING.allows(source=found.state, target=to):
            raise CantHandle(f"the finding is {found.get_state_display()}: it can't become {to.label} from there")
        move(found, to, by=FINDING)
        if to in {FindingState.FALSE_POSITIVE, FindingState.RESOLVED}:
            found.resolved_at, found.resolution = at, reason
        found.save()
        record(
            event=Event.FINDING_HANDLED,
            sentence=f"{current().actor}: {found.title} is {to.label}. {reason}".strip(),
            subjects=[Subject("finding", str(found.pk), found.title), *_account_subject(found)],
        )
    return found


def _account_subject(finding: Finding) -> list[Subject]:
    if finding.account_id is None:
        return []
    account = Account.objects.get(pk=finding.account_id)
    return [Subject("account", str(account.pk), account.user_name)]


def acknowledge(*, finding: Finding, reason: str, at: datetime) -> Finding:
    """Somebody has seen it. Raises `CantHandle`."""
    return _handle(finding, FindingState.ACKNOWLEDGED, reason=reason, at=at)


def call_false(*, finding: Finding, reason: str, at: datetime) -> Finding:
    """It was never wrong. Raises `CantHandle`; a new sighting opens a new one."""
    return _handle(finding, FindingState.FALSE_POSITIVE, reason=reason, at=at)


def settle(*, finding: Finding, reason: str, at: datetime) -> Finding:
    """Somebody has looked and put it right. Raises `CantHandle`, also where evidence alone may close it."""
    if finding.kind not in SETTLED_BY_PEOPLE:
        raise CantHandle("what was seen closes it, and nobody's word")
    return _handle(finding, FindingState.RESOLVED, reason=reason, at=at)


def assign(*, finding: Finding, to: User | None) -> Finding:
    """Give it to somebody, or to nobody."""
    with transaction.atomic():
        found = Finding.objects.select_for_update().get(pk=finding.pk)
        if found.assigned_to_id != (to.pk if to else None):
            found.assigned_to = to
            found.save(update_fields=["assigned_to"])
    return found
