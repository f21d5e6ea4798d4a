"""Who is in a group, read without any resource: ids only, since lists can be long and steps are set-based."""

import re
from typing import Any
from uuid import UUID

from provisioning.scim.errors import invalid_value

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_KNOWN = frozenset({"value", "$ref", "type", "display"})


def read_id(text: Any, *, at: str) -> UUID:
    """The resource id in a value. Raises invalidValue for what can't be an id of this server: only UUIDs are."""
    if not isinstance(text, str) or not is_id(text):
        raise invalid_value(f"{at} must be the id of a resource of this server.")
    return UUID(text)


def is_id(text: str) -> bool:
    """Whether a text can be an id of this server."""
    return _UUID.fullmatch(text) is not None


def read_member_ids(value: Any, *, at: str = "members") -> tuple[UUID, ...]:
    """The ids in a list of members (or one member), in order and once each.

    A member is an object with `value`; `$ref`, `type` and `display` beside it are not needed and not read. Raises
    invalidValue if one can't be resolved: what is not understood must never become "nobody" or "everybody".
    """
    members = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys([_member_id(member, at=at) for member in members]))


def _member_id(member: Any, *, at: str) -> UUID:
    if not isinstance(member, dict):
        raise invalid_value(f"{at} must be a list of objects with a value.")
    if "value" in member and member.keys() <= _KNOWN:
        return read_id(member["value"], at=f"{at}.value")
    lowered = {name.lower(): inner for name, inner in member.items()}
    if len(lowered) != len(member) or not lowered.keys() <= _KNOWN:
        raise invalid_value(f"{at} has a member with an unknown sub-attribute.")
    return read_id(lowered.get("value"), at=f"{at}.value")
