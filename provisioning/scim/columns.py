"""Where the attributes of a resource are found that are not in its stored document, or have an index.

What an index decides stands here too: an address by its key, a member by the account that it belongs to.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from django.db.models import Q, QuerySet

from accounts.models.account import AccountKind, AccountState
from accounts.models.group import Membership, Origin
from accounts.models.system import System
from provisioning.changes import fold
from provisioning.models.plan import Plan, PlanKind
from provisioning.scim.errors import invalid_filter
from provisioning.scim.filters.columns import (
    Column,
    Place,
    Rows,
    Stored,
    Words,
    every,
    fixed_column,
    key_column,
    nothing,
)
from provisioning.scim.filters.evaluate import compares
from provisioning.scim.filters.nodes import Scalar
from provisioning.scim.metadata.catalogue import (
    APPLICATION,
    ENTERPRISE_URN,
    GROUP,
    GROUP_URN,
    NHI_URN,
    RESOURCE_TYPES,
    USER,
)
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.resources import living
from provisioning.states import PLAN_LIVE

_EMAIL_KEY_LENGTH = 320
# The one letter whose folding depends on what was composed before it (U+0345; Unicode, section 3.13): its key is no proof.
_IOTA = "\u03b9"


def columns(system: System, resource_type: ResourceType, *, at: datetime) -> Mapping[str, Place]:
    """The places of a type's attributes, by their lower-case paths."""
    common: dict[str, Place] = {
        "id": Column(lookup="id", kind="uuid"),
        "externalid": Column(lookup="external_id"),
        "meta": _only_present(every()),
        "meta.created": Column(lookup="made_at", kind="dateTime", milliseconds=True),
        "meta.lastmodified": Column(lookup="changed_at", kind="dateTime", milliseconds=True),
        "meta.resourcetype": Column(lookup="resource_type"),
        "meta.location": _only_present(every()),
        "meta.version": _only_present(every()),
    }
    if resource_type is GROUP:
        return common | _of_groups(system)
    if resource_type.family == "catalogue":
        return common | _of_catalogue(resource_type)
    return common | _of_accounts(system, resource_type, at=at)


def _of_catalogue(resource_type: ResourceType) -> dict[str, Place]:
    shown = "displayname" if resource_type is APPLICATION else "display"
    return {
        "schemas": Words(present={resource_type.schema.id: every()}),
        resource_type.handles[0].lower(): key_column("name_key"),
        shown: _displayed(),
    }


def _displayed() -> Column:
    return Column(lookup="display_name_key", normalise=fold, partial=fold)


def _of_groups(system: System) -> dict[str, Place]:
    return {
        "schemas": Words(present={GROUP_URN: every()}),
        # A group's name is unique: the key that keeps it so is the one with an index.
        "displayname": key_column("name_key"),
        "members": _members(system),
    }


def _of_accounts(system: System, resource_type: ResourceType, *, at: datetime) -> dict[str, Place]:
    nhi = f"{NHI_URN}:".lower()
    waits = _waits()
    extended = Q(document__has_key=NHI_URN) | ~Q(account__kind=AccountKind.PERSON)
    extended |= Q(account__expires_at__isnull=False) | waits
    # An agent may have another handle than its name: then it has no name, and no key of one.
    called: dict[str, Place] = {"username": key_column("name_key")} if resource_type is USER else {}
    within = {one.id: Q(document__has_key=one.id) for one in resource_type.extensions}
    return called | {
        "schemas": Words(present={resource_type.schema.id: every(), **within, NHI_URN: extended}),
        "displayname": _displayed(),
        "active": Column(lookup="account__state", kind="boolean", custom=_active(at)),
        "emails.value": Stored(narrow=_has_address),
        "groups": _groups(system),
        # Nobody tells us, and we tell nobody: the manager's own resource does.
        f"{ENTERPRISE_URN}:manager.displayName".lower(): Column(lookup="pk", custom=_never),
        f"{nhi}kind": Column(lookup="account__kind", normalise=str.casefold),
        f"{nhi}expiresat": Column(lookup="account__expires_at", kind="dateTime"),
        f"{nhi}pending": _only_present(waits),
    }


