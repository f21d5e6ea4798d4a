"""What a request does: the wire half turns its body into a change, `intake` takes it, and the resource is the answer.

Runs inside the savepoint that `views` opens. Whatever can be wrong with a request leaves here as a `ScimError`.
"""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from django.db import DatabaseError, DataError, IntegrityError
from django.utils.functional import SimpleLazyObject

from accounts.models.system import System
from audit.outages import is_outage
from provisioning import catalogue_intake, group_intake, intake, parking, shadows, systems
from provisioning.changes import ACTIVE, AccountChange, CatalogueChange, Coercion, GroupChange, MemberStep, Outcome
from provisioning.models.shadow import Shadow
from provisioning.scim.answers import Answer
from provisioning.scim.authentication import Caller
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
from provisioning.scim.metadata.schema import Family, ResourceType
from provisioning.scim.parsing.change import account_change, catalogue_change, group_change
from provisioning.scim.parsing.normal import Normal, check_immutable, keep_immutable, normalise
from provisioning.scim.patch.engine import apply
from provisioning.scim.patch.groups import apply_group
from provisioning.scim.patch.operations import Patch, read_patch
from provisioning.scim.patch.strangers import RULE as STRANGER
from provisioning.scim.patch.strangers import without_strangers
from provisioning.scim.patch.strictly import checked_patch
from provisioning.scim.projection import Projection
from provisioning.scim.resources import Around, around_tag, gather, is_large, living, location, rendered, version
from provisioning.scim.streams import Stream, members_digest
from provisioning.shadows import BadValue, Conflict, Immutable, Sender, Taken

Change = AccountChange | GroupChange | CatalogueChange
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"', re.ASCII)
# What says who is in a group and who is not, whatever was asked before.
_WHOLE = frozenset({"replace", "remove_all"})
_CREATED = 201
_UNIQUE_VIOLATION = "23505"
# Deadlock, serialization failure, lock timeout: nothing is wrong with the request, and it may be tried once more.
_PASSING = frozenset({"40P01", "40001", "55P03"})


@dataclass(frozen=True)
class _Door:
    """How what a system says of one family of resources is taken in."""

    create: Callable[..., Taken]
    change: Callable[..., Taken]
    end: Callable[..., Taken]


_DOORS: dict[Family, _Door] = {
    "account": _Door(intake.create_account, intake.change_account, intake.end_account),
    "group": _Door(group_intake.create_group, group_intake.change_group, group_intake.end_group),
    "catalogue": _Door(catalogue_intake.create_entry, catalogue_intake.change_entry, catalogue_intake.end_entry),
}


class Wanted(StrEnum):
    """What the sender of a write wants to be answered (RFC 7240 section 4.2)."""

    WHATEVER = ""
    MINIMAL = "minimal"
    REPRESENTATION = "representation"


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
    wants: Wanted = Wanted.WHATEVER
    id: UUID | None = None
    if_match: str | None = None


@dataclass(frozen=True, kw_only=True)
class Done:
    """What was answered, what became of it, and what was tolerated on the way."""

    answer: Answer
    taken: Taken
    coercions: tuple[Coercion, ...] = ()


def sender(caller: Caller, *, exchange_id: UUID, at: datetime) -> Sender:
    """Who speaks in an exchange, and who counts as having asked."""
    system = caller.system
    # Asked for only where something has to wait for people.
    people = SimpleLazyObject(lambda: frozenset(systems.requesters(system=system, at=at)))
    requesters = cast("Collection[UUID]", people)
    return Sender(
        system=system, asked_by=system.name, exchange_id=exchange_id, requesters=requesters, rules=caller.rules
    )


def create(asked: Asked, body: Mapping[str, Any]) -> Done:
    """POST (RFC 7644 section 3.3): 201 with the resource and its Location."""
    change, coercions = made(asked, body)
    taken = take_new(asked, change)
    return Done(answer=resource(asked, taken.shadow, status=201), taken=taken, coercions=coercions)


def made(asked: Asked, body: Mapping[str, Any]) -> tuple[Change, tuple[Coercion, ...]]:
    """What a resource is to be that is made."""
    normal, coercions = _full(asked, body)
    return change_to(asked.resource_type, normal.document, said=normal.said, members=normal.members), coercions


def take_new(asked: Asked, change: Change) -> Taken:
    """Make a resource by the door of its family."""
    return _DOORS[asked.resource_type.family].create(sender=asked.sender, change=change, at=asked.at)


