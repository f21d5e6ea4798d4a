"""A shadow as the SCIM resource that its system sees: what it said, and what is true about `active`.

What belongs to a resource from other tables (groups, members, what waits) is read for a whole page at once.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet

from accounts import lifecycle
from accounts.memberships import as_array
from accounts.models.account import Account, AccountState
from accounts.models.group import Membership, Origin
from accounts.models.system import System
from audit.fields import columns_of, from_row
from audit.scope import at_once
from provisioning.changes import ACTIVE, MEMBERS
from provisioning.models.connection import SystemToken
from provisioning.models.plan import Plan, PlanKind
from provisioning.models.shadow import Shadow
from provisioning.scim.metadata.catalogue import BY_NAME, GROUP, NHI_URN, USER
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.parsing.values import read_instant
from provisioning.scim.projection import Projection
from provisioning.scim.streams import MOST_AT_ONCE, member, place_of
from provisioning.shadows import seen_active
from provisioning.states import PLAN_LIVE

SMALL = 100
"""The members that a group can have to be shown in the answer to its own change."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """What other tables know about a page of resources: groups by user, members by group, plans by account.

    With a `seal` there are too many members to be read at once: each group has the place where they belong (`streams`).
    """

    groups: Mapping[UUID, list[dict[str, Any]]] = field(default_factory=dict)
    members: Mapping[UUID, list[dict[str, Any]]] = field(default_factory=dict)
    plans: Mapping[UUID, Plan] = field(default_factory=dict)
    seal: str = ""


def living(system: System) -> QuerySet[Shadow]:
    """The resources that a system sees: its own, not ended."""
    return Shadow.objects.filter(system=system, ended_at__isnull=True).select_related("account")


_ONE = (
    f"SELECT {columns_of(Shadow, 's')}, {columns_of(Account, 'a')}"  # noqa: S608  the models' own columns
    " FROM provisioning_shadow s LEFT JOIN accounts_account a ON a.id = s.account_id"
    " WHERE s.id = %s AND s.system_id = %s AND s.resource_type = %s AND s.ended_at IS NULL"
)
# By index from the users of a page to their memberships, and from each to its group: whatever the planner guesses.
_GROUPS = """
WITH inside AS MATERIALIZED (
  SELECT origin_ref, group_id FROM accounts_membership
  WHERE origin_ref = ANY(%s::uuid[]) AND system_id = %s AND origin = 'system' AND ended_at IS NULL)
SELECT i.origin_ref, s.id, s.name FROM inside i CROSS JOIN LATERAL (
  SELECT id, name FROM provisioning_shadow
  WHERE group_id = i.group_id AND system_id = %s AND ended_at IS NULL OFFSET 0) s
