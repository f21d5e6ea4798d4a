"""Differences between a reading and our own rows, as findings: each with its key, its words and how bad it is.

A function for each kind takes a row of `comparison.sql` and says what is wrong, under the word by which a run counts it.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.findings import Wrong
from accounts.models.account import AccountState
from accounts.models.finding import FindingKind, Severity
from provisioning.models.snapshot import Snapshot
from provisioning.systems import still_active_key

Row = Mapping[str, Any]
Counted = tuple[str, Wrong]

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
    FindingKind.NOT_MEASURED: timedelta(days=7),
}
NAMED = 5  # accounts that a title names
OFF = frozenset({AccountState.SUSPENDED, AccountState.DEPROVISIONED, AccountState.ARCHIVED})
# Begins the dedupe key of "the memberships at a system are not measured".
UNREAD = "memberships_not_measured:"


def status(snapshot: Snapshot, row: Row) -> Counted:
    """One side is off, and the other is not."""
    system = snapshot.system
    if row["is_off_there"]:
        there = shown(row["because"] or "inactive")
        severity = Severity.CRITICAL if row["is_privileged"] else Severity.HIGH
        if row["means_active"] is not False:
            # Its word is only noted, and ends nobody: but the two differ, and that is said.
            there, severity = f"{there}, which is advisory,", Severity.MEDIUM
        return "status", _wrong(
            snapshot, row, kind=FindingKind.STATUS_DIFFERS, key=status_key(system.pk, row["account_id"]),
            title=f"{row['user_name']}: {there} at {system.name}, active here", severity=severity, there=there,
        )  # fmt: skip
    if row["state"] == AccountState.PENDING:
        return "status", _wrong(
            snapshot, row, kind=FindingKind.STATUS_DIFFERS, key=status_key(system.pk, row["account_id"]),
            title=f"{row['user_name']}: active at {system.name}, pending here",
            severity=Severity.LOW, there="active",
        )  # fmt: skip
    return "still_active", _still_active(snapshot, row)


def _still_active(snapshot: Snapshot, row: Row) -> Wrong:
    asked = "; it is asked back, and that waits for people" if row.get("is_asked_back") else ""
    return _wrong(
        snapshot, row, kind=FindingKind.STILL_ACTIVE, key=still_active_key(snapshot.system_id, row["account_id"]),
        title=f"{row['user_name']}: {AccountState(row['state']).label} here, still active at {snapshot.system.name}{asked}",
        severity=Severity.CRITICAL if row["is_privileged"] else Severity.HIGH, there="active",
    )  # fmt: skip


def _wrong(
    snapshot: Snapshot,
    row: Row,
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


def fields(snapshot: Snapshot, row: Row) -> Counted:
    """A name that differs."""
    is_user = row["resource_type"] == "User"
    name = "userName" if is_user else "displayName"
    differing = {name: [row["name"], row["there"]]} if row["is_renamed"] else {}
    if row["is_displayed_otherwise"]:
        differing["displayName"] = [row["displayed"], row["displayed_there"]]
    return (
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


def unknown(snapshot: Snapshot, row: Row) -> Counted | None:
    """Something there that is none of ours; nothing, where it was deleted here and is off there too."""
    if row["state"] in OFF:
        return None if row["is_off_there"] else ("still_active", _still_active(snapshot, row))
    noun = "account" if row["resource_type"] == "User" else "group"
    return (
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


def missing(snapshot: Snapshot, row: Row) -> Counted:
    """Ours, and not there any more."""
    noun = "account" if row["resource_type"] == "User" else "group"
    subject = row["account_id"] or row["group_id"]
    return (
        "missing_there",
        Wrong(
            kind=FindingKind.MISSING_THERE,
            key=missing_key(snapshot.system_id, subject),
            title=f"{noun} {shown(row['name'])} is no longer at {snapshot.system.name}",
            severity=Severity.HIGH if row["is_privileged"] else Severity.MEDIUM,
            account=row["account_id"],
            system=snapshot.system_id,
            subject_kind=noun,
            subject_id=str(subject),
            evidence=_evidence(snapshot, here=row["state"] or "living", there="absent"),
        ),
    )


def removed(snapshot: Snapshot, row: Row) -> Counted:
    """A member here, and none there."""
    return "member_removed", _membership(snapshot, row, here="member", there="no member", verb="still in")


def added(snapshot: Snapshot, row: Row) -> Counted:
    """A member there, and none here."""
    return "member_added", _membership(snapshot, row, here="no member", there="member", verb="not in")


def _membership(snapshot: Snapshot, row: Row, *, here: str, there: str, verb: str) -> Wrong:
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


def unread(snapshot: Snapshot, why: str) -> Counted:
    """Not having looked is itself a finding: of the memberships at a system that shows none."""
    return (
        "memberships_unread",
        Wrong(
            kind=FindingKind.NOT_MEASURED,
            key=unread_key(snapshot.system_id),
            title=f"{snapshot.system.name}: memberships are not measured: {shown(why)}",
            severity=Severity.MEDIUM,
            system=snapshot.system_id,
            evidence=_evidence(snapshot, why=shown(why)),
        ),
    )


def left_out(snapshot: Snapshot, names: Sequence[str], *, at: datetime) -> Wrong:
    """A listing that leaves out who is there: what else it leaves out is unknown, so its absences say nothing."""
    system = snapshot.system
    some = ", ".join(shown(name) for name in names[:NAMED])
    some += f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    noun = "1 account that is" if len(names) == 1 else f"{len(names)} accounts that are"
    return Wrong(
        kind=FindingKind.NOT_MEASURED,
        key=left_out_key(system.pk),
        title=f"{system.name}: its listing leaves out {noun} there: {some}",
        severity=Severity.HIGH,
        system=system.pk,
        evidence=_evidence(snapshot, left_out=[shown(name) for name in names]),
        due_at=at + DUE[FindingKind.NOT_MEASURED],
    )


def left_out_key(system: UUID) -> str:
    """The dedupe key of "this system's listing leaves out who is there"."""
    return f"listing_leaves_out:{system}"


def unread_key(system: UUID) -> str:
    """The dedupe key of "the memberships at this system are not measured"."""
    return f"{UNREAD}{system}"


def missing_key(system: UUID, subject: UUID) -> str:
    """The dedupe key of "here, and not there any more", of an account or a group."""
    return f"missing:{system}:{subject}"


def status_key(system: UUID, account: UUID) -> str:
    """The dedupe key of "active here, not there"."""
    return f"status:{system}:{account}"


def member_key(system: UUID, group: UUID, ref: UUID) -> str:
    """The dedupe key of "a member on one side only"."""
    return f"member:{system}:{group}:{ref}"


def _evidence(snapshot: Snapshot, **facts: Any) -> dict[str, Any]:
    return {"run": str(snapshot.run_id), "read_since": snapshot.since.isoformat(), **facts}


def shown(text: str) -> str:
    """Another system's text as a page may show it: without what turns lines around or hides characters."""
    return "".join("\ufffd" if unicodedata.category(one) in {"Cc", "Cf", "Zl", "Zp"} else one for one in text)
