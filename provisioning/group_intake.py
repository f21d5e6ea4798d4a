"""The door for what a system says about groups: a row per member that changes, and none for those that stay."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts import lifecycle, memberships
from accounts.memberships import Changed, Member
from accounts.models.group import Group
from accounts.models.system import System
from provisioning import authority
from provisioning.changes import GroupChange, Intent, MemberStep, Outcome, fold
from provisioning.models.shadow import Shadow
from provisioning.shadows import BadValue, Sender, Taken, check_lengths, digest, refuse_taken, save_shadow
from provisioning.status import watch_mass_reduction


def _key(name: str) -> str:
    """The look-up form of a group's name. Raises `BadValue` where there is none, or the name is too long."""
    check_lengths(Group, {"display_name": name})
    key = fold(name).strip()[:400]
    if not key:
        raise BadValue("displayName", "it has no characters to be found by")
    return key


def _members(*, system: System, refs: Collection[UUID]) -> list[Member]:
    """Who these ids of a system are. Raises `BadValue` for one that the system has not, or that has ended."""
    found = {
        s.pk: Member(ref=s.pk, account=s.account_id, group=s.group_id)
        for s in Shadow.objects.filter(pk__in=list(refs), system=system, ended_at__isnull=True).only(
            "id", "account_id", "group_id"
        )
    }
    if missing := [ref for ref in refs if ref not in found]:
        raise BadValue("members", f"this system has no resource {missing[0]}")
    return list(found.values())


@dataclass
class _Moved:
    """Who came and who went over all steps of one request."""

    joined: dict[UUID, Member] = field(default_factory=dict)
    left: dict[UUID, Member] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def changed(self) -> Changed:
        return Changed(added=len(self.joined), ended=len(self.left))


def _living(group: Group, system: System, **conditions: Any) -> dict[UUID, Member]:
    rows = memberships.of_system(group=group, system=system).filter(**conditions)
    return {
        ref: Member(ref=ref, account=account, group=inner)
        for ref, account, inner in rows.values_list("origin_ref", "account_id", "member_group_id")
        if ref is not None
    }


def _apply(group: Group, system: System, step: MemberStep, moved: _Moved, *, allowed: bool, at: datetime) -> None:
    if step.op in {"remove", "remove_all"}:
        # A member that is not in is no error, nor one that has ended: it is out, as wished.
        only = {"origin_ref__in": step.values} if step.op == "remove" else {}
        leaving = _living(group, system, **only)
        memberships.remove(group=group, system=system, refs=leaving.keys(), at=at)
        moved.left |= leaving
        return
    members = {m.ref: m for m in _members(system=system, refs=step.values)}
    if any(m.group == group.pk for m in members.values()):
        raise BadValue("members", "a group can't be a member of itself")
    before = _living(group, system) if step.op == "replace" else _living(group, system, origin_ref__in=step.values)
    if not allowed and members.keys() - before.keys():
        # Whoever is left out is out all the same: a reduction needs no approval.
        moved.notes.append("who is put into this group needs approval here")
        members = {ref: m for ref, m in members.items() if ref in before}
    if step.op == "replace":
        memberships.replace(group=group, system=system, members=members.values(), at=at)
        moved.left |= {ref: m for ref, m in before.items() if ref not in members}
    else:
        memberships.add(group=group, system=system, members=members.values(), at=at)
    moved.joined |= {ref: m for ref, m in members.items() if ref not in before}


def _apply_steps(sender: Sender, group: Group, change: GroupChange, *, at: datetime) -> _Moved:
    moved = _Moved()
    allowed = authority.expanding_members_allowed(system=sender.system)
    for step in change.member_steps:
        _apply(group, sender.system, step, moved, allowed=allowed, at=at)
    if moved.changed:
        who = [*moved.joined.values(), *moved.left.values()]
        memberships.journal(group=group, changed=moved.changed, who=who)
    _end_who_left(sender, group, moved.left.values(), at=at)
    return moved


