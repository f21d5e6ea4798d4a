"""A whole resource in canonical form: names in their proper case, nothing unassigned, nothing read-only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from provisioning.changes import MEMBERS
from provisioning.scim.errors import invalid_syntax, invalid_value, mutability, quoted
from provisioning.scim.metadata.schema import Attribute, ResourceType, Schema
from provisioning.scim.parsing.members import read_member_ids
from provisioning.scim.parsing.notes import Notes, note
from provisioning.scim.parsing.values import by_name, is_blank, read_value

# Older provisioning jobs of Entra name this schema alone when they create a group.
_ADSCIM = "http://schemas.microsoft.com/2006/11/resourcemanagement/adscim"


@dataclass(frozen=True, kw_only=True)
class Normal:
    """A canonical resource. `said` names the top-level attributes that were in it, also the unassigned ones.

    `members` are the listed ids of a group, None where it did not say; they are never part of `document`.
    """

    document: dict[str, Any]
    said: frozenset[str]
    members: tuple[UUID, ...] | None = None


def normalise(document: Mapping[str, Any], resource_type: ResourceType, notes: Notes) -> Normal:
    """The canonical form of a full resource, as POST and PUT bring it.

    Read-only attributes are ignored (RFC 7644 section 3.3); null, `[]` and absent are one (RFC 7643 section 2.5); a
    password is checked and dropped; an unknown schema URN is ignored with a note. Raises invalidSyntax for unknown
    attribute names and wrong `schemas`, invalidValue for wrong types and missing required attributes.
    """
    given = by_name(document)
    _check_schemas(given.pop("schemas", None), resource_type, notes)
    members = _take_members(given, resource_type, notes)
    reader = _Reader(notes=notes, document={}, said=set())
    core: dict[str, Any] = {}
    for name, value in _in_sent_case(document, given):
        extension = resource_type.extension(name)
        if extension is not None:
            reader.extension(extension, value)
        elif ":" in name:
            note(notes, "unknown_schema", at="schemas", sent=name, read_as="ignored")
        else:
            core[name] = value
    reader.attributes(core, find=resource_type.find, prefix="", into=reader.document)
    if members is not None:
        reader.said.add(MEMBERS)
    check_required(reader.document, resource_type)
    return Normal(document=reader.document, said=frozenset(reader.said), members=members)


def check_required(document: Mapping[str, Any], resource_type: ResourceType) -> None:
    """Raise invalidValue if a required attribute has no value; `schemas` is computed and never asked for here."""
    for attribute in resource_type.core:
        names = resource_type.handles if attribute.name in resource_type.handles else (attribute.name,)
        if attribute.required and attribute.stored and all(is_blank(document.get(name)) for name in names):
            raise invalid_value(f"{' or '.join(names)} is required.")


def check_immutable(old: Mapping[str, Any], new: Mapping[str, Any], resource_type: ResourceType) -> None:
    """Raise mutability if a replacement gives an immutable attribute another value (RFC 7644 section 3.5.1).

    Both are canonical. Left out counts as unchanged: the caller keeps the old value (`keep_immutable`).
    """
    for attribute, before, after, at in _immutables(old, new, resource_type):
        if before.get(attribute.name) is not None and after.get(attribute.name) not in (None, before[attribute.name]):
            raise mutability(f"{at} can't be changed once it is set.")


def keep_immutable(old: Mapping[str, Any], new: Mapping[str, Any], resource_type: ResourceType) -> dict[str, Any]:
    """The new document with the immutable values of the old one where a replacement left them out."""
    kept = {name: dict(value) if isinstance(value, dict) else value for name, value in new.items()}
    for extension in resource_type.extensions:
        before = old.get(extension.id, {})
        for attribute in extension.attributes:
            if attribute.mutability == "immutable" and attribute.name in before:
                kept.setdefault(extension.id, {}).setdefault(attribute.name, before[attribute.name])
    return kept


def _immutables(
    old: Mapping[str, Any], new: Mapping[str, Any], resource_type: ResourceType
) -> list[tuple[Attribute, Mapping[str, Any], Mapping[str, Any], str]]:
    found: list[tuple[Attribute, Mapping[str, Any], Mapping[str, Any], str]] = [
        (attribute, old, new, attribute.name) for attribute in resource_type.core
    ]
    for extension in resource_type.extensions:
        before, after = old.get(extension.id, {}), new.get(extension.id, {})
        found.extend(
            (attribute, before, after, f"{extension.id}:{attribute.name}") for attribute in extension.attributes
        )
    return [row for row in found if row[0].mutability == "immutable"]


def _check_schemas(value: Any, resource_type: ResourceType, notes: Notes) -> None:
    """RFC 7643 section 3: it names the core schema. Left out altogether is tolerated, another resource's is not."""
    if is_blank(value):
        note(notes, "schemas_missing", at="schemas", sent="nothing", read_as=resource_type.schema.id)
        return
    if isinstance(value, str):
        note(notes, "schemas_text", at="schemas", sent="a text", read_as="a list of one")
        value = [value]
    if not isinstance(value, list) or not all(isinstance(urn, str) for urn in value):
        raise invalid_syntax("schemas must be a list of URNs.")
    if not any(resource_type.is_core_urn(urn) for urn in value):
        if not any(urn.lower().startswith(_ADSCIM) for urn in value):
            raise invalid_syntax(f"schemas must have {resource_type.schema.id}.")
        note(notes, "schemas_missing", at="schemas", sent="another schema alone", read_as=resource_type.schema.id)
    for urn in value:
        if not resource_type.is_core_urn(urn) and resource_type.extension(urn) is None:
            note(notes, "unknown_schema", at="schemas", sent=urn, read_as="ignored")


