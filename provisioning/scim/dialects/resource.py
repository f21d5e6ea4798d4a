"""Bodies of POST and PUT, and every value of a PATCH, as plain SCIM."""

from collections.abc import Mapping
from typing import Any

from provisioning.changes import MEMBERS, Coercion
from provisioning.scim.dialects.members import coerce_members
from provisioning.scim.dialects.texts import from_json_text
from provisioning.scim.errors import invalid_value
from provisioning.scim.metadata.schema import Attribute, Ref, ResourceType, Schema
from provisioning.scim.parsing.notes import Notes, note, shown
from provisioning.scim.parsing.others import in_our_words
from provisioning.scim.parsing.values import BOOLEAN_TEXTS

# What may stand beside a single value that is sent as an object, without saying anything.
_BESIDE_VALUE = frozenset({"value", "$ref", "display", "type", "primary"})


def coerce_resource(
    document: Mapping[str, Any], resource_type: ResourceType
) -> tuple[dict[str, Any], tuple[Coercion, ...]]:
    """The body of a POST or PUT as plain SCIM, with what was tolerated. The input is not changed.

    Names stay in the case they were sent in, and unknown ones stay: `parsing.normal.normalise` judges them.
    """
    notes: Notes = []
    plain: dict[str, Any] = {}
    document = in_our_words(document, resource_type, notes)
    # What has a path as its name goes last, so that it is put beside what stands there under its own name.
    for name, value in sorted(
        _opened(document, resource_type, notes), key=lambda item: _is_path(item[0], resource_type)
    ):
        ref = resource_type.resolve(name)
        extension = resource_type.extension(name)
        if extension is not None:
            plain[name] = coerce_extension(extension, value, notes)
        elif ref is None or ref.attribute is None or name.lower() == "schemas":
            plain[name] = value
        elif not _is_path(name, resource_type):
            # An unprefixed extension attribute is unknown in a body; only paths and filters find it.
            known = ref.extension is None
            plain[name] = coerce_value(ref.attribute, value, at=ref.path, notes=notes) if known else value
        else:
            _put(plain, ref, value, notes=notes)
    return plain, tuple(notes)


def _opened(document: Mapping[str, Any], resource_type: ResourceType, notes: Notes) -> list[tuple[str, Any]]:
    """The names and values of a body; what stands under the URN of the core schema as if it stood beside it."""
    found: list[tuple[str, Any]] = []
    for name, value in document.items():
        inside = core_content(name, value, resource_type, notes)
        found.extend(inside.items() if inside is not None else [(name, value)])
    return found


def core_content(name: str, value: Any, resource_type: ResourceType, notes: Notes) -> dict[str, Any] | None:
    """What an object under the URN of the core schema holds; None if it is none. See the rule `core_urn_object`."""
    if not resource_type.is_core_urn(name) or not isinstance(value, dict):
        return None
    note(notes, "core_urn_object", at="schemas", sent=resource_type.schema.id, read_as="its content")
    return value


def coerce_extension(schema: Schema, value: Any, notes: Notes) -> Any:
    """The object of an extension with each of its attributes coerced."""
    value = from_json_text(value, at=schema.id, notes=notes)
    if not isinstance(value, dict):
        return value
    coerced: dict[str, Any] = {}
    for name, inner in value.items():
        attribute = schema.find(name)
        if attribute is not None:
            coerced[name] = coerce_value(attribute, inner, at=f"{schema.id}:{attribute.name}", notes=notes)
        elif name.lower() == "schemas":
            note(notes, "schemas_in_value", at=schema.id, sent="schemas", read_as="ignored")
        else:
            coerced[name] = inner
    return coerced


def coerce_value(attribute: Attribute, value: Any, *, at: str, notes: Notes, one: bool = False) -> Any:
    """The value as the attribute's type wants it, where a rule knows how. `one`: a single value of a list is wanted."""
    if value is None or attribute.mutability == "writeOnly":
        return value
    if attribute.kind == "complex":
        return _coerce_complex(attribute, value, at=at, notes=notes, one=one)
    if attribute.multi_valued and not one:
        return value
    return _coerce_simple(attribute, value, at=at, notes=notes)


def _is_path(name: str, resource_type: ResourceType) -> bool:
    return (":" in name or "." in name) and resource_type.extension(name) is None