ORDER BY i.origin_ref, i.group_id
"""


def find_one(*, system: System, resource_type: ResourceType, id: UUID) -> Shadow | None:  # noqa: A002  SCIM's word
    """A living resource of a system with its account. It is what is asked for most, so its SQL is written out."""
    with connection.cursor() as cursor:
        cursor.execute(_ONE, [id, system.pk, resource_type.name])
        row = cursor.fetchone()
    return None if row is None else _shadow_of(row)


def _shadow_of(row: Sequence[Any]) -> Shadow:
    size = len(Shadow._meta.concrete_fields)
    shadow = from_row(Shadow, row[:size])
    shadow.account = from_row(Account, row[size:]) if shadow.account_id is not None else None
    return shadow


def find_active(
    *,
    token: SystemToken,
    projection: Projection,
    id: UUID,  # noqa: A002  SCIM's word
    base: str,
) -> tuple[Shadow, Around] | None:
    """A user or an agent whose account is active, with all that belongs to it, in one round trip and no scope.

    None for everybody else: what waits for people, and what is not there, takes more to say.
    """
    ones, inside = at_once(
        (_ONE, [id, token.system_id, projection.resource_type.name]),
        (_GROUPS, [as_array([id]), token.system_id, token.system_id]),
        tenant=token.tenant_id,
    )
    shadow = _shadow_of(ones[0]) if ones else None
    if shadow is None or shadow.account is None or shadow.account.state != AccountState.ACTIVE:
        return None
    return shadow, Around(groups=_listed(inside, base=base) if projection.wants("groups") else {})


def location(shadow: Shadow, base: str) -> str:
    """The absolute address of a resource."""
    return f"{base}{BY_NAME[shadow.resource_type].endpoint}/{shadow.pk}"


def instant(at: datetime) -> str:
    """A time as xsd:dateTime in UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def gather(shadows: Collection[Shadow], *, system: System, projection: Projection, base: str, seal: str = "") -> Around:
    """Everything around a page, in a number of queries that does not depend on its length.

    What the projection leaves out is not read: `excludedAttributes=members` costs no query. With a `seal` members are
    not read either, and each group has the place for them; without one, the answer has one where they are too many.
    """
    if projection.resource_type.family == "catalogue":
        return Around()
    if projection.resource_type is GROUP:
        groups = [s.group_id for s in shadows if s.group_id is not None]
        if not groups or not projection.wants(MEMBERS) or not projection.parts(MEMBERS):
            return Around()
        found = None if seal else _members(groups, system=system, base=base)
        return Around(seal=seal or token_hex(16)) if found is None else Around(members=found)
    users = [s.pk for s in shadows if s.account_id is not None]
    # A wish to come back is about an account that has ended: no other has one that lives.
    ended = [s.account.pk for s in shadows if s.account is not None and s.account.state == AccountState.DEPROVISIONED]
    return Around(
        groups=_groups(users, system=system, base=base) if users and projection.wants("groups") else {},
        plans=_plans(ended) if ended else {},
    )


def around_tag(shadow: Shadow) -> Around:
    """What the entity tag of one resource depends on, and nothing more."""
    account = shadow.account
    has_ended = account is not None and account.state == AccountState.DEPROVISIONED
    return Around(plans=_plans([account.pk]) if account is not None and has_ended else {})


def _of_system(system: System) -> QuerySet[Membership]:
    return Membership.objects.filter(system=system, origin=Origin.SYSTEM, ended_at__isnull=True)


def is_large(shadow: Shadow, *, system: System) -> bool:
    """Whether it is a group with more members than anybody wants to read after a change. Never counts them all."""
    return shadow.group_id is not None and _of_system(system).filter(group=shadow.group_id)[: SMALL + 1].count() > SMALL


def _members(groups: Collection[UUID], *, system: System, base: str) -> dict[UUID, list[dict[str, Any]]] | None:
    """Members by group; None if they are too many to be held.

    Nothing else is asked: a membership has the id of the resource that it is of, and ends with it (`end_shadow`).
    """
    inside = _of_system(system).filter(group_id__in=groups).order_by("group_id", "origin_ref")
    rows = inside.annotate(is_user=Q(member_group__isnull=True)).values_list(
        "group_id", "origin_ref", "origin_type", "is_user"
    )
    listed = list(rows[: MOST_AT_ONCE + 1])
    if len(listed) > MOST_AT_ONCE:
        return None
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for group, ref, name, is_user in listed:
        kind = BY_NAME[name or (USER.name if is_user else GROUP.name)]
        found[group].append(member(str(ref), kind, base=base))
    return found


def _groups(users: Collection[UUID], *, system: System, base: str) -> dict[UUID, list[dict[str, Any]]]:
    """The groups of this system that users and agents are direct members of, by their ids.

    RFC 7643 section 4.1.2 leaves it open to list those as well that a group of theirs is in. Nobody is followed from
    group to group here, so that groups in a circle are like any others.
    """
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, [as_array(users), system.pk, system.pk])
        rows = cursor.fetchall()
    return _listed(rows, base=base)


def _listed(rows: Iterable[Sequence[Any]], *, base: str) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for ref, group, name in rows:
        address = f"{base}{GROUP.endpoint}/{group}"
        found[ref].append({"value": str(group), "$ref": address, "display": name, "type": "direct"})
    return found


