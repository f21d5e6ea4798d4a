"""Requests that the ledger knows and that had no effect, and what a replay makes of them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from audit.keys import uuid7
from audit.scope import scope
from provisioning import replay
from provisioning.models.exchange import Exchange
from tests.conftest import a_cause
from tests.factories.scim import PATCH_URN, Idp

if TYPE_CHECKING:
    from provisioning.replay import Judged, Simulated


def now() -> dt.datetime:
    """The instant at which these tests happen."""
    return dt.datetime.now(dt.UTC)


def active(value: bool) -> dict[str, Any]:
    """The operation that disables, or enables."""
    return {"op": "replace", "path": "active", "value": value}


def title(value: str) -> dict[str, Any]:
    """The operation that gives a title."""
    return {"op": "replace", "path": "title", "value": value}


def leaves(member: str) -> dict[str, Any]:
    """The operation that takes a member out."""
    return {"op": "remove", "path": f'members[value eq "{member}"]'}


def joins(*members: str) -> dict[str, Any]:
    """The operation that puts members in."""
    return {"op": "add", "path": "members", "value": [{"value": member} for member in members]}


def a_patch(*operations: Any) -> dict[str, Any]:
    """The body of a PATCH."""
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def parked(idp: Idp, method: str, path: str, request: Any = None, **values: Any) -> Exchange:
    """A request that the server could not take: the ledger says that it was asked, and nothing took effect."""
    collection, _slash, resource = path.strip("/").partition("/")
    given = {
        "resource_type": collection.removesuffix("s"), "resource_id": resource or None, "intent": "update",
        "outcome": "parked", "status": 503, "request": request, "request_digest": "0",
    }  # fmt: skip
    with scope(tenant=idp.tenant.pk, cause=a_cause()) as cause:
        return Exchange.objects.create(
            tenant=idp.tenant, system=idp.system, token_id=uuid7(), cause_id=cause.pk, method=method, path=path,
            **(given | values),
        )  # fmt: skip


def simulate(idp: Idp, exchange: Exchange) -> Simulated:
    """What a replay would do."""
    with scope(tenant=idp.tenant.pk):
        return replay.simulate(exchange=Exchange.objects.get(pk=exchange.pk), at=now())


def apply(idp: Idp, exchange: Exchange, **cause: Any) -> tuple[Exchange, Judged]:
    """The replay, and what was judged."""
    with scope(tenant=idp.tenant.pk, cause=a_cause(**cause)):
        return replay.apply(exchange=Exchange.objects.get(pk=exchange.pk), reason="asked again", at=now())
