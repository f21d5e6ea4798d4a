"""Resources as systems know them: found, locked, kept unique and written; and the words in which intake answers.

What accounts and groups have in common on their way in. The only writer of Shadow beside the flag that a plan turns.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection
from django.db.models import F, Model, QuerySet, Sum

from accounts.memberships import Member, as_array
from accounts.models.account import Account
from accounts.models.group import Group, Membership, Origin
from accounts.models.system import System
from audit.scope import together
from provisioning.changes import GROUP_TYPE, Intent, Outcome
from provisioning.models.authority import FieldAuthority
from provisioning.models.plan import Plan
from provisioning.models.shadow import Shadow, ShadowCount

# By which attribute each kind of resource is called.
HANDLES = {
    "User": "userName",
    "Agent": "name",
    GROUP_TYPE: "displayName",
    "AgenticApplication": "name",
    "Role": "value",
    "Entitlement": "value",
}


class Conflict(ValueError):
    """Another living resource of the system has that name or externalId."""

    def __init__(self, name: str) -> None:
        super().__init__(f"another resource has this {name}")
        self.field = name


class BadValue(ValueError):
    """A value that can't be taken; nothing was written."""

    def __init__(self, attribute: str, detail: str) -> None:
        super().__init__(f"{attribute}: {detail}")
        self.attribute = attribute
        self.detail = detail


class Immutable(ValueError):
    """An attribute that is given once was sent with another value."""

    def __init__(self, attribute: str) -> None:
        super().__init__(f"{attribute} can't be changed")
        self.attribute = attribute


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Who speaks: a system, by one exchange; `requesters` are the people who count as having asked."""

    system: System
    asked_by: str
    exchange_id: UUID
    requesters: Collection[UUID] = frozenset()
    rules: Sequence[FieldAuthority] | None = None
    """Whose word counts at the system (`authority.rules_for`), where that is known already."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a system's word."""

    shadow: Shadow
    outcome: Outcome
    intent: Intent
    plan: Plan | None = None
    held_by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    created: bool = False


def lock_shadow(*, system: System, resource_type: str, id: UUID) -> Shadow | None:  # noqa: A002  SCIM's word
    """A living resource of the system, locked together with its account or group; None if it has none of that id.

    The locks keep out whoever else changes it, and nobody who only refers to it: a group that is being filled holds
    up none of its members.
    """
    living = Shadow.objects.filter(pk=id, system=system, resource_type=resource_type, ended_at__isnull=True).order_by()
    # The order of everybody who moves one account: the account, its shadow, its plan.
    behind: QuerySet[Any] = Account.objects.filter(pk__in=living.values("account_id"))
    if resource_type == GROUP_TYPE:
        behind = Group.objects.filter(pk__in=living.values("group_id"))
    behind.select_for_update(of=("self",), no_key=True).order_by().values_list("pk").first()
    beside = "group" if resource_type == GROUP_TYPE else "account"
    shadow = living.select_for_update(of=("self",), no_key=True).select_related(beside).first()
    if shadow is not None:
        shadow.system = system
    return shadow


def lock_members(*, system: System, refs: Collection[UUID]) -> list[Member]:
    """Who these resources of a system are; without those that it has not, or that have ended.

    None of them can end until the transaction does; otherwise they may change as they like.
    """
    if not refs:
        return []
    with connection.cursor() as cursor:
        # In one order, so that two groups that take in the same members never wait for each other.
        cursor.execute(
            "SELECT id, account_id, group_id, resource_type FROM provisioning_shadow"
            " WHERE id = ANY(%s::uuid[]) AND system_id = %s AND ended_at IS NULL ORDER BY id FOR KEY SHARE",
            [as_array(refs), system.pk],
        )
        return [Member(*row) for row in cursor.fetchall()]


def touch(shadow: Shadow, *, at: datetime) -> None:
    """What belongs to a resource has changed, and nothing of its own: whoever holds an entity tag of it reads anew."""
    shadow.version += 1
    shadow.changed_at = at
    shadow.save(update_fields=["version", "changed_at"])


def end_shadow(shadow: Shadow, *, at: datetime) -> None:
    """The resource, locked already, is gone for its system.

    Whoever is just putting it into a group is waited for, and finds it gone from then on: a membership lives no longer
    than the resource that it is of, and an answer about a group needs to ask for nobody else.
    """
    Shadow.objects.select_for_update(of=("self",)).filter(pk=shadow.pk).values_list("pk").first()
    shadow.ended_at = shadow.changed_at = at
    shadow.version += 1
    save_shadow(shadow, is_new=False)


