"""The ledger folded to its end, now: what is younger than a few minutes counts too."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from audit.scope import scope
from provisioning import rebuilding
from provisioning.models.rebuild import Rebuild

if TYPE_CHECKING:
    from accounts.models import Tenant

AHEAD = dt.timedelta(seconds=-2)


def rebuild(tenant: Tenant, *, from_empty: bool = False) -> Rebuild:
    """Fold all that there is, and compare; what was shown."""
    rebuilding.advance(
        tenant=tenant.pk, clock=lambda: dt.datetime.now(dt.UTC), go_on=lambda: True, from_empty=from_empty,
        settled=AHEAD,
    )  # fmt: skip
    return shown(tenant)


def shown(tenant: Tenant) -> Rebuild:
    """How far it is, and what the last comparison showed."""
    with scope(tenant=tenant.pk):
        return Rebuild.objects.get()