def _coerce_simple(attribute: Attribute, value: Any, *, at: str, notes: Notes) -> Any:
    if isinstance(value, list) and len(value) == 1:
        note(notes, "list_for_object", at=at, sent=shown(value), read_as="its only value")
        value = value[0]
    if isinstance(value, dict) and _is_value_alone(value):
        note(notes, "value_object", at=at, sent=shown(value), read_as="its value")
        value = next(inner for name, inner in value.items() if name.lower() == "value")
    if not isinstance(value, str):
        return value
    if attribute.kind == "boolean" and value in BOOLEAN_TEXTS:
        note(notes, "boolean_text", at=at, sent=value, read_as=shown(BOOLEAN_TEXTS[value]))
        return BOOLEAN_TEXTS[value]
    return _unless_blank(attribute, value, at=at, notes=notes)


def _is_value_alone(value: Mapping[str, Any]) -> bool:
    """Whether an object says nothing but a single value that is no object itself."""
    names = [name.lower() for name in value]
    inner = next((inner for name, inner in value.items() if name.lower() == "value"), None)
    return len(set(names)) == len(names) and _BESIDE_VALUE.issuperset(names) and isinstance(inner, str | bool | int)


def _unless_blank(attribute: Attribute, value: str, *, at: str, notes: Notes) -> str | None:
    if value.strip() or attribute.required:
        return value
    note(notes, "blank_text", at=at, sent=value or '""', read_as="unassigned")
    return None


def _coerce_complex(attribute: Attribute, value: Any, *, at: str, notes: Notes, one: bool) -> Any:
    value = from_json_text(value, at=at, notes=notes)
    if attribute.multi_valued and not one:
        if isinstance(value, dict):
            note(notes, "object_for_list", at=at, sent=shown(value), read_as="a list of one")
            value = [value]
        if attribute.name == MEMBERS:
            return coerce_members(value, at=at, notes=notes)
        if isinstance(value, str) and attribute.sub("value") is not None:
            value = [value]
        if not isinstance(value, list):
            return value
        return [_coerce_item(attribute, item, at=at, notes=notes) for item in value]
    if isinstance(value, list) and len(value) <= 1:
        note(notes, "list_for_object", at=at, sent=shown(value), read_as="its only value")
        value = value[0] if value else None
    return _coerce_item(attribute, value, at=at, notes=notes)


def _coerce_item(attribute: Attribute, value: Any, *, at: str, notes: Notes) -> Any:
    """One complex value. Attributes that lead to a resource have a `$ref`: only their ids are ever sent bare."""
    value = from_json_text(value, at=at, notes=notes)
    refers = attribute.sub("$ref") is not None
    if isinstance(value, str) and refers:
        rule = "bare_reference" if value.strip() else "empty_reference"
        note(notes, rule, at=at, sent=value, read_as="the value of the reference" if value.strip() else "unassigned")
        return {"value": value} if value.strip() else None
    if isinstance(value, str) and attribute.multi_valued and attribute.sub("value") is not None:
        return _bare_value(attribute, value, at=at, notes=notes)
    if not isinstance(value, dict):
        return value
    coerced = {
        name: coerce_value(sub, inner, at=f"{at}.{sub.name}", notes=notes) if sub else inner
        for name, inner, sub in ((name, inner, attribute.sub(name)) for name, inner in value.items())
    }
    if refers and value and all(inner is None or inner == "" for inner in coerced.values()):
        note(notes, "empty_reference", at=at, sent="an empty reference", read_as="unassigned")
        return None
    return coerced


def _bare_value(attribute: Attribute, value: str, *, at: str, notes: Notes) -> dict[str, Any] | None:
    # What stands where an object belongs may be anything: it is not repeated.
    if _unless_blank(attribute, value, at=at, notes=notes) is None:
        return None
    note(notes, "bare_value", at=at, sent="a text", read_as="an object with that value")
    return {"value": value}


def _put(plain: dict[str, Any], ref: Ref, value: Any, *, notes: Notes) -> None:
    """Move `name.givenName` or `urn:…:User:department` to where it belongs, beside what is already there."""
    if ref.attribute is None or ref.leaf is None:
        return
    note(notes, "dotted_name", at=ref.path, sent=shown(value), read_as=ref.path)
    coerced = coerce_value(ref.leaf, value, at=ref.path, notes=notes)
    holder = _object_at(plain, ref.extension.id) if ref.extension else plain
    if ref.sub is not None:
        holder = _object_at(holder, ref.attribute.name)
    holder[ref.leaf.name] = coerced


def _object_at(holder: dict[str, Any], name: str) -> dict[str, Any]:
    """The object under a name in any case, made if there is none. Raises invalidValue if something else is there."""
    present = next((known for known in holder if known.lower() == name.lower()), name)
    found = holder.setdefault(present, {})
    if not isinstance(found, dict):
        raise invalid_value(f"{name} must be an object.")
    return found
