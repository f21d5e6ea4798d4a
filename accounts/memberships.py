"""Memberships and groups: the only writer of both. A row per reason; endings are rows too, never deletions."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.models.group import Group, Membership, Origin
from accounts.models.system import System
from accounts.states import Event
from audit.cause import current
from audit.journal import Subject, record
from audit.scope import together


@dataclass(frozen=True)
class Member:
    """One member as its origin system names it (`ref` is its SCIM id there, `type` that of the resource), and who that
    is here."""

    ref: UUID
    account: UUID | None = None
    group: UUID | None = None
    type: str = ""


class GroupEvent(StrEnum):
    """What the journal says of groups themselves; their members are `accounts.states.Event.MEMBERS_CHANGED`."""

    MADE = "group.made"
    CHANGED = "group.changed"
    ENDED = "group.ended"


@dataclass(frozen=True)
class Changed:
    """How many memberships a change added and ended."""

    added: int
    ended: int

    def __bool__(self) -> bool:
        return bool(self.added or self.ended)


@dataclass(frozen=True)
class Left:
    """How many members a system took out, and their accounts: as many as were asked for."""

    count: int
    accounts: tuple[UUID, ...] = ()


# How many accounts one entry of the journal names.
NAMED = 100
# Who is in a group by the word of a system: `of_system` for statements of our own.
_OF_SYSTEM = "m.group_id = %s AND m.system_id = %s AND m.origin = 'system' AND m.ended_at IS NULL"


def as_array(ids: Iterable[UUID]) -> str:
    """Ids as the text of a uuid[]: of thousands, a list of parameters would cost more than the statement."""
    return f"{{{','.join([f'{one.int:032x}' for one in ids])}}}"


def create_group(
    *, tenant_id: UUID, display_name: str, display_name_key: str, document: Mapping[str, Any], at: datetime
) -> Group:
    """A new, empty group."""
    made: Group = Group.objects.create(
        tenant_id=tenant_id,
        display_name=display_name,
        display_name_key=display_name_key,
        document=dict(document),
        made_at=at,
    )
    record(event=GroupEvent.MADE, sentence=f"{current().actor}: group {display_name} made", subjects=[_subject(made)])
    return made


def _subject(group: Group) -> Subject:
    return Subject("group", str(group.pk), group.display_name)


def change_group(*, group: Group, display_name: str, display_name_key: str, document: Mapping[str, Any]) -> bool:
    """Rename or describe a group. False when nothing differs."""
    found = Group.objects.select_for_update(no_key=True).get(pk=group.pk)
    if (found.display_name, found.display_name_key, found.document) == (display_name, display_name_key, document):
        return False
    before = found.display_name
    found.display_name, found.display_name_key, found.document = display_name, display_name_key, dict(document)
    found.save(update_fields=["display_name", "display_name_key", "document"])
    renamed = f"group {before} is {display_name} now" if before != display_name else f"group {display_name} changed"
    record(event=GroupEvent.CHANGED, sentence=f"{current().actor}: {renamed}", subjects=[_subject(found)])
    return True


def end_group(*, group: Group, at: datetime) -> int:
    """End a group, every membership of it, and its own in other groups. Returns how many memberships ended."""
    with together():
        if not Group.objects.filter(pk=group.pk, ended_at__isnull=True).update(ended_at=at):
            return 0
        mine = Membership.objects.filter(Q(group=group) | Q(member_group=group), ended_at__isnull=True)
        ended: int = mine.update(ended_at=at)
        record(
            event=GroupEvent.ENDED,
            sentence=f"{current().actor}: group {group.display_name} ended with {ended} memberships",
            subjects=[_subject(group)],
        )
    return ended


def of_system(*, group: Group, system: System) -> QuerySet[Membership]:
    """Who is in a group by the word of a system."""
    return Membership.objects.filter(group=group, system=system, origin=Origin.SYSTEM, ended_at__isnull=True)


def add(*, group: Group, system: System, members: Collection[Member], at: datetime) -> int:
    """Members whom a system puts into a group. Who is in already stays; returns how many are new."""
    if not members:
        return 0
    rows = {m.ref: m for m in members}.values()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_membership"
            " (id, tenant_id, group_id, account_id, member_group_id, origin, system_id, origin_ref, origin_type, since)"
            " SELECT gen_random_uuid(), %s, %s, m.account, m.grp, 'system', %s, m.ref, m.type, %s"
            " FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[]) AS m (ref, account, grp, type)"
            " ON CONFLICT (tenant_id, group_id, system_id, origin_ref)"
            " WHERE ended_at IS NULL AND origin = 'system' DO NOTHING",
            [
                group.tenant_id, group.pk, system.pk, at,
                [m.ref for m in rows], [m.account for m in rows], [m.group for m in rows], [m.type for m in rows],
            ],
        )  # fmt: skip
        return int(cursor.rowcount)


def outside(*, group: Group, system: System, refs: Collection[UUID]) -> list[UUID]:
    """Which of these members of a system are not in the group by its word."""
    if not refs:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT w.ref FROM unnest(%s::uuid[]) AS w (ref) WHERE NOT EXISTS ("  # noqa: S608  constants of ours
            f" SELECT FROM accounts_membership m WHERE {_OF_SYSTEM} AND m.origin_ref = w.ref)",
            [as_array(refs), group.pk, system.pk],
        )
        return [ref for (ref,) in cursor.fetchall()]


def leave(
    *,
    group: Group,
    system: System,
    refs: Collection[UUID] | None = None,
    besides: Collection[UUID] | None = None,
    named: int | None = NAMED,
    at: datetime,
) -> Left:
    """Members whom a system takes out: those of `refs`, or everybody `besides` some, or simply everybody.

    One statement, whose rows stay in the database. `named` is how many accounts the answer names; None is all.
    """
    which, values = "", []
    if refs is not None:
        which, values = "AND m.origin_ref = ANY(%s::uuid[])", [as_array(refs)]
    elif besides:
        which = "AND NOT EXISTS (SELECT FROM unnest(%s::uuid[]) AS w (ref) WHERE w.ref = m.origin_ref)"
        values = [as_array(besides)]
    if refs is not None and not refs:
        return Left(count=0)
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH gone AS ("  # noqa: S608  constants of ours
            f" UPDATE accounts_membership m SET ended_at = %s WHERE {_OF_SYSTEM} {which} RETURNING m.account_id)"
            " SELECT count(*), ARRAY(SELECT account_id FROM gone WHERE account_id IS NOT NULL LIMIT %s) FROM gone",
            [at, group.pk, system.pk, *values, named],
        )
        count, accounts = cursor.fetchone()
    return Left(count=count, accounts=tuple(accounts))


def remove(*, group: Group, system: System, refs: Collection[UUID], at: datetime) -> int:
    """Members whom a system takes out of a group: that reason ends at once. Returns how many were in."""
    return leave(group=group, system=system, refs=refs, at=at).count


def remove_all(*, group: Group, system: System, at: datetime) -> int:
    """Every member that a system ever put in is out. Returns how many were in."""
    return leave(group=group, system=system, at=at).count


def replace(*, group: Group, system: System, members: Collection[Member], at: datetime) -> Changed:
    """Exactly these members of a system: only the difference is written."""
    with together():
        left = leave(group=group, system=system, besides=[m.ref for m in members], at=at)
        added = add(group=group, system=system, members=members, at=at)
    return Changed(added=added, ended=left.count)


def end_of_accounts(*, accounts: Collection[UUID], system: System | None, at: datetime) -> int:
    """End the memberships of accounts, of one system or of all."""
    live = Membership.objects.filter(account__in=accounts, ended_at__isnull=True)
    if system is not None:
        live = live.filter(system=system)
    return live.update(ended_at=at)


def journal(
    *, group: Group, changed: Changed, who: Iterable[Member] = (), left: Iterable[UUID] = (), note: str = ""
) -> None:
    """One entry for one request's changes of one group, naming the accounts of `who` and of those who `left`."""
    accounts = islice((*(m.account for m in who if m.account), *left), NAMED)
    record(
        event=Event.MEMBERS_CHANGED,
        sentence=f"{current().actor}: {group.display_name}: {changed.added} added, {changed.ended} ended. {note}".strip(),
        subjects=[_subject(group), *(Subject("account", str(account), "") for account in accounts)],
        facts={"added": changed.added, "ended": changed.ended},
    )