def _plans(accounts: Collection[UUID]) -> dict[UUID, Plan]:
    waiting = Plan.objects.filter(kind=PlanKind.REACTIVATION, account_id__in=accounts, state__in=PLAN_LIVE)
    return {plan.account_id: plan for plan in waiting.order_by("asked_at") if plan.account_id is not None}


def version(shadow: Shadow, around: Around, *, at: datetime) -> str:
    """The weak entity tag of a resource (RFC 7644 section 3.14).

    Beside the resource's own version it holds what people, and time, can change about its account. `groups` of a
    user are not part of it: they change through the groups (RFC 7643 section 4.1.2).
    """
    account = shadow.account
    if account is None:
        return f'W/"{shadow.version}"'
    plan = around.plans.get(account.pk)
    parts = (account.state, seen_active(shadow, at), account.expires_at, plan.pk if plan else "", plan and plan.state)
    state = hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:8]
    return f'W/"{shadow.version}-{state}"'


def rendered(
    shadow: Shadow,
    around: Around,
    *,
    base: str,
    at: datetime,
    projection: Projection,
    in_full: bool = False,
) -> dict[str, Any]:
    """The resource as it is answered. `in_full`, for a single one, also says what a pending account still lacks."""
    resource_type = BY_NAME[shadow.resource_type]
    body: dict[str, Any] = {"schemas": [], "id": str(shadow.pk), **shadow.document}
    if shadow.account is not None:
        body |= _active(shadow, at)
        body["groups"] = around.groups.get(shadow.pk, [])
        body[NHI_URN] = _nhi(shadow, shadow.account, around, at=at, in_full=in_full)
    elif resource_type is GROUP:
        body[MEMBERS] = around.members.get(shadow.group_id, []) if shadow.group_id else []
    body = {name: value for name, value in body.items() if value not in ({}, None)}
    body["schemas"] = _schemas(resource_type, body)
    body["meta"] = {
        "resourceType": shadow.resource_type,
        "created": instant(shadow.made_at),
        "lastModified": instant(shadow.changed_at),
        "location": location(shadow, base),
        "version": version(shadow, around, at=at),
    }
    shown = projection.apply(body)
    if around.seal and shadow.group_id is not None:
        shown[MEMBERS] = place_of(shadow.group_id, seal=around.seal)
    return shown


def _active(shadow: Shadow, at: datetime) -> dict[str, Any]:
    """The truth about the account. A system that took its word back is told it no more, while that word is the truth."""
    active = seen_active(shadow, at)
    return {} if shadow.took_active_back and active == shadow.wants_active else {ACTIVE: active}


def _schemas(resource_type: ResourceType, body: Mapping[str, Any]) -> list[str]:
    return [resource_type.schema.id, *(e.id for e in resource_type.extensions if body.get(e.id))]


def _nhi(shadow: Shadow, account: Account, around: Around, *, at: datetime, in_full: bool) -> dict[str, Any]:
    """Our extension: what was said, what the server decided (kind, expiry), and what waits for people."""
    said: dict[str, Any] = dict(shadow.document.get(NHI_URN, {}))
    if account.is_nhi:
        said["kind"] = account.kind
    if account.expires_at is not None and read_instant(said.get("expiresAt", "")) != account.expires_at:
        said["expiresAt"] = instant(account.expires_at)
    pending = _pending(shadow, account, around, at=at, in_full=in_full)
    return {**said, "pending": pending} if pending else said


def _pending(shadow: Shadow, account: Account, around: Around, *, at: datetime, in_full: bool) -> dict[str, Any]:
    plan = around.plans.get(account.pk)
    if plan is not None:
        asked = instant(plan.asked_at)
        return {"id": str(plan.pk), "state": plan.state, "askedAt": asked, "heldBy": list(plan.held_by) or ["approval"]}
    if not shadow.wants_active or account.state not in {AccountState.PENDING, AccountState.SUSPENDED}:
        return {}
    waits = {"state": str(account.state), "askedAt": instant(account.state_since)}
    if not in_full:
        return waits
    if account.state == AccountState.SUSPENDED:
        return {**waits, "heldBy": lifecycle.live_holds(account)}
    return {**waits, "heldBy": list(lifecycle.missing_for_activation(account, at=at))}
