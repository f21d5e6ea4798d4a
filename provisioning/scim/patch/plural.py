"""Operations on the values of a multi-valued attribute: which ones they mean, and what becomes of the others."""

from collections.abc import Mapping
from typing import Any

from provisioning.scim.errors import invalid_value, mutability, no_target
from provisioning.scim.filters.evaluate import comparable, matches_value
from provisioning.scim.filters.nodes import eq_terms
from provisioning.scim.metadata.schema import Attribute
from provisioning.scim.parsing.notes import Notes, note
from provisioning.scim.parsing.values import by_name, check_one_primary, is_blank, read_item, read_value
from provisioning.scim.patch.operations import Operation

# What only says which value it is: an item with nothing else has no content left.
_LABELS = frozenset({"type", "primary"})


def merged(current: Mapping[str, Any], attribute: Attribute, given: Mapping[str, Any]) -> dict[str, Any]:
    """One complex value with the given sub-attributes set, and those given as null taken away.

    A new `value` without its `$ref` drops the old one, which would lead to the former resource.
    """
    by_name(given)
    result = dict(current)
    for name, raw in given.items():
        sub = attribute.sub(name)
        if sub is not None and is_blank(raw):
            if sub.required:
                raise mutability(f"{attribute.name}.{sub.name} is required.")
            result.pop(sub.name, None)
    new: dict[str, Any] = read_item(attribute, _with_required(current, attribute, given), at=attribute.name)
    if "value" in new and new["value"] != current.get("value") and "$ref" not in new:
        result.pop("$ref", None)
    return result | new


def _with_required(current: Mapping[str, Any], attribute: Attribute, given: Mapping[str, Any]) -> dict[str, Any]:
    names = {name.lower() for name in given}
    kept = {
        sub.name: current[sub.name]
        for sub in attribute.subs
        if sub.required and sub.name in current and sub.name.lower() not in names
    }
    return {**kept, **given}


def assign(items: list[Any], attribute: Attribute, operation: Operation, notes: Notes) -> list[Any]:
    """The values after an `add` or `replace`."""
    if operation.path.value_filter is not None:
        return _assign_chosen(items, attribute, operation, notes)
    if operation.path.sub is not None:
        return _assign_sub(items, attribute, operation)
    new = read_value(attribute, operation.value, at=operation.path.text) or []
    return list(new) if operation.op == "replace" else _added(items, attribute, new)


def remove(items: list[Any], attribute: Attribute, operation: Operation, notes: Notes) -> list[Any]:
    """The values after a `remove` that names some of them; naming none is no error (section 3.5.2.2)."""
    path = operation.path
    if path.value_filter is None and path.sub is None:
        return _without_listed(items, attribute, operation, notes)
    if path.sub is not None and path.sub.required:
        raise mutability(f"{path.text} is required.")
    left: list[Any] = []
    for item in items:
        if path.value_filter is not None and not matches_value(path.value_filter, item):
            left.append(item)
        elif path.sub is not None:
            rest = {name: value for name, value in item.items() if name != path.sub.name}
            left.extend([rest] if rest.keys() - _LABELS else [])
    return left


def _added(items: list[Any], attribute: Attribute, new: list[Any]) -> list[Any]:
    result = list(items)
    primary: list[int] = []
    for item in new:
        index = next((at for at, known in enumerate(result) if _is_same(attribute, known, item)), None)
        if index is None:
            result.append(item)
            index = len(result) - 1
        elif isinstance(item, dict):
            result[index] = {**result[index], **item}
        if isinstance(item, dict) and item.get("primary") is True:
            primary.append(index)
    return _with_one_primary(result, primary, at=attribute.name)


def _is_same(attribute: Attribute, known: Any, item: Any) -> bool:
    """The same (type, value) should be there once (RFC 7643 section 2.4)."""
    if known == item:
        return True
    if not isinstance(item, dict) or item.get("value") is None:
        return False
    return all(_equal(attribute.sub(name), known.get(name), item.get(name)) for name in ("value", "type"))


def _equal(sub: Attribute | None, left: Any, right: Any) -> bool:
    if sub is None or left is None or right is None:
        return bool(left == right)
    return bool(comparable(sub, left) == comparable(sub, right))


