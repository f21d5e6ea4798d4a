"""The keys of bodies are wrapped under the newest field key, so that an old one need not be kept. Under the eraser's role.

The keys themselves stay as they are, and what they encrypted is not touched. Slice by slice, each a transaction of its own:
whoever begins again finds what is done already, and passes it over.
"""

from dataclasses import dataclass
from uuid import UUID

from audit import erasing
from audit.journal import record
from provisioning import bodies
from provisioning.models.exchange import BodyKey
from provisioning.states import Event

SLICE = 1_000


@dataclass(frozen=True)
class Slice:
    """How many keys were looked at and how many wrapped anew; `last` is where the next slice goes on, if there is one."""

    seen: int
    wrapped: int
    last: UUID | None


def rewrap(*, after: UUID | None, most: int = SLICE) -> Slice:
    """One slice in the order of the keys' ids, inside the tenant's scope. Raises `BodyUnreadable`, and changes nothing then."""
    found = BodyKey.objects.order_by("pk")
    rows = list((found.filter(pk__gt=after) if after else found)[:most])
    changed = []
    for row in rows:
        anew = bodies.wrapped_anew(row)
        if anew is not None:
            row.wrapped = anew
            changed.append(row)
    if changed:
        with erasing.unlocked():
            BodyKey.objects.bulk_update(changed, ["wrapped"])
        record(
            event=Event.KEYS_WRAPPED,
            sentence=f"{len(changed)} keys of what the ledger keeps are wrapped under the newest field key.",
            facts={"count": len(changed)},
        )
    return Slice(len(rows), len(changed), rows[-1].pk if len(rows) == most else None)