def _end_who_left(sender: Sender, group: Group, left: Collection[Member], *, at: datetime) -> None:
    """Where the status is derived from membership of this group: whoever left it, and is not back, has ended."""
    gone = {m.account for m in left if m.account is not None}
    if not gone or not authority.ends_members_of(system=sender.system, group_key=group.display_name_key):
        return
    still = memberships.of_system(group=group, system=sender.system).filter(account__in=gone)
    accounts = gone - set(still.values_list("account_id", flat=True))
    reason = f"{sender.system.name}: no longer in {group.display_name}"
    if ended := lifecycle.deprovision(accounts=accounts, reason=reason, at=at):
        watch_mass_reduction(sender, ended=len(ended), at=at)


def _fill(shadow: Shadow, change: GroupChange) -> None:
    shadow.name = change.display_name
    shadow.name_key = shadow.display_name_key = _key(change.display_name)
    shadow.external_id = change.external_id or ""
    shadow.more_emails = False
    shadow.document = dict(change.document)
    shadow.digest = digest(shadow.document)


def _intent(changed: Changed, change: GroupChange) -> Intent:
    ops = {step.op for step in change.member_steps}
    if "replace" in ops:
        return Intent.MEMBER_REPLACE
    if changed.ended or ops & {"remove", "remove_all"}:
        return Intent.MEMBER_REMOVE
    return Intent.MEMBER_ADD if ops else Intent.UPDATE


@transaction.atomic
def create_group(*, sender: Sender, change: GroupChange, at: datetime) -> Taken:
    """A new group with its members. Raises `Conflict`, `BadValue`."""
    system = sender.system
    check_lengths(Shadow, {"external_id": change.external_id or ""})
    refuse_taken(
        system=system, resource_type="Group", name_key=_key(change.display_name), external_id=change.external_id or ""
    )
    group = memberships.create_group(
        tenant_id=system.tenant_id, display_name=change.display_name, display_name_key=_key(change.display_name),
        document=change.document, at=at,
    )  # fmt: skip
    shadow = Shadow(
        tenant_id=system.tenant_id, system=system, resource_type="Group", group=group, made_at=at, changed_at=at
    )
    _fill(shadow, change)
    save_shadow(shadow, is_new=True)
    notes = _apply_steps(sender, group, change, at=at).notes
    outcome = Outcome.HELD if notes else Outcome.APPLIED
    return Taken(shadow=shadow, outcome=outcome, intent=Intent.CREATE, held_by=tuple(notes), created=True)


@transaction.atomic
def change_group(*, sender: Sender, shadow: Shadow, change: GroupChange, at: datetime) -> Taken:
    """A group as its system wants it now. Raises `Conflict`, `BadValue`."""
    group = shadow.group
    if group is None:
        raise BadValue("id", "the resource has no group")
    check_lengths(Shadow, {"external_id": change.external_id or ""})
    refuse_taken(
        system=sender.system, resource_type="Group", name_key=_key(change.display_name),
        external_id=change.external_id or "", besides=shadow.pk,
    )  # fmt: skip
    before = (shadow.digest, shadow.name, shadow.external_id)
    _fill(shadow, change)
    written = before != (shadow.digest, shadow.name, shadow.external_id)
    if written:
        memberships.change_group(
            group=group, display_name=change.display_name, display_name_key=_key(change.display_name),
            document=change.document,
        )  # fmt: skip
        group.refresh_from_db()
    moved = _apply_steps(sender, group, change, at=at)
    changed, notes = moved.changed, moved.notes
    if written or changed:
        shadow.version += 1
        shadow.changed_at = at
        save_shadow(shadow, is_new=False)
    outcome = Outcome.HELD if notes else Outcome.APPLIED if written or changed else Outcome.SAME
    return Taken(shadow=shadow, outcome=outcome, intent=_intent(changed, change), held_by=tuple(notes))


@transaction.atomic
def end_group(*, sender: Sender, shadow: Shadow, at: datetime) -> Taken:
    """The group is gone for this system: 404 from now on, its name is free, its memberships end."""
    group = shadow.group
    shadow.ended_at = shadow.changed_at = at
    shadow.version += 1
    save_shadow(shadow, is_new=False)
    if group is not None:
        left = _living(group, sender.system)
        memberships.end_group(group=group, at=at)
        _end_who_left(sender, group, left.values(), at=at)
    return Taken(shadow=shadow, outcome=Outcome.APPLIED, intent=Intent.DELETE)