def _take_members(given: dict[str, Any], resource_type: ResourceType, notes: Notes) -> tuple[UUID, ...] | None:
    if resource_type.schema.find(MEMBERS) is None or MEMBERS not in given:
        return None
    value = given.pop(MEMBERS)
    if value is None:
        # An unset list of a Go client looks like this. An empty list says "nobody"; null is too little to empty a
        # group on, although RFC 7643 section 2.5 calls them one.
        note(notes, "null_members", at=MEMBERS, sent="null", read_as="not said")
        return None
    return read_member_ids(value)


def _in_sent_case(document: Mapping[str, Any], given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in document.items() if name.lower() in given]


@dataclass(kw_only=True)
class _Reader:
    notes: Notes
    document: dict[str, Any]
    said: set[str]

    def extension(self, schema: Schema, value: Any) -> None:
        if is_blank(value):
            self.said.update(f"{schema.id}:{attribute.name}" for attribute in schema.attributes if attribute.stored)
            return
        if not isinstance(value, dict):
            raise invalid_value(f"{schema.id} must be an object.")
        inside: dict[str, Any] = {}
        self.attributes(by_name(value), find=schema.find, prefix=f"{schema.id}:", into=inside)
        if inside:
            self.document[schema.id] = inside

    def attributes(
        self,
        given: Mapping[str, Any],
        *,
        find: Callable[[str], Attribute | None],
        prefix: str,
        into: dict[str, Any],
    ) -> None:
        for name, value in given.items():
            attribute = find(name)
            if attribute is None:
                raise invalid_syntax(f"There is no attribute {quoted(name)}.", record="There is an unknown attribute.")
            if attribute.read_only:
                continue
            read = read_value(attribute, value, at=f"{prefix}{attribute.name}")
            if attribute.mutability == "writeOnly":
                note(self.notes, "password_dropped", at=attribute.name, sent="hidden", read_as="dropped")
                continue
            self.said.add(f"{prefix}{attribute.name}")
            if read is not None:
                into[attribute.name] = read
