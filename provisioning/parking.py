"""A removal of members that could not be read: nothing is changed, and a person looks at who was meant to leave.

Read too widely, such a request empties a group; read as nothing, it leaves somebody in with everybody told that it
worked. So it is refused, its exchange is parked, and a finding says so until the system states the whole membership.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.system import System
from accounts.states import FINDING_LIVE
from provisioning.models.shadow import Shadow
from provisioning.shadows import BadValue

# How long somebody who was meant to leave may stay in unseen.
CLOCK = timedelta(days=1)


class UnknownMembers(BadValue):
    """A removal names resources that this system never had."""

    def __init__(self) -> None:
        super().__init__("members", "the removal names a resource that this connection never had")


def key(group: UUID) -> str:
    """The dedupe key of "a removal of members of this group could not be read"."""
    return f"members_unresolved:{group}"


def refuse_unknown(*, system: System, refs: Collection[UUID]) -> None:
    """Raise `UnknownMembers` for an id that this system never had; one that is only not a member, or ended, is known."""
    if not refs:
        return
    known = Shadow.objects.filter(pk__in=list(refs), system=system).count()
    if known != len(set(refs)):
        raise UnknownMembers


def open_unresolved(*, system: System, group: Shadow, exchange: UUID, because: str, at: datetime) -> None:
    """Open the finding, or see it again with the latest exchange; its clock began with the first."""
    running = Finding.objects.filter(dedupe_key=key(group.pk), state__in=FINDING_LIVE).first()
    wrong = Wrong(
        kind=FindingKind.MEMBERS_UNRESOLVED,
        key=key(group.pk),
        title=f"{system.name}: a removal of members of {group.name} could not be read",
        severity=Severity.HIGH,
        system=system.pk,
        subject_kind="group",
        subject_id=str(group.pk),
        evidence={"system": system.name, "group": group.name, "because": because, "exchange": str(exchange)},
        due_at=running.due_at if running is not None else at + CLOCK,
        each=True,  # somebody acts on what was sent last
    )
    open_or_raise([wrong], at=at)


def settle(*, group: Shadow, because: str, at: datetime) -> int:
    """Close it: the system has stated the whole membership, or ended the group."""
    return resolve([key(group.pk)], because=because, at=at)
