"""What a reading and our own rows disagree about: in SQL, set against set, never a loop over accounts.

A staged resource is the living shadow with its id as externalId, or, where the system never gave us an externalId, the
one with its name. What changed here after the reading began is not judged: the reading may be older than the change.

Every difference is a finding. What a complete reading shows as reduced is also wanted as a plan, as a request that said
the same would reduce; what it shows as more than we hold is never taken from it: that needs its own word. Absence
reports only from a complete reading, and is wanted only where `absence` has proved it, or people are to look at it.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from accounts.findings import open_or_raise, resolve, resolve_others
from accounts.models.account import AccountState
from accounts.models.finding import Finding
from accounts.models.group import Membership, Origin
from accounts.states import FINDING_LIVE
from provisioning import attribution, authority, belated, differences, wishes
from provisioning.differences import DUE, KINDS, Counted, Row
from provisioning.models.plan import ChangeAct, Plan, PlannedChange
from provisioning.models.run import Run
from provisioning.models.shadow import Shadow
from provisioning.models.snapshot import Snapshot, SnapshotState, StagedMember, StagedResource
from provisioning.plans import Wanted
from provisioning.statements import Statements, set_against_set

_TYPES = ("User", "Group")
_CHUNK = 1_000

_SQL = Statements(__file__)


Word = Callable[[Snapshot, Row], Counted | None]
# The statements whose rows are differences, in the order in which they are told; the second ones need a whole reading.
_ALWAYS: Mapping[str, Word] = {
    "status": differences.status,
    "fields": differences.fields,
    "unknown": differences.unknown,
}
_WHOLE: Mapping[str, Word] = {
    "missing": differences.missing,
    "removed": differences.removed,
    "added": differences.added,
}


@dataclass
class Compared:
    """What one comparison found, as counts for the run's page; and how many of it are attributed to what."""

    counts: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)


def compare(*, snapshot: Snapshot, at: datetime) -> Compared:
    """Open, raise and, after a complete reading, close the findings of a system by what it showed.

    An incomplete reading closes nothing and says nothing about what it did not show. Memberships that can't be read
    there are a finding of their own; of them, nothing is opened or closed.
    """
    complete = snapshot.state == SnapshotState.COMPLETE
    found = Compared()
    keys: list[str] = []
    if complete:
        # Before anything is found anew: of that nothing can have come since.
        belated.catch_up(snapshot=snapshot, at=at)
    with set_against_set():
        for name, word in {**_ALWAYS, **(_WHOLE if complete else {})}.items():
            told = ((one, row) for row in _rows(name, snapshot) if (one := word(snapshot, row)) is not None)
            while chunk := list(islice(told, _CHUNK)):
                keys += _open(found, _explained(snapshot, name, chunk), at=at)
    if complete:
        why = unread(snapshot)
        _judge_memberships(found, snapshot, why, at=at)
        found.counts["resolved"] = resolve_others(
            kinds=KINDS,
            system=snapshot.system,
            still_wrong=[*keys, *_unjudged(snapshot, is_unread=bool(why))],
            because=f"a complete reading begun {snapshot.started_at:%Y-%m-%d %H:%M} UTC no longer shows it",
            at=at,
        )
    return found


def _explained(snapshot: Snapshot, name: str, chunk: Sequence[tuple[Counted, Row]]) -> list[Counted]:
    """The differences of one statement, each with why no event told of it."""
    why = attribution.explain(snapshot=snapshot, name=name, found=[(wrong.key, row) for (_, wrong), row in chunk])
    return [
        (word, replace(wrong, attribution=why[wrong.key].attribution, attributed_by=why[wrong.key].by))
        if wrong.key in why else (word, wrong)
        for (word, wrong), _row in chunk
    ]  # fmt: skip


def unread(snapshot: Snapshot) -> str:
    """Why the memberships at a system can't be known from a reading; empty where they can."""
    if why := snapshot.unreadable.get("Group"):
        return str(why)
    ours = Membership.objects.filter(
        system=snapshot.system_id, origin=Origin.SYSTEM, ended_at__isnull=True, since__lte=snapshot.since
    )
    groups = StagedResource.objects.filter(snapshot=snapshot, resource_type="Group")
    shown = StagedMember.objects.filter(snapshot=snapshot)
    # A server that shows no member of any group doesn't show members: from that nothing follows.
    return "none of its groups shows a member" if groups.exists() and not shown.exists() and ours.exists() else ""


def _judge_memberships(found: Compared, snapshot: Snapshot, why: str, *, at: datetime) -> None:
    if why:
        _open(found, [differences.unread(snapshot, why)], at=at)
    else:
        resolve([differences.unread_key(snapshot.system_id)], because="memberships were read", at=at)


def missing_accounts(snapshot: Snapshot) -> Iterator[Row]:
    """Accounts that live here and that a reading did not show, in the order of their names."""
    with set_against_set():
        yield from (row for row in _rows("missing", snapshot) if row["account_id"] is not None)


