"""Systems that send to us over SCIM and are read back over SCIM: both directions are real."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from audit.models import CauseKind
from audit.scope import scope
from provisioning import connections, reconciliation
from provisioning.models import Run
from tests.conftest import a_cause
from tests.factories.scim import Idp, connect
from tests.fakes.directories import TOKEN, FakeDirectory

if TYPE_CHECKING:
    from accounts.models import Tenant

SLICES = 50


@dataclass
class Place:
    """One directory: what it holds (`directory`), and how it speaks to us (`idp`).

    `remote` is its own ids by user name, `here` the SCIM ids that we gave.
    """

    idp: Idp
    directory: FakeDirectory
    domain: str
    remote: dict[str, str] = field(default_factory=dict)
    here: dict[str, str] = field(default_factory=dict)


def a_place(
    tenant: Tenant, name: str, directory: FakeDirectory, *, canary: str, domain: str = "larkfield.example", **how: Any
) -> Place:
    """A system with a token, and a connection that reads that directory."""
    idp = connect(tenant, name)
    with scope(tenant=tenant.pk, cause=a_cause(kind=CauseKind.PAGE, actor="p.lindqvist", reason="CHG-204")):
        connections.connect(
            system=idp.system,
            base_url=directory.url,
            secret=TOKEN,
            canary_user_name=canary,
            at=dt.datetime.now(dt.UTC),
            **({"page_size": 20} | how),
        )
    return Place(idp=idp, directory=directory, domain=domain)


def read(place: Place, *, started_by: str = "sweep") -> Run:
    """One whole reading, from the first page to its close."""
    tenant = place.idp.tenant.pk
    with scope(tenant=tenant, cause=a_cause(kind=CauseKind.TASK, actor=started_by, reason="a reading is due")):
        run = reconciliation.start(system=place.idp.system, started_by=started_by, at=dt.datetime.now(dt.UTC))
    for _ in range(SLICES):
        if reconciliation.advance(tenant=tenant, run_id=run.pk, clock=lambda: dt.datetime.now(dt.UTC)):
            break
    with scope(tenant=tenant):
        return Run.objects.select_related("system").get(pk=run.pk)
