"""The door for what a system says about groups: a row per member that changes, and none for those that stay."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts import lifecycle, memberships
from accounts.memberships import Changed, Member
from accounts.models.group import Group, Membership
from accounts.models.system import System
from provisioning import authority
from provisioning.changes import GroupChange, Intent, MemberStep, Outcome, fold
from provisioning.intake import BadValue, Sender, Taken, digest, refuse_taken, save_shadow, watch_mass_reduction
from provisioning.models.shadow import Shadow


def _key(name: str) -> str:
    return fold(name).strip()


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


def _apply(group: Group, system: System, step: MemberStep, *, at: datetime) -> tuple[Changed, list[Member]]:
    if step.op == "remove_all":
        return Changed(added=0, ended=memberships.remove_all(group=group, system=system, at=at)), []
    if step.op == "remove":
        # A member that is not in is no error, nor one that has ended: it is out, as wished.
        return Changed(added=0, ended=memberships.remove(group=group, system=system, refs=step.values, at=at)), []
    members = _members(system=system, refs=step.values)
    if any(m.group == group.pk for m in members):
        raise BadValue("members", "a group can't be a member of itself")
    if step.op == "replace":
        return memberships.replace(group=group, system=system, members=members, at=at), members
    return Changed(added=memberships.add(group=group, system=system, members=members, at=at), ended=0), members


def _apply_steps(sender: Sender, group: Group, change: GroupChange, *, at: datetime) -> tuple[Changed, list[str]]:
    added = ended = 0
    who: list[Member] = []
    notes: list[str] = []
    allowed = authority.expanding_members_allowed(system=sender.system)
    for step in change.member_steps:
        if not allowed and step.op in {"add", "replace"} and step.values:
            notes.append("who is put into this group needs approval here")
            continue
        changed, members = _apply(group, sender.system, step, at=at)
        added, ended = added + changed.added, ended + changed.ended
        who += members
    total = Changed(added=added, ended=ended)
    if total:
        memberships.journal(group=group, changed=total, who=who if added else ())
    if ended and authority.ends_members_of(system=sender.system, group_key=group.display_name_key):
        _end_who_left(sender, group, at=at)
    return total, notes


def _end_who_left(sender: Sender, group: Group, *, at: datetime) -> None:
    """Membership of this group is what the status is derived from: whoever left it has ended."""
    of_system = Membership.objects.filter(group=group, system=sender.system, account__isnull=False)
    still = of_system.filter(ended_at__isnull=True).values("account_id")
    left = of_system.filter(ended_at=at).exclude(account__in=still).values_list("account_id", flat=True)
    accounts = list(left)
    reason = f"{sender.system.name}: no longer in {group.display_name}"
    if lifecycle.deprovision(accounts=accounts, reason=reason, at=at):
        watch_mass_reduction(sender, at=at)


def _fill(shadow: Shadow, change: GroupChange) -> None:
    shadow.name = change.display_name
    shadow.name_key = shadow.display_name_key = _key(change.display_name)[:400]
    shadow.external_id = change.external_id or ""
    shadow.document = dict(change.document)
    shadow.digest = digest(shadow.document)


def _intent(changed: Changed, change: GroupChange) -> Intent:
    ops = {step.op for step in change.member_steps}
    if "replace" in ops:
        return Intent.MEMBER_REPLACE
    if changed.ended or ops & {"remove", "remove_all"}:
        return Intent.MEMBER_REMOVE
    return Intent.MEMBER_ADD if ops else Intent.UPDATE


def create_group(*, sender: Sender, change: GroupChange, at: datetime) -> Taken:
    """A new group with its members. Raises `Conflict`, `BadValue`."""
    system = sender.system
    refuse_taken(
        system=system, resource_type="Group", name_key=_key(change.display_name), external_id=change.external_id or ""
    )
    with transaction.atomic():
        group = memberships.create_group(
            tenant_id=system.tenant_id, display_name=change.display_name,
            display_name_key=_key(change.display_name)[:400], document=change.document, at=at,
        )  # fmt: skip
        shadow = Shadow(
            tenant_id=system.tenant_id, system=system, resource_type="Group", group=group, made_at=at, changed_at=at
        )
        _fill(shadow, change)
        save_shadow(shadow, is_new=True)
        _, notes = _apply_steps(sender, group, change, at=at)
    outcome = Outcome.HELD if notes else Outcome.APPLIED
    return Taken(shadow=shadow, outcome=outcome, intent=Intent.CREATE, held_by=tuple(notes), created=True)


def change_group(*, sender: Sender, shadow: Shadow, change: GroupChange, at: datetime) -> Taken:
    """A group as its system wants it now. Raises `Conflict`, `BadValue`."""
    group = shadow.group
    if group is None:
        raise BadValue("id", "the resource has no group")
    refuse_taken(
        system=sender.system, resource_type="Group", name_key=_key(change.display_name),
        external_id=change.external_id or "", besides=shadow.pk,
    )  # fmt: skip
    before = (shadow.digest, shadow.name, shadow.external_id)
    _fill(shadow, change)
    written = before != (shadow.digest, shadow.name, shadow.external_id)
    if written:
        memberships.change_group(
            group=group, display_name=change.display_name, display_name_key=_key(change.display_name)[:400],
            document=change.document,
        )  # fmt: skip
        group.refresh_from_db()
    changed, notes = _apply_steps(sender, group, change, at=at)
    if written or changed:
        shadow.version += 1
        shadow.changed_at = at
        save_shadow(shadow, is_new=False)
    outcome = Outcome.HELD if notes else Outcome.APPLIED if written or changed else Outcome.SAME
    return Taken(shadow=shadow, outcome=outcome, intent=_intent(changed, change), held_by=tuple(notes))


def end_group(*, sender: Sender, shadow: Shadow, at: datetime) -> Taken:
    """The group is gone for this system: 404 from now on, its name is free, its memberships end."""
    group = shadow.group
    shadow.ended_at = shadow.changed_at = at
    shadow.version += 1
    save_shadow(shadow, is_new=False)
    if group is not None:
        memberships.end_group(group=group, at=at)
        if authority.ends_members_of(system=sender.system, group_key=group.display_name_key):
            _end_who_left(sender, group, at=at)
    return Taken(shadow=shadow, outcome=Outcome.APPLIED, intent=Intent.DELETE)
