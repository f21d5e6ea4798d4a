"""What of a resource is in an answer, and which page of a list (RFC 7644 sections 3.4.2.3 to 3.4.2.5 and 3.9).

Parameters come from the query string or from the body of a `.search`; their names are read in any case.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioning.scim.errors import invalid_cursor, invalid_filter, invalid_value
from provisioning.scim.filters.grammar import parse_filter
from provisioning.scim.filters.nodes import Node
from provisioning.scim.metadata.discovery import DEFAULT_PAGE, MAX_PAGE
from provisioning.scim.metadata.schema import Attribute, Ref, ResourceType, Schema
from provisioning.scim.parsing.notes import Notes
from provisioning.scim.parsing.values import by_name, demand_message

SEARCH_REQUEST_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
MAX_NAMES = 200
# Past this no list of ours goes; larger numbers are lowered to it, so that no offset overflows in the database.
MAX_START = 2**31 - 1
_SINGLE = frozenset({"filter", "startindex", "count", "cursor", "sortby", "sortorder"})
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Page:
    """`start` is counted from 1; `count` is 0 to 1,000, where 0 asks for the total alone.

    `cursor` is None for pages by index, empty for the first page by cursor, and otherwise what came with the page
    before (RFC 9865).
    """

    start: int = 1
    count: int = DEFAULT_PAGE
    cursor: str | None = None

    @property
    def slice(self) -> slice:
        """The page as a slice of an ordered list."""
        return slice(self.start - 1, self.start - 1 + self.count)


@dataclass(frozen=True, kw_only=True)
class Sort:
    """The order that a client asked for; absent values come last when ascending, first when descending."""

    ref: Ref
    descending: bool = False


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Which attributes an answer has. `included` is None without `attributes`; unknown names are left out of both."""

    resource_type: ResourceType
    included: tuple[Ref, ...] | None = None
    excluded: tuple[Ref, ...] = ()

    def wants(self, name: str) -> bool:
        """Whether an attribute, or a part of it, will be in the answer: if not, nobody needs to read it."""
        ref = self.resource_type.resolve(name)
        return ref is not None and ref.attribute is not None and self._keeps(ref)

    def parts(self, name: str) -> frozenset[str]:
        """Which sub-attributes of a core attribute will be in the answer."""
        ref = self.resource_type.resolve(name)
        return self._subs(ref, ref.attribute) if ref is not None and ref.attribute is not None else frozenset()

    def apply(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """The resource with only what is wanted; names are canonical. Always-returned attributes are never dropped."""
        if self.included is None and not self.excluded and self.resource_type.shows_the_rest:
            hidden = self.resource_type.never_shown
            return {
                name: value for name, value in resource.items() if name not in hidden and value not in ({}, [], None)
            }
        answer: dict[str, Any] = {}
        for name, value in resource.items():
            schema = self.resource_type.extension(name)
            attribute = self.resource_type.find(name)
            if schema is not None:
                kept = self._kept(schema, value)
            elif attribute is not None and self._keeps(Ref(attribute=attribute)):
                kept = self._value(Ref(attribute=attribute), value)
            else:
                continue
            if kept not in ({}, [], None):
                answer[name] = kept
        return answer

    def _kept(self, schema: Schema, inside: Mapping[str, Any]) -> dict[str, Any]:
        refs = (Ref(extension=schema, attribute=attribute) for attribute in schema.attributes)
        found = {
            ref.attribute.name: self._value(ref, inside[ref.attribute.name])
            for ref in refs
            if ref.attribute is not None and ref.attribute.name in inside and self._keeps(ref)
        }
        return {name: value for name, value in found.items() if value not in ({}, [], None)}

    def _keeps(self, ref: Ref) -> bool:
        attribute = ref.attribute
        if attribute is None or attribute.returned == "never":
            return False
        if attribute.returned == "always":
            return True
        if self.included is not None:
            return any(_covers(wanted, ref) for wanted in self.included)
        is_excluded = any(unwanted.sub is None and _covers(unwanted, ref) for unwanted in self.excluded)
        return attribute.returned != "request" and not is_excluded

    def _value(self, ref: Ref, value: Any) -> Any:
        attribute = ref.attribute
        if attribute is None or not attribute.subs:
            return value
        names = self._subs(ref, attribute)
        if isinstance(value, list):
            items = [_only(item, names) for item in value]
            return [item for item in items if item != {}]
        return _only(value, names)

    def _subs(self, ref: Ref, attribute: Attribute) -> frozenset[str]:
        about = [one for one in (self.included or self.excluded) if _covers(one, ref)]
        named = {one.sub.name for one in about if one.sub is not None}
        every = frozenset(sub.name for sub in attribute.subs if sub.returned != "never")
        always = frozenset(sub.name for sub in attribute.subs if sub.returned == "always")
        if self.included is None:
            return every - named | always
        whole = not named or any(one.sub is None for one in about)
        return every if whole else frozenset(named) & every | always


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Everything that a list request says."""

    page: Page
    projection: Projection
    filter: Node | None = None
    sort: Sort | None = None


def read_listings(
    parameters: Mapping[str, Any], resource_types: Sequence[ResourceType], notes: Notes | None = None
) -> tuple[Listing, ...]:
    """What a list request asks of each type that it is about; `parameters` as of `read_page`. All share one page.

    An attribute that only some of the types have is without a value in the others (RFC 7644 section 3.4.2.1). Raises
    invalidFilter, invalidValue, invalidCursor. An empty filter is an error and not "everything".
    """
    text = _lowered(parameters).get("filter")
    if text is not None and not isinstance(text, str):
        raise invalid_filter("The filter must be one string.")
    page = read_page(parameters)
    return tuple(
        Listing(
            page=page,
            projection=read_projection(parameters, one),
            filter=parse_filter(text, one, notes, beside=resource_types) if text is not None else None,
            sort=read_sort(parameters, one, beside=resource_types),
        )
        for one in resource_types
    )


def read_search(
    body: Mapping[str, Any], resource_types: Sequence[ResourceType], notes: Notes | None = None
) -> tuple[Listing, ...]:
    """The same from the body of a `.search` (RFC 7644 section 3.4.3). Raises invalidSyntax for another message."""
    demand_message(by_name(body).get("schemas"), SEARCH_REQUEST_URN)
    return read_listings({name: value for name, value in body.items() if value is not None}, resource_types, notes)


def read_page(parameters: Mapping[str, Any]) -> Page:
    """The page that `startIndex` and `count` ask for. A start below 1 is 1, a count below 0 is 0, over 1,000 is 1,000.

    `parameters` maps names to a string, a JSON value or a list of strings (as a `QueryDict` does with `lists()`).
    Raises invalidValue for what is no whole number, and for a place in the list that is said in two ways.
    """
    given = _lowered(parameters)
    start = _number(given.get("startindex"), default=1, name="startIndex")
    count = min(max(_number(given.get("count"), default=DEFAULT_PAGE, name="count"), 0), MAX_PAGE)
    if "cursor" not in given:
        return Page(start=min(max(start, 1), MAX_START), count=count)
    if "startindex" in given:
        raise invalid_value("Give startIndex or cursor, not both.")
    if not isinstance(given["cursor"], str):
        raise invalid_cursor()
    return Page(count=count, cursor=given["cursor"])


def read_sort(
    parameters: Mapping[str, Any], resource_type: ResourceType, *, beside: Sequence[ResourceType] = ()
) -> Sort | None:
    """The order asked for, None if none was, or one by what only a type `beside` this one has.

    Raises invalidValue for an unknown attribute or order.
    """
    given = _lowered(parameters)
    name, order = given.get("sortby"), given.get("sortorder", "ascending")
    if name is None:
        return None
    if not isinstance(order, str) or order.lower() not in {"ascending", "descending"}:
        raise invalid_value("sortOrder must be ascending or descending.")
    found = [_sortable(one, name) for one in (resource_type, *beside)]
    if not any(found):
        raise invalid_value("sortBy must name an attribute.")
    return Sort(ref=found[0], descending=order.lower() == "descending") if found[0] else None


def _sortable(resource_type: ResourceType, name: Any) -> Ref | None:
    ref = resource_type.resolve(name) if isinstance(name, str) else None
    return ref if ref is not None and ref.leaf is not None and ref.leaf.returned != "never" else None


def read_projection(parameters: Mapping[str, Any], resource_type: ResourceType) -> Projection:
    """What `attributes` or `excludedAttributes` ask for. Raises invalidValue if both are given."""
    given = _lowered(parameters)
    included = _names(given.get("attributes"), name="attributes")
    excluded = _names(given.get("excludedattributes"), name="excludedAttributes")
    if included and excluded:
        raise invalid_value("Give attributes or excludedAttributes, not both.")
    return Projection(
        resource_type=resource_type,
        included=_found(included, resource_type) if included else None,
        excluded=_found(excluded, resource_type),
    )


def _lowered(parameters: Mapping[str, Any]) -> dict[str, Any]:
    lowered: dict[str, Any] = {}
    for name, value in parameters.items():
        if name.lower() in lowered:
            raise invalid_value("A parameter is given twice.")
        lowered[name.lower()] = value
    return {name: _single(value) if name in _SINGLE else value for name, value in lowered.items()}


def _single(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise invalid_value("A parameter is given twice.")
    return value[0]


def _number(value: Any, *, default: int, name: str) -> int:
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    raise invalid_value(f"{name} must be a whole number.")


def _names(value: Any, *, name: str) -> list[str]:
    texts: Sequence[Any] = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise invalid_value(f"{name} must be names of attributes.")
    names = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    if len(names) > MAX_NAMES:
        raise invalid_value(f"{name} has more than {MAX_NAMES} names.")
    return names


def _found(names: list[str], resource_type: ResourceType) -> tuple[Ref, ...]:
    refs = (resource_type.resolve(name) for name in names)
    return tuple(ref for ref in refs if ref is not None)


def _covers(named: Ref, ref: Ref) -> bool:
    """Whether a name in the request is about that attribute: itself, a part of it, or its whole extension."""
    same_place = named.extension is ref.extension
    return same_place and (named.attribute is None or named.attribute is ref.attribute)


def _only(value: Any, names: frozenset[str]) -> Any:
    return {name: inner for name, inner in value.items() if name in names} if isinstance(value, dict) else value
