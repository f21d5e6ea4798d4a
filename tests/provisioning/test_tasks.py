"""The tasks: ids alone, safe twice, and whoever fails stops no other."""

import dataclasses
import datetime as dt
import inspect

import pytest
from django.conf import settings
from django.db import OperationalError

from accounts import lifecycle
from accounts import tasks as account_tasks
from accounts.models import Account, Finding
from accounts.models.finding import Severity
from audit import tasks as audit_tasks
from audit.models import Cause
from audit.scope import scope
from provisioning import connections, execution, intake, reconciliation, tasks, tokens
from provisioning.models import Connection, Plan, PlannedChange, Readback, ReadRecord, Received, RefusedToken, Run
from provisioning.scim import applying, effects
from tests.conftest import AT, a_cause, take_rules_away
from tests.factories.scim import a_user, connect
from tests.fakes.directories import a_system, known, serving

BEFORE = AT - dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    class Clock:
        now = AT

    monkeypatch.setattr(tasks, "_now", lambda: Clock.now)
    return Clock


def read_from(tenant, directory, name="Okta"):
    """A system whose directory shows ann inactive; here she is active."""
    system = a_system(tenant, at=BEFORE, name=name, directory=directory)
    directory.user("canary")
    known(system, f"ann@{name}", at=BEFORE, remote_id=directory.user("ann", active=False, displayName=name))
    return system


def test_every_scheduled_task_of_these_floors_exists_under_its_name_and_takes_nothing():
    ours = {
        t for t in (one["task"] for one in settings.CELERY_BEAT_SCHEDULE.values()) if not t.startswith("governance")
    }
    modules = {"provisioning.tasks": tasks, "accounts.tasks": account_tasks, "audit.tasks": audit_tasks}
    for name in ours:
        module, _, function = name.rpartition(".")
        task = getattr(modules[module], function)
        assert task.name == name
        assert list(inspect.signature(task.run).parameters) == []
    assert len(ours) == 13


def test_the_clock_reads_and_the_next_ticks_repair_and_stay_quiet(tenant, acting, directory, clock):
    with acting():
        read_from(tenant, directory)
    tasks.reconcile_due()
    with acting():
        assert Run.objects.get().state == "closed"
        assert Finding.objects.get(kind="status_differs").state == "open"
    tasks.execute_cleared_plans()
    with acting():
        assert Account.objects.get().state == "deprovisioned"
        assert Finding.objects.get(kind="status_differs").state == "resolved"
        assert Plan.objects.get().state == "done"
    clock.now = AT + 5 * MINUTE
    tasks.read_back_due()
    tasks.reconcile_due()
    tasks.execute_cleared_plans()
    with acting():
        assert Readback.objects.get().result == "inactive"
        assert (Run.objects.count(), Plan.objects.count()) == (1, 1)
    clock.now = AT + 15 * MINUTE
    tasks.reconcile_due()
    with acting():
        assert [r.state for r in Run.objects.all()] == ["closed", "closed"]
        assert Finding.objects.filter(state="open", kind="status_differs").count() == 0
        assert Plan.objects.count() == 1


def test_what_a_task_writes_has_a_cause_that_says_so(tenant, acting, directory):
    with acting():
        read_from(tenant, directory)
    tasks.reconcile_due()
    tasks.execute_cleared_plans()
    with acting():
        by = Cause.objects.filter(kind="task").values_list("actor", "reason").distinct()
        assert set(by) == {
            ("sweep", "a reading is due"),
            ("reconciliation", "a system is read"),
            ("sweep", "a plan is ready to be carried out"),
        }


def test_a_tripped_plan_is_left_to_people(tenant, acting, directory):
    with acting():
        system = read_from(tenant, directory)
        for number in range(25):
            known(system, f"u{number}", at=BEFORE, remote_id=directory.user(f"u{number}", active=False))
    tasks.reconcile_due()
    tasks.execute_cleared_plans()
    with acting():
        assert Plan.objects.get().state == "tripped"
        assert Account.objects.filter(state="deprovisioned").count() == 0


def test_a_plan_that_was_cut_off_while_carried_out_is_finished(tenant, acting, directory):
    with acting():
        read_from(tenant, directory)
    tasks.reconcile_due()
    with acting():
        Plan.objects.update(state="executing")
    tasks.execute_cleared_plans()
    with acting():
        assert Plan.objects.get().state == "done"


