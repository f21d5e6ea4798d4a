"""In which lane a change goes, and whether it takes access away: what the queue must know before anything is applied.

Pure: reads the body alone. What it can't read is no reduction, and is refused when it is applied.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from provisioning.changes import ACTIVE, MEMBERS, user_name_key
from provisioning.scim.errors import ScimError
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.parsing.values import BOOLEAN_TEXTS, by_name
from provisioning.scim.patch.operations import Operation, read_patch
from provisioning.shadows import HANDLES


class Reduction(StrEnum):
    """A change that takes access away, and how much of its resource it states besides."""

    PART = "part"
    """The status, or who leaves, and nothing else: what others said of the rest still stands."""
    WHOLE = "whole"
    """What the whole resource is to be, or that it is no more."""


def name_in(body: Mapping[str, Any], kind: ResourceType) -> str:
    """What a resource that is to be made is called, in the form in which names are compared; nothing if it isn't said."""
    wanted = {HANDLES[kind.name].lower(), "externalid"}
    said = {name.lower(): value for name, value in body.items() if name.lower() in wanted}
    for name in (HANDLES[kind.name].lower(), "externalid"):
        value = said.get(name)
        if isinstance(value, str) and (key := user_name_key(value)):
            return f"{kind.name}:{key}"
    return ""


def reduction(method: str, body: Mapping[str, Any], kind: ResourceType) -> Reduction | None:
    """Whether a change explicitly takes access away: the end of a resource, `active: false`, members who leave."""
    if method == "DELETE":
        return Reduction.WHOLE
    try:
        if method == "PUT" and kind.family == "account":
            return Reduction.WHOLE if _is_false(by_name(body).get(ACTIVE)) else None
        if method == "PATCH":
            return _of_patch(read_patch(body, kind).operations, kind)
    except ScimError:
        return None
    return None


def _of_patch(operations: tuple[Operation, ...], kind: ResourceType) -> Reduction | None:
    if kind.family == "group":
        leave = operations and all(one.op == "remove" and one.path.ref.top == MEMBERS for one in operations)
        return Reduction.PART if leave else None
    about_status = [one for one in operations if one.path.ref.top == ACTIVE]
    if kind.family != "account" or not about_status or about_status[-1].op == "remove":
        return None
    if not _is_false(about_status[-1].value):
        return None
    return Reduction.PART if len(about_status) == len(operations) else Reduction.WHOLE


def _is_false(value: Any) -> bool:
    return value is False or (isinstance(value, str) and BOOLEAN_TEXTS.get(value) is False)


def is_addressed(method: str, resource_id: UUID | None) -> bool:
    """Whether it is known of which resource it speaks: one that is to be made, or one of ours."""
    return method == "POST" or resource_id is not None
