"""A list in SQL: scope first, then the filter, one count, one page. No row is read that is not answered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, F, Func, Q, QuerySet, Value, When
from django.db.models.expressions import Expression, OrderBy
from django.db.models.functions import Lower, NullIf

from accounts.models.system import System
from provisioning.models.shadow import Shadow
from provisioning.scim.columns import columns
from provisioning.scim.cursors import cursor_after, read_cursor
from provisioning.scim.errors import invalid_cursor, invalid_value
from provisioning.scim.filters.columns import nothing
from provisioning.scim.filters.nodes import to_text
from provisioning.scim.filters.query import to_q
from provisioning.scim.metadata.catalogue import NHI_URN
from provisioning.scim.metadata.schema import Ref
from provisioning.scim.projection import Listing, Page
from provisioning.scim.resources import living
from provisioning.shadows import living_count

# What jsonpath returns for a path into the document: its first value as text, absent values as NULL.
_FIRST = "jsonb_path_query_first"
_NEAR = 1_000
# What an answer is made of (`resources.rendered`): of a page of hundreds nothing else is carried.
_SHOWN = (
    "resource_type", "document", "version", "made_at", "changed_at", "wants_active", "took_active_back", "group_id",
    "account__state", "account__kind", "account__expires_at", "account__state_since",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Found:
    """How many resources match, the page of them that was asked for, and where the next one begins, if one does."""

    total: int
    shadows: list[Shadow]
    next_cursor: str | None = None


def find(listings: Sequence[Listing], *, system: System, at: datetime) -> Found:
    """The page of a list over the types of `listings`. Raises invalidFilter, invalidValue, invalidCursor."""
    found = living(system).filter(_wanted(listings, system, at=at)).only(*_SHOWN)
    key = _key(listings)
    page = listings[0].page
    if page.cursor is None:
        shadows = _page(_ordered(found, key), page) if page.count else []
        is_whole = page.start == 1 and len(shadows) < page.count
        return Found(total=len(shadows) if is_whole else _total(listings, found, system), shadows=shadows)
    name = _name(listings, system)
    following = _following(found, key, read_cursor(page.cursor, of=name)) if page.cursor else found
    # One more than asked for says whether there is a next page: its cursor is left out on the last one only.
    shadows = list(_ordered(following, key)[: page.count + 1]) if page.count else []
    has_more, shadows = len(shadows) > page.count, shadows[: page.count]
    cursor = cursor_after(shadows[-1].pk, of=name) if has_more else None
    is_whole = not page.cursor and len(shadows) < page.count
    total = len(shadows) if is_whole else _total(listings, found, system)
    return Found(total=total, shadows=shadows, next_cursor=cursor)


def _page(ordered: QuerySet[Shadow], page: Page) -> list[Shadow]:
    """A page by index. Far into the list its ids are found first: whoever is passed over is not read."""
    if page.start <= _NEAR:
        return list(ordered[page.slice])
    ids = list(ordered.values_list("pk", flat=True)[page.slice])
    found = Shadow.objects.select_related("account").only(*_SHOWN).in_bulk(ids)
    return [found[one] for one in ids]


def _total(listings: Sequence[Listing], found: QuerySet[Shadow], system: System) -> int:
    """How many match on all pages. Without a filter that is known, and nothing is counted."""
    if any(listing.filter is not None for listing in listings):
        return found.count()
    names = [listing.projection.resource_type.name for listing in listings]
    return living_count(system=system, resource_types=names)


def _wanted(listings: Sequence[Listing], system: System, *, at: datetime) -> Q:
    wanted = nothing("pk")
    for listing in listings:
        resource_type = listing.projection.resource_type
        of_type = Q(resource_type=resource_type.name)
        if listing.filter is not None:
            of_type &= to_q(listing.filter, columns(system, resource_type, at=at))
        wanted |= of_type
    return wanted


def _name(listings: Sequence[Listing], system: System) -> str:
    """What makes a list the same list: a cursor of one fits no other."""
    parts: list[Any] = [str(system.pk)]
    for one in listings:
        sort = [one.sort.ref.path, one.sort.descending] if one.sort else None
        parts.append([one.projection.resource_type.name, to_text(one.filter) if one.filter else None, sort])
    return json.dumps(parts)


_SORTED: Mapping[str, Expression | F] = {
    "id": F("pk"),
    "username": F("name_key"),
    "externalid": NullIf(F("external_id"), Value("")),
    "displayname": NullIf(F("display_name_key"), Value("")),
    "meta.created": F("made_at"),
    "meta.lastmodified": F("changed_at"),
    "meta.resourcetype": F("resource_type"),
    f"{NHI_URN}:kind".lower(): F("account__kind"),
    f"{NHI_URN}:expiresat".lower(): F("account__expires_at"),
}
_NEVER_ABSENT = frozenset({"id", "username", "meta.created", "meta.lastmodified", "meta.resourcetype"})


@dataclass(frozen=True, kw_only=True)
class _Key:
    """What a list is sorted by before its ids; `nullable` if a resource may have no such value."""

    expression: Expression | F
    descending: bool
    nullable: bool


def _key(listings: Sequence[Listing]) -> _Key | None:
    """The order that was asked for (RFC 7644 section 3.4.2.3); without one a list goes by id, which is by age."""
    sorts = {one.projection.resource_type.name: one.sort for one in listings if one.sort is not None}
    if not sorts:
        return None
    expressions = {name: _SORTED.get(sort.ref.path.lower()) or _stored(sort.ref) for name, sort in sorts.items()}
    first, sort = next(iter(expressions.values())), next(iter(sorts.values()))
    if len(listings) == 1:
        nullable = sort.ref.path.lower() not in _NEVER_ABSENT
        return _Key(expression=first, descending=sort.descending, nullable=nullable)
    by_type = [When(resource_type=name, then=expression) for name, expression in expressions.items()]
    return _Key(expression=Case(*by_type), descending=sort.descending, nullable=True)


def _ordered(found: QuerySet[Shadow], key: _Key | None) -> QuerySet[Shadow]:
    """Absent values come last, or first when descending."""
    if key is None:
        return found.order_by("pk")
    first, last = key.nullable and key.descending, key.nullable and not key.descending
    order = OrderBy(key.expression, descending=key.descending, nulls_first=first or None, nulls_last=last or None)
    return found.order_by(order, "pk")


def _following(found: QuerySet[Shadow], key: _Key | None, last: UUID) -> QuerySet[Shadow]:
    """What comes after a resource, by its value of today: a range of the index, at any depth.

    Raises invalidCursor if there never was such a resource.
    """
    if key is None:
        return found.filter(pk__gt=last)
    values = Shadow.objects.filter(pk=last).annotate(sort_key=key.expression).values_list("sort_key", flat=True)
    if not values:
        raise invalid_cursor()
    value, absent = values[0], Q(sort_key__isnull=True)
    found = found.annotate(sort_key=key.expression)
    if value is None:
        rest = Q(absent, pk__gt=last)
        return found.filter(rest | ~absent if key.descending else rest)
    beyond, from_here = ("lt", "lte") if key.descending else ("gt", "gte")
    # The first condition is implied by the second; PostgreSQL can use an index for it alone.
    rest = Q(**{f"sort_key__{from_here}": value}) & (Q(**{f"sort_key__{beyond}": value}) | Q(pk__gt=last))
    return found.filter(rest | absent if key.nullable and not key.descending else rest)


def _stored(ref: Ref) -> Expression | F:
    """A value of the document to sort by; of several values the primary one, otherwise the first."""
    attribute, sub = ref.attribute, ref.sub
    if attribute is not None and sub is None and attribute.kind == "complex":
        sub = attribute.sub("value")
    leaf = sub or attribute
    if attribute is None or leaf is None or leaf.kind == "complex" or not attribute.stored or leaf.read_only:
        raise invalid_value(f"Lists can't be sorted by {ref.path}.")
    path = f'$."{ref.extension.id}"' if ref.extension else "$"
    path += f'."{attribute.name}"'
    tail = f'."{sub.name}"' if sub else ""
    firsts = [f"{path}[*]{tail}"]
    if attribute.multi_valued and attribute.sub("primary") is not None:
        firsts.insert(0, f"{path}[*] ? (@.primary == true){tail}")
    texts = [
        Func(
            Func(F("document"), Value(one), function=_FIRST, template="%(function)s(%(expressions)s::jsonpath)"),
            template="%(expressions)s #>> '{}'",
            output_field=CharField(),
        )
        for one in firsts
    ]
    value: Expression = texts[0] if len(texts) == 1 else Func(*texts, function="COALESCE", output_field=CharField())
    return value if leaf.case_exact or leaf.kind != "string" else Lower(value)
