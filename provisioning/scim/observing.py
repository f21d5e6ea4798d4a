"""What a feed said about one resource, taken in as if its system had sent the whole resource to us.

The system's own id is what it calls `externalId` towards us, as for readings: by that a resource is found, or, where the
system never gave one, by its name. What is not found is made. Members are named by the system's own ids too: those that
we don't know are left out, and the change is held for a person to look at.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from provisioning.changes import MEMBERS, Outcome, fold, user_name_key
from provisioning.models.exchange import Exchange
from provisioning.models.shadow import Shadow
from provisioning.scim.effects import Asked, Done
from provisioning.scim.metadata.catalogue import GROUP
from provisioning.scim.parsing.values import by_name
from provisioning.shadows import HANDLES

_EXTERNAL_ID = "externalid"
_HEARD = "heard from its feed, and not sent"


def found(asked: Asked, body: Mapping[str, Any]) -> Shadow | None:
    """The living resource that a feed speaks of."""
    said = by_name(body)
    kind = asked.resource_type.name
    living = Shadow.objects.filter(system=asked.sender.system, resource_type=kind, ended_at__isnull=True)
    by_id = living.filter(external_id=str(said[_EXTERNAL_ID])).first()
    if by_id is not None:
        return by_id
    name = str(said.get(HANDLES[kind].lower(), ""))
    key = fold(name).strip() if kind == GROUP.name else user_name_key(name)
    return living.filter(external_id="", name_key=key).first() if key else None


def is_stale(shadow: Shadow, *, heard: UUID) -> bool:
    """Whether something was accepted about a resource after its feed was heard: that is newer, and stands."""
    later = Exchange.objects.filter(resource_id=shadow.pk, id__gt=heard)
    return later.exclude(outcome__in=[Outcome.REJECTED, Outcome.PARKED, Outcome.SUPERSEDED]).exists()


@dataclass(frozen=True)
class AsSent:
    """What a feed said, as the request that its system would have sent us: so it stands in the ledger, and is replayed."""

    method: str
    path: str
    asked: Asked
    body: Mapping[str, Any]
    strangers: int = 0

    def noted(self, done: Done) -> Done:
        """What became of it, with where it came from; held, where members were left out for a person to look at."""
        taken = dataclasses.replace(done.taken, notes=(*done.taken.notes, _HEARD))
        if self.strangers:
            note = f"members that no resource of ours is known by were left out: {self.strangers}"
            taken = dataclasses.replace(taken, outcome=Outcome.HELD, notes=(*taken.notes, note))
        return dataclasses.replace(done, taken=taken)


def as_sent(asked: Asked, body: Mapping[str, Any]) -> AsSent:
    """A whole resource as its system shows it, as a POST or PUT of it."""
    is_group = asked.resource_type.name == GROUP.name
    document, strangers = _with_our_members(asked, body) if is_group else (body, 0)
    shadow = found(asked, body)
    endpoint = asked.resource_type.endpoint
    if shadow is None:
        return AsSent("POST", endpoint, asked, document, strangers)
    return AsSent("PUT", f"{endpoint}/{shadow.pk}", dataclasses.replace(asked, id=shadow.pk), document, strangers)


def _with_our_members(asked: Asked, body: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """The group with the members that we know by their system's ids, under ours; and how many we don't."""
    kept = {name: value for name, value in body.items() if name.lower() != MEMBERS}
    listed = by_name(body).get(MEMBERS)
    if not isinstance(listed, list):
        return kept, 0
    theirs = {str(one["value"]) for one in listed if isinstance(one, Mapping) and "value" in one}
    living = Shadow.objects.filter(system=asked.sender.system, ended_at__isnull=True, external_id__in=theirs)
    ours = dict(living.values_list("external_id", "pk"))
    kept[MEMBERS] = [{"value": str(ours[one])} for one in sorted(theirs & ours.keys())]
    return kept, len(theirs) - len(ours)
