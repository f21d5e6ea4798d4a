"""Floor: provisioning. Question: what does one resource of a SCIM answer say, in types that can be relied on?

Wrong types are refused here, one resource at a time, so that a poisoned resource is known by itself. Attribute names
are read without regard to case (RFC 7643, 2.1); two spellings of one name in one object are refused, since nobody can
say which of them counts.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from provisioning.connectors.addresses import EgressError

# What says nothing about the account itself: the server's bookkeeping, what groups say, and what is never kept.
_OUTSIDE_DIGEST = frozenset({"meta", "id", "schemas", "groups", "password"})
# PostgreSQL can't hold NUL in text or JSON; the backslashes before the escape must not escape each other away.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_BOOLEAN_WORDS = {"true": True, "false": False}


class BadAnswer(EgressError):
    """An answer of another system is not what its protocol asks for; `status` is its HTTP status where that is why.

    The reason names positions and types, never a value that the other system sent.
    """

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One User as a SCIM server showed it (RFC 7643, 4.1).

    `active` is None where the server says nothing. `document` is the resource as it was sent, without its password.
    `digest` is the SHA-256, in hexadecimal, of the canonical JSON of what describes the account: keys sorted, and
    without meta, id, schemas, groups and password.
    """

    id: str
    external_id: str | None
    user_name: str
    active: bool | None
    document: Mapping[str, Any]
    digest: str

    @classmethod
    def of(cls, resource: Mapping[str, Any]) -> Self:
        """Read a User. Raises `BadAnswer` for wrong types, for no userName, and for text that can't be stored."""
        document = {name: value for name, value in resource.items() if name.casefold() != "password"}
        described = {name: value for name, value in document.items() if name.casefold() not in _OUTSIDE_DIGEST}
        _canonical(document)
        return cls(
            id=_required_text(resource, "id"),
            external_id=_text(resource, "externalId"),
            user_name=_required_text(resource, "userName"),
            active=_boolean(resource, "active"),
            document=document,
            digest=hashlib.sha256(_canonical(described)).hexdigest(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupReading:
    """One Group as a SCIM server showed it (RFC 7643, 4.2).

    The ids of its members are sorted, each named once: `member_ids` those of users (and of members without a type),
    `group_ids` those of groups within it.
    """

    id: str
    external_id: str | None
    display_name: str
    member_ids: tuple[str, ...]
    group_ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, resource: Mapping[str, Any]) -> Self:
        """Read a Group. Raises `BadAnswer` for wrong types, no displayName, and members without a value."""
        _canonical(resource)
        users: set[str] = set()
        groups: set[str] = set()
        for member in _members(resource):
            kind = _text(member, "type") or ""
            (groups if kind.casefold() == "group" else users).add(_required_text(member, "value"))
        return cls(
            id=_required_text(resource, "id"),
            external_id=_text(resource, "externalId"),
            display_name=_required_text(resource, "displayName"),
            member_ids=tuple(sorted(users)),
            group_ids=tuple(sorted(groups)),
        )


def attribute(resource: Mapping[str, Any], name: str) -> Any:
    """Return an attribute whatever the case of its name, or None. Raises `BadAnswer` where two spellings of it are there."""
    found = [key for key in resource if key.casefold() == name.casefold()]
    if len(found) > 1:
        raise BadAnswer(f"A resource has the attribute {name} twice, in different spellings.")
    return resource[found[0]] if found else None


def strict_json(text: str | bytes) -> Any:
    """What JSON text says. Raises `ValueError` or `RecursionError`, also where a name stands twice in one object."""
    return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_constant)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        message = "a name stands twice in one object"
        raise ValueError(message)
    return document


def _no_constant(name: str) -> float:
    message = f"{name} is not JSON"
    raise ValueError(message)


def references(resource: Mapping[str, Any]) -> Iterator[str]:
    """Yield every URL by which a resource says where it or another resource lives: meta.location and each $ref.

    Raises `BadAnswer` for one that is no string. Not URLs about something else, such as photos or profileUrl.
    """
    meta = attribute(resource, "meta")
    if isinstance(meta, Mapping):
        location = _text(meta, "location")
        if location is not None:
            yield location
    open_values: list[Any] = [resource]
    while open_values:
        value = open_values.pop()
        if isinstance(value, list):
            open_values.extend(value)
        elif isinstance(value, Mapping):
            reference = _text(value, "$ref")
            if reference is not None:
                yield reference
            open_values.extend(value.values())


def _members(resource: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    members = attribute(resource, "members")
    if members is None:
        return []
    if not isinstance(members, list) or not all(isinstance(member, Mapping) for member in members):
        raise BadAnswer("A group's members are not a list of objects.")
    return members


def _text(resource: Mapping[str, Any], name: str) -> str | None:
    """Read an optional string; "" and null are unassigned (RFC 7643, 2.5)."""
    value = attribute(resource, name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise BadAnswer(f"A resource's {name} is not a string.")
    return value


def _required_text(resource: Mapping[str, Any], name: str) -> str:
    value = _text(resource, name)
    if value is None:
        raise BadAnswer(f"A resource has no {name}.")
    return value


def _boolean(resource: Mapping[str, Any], name: str) -> bool | None:
    value = attribute(resource, name)
    if isinstance(value, str):
        # Servers that grew up beside Entra keep its spelling, "False".
        value = _BOOLEAN_WORDS.get(value.casefold(), value)
    if value is None or isinstance(value, bool):
        return value
    raise BadAnswer(f"A resource's {name} is neither true nor false.")


def _canonical(document: Mapping[str, Any]) -> bytes:
    """Return the one form of a document that its digest is made of; refuse what PostgreSQL could not keep."""
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        canonical = text.encode()
    except UnicodeEncodeError:
        raise BadAnswer("A resource has half of a surrogate pair in its text.") from None
    except ValueError:
        # "1e999" is a JSON number that no float can hold.
        raise BadAnswer("A resource has a number beyond all bounds.") from None
    except RecursionError:
        raise BadAnswer("A resource is nested too deeply.") from None
    if "\\u0000" in text and _NUL.search(text):
        raise BadAnswer("A resource has a NUL character in its text.")
    return canonical
