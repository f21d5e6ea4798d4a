"""A list in SQL: scope first, then the filter, one count, one page. No row is read that is not answered."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import CharField, F, Func, Q, QuerySet, Value
from django.db.models.expressions import Expression, OrderBy
from django.db.models.functions import Lower, NullIf

from accounts.models.account import AccountState
from accounts.models.group import Membership, Origin
from accounts.models.system import System
from provisioning.changes import fold
from provisioning.models.shadow import Shadow
from provisioning.scim.errors import ScimError, invalid_filter, invalid_value
from provisioning.scim.filters.nodes import Scalar
from provisioning.scim.filters.query import Column, key_column, to_q
from provisioning.scim.metadata.catalogue import GROUP, NHI_URN
from provisioning.scim.metadata.schema import Ref, ResourceType
from provisioning.scim.parsing.members import read_id
from provisioning.scim.projection import Listing, Sort
from provisioning.scim.resources import living

Decide = Callable[[str, Scalar], Q]
_COMPARE = {"gt": "gt", "ge": "gte", "lt": "lt", "le": "lte"}
_EVERY = Q(pk__isnull=False)
# What jsonpath returns for a path into the document: its first value as text, absent values as NULL.
_FIRST = "jsonb_path_query_first"


def find(listing: Listing, *, system: System, resource_type: ResourceType, at: datetime) -> tuple[int, list[Shadow]]:
    """How many resources match, and the page of them that was asked for. Raises invalidFilter, invalidValue."""
    found = living(system).filter(resource_type=resource_type.name)
    if listing.filter is not None:
        found = found.filter(to_q(listing.filter, columns(system, resource_type, at=at)))
    found = _ordered(found, listing.sort)
    total = found.count()
    return total, list(found[listing.page.slice]) if listing.page.count else []


def columns(system: System, resource_type: ResourceType, *, at: datetime) -> Mapping[str, Column]:
    """Where the attributes that are not in the stored document, or have an index, are found."""
    common = {
        "id": Column(lookup="id", kind="uuid"),
        "externalid": Column(lookup="external_id"),
        "meta.created": Column(lookup="made_at", kind="dateTime"),
        "meta.lastmodified": Column(lookup="changed_at", kind="dateTime"),
        "meta.resourcetype": Column(lookup="resource_type"),
    }
    if resource_type is GROUP:
        inside = _memberships(system)
        members = _by_id("group_id", lambda ref: inside.filter(origin_ref=ref).values("group_id"), inside)
        names = key_column("display_name_key")
        return common | {"displayname": names, "members": members, "members.value": members}
    nhi, groups = f"{NHI_URN}:".lower(), _in_group(system)
    return common | {
        "username": key_column("name_key"),
        "displayname": Column(lookup="display_name_key", normalise=fold, partial=fold),
        "active": Column(lookup="account__state", kind="boolean", custom=_active(at)),
        "groups": groups,
        "groups.value": groups,
        f"{nhi}kind": Column(lookup="account__kind"),
        f"{nhi}expiresat": Column(lookup="account__expires_at", kind="dateTime"),
    }


def _memberships(system: System) -> QuerySet[Membership]:
    return Membership.objects.filter(system=system, origin=Origin.SYSTEM, ended_at__isnull=True)


def _active(at: datetime) -> Decide:
    """`active` as the answer has it: the account's state and its expiry, and never what the system wished."""
    unexpired = Q(account__expires_at__isnull=True) | Q(account__expires_at__gt=at)
    true = Q(account__state=AccountState.ACTIVE) & unexpired

    def decide(operator: str, value: Scalar) -> Q:
        if operator == "pr":
            return _EVERY
        if value is None:
            return ~_EVERY if operator == "eq" else _EVERY
        return true if value is (operator == "eq") else ~true

    return decide


def _in_group(system: System) -> Column:
    inside = _memberships(system)

    def members_of(ref: UUID) -> QuerySet[Any]:
        groups = living(system).filter(resource_type=GROUP.name, pk=ref).values("group_id")
        return inside.filter(group_id__in=groups).values("origin_ref")

    return _by_id("pk", members_of, inside, every="origin_ref")


def _by_id(
    lookup: str,
    rows: Callable[[UUID], QuerySet[Any]],
    inside: QuerySet[Membership],
    *,
    every: str = "group_id",
) -> Column:
    """A column of ids on the other side of a membership: `eq`, `ne` and `pr` only."""

    def decide(operator: str, value: Scalar) -> Q:
        present = Q(**{f"{lookup}__in": inside.values(every)})
        if operator == "pr" or (value is None and operator == "ne"):
            return present
        if value is None and operator == "eq":
            return ~present
        if operator not in {"eq", "ne"}:
            raise invalid_filter(f"Ids can't be compared by {operator}.")
        try:
            equal = Q(**{f"{lookup}__in": rows(read_id(value, at="value"))})
        except ScimError:
            # No resource here has such an id.
            equal = ~_EVERY
        return equal if operator == "eq" else ~equal

    return Column(lookup=lookup, kind="uuid", custom=decide)


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


def _ordered(found: QuerySet[Shadow], sort: Sort | None) -> QuerySet[Shadow]:
    """By id, which is by age, unless a sort was asked for (RFC 7644 section 3.4.2.3)."""
    if sort is None:
        return found.order_by("pk")
    key = _SORTED.get(sort.ref.path.lower()) or _stored(sort.ref)
    order = OrderBy(
        key, descending=sort.descending, nulls_first=sort.descending or None, nulls_last=not sort.descending or None
    )
    return found.order_by(order, "pk")


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
