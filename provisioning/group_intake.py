"""The door for what a system says about groups: a row per member that changes, and none for those that stay."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from accounts import lifecycle, memberships
from accounts.memberships import Changed, Left, Member
from accounts.models.group import Group
from accounts.models.system import System
from audit.scope import together
from provisioning import authority, parking
from provisioning.changes import GroupChange, Intent, Outcome
from provisioning.changes import fold as folded_name
from provisioning.models.shadow import Shadow
from provisioning.shadows import (
    BadValue,
    Sender,
    Taken,
    check_lengths,
    digest,
    end_shadow,
    lock_members,
    refuse_taken,
    save_shadow,
    touch,
    touch_groups_of,
)
from provisioning.status import watch_mass_reduction
from provisioning.steps import Net, fold

# How many accounts end in one go.
SLICE = 1_000


def _key(name: str) -> str:
    """The look-up form of a group's name. Raises `BadValue` where there is none, or the name is too long."""
    check_lengths(Group, {"display_name": name})
    key = folded_name(name).strip()[:400]
    if not key:
        raise BadValue("displayName", "it has no characters to be found by")
    return key


@dataclass(frozen=True)
class _Moved:
    """What the steps of one request changed."""

    changed: Changed
    notes: tuple[str, ...] = ()


def _newcomers(group: Group, system: System, named: Collection[UUID]) -> list[Member]:
    """Who of these is not in the group. Raises `BadValue` for one that the system has not, or that has ended.

    Who is in is one of its resources: a membership ends with the resource that it is of.
    """
    refs = memberships.outside(group=group, system=system, refs=named)
    found = lock_members(system=system, refs=refs)
    if len(found) < len(refs):
        missing = set(refs) - {m.ref for m in found}
        raise BadValue("members", f"this system has no resource {next(ref for ref in named if ref in missing)}")
    if any(m.group == group.pk for m in found):
        raise BadValue("members", "a group can't be a member of itself")
    return found


def _apply_steps(sender: Sender, group: Group, change: GroupChange, *, at: datetime) -> _Moved:
    if not change.member_steps:
        return _Moved(changed=Changed(added=0, ended=0))
    system = sender.system
    net = fold(change.member_steps, may_add=authority.expanding_members_allowed(system=system))
    _refuse_unknown(group, system, net)
    new = _newcomers(group, system, net.named)
    ends = net.takes_out and _ends_who_leaves(sender, group)
    left = _take_out(group, system, net, named=None if ends else memberships.NAMED, at=at)
    joining = [m for m in new if m.ref in net.joins]
    memberships.add(group=group, system=system, members=joining, at=at)
    changed = Changed(added=len(joining), ended=left.count)
    if changed:
        memberships.journal(group=group, changed=changed, who=joining, left=left.accounts)
    if ends:
        _end_who_left(sender, group, left.accounts, at=at)
    is_held = net.is_held or any(m.ref in net.asked for m in new)
    # Whoever is left out is out all the same: a reduction needs no approval.
    return _Moved(changed=changed, notes=("who is put into this group needs approval here",) if is_held else ())


def _refuse_unknown(group: Group, system: System, net: Net) -> None:
    """A member that is not in is no error, nor one that has ended: it is out, as wished. Whom we never had is parked."""
    parking.refuse_unknown(system=system, refs=memberships.outside(group=group, system=system, refs=net.removed))


def _ends_who_leaves(sender: Sender, group: Group) -> bool:
    """Whether the status is derived from membership of this group."""
    return authority.ends_members_of(system=sender.system, group_key=group.display_name_key)


def _take_out(group: Group, system: System, net: Net, *, named: int | None, at: datetime) -> Left:
    if not net.takes_out:
        return Left(count=0)
    refs = net.leaves if net.stays is None else None
    return memberships.leave(group=group, system=system, refs=refs, besides=net.stays, named=named, at=at)


def _end_who_left(sender: Sender, group: Group, left: Sequence[UUID], *, at: datetime) -> None:
    """Whoever left a group that the status is derived from has ended; slice by slice, since it may be everybody."""
    reason = f"{sender.system.name}: no longer in {group.display_name}"
    ended = sum(
        len(lifecycle.deprovision(accounts=left[start : start + SLICE], reason=reason, at=at))
        for start in range(0, len(left), SLICE)
    )
    if ended:
        watch_mass_reduction(sender, ended=ended, at=at)


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


@together()
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
    return Taken(shadow=shadow, outcome=outcome, intent=Intent.CREATE, held_by=notes, created=True)


@together()
def change_group(*, sender: Sender, shadow: Shadow, change: GroupChange, at: datetime) -> Taken:
    """A group as its system wants it now. Raises `Conflict`, `BadValue`."""
    group = shadow.group
    if group is None:
        raise BadValue("id", "the resource has no group")
    check_lengths(Shadow, {"external_id": change.external_id or ""})
    before = (shadow.digest, shadow.name, shadow.external_id)
    refuse_taken(
        system=sender.system, resource_type="Group", name_key=_key(change.display_name),
        external_id=change.external_id or "", besides=shadow,
    )  # fmt: skip
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
    if written:
        shadow.version += 1
        shadow.changed_at = at
        save_shadow(shadow, is_new=False)
    elif changed:
        touch(shadow, at=at)
    outcome = Outcome.HELD if notes else Outcome.APPLIED if written or changed else Outcome.SAME
    return Taken(shadow=shadow, outcome=outcome, intent=_intent(changed, change), held_by=notes)


@together()
def end_group(*, sender: Sender, shadow: Shadow, at: datetime) -> Taken:
    """The group is gone for this system: 404 from now on, its name is free, its memberships end."""
    group = shadow.group
    end_shadow(shadow, at=at)
    if group is not None:
        touch_groups_of(shadow, system=sender.system, at=at)
        ends = _ends_who_leaves(sender, group)
        inside = memberships.of_system(group=group, system=sender.system).filter(account__isnull=False)
        left = list(inside.values_list("account_id", flat=True)) if ends else []
        memberships.end_group(group=group, at=at)
        _end_who_left(sender, group, left, at=at)
    return Taken(shadow=shadow, outcome=Outcome.APPLIED, intent=Intent.DELETE)
