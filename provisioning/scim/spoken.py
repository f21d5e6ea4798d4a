"""A request as the ledger kept it: whether it can be said again, and of what it speaks.

What was kept is not always what was sent: secrets are masked, and what the schema does not know is left out. What never
had an effect does no harm; anything else that is missing is said, and never guessed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from audit.redaction import MASK
from provisioning.changes import MEMBERS
from provisioning.scim.errors import ScimError
from provisioning.scim.keeping import LEFT_OUT
from provisioning.scim.metadata.schema import ResourceType, Schema
from provisioning.scim.patch.groups import group_steps
from provisioning.scim.patch.operations import Operation, read_patch
from provisioning.scim.patch.strangers import without_strangers

_OPERATIONS = "operations"
_WHOLE = frozenset({"replace", "remove_all"})


class NotKept(ValueError):
    """The ledger does not have all of the request; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """Of which attributes and members a request speaks: `title`, `urn:…:name`, ids. None: of all of them."""

    names: frozenset[str] | None = frozenset()
    members: frozenset[UUID] | None = frozenset()

    def of(self, name: str) -> bool:
        """Whether it speaks of an attribute."""
        return self.names is None or name in self.names

    def of_member(self, ref: UUID) -> bool:
        """Whether it says that somebody is in a group or not."""
        return self.members is None or ref in self.members


EVERYTHING = Spoken(names=None, members=None)


def restored(body: Any, resource_type: ResourceType, *, was_taken: bool) -> dict[str, Any]:
    """The kept body as it can be said again. Raises `NotKept`.

    `was_taken`: the request was accepted, so that a path which was left out had led nowhere, and was ignored. A password
    stays masked: nothing of it was ever kept, and nothing is lost.
    """
    if not isinstance(body, Mapping):
        raise NotKept(_("its body is not kept: it was too long, or is gone"))
    return {
        name: _operations(value, resource_type, was_taken=was_taken) if name.lower() == _OPERATIONS else kept
        for name, value, kept in _members_of(body, resource_type)
    }


def _members_of(value: Mapping[str, Any], kind: ResourceType) -> Iterator[tuple[str, Any, Any]]:
    """The members of an object of the kept body, without the remark of how much was left out."""
    for name, inner in value.items():
        if name == LEFT_OUT:
            continue
        if name.lower() == "schemas":
            yield name, inner, [one for one in inner if one != LEFT_OUT] if isinstance(inner, list) else inner
        elif name.lower() == _OPERATIONS or name in kind.never_shown:
            yield name, inner, inner
        else:
            yield name, inner, _whole(inner, kind, at=name)


def _whole(value: Any, kind: ResourceType, *, at: str) -> Any:
    if isinstance(value, Mapping):
        return {name: kept for name, _inner, kept in _members_of(value, kind)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_whole(one, kind, at=at) for one in value]
    if isinstance(value, str) and MASK in value:
        raise NotKept(_("a secret in it is masked, at %(at)s") % {"at": at})
    if value == LEFT_OUT:
        raise NotKept(_("a part of it is left out, at %(at)s") % {"at": at})
    return value


def _operations(operations: Any, kind: ResourceType, *, was_taken: bool) -> list[Any]:
    if not isinstance(operations, list):
        raise NotKept(_("an operation in it is not kept"))
    found = []
    for one in operations:
        if not isinstance(one, Mapping) or one.get("op") == LEFT_OUT:
            raise NotKept(_("an operation in it is not kept"))
        if one.get("path") == LEFT_OUT:
            if not was_taken:
                raise NotKept(_("a path in it is not kept"))
            continue
        path = str(one.get("path") or "")
        is_secret = path in kind.never_shown
        found.append({n: v if n == "path" or is_secret else _whole(v, kind, at=path or n) for n, v in one.items()})
    return found


def says_nothing(body: Mapping[str, Any]) -> bool:
    """Whether a restored patch has no operation left: all of them had led nowhere."""
    return any(name.lower() == _OPERATIONS and not value for name, value in body.items())


def spoken_of(method: str, body: Any, resource_type: ResourceType, *, was_taken: bool = True) -> Spoken:
    """Of what a kept request speaks. One that can't be read speaks of everything: nothing older goes past it."""
    if method == "DELETE":
        return EVERYTHING
    try:
        whole = restored(body, resource_type, was_taken=was_taken)
        if method in {"POST", "PUT"}:
            lists = method == "POST" or any(name.lower() == MEMBERS for name in whole)
            return Spoken(names=None, members=None if lists else frozenset())
        if says_nothing(whole):
            return Spoken()
        return _of_patch(whole, resource_type)
    except (NotKept, ScimError):
        return EVERYTHING


def _of_patch(body: Mapping[str, Any], kind: ResourceType) -> Spoken:
    patch = read_patch(body, kind)
    if kind.family != "group":
        return Spoken(names=_names(patch.operations))
    others, steps = group_steps(without_strangers(patch).operations)
    everybody = any(step.op in _WHOLE for step in steps)
    named = frozenset(ref for step in steps for ref in step.values)
    return Spoken(names=_names(others), members=None if everybody else named)


def _names(operations: Sequence[Operation]) -> frozenset[str]:
    found: set[str] = set()
    for one in operations:
        ref = one.path.ref
        if ref.attribute is None and ref.extension is not None:
            found |= _inside(ref.extension)
        else:
            found.add(ref.top)
    return frozenset(found)


def _inside(extension: Schema) -> set[str]:
    return {f"{extension.id}:{attribute.name}" for attribute in extension.attributes}


def units(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document by what a request can speak of: top-level attributes, and `urn:…:name` for those of extensions."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        if name.startswith("urn:") and isinstance(value, Mapping):
            found |= {f"{name}:{inner}": one for inner, one in value.items()}
        else:
            found[name] = value
    return found


def joined(found: Mapping[str, Any]) -> dict[str, Any]:
    """The document of these units."""
    document: dict[str, Any] = {}
    for name, value in found.items():
        urn, _colon, inner = name.rpartition(":")
        if urn:
            document.setdefault(urn, {})[inner] = value
        else:
            document[name] = value
    return document