def wanted(*, snapshot: Snapshot, absent: Collection[UUID] | None = frozenset()) -> list[Wanted]:
    """What a complete reading shows as reduced and we still hold; nothing from any other reading.

    `absent` are the accounts that it left out and that are proved not to be there; None takes every one that it left
    out, which the brake must then stop.
    """
    if snapshot.state != SnapshotState.COMPLETE:
        return []
    ending_groups = authority.status_groups(system=snapshot.system)
    # Each by the finding that says why it is wanted.
    ends: dict[UUID, tuple[str, Wanted]] = {}
    leaves: list[tuple[str, Wanted]] = []
    with set_against_set():
        for row in _rows("status", snapshot):
            # Also by an attribute from which the status is derived there, and not where its word is only noted.
            if row["means_active"] is False:
                key = differences.status_key(snapshot.system_id, row["account_id"])
                end = _end(row["account_id"], row["user_name"], privileged=row["is_privileged"])
                ends[row["account_id"]] = (key, end)
        for row in _rows("removed", snapshot):
            key = differences.member_key(snapshot.system_id, row["group_id"], row["origin_ref"])
            leaves.append((key, _leave(row)))
            # Membership of that group is what the status is derived from.
            if row["display_name_key"] in ending_groups and row["account_state"] == AccountState.ACTIVE:
                end = _end(row["account_id"], row["member"], privileged=row["is_privileged"])
                ends.setdefault(row["account_id"], (key, end))
    for account, gone in _absent(snapshot, absent):
        ends.setdefault(account, gone)
    return _attributed([*ends.values(), *leaves])


def _absent(snapshot: Snapshot, absent: Collection[UUID] | None) -> Iterator[tuple[UUID, tuple[str, Wanted]]]:
    """The ends of those whom a reading left out: of these accounts, or of all."""
    if absent is not None and not absent:
        return
    for row in missing_accounts(snapshot):
        account = row["account_id"]
        if absent is None or account in absent:
            end = _end(account, row["user_name"], privileged=row["is_privileged"], absent=True)
            yield account, (differences.missing_key(snapshot.system_id, account), end)


def freeze_wanted(
    *, run: Run, snapshot: Snapshot, at: datetime, absent: Collection[UUID] = frozenset(), unasked: int = 0
) -> int:
    """What a complete reading wants becomes a plan, judged by the brake. Returns how many changes are wanted.

    `absent` are the missing that were asked for one by one and are not there; where there are so many `unasked`, all
    that are missing are wanted, and people look at them.
    """
    if snapshot.state != SnapshotState.COMPLETE:
        # An incomplete reading neither wants anything nor takes back what an earlier one wanted.
        return 0
    found = wanted(snapshot=snapshot, absent=None if unasked else absent)
    living = Shadow.objects.filter(system=run.system, resource_type="User", ended_at__isnull=True)
    nothing_read = not StagedResource.objects.filter(snapshot=snapshot, resource_type="User").exists()
    wishes.freeze_reading(
        system=run.system,
        run=run,
        wanted=found,
        total=living.count(),
        read_nothing=nothing_read,
        unasked=unasked,
        at=at,
    )
    return len(found)


def _attributed(wanted: Sequence[tuple[str, Wanted]]) -> list[Wanted]:
    """What is wanted is attributed as its finding is: they are of the same reading."""
    found = Finding.objects.filter(dedupe_key__in={key for key, _one in wanted}, state__in=FINDING_LIVE)
    why = {key: rest for key, *rest in found.values_list("dedupe_key", "attribution", "attributed_by")}
    return [
        replace(one, attribution=why[key][0], attributed_by=why[key][1]) if key in why else one for key, one in wanted
    ]


def _end(account: UUID, name: str, *, privileged: bool, absent: bool = False) -> Wanted:
    return Wanted(
        act=ChangeAct.DEPROVISION, label=name, account=account,
        before={"active": True} | ({"absent": True} if absent else {}), is_privileged=privileged,
    )  # fmt: skip


def _leave(row: Row) -> Wanted:
    return Wanted(
        act=ChangeAct.REMOVE_MEMBER,
        label=f"{row['member']} from {row['display_name']}",
        account=row["account_id"],
        group=row["group_id"],
        member_ref=row["origin_ref"],
        before={"member": True},
        is_privileged=row["is_privileged"],
    )


def repaired_by(plan: Plan) -> list[str]:
    """The dedupe keys of what a plan of a reading has set right."""
    keys = []
    for change in plan.changes.filter(result__in=[PlannedChange.Result.DONE, PlannedChange.Result.SAME]):
        if change.act == ChangeAct.DEPROVISION and change.account_id:
            key = differences.missing_key if change.is_absence else differences.status_key
            keys.append(key(plan.system_id, change.account_id))
        elif change.act == ChangeAct.REMOVE_MEMBER and change.group_id and change.member_ref:
            keys.append(differences.member_key(plan.system_id, change.group_id, change.member_ref))
    return keys


def _open(found: Compared, chunk: Iterable[Counted], *, at: datetime) -> list[str]:
    wrongs = {}
    for word, wrong in chunk:
        if wrong.key not in wrongs:
            found.counts[word] = found.counts.get(word, 0) + 1
            if wrong.attribution:
                found.missed[wrong.attribution] = found.missed.get(wrong.attribution, 0) + 1
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
    types = [kind for kind in _TYPES if kind not in snapshot.unreadable]
    return {"snapshot": snapshot.pk, "system": snapshot.system_id, "since": snapshot.since, "types": types}


def _rows(name: str, snapshot: Snapshot) -> Iterator[dict[str, Any]]:
    return _SQL.rows(name, _parameters(snapshot))


def _unjudged(snapshot: Snapshot, *, is_unread: bool) -> list[str]:
    """Findings that stay, whatever this reading shows: it can't judge them."""
    more = {"kinds": [str(kind) for kind in KINDS], "live": sorted(FINDING_LIVE), "unread": is_unread}
    return [row["dedupe_key"] for row in _SQL.rows("unjudged", _parameters(snapshot) | more)]
