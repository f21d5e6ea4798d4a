"""SCIM documents of people, machines and groups: as a directory keeps them, and as it sends them on.

A reference (manager, owner, member) is the id of a resource in the system that the document is for.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from demo.nouns import Machine, Person, Team

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
NHI = "urn:rollcall:scim:schemas:extension:nhi:1.0:User"


def person_document(person: Person, *, manager_id: str | None) -> dict[str, Any]:
    """A person, with employee data."""
    enterprise: dict[str, Any] = {"employeeNumber": person.employee_number, "department": person.department}
    if manager_id:
        enterprise["manager"] = {"value": manager_id}
    return {
        "schemas": [USER, ENTERPRISE],
        "userName": person.user_name,
        "name": {"givenName": person.given, "familyName": person.family, "formatted": person.name},
        "displayName": person.name,
        "title": person.title,
        "active": True,
        "emails": [{"value": person.user_name, "type": "work", "primary": True}],
        ENTERPRISE: enterprise,
    }


def machine_document(machine: Machine, *, owner_id: str | None) -> dict[str, Any]:
    """A non-human identity; the owner is offered where `owner_id` is given."""
    extension: dict[str, Any] = {
        "kind": machine.kind,
        "purpose": machine.purpose,
        "environment": machine.environment,
        "expiresAt": machine.expires_at.isoformat().replace("+00:00", "Z"),
    }
    if owner_id:
        extension["owners"] = [{"value": owner_id, "type": "primary"}]
    return {
        "schemas": [USER, NHI],
        "userName": machine.user_name,
        "displayName": machine.user_name,
        "active": True,
        NHI: extension,
    }


def group_document(group: Team, *, ids: Mapping[str, str]) -> dict[str, Any]:
    """A group; `ids` are those of its members, by user name."""
    members = [{"value": ids[name], "type": "User"} for name in group.members]
    return {"schemas": [GROUP], "displayName": group.name, "members": members}


def references(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every reference of a document to another resource: its manager, owners, members."""
    manager = document.get(ENTERPRISE, {}).get("manager")
    if manager:
        yield manager
    yield from document.get(NHI, {}).get("owners") or ()
    yield from document.get("members") or ()


def provisioned(resource: dict[str, Any], *, ids: Mapping[str, str]) -> dict[str, Any]:
    """A directory's resource as it is sent to another system: its id becomes the externalId, references are replaced.

    `ids` are the other system's ids by the directory's. A KeyError names a reference that it does not know yet.
    """
    document = copy.deepcopy({name: value for name, value in resource.items() if name not in {"id", "meta"}})
    document["externalId"] = resource["id"]
    for reference in references(document):
        reference["value"] = ids[reference["value"]]
        reference.pop("$ref", None)
    return document


def waves(resources: Iterable[dict[str, Any]], *, known: Iterable[str]) -> Iterator[list[dict[str, Any]]]:
    """Resources in the order in which they can be created: each wave refers only to earlier ones, or to known ids.

    A ValueError where some refer to each other in a circle, or to nothing that exists.
    """
    done = set(known)
    waiting = [(one, {reference["value"] for reference in references(one)}) for one in resources]
    while waiting:
        wave = [one for one, needs in waiting if needs <= done]
        if not wave:
            names = ", ".join(sorted(str(one.get("userName") or one.get("displayName")) for one, _ in waiting)[:5])
            raise ValueError(f"nobody can be created first of {len(waiting)} resources that refer to others: {names}")
        yield wave
        done.update(one["id"] for one in wave)
        waiting = [(one, needs) for one, needs in waiting if one["id"] not in done]