def _waits() -> Q:
    """Whether a user waits for people; the same as `resources` answers it."""
    plans = Plan.objects.filter(kind=PlanKind.REACTIVATION, state__in=PLAN_LIVE, account_id__isnull=False)
    held = Q(wants_active=True, account__state__in=[AccountState.PENDING, AccountState.SUSPENDED])
    return Q(account_id__in=plans.values("account_id")) | held


def _only_present(present: Q) -> Column:
    """A column that is there or not, and that nothing else can be asked of."""

    def decide(operator: str, value: Scalar) -> Q:
        if operator == "pr" or (value is None and operator == "ne"):
            return present
        if value is None and operator == "eq":
            return ~present
        raise invalid_filter("This attribute can be filtered by pr only.")

    return Column(lookup="pk", custom=decide)


def _never(operator: str, value: Scalar) -> Q:
    """What no resource has: different from everything, and equal to nothing but null."""
    return every() if (operator == "eq") == (value is None) and operator in {"eq", "ne"} else ~every()


def _active(at: datetime) -> Callable[[str, Scalar], Q]:
    """`active` as the answer has it: the account's state and its expiry, and never what the system wished."""
    unexpired = Q(account__expires_at__isnull=True) | Q(account__expires_at__gt=at)
    true = Q(account__state=AccountState.ACTIVE) & unexpired
    # As answers have it: a word that its system took back, and that is still the truth, is told to nobody.
    untold = Q(took_active_back=True) & (true & Q(wants_active=True) | ~true & Q(wants_active=False))

    def decide(operator: str, value: Scalar) -> Q:
        if operator == "pr" or (operator == "ne" and value is None):
            return ~untold
        if value is None:
            return untold
        equal = (true if value else ~true) & ~untold
        return equal if operator == "eq" else ~equal

    return decide


def _has_address(value: str) -> Q | None:
    """Who can have an address: whoever is found by it, and whoever has several."""
    if _IOTA in value.casefold():
        return None
    return Q(email_key=fold(value)[:_EMAIL_KEY_LENGTH]) & ~Q(email_key="") | Q(more_emails=True)


def _inside(system: System) -> QuerySet[Membership]:
    """The memberships that this system is told of; they end with the resource of their member, and with their group."""
    return Membership.objects.filter(system=system, origin=Origin.SYSTEM, ended_at__isnull=True)


def _members(system: System) -> Rows:
    inside = _inside(system)
    return Rows(
        having=lambda one: Q(group_id__in=inside.filter(one).values("group_id")),
        inner={
            "members.value": Column(lookup="origin_ref", kind="uuid"),
            "members.type": Column(lookup="origin_type", custom=_member_type),
        },
    )


def _member_type(operator: str, value: Scalar) -> Q:
    """What a membership says its member is; one that says nothing is of a group, or else of a user."""
    kinds = {one.name: Q(origin_type=one.name) for one in RESOURCE_TYPES if one.family != "catalogue"}
    kinds[USER.name] |= Q(origin_type="", member_group__isnull=True)
    kinds[GROUP.name] |= Q(origin_type="", member_group__isnull=False)
    if operator == "pr" or value is None:
        return ~every() if operator == "eq" else every()
    wanted = str(value).casefold()
    found = nothing("pk")
    for kind, condition in kinds.items():
        if compares(operator, kind.casefold(), wanted):
            found |= condition
    return ~found if operator == "ne" else found


def _groups(system: System) -> Rows:
    inside = _inside(system)
    groups = living(system).filter(resource_type=GROUP.name)

    def having(one: Q) -> Q:
        of_such = inside.filter(group_id__in=groups.filter(one).values("group_id")) if one != Q() else inside
        return Q(pk__in=of_such.values("origin_ref"))

    return Rows(
        having=having,
        inner={
            "groups.value": Column(lookup="id", kind="uuid"),
            "groups.display": Column(lookup="name"),
            "groups.type": fixed_column("direct"),
        },
    )
