"""Whether an attribute can be compared like that with such a value (RFC 7644 section 3.4.2.2)."""

from dataclasses import replace
from typing import Any

from provisioning.scim.errors import invalid_filter
from provisioning.scim.filters.nodes import Compare, Operator, Scalar
from provisioning.scim.metadata.schema import Attribute, Ref
from provisioning.scim.parsing.notes import Notes, note
from provisioning.scim.parsing.values import BOOLEAN_TEXTS, read_instant

_EQUALITY = frozenset({"eq", "ne"})
_ORDER = frozenset({"gt", "ge", "lt", "le"})
_TEXT = _EQUALITY | _ORDER | {"co", "sw", "ew"}
_ALLOWED: dict[str, frozenset[str]] = {
    "string": _TEXT,
    "reference": _TEXT,
    "boolean": _EQUALITY,
    "binary": _EQUALITY,
    "dateTime": _EQUALITY | _ORDER,
    "integer": _EQUALITY | _ORDER,
    "decimal": _EQUALITY | _ORDER,
}


def comparison(ref: Ref, operator: Operator, value: Scalar, notes: Notes) -> Compare:
    """The checked comparison. A complex attribute stands for its `value`, as Entra's `manager eq "…"` means it.

    A boolean may be compared with "True" or "False" in quotation marks (Entra), which is noted. Raises invalidFilter
    for an operator or a value that the attribute's type can't have.
    """
    target, leaf = _comparable(ref)
    if value is None:
        if operator not in _EQUALITY:
            raise invalid_filter(f"{target.path} can be compared with null by eq and ne only.")
        return Compare(ref=target, operator=operator, value=None)
    if operator not in _ALLOWED[leaf.kind]:
        raise invalid_filter(f"{target.path} can't be compared by {operator}.")
    if leaf.kind == "boolean" and isinstance(value, str) and value in BOOLEAN_TEXTS:
        note(notes, "boolean_in_filter", at=target.path, sent=value, read_as=str(BOOLEAN_TEXTS[value]).lower())
        value = BOOLEAN_TEXTS[value]
    _check_type(target, leaf, value)
    return Compare(ref=target, operator=operator, value=value)


def readable(ref: Ref) -> Ref:
    """The same path, unless a filter must not look at it. Raises invalidFilter for what is never returned."""
    if any(part.returned == "never" for part in ref.chain):
        raise invalid_filter(f"{ref.path} can't be filtered by.")
    return ref


def _comparable(ref: Ref) -> tuple[Ref, Attribute]:
    leaf = readable(ref).leaf
    if leaf is not None and leaf.kind != "complex":
        return ref, leaf
    value = leaf.sub("value") if leaf is not None and ref.sub is None else None
    if value is None:
        raise invalid_filter(f"{ref.path} has no single value to compare; name one of its sub-attributes.")
    return replace(ref, sub=value), value


def _check_type(ref: Ref, leaf: Attribute, value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    right = {
        "boolean": isinstance(value, bool),
        "integer": is_number,
        "decimal": is_number,
        "dateTime": isinstance(value, str) and read_instant(value, default_zone="+00:00") is not None,
    }.get(leaf.kind, isinstance(value, str))
    if not right:
        raise invalid_filter(f"{ref.path} can be compared with a {leaf.kind} only.")
