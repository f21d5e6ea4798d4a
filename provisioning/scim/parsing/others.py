"""A resource in the words of somebody else's schema for the same thing, put into those of ours."""

from collections.abc import Mapping
from typing import Any

from provisioning.scim.errors import invalid_syntax
from provisioning.scim.metadata.schema import OtherSchema, ResourceType
from provisioning.scim.parsing.notes import Notes, note, shown


def in_our_words(document: Mapping[str, Any], resource_type: ResourceType, notes: Notes) -> Mapping[str, Any]:
    """The same resource by our own schema, each difference noted. Raises invalidSyntax for a value in both words."""
    said = _named(document, resource_type)
    names = {theirs.lower(): ours for other in resource_type.others for theirs, ours in other.names}
    lowered = {name.lower() for name in document}
    ours_of = {name: names[name.lower()] for name in document if name.lower() in names}
    if said is None and not ours_of:
        return document
    plain: dict[str, Any] = {name: value for name, value in document.items() if name not in ours_of}
    for theirs, ours in ours_of.items():
        if ours.lower() in lowered:
            raise invalid_syntax(f"{ours} is given twice, once as {theirs}.")
        note(notes, "other_name", at=ours, sent=theirs, read_as=ours)
        plain[ours] = document[theirs]
    return plain if said is None else _filled(plain, said, resource_type, notes)


def _named(document: Mapping[str, Any], resource_type: ResourceType) -> OtherSchema | None:
    """The other schema that its `schemas` name, where they name it instead of ours."""
    schemas = next((value for name, value in document.items() if name.lower() == "schemas"), None)
    urns = [urn for urn in schemas if isinstance(urn, str)] if isinstance(schemas, list) else []
    return next((other for other in map(resource_type.other, urns) if other is not None), None)


def _filled(plain: dict[str, Any], said: OtherSchema, resource_type: ResourceType, notes: Notes) -> dict[str, Any]:
    note(notes, "other_schema", at="schemas", sent=said.id, read_as=resource_type.schema.id)
    schemas = next(name for name in plain if name.lower() == "schemas")
    others = [urn for urn in plain[schemas] if not (isinstance(urn, str) and urn.lower() == said.id.lower())]
    core = resource_type.schema.id
    is_named = any(isinstance(urn, str) and resource_type.is_core_urn(urn) for urn in others)
    plain[schemas] = others if is_named else [core, *others]
    for name, source in said.fills:
        if name.lower() not in {known.lower() for known in plain} and plain.get(source) is not None:
            note(notes, "other_name", at=name, sent=shown(plain[source]), read_as=f"the same as {source}")
            plain[name] = plain[source]
    return plain
