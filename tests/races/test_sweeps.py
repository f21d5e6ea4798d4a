"""Two workers at once, on real connections: one winner, nothing doubled; and a worker that is really killed."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from accounts import expiry, lifecycle
from accounts import tasks as account_tasks
from accounts.models import Account, AccountKind, Finding, Hold
from audit.models import JournalEntry, history_of
from audit.scope import scope
from provisioning import execution, readback, reconciliation, tokens, wishes
from provisioning.models import Plan, Readback, ReadRecord, Run, SnapshotProof, StagedResource, SystemToken
from provisioning.models.plan import ChangeAct
from provisioning.plans import Wanted
from tests.conftest import AT, a_cause
from tests.fakes.directories import a_system, known, known_group, serving

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]

BEFORE = AT - dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def directory():
    with serving() as one:
        yield one


@pytest.fixture
def acting(tenant):
    return lambda: scope(tenant=tenant.pk, cause=a_cause())


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Each in a thread with a connection of its own, let go at the same moment; errors are results."""
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        try:
            gate.wait(timeout=10)
            return act()
        except Exception as error:  # noqa: BLE001  it is what the test looks at
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def fill(acting, tenant, directory):
    with acting():
        system = a_system(tenant, at=BEFORE, directory=directory)
        ids = {name: directory.user(name, active=name != "u1") for name in ("canary", "u1", "u2", "u3", "u4", "u5")}
        people = {name: known(system, name, at=BEFORE, remote_id=remote) for name, remote in ids.items()}
        known_group(system, "web", people["u2"], at=BEFORE, remote_id=directory.group("web", ids["u2"], ids["u3"]))
    return system


def test_two_sweeps_begin_one_run(tenant, acting, directory):
    system = fill(acting, tenant, directory)

    def start():
        with acting():
            return reconciliation.start_due(system=system.pk, started_by="sweep", at=AT)

    begun = at_once(*[start] * 4)
    assert [run for run in begun if isinstance(run, Exception)] == []
    assert len([run for run in begun if run is not None]) == 1
    with acting():
        assert Run.objects.count() == 1


def test_a_page_and_a_sweep_that_begin_a_run_get_the_same_one(tenant, acting, directory):
    system = fill(acting, tenant, directory)

    def start():
        with acting():
            return reconciliation.start(system=system, started_by="ann", at=AT).pk

    assert len(set(at_once(*[start] * 4))) == 1


def test_four_workers_on_one_run_read_each_page_once_and_close_it_once(tenant, acting, directory):
    system = fill(acting, tenant, directory)
    with acting():
        run = reconciliation.start(system=system, started_by="sweep", at=AT)

    def is_running():
        with scope(tenant=tenant.pk):
            return Run.objects.get().state == "running"

    def work():
        # However slow the machine is: as long as there is something to work on.
        ended = 0
        while is_running():
            ended += reconciliation.advance(tenant=tenant.pk, run_id=run.pk, clock=lambda: AT + MINUTE, seconds=0)
        return ended

    results = at_once(*[work] * 4)
    assert [one for one in results if isinstance(one, Exception)] == []
    assert sum(results) == 1
    with acting():
        run.refresh_from_db()
        assert (run.state, run.counts["users"], run.counts["pages"], run.counts["opened"]) == ("closed", 6, 3, 2)
        assert SnapshotProof.objects.filter(holds=True).count() == 5
        assert JournalEntry.objects.filter(event="run.closed").count() == 1
        assert (Plan.objects.count(), StagedResource.objects.count()) == (1, 0)
    assert sorted(directory.pages()) == [("Groups", 1), ("Users", 1), ("Users", 4)]


def test_three_ticks_on_one_plan_take_turns_and_write_each_change_once(tenant, acting, monkeypatch):
    monkeypatch.setattr(execution, "BATCH", 2)
    with acting():
        system = a_system(tenant, at=BEFORE)
        people = [known(system, f"u{n}", at=BEFORE) for n in range(15)]
        run = Run.objects.create(
            tenant_id=tenant.pk, system=system, started_by="x", started_at=AT, ended_at=AT, state="closed"
        )
        wanted = [Wanted(act=ChangeAct.DEPROVISION, label=account.user_name, account=account.pk) for account in people]
        plan = wishes.freeze_reading(system=system, run=run, wanted=wanted, total=9_999, read_nothing=False, at=AT)

    def tick():
        return execution.advance(
            tenant=tenant.pk, plan_id=plan.pk, clock=lambda: AT, go_on=lambda: True, then=lambda *, plan, at: None
        )

    assert at_once(*[tick] * 3) == [True] * 3
    with acting():
        assert set(Account.objects.values_list("state", "epoch")) == {("deprovisioned", 1)}
        assert Plan.objects.get().ended_because == "15 done, 0 not done"
        assert JournalEntry.objects.filter(event="plan.executed").count() == 1
        ended = history_of(Account).objects.filter(state="deprovisioned")
        assert (ended.count(), ended.values("cause_id").distinct().count()) == (15, 8)