def _with_one_primary(items: list[Any], chosen: list[int], *, at: str) -> list[Any]:
    """Making one value the primary one makes the others not so (RFC 7644 section 3.5.2)."""
    if len(set(chosen)) > 1:
        raise invalid_value(f"{at} has more than one primary value.")
    if not chosen:
        return items
    return [
        {**item, "primary": False} if index != chosen[0] and item.get("primary") is True else item
        for index, item in enumerate(items)
    ]


def _assign_chosen(items: list[Any], attribute: Attribute, operation: Operation, notes: Notes) -> list[Any]:
    path = operation.path
    if path.value_filter is None:
        return items
    chosen = {index for index, item in enumerate(items) if matches_value(path.value_filter, item)}
    if not chosen:
        return _created(items, attribute, operation, notes)
    if is_blank(operation.value) and path.sub is None:
        return items if operation.op == "add" else [item for at, item in enumerate(items) if at not in chosen]
    result: list[Any] = []
    primary: list[int] = []
    for index, item in enumerate(items):
        new = _changed(item, attribute, operation) if index in chosen else item
        if is_blank(new):
            continue
        if index in chosen and isinstance(new, dict) and new.get("primary") is True:
            primary.append(len(result))
        result.append(new)
    return _with_one_primary(result, primary, at=attribute.name)


def _changed(item: Any, attribute: Attribute, operation: Operation) -> Any:
    path = operation.path
    if path.sub is not None:
        changed = merged(item, attribute, {path.sub.name: operation.value})
        emptied = is_blank(operation.value) and not changed.keys() - _LABELS
        return None if emptied else changed
    if operation.op == "add" and isinstance(operation.value, dict) and isinstance(item, dict):
        return merged(item, attribute, operation.value)
    return read_item(attribute, operation.value, at=path.text)


def _created(items: list[Any], attribute: Attribute, operation: Operation, notes: Notes) -> list[Any]:
    """No value matches. RFC 7644 section 3.5.2.3 says noTarget for replace; Entra relies on the value being made."""
    path = operation.path
    terms = eq_terms(path.value_filter) if path.value_filter is not None else None
    if terms is None or (operation.op == "replace" and path.sub is None):
        raise no_target(f"{path.text} matches no value.")
    if is_blank(operation.value):
        return items
    given = {path.sub.name: operation.value} if path.sub is not None else operation.value
    if not isinstance(given, dict):
        raise invalid_value(f"{path.text} must be an object.")
    item = read_item(attribute, {**terms, **given}, at=attribute.name)
    if path.value_filter is not None and not matches_value(path.value_filter, item):
        # It would not be found again: each repeat would make another.
        raise no_target(f"{path.text} matches no value, and the new one would not match it either.")
    note(notes, "create_from_filter", at=path.text, sent="no value matches", read_as="a new value")
    return _with_one_primary([*items, item], [len(items)] if item.get("primary") is True else [], at=attribute.name)


def _assign_sub(items: list[Any], attribute: Attribute, operation: Operation) -> list[Any]:
    """A sub-attribute of all values, as in the path `emails.type`; of a first one if there is none."""
    sub = operation.path.sub
    if sub is None:
        return items
    given = {sub.name: operation.value}
    if not items:
        return [] if is_blank(operation.value) else [read_item(attribute, given, at=attribute.name)]
    result = [merged(item, attribute, given) for item in items]
    check_one_primary(result, at=attribute.name)
    return [item for item in result if not is_blank(item)]


def _without_listed(items: list[Any], attribute: Attribute, operation: Operation, notes: Notes) -> list[Any]:
    """`remove` with a value removes what the value lists and nothing else; it must never widen to all."""
    at = operation.path.text
    listed = operation.value if isinstance(operation.value, list) else [operation.value]
    wanted = [_criterion(attribute, one, at=at) for one in listed]
    note(notes, "remove_by_value", at=at, sent="a remove with a value", read_as="only the listed values")
    return [item for item in items if not any(_fits(attribute, item, one) for one in wanted)]


def _criterion(attribute: Attribute, value: Any, *, at: str) -> Any:
    read = read_item(attribute, value, at=at) if not is_blank(value) else None
    if is_blank(read):
        raise invalid_value(f"The value must list what to remove from {at}; leave it out to remove all.")
    return read


def _fits(attribute: Attribute, item: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict) or not isinstance(item, dict):
        return bool(item == wanted)
    return all(_equal(attribute.sub(name), item.get(name), value) for name, value in wanted.items())
