"""What a reading and our own rows disagree about: in SQL, set against set, never a loop over accounts.

A staged resource is the living shadow with its id as externalId, or, where the system never gave us an externalId, the
one with its name. What changed here after the reading began is not judged: the reading may be older than the change.

Every difference is a finding. What a complete reading shows as reduced is also wanted as a plan; what it shows as more
than we hold is never taken from it: that needs its own word. Absence only reports, and only from a complete reading.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection as database

from accounts.findings import Wrong, open_or_raise, resolve_others
from accounts.models.account import AccountState
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.states import FINDING_LIVE
from provisioning import authority
from provisioning.models.plan import ChangeAct, Plan, PlannedChange
from provisioning.models.snapshot import Snapshot, SnapshotState
from provisioning.plans import Wanted
from provisioning.systems import still_active_key

KINDS = (
    FindingKind.STATUS_DIFFERS,
    FindingKind.STILL_ACTIVE,
    FindingKind.FIELD_DIFFERS,
    FindingKind.MEMBERSHIP_DIFFERS,
    FindingKind.UNKNOWN_HERE,
    FindingKind.MISSING_THERE,
)
# How long each kind may stay before it is overdue.
DUE = {
    FindingKind.STATUS_DIFFERS: timedelta(days=1),
    FindingKind.STILL_ACTIVE: timedelta(days=1),
    FindingKind.FIELD_DIFFERS: timedelta(days=14),
    FindingKind.MEMBERSHIP_DIFFERS: timedelta(days=3),
    FindingKind.UNKNOWN_HERE: timedelta(days=7),
    FindingKind.MISSING_THERE: timedelta(days=7),
}
_CHUNK = 1_000

_SECTION = re.compile(r"^-- name: (\w+)( over matched)?$", re.MULTILINE)


def _statements() -> dict[str, str]:
    """The statements of `comparison.sql` by name; those "over matched" begin with that table expression."""
    parts = _SECTION.split(Path(__file__).with_suffix(".sql").read_text())[1:]
    named = {name: (over, text) for name, over, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)}
    matched = named["matched"][1]
    return {name: matched + text if over else text for name, (over, text) in named.items()}


_SQL = _statements()


@dataclass
class Compared:
    """What one comparison found, as counts for the run's page."""

    counts: dict[str, int] = field(default_factory=dict)


def compare(*, snapshot: Snapshot, at: datetime) -> Compared:
    """Open, raise and, after a complete reading, close the findings of a system by what it showed.

    An incomplete reading closes nothing and says nothing about what it did not show.
    """
    complete = snapshot.state == SnapshotState.COMPLETE
    parts = [_status, _fields, _unknown, *([_missing, _removed, _added] if complete else [])]
    found = Compared()
    keys: list[str] = []
    with _set_against_set():
        for part in parts:
            rows = part(snapshot)
            while chunk := list(islice(rows, _CHUNK)):
                keys += _open(found, chunk, at=at)
        if complete:
            found.counts["resolved"] = resolve_others(
                kinds=KINDS,
                system=snapshot.system,
                still_wrong=[*keys, *_unjudged(snapshot)],
                because=f"a complete reading begun {snapshot.started_at:%Y-%m-%d %H:%M} UTC no longer shows it",
                at=at,
            )
    return found


def wanted(*, snapshot: Snapshot) -> list[Wanted]:
    """What a complete reading shows as reduced and we still hold; nothing from any other reading."""
    if snapshot.state != SnapshotState.COMPLETE:
        return []
    ending_groups = authority.status_groups(system=snapshot.system)
    ends: dict[UUID, Wanted] = {}
    leaves: list[Wanted] = []
    with _set_against_set():
        for row in _rows("status", snapshot):
            if row["active"] is False:
                ends[row["account_id"]] = _end(row["account_id"], row["user_name"], privileged=row["is_privileged"])
        for row in _rows("removed", snapshot):
            leaves.append(_leave(row))
            # Membership of that group is what the status is derived from.
            if row["display_name_key"] in ending_groups and row["account_state"] == AccountState.ACTIVE:
                ends.setdefault(
                    row["account_id"], _end(row["account_id"], row["member"], privileged=row["is_privileged"])
                )
    return [*ends.values(), *leaves]


def _end(account: UUID, name: str, *, privileged: bool) -> Wanted:
    return Wanted(
        act=ChangeAct.DEPROVISION, label=name, account=account, before={"active": True}, is_privileged=privileged
    )


def _leave(row: Mapping[str, Any]) -> Wanted:
    return Wanted(
        act=ChangeAct.REMOVE_MEMBER,
        label=f"{row['member']} from {row['display_name']}",
        account=row["account_id"],
        group=row["group_id"],
        member_ref=row["origin_ref"],
        before={"member": True},
        is_privileged=row["is_privileged"],
    )


# -- the differences, as findings


