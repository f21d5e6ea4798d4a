"""A run from its first page to its journal entry, against a real directory; killed anywhere, it goes on."""

import datetime as dt

import pytest
from cryptography.fernet import Fernet
from django.db import OperationalError

from accounts.models import Account, Finding, FindingKind
from audit import crashpoints
from audit.models import JournalEntry
from provisioning import connections, execution, readback, reconciliation, snapshot, systems
from provisioning.models import (
    Connection,
    FieldAuthority,
    Plan,
    Readback,
    Run,
    Snapshot,
    SnapshotProof,
    StagedMember,
    StagedResource,
)
from provisioning.reconciliation import CantRead
from tests.conftest import AT
from tests.fakes.directories import a_system, known, known_group

BEFORE = AT - dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)


class Clock:
    """A second later each time somebody looks."""

    def __init__(self, now=AT):
        self.now = now

    def __call__(self):
        self.now += dt.timedelta(seconds=1)
        return self.now


@pytest.fixture
def system(tenant, acting, directory):
    """Five people in a group; the directory lost to tell that u1 is inactive, and u2 out of the group."""
    with acting():
        made = a_system(tenant, at=BEFORE, directory=directory, cadence_minutes=15, freshness_minutes=60)
        ids = {name: directory.user(name, active=name != "u1") for name in ("canary", "u1", "u2", "u3", "u4")}
        people = {name: known(made, name, at=BEFORE, remote_id=remote) for name, remote in ids.items()}
        remote = directory.group("web", ids["u3"], ids["u4"])
        known_group(made, "web", people["u2"], people["u3"], at=BEFORE, remote_id=remote)
    made.ids = ids
    return made


def begin(acting, system, at=AT):
    with acting():
        return reconciliation.start(system=system, started_by="a test", at=at)


def finish(run, clock=None, most=50, **how):
    clock = clock or Clock()
    for number in range(most):
        if reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=clock, **how):
            return number + 1
    raise AssertionError("the run does not end")


def state(acting, run):
    with acting():
        found = Run.objects.get(pk=run.pk)
        return found.state, found.step, found.problem


def live_findings():
    return sorted(
        Finding.objects.filter(state="open").exclude(kind=FindingKind.NOT_MEASURED).values_list("kind", "title")
    )


EXPECTED = [
    ("membership_differs", "u2 is still in web here; Okta no longer shows it"),
    ("membership_differs", "u4 is not in web here; Okta shows it there"),
    ("status_differs", "u1: inactive at Okta, active here"),
]


# -- the way of a run


def test_a_run_reads_compares_plans_and_closes_with_counts_and_one_journal_entry(tenant, acting, system):
    run = begin(acting, system)
    assert finish(run) == 1
    with acting():
        run.refresh_from_db()
        assert (run.state, run.step, run.problem, run.leased_until) == ("closed", "closed", "", None)
        seconds = run.counts.pop("seconds")
        assert seconds == (run.ended_at - AT).total_seconds() > 0
        assert run.counts == {
            "pages": 3, "users": 5, "groups": 1, "members": 2, "status": 1, "member_removed": 1, "member_added": 1,
            "opened": 3, "resolved": 0, "wanted": 2,
            # Nobody sent anything; who is in the group was written here, by the test.
            "missed": {"local_change": 1, "lost_event": 2},
        }  # fmt: skip
        assert live_findings() == EXPECTED
        plan = Plan.objects.get()
        assert (plan.state, plan.run_id, plan.brake["count"], plan.brake["of"]) == ("cleared", run.pk, 2, 5)
        assert [(c.act, c.label) for c in plan.changes.all()] == [
            ("deprovision", "u1"), ("remove_member", "u2 from web")
        ]  # fmt: skip
        assert {p.word: p.holds for p in SnapshotProof.objects.all()} == dict.fromkeys(
            ["drained", "total", "unique", "canary", "shrink"], True
        )
        assert (StagedResource.objects.count(), StagedMember.objects.count()) == (0, 0)
        connection = Connection.objects.get()
        assert (connection.last_complete_at, connection.due_at, connection.last_problem) == (
            Snapshot.objects.get().started_at, AT + 15 * MINUTE, ""
        )  # fmt: skip
        entries = JournalEntry.objects.filter(event__startswith="run.").order_by("id")
        assert [e.event for e in entries] == ["run.started", "run.closed"]
        assert entries[1].sentence == (
            "Okta: reading closed. 5 accounts and 1 groups read, 3 findings opened, 0 resolved, 2 changes wanted"
        )