def replace(asked: Asked, body: Mapping[str, Any]) -> Done:
    """PUT (section 3.5.1): 200 with the resource; what is not sent is unassigned, what is immutable stays."""
    shadow = locked(asked)
    change, coercions = replaced(asked, shadow, body)
    taken = take(asked, shadow, change)
    return Done(answer=resource(asked, taken.shadow), taken=taken, coercions=coercions)


def replaced(asked: Asked, shadow: Shadow, body: Mapping[str, Any]) -> tuple[Change, tuple[Coercion, ...]]:
    """What a resource is to be after a replacement."""
    normal, coercions = _full(asked, body)
    check_immutable(shadow.document, normal.document, asked.resource_type)
    document = keep_immutable(shadow.document, normal.document, asked.resource_type)
    return change_to(asked.resource_type, document, said=normal.said, members=normal.members), coercions


def patch(asked: Asked, body: Mapping[str, Any]) -> Done:
    """PATCH (section 3.5.2): all operations or none. 204 for a large group, unless attributes are asked for."""
    operations = _operations(asked, body)
    shadow = locked(asked)
    change, coercions = _patched(asked, shadow, operations)
    strict.refuse(coercions, is_strict=asked.sender.system.is_strict)
    taken = _held_for(coercions, take(asked, shadow, change))
    shows = asked.is_projected or asked.wants != Wanted.WHATEVER
    if shows or not is_large(taken.shadow, system=asked.sender.system):
        return Done(answer=resource(asked, taken.shadow), taken=taken, coercions=coercions)
    return Done(answer=_nothing(asked, taken.shadow), taken=taken, coercions=coercions)


def patched(asked: Asked, shadow: Shadow, body: Mapping[str, Any]) -> tuple[Change, tuple[Coercion, ...]]:
    """What a resource is to be after a patch."""
    return _patched(asked, shadow, _operations(asked, body))


def _operations(asked: Asked, body: Mapping[str, Any]) -> Patch:
    is_strict = asked.sender.system.is_strict
    with strict.naming(is_strict=is_strict):
        operations = read_patch(body, asked.resource_type)
    return checked_patch(operations, is_strict=is_strict)


def _patched(asked: Asked, shadow: Shadow, operations: Patch) -> tuple[Change, tuple[Coercion, ...]]:
    """What the resource is to be after a patch."""
    kind = asked.resource_type
    if kind.family == "group":
        group = apply_group(shadow.document, without_strangers(operations))
        return group_change(group.document, said=group.said, member_steps=group.member_steps), group.coercions
    if kind.family == "catalogue":
        entry = apply(shadow.document, operations, kind)
        return catalogue_change(entry.document, resource_type=kind), entry.coercions
    result = apply({**shadow.document, ACTIVE: shadows.seen_active(shadow, asked.at)}, operations, kind)
    return account_change(result.document, said=result.said, resource_type=kind), result.coercions


def _held_for(coercions: tuple[Coercion, ...], taken: Taken) -> Taken:
    """What was left out for a person to look at makes of a change one that is held."""
    strangers = sum(one.rule == STRANGER for one in coercions)
    if not strangers:
        return taken
    held = f"members that no id of ours names were left out: {strangers}"
    return dataclasses.replace(taken, outcome=Outcome.HELD, notes=(*taken.notes, held))


def end(asked: Asked) -> Done:
    """DELETE (section 3.6): 204, and 404 from now on."""
    return Done(answer=Answer(status=204), taken=take_end(asked, locked(asked)))


def take_end(asked: Asked, shadow: Shadow) -> Taken:
    """End a resource, locked already, by the door of its family."""
    taken = _DOORS[asked.resource_type.family].end(sender=asked.sender, shadow=shadow, at=asked.at)
    if asked.resource_type.family == "group":
        parking.settle(group=shadow, because="its system ended the group", at=asked.at)
    return taken


def resource(asked: Asked, shadow: Shadow, *, status: int = 200) -> Answer:
    """The answer that shows one resource, with its Location and entity tag."""
    system, projection, base = asked.sender.system, asked.projection, asked.base
    if asked.wants == Wanted.MINIMAL and not asked.is_projected:
        return _nothing(asked, shadow, status=status if status == _CREATED else 204)
    # A user who has just been made is in no group.
    is_new = status == _CREATED and asked.resource_type.family == "account"
    around = around_tag(shadow) if is_new else gather([shadow], system=system, projection=projection, base=base)
    headers = {"Location": location(shadow, base), "ETag": version(shadow, around, at=asked.at)}
    if asked.wants == Wanted.REPRESENTATION:
        headers["Preference-Applied"] = f"return={asked.wants}"
    if around.seal:
        stream = streamed_one(shadow, system=system, projection=projection, base=base, at=asked.at, seal=around.seal)
        return Answer(status=status, headers=headers, stream=stream, brief=_brief(shadow, around, asked))
    body = rendered(shadow, around, base=base, at=asked.at, projection=projection, in_full=True)
    return Answer(status=status, body=body, headers=headers)