def test_a_plan_is_carried_out_batch_by_batch_while_there_is_time_and_the_next_tick_goes_on(
    tenant, acting, directory, monkeypatch
):
    with acting():
        system = read_from(tenant, directory)
        for number in range(4):
            known(system, f"u{number}", at=BEFORE, remote_id=directory.user(f"u{number}", active=False))
    tasks.reconcile_due()
    monkeypatch.setattr(execution, "BATCH", 2)
    monkeypatch.setattr(tasks, "_for_a_minute", lambda: iter([True, True, False]).__next__)
    tasks.execute_cleared_plans()
    with acting():
        assert Plan.objects.get().state == "executing"
        assert Account.objects.filter(state="deprovisioned").count() == 2
        assert Finding.objects.filter(kind="status_differs", state="open").count() == 5
    monkeypatch.undo()
    monkeypatch.setattr(tasks, "_now", lambda: AT)
    tasks.execute_cleared_plans()
    with acting():
        assert Plan.objects.get().ended_because == "5 done, 0 not done"
        assert Finding.objects.filter(kind="status_differs", state="resolved").count() == 5


def test_a_plan_that_fails_stops_no_other(tenant, acting, directory, monkeypatch):
    with serving() as second, acting():
        read_from(tenant, directory)
        read_from(tenant, second, "Entra")
        monkeypatch.setattr(reconciliation, "SLICE", 45.0)
        tasks.reconcile_due()
    with acting():
        bad = Plan.objects.get(system__name="Okta").pk
    original = execution.advance

    def advance(*, plan_id, **more):
        if plan_id == bad:
            raise RuntimeError("a fault of ours")
        return original(plan_id=plan_id, **more)

    monkeypatch.setattr(execution, "advance", advance)
    tasks.execute_cleared_plans()
    with acting():
        assert dict(Plan.objects.values_list("system__name", "state")) == {"Okta": "cleared", "Entra": "done"}


def test_a_system_that_fails_stops_no_other_and_nor_does_a_tenant(make_tenant, directory, monkeypatch):
    first, second = make_tenant("first"), make_tenant("second")
    names = {}
    with serving() as other, serving() as third:
        for tenant, source, name in ((first, directory, "Okta"), (first, other, "Entra"), (second, third, "Okta")):
            with scope(tenant=tenant.pk, cause=a_cause()):
                names[read_from(tenant, source, name).pk] = (tenant.slug, name)
        original = reconciliation.start_due

        def start_due(*, system, **more):
            if names[system] == ("first", "Okta"):
                raise RuntimeError("a fault of ours")
            return original(system=system, **more)

        monkeypatch.setattr(reconciliation, "start_due", start_due)
        tasks.reconcile_due()
    closed = set()
    for tenant in (first, second):
        with scope(tenant=tenant.pk):
            closed |= {
                (tenant.slug, run.system.name) for run in Run.objects.filter(state="closed").select_related("system")
            }
    assert closed == {("first", "Entra"), ("second", "Okta")}


def test_a_run_that_breaks_is_logged_and_the_next_one_is_worked_on(tenant, acting, directory, monkeypatch, caplog):
    with serving() as second:
        with acting():
            read_from(tenant, directory)
            read_from(tenant, second, "Entra")
        original = reconciliation.advance
        broken = []

        def advance(*, tenant, run_id, **more):
            if not broken:
                broken.append(run_id)
                raise RuntimeError("a fault of ours")
            return original(tenant=tenant, run_id=run_id, **more)

        monkeypatch.setattr(reconciliation, "advance", advance)
        tasks.reconcile_due()
    with acting():
        assert sorted(Run.objects.values_list("state", flat=True)) == ["closed", "running"]
        assert Run.objects.get(state="running").pk == broken[0]


def test_a_paused_system_is_not_read_by_the_clock(tenant, acting, directory):
    with acting():
        read_from(tenant, directory)
        connections.pause(connection=Connection.objects.get(), reason="x", at=AT)
    tasks.reconcile_due()
    assert directory.asked == []


def test_freshness_is_watched_in_every_tenant(make_tenant):
    for slug in ("one", "two"):
        tenant = make_tenant(slug)
        with scope(tenant=tenant.pk, cause=a_cause()):
            a_system(tenant, at=BEFORE)
    tasks.watch_freshness()
    tasks.watch_freshness()
    for slug in ("one", "two"):
        with scope(tenant=type(tenant).objects.get(slug=slug).pk):
            assert [(f.kind, f.state) for f in Finding.objects.all()] == [("not_measured", "open")]


