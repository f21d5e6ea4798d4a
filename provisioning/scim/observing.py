"""What a feed said about one resource, taken in as if its system had sent the whole resource to us.

The system's own id is what it calls `externalId` towards us, as for readings: by that a resource is found, or, where the
system never gave one, by its name. What is not found is made. Members are named by the system's own ids too: those that
we don't know are left out, and the change is held for a person to look at.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from provisioning.changes import MEMBERS, Outcome, fold, user_name_key
from provisioning.models.exchange import Exchange
from provisioning.models.shadow import Shadow
from provisioning.scim import effects
from provisioning.scim.effects import Asked, Done
from provisioning.scim.metadata.catalogue import GROUP
from provisioning.scim.parsing.values import by_name
from provisioning.shadows import HANDLES

METHOD = "FEED"
_EXTERNAL_ID = "externalid"


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


def observe(asked: Asked, body: Mapping[str, Any]) -> Done:
    """Take in a whole resource as its system shows it. Raises as `effects.create` and `effects.replace` do."""
    document, strangers = _with_our_members(asked, body) if asked.resource_type.name == GROUP.name else (body, 0)
    shadow = found(asked, body)
    if shadow is None:
        done = effects.create(asked, document)
    else:
        done = effects.replace(dataclasses.replace(asked, id=shadow.pk), document)
    if not strangers:
        return done
    note = f"members that no resource of ours is known by were left out: {strangers}"
    taken = dataclasses.replace(done.taken, outcome=Outcome.HELD, notes=(*done.taken.notes, note))
    return dataclasses.replace(done, taken=taken)


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