def test_the_repair_closes_its_findings_and_the_next_reading_finds_only_what_needs_its_own_word(acting, system):
    finish(begin(acting, system))
    with acting():
        plan = execution.execute(plan_id=Plan.objects.get().pk, at=AT + MINUTE)
        assert plan.state == "done"
        assert reconciliation.after_plan(plan=plan, at=AT + MINUTE) == 2
        assert reconciliation.after_plan(plan=plan, at=AT + MINUTE) == 0
        assert live_findings() == EXPECTED[1:2]
        assert Account.objects.get(user_name="u1").state == "deprovisioned"
    finish(begin(acting, system, at=AT + 16 * MINUTE), Clock(AT + 16 * MINUTE))
    with acting():
        assert live_findings() == EXPECTED[1:2]
        assert Plan.objects.count() == 1


def test_a_directory_without_groups_counts_as_read_and_says_that_memberships_are_not(acting, system, directory):
    directory.bend = lambda asked, document: (404, {}) if asked.path.endswith("/Groups") else document
    run = begin(acting, system)
    finish(run)
    with acting():
        run.refresh_from_db()
        assert (run.state, run.problem) == ("closed", "")
        assert {name: run.counts.get(name) for name in ("users", "groups", "members", "memberships_unread")} == {
            "users": 5, "groups": None, "members": None, "memberships_unread": 1,
        }  # fmt: skip
        # What it shows of its accounts is true: u1 is off there. Of the group that it does not show nothing follows.
        assert [(c.act, c.label) for c in Plan.objects.get().changes.all()] == [("deprovision", "u1")]
        assert live_findings() == EXPECTED[2:]
        assert Connection.objects.get().last_complete_at == AT
        unread = Finding.objects.get(kind="not_measured", state="open")
        assert unread.title.startswith("Okta: memberships are not measured: http://127.0.0.1:")
        assert unread.title.endswith("answered 404: there is no such endpoint below the base URL.")
        assert "5 accounts and no groups, which it does not show, read" in (
            JournalEntry.objects.get(event="run.closed").sentence
        )
    directory.bend = lambda asked, document: document
    finish(begin(acting, system, at=AT + 16 * MINUTE), Clock(AT + 16 * MINUTE))
    with acting():
        assert not Finding.objects.filter(kind="not_measured", state="open").exists()
        assert live_findings() == EXPECTED


def test_a_shrink_beyond_its_limit_counts_when_an_administrator_has_raised_the_limit(tenant, acting, directory):
    with acting():
        system = a_system(tenant, at=BEFORE, directory=directory, shrink_percent=10)
        ids = {n: directory.user(n) for n in ("canary", "u1", "u2", "u3", "u4")}
        for name, remote in ids.items():
            known(system, name, at=BEFORE, remote_id=remote)
    finish(begin(acting, system))
    for name in ("u1", "u2"):
        directory.delete(ids[name])
    second = begin(acting, system, at=AT + 15 * MINUTE)
    finish(second, Clock(AT + 15 * MINUTE))
    told = (
        "not proven that it did not shrink past its limit: 3 accounts, 5 in the last complete reading; at most 10 %"
        " fewer are believed; if it is right, an administrator raises that limit with a reason, on the page of the"
        " system"
    )
    assert state(acting, second) == ("incomplete", "closed", told)
    with acting():
        assert live_findings() == []
        assert Connection.objects.get().last_problem == told
    with acting(actor="m.ito", reason="CHG-7: two left"):
        connections.change_connection(connection=Connection.objects.get(), shrink_percent=40, at=AT + 20 * MINUTE)
        entry = JournalEntry.objects.get(event="connection.changed")
        assert entry.sentence == "m.ito: Okta: shrink_percent is 40, was 10"
    third = begin(acting, system, at=AT + 21 * MINUTE)
    finish(third, Clock(AT + 21 * MINUTE))
    assert state(acting, third) == ("closed", "closed", "")
    with acting():
        assert [kind for kind, _ in live_findings()] == ["missing_there", "missing_there"]
        # From then on it is measured against what was believed last: the limit may go back.
        connections.change_connection(connection=Connection.objects.get(), shrink_percent=10, at=AT + 30 * MINUTE)
    fourth = begin(acting, system, at=AT + 31 * MINUTE)
    finish(fourth, Clock(AT + 31 * MINUTE))
    assert state(acting, fourth) == ("closed", "closed", "")


