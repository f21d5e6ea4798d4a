"""A PatchOp body as checked operations in order, each with a path (RFC 7644 section 3.5.2)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioning.changes import MEMBERS, Coercion
from provisioning.scim.dialects.resource import coerce_extension, coerce_value, core_content
from provisioning.scim.dialects.texts import read_json_text
from provisioning.scim.errors import invalid_path, invalid_syntax, invalid_value, no_target, too_large
from provisioning.scim.metadata.discovery import MAX_OPERATIONS
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.parsing.notes import Notes, note, shown
from provisioning.scim.parsing.values import by_name, demand_message
from provisioning.scim.patch.parking import Op, removal_parks
from provisioning.scim.patch.path import PatchPath, parse_path

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

_OPS: dict[str, Op] = {"add": "add", "remove": "remove", "replace": "replace"}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation. `has_value` tells a missing value from null, which matters for `remove`."""

    op: Op
    path: PatchPath
    value: Any = None
    has_value: bool = False


@dataclass(frozen=True, kw_only=True)
class Patch:
    """The operations of a body, with what was tolerated in reading them. `is_pathless`: one came without a path."""

    operations: tuple[Operation, ...]
    coercions: tuple[Coercion, ...] = ()
    is_pathless: bool = False


def read_patch(body: Mapping[str, Any], resource_type: ResourceType) -> Patch:
    """The operations of a PatchOp body; one without a path becomes one for each name in its value.

    Raises invalidSyntax for what is no PatchOp, invalidPath and noTarget for paths, 413 over 1,000 operations.
    """
    notes: Notes = []
    given = by_name(body)
    _check_schemas(given.get("schemas"), notes)
    operations = given.get("operations")
    if not isinstance(operations, list) or not operations:
        raise invalid_syntax("Operations must be a list of at least one operation.")
    if len(operations) > MAX_OPERATIONS:
        raise too_large(f"There are more than {MAX_OPERATIONS} operations.")
    read = tuple(one for operation in operations for one in _read(operation, resource_type, notes))
    is_pathless = any(not by_name(operation).get("path") for operation in operations)
    return Patch(operations=read, coercions=tuple(notes), is_pathless=is_pathless)


def _check_schemas(schemas: Any, notes: Notes) -> None:
    if schemas in (None, []):
        note(notes, "schemas_missing", at="schemas", sent="nothing", read_as=PATCH_URN)
        return
    if isinstance(schemas, str):
        note(notes, "schemas_text", at="schemas", sent="a text", read_as="a list of one")
    demand_message(schemas if isinstance(schemas, list) else [schemas], PATCH_URN)


def _read(operation: Any, resource_type: ResourceType, notes: Notes) -> Iterator[Operation]:
    if not isinstance(operation, dict):
        raise invalid_syntax("An operation must be an object.")
    given = by_name(operation)
    op = _read_op(given.get("op"), notes)
    path = given.get("path")
    if path is not None and not isinstance(path, str):
        raise invalid_path("A path must be a string.")
    if path is not None and path.strip():
        if not _is_foreign(path, resource_type, notes):
            yield _with_path(op, path, given, resource_type, notes)
    elif op == "remove":
        with removal_parks(op, MEMBERS if "value" in given else "", resource_type):
            raise no_target("A remove operation needs a path.")
    else:
        yield from _without_path(op, given.get("value"), resource_type, notes)


def _read_op(op: Any, notes: Notes) -> Op:
    known = _OPS.get(op.lower()) if isinstance(op, str) else None
    if known is None:
        raise invalid_syntax("op must be add, remove or replace.")
    if op != known:
        note(notes, "op_case", at="op", sent=op, read_as=known)
    return known


def _with_path(op: Op, text: str, given: Mapping[str, Any], resource_type: ResourceType, notes: Notes) -> Operation:
    with removal_parks(op, text, resource_type):
        path = parse_path(text, resource_type, notes)
    if op != "remove" and "value" not in given:
        raise invalid_value(f"{path.text} needs a value to {op}.")
    value = _coerced(path, given.get("value"), notes)
    return Operation(op=op, path=path, value=value, has_value="value" in given)


def _coerced(path: PatchPath, value: Any, notes: Notes) -> Any:
    extension, attribute = path.ref.extension, path.ref.attribute
    if attribute is None:
        return coerce_extension(extension, value, notes) if extension is not None else value
    if path.sub is not None:
        return coerce_value(path.sub, value, at=path.text, notes=notes)
    return coerce_value(attribute, value, at=path.text, notes=notes, one=path.value_filter is not None)


def _without_path(op: Op, value: Any, resource_type: ResourceType, notes: Notes) -> Iterator[Operation]:
    value = read_json_text(value[0] if isinstance(value, list) and len(value) == 1 else value, notes=notes)
    if not isinstance(value, dict):
        raise invalid_value("An operation without a path needs an object as its value.")
    by_name(value)
    for name, inner in value.items():
        content = core_content(name, inner, resource_type, notes)
        if content is not None:
            yield from _without_path(op, content, resource_type, notes)
        elif not _is_ignored(name, inner, resource_type, notes):
            operation = _with_path(op, name, {"value": inner}, resource_type, notes)
            if "." in name or ":" in name or "[" in name:
                note(notes, "no_path", at=operation.path.text, sent="a path as a name", read_as=operation.path.text)
            yield operation


def _is_ignored(name: str, value: Any, resource_type: ResourceType, notes: Notes) -> bool:
    """Read-only attributes inside a value are ignored as in PUT; named as a path they are an error."""
    lower = name.lower()
    ref = resource_type.resolve(name)
    if ref is None and _is_foreign_urn(name, resource_type):
        note(notes, "unknown_schema", at="schemas", sent=name, read_as="ignored")
        return True
    if lower == "schemas" or (ref is not None and ref.leaf is not None and any(part.read_only for part in ref.chain)):
        note(notes, "read_only_in_value", at=ref.path if ref else lower, sent=shown(value), read_as="ignored")
        return True
    return False


def _is_foreign(path: str, resource_type: ResourceType, notes: Notes) -> bool:
    """Whether a path leads into a schema of others, as what stands under its URN in a body does: noted and ignored.

    Not where its last part is an attribute of ours: `urn:scim:schemas:core:1.0:active` must not be read as nothing.
    """
    name = path.strip()
    known = resource_type.resolve(name.rpartition(":")[2].partition("[")[0])
    if known is not None or resource_type.resolve(name) is not None or not _is_foreign_urn(name, resource_type):
        return False
    note(notes, "unknown_schema", at="schemas", sent=name, read_as="ignored")
    return True


def _is_foreign_urn(name: str, resource_type: ResourceType) -> bool:
    lower = name.lower()
    known = (resource_type.schema.id, *(extension.id for extension in resource_type.extensions))
    is_urn = lower.startswith(("urn:", "http:", "https:"))
    ours = tuple(f"{urn.lower()}{mark}" for urn in known for mark in (":", "."))
    return is_urn and lower not in {urn.lower() for urn in known} and not lower.startswith(ours)