def living_count(*, system: System, resource_types: Collection[str]) -> int:
    """How many living resources of these types the system has, at the same cost for ten and for a million."""
    counts = ShadowCount.objects.filter(system=system, resource_type__in=resource_types)
    total: int | None = counts.aggregate(total=Sum("delta"))["total"]
    return total or 0


_FOLD = """
WITH many AS (
  SELECT system_id, resource_type FROM provisioning_shadowcount GROUP BY 1, 2 HAVING count(*) > 1),
gone AS (
  DELETE FROM provisioning_shadowcount WHERE id IN (
    SELECT c.id FROM provisioning_shadowcount c JOIN many USING (system_id, resource_type) FOR UPDATE OF c SKIP LOCKED)
  RETURNING tenant_id, system_id, resource_type, delta)
INSERT INTO provisioning_shadowcount (id, tenant_id, system_id, resource_type, delta)
SELECT gen_random_uuid(), tenant_id, system_id, resource_type, sum(delta) FROM gone GROUP BY 2, 3, 4
"""


def fold_counts() -> int:
    """Put the counts of the tenant's resources together, one row for each system and type. Returns how many remain."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLD)
        return int(cursor.rowcount)


def seen_active(shadow: Shadow, at: datetime) -> bool:
    """What the resource's `active` answers: the truth about its account, and not what the system wished."""
    return shadow.account is not None and shadow.account.is_active(at=at)


def digest(document: Mapping[str, Any]) -> str:
    """The digest of a canonical document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def refuse_taken(
    *, system: System, resource_type: str, name_key: str, external_id: str, besides: Shadow | None = None
) -> None:
    """Raise `Conflict` where another living resource of the system has the name or the externalId.

    `besides` is the resource as it was before its change: what it had nobody else can have.
    """
    if besides is not None and (name_key, external_id) == (besides.name_key, besides.external_id):
        return
    same, values = "name_key = %s", [name_key]
    if external_id:
        same, values = "(name_key = %s OR external_id = %s)", [name_key, external_id]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT name_key FROM provisioning_shadow WHERE {same}"  # noqa: S608  one of the two texts above
            " AND system_id = %s AND resource_type = %s AND ended_at IS NULL AND id IS DISTINCT FROM %s LIMIT 2",
            [*values, system.pk, resource_type, besides.pk if besides is not None else None],
        )
        taken = [row[0] for row in cursor.fetchall()]
    if name_key in taken:
        raise Conflict(HANDLES[resource_type])
    if taken:
        raise Conflict("externalId")


def save_shadow(shadow: Shadow, *, is_new: bool) -> None:
    """Write a shadow; a race for its name or externalId is a `Conflict`, not a database error."""
    # Not the tenant: a statement that names a column of the key locks the row against all who refer to it.
    fields = None if is_new else [f.name for f in Shadow._meta.concrete_fields if f.name not in {"id", "tenant"}]
    try:
        with together():
            shadow.save(force_insert=is_new, update_fields=fields)
    except IntegrityError as error:
        message = str(error)
        if "external_id_once" in message:
            raise Conflict("externalId") from error
        if "name_once" in message or "one_per_account" in message:
            raise Conflict(HANDLES[shadow.resource_type]) from error
        raise


def touch_groups_of(shadow: Shadow, *, system: System, at: datetime) -> None:
    """The groups that a resource, a group too, is about to leave: whoever holds an entity tag of one reads anew."""
    inside = Membership.objects.filter(
        origin_ref=shadow.pk, system=system, origin=Origin.SYSTEM, ended_at__isnull=True
    ).values("group_id")
    Shadow.objects.filter(system=system, resource_type=GROUP_TYPE, ended_at__isnull=True, group_id__in=inside).update(
        version=F("version") + 1, changed_at=at
    )


# The columns that hold a sender's text, and what the sender calls them.
_WORDS = {
    "user_name": "userName", "user_name_key": "userName", "display_name": "displayName", "email": "emails",
    "employee_number": "employeeNumber", "external_id": "externalId",
}  # fmt: skip


def check_lengths(model: type[Model], fields: Mapping[str, Any]) -> None:
    """Raise `BadValue` for a text that its column can't hold."""
    for column in _WORDS.keys() & fields.keys():
        most = getattr(model._meta.get_field(column), "max_length", None)
        if most is not None and len(fields[column]) > most:
            raise BadValue(_WORDS[column], f"it is longer than {most} characters")