def test_an_attribute_that_means_ended_is_carried_out_as_the_request_would_have_been(tenant, acting, directory):
    with acting():
        system = a_system(tenant, at=BEFORE, directory=directory)
        FieldAuthority.objects.create(
            tenant=tenant, system=system, field="title", direction="reduces", authority="authoritative",
            status_from="attribute", status_values=["retired"],
        )  # fmt: skip
        known(system, "canary", at=BEFORE, remote_id=directory.user("canary"))
        ann = known(system, "ann", at=BEFORE, remote_id=directory.user("ann", title="Retired"))
    finish(begin(acting, system))
    with acting():
        assert live_findings() == [("status_differs", "ann: title is Retired at Okta, active here")]
        plan = execution.execute(plan_id=Plan.objects.get().pk, at=AT + MINUTE)
        reconciliation.after_plan(plan=plan, at=AT + MINUTE)
        ann.refresh_from_db()
        assert (plan.ended_because, ann.state) == ("1 done, 0 not done", "deprovisioned")
    # It stays active over there, by its word, and off by what its status is derived from: nothing differs.
    finish(begin(acting, system, at=AT + 16 * MINUTE), Clock(AT + 16 * MINUTE))
    with acting():
        assert live_findings() == []
        assert Plan.objects.count() == 1
    readback.read_due(tenant=tenant.pk, clock=lambda: AT + 17 * MINUTE, go_on=lambda: True)
    with acting():
        found = Readback.objects.get()
        assert (found.result, found.detail) == ("inactive", "title is Retired")
        assert live_findings() == []


def test_a_repair_that_nobody_reported_is_seen_by_the_next_complete_reading(acting, system):
    finish(begin(acting, system))
    with acting():
        execution.execute(plan_id=Plan.objects.get().pk, at=AT + MINUTE)
    finish(begin(acting, system, at=AT + 16 * MINUTE), Clock(AT + 16 * MINUTE))
    with acting():
        assert live_findings() == EXPECTED[1:2]
        assert Finding.objects.get(kind="status_differs").resolution.startswith("a complete reading begun")


def test_more_than_the_brake_allows_waits_for_people(acting, system, directory):
    with acting():
        names = [f"many{n:02}" for n in range(21)]
        for name in names:
            known(system, name, at=BEFORE, remote_id=directory.user(name, active=False))
    finish(begin(acting, system))
    with acting():
        plan = Plan.objects.get()
        assert plan.state == "tripped"
        assert plan.brake["because"][0] == "23 changes are more than 20"
        assert Account.objects.filter(state="deprovisioned").count() == 0
        assert Finding.objects.filter(kind="status_differs", state="open").count() == 22


def test_one_page_a_slice_is_as_good_as_all_at_once(acting, system):
    run = begin(acting, system)
    assert finish(run, seconds=0) == 7
    with acting():
        assert live_findings() == EXPECTED


# -- one run per system, and one worker per run


def test_starting_twice_returns_the_run_that_is_running(acting, system):
    first = begin(acting, system)
    assert begin(acting, system, at=AT + MINUTE).pk == first.pk
    assert finish(first) == 1
    assert begin(acting, system, at=AT + 2 * MINUTE).pk != first.pk