def test_the_rings_are_trimmed_in_every_tenant(make_tenant, monkeypatch):
    tenants = [make_tenant(slug) for slug in ("one", "two")]
    for tenant in tenants:
        with scope(tenant=tenant.pk, cause=a_cause()):
            system = a_system(tenant, at=BEFORE)
            token, text = tokens.make_token(
                system=system, label="", may=["read"], expires_at=AT + MINUTE, made_by=None, at=BEFORE
            )
            for _ in range(4):
                tokens.record_read(token=token, method="GET", path="/Users", status=200)
                refused = tokens.find_token(text + "x", at=AT)
                tokens.record_refused(refused=refused, method="GET", path="/Users", remote="192.0.2.1")
    monkeypatch.setattr(tokens, "READS_KEPT", 1)
    monkeypatch.setattr(tokens, "REFUSED_KEPT", 3)
    tasks.trim_rings()
    for tenant in tenants:
        with scope(tenant=tenant.pk):
            assert ReadRecord.objects.count() == 1
    assert RefusedToken.objects.count() == 3


def test_an_ending_by_hand_is_read_back_by_the_clock(tenant, acting, directory, clock):
    with acting():
        system = a_system(tenant, at=BEFORE, directory=directory)
        ann = known(system, "ann", at=BEFORE, remote_id=directory.user("ann"))
        lifecycle.deprovision(accounts=[ann.pk], reason="left", at=AT)
    clock.now = AT + 5 * MINUTE
    tasks.read_back_due()
    tasks.read_back_due()
    with acting():
        assert [r.result for r in Readback.objects.all()] == ["active"]
        assert Finding.objects.get(state="open").kind == "still_active"


@pytest.mark.parametrize(("state", "becomes"), [("cleared", "lapsed"), ("executing", "executing")])
def test_a_plan_that_is_not_what_was_frozen_is_a_finding_once_and_lapses_unless_it_began(
    tenant, acting, directory, state, becomes
):
    with acting():
        read_from(tenant, directory)
    tasks.reconcile_due()
    with acting():
        take_rules_away(PlannedChange)
        PlannedChange.objects.update(label="somebody else")
        Plan.objects.update(state=state)
    for _tick in range(2):
        tasks.execute_cleared_plans()
    with acting():
        found = Finding.objects.get(kind="sweep_failed")
        assert (found.severity, found.system.name, found.evidence["because"]) == (
            Severity.CRITICAL, "Okta", "the plan's rows are not what was frozen; nothing more was written",
        )  # fmt: skip
        assert Plan.objects.get().state == becomes
        assert Account.objects.get().state == "active"


def promised(tenant, name="Okta", *, of=1):
    """A directory that sent so many changes ahead, each of a user of its own."""
    idp = connect(tenant, name)
    for number in range(of):
        assert idp.post("/Users", a_user(f"u{number}@{name}"), Prefer="respond-async").status == 202
    return idp


def test_what_was_received_is_applied_in_every_tenant_and_a_second_tick_finds_nothing(make_tenant, clock):
    clock.now = dt.datetime.now(dt.UTC) + MINUTE
    sent = [promised(make_tenant(slug), of=2) for slug in ("one", "two")]
    tasks.apply_received()
    tasks.apply_received()
    for idp in sent:
        assert [one.outcome for one in idp.exchanges()] == ["applied", "applied"]
        with scope(tenant=idp.tenant.pk):
            assert {(r.state, r.tries) for r in Received.objects.all()} == {("applied", 1)}


def test_a_tick_that_finds_nothing_to_apply_writes_nothing(tenant, clock):
    idp = promised(tenant)
    with scope(tenant=tenant.pk):
        before = Cause.objects.count()
    tasks.apply_received()
    with scope(tenant=tenant.pk):
        assert Cause.objects.count() == before
    assert idp.exchanges() == []