def _status(snapshot: Snapshot) -> Iterator[tuple[str, Wrong]]:
    system = snapshot.system
    for row in _rows("status", snapshot):
        if row["active"] is False:
            yield "status", _wrong(
                snapshot, row, kind=FindingKind.STATUS_DIFFERS, key=status_key(system.pk, row["account_id"]),
                title=f"{row['user_name']}: inactive at {system.name}, active here",
                severity=Severity.CRITICAL if row["is_privileged"] else Severity.HIGH, there="inactive",
            )  # fmt: skip
        elif row["state"] == AccountState.PENDING:
            yield "status", _wrong(
                snapshot, row, kind=FindingKind.STATUS_DIFFERS, key=status_key(system.pk, row["account_id"]),
                title=f"{row['user_name']}: active at {system.name}, pending here",
                severity=Severity.LOW, there="active",
            )  # fmt: skip
        else:
            yield "still_active", _still_active(snapshot, row)


def _still_active(snapshot: Snapshot, row: Mapping[str, Any]) -> Wrong:
    asked = "; it is asked back, and that waits for people" if row.get("is_asked_back") else ""
    return _wrong(
        snapshot, row, kind=FindingKind.STILL_ACTIVE, key=still_active_key(snapshot.system_id, row["account_id"]),
        title=f"{row['user_name']}: {AccountState(row['state']).label} here, still active at {snapshot.system.name}{asked}",
        severity=Severity.CRITICAL if row["is_privileged"] else Severity.HIGH, there="active",
    )  # fmt: skip


def _wrong(
    snapshot: Snapshot,
    row: Mapping[str, Any],
    *,
    kind: FindingKind,
    key: str,
    title: str,
    severity: Severity,
    there: str,
) -> Wrong:
    return Wrong(
        kind=kind,
        key=key,
        title=title,
        severity=severity,
        account=row["account_id"],
        system=snapshot.system_id,
        evidence=_evidence(snapshot, here=row["state"], there=there, remote_id=row["remote_id"]),
    )


def _fields(snapshot: Snapshot) -> Iterator[tuple[str, Wrong]]:
    for row in _rows("fields", snapshot):
        is_user = row["resource_type"] == "User"
        name = "userName" if is_user else "displayName"
        differing = {name: [row["name"], row["there"]]} if row["is_renamed"] else {}
        if row["is_displayed_otherwise"]:
            differing["displayName"] = [row["displayed"], row["displayed_there"]]
        yield (
            "field",
            Wrong(
                kind=FindingKind.FIELD_DIFFERS,
                key=f"field:{snapshot.system_id}:{row['shadow_id']}",
                title=f"{shown(row['name'])}: {', '.join(differing)} differs at {snapshot.system.name}",
                severity=Severity.LOW,
                account=row["account_id"],
                system=snapshot.system_id,
                subject_kind="account" if is_user else "group",
                subject_id=str(row["account_id"] or row["group_id"]),
                evidence=_evidence(snapshot, fields={k: [shown(text) for text in v] for k, v in differing.items()}),
            ),
        )


def _unknown(snapshot: Snapshot) -> Iterator[tuple[str, Wrong]]:
    off = {AccountState.SUSPENDED, AccountState.DEPROVISIONED, AccountState.ARCHIVED}
    for row in _rows("unknown", snapshot):
        if row["state"] in off:
            # Deleted here. Inactive there as well, it is off, as it should be.
            if row["active"] is not False:
                yield "still_active", _still_active(snapshot, row)
            continue
        noun = "account" if row["resource_type"] == "User" else "group"
        yield (
            "unknown_here",
            Wrong(
                kind=FindingKind.UNKNOWN_HERE,
                key=f"unknown:{snapshot.system_id}:{noun}:{hashlib.sha256(row['remote_id'].encode()).hexdigest()}",
                title=f"{noun} {shown(row['name'])} at {snapshot.system.name} is unknown here",
                severity=Severity.LOW if row["active"] is False else Severity.MEDIUM,
                system=snapshot.system_id,
                subject_kind=f"remote_{noun}",
                subject_id=row["remote_id"][:64],
                evidence=_evidence(snapshot, name=shown(row["name"]), remote_id=row["remote_id"], active=row["active"]),
            ),
        )


def _missing(snapshot: Snapshot) -> Iterator[tuple[str, Wrong]]:
    for row in _rows("missing", snapshot):
        noun = "account" if row["resource_type"] == "User" else "group"
        subject = row["account_id"] or row["group_id"]
        yield (
            "missing_there",
            Wrong(
                kind=FindingKind.MISSING_THERE,
                key=f"missing:{snapshot.system_id}:{subject}",
                title=f"{noun} {shown(row['name'])} is no longer at {snapshot.system.name}",
                severity=Severity.HIGH if row["is_privileged"] else Severity.MEDIUM,
                account=row["account_id"],
                system=snapshot.system_id,
                subject_kind=noun,
                subject_id=str(subject),
                evidence=_evidence(snapshot, here=row["state"] or "living", there="absent"),
            ),
        )