def test_a_system_is_due_once_a_cadence(acting, system):
    with acting():
        assert reconciliation.start_due(system=system.pk, started_by="sweep", at=AT) is not None
        assert reconciliation.start_due(system=system.pk, started_by="sweep", at=AT) is None
        run = Run.objects.get()
    finish(run)
    with acting():
        assert reconciliation.start_due(system=system.pk, started_by="sweep", at=AT + 14 * MINUTE) is None
        assert reconciliation.start_due(system=system.pk, started_by="sweep", at=AT + 15 * MINUTE) is not None


def test_what_can_not_be_read_is_refused_in_words(tenant, acting, system):
    with acting():
        connection = Connection.objects.get()
        connections.pause(connection=connection, reason="x", at=AT)
        with pytest.raises(CantRead, match="Okta is paused: resume its connection first"):
            reconciliation.start(system=system, started_by="x", at=AT)
        assert reconciliation.start_due(system=system.pk, started_by="x", at=AT + 60 * MINUTE) is None
        with pytest.raises(CantRead, match="Entra is not connected"):
            reconciliation.start(system=a_system(tenant, at=AT, name="Entra"), started_by="x", at=AT)
        systems.end_system(system=system, reason="x", at=AT)
        with pytest.raises(CantRead, match="Okta has ended"):
            reconciliation.start(system=system, started_by="x", at=AT)
        assert Run.objects.count() == 0


def test_a_run_that_somebody_works_on_is_left_alone_until_its_lease_is_over(acting, system):
    run = begin(acting, system)
    with acting():
        assert reconciliation.claim(run_id=run.pk, at=AT) == 1
    assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=Clock(AT)) is False
    assert state(acting, run)[1] == "listing"
    assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=Clock(AT + 3 * MINUTE)) is True


def test_a_stale_worker_writes_nothing_more(acting, system, directory):
    run = begin(acting, system)
    stolen = []

    def steal(work, place, page, original=snapshot._keep):
        if len(stolen) == 0:
            with acting():
                Run.objects.update(leased_until=None)
                stolen.append(reconciliation.claim(run_id=run.pk, at=AT))
        return original(work, place, page)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "_keep", steal)
        assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=Clock()) is False
    with acting():
        assert StagedResource.objects.count() == 0
        assert Run.objects.get().lease == stolen[0] == 2


def test_an_outage_of_the_database_is_no_error_of_the_run(acting, system, monkeypatch):
    run = begin(acting, system)

    def away(*_args, **_values):
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_keep", away)
        with pytest.raises(OperationalError):
            reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=Clock(AT))
    with acting():
        assert "errors" not in Run.objects.get().counts
    assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=Clock(AT + 3 * MINUTE)) is True


# -- crashes


class Killed(BaseException):
    """As a SIGKILL: nothing of the process runs after it."""


POINTS = [
    "run.claimed", "snapshot.page_read", "snapshot.page_staged", "snapshot.page_written", "run.listed", "run.verified",
    "run.compared", "run.planned", "run.closing",
]  # fmt: skip


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_was_killed_anywhere_ends_as_if_it_had_not_been(acting, system, monkeypatch, point, nth):
    assert point in crashpoints.POINTS
    run = begin(acting, system)
    passed = []

    def die(name):
        if name == point:
            passed.append(name)
            if len(passed) == nth:
                raise Killed

    monkeypatch.setattr(crashpoints, "here", die)
    clock = Clock()
    try:
        finish(run, clock, seconds=0)
    except Killed:
        # Nobody works on it before the lease of the dead is over.
        assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=clock) is False
        clock.now += reconciliation.LEASE
        finish(run, clock, seconds=0)
    with acting():
        run.refresh_from_db()
        assert (run.state, run.counts["users"], run.counts["wanted"]) == ("closed", 5, 2)
        assert live_findings() == EXPECTED
        assert Plan.objects.count() == 1
        assert SnapshotProof.objects.filter(holds=True).count() == 5
        assert StagedResource.objects.count() == 0
        assert JournalEntry.objects.filter(event="run.closed").count() == 1