def test_a_backlog_of_one_tenant_holds_up_no_other_and_a_deactivation_goes_first(make_tenant, clock, monkeypatch):
    clock.now = dt.datetime.now(dt.UTC) + MINUTE
    busy = promised(make_tenant("busy"), of=5)
    calm = connect(make_tenant("calm"))
    ada = calm.user("ada")
    for number in range(2):
        calm.post("/Users", a_user(f"late{number}"), Prefer="respond-async")
    calm.patch(f"/Users/{ada}", {"op": "replace", "path": "active", "value": False}, Prefer="respond-async")
    applied = []
    original = applying.apply_next

    def apply_next(*, tenant, **more):
        found = original(tenant=tenant, **more)
        if found:
            applied.append("busy" if tenant == busy.tenant.pk else "calm")
        return found

    monkeypatch.setattr(applying, "apply_next", apply_next)
    monkeypatch.setattr(tasks, "_for_a_turn", lambda: lambda: False)  # one of each in turn
    monkeypatch.setattr(tasks, "_for_a_minute", lambda: iter([True] * 9 + [False] * 9).__next__)
    tasks.apply_received()
    assert set(applied[:2]) == {"busy", "calm"}
    # In the order in which they were applied: how many of one tenant had their turn is left to chance.
    assert sorted(calm.exchanges(), key=lambda one: one.at)[1].intent == "disable"


def test_who_sends_ahead_while_all_are_at_work_on_another_tenants_backlog_has_the_next_turn(
    make_tenant, clock, monkeypatch
):
    clock.now = dt.datetime.now(dt.UTC) + MINUTE
    busy, calm = promised(make_tenant("busy"), of=4), connect(make_tenant("calm"))
    applied = []
    original = applying.apply_next

    def apply_next(*, tenant, **more):
        found = original(tenant=tenant, **more)
        if found:
            applied.append("busy" if tenant == busy.tenant.pk else "calm")
        if len(applied) == 2:
            calm.post("/Users", a_user("late"), Prefer="respond-async")
        return found

    monkeypatch.setattr(applying, "apply_next", apply_next)
    monkeypatch.setattr(tasks, "_for_a_turn", lambda: lambda: False)  # one of each in turn
    tasks.apply_received()
    # The round in which it came may have been past its tenant; the one after that is not.
    assert sorted(applied) == ["busy"] * 4 + ["calm"]
    assert applied.index("calm") in {2, 3}


def test_a_change_that_breaks_is_logged_and_the_next_one_is_applied(tenant, clock, monkeypatch, caplog):
    clock.now = dt.datetime.now(dt.UTC) + MINUTE
    idp = promised(tenant, of=2)
    original = intake.create_account

    def create_account(*, change, **more):
        if change.user_name == "u0@Okta":
            raise RuntimeError("S3cret-value")
        return original(change=change, **more)

    door = effects._DOORS["account"]
    monkeypatch.setitem(effects._DOORS, "account", dataclasses.replace(door, create=create_account))
    tasks.apply_received()
    with scope(tenant=tenant.pk):
        assert list(Received.objects.values_list("state", "tries")) == [("waiting", 1), ("applied", 1)]
    assert [one.resource_label for one in idp.exchanges()] == ["u1@Okta"]
    assert "RuntimeError" in caplog.text and "S3cret-value" not in caplog.text


def test_a_broker_that_is_away_takes_nothing_back(tenant, monkeypatch, caplog):
    def away(**_):
        raise ConnectionError("10.0.0.6 refused")

    monkeypatch.setattr(tasks.apply_received, "apply_async", away)
    promised(tenant)
    assert "nobody was woken" in caplog.text and "10.0.0" not in caplog.text


def test_what_waits_too_long_is_watched_with_the_freshness(tenant, clock):
    promised(tenant)
    clock.now = dt.datetime.now(dt.UTC) + 6 * MINUTE
    tasks.watch_freshness()
    with scope(tenant=tenant.pk):
        assert Finding.objects.filter(kind="not_applied", state="open").count() == 1


def away(tried):
    def act(one):
        tried.append(one)
        raise OperationalError("server closed the connection unexpectedly")

    return act


def test_a_database_that_is_away_ends_the_tick_before_the_next_tenant(make_tenant):
    make_tenant("acme"), make_tenant("globex")
    tried = []
    with pytest.raises(OperationalError):
        tasks._each_tenant("a task", away(tried), go_on=lambda: True)
    assert len(tried) == 1


@pytest.mark.parametrize("task", ["sweep_expiry", "seal"])
def test_a_database_that_is_away_ends_the_sweeps_of_the_floor_below_too(make_tenant, monkeypatch, settings, task):
    make_tenant("acme"), make_tenant("globex")
    tried = []
    settings.ROLLCALL_SEAL_KEY_FILE = "a key"
    monkeypatch.setattr(account_tasks, "read", lambda _path: None)
    for name in ("_sweep_tenant", "_seal_tenant"):
        monkeypatch.setattr(account_tasks, name, lambda tenant, **_: away(tried)(tenant))
    with pytest.raises(OperationalError):
        getattr(account_tasks, task)()
    assert len(tried) == 1