def _brief(shadow: Shadow, around: Around, asked: Asked) -> dict[str, Any]:
    """What the ledger keeps of an answer that nobody holds."""
    members = members_digest([shadow.group_id] if shadow.group_id else [], system=asked.sender.system)
    return {"id": str(shadow.pk), "version": version(shadow, around, at=asked.at), "digest": members}


def streamed_one(
    shadow: Shadow, *, system: System, projection: Projection, base: str, at: datetime, seal: str
) -> Stream:
    """The answer that shows one resource with more members than are held at once.

    It shows the resource of the moment in which it is sent: with the version that has these members, which may be a
    later one than in the headers. Whoever goes on from there with the earlier one is refused, and reads again.
    """

    def make() -> Mapping[str, Any]:
        now = living(system).get(pk=shadow.pk)
        around = gather([now], system=system, projection=projection, base=base, seal=seal)
        return rendered(now, around, base=base, at=at, projection=projection, in_full=True)

    return Stream(system=system, base=base, projection=projection, seal=seal, make=make)


def _nothing(asked: Asked, shadow: Shadow, *, status: int = 204) -> Answer:
    """That it was done, and no body: the address and the entity tag say the rest."""
    tag = version(shadow, around_tag(shadow), at=asked.at)
    headers = {"Location": location(shadow, asked.base), "ETag": tag}
    if asked.wants == Wanted.MINIMAL:
        headers["Preference-Applied"] = f"return={asked.wants}"
    return Answer(status=status, headers=headers)


def read_preference(header: str) -> Wanted:
    """Which answer the header `Prefer` asks for (RFC 7240 section 4.2); of several the first, of others nothing."""
    for preference in header.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "return":
            wanted = value.strip().strip('"').lower()
            return Wanted(wanted) if wanted in {*Wanted} else Wanted.WHATEVER
    return Wanted.WHATEVER


def locked(asked: Asked) -> Shadow:
    """The resource, locked until the end of the transaction. Raises 404, and 412 if If-Match is of another state."""
    shadow = None
    if asked.id is not None:
        name = asked.resource_type.name
        shadow = shadows.lock_shadow(system=asked.sender.system, resource_type=name, id=asked.id)
    if shadow is None:
        raise not_found()
    if asked.if_match is not None and not matches(asked.if_match, version(shadow, around_tag(shadow), at=asked.at)):
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


def change_to(
    kind: ResourceType,
    document: Mapping[str, Any],
    *,
    said: frozenset[str],
    members: tuple[UUID, ...] | None = None,
    member_steps: tuple[MemberStep, ...] = (),
) -> Change:
    """The change that makes a resource this canonical document; `members` replace whoever was in a group."""
    if kind.family == "account":
        return account_change(document, said=said, resource_type=kind)
    if kind.family == "group":
        return group_change(document, said=said, members=members, member_steps=member_steps)
    return catalogue_change(document, resource_type=kind)


def take(asked: Asked, shadow: Shadow, change: Change) -> Taken:
    """Change a resource, locked already, by the door of its family."""
    door = _DOORS[asked.resource_type.family]
    taken = door.change(sender=asked.sender, shadow=shadow, change=change, at=asked.at)
    if isinstance(change, GroupChange) and any(step.op in _WHOLE for step in change.member_steps):
        parking.settle(group=shadow, because="its system stated the whole membership", at=asked.at)
    return taken


def unavailable() -> ScimError:
    """503: the database gave the transaction up several times, for reasons that pass. Nothing took effect."""
    return ScimError(503, None, "The server is busy with other changes; try again.", headers={"Retry-After": "1"})


def translated(error: Exception) -> ScimError | None:
    """The SCIM error for what a request can cause, and None for a bug. Never a word of the database's own.

    Raises `TryAgain` where the database gave the transaction up for reasons that pass, and the error itself where the
    database is away.
    """
    if is_outage(error):
        raise error
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