# -- what ends a run before its time


def test_a_directory_that_breaks_down_fails_the_run_in_words_and_nothing_follows(acting, system, directory):
    finish(begin(acting, system))
    directory.bend = lambda asked, document: (500, {}) if asked.start == 4 else document
    run = begin(acting, system, at=AT + 16 * MINUTE)
    with acting():
        directory.change(system.ids["u3"], active=False)
    finish(run, Clock(AT + 16 * MINUTE))
    problem = f"page 2: {directory.url} answered 500: a reading should be answered with 200."
    assert state(acting, run) == ("failed", "closed", problem)
    with acting():
        assert live_findings() == EXPECTED
        reading = Snapshot.objects.get(run=run)
        assert (reading.state, [(p.word, p.holds) for p in reading.proofs.all()]) == ("failed", [("drained", False)])
        assert StagedResource.objects.count() == 0
        connection = Connection.objects.get()
        assert (connection.last_problem, connection.last_complete_at) == (problem, AT)
        assert JournalEntry.objects.filter(event="run.closed").order_by("id").last().sentence == (
            f"Okta: reading failed. {problem}"
        )


def test_an_incomplete_run_says_which_proof_failed_and_keeps_what_was_wanted_before(acting, system, directory):
    finish(begin(acting, system))
    directory.delete(system.ids["canary"])
    run = begin(acting, system, at=AT + 16 * MINUTE)
    finish(run, Clock(AT + 16 * MINUTE))
    assert state(acting, run) == ("incomplete", "closed", "not proven that the canary was seen: canary was not seen")
    with acting():
        assert live_findings() == EXPECTED
        assert [p.state for p in Plan.objects.all()] == ["cleared"]
        assert Connection.objects.get().last_complete_at == AT


def test_a_busy_server_is_left_alone_as_long_as_it_asks_for_and_only_a_few_times(
    acting, system, directory, monkeypatch
):
    monkeypatch.setattr(snapshot, "PATIENCE", 0.0)
    directory.bend = lambda asked, document: (503, {})
    run = begin(acting, system)
    clock = Clock()
    for _ in range(reconciliation.BUSY_TIMES):
        assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=clock) is False
        with acting():
            assert Run.objects.get().leased_until > clock.now - dt.timedelta(seconds=1)
        clock.now += MINUTE
    assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=clock) is True
    assert state(acting, run)[0] == "failed"
    assert "is busy" in state(acting, run)[2]


def test_a_run_that_is_stopped_is_stopped_and_nothing_follows(acting, system):
    run = begin(acting, system)
    assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=Clock(), seconds=0) is False
    with acting():
        reconciliation.ask_stop(run=run, at=AT)
        reconciliation.ask_stop(run=run, at=AT + MINUTE)
    assert finish(run, Clock(AT)) == 1
    assert state(acting, run) == ("stopped", "closed", "stopped by hand; nothing follows from what was read")
    with acting():
        assert (live_findings(), StagedResource.objects.count()) == ([], 0)
        assert JournalEntry.objects.filter(event="run.stop_asked").count() == 1
        # It was stopped by us: the system has no problem.
        assert Connection.objects.get().last_problem == ""


def test_a_secret_that_can_not_be_decrypted_fails_the_run_in_words(acting, system, settings):
    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode()]
    run = begin(acting, system)
    finish(run)
    assert "put its key back into ROLLCALL_FIELD_KEYS" in state(acting, run)[2]


def test_an_error_of_our_own_is_tried_again_and_fails_the_run_at_last(acting, system, monkeypatch):
    def broken(**_):
        raise ZeroDivisionError("with a value")

    monkeypatch.setattr(reconciliation.comparison, "compare", broken)
    run = begin(acting, system)
    clock = Clock()
    for _ in range(reconciliation.ERRORS_MOST):
        with pytest.raises(ZeroDivisionError):
            reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=clock)
        assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=clock) is False
        clock.now += reconciliation.LEASE
    assert state(acting, run) == ("failed", "closed", "ZeroDivisionError here, 3 times: the log says more")
