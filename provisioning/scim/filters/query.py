"""A filter as a Django `Q`, so that the database decides it.

An attribute with a place of its own (`columns`) is compared there; one that stands only in the stored document becomes a
condition on that JSON column (`stored`); anything else is refused, never ignored: a condition that is left out would
return the wrong people. The semantics are those of `evaluate`. Scope (tenant, system, living) is the caller's, applied
outside of this `Q`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import assert_never

from django.db.models import Q

from provisioning.scim.errors import ScimError, invalid_filter
from provisioning.scim.filters.columns import (
    Column,
    Place,
    Rows,
    Stored,
    Words,
    decided,
    every,
    nothing,
)
from provisioning.scim.filters.evaluate import matches_value
from provisioning.scim.filters.nodes import And, Compare, Constant, Node, Not, Or, Present, ValuePath
from provisioning.scim.filters.stored import condition
from provisioning.scim.metadata.schema import Ref


def to_q(node: Node, mapping: Mapping[str, Place], *, json_field: str | None = "document") -> Q:
    """The filter as a `Q`. `mapping` is keyed by lower-case attribute paths (`username`, `meta.lastmodified`,
    `urn:…:user:employeenumber`, `members`); `json_field` is the look-up of the stored document, None for none.

    Raises invalidFilter for an attribute or a comparison that can't be decided.
    """
    return _Builder(mapping=mapping, json_field=json_field).build(node)


@dataclass(frozen=True, kw_only=True)
class _Builder:
    mapping: Mapping[str, Place]
    json_field: str | None

    def build(self, node: Node) -> Q:
        match node:
            case Compare() | Present():
                return self._leaf(node)
            case ValuePath():
                return self._value_path(node)
            case Constant():
                return every() if node.value else nothing("pk")
            case Not():
                return ~self.build(node.term)
            case And():
                return reduce(and_, map(self.build, node.terms))
            case Or():
                return reduce(or_, map(self.build, node.terms))
            case _:
                assert_never(node)

    def _leaf(self, node: Compare | Present) -> Q:
        place = self.mapping.get(node.ref.path.lower())
        if isinstance(place, Column):
            return decided(node, place)
        several = self.mapping.get(node.ref.top.lower())
        if isinstance(several, Rows | Words):
            return self._of_any(node, several)
        stored = self._stored(node)
        narrower = self._narrower(node)
        return stored if narrower is None else narrower & stored

    def _stored(self, node: Compare | Present | ValuePath) -> Q:
        if self.json_field is None or not _is_stored(node.ref):
            raise _unfilterable(node.ref)
        return condition(node, self.json_field)

    def _of_any(self, node: Compare | Present, several: Rows | Words) -> Q:
        """Any of the values satisfies it; `ne` and `eq null` are the complements of what they deny."""
        if isinstance(node, Present):
            return self._having(node, several)
        if node.value is None:
            present = self._having(Present(ref=node.ref), several)
            return ~present if node.operator == "eq" else present
        if node.operator == "ne":
            return ~self._having(Compare(ref=node.ref, operator="eq", value=node.value), several)
        return self._having(node, several)

    def _having(self, inner: Node, several: Rows | Words) -> Q:
        if isinstance(several, Words):
            return reduce(or_, (q for word, q in several.present.items() if matches_value(inner, word)), nothing("pk"))
        if isinstance(inner, Present) and inner.ref.sub is None:
            return several.having(Q())
        return several.having(_Builder(mapping=several.inner, json_field=None).build(inner))

    def _value_path(self, node: ValuePath) -> Q:
        several = self.mapping.get(node.ref.top.lower())
        if isinstance(several, Rows | Words):
            return self._having(node.inner, several)
        if self.json_field is not None and _is_stored(node.ref):
            stored = self._stored(node)
            narrower = self._narrower(node.inner)
            return stored if narrower is None else narrower & stored
        if node.ref.attribute is None or node.ref.attribute.multi_valued:
            raise _unfilterable(node.ref)
        # One complex value is itself: what its sub-attributes are compared with needs no brackets.
        return self.build(node.inner)

    def _narrower(self, node: Node) -> Q | None:
        """What follows from a filter on the values of one attribute, and an index decides; None for nothing."""
        match node:
            case Compare(operator="eq", value=str(value)):
                place = self.mapping.get(node.ref.path.lower())
                return place.narrow(value) if isinstance(place, Stored) else None
            case And():
                known = [one for one in map(self._narrower, node.terms) if one is not None]
                return reduce(and_, known) if known else None
            case Or():
                found = [self._narrower(term) for term in node.terms]
                known = [one for one in found if one is not None]
                return reduce(or_, known) if len(known) == len(found) else None
            case _:
                return None


def _is_stored(ref: Ref) -> bool:
    return all(part.stored and not part.read_only for part in ref.chain)


def _unfilterable(ref: Ref) -> ScimError:
    return invalid_filter(f"{ref.path} can't be filtered by.")
