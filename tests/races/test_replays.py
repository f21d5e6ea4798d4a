"""A simulation and a replay beside those who change the same resource at the same moment."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.db import connection, connections

from accounts.models import Account, RoleName
from audit.scope import scope
from provisioning import replay, replaying
from provisioning.models.exchange import Exchange
from provisioning.models.replay import Replay, ReplayKind
from tests.conftest import a_cause
from tests.factories.governance import staff
from tests.factories.replays import a_patch, active, now, parked, simulate, title
from tests.factories.scim import Idp, connect

if TYPE_CHECKING:
    from accounts.models import Tenant

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def idp(transactional_db: None, tenant: Tenant) -> Idp:
    """One directory, whose rows other connections see."""
    return connect(tenant)


def test_a_simulation_does_not_wait_for_who_changes_the_resource(idp: Idp) -> None:
    user = idp.user(title="Ops")
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(title("SRE")))
    held, done = threading.Event(), threading.Event()

    def changes() -> None:
        try:
            with scope(tenant=idp.tenant.pk, cause=a_cause()):
                list(Account.objects.select_for_update(no_key=True))
                held.set()
                done.wait(timeout=30)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(changes)
        assert held.wait(timeout=30)
        began = time.monotonic()
        with pytest.raises(replay.Busy, match="is being changed just now"):
            simulate(idp, one)
        waited = time.monotonic() - began
        done.set()
        running.result()
    assert waited < 5
    assert simulate(idp, one).judged.outcome == "applied"


def test_a_simulation_leaves_no_lock_behind_in_a_transaction_that_goes_on(idp: Idp) -> None:
    user = idp.user(title="Ops")
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(title("SRE")))

    def changes() -> int:
        try:
            return idp.patch(f"/Users/{user}", title("Lead")).status
        finally:
            connections.close_all()

    with scope(tenant=idp.tenant.pk):
        replay.simulate(exchange=Exchange.objects.get(pk=one.pk), at=now())
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() != (replay.LOCK_WAITS,)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(changes).result(timeout=20) == 200


def test_two_workers_on_one_replay_do_each_exchange_once(idp: Idp) -> None:
    for number in range(6):
        user = idp.user(f"u{number}@example.com")
        parked(idp, "PATCH", f"/Users/{user}", a_patch(active(False)), intent="disable")
    parked(idp, "PATCH", f"/Users/{user}", None)
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        chen = staff(idp.tenant, "l.chen", RoleName.SECURITY, at=now())
        row = replaying.begin(replaying.Range(kind=ReplayKind.PARKED), by=chen, reason="INC-7", at=now())

    def works() -> None:
        try:
            while not replaying.advance(tenant=idp.tenant.pk, replay_id=row.pk, clock=now, go_on=lambda: True):
                pass
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(works) for _ in range(2)]:
            one.result(timeout=60)
    with scope(tenant=idp.tenant.pk):
        found = Replay.objects.get()
        assert (found.state, found.counts) == ("done", {"applied": 6, "in_the_way": 1})
        assert Exchange.objects.filter(replays__isnull=False).count() == 6
        assert set(Account.objects.filter(shadows__system=idp.system).values_list("epoch", flat=True)) == {1}
