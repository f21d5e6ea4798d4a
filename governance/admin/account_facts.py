"""What stands on the page of an account: what it reaches and because of what, its systems, what changed it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models.account import Account
from accounts.models.finding import Finding, FindingKind
from accounts.models.group import Group, Membership
from accounts.states import FINDING_LIVE
from audit.journal import timeline
from audit.models import Cause, JournalEntry
from governance import freshness
from governance.admin.changes import GROUPS, By, Change, by, history_of
from governance.freshness import Measured
from provisioning.models.readback import Readback
from provisioning.models.shadow import Shadow
from provisioning.newer import exchange_of

# Rows of the page. What is older stands in the records, what is more in the API.
REACHES_SHOWN = 200
TIMELINE_SHOWN = 60


@dataclass(frozen=True)
class Reason:
    """One reason why an account is in a group: remove it, and the others keep it there.

    `seen_at` is the reading that showed it; without one, `unseen` says why nothing did. `finding` contradicts it.
    """

    number: int
    because: str
    exchange: UUID | None
    until: datetime | None
    since: datetime
    seen_at: datetime | None
    unseen: str
    finding: UUID | None


@dataclass(frozen=True)
class Reach:
    """One group that an account is in, with every reason for it."""

    group: Group
    where: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class InSystem:
    """An account as one system knows it, and whether that system is measured now."""

    shadow: Shadow
    measured: Measured | None
    read: Readback | None


@dataclass
class Line:
    """Everything that one cause did to an account."""

    at: datetime
    by: By
    said: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


def because(membership: Membership) -> str:
    """Why somebody is in a group, in words."""
    if membership.system is not None:
        return _("%(system)s says so") % {"system": membership.system.name}
    return str(membership.get_origin_display())


def _made_by(memberships: Iterable[Membership]) -> dict[UUID, Cause]:
    """The cause that wrote each membership. Two queries."""
    made = Membership.history.filter(id__in=[m.pk for m in memberships], history_type="+")
    wrote = dict(made.values_list("id", "cause_id"))
    causes = Cause.objects.in_bulk([cause for cause in wrote.values() if cause is not None])
    return {membership: causes[cause] for membership, cause in wrote.items() if cause in causes}


def _seen(one: Membership, measured: Mapping[UUID, Measured], *, finding: UUID | None) -> tuple[datetime | None, str]:
    """When a reading showed it; or why none did. A complete reading shows whatever it opened no finding about."""
    if one.system_id is None:
        return None, _("kept here alone")
    found = measured.get(one.system_id)
    if finding is not None:
        return None, _("not shown there")
    if found is None or not found.is_measured:
        return None, _("not measured")
    last = found.last_complete_at
    if last is None or last < one.since:
        return None, _("not read since")
    return last, ""


def reaches(account: Account, measured: Mapping[UUID, Measured]) -> list[Reach]:
    """The groups that it is in, each with its numbered reasons. Four queries."""
    living = Membership.objects.filter(account=account, ended_at__isnull=True).select_related("group", "system")
    rows = list(living.order_by("group__display_name_key", "group_id", "since")[:REACHES_SHOWN])
    wrong = Finding.objects.filter(account=account, kind=FindingKind.MEMBERSHIP_DIFFERS, state__in=FINDING_LIVE)
    against = {(str(system), group): pk for pk, system, group in wrong.values_list("pk", "system_id", "subject_id")}
    causes = _made_by(rows)
    grouped: dict[UUID, list[Membership]] = {}
    for row in rows:
        grouped.setdefault(row.group_id, []).append(row)
    found = []
    for same in grouped.values():
        reasons = []
        for number, one in enumerate(same, 1):
            finding = against.get((str(one.system_id), str(one.group_id)))
            seen_at, unseen = _seen(one, measured, finding=finding)
            cause = causes.get(one.pk)
            reasons.append(
                Reason(
                    number=number, because=because(one), exchange=exchange_of(cause) if cause else None, until=one.until,
                    since=one.since, seen_at=seen_at, unseen=unseen, finding=finding,
                )
            )  # fmt: skip
        where = ", ".join(sorted({one.system.name for one in same if one.system is not None}))
        found.append(Reach(group=same[0].group, where=where, reasons=tuple(reasons)))
    return found


def in_systems(account: Account, *, at: datetime) -> tuple[list[InSystem], dict[UUID, Measured]]:
    """Its resources, the living first, with the freshness of their systems and what was last read back of it."""
    shadows = list(Shadow.objects.filter(account=account).select_related("system").order_by("ended_at", "system__name"))
    # Nulls are last in PostgreSQL's order, and the living come first here.
    shadows.sort(key=lambda one: one.ended_at is not None)
    measured = {m.system: m for m in freshness.of_systems(at=at, systems={s.system_id for s in shadows})}
    reads = Readback.objects.filter(account=account).order_by("system_id", "-at").distinct("system_id")
    last = {read.system_id: read for read in reads}
    rows = [InSystem(shadow=s, measured=measured.get(s.system_id), read=last.get(s.system_id)) for s in shadows]
    return rows, measured


def _said(entry: JournalEntry, cause: Cause | None) -> str:
    """A sentence of the journal without its actor, who stands before it."""
    return entry.sentence.removeprefix(f"{cause.actor}: ") if cause is not None else entry.sentence


def _entries(account: Account, kinds: Iterable[str] | None) -> QuerySet[JournalEntry]:
    entries = timeline(kind="account", subject_id=str(account.pk))
    if kinds is None:
        return entries
    return entries.filter(cause_id__in=Cause.objects.filter(kind__in=list(kinds)).values("pk"))


def lines(account: Account, *, group: str = "") -> list[Line]:
    """Journal and field changes joined by their cause, newest first; of one of `changes.GROUPS`, or of everybody."""
    kinds = GROUPS.get(group)
    entries = list(_entries(account, kinds)[:TIMELINE_SHOWN])
    changed = history_of(account, most=TIMELINE_SHOWN)
    causes = Cause.objects.in_bulk({*(e.cause_id for e in entries), *(c for c in changed if c is not None)})
    found: dict[int | None, Line] = {}
    for entry in entries:
        cause = causes.get(entry.cause_id)
        line = found.setdefault(entry.cause_id, Line(at=entry.at, by=by(cause)))
        # Newest first between causes; within one, as it happened.
        line.said.insert(0, _said(entry, cause))
    for cause_id, fields in changed.items():
        cause = causes.get(cause_id) if cause_id is not None else None
        # Every history row has its cause: the database refuses others.
        if cause is not None and (kinds is None or cause.kind in kinds):
            found.setdefault(cause_id, Line(at=cause.at, by=by(cause))).changes.extend(fields)
    return sorted(found.values(), key=lambda line: line.at, reverse=True)[:TIMELINE_SHOWN]


def told_by(account: Account) -> Line | None:
    """Who made it: the cause of its first version."""
    first: Any = Account.history.filter(id=account.pk).order_by("history_id").first()
    cause = Cause.objects.filter(pk=first.cause_id).first() if first is not None else None
    return Line(at=cause.at, by=by(cause)) if cause is not None else None
