"""A filter decided in memory, on one canonical document.

What the RFC leaves open is decided the same way here and in `query`: a multi-valued attribute matches if any of its
values does; `ne` is the complement of `eq`, so it is true where the attribute is absent and false where any value is
equal; every other comparison is false where the attribute is absent. Strings compare by the attribute's `caseExact`.
"""

from collections.abc import Callable, Mapping
from operator import ge, gt, le, lt
from typing import Any, TypeAlias, assert_never

from provisioning.scim.filters.nodes import And, Compare, Constant, Node, Not, Or, Present, Scalar, ValuePath
from provisioning.scim.metadata.schema import Attribute, Ref
from provisioning.scim.parsing.values import read_instant

Lookup: TypeAlias = Callable[[Ref], list[Any]]

_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, wanted: bool(value == wanted),
    "ne": lambda value, wanted: bool(value == wanted),
    "co": lambda value, wanted: wanted in value,
    "sw": lambda value, wanted: value.startswith(wanted),
    "ew": lambda value, wanted: value.endswith(wanted),
    "gt": gt,
    "ge": ge,
    "lt": lt,
    "le": le,
}


def matches(node: Node, document: Mapping[str, Any]) -> bool:
    """Whether a canonical document satisfies the filter."""
    return _decide(node, lambda ref: values_of(document, ref))


def matches_value(inner: Node, value: Any) -> bool:
    """Whether one value of a multi-valued attribute satisfies the filter of a value path."""
    return _decide(inner, lambda ref: _inside(value, ref))


def values_of(document: Mapping[str, Any], ref: Ref) -> list[Any]:
    """All values at a path, none of them None."""
    if ref.attribute is None:
        return []
    holder = document.get(ref.extension.id, {}) if ref.extension else document
    found = holder.get(ref.attribute.name)
    items = found if isinstance(found, list) else [found]
    return [value for item in items for value in _inside(item, ref)]


def _inside(item: Any, ref: Ref) -> list[Any]:
    value = item
    if ref.sub is not None:
        value = item.get(ref.sub.name) if isinstance(item, Mapping) else None
    values = value if isinstance(value, list) else [value]
    return [one for one in values if one is not None]


def _decide(node: Node, look_up: Lookup) -> bool:
    match node:
        case Compare():
            return _compare(node, look_up(node.ref))
        case Present():
            return any(value not in ("", {}) for value in look_up(node.ref))
        case ValuePath():
            return any(matches_value(node.inner, value) for value in look_up(node.ref))
        case Constant():
            return node.value
        case Not():
            return not _decide(node.term, look_up)
        case And() | Or():
            decisions = (_decide(term, look_up) for term in node.terms)
            return all(decisions) if isinstance(node, And) else any(decisions)
        case _:
            assert_never(node)


def _compare(node: Compare, values: list[Any]) -> bool:
    if node.value is None:
        return any(value != "" for value in values) == (node.operator == "ne")
    leaf = node.ref.leaf
    if leaf is None:
        return False
    wanted = comparable(leaf, node.value)
    found = any(compares(node.operator, comparable(leaf, value), wanted) for value in values)
    return found != (node.operator == "ne")


def compares(operator: str, value: Any, wanted: Any) -> bool:
    """Whether one comparable value passes; `ne` asks for the same as `eq`, whose complement it is for all values."""
    return _TESTS[operator](value, wanted)


def comparable(leaf: Attribute, value: Scalar) -> Any:
    """The form of a value in which it is compared: instants as such, strings case-folded unless `caseExact`."""
    if not isinstance(value, str):
        return value
    if leaf.kind == "dateTime":
        return read_instant(value, default_zone="+00:00")
    return value if leaf.case_exact else value.casefold()