def test_of_tokens_made_at_once_no_more_than_two_live(tenant, acting, directory):
    with acting():
        system = a_system(tenant, at=BEFORE)

    def make():
        with acting():
            tokens.make_token(system=system, label="", may=["read"], expires_at=AT + MINUTE, made_by=None, at=AT)

    results = at_once(*[make] * 5)
    assert sorted(type(one).__name__ for one in results) == [
        "BadSystem",
        "BadSystem",
        "BadSystem",
        "NoneType",
        "NoneType",
    ]
    assert SystemToken.objects.count() == 2


def test_a_ring_stays_as_long_as_promised_under_many_requests(tenant, acting, monkeypatch):
    monkeypatch.setattr(tokens, "READS_KEPT", 5)
    with acting():
        system = a_system(tenant, at=BEFORE)
        token, _ = tokens.make_token(
            system=system, label="", may=["read"], expires_at=AT + MINUTE, made_by=None, at=BEFORE
        )

    def read():
        for _ in range(20):
            with acting():
                tokens.record_read(token=token, method="GET", path="/Users", status=200)

    assert at_once(*[read] * 4) == [None] * 4
    with acting():
        assert ReadRecord.objects.count() <= 5 + 3
        tokens.trim_reads()
        assert ReadRecord.objects.count() == 5


def test_two_sweeps_read_each_ending_back_once(tenant, acting, directory, monkeypatch):
    monkeypatch.setattr(readback, "BATCH", 3)
    with acting():
        system = a_system(tenant, at=BEFORE, directory=directory)
        people = [
            known(system, f"u{n}", at=BEFORE, remote_id=directory.user(f"u{n}", active=n % 2 == 0)) for n in range(8)
        ]
        lifecycle.deprovision(accounts=[a.pk for a in people], reason="left", at=AT)

    def sweep():
        return readback.read_due(tenant=tenant.pk, clock=lambda: AT + 5 * MINUTE, go_on=lambda: True)

    assert sum(at_once(sweep, sweep, sweep)) == 8
    with acting():
        assert sorted(Readback.objects.values_list("account__user_name", flat=True)) == [f"u{n}" for n in range(8)]
        assert Finding.objects.filter(kind="still_active").count() == 4


def test_two_expiry_sweeps_suspend_each_account_once(tenant, acting, monkeypatch):
    monkeypatch.setattr(expiry.claim_expired, "__kwdefaults__", {"limit": 3, "besides": ()})
    monkeypatch.setattr(account_tasks, "_now", lambda: AT)
    with acting():
        for n in range(10):
            lifecycle.create(
                tenant_id=tenant.pk, kind=AccountKind.PERSON, user_name=f"u{n}", user_name_key=f"u{n}",
                is_active=True, at=BEFORE, expires_at=AT,
            )  # fmt: skip
    assert at_once(*[account_tasks.sweep_expiry] * 3) == [None] * 3
    # One that found the rows of another's open batch passed over leaves them to it; a last tick shows that none is left.
    account_tasks.sweep_expiry()
    with acting():
        assert set(Account.objects.values_list("state", flat=True)) == {"suspended"}
        assert Hold.objects.count() == Hold.history.count() == 10
        assert Account.history.filter(state="suspended").count() == 10


WORKER = """
import sys, django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
import datetime as dt, uuid
from django.db.backends.signals import connection_created
def become(connection, **_):
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE rollcall_app")
connection_created.connect(become)
from provisioning import reconciliation
now = dt.datetime.fromisoformat(sys.argv[4])
for _ in range(20):
    if reconciliation.advance(tenant=uuid.UUID(sys.argv[2]), run_id=uuid.UUID(sys.argv[3]), clock=lambda: now, seconds=0):
        break
else:
    sys.exit("the run did not end")
"""


@pytest.mark.parametrize("point", ["snapshot.page_staged", "snapshot.page_written", "run.compared", "run.closing"])
def test_a_worker_that_is_killed_by_the_system_is_replaced_and_the_run_ends_as_it_should(
    tenant, acting, directory, tmp_path, point
):
    system = fill(acting, tenant, directory)
    with acting():
        run = reconciliation.start(system=system, started_by="sweep", at=AT)
    name = str(connections["default"].settings_dict["NAME"])

    def worker(at: dt.datetime, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WORKER, name, str(tenant.pk), str(run.pk), at.isoformat()],
            env=os.environ | more, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    killed = worker(AT, ROLLCALL_CRASH_AT=point, ROLLCALL_CRASH_MARK=str(tmp_path / "died"))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    replaced = worker(AT + reconciliation.LEASE)
    assert replaced.returncode == 0, replaced.stderr
    with acting():
        run.refresh_from_db()
        assert (run.state, run.counts["users"], run.counts["opened"], run.counts["wanted"]) == ("closed", 6, 2, 1)
        assert (Plan.objects.count(), StagedResource.objects.count()) == (1, 0)
        assert Finding.objects.filter(state="open").count() == 2
        assert JournalEntry.objects.filter(event="run.closed").count() == 1
