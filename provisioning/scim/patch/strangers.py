"""Members that a PATCH adds under ids which this server never gave: names of somebody else's.

Whoever sends them has no id of ours for that member, and asks about it again with every synchronisation. The others
come in, the stranger does not, the answer shows that, and the exchange is held for a person to look at. An id that could
be ours and is none is refused as ever: that one was wrong. So is a stranger among those who replace all members.
"""

from dataclasses import replace
from typing import Any

from provisioning.changes import MEMBERS
from provisioning.scim.errors import ScimError
from provisioning.scim.parsing.members import read_id
from provisioning.scim.parsing.notes import Notes, note
from provisioning.scim.patch.operations import Operation, Patch

RULE = "unknown_member"
"""By which a stranger is noted."""


def without_strangers(patch: Patch) -> Patch:
    """The patch without the strangers that it adds, each noted."""
    notes: Notes = list(patch.coercions)
    kept = (_without(operation, notes) for operation in patch.operations)
    return Patch(operations=tuple(one for one in kept if one is not None), coercions=tuple(notes))


def _without(operation: Operation, notes: Notes) -> Operation | None:
    ref, path = operation.path.ref, operation.path
    adds = operation.op == "add" and ref.top == MEMBERS and ref.sub is None and path.value_filter is None
    if not adds:
        return operation
    members = operation.value if isinstance(operation.value, list) else [operation.value]
    strangers = [one for one in members if _is_stranger(one)]
    if not strangers:
        return operation
    for one in strangers:
        note(notes, "unknown_member", at=MEMBERS, sent=str(_value(one)), read_as="left out")
    known = [one for one in members if one not in strangers]
    return replace(operation, value=known) if known else None


def _value(member: Any) -> Any:
    return next((inner for name, inner in member.items() if name.lower() == "value"), None)


def _is_stranger(member: Any) -> bool:
    """Whether it names somebody, in a way that is none of ours; what names nobody is a malformed member."""
    text = _value(member) if isinstance(member, dict) else None
    if not isinstance(text, str) or not text.strip():
        return False
    try:
        read_id(text, at=MEMBERS)
    except ScimError:
        return True
    return False
