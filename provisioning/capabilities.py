"""What can be read of a system, dimension by dimension, and by what evidence.

Proved: a known value was planted there and a complete reading showed it. Declared: readings show such values, and none
of them is known. Unreadable: nothing is shown, or what was planted was not read back. The word is taken while a reading
is still staged, kept with it, and never better than its last complete reading.

Two dimensions live here alone. Ownership: every write is held to it by the database, and what has nobody is a finding.
Expiry: the sweep looks each minute, and says that it has looked. Credentials are read nowhere yet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from provisioning import comparison
from provisioning.changes import user_name_key
from provisioning.models.connection import Connection
from provisioning.models.shadow import Shadow
from provisioning.models.snapshot import Snapshot, SnapshotState, StagedMember, StagedResource
from provisioning.snapshot import staged


class Dimension(StrEnum):
    """What may drift of an account, in the order of the screens."""

    EXISTENCE = "existence"
    STATUS = "status"
    ATTRIBUTES = "attributes"
    MEMBERSHIPS = "memberships"
    OWNERSHIP = "ownership"
    EXPIRY = "expiry"
    CREDENTIALS = "credentials"


READ = (Dimension.EXISTENCE, Dimension.STATUS, Dimension.ATTRIBUTES, Dimension.MEMBERSHIPS)
"""What a reading shows; the others live here."""


class Evidence(StrEnum):
    """How far what is read of a dimension can be believed."""

    PROVED = "proved"
    DECLARED = "declared"
    UNREADABLE = "unreadable"


# By what: a word that is kept with each reading, so that no name of a person is.
BECAUSE: Mapping[str, Any] = {
    "canary_seen": _("the canary was listed"),
    "canary_missing": _("the canary was not listed"),
    "canary_active": _("the canary was read as active, as it is"),
    "canary_inactive": _("the canary was read as inactive, and it should be active"),
    "status_shown": _("of other accounts the status is shown, of the canary it is not"),
    "no_status": _("no account shows whether it is active"),
    "canary_named": _("userName and displayName of the canary were read as they are here; no other attribute is compared"),
    "names_shown": _("userName was read; the displayName of the canary is not known here or another; no other attribute is compared"),
    "canary_member": _("the canary was read as a member of a group"),
    "members_shown": _("members are shown; the canary is in no group"),
    "nothing_to_show": _("no member is shown, and none is known here"),
    "no_groups": _("groups can't be read there"),
    "no_members": _("none of its groups shows a member, and here there are some"),
    "not_looked": _("the last complete reading did not look at it yet"),
    "never_read": _("never read completely"),
    "here_by_database": _("it lives here: a rule of the database"),
    "here_by_sweep": _("it lives here: a sweep looks each minute"),
    "nothing_reads": _("nothing reads credentials yet"),
}  # fmt: skip

_HERE = {
    Dimension.OWNERSHIP: (Evidence.PROVED, "here_by_database"),
    Dimension.EXPIRY: (Evidence.PROVED, "here_by_sweep"),
    Dimension.CREDENTIALS: (Evidence.UNREADABLE, "nothing_reads"),
}


@dataclass(frozen=True)
class Capability:
    """How one dimension of a system can be read, by what, and since when that is so; None where it was never read."""

    dimension: Dimension
    evidence: Evidence
    word: str
    as_of: datetime | None

    @property
    def because(self) -> str:
        """By what, for a person."""
        return str(BECAUSE[self.word])

    @property
    def is_readable(self) -> bool:
        """Whether anything follows from what is read of it."""
        return self.evidence != Evidence.UNREADABLE


def shown(snapshot: Snapshot) -> dict[str, list[str]]:
    """What a reading that is still staged shows to be readable: a word of `Evidence` and one of `BECAUSE` for each."""
    name = Connection.objects.values_list("canary_user_name", flat=True).get(system=snapshot.system_id)
    key = user_name_key(name)
    canary = staged(snapshot).filter(resource_type="User", name_key=key).first()
    found = {
        Dimension.EXISTENCE: (Evidence.PROVED, "canary_seen") if canary else (Evidence.UNREADABLE, "canary_missing"),
        Dimension.STATUS: _status(snapshot, canary),
        Dimension.ATTRIBUTES: _attributes(snapshot, canary),
        Dimension.MEMBERSHIPS: _memberships(snapshot, canary),
    }
    return {str(dimension): [str(word) for word in words] for dimension, words in found.items()}


def _status(snapshot: Snapshot, canary: StagedResource | None) -> tuple[Evidence, str]:
    if canary is None:
        return Evidence.UNREADABLE, "canary_missing"
    # By the rules for its system, as a request that said the same would be heard.
    means = canary.active if canary.means_active is None else canary.means_active
    if means is not None:
        return (Evidence.PROVED, "canary_active") if means else (Evidence.UNREADABLE, "canary_inactive")
    is_shown = staged(snapshot).filter(resource_type="User", active__isnull=False).exists()
    return (Evidence.DECLARED, "status_shown") if is_shown else (Evidence.UNREADABLE, "no_status")


def _attributes(snapshot: Snapshot, canary: StagedResource | None) -> tuple[Evidence, str]:
    if canary is None:
        return Evidence.UNREADABLE, "canary_missing"
    here = Shadow.objects.filter(
        system=snapshot.system_id, resource_type="User", name_key=canary.name_key, ended_at__isnull=True
    ).first()
    displayed = canary.document.get("displayNameKey", "")
    is_same = here is not None and bool(displayed) and here.display_name_key == displayed
    return (Evidence.PROVED, "canary_named") if is_same else (Evidence.DECLARED, "names_shown")


def _memberships(snapshot: Snapshot, canary: StagedResource | None) -> tuple[Evidence, str]:
    if "Group" in snapshot.unreadable:
        return Evidence.UNREADABLE, "no_groups"
    if comparison.unread(snapshot):
        return Evidence.UNREADABLE, "no_members"
    members = StagedMember.objects.filter(snapshot=snapshot)
    if canary is not None and members.filter(member_id=canary.remote_id).exists():
        return Evidence.PROVED, "canary_member"
    return Evidence.DECLARED, "members_shown" if members.exists() else "nothing_to_show"


def of_systems(systems: Iterable[UUID]) -> dict[UUID, tuple[Capability, ...]]:
    """What can be read of each, by its last complete reading, in the order of `Dimension`. One query."""
    wanted = list(systems)
    complete = Snapshot.objects.filter(system__in=wanted, state=SnapshotState.COMPLETE)
    last = {one.system_id: one for one in complete.order_by("system_id", "-started_at").distinct("system_id")}
    return {system: tuple(_capability(one, last.get(system)) for one in Dimension) for system in wanted}


def _capability(dimension: Dimension, last: Snapshot | None) -> Capability:
    if dimension in _HERE:
        return Capability(dimension, *_HERE[dimension], None)
    if last is None:
        return Capability(dimension, Evidence.UNREADABLE, "never_read", None)
    evidence, word = last.dimensions.get(dimension, (Evidence.UNREADABLE, "not_looked"))
    return Capability(dimension, Evidence(evidence), word, last.started_at)
