"""What arrived from one system, by kind: the newest requests of each, and what was tolerated in the last ones.

It reads the ledger alone, and never more of it than was asked for: each kind is one step into an index, however many
exchanges there are. Who writes the ledger is `provisioning.scim`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models.system import System
from audit.keys import uuid7_floor
from provisioning import bodies
from provisioning.changes import NOTE, Intent
from provisioning.models.exchange import Exchange

USER, GROUP = "User", "Group"
# Of a refused request the ledger has no intent: it is read off what was kept of the body.
_KINDS = tuple(
    (kind, intent.value)
    for kind, intents in (
        (USER, (Intent.CREATE, Intent.UPDATE, Intent.DISABLE, Intent.ENABLE, Intent.DELETE, Intent.UNKNOWN)),
        (
            GROUP,
            (
                Intent.CREATE, Intent.UPDATE, Intent.MEMBER_ADD, Intent.MEMBER_REMOVE, Intent.MEMBER_REPLACE,
                Intent.DELETE, Intent.UNKNOWN,
            ),
        ),
    )
    for intent in intents
)  # fmt: skip
_FALSE = ("false", "0")
# Coercions are counted in so many of the last exchanges.
LOOKED_AT = 1_000

# Between two rows and in their order, which the index of kinds alone gives. Said as equal values in the order of `id`,
# the planner would sooner read the whole ledger backwards until it meets one: for what was never sent, all of it.
_ARRIVALS = """
SELECT e.id, e.at, e.method, e.path, e.status, e.resource_type, e.resource_id, e.resource_label, e.intent, e.outcome,
       e.error, e.coercions, e.plan_id, e.tenant_id, e.body, e.body_key_id, e.request
FROM unnest(%(types)s::text[], %(intents)s::text[], %(read)s::boolean[]) AS k(resource_type, intent, is_read)
CROSS JOIN LATERAL (
  SELECT x.id, x.at, x.method, x.path, x.status, x.resource_type, x.resource_id, x.resource_label, x.intent, x.outcome,
    x.error, x.coercions, x.plan_id, x.tenant_id, x.body_key_id,
    -- What was taken says by itself what was asked, but for who is in a group that was made.
    CASE WHEN k.is_read THEN x.body END AS body, CASE WHEN k.is_read THEN x.request END AS request
  FROM provisioning_exchange x
  WHERE x.system_id = %(system)s AND x.id >= %(since)s
    AND (x.resource_type, x.intent, x.id) >= (k.resource_type, k.intent, %(since)s)
    AND (x.resource_type, x.intent, x.id) <= (k.resource_type, k.intent, %(last)s)
  ORDER BY x.resource_type DESC, x.intent DESC, x.id DESC LIMIT %(each)s
) e
ORDER BY e.id DESC
"""


@dataclass(frozen=True, kw_only=True)
class CoercionSeen:
    """One rule: in how many requests it was applied, when last, and the latest exchange that shows it."""

    rule: str
    count: int
    last_at: datetime
    exchange: UUID


_COERCIONS = """
SELECT noted.one->>'rule', count(DISTINCT newest.id), max(newest.at), (array_agg(newest.id ORDER BY newest.id DESC))[1]
FROM (
  SELECT id, at, coercions FROM provisioning_exchange
  WHERE tenant_id = %(tenant)s AND system_id = %(system)s
  ORDER BY id DESC LIMIT %(most)s
) newest
CROSS JOIN LATERAL jsonb_array_elements(newest.coercions) noted(one)
WHERE newest.at >= %(since)s AND coalesce(noted.one->>'rule', '') NOT IN ('', %(note)s)
GROUP BY 1
ORDER BY 2 DESC, 1
"""


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One request that could change something, without its bodies.

    `asked_…` is what the body of a refused one asked for, as far as it was kept: whose, `active` as sent, and which
    operation on members.
    """

    id: UUID
    at: datetime
    method: str
    path: str
    status: int
    resource_type: str
    resource_id: UUID | None
    label: str
    intent: Intent
    outcome: str
    error: str = ""
    coercions: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    plan_id: UUID | None = None
    asked_name: str = ""
    asked_active: str = ""
    asked_members: str = ""

    @cached_property
    def wanted(self) -> Intent:
        """Its intent; of one that was refused before that could be computed, what its method and body ask for."""
        if self.intent != Intent.UNKNOWN:
            return self.intent
        if self.method in {"POST", "DELETE"}:
            return Intent.CREATE if self.method == "POST" else Intent.DELETE
        if self.resource_type == GROUP:
            found = {"add": Intent.MEMBER_ADD, "remove": Intent.MEMBER_REMOVE, "replace": Intent.MEMBER_REPLACE}
            return found.get(self.asked_members.lower(), Intent.UPDATE)
        if not self.asked_active:
            return Intent.UPDATE
        return Intent.DISABLE if self.asked_active.lower() in _FALSE else Intent.ENABLE

    @property
    def has_members(self) -> bool:
        """Whether a group was made with members in it."""
        return self.intent == Intent.CREATE and bool(self.asked_members)