def _removed(snapshot: Snapshot) -> Iterator[tuple[str, Wrong]]:
    for row in _rows("removed", snapshot):
        yield "member_removed", _membership(snapshot, row, here="member", there="no member", verb="still in")


def _added(snapshot: Snapshot) -> Iterator[tuple[str, Wrong]]:
    for row in _rows("added", snapshot):
        yield "member_added", _membership(snapshot, row, here="no member", there="member", verb="not in")


def _membership(snapshot: Snapshot, row: Mapping[str, Any], *, here: str, there: str, verb: str) -> Wrong:
    said = "no longer shows it" if there == "no member" else "shows it there"
    return Wrong(
        kind=FindingKind.MEMBERSHIP_DIFFERS,
        key=member_key(snapshot.system_id, row["group_id"], row["origin_ref"]),
        title=f"{shown(row['member'])} is {verb} {shown(row['display_name'])} here; {snapshot.system.name} {said}",
        severity=Severity.HIGH if row["is_privileged"] else Severity.MEDIUM,
        account=row["account_id"],
        system=snapshot.system_id,
        subject_kind="group",
        subject_id=str(row["group_id"]),
        evidence=_evidence(snapshot, here=here, there=there, group=shown(row["display_name"])),
    )


def status_key(system: UUID, account: UUID) -> str:
    """The dedupe key of "active here, not there"."""
    return f"status:{system}:{account}"


def member_key(system: UUID, group: UUID, ref: UUID) -> str:
    """The dedupe key of "a member on one side only"."""
    return f"member:{system}:{group}:{ref}"


def repaired_by(plan: Plan) -> list[str]:
    """The dedupe keys of what a plan of a reading has set right."""
    keys = []
    for change in plan.changes.filter(result__in=[PlannedChange.Result.DONE, PlannedChange.Result.SAME]):
        if change.act == ChangeAct.DEPROVISION and change.account_id:
            keys.append(status_key(plan.system_id, change.account_id))
        elif change.act == ChangeAct.REMOVE_MEMBER and change.group_id and change.member_ref:
            keys.append(member_key(plan.system_id, change.group_id, change.member_ref))
    return keys


def _evidence(snapshot: Snapshot, **facts: Any) -> dict[str, Any]:
    return {"run": str(snapshot.run_id), "read_since": snapshot.started_at.isoformat(), **facts}


def shown(text: str) -> str:
    """Another system's text as a page may show it: without what turns lines around or hides characters."""
    return "".join("\ufffd" if unicodedata.category(one) in {"Cc", "Cf", "Zl", "Zp"} else one for one in text)


def _open(found: Compared, chunk: Iterable[tuple[str, Wrong]], *, at: datetime) -> list[str]:
    wrongs: dict[str, Wrong] = {}
    for word, wrong in chunk:
        if wrong.key not in wrongs:
            found.counts[word] = found.counts.get(word, 0) + 1
        wrongs[wrong.key] = wrong
    known = set(
        Finding.objects.filter(dedupe_key__in=wrongs, state__in=FINDING_LIVE).values_list("dedupe_key", flat=True)
    )
    # The clock starts once: a finding that is seen again keeps its due date.
    opened = open_or_raise(
        [wrong if key in known else replace(wrong, due_at=at + DUE[wrong.kind]) for key, wrong in wrongs.items()], at=at
    )
    found.counts["opened"] = found.counts.get("opened", 0) + opened.new
    return list(wrongs)


# -- SQL


def _parameters(snapshot: Snapshot) -> dict[str, Any]:
    return {"snapshot": snapshot.pk, "system": snapshot.system_id, "since": snapshot.started_at}


def _rows(name: str, snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    with database.cursor() as cursor:
        cursor.execute(_SQL[name], _parameters(snapshot))
        columns = [column.name for column in cursor.description or ()]
        while rows := cursor.fetchmany(_CHUNK):
            yield from (dict(zip(columns, row, strict=True)) for row in rows)


def _unjudged(snapshot: Snapshot) -> list[str]:
    more = {"kinds": [str(kind) for kind in KINDS], "live": sorted(FINDING_LIVE)}
    with database.cursor() as cursor:
        cursor.execute(_SQL["unjudged"], _parameters(snapshot) | more)
        return [row[0] for row in cursor.fetchall()]


@contextmanager
def _set_against_set() -> Iterator[None]:
    """Hash joins only. Fresh staging has no statistics: expecting one row, the planner would compare each with each, by
    a nested loop, or by a merge over the resource type alone with the id as a filter (47 s instead of .1 s for 20,000).
    """
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('enable_nestloop'), current_setting('enable_mergejoin'),"
            " set_config('enable_nestloop', 'off', true), set_config('enable_mergejoin', 'off', true)"
        )
        before = cursor.fetchone()[:2]
    yield
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('enable_nestloop', %s, true), set_config('enable_mergejoin', %s, true)", before
        )
