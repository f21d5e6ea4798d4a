"""A filter as a Django `Q`, so that the database decides it.

An attribute with a `Column` becomes an ORM look-up (which escapes LIKE patterns itself); one that stands only in the
stored document becomes a condition on that JSON column; anything else is refused, never ignored: a condition that is
left out would return the wrong people. The semantics are those of `evaluate`. Scope (tenant, system, living) is the
caller's, applied outside of this `Q`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any, Literal, assert_never
from uuid import UUID

from django.db.models import Q

from provisioning.changes import fold, user_name_key
from provisioning.scim.errors import ScimError, invalid_filter
from provisioning.scim.filters.jsonpath import condition
from provisioning.scim.filters.nodes import And, Compare, Constant, Node, Not, Operator, Or, Present, Scalar, ValuePath
from provisioning.scim.metadata.schema import Ref
from provisioning.scim.parsing.members import read_id
from provisioning.scim.parsing.values import read_instant

ColumnKind = Literal["string", "boolean", "integer", "dateTime", "uuid"]

_LOOKUPS: dict[Operator, str] = {
    "co": "contains",
    "sw": "startswith",
    "ew": "endswith",
    "gt": "gt",
    "ge": "gte",
    "lt": "lt",
    "le": "lte",
}
_PARTIAL = frozenset({"co", "sw", "ew"})


@dataclass(frozen=True, kw_only=True)
class Column:
    """Where the values of an attribute are: an ORM look-up without its operator, such as `account__email`.

    `normalise` turns a value into the form that the column holds (`user_name_key` for a key column), `partial` does so
    for a piece of a value, which must keep its blanks; without them the attribute's `caseExact` decides between exact
    and case-insensitive look-ups. `custom` decides comparisons (also `pr`, then with None) itself where no look-up can;
    its `Q` must be the complement for `ne`. An empty text counts as absent.
    """

    lookup: str
    kind: ColumnKind = "string"
    normalise: Callable[[str], str] | None = None
    partial: Callable[[str], str] | None = None
    custom: Callable[[str, Scalar], Q] | None = None


def key_column(lookup: str) -> Column:
    """A string column that holds `user_name_key` of the values."""
    return Column(lookup=lookup, normalise=user_name_key, partial=fold)


def to_q(node: Node, mapping: Mapping[str, Column], *, json_field: str | None = "document") -> Q:
    """The filter as a `Q`. `mapping` is keyed by lower-case attribute paths (`username`, `meta.lastmodified`,
    `urn:…:user:employeenumber`, `members.value`); `json_field` is the look-up of the stored document, None for none.

    Raises invalidFilter for an attribute or a comparison that can't be decided.
    """
    return _Builder(mapping=mapping, json_field=json_field).build(node)


def nothing(lookup: str) -> Q:
    """The condition that no row meets."""
    return Q(**{f"{lookup}__in": []})


@dataclass(frozen=True, kw_only=True)
class _Builder:
    mapping: Mapping[str, Column]
    json_field: str | None

    def build(self, node: Node) -> Q:
        match node:
            case Compare() | Present():
                column = self.mapping.get(node.ref.path.lower())
                return self._leaf(node, column) if column else self._stored(node)
            case ValuePath():
                return self._value_path(node)
            case Constant():
                return ~nothing("pk") if node.value else nothing("pk")
            case Not():
                return ~self.build(node.term)
            case And():
                return reduce(and_, map(self.build, node.terms))
            case Or():
                return reduce(or_, map(self.build, node.terms))
            case _:
                assert_never(node)

    def _stored(self, node: Compare | Present | ValuePath) -> Q:
        if self.json_field is None or not _is_stored(node.ref):
            raise _unfilterable(node.ref)
        return condition(node, self.json_field)

    def _value_path(self, node: ValuePath) -> Q:
        # The document keeps the values of one attribute together; columns of a joined row do so only where every
        # condition is a positive one in the same filter() call.
        if self.json_field is not None and _is_stored(node.ref):
            return self._stored(node)
        if not _is_positive(node.inner):
            raise invalid_filter(f"{node.ref.path}[…] can be filtered by eq, co, sw, ew and pr only.")
        return self.build(node.inner)

    def _leaf(self, node: Compare | Present, column: Column) -> Q:
        if isinstance(node, Present):
            return column.custom("pr", None) if column.custom else _is_present(column)
        if column.custom is not None:
            return column.custom(node.operator, node.value)
        if node.value is None:
            present = _is_present(column)
            return present if node.operator == "ne" else ~present
        if node.operator in {"eq", "ne"}:
            equal = _equal(node, column)
            return ~equal if node.operator == "ne" else equal
        return _other(node, column)


def _is_stored(ref: Ref) -> bool:
    return all(part.stored and not part.read_only for part in ref.chain)


def _is_positive(node: Node) -> bool:
    if isinstance(node, And | Or):
        return all(_is_positive(term) for term in node.terms)
    if isinstance(node, Compare):
        return node.operator != "ne" and node.value is not None
    return isinstance(node, Present)


def _unfilterable(ref: Ref) -> ScimError:
    return invalid_filter(f"{ref.path} can't be filtered by.")


def _is_present(column: Column) -> Q:
    present = Q(**{f"{column.lookup}__isnull": False})
    return present & ~Q(**{column.lookup: ""}) if column.kind == "string" else present


def _equal(node: Compare, column: Column) -> Q:
    value = _typed(node, column, column.normalise)
    if value in {None, ""}:
        return nothing(column.lookup)
    exact = column.kind != "string" or column.normalise is not None or _case_exact(node.ref)
    return Q(**{f"{column.lookup}__{'exact' if exact else 'iexact'}": value})


def _other(node: Compare, column: Column) -> Q:
    is_partial = node.operator in _PARTIAL
    if column.kind in {"boolean", "uuid"} or (is_partial and column.kind != "string"):
        raise invalid_filter(f"{node.ref.path} can't be compared by {node.operator}.")
    value = _typed(node, column, (column.partial or column.normalise) if is_partial else column.normalise)
    look_up = _LOOKUPS[node.operator]
    if is_partial and column.normalise is None and not _case_exact(node.ref):
        look_up = f"i{look_up}"
    found = Q(**{f"{column.lookup}__{look_up}": value})
    # An empty text stands for an absent value, and would be found by these.
    finds_empty = column.kind == "string" and (node.operator in {"ge", "lt", "le"} or value == "")
    return found & _is_present(column) if finds_empty else found


def _case_exact(ref: Ref) -> bool:
    return ref.leaf is not None and ref.leaf.case_exact


def _typed(node: Compare, column: Column, normalise: Callable[[str], str] | None) -> Any:
    """The value as the column has it; None if no value of the column can be equal to it."""
    if column.kind == "uuid":
        return _uuid(node.value)
    if column.kind == "dateTime":
        return _instant(node)
    return normalise(str(node.value)) if normalise else node.value


def _uuid(value: Scalar) -> UUID | None:
    try:
        return read_id(value, at="id")
    except ScimError:
        return None


def _instant(node: Compare) -> datetime:
    instant = read_instant(str(node.value), default_zone="+00:00")
    if instant is None:
        raise invalid_filter(f"{node.ref.path} can be compared with a dateTime only.")
    return instant
