"""One more tenant beside the company, and a backlog of what was received: `python -m bench.within neighbour WHAT …`."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any
from uuid import UUID

from accounts.models.system import System, SystemKind
from accounts.models.tenant import Tenant, TenantKind
from audit.keys import uuid7
from audit.models import Cause, CauseKind
from audit.scope import scope
from bench.company import PATCH_URN, Company, user_id
from provisioning import received, systems, tasks, tokens
from provisioning.models.connection import SystemToken
from provisioning.models.received import Received, ReceivedState

if TYPE_CHECKING:
    from collections.abc import Callable


def _cause(tenant: UUID | None = None) -> Any:
    return scope(tenant=tenant, cause=Cause(kind=CauseKind.COMMAND, actor="bench", reason="somebody to measure"))


def _settle() -> dict[str, Any]:
    """A tenant with a directory; its token."""
    now = dt.datetime.now(dt.UTC)
    with _cause():
        tenant = Tenant.objects.create(slug="neighbour", name="Neighbour", kind=TenantKind.ORGANISATION, made_at=now)
    with _cause(tenant.pk):
        system = systems.make_system(
            tenant_id=tenant.pk, name="Directory", kind=SystemKind.DIRECTORY, made_by=None, at=now
        )
        _, token = tokens.make_token(
            system=system, label="bench", may=["read", "write"], expires_at=now + dt.timedelta(days=1), made_by=None,
            at=now,
        )  # fmt: skip
    return {"tenant": str(tenant.pk), "token": token}


def _send_ahead(tenant: str, system: str, people: str, count: str) -> dict[str, Any]:
    """So many changes of a company's people, acknowledged and not applied; and the worker is woken."""
    everybody = itertools.cycle(Company(people=int(people)).everybody)
    with _cause(UUID(tenant)):
        found = System.objects.get(pk=system)
        token = SystemToken.objects.filter(system=found).values_list("pk", flat=True)[0]
        for number in range(int(count)):
            who = user_id(next(everybody))
            body = {
                "schemas": [PATCH_URN],
                "Operations": [{"op": "replace", "path": "title", "value": f"Engineer {number}"}],
            }
            sent = received.Sent(
                id=uuid7(), system=found, token_id=token, method="PATCH", path=f"/Users/{who}", resource_type="User",
                resource_id=who, lane=str(who), reduces=False, body=body, key="", digest="0" * 64, size=120,
                if_match=None, base="http://127.0.0.1/scim/v2", remote="",
            )  # fmt: skip
            received.receive(sent=sent)
    tasks.apply_soon()
    return _left(tenant)


def _left(tenant: str) -> dict[str, Any]:
    """How many of them still wait, and how many were parked."""
    with scope(tenant=UUID(tenant)):
        states = {
            state.value: Received.objects.filter(state=state).count()
            for state in (ReceivedState.WAITING, ReceivedState.PARKED)
        }
    return {"waiting": states["waiting"], "parked": states["parked"]}


_WHAT: dict[str, Callable[..., dict[str, Any]]] = {"settle": _settle, "send_ahead": _send_ahead, "left": _left}


def main(what: str, *arguments: str) -> dict[str, Any]:
    """One of the three."""
    return _WHAT[what](*arguments)
