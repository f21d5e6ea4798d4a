"""What of a request body is kept in the ledger: what the schema knows. The rest may be anything, also a secret.

The shape stays, so that a person can read what was asked and a replay can ask it again; each unknown name becomes one
counted remark, and a value of the wrong type, or of an attribute that is never returned, a mask.
"""

import re
from collections.abc import Mapping
from typing import Any

from audit.redaction import MASK
from provisioning.changes import MEMBERS
from provisioning.scim.errors import ScimError
from provisioning.scim.metadata.schema import Attribute, ResourceType, Schema
from provisioning.scim.parsing.members import is_id
from provisioning.scim.parsing.values import BOOLEAN_TEXTS, read_instant
from provisioning.scim.patch.path import parse_path

LEFT_OUT = "(left out)"
MOST_IN_FULL = 100
_OPS = frozenset({"add", "remove", "replace"})
# What a request for a thousand removals is made of.
_ONE_MEMBER = re.compile(rf'{MEMBERS}\[value eq "[0-9a-f-]{{36}}"\]')
_PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def kept_resource(body: Mapping[str, Any], resource_type: ResourceType) -> dict[str, Any]:
    """The body of a POST or PUT with what the schema knows."""
    kept: dict[str, Any] = {}
    unknown = 0
    for name, value in body.items():
        _, known = _path(name, resource_type)
        if name.lower() == "schemas":
            kept[name] = _urns(value, resource_type)
        elif known is not None:
            kept[name] = _of_path(known, value)
        else:
            unknown += 1
    return _remarked(kept, unknown)


def kept_patch(body: Mapping[str, Any], resource_type: ResourceType) -> dict[str, Any]:
    """The body of a PATCH: each operation with its path, if that is one, and its value."""
    kept: dict[str, Any] = {}
    unknown = 0
    for name, value in body.items():
        if name.lower() == "operations" and isinstance(value, list):
            kept[name] = [_operation(one, resource_type) for one in value]
        elif name.lower() == "schemas":
            kept[name] = _urns(value, resource_type)
        else:
            unknown += 1
    return _remarked(kept, unknown)


def kept_value(attribute: Attribute, value: Any) -> Any:
    """A value as far as it has the type of its attribute."""
    if attribute.returned == "never":
        return MASK if value is not None else None
    if isinstance(value, list):
        return [kept_value(attribute, item) for item in value]
    if not isinstance(value, dict):
        return value if _has_its_type(attribute, value) and not _is_json_text(value) else MASK
    if attribute.kind != "complex":
        return MASK
    kept: dict[str, Any] = {}
    unknown = 0
    for name, inner in value.items():
        sub = attribute.sub(name)
        if sub is None:
            unknown += 1
        else:
            kept[name] = kept_value(sub, inner)
    return _remarked(kept, unknown)


def _has_its_type(attribute: Attribute, value: Any) -> bool:
    """Whether a value is one that the attribute can have, also as clients spell it; anything else may be a secret."""
    if value is None:
        return True
    match attribute.kind:
        case "boolean":
            return isinstance(value, bool) or value in BOOLEAN_TEXTS
        case "integer" | "decimal":
            return isinstance(value, int | float)
        case "dateTime":
            return isinstance(value, str) and read_instant(value, default_zone="+00:00") is not None
        case "complex":
            # A text where an object belongs may be a bare reference.
            return not isinstance(value, str) or attribute.sub("$ref") is not None
        case _:
            known = {word.lower() for word in attribute.canonical_values}
            return isinstance(value, str) and (not attribute.closed or value.lower() in known)


def _is_json_text(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] in {"{", "["}


def _remarked(kept: dict[str, Any], unknown: int) -> dict[str, Any]:
    return {**kept, LEFT_OUT: unknown} if unknown else kept


def _urns(value: Any, resource_type: ResourceType) -> Any:
    extensions = (one.id for one in resource_type.extensions)
    others = (one.id for one in resource_type.others)
    known = {resource_type.schema.id, _PATCH_URN, *extensions, *others}
    lowered = {urn.lower() for urn in known}
    listed = value if isinstance(value, list) else [value]
    return [one if isinstance(one, str) and one.lower() in lowered else LEFT_OUT for one in listed]


def _inside(value: Any, extension: Schema) -> Any:
    if not isinstance(value, dict):
        return MASK if value is not None else None
    kept: dict[str, Any] = {}
    unknown = 0
    for name, inner in value.items():
        attribute = extension.find(name)
        if attribute is None:
            unknown += 1
        else:
            kept[name] = kept_value(attribute, inner)
    return _remarked(kept, unknown)


def _operation(operation: Any, resource_type: ResourceType) -> Any:
    if not isinstance(operation, dict):
        return MASK
    given = {name.lower(): value for name, value in operation.items()}
    kept: dict[str, Any] = {}
    op, path = given.get("op"), given.get("path")
    kept["op"] = op if isinstance(op, str) and op.lower() in _OPS else LEFT_OUT
    if "path" not in given or path in (None, ""):
        if "value" in given:
            kept["value"] = _pathless(given["value"], resource_type)
        return kept
    kept["path"], known = _path(path, resource_type)
    if "value" in given:
        kept["value"] = _of_path(known, given["value"]) if known is not None else MASK
    return kept


def _pathless(value: Any, resource_type: ResourceType) -> Any:
    if isinstance(value, list):
        return [_pathless(one, resource_type) for one in value]
    return kept_resource(value, resource_type) if isinstance(value, dict) else MASK


def _path(path: Any, resource_type: ResourceType) -> tuple[str, Attribute | Schema | None]:
    """The path as sent and what it leads to; an address of nothing is not kept."""
    if not isinstance(path, str):
        return LEFT_OUT, None
    if _ONE_MEMBER.fullmatch(path) and (members := resource_type.find(MEMBERS)) is not None:
        return path, members
    try:
        found = parse_path(path, resource_type)
    except ScimError:
        return LEFT_OUT, None
    return path, found.sub or found.ref.attribute or found.ref.extension


def _of_path(known: Attribute | Schema, value: Any) -> Any:
    if isinstance(known, Schema):
        return _inside(value, known)
    if known.name == MEMBERS and isinstance(value, list):
        return _members(known, value)
    return kept_value(known, value)


def _members(attribute: Attribute, value: list[Any]) -> list[Any]:
    """Members, of whom there may be a hundred thousand: of many the ids alone, which is all that is ever read of them."""
    only_ids = len(value) > MOST_IN_FULL
    kept: list[Any] = []
    for item in value:
        ref = item.get("value") if isinstance(item, dict) else None
        if not isinstance(ref, str) or not is_id(ref):
            kept.append(kept_value(attribute, item))
        elif only_ids or len(item) == 1:
            kept.append({"value": ref})
        else:
            rest = {name: inner for name, inner in item.items() if name != "value"}
            kept.append({"value": ref, **kept_value(attribute, rest)})
    return kept