def since_key(since: datetime | None) -> UUID:
    """The smallest key of what came since then."""
    return uuid7_floor(int(since.timestamp() * 1000)) if since is not None else UUID(int=0)


def arrivals(system: System, *, since: datetime | None = None, each: int = 1) -> list[Arrival]:
    """The newest requests of each kind, newest first; `each` of a kind at most.

    One query, and one more for the keys of bodies that have to be read.
    """
    parameters: dict[str, Any] = {
        "types": [kind for kind, _intent in _KINDS],
        "intents": [intent for _kind, intent in _KINDS],
        "read": [intent == Intent.UNKNOWN or (kind, intent) == (GROUP, Intent.CREATE) for kind, intent in _KINDS],
        "system": system.pk,
        "since": since_key(since),
        "last": UUID(int=2**128 - 1),
        "each": each,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ARRIVALS, parameters)
        rows = cursor.fetchall()
    kept = bodies.shown_all(_exchange(row) for row in rows)
    return [_arrival(row, kept[row[0]].request) for row in rows]


def _exchange(row: tuple[Any, ...]) -> Exchange:
    """As much of it as its bodies are opened by."""
    tenant, body, key, request = row[-4:]
    said = json.loads(request) if request is not None else None  # a cursor of Django's gives JSON as text
    return Exchange(id=row[0], tenant_id=tenant, body=body, body_key_id=key, request=said)


def _arrival(row: tuple[Any, ...], request: Any) -> Arrival:
    names = (
        "id", "at", "method", "path", "status", "resource_type", "resource_id", "label", "intent", "outcome", "error",
        "coercions", "plan_id",
    )  # fmt: skip
    values = dict(zip(names, row[: len(names)], strict=True))
    values["intent"] = Intent(values["intent"])
    values["coercions"] = tuple(json.loads(values["coercions"]))
    said = request if isinstance(request, Mapping) else {}
    if values["intent"] == Intent.UNKNOWN:
        values["asked_name"] = _text(said.get("userName")) or _text(said.get("displayName"))
        values["asked_active"] = _asked_active(said)
    if values["resource_type"] == GROUP and values["intent"] in {Intent.UNKNOWN, Intent.CREATE}:
        values["asked_members"] = _asked_members(said)
    return Arrival(**values)


def _operations(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = said.get("Operations")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _asked_active(said: Mapping[str, Any]) -> str:
    """`active` as it was sent: in a resource, by an operation's path, or within the value of one without a path."""
    if said.get("active") is not None:
        return _text(said["active"])
    operations = _operations(said)
    by_path = [one.get("value") for one in operations if str(one.get("path", "")).lower() == "active"]
    inside = [one["value"].get("active") for one in operations if isinstance(one.get("value"), Mapping)]
    return next((_text(value) for value in (*by_path, *inside) if value is not None), "")


def _asked_members(said: Mapping[str, Any]) -> str:
    """Which operation on members was asked for; a resource with members replaces them."""
    for one in _operations(said):
        if str(one.get("path", "")).lower().startswith("members"):
            return _text(one.get("op"))
    return "replace" if said.get("members") else ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def coercions_seen(system: System, since: datetime | None) -> list[CoercionSeen]:
    """The rules that were applied in its newest requests, those since an instant if one is given; most often first.

    One query, over at most 1,000 exchanges.
    """
    values: dict[str, Any] = {
        "tenant": system.tenant_id, "system": system.pk, "most": LOOKED_AT, "note": NOTE,
        "since": since.isoformat() if since is not None else "-infinity",
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_COERCIONS, values)
        rows = cursor.fetchall()
    return [CoercionSeen(rule=rule, count=count, last_at=at, exchange=exchange) for rule, count, at, exchange in rows]
