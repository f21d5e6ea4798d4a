"""Resources as systems know them: found, locked, kept unique and written; and the words in which intake answers.

What accounts and groups have in common on their way in. The only writer of Shadow beside the flag that a plan turns.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Model

from accounts.memberships import Member, as_array
from accounts.models.account import Account
from accounts.models.group import Group, Membership, Origin
from accounts.models.system import System
from provisioning.changes import Intent, Outcome
from provisioning.models.plan import Plan
from provisioning.models.shadow import Shadow


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
    requesters: frozenset[UUID] = frozenset()


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
    living = Shadow.objects.filter(pk=id, system=system, resource_type=resource_type, ended_at__isnull=True)
    # The order of everybody who moves one account: the account, its shadow, its plan.
    Account.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=living.values("account_id")).first()
    Group.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=living.values("group_id")).first()
    return living.select_for_update(of=("self",), no_key=True).select_related("account", "group").first()


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


def seen_active(shadow: Shadow, at: datetime) -> bool:
    """What the resource's `active` answers: the truth about its account, and not what the system wished."""
    return shadow.account is not None and shadow.account.is_active(at=at)


def digest(document: Mapping[str, Any]) -> str:
    """The digest of a canonical document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def refuse_taken(
    *, system: System, resource_type: str, name_key: str, external_id: str, besides: UUID | None = None
) -> None:
    """Raise `Conflict` where another living resource of the system has the name or the externalId."""
    living = Shadow.objects.filter(system=system, resource_type=resource_type, ended_at__isnull=True)
    if besides is not None:
        living = living.exclude(pk=besides)
    if living.filter(name_key=name_key).exists():
        raise Conflict("userName" if resource_type == "User" else "displayName")
    if external_id and living.filter(external_id=external_id).exists():
        raise Conflict("externalId")


def save_shadow(shadow: Shadow, *, is_new: bool) -> None:
    """Write a shadow; a race for its name or externalId is a `Conflict`, not a database error."""
    # Not the tenant: a statement that names a column of the key locks the row against all who refer to it.
    fields = None if is_new else [f.name for f in Shadow._meta.concrete_fields if f.name not in {"id", "tenant"}]
    try:
        with transaction.atomic():
            shadow.save(force_insert=is_new, update_fields=fields)
    except IntegrityError as error:
        message = str(error)
        if "external_id_once" in message:
            raise Conflict("externalId") from error
        if "name_once" in message or "one_per_account" in message:
            raise Conflict("userName" if shadow.resource_type == "User" else "displayName") from error
        raise


def touch_groups_of(shadow: Shadow, *, system: System, at: datetime) -> None:
    """The groups that a resource, a group too, is about to leave: whoever holds an entity tag of one reads anew."""
    inside = Membership.objects.filter(
        origin_ref=shadow.pk, system=system, origin=Origin.SYSTEM, ended_at__isnull=True
    ).values("group_id")
    Shadow.objects.filter(system=system, resource_type="Group", ended_at__isnull=True, group_id__in=inside).update(
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
