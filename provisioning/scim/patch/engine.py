"""Operations applied to one canonical JSON document, all or nothing (RFC 7644 section 3.5.2).

The input is copied first and never changed; an error leaves nothing half done. Adding what is there and removing what
is not there are successes without a change, so that a repeat of a request is one.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from provisioning.changes import Coercion
from provisioning.scim.errors import invalid_syntax, invalid_value, mutability, quoted
from provisioning.scim.metadata.schema import Attribute, Ref, ResourceType, Schema
from provisioning.scim.parsing.normal import check_required
from provisioning.scim.parsing.notes import Notes, note
from provisioning.scim.parsing.values import check_one_primary, is_blank, read_value
from provisioning.scim.patch import plural
from provisioning.scim.patch.operations import Operation, Patch
from provisioning.scim.patch.path import PatchPath


@dataclass(frozen=True, kw_only=True)
class PatchResult:
    """The canonical document after a patch, and the top-level attributes that it named (`urn:…:name` in extensions)."""

    document: dict[str, Any]
    said: frozenset[str]
    coercions: tuple[Coercion, ...] = ()


def apply(document: Mapping[str, Any], patch: Patch, resource_type: ResourceType) -> PatchResult:
    """The document after all operations in order. `document` is canonical and includes `active`, but no members.

    Raises mutability (read-only, immutable, required removed), noTarget, invalidValue, invalidSyntax.
    """
    work = _Work(resource_type=resource_type, document=deepcopy(dict(document)), notes=list(patch.coercions))
    for operation in patch.operations:
        work.one(operation)
    for attribute in resource_type.core:
        if attribute.multi_valued:
            check_one_primary(work.document.get(attribute.name) or [], at=attribute.name)
    check_required(work.document, resource_type)
    return PatchResult(document=work.document, said=frozenset(work.said), coercions=tuple(work.notes))


@dataclass(kw_only=True)
class _Work:
    resource_type: ResourceType
    document: dict[str, Any]
    notes: Notes
    said: set[str] = field(default_factory=set)

    def one(self, operation: Operation) -> None:
        ref, attribute = operation.path.ref, operation.path.ref.attribute
        if attribute is None:
            self._extension(operation)
            return
        if any(part.read_only for part in (*ref.chain, *([operation.path.sub] if operation.path.sub else []))):
            raise mutability(f"{operation.path.text} is read-only.")
        if attribute.mutability == "writeOnly":
            note(self.notes, "password_dropped", at=attribute.name, sent="hidden", read_as="dropped")
            return
        if attribute.name == "schemas":
            # Computed from what the document holds.
            return
        self.said.add(ref.top)
        holder = self._holder(ref)
        before = deepcopy(holder.get(attribute.name))
        if operation.op == "remove":
            self._remove(holder, attribute, operation)
        else:
            self._assign(holder, attribute, operation)
        _check_immutable(attribute, before, holder.get(attribute.name), at=ref.top)
        self._tidy(ref, holder, attribute)

    def _holder(self, ref: Ref) -> dict[str, Any]:
        if ref.extension is None:
            return self.document
        found: dict[str, Any] = self.document.setdefault(ref.extension.id, {})
        return found

    def _tidy(self, ref: Ref, holder: dict[str, Any], attribute: Attribute) -> None:
        if is_blank(holder.get(attribute.name)):
            holder.pop(attribute.name, None)
        if ref.extension is not None and not holder:
            self.document.pop(ref.extension.id, None)

    def _extension(self, operation: Operation) -> None:
        """A bare extension URN stands for its attributes one by one."""
        schema, value = operation.path.ref.extension, operation.value
        if schema is None:
            return
        if operation.op == "remove" or (operation.op == "replace" and is_blank(value)):
            removal = replace(operation, op="remove", value=None, has_value=False)
            present = self.document.get(schema.id, {})
            for attribute in [one for one in schema.attributes if one.stored and one.name in present]:
                self.one(replace(removal, path=PatchPath(ref=Ref(extension=schema, attribute=attribute))))
            return
        if not isinstance(value, dict):
            raise invalid_value(f"{schema.id} must be an object.")
        for name, inner in value.items():
            found = _known(schema, name)
            if not found.read_only:
                path = PatchPath(ref=Ref(extension=schema, attribute=found))
                self.one(replace(operation, path=path, value=inner))

    def _assign(self, holder: dict[str, Any], attribute: Attribute, operation: Operation) -> None:
        path = operation.path
        if path.value_filter is not None or attribute.multi_valued:
            items = holder.setdefault(attribute.name, [])
            if not isinstance(items, list):
                # A value filter on a single complex attribute chooses among one value.
                items = [items]
            items = plural.assign(items, attribute, operation, self.notes)
            holder[attribute.name] = items if attribute.multi_valued or not items else items[0]
        elif path.sub is not None:
            self._assign_subs(holder, attribute, {path.sub.name: operation.value})
        elif attribute.kind == "complex":
            self._assign_complex(holder, attribute, operation)
        else:
            holder[attribute.name] = _read(attribute, operation.value, at=path.text)

    def _assign_complex(self, holder: dict[str, Any], attribute: Attribute, operation: Operation) -> None:
        """Sub-attributes that are given replace those of the same name; the others stay (section 3.5.2.3)."""
        value = operation.value
        if is_blank(value):
            holder.pop(attribute.name, None)
        elif isinstance(value, dict):
            self._assign_subs(holder, attribute, value)
        else:
            raise invalid_value(f"{operation.path.text} must be an object.")

    def _assign_subs(self, holder: dict[str, Any], attribute: Attribute, given: Mapping[str, Any]) -> None:
        current = dict(holder.get(attribute.name) or {})
        holder[attribute.name] = plural.merged(current, attribute, given)

    def _remove(self, holder: dict[str, Any], attribute: Attribute, operation: Operation) -> None:
        path = operation.path
        if path.value_filter is not None or (attribute.multi_valued and (path.sub or operation.has_value)):
            items = holder.get(attribute.name) or []
            left = plural.remove(items if isinstance(items, list) else [items], attribute, operation, self.notes)
            holder[attribute.name] = left if attribute.multi_valued or not left else left[0]
        elif path.sub is not None:
            if path.sub.required:
                raise mutability(f"{path.text} is required.")
            current = dict(holder.get(attribute.name) or {})
            current.pop(path.sub.name, None)
            holder[attribute.name] = current
        elif attribute.required:
            raise mutability(f"{path.text} is required.")
        else:
            holder.pop(attribute.name, None)


def _known(schema: Schema, name: str) -> Attribute:
    found = schema.find(name)
    if found is None:
        raise invalid_syntax(
            f"{schema.id} has no attribute {quoted(name)}.", record=f"{schema.id} has no such attribute."
        )
    return found


def _read(attribute: Attribute, value: Any, *, at: str) -> Any:
    read = read_value(attribute, value, at=at)
    if read is None and attribute.required:
        raise invalid_value(f"{at} is required.")
    return read


def _check_immutable(attribute: Attribute, before: Any, after: Any, *, at: str) -> None:
    """An immutable attribute may be given once (RFC 7644 section 3.5.2)."""
    if attribute.mutability == "immutable" and before is not None and after != before:
        raise mutability(f"{at} can't be changed once it is set.")
