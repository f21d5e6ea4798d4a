"""Sweeps say when they looked: one that did not is late, and nothing that it did not find counts."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from accounts import sweeps, tasks
from accounts.models import Sweep, SweepName
from audit.scope import scope
from tests.conftest import AT

if TYPE_CHECKING:
    from accounts.models import Tenant

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)


def test_a_sweep_is_late_five_minutes_after_it_last_looked_and_before_it_ever_did(tenant: Tenant) -> None:
    with scope(tenant=tenant.pk):
        assert sweeps.late(at=AT) == {
            SweepName.EXPIRY: ("the sweep of expiries has not run yet", None),
            SweepName.WATCH: ("the sweep that looks whether all is read and applied has not run yet", None),
        }
        for name in SweepName:
            sweeps.done(name, tenant=tenant.pk, at=AT)
        assert sweeps.late(at=AT + 5 * MINUTE) == {}
        sweeps.done(SweepName.WATCH, tenant=tenant.pk, at=AT + MINUTE)
        assert sweeps.late(at=AT + 6 * MINUTE) == {SweepName.EXPIRY: ("the sweep of expiries is late", AT + 5 * MINUTE)}
        assert Sweep.objects.count() == 2


def test_the_expiry_sweep_says_so_when_it_came_to_its_end_and_not_when_time_ran_out(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_now", lambda: AT)
    tasks._sweep_tenant(tenant.pk, go_on=lambda: False)
    with scope(tenant=tenant.pk):
        assert Sweep.objects.count() == 0
    tasks.sweep_expiry()
    with scope(tenant=tenant.pk):
        assert list(Sweep.objects.values_list("name", "done_at")) == [("expiry", AT)]
