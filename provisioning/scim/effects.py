"""What a request does: the wire half turns its body into a change, `intake` takes it, and the resource is the answer.

Runs inside the savepoint that `views` opens. Whatever can be wrong with a request leaves here as a `ScimError`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, DataError, IntegrityError

from provisioning import group_intake, intake, parking, shadows
from provisioning.changes import ACTIVE, AccountChange, Coercion, GroupChange
from provisioning.models.shadow import Shadow
from provisioning.scim.answers import Answer
from provisioning.scim.dialects import strict
from provisioning.scim.dialects.resource import coerce_resource
from provisioning.scim.errors import (
    ScimError,
    Unresolved,
    invalid_value,
    mutability,
    not_found,
    precondition_failed,
    uniqueness,
)
from provisioning.scim.metadata.catalogue import USER
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.parsing.change import account_change, group_change
from provisioning.scim.parsing.normal import Normal, check_immutable, keep_immutable, normalise
from provisioning.scim.patch.engine import apply
from provisioning.scim.patch.groups import apply_group
from provisioning.scim.patch.operations import read_patch
from provisioning.scim.patch.strictly import checked_patch
from provisioning.scim.projection import Projection
from provisioning.scim.resources import gather, location, rendered, version
from provisioning.shadows import BadValue, Conflict, Immutable, Sender, Taken

Change = AccountChange | GroupChange
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"', re.ASCII)
# What says who is in a group and who is not, whatever was asked before.
_WHOLE = frozenset({"replace", "remove_all"})
_UNIQUE_VIOLATION = "23505"
# Deadlock, serialization failure, lock timeout: nothing is wrong with the request, and it may be tried once more.
_PASSING = frozenset({"40P01", "40001", "55P03"})


class TryAgain(Exception):
    """The database asks to run the whole transaction again."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One write: by whom, on what, with which body; and how its answer is wanted."""

    sender: Sender
    resource_type: ResourceType
    at: datetime
    base: str
    projection: Projection
    is_projected: bool = False
    id: UUID | None = None
    if_match: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was answered, what became of it, and what was tolerated on the way."""

    answer: Answer
    taken: Taken
    coercions: tuple[Coercion, ...] = ()


def create(asked: Asked, body: Mapping[str, Any]) -> Done:
    """POST (RFC 7644 section 3.3): 201 with the resource and its Location."""
    normal, coercions = _full(asked, body)
    change = _change(asked, normal.document, normal)
    if isinstance(change, AccountChange):
        taken = intake.create_account(sender=asked.sender, change=change, at=asked.at)
    else:
        taken = group_intake.create_group(sender=asked.sender, change=change, at=asked.at)
    return Done(answer=resource(asked, taken.shadow, status=201), taken=taken, coercions=coercions)


def replace(asked: Asked, body: Mapping[str, Any]) -> Done:
    """PUT (section 3.5.1): 200 with the resource; what is not sent is unassigned, what is immutable stays."""
    shadow = locked(asked)
    normal, coercions = _full(asked, body)
    check_immutable(shadow.document, normal.document, asked.resource_type)
    document = keep_immutable(shadow.document, normal.document, asked.resource_type)
    taken = _take(asked, shadow, _change(asked, document, normal))
    return Done(answer=resource(asked, taken.shadow), taken=taken, coercions=coercions)


def patch(asked: Asked, body: Mapping[str, Any]) -> Done:
    """PATCH (section 3.5.2): all operations or none. 204 for a group, as Entra prefers, unless attributes are asked."""
    is_strict = asked.sender.system.is_strict
    with strict.naming(is_strict=is_strict):
        operations = read_patch(body, asked.resource_type)
    operations = checked_patch(operations, is_strict=is_strict)
    shadow = locked(asked)
    change: Change
    if asked.resource_type is USER:
        before = {**shadow.document, ACTIVE: shadows.seen_active(shadow, asked.at)}
        result = apply(before, operations, USER)
        change, coercions = account_change(result.document, said=result.said), result.coercions
    else:
        group = apply_group(shadow.document, operations)
        change = group_change(group.document, said=group.said, member_steps=group.member_steps)
        coercions = group.coercions
    strict.refuse(coercions, is_strict=is_strict)
    taken = _take(asked, shadow, change)
    if asked.resource_type is USER or asked.is_projected:
        return Done(answer=resource(asked, taken.shadow), taken=taken, coercions=coercions)
    return Done(answer=_nothing(asked, taken.shadow), taken=taken, coercions=coercions)


def end(asked: Asked) -> Done:
    """DELETE (section 3.6): 204, and 404 from now on."""
    shadow = locked(asked)
    finish: Callable[..., Taken] = intake.end_account if asked.resource_type is USER else group_intake.end_group
    taken = finish(sender=asked.sender, shadow=shadow, at=asked.at)
    if asked.resource_type is not USER:
        parking.settle(group=shadow, because="its system ended the group", at=asked.at)
    return Done(answer=Answer(status=204), taken=taken)


def resource(asked: Asked, shadow: Shadow, *, status: int = 200) -> Answer:
    """The answer that shows one resource, with its Location and entity tag."""
    around = gather([shadow], system=asked.sender.system, projection=asked.projection, base=asked.base)
    body = rendered(shadow, around, base=asked.base, at=asked.at, projection=asked.projection, in_full=True)
    tag = version(shadow, around, at=asked.at)
    return Answer(status=status, body=body, headers={"Location": location(shadow, asked.base), "ETag": tag})


def _nothing(asked: Asked, shadow: Shadow) -> Answer:
    around = gather([], system=asked.sender.system, projection=asked.projection, base=asked.base)
    tag = version(shadow, around, at=asked.at)
    return Answer(status=204, headers={"Location": location(shadow, asked.base), "ETag": tag})


def locked(asked: Asked) -> Shadow:
    """The resource, locked until the end of the transaction. Raises 404, and 412 if If-Match is of another state."""
    shadow = None
    if asked.id is not None:
        name = asked.resource_type.name
        shadow = shadows.lock_shadow(system=asked.sender.system, resource_type=name, id=asked.id)
    if shadow is None:
        raise not_found()
    if asked.if_match is not None:
        around = gather([shadow], system=asked.sender.system, projection=asked.projection, base=asked.base)
        if not matches(asked.if_match, version(shadow, around, at=asked.at)):
            raise precondition_failed()
    return shadow


def matches(header: str, tag: str) -> bool:
    """Whether If-Match or If-None-Match names the tag; compared weakly, since all of ours are weak."""
    if header.strip() == "*":
        return True
    return tag.removeprefix("W/") in {found.removeprefix("W/") for found in _TAG.findall(header)}


def _full(asked: Asked, body: Mapping[str, Any]) -> tuple[Normal, tuple[Coercion, ...]]:
    plain, coercions = coerce_resource(body, asked.resource_type)
    notes = list(coercions)
    normal = normalise(plain, asked.resource_type, notes)
    strict.refuse(notes, is_strict=asked.sender.system.is_strict)
    return normal, tuple(notes)


def _change(asked: Asked, document: Mapping[str, Any], normal: Normal) -> Change:
    if asked.resource_type is USER:
        return account_change(document, said=normal.said)
    return group_change(document, said=normal.said, members=normal.members)


def _take(asked: Asked, shadow: Shadow, change: Change) -> Taken:
    if isinstance(change, AccountChange):
        return intake.change_account(sender=asked.sender, shadow=shadow, change=change, at=asked.at)
    taken = group_intake.change_group(sender=asked.sender, shadow=shadow, change=change, at=asked.at)
    if any(step.op in _WHOLE for step in change.member_steps):
        parking.settle(group=shadow, because="its system stated the whole membership", at=asked.at)
    return taken


def unavailable() -> ScimError:
    """503: the database gave the transaction up several times, for reasons that pass. Nothing took effect."""
    return ScimError(503, None, "The server is busy with other changes; try again.", headers={"Retry-After": "1"})


def translated(error: Exception) -> ScimError | None:
    """The SCIM error for what a request can cause, and None for a bug. Never a word of the database's own.

    Raises `TryAgain` where the database gave the transaction up for reasons that pass.
    """
    match error:
        case ScimError():
            return error
        case Conflict():
            return uniqueness(f"Another resource of this connection has this {error.field}.")
        case Immutable():
            return mutability(f"{error.attribute} can't be changed once it is set.")
        case BadValue():
            parks = isinstance(error, parking.UnknownMembers)
            record = f"{error.attribute}: {error.detail}." if parks else f"{error.attribute} can't be taken."
            refused = Unresolved if parks else ScimError
            return refused(400, "invalidValue", f"{error.attribute}: {error.detail}.", record=record)
        case DatabaseError():
            return _of_database(error)
        case _:
            return None


def _of_database(error: DatabaseError) -> ScimError | None:
    state = getattr(error.__cause__, "sqlstate", None)
    if state in _PASSING:
        raise TryAgain from error
    if isinstance(error, DataError):
        return invalid_value("A value can't be stored.")
    if isinstance(error, IntegrityError) and state == _UNIQUE_VIOLATION:
        return uniqueness("Another resource of this connection has one of these values.")
    if isinstance(error, IntegrityError):
        return ScimError(409, None, "The request conflicts with another one, or with a rule of the roll.")
    return None
