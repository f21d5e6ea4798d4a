"""Not having looked is itself a finding, with since when and why."""

import datetime as dt

import pytest

from accounts.models import Finding
from provisioning import connections, freshness, reconciliation, systems
from provisioning.models import Connection
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


def not_measured():
    return [(f.title, f.severity) for f in Finding.objects.filter(kind="not_measured", state="open").order_by("title")]


def test_not_having_looked_is_a_finding_until_a_complete_reading(tenant, acting, system):
    with acting():
        a_system(tenant, at=BEFORE, name="Aside")
        assert freshness.watch_freshness(at=AT) == 2
        assert not_measured() == [
            ("Aside is not measured, never read completely: it is not connected", 2),
            ("Okta is not measured, never read completely: no reading has ended yet", 3),
        ]
        assert Finding.objects.get(system=system).due_at == BEFORE + MINUTE * 60 + dt.timedelta(days=1)
    finish(begin(acting, system))
    with acting():
        assert [title[:5] for title, _ in not_measured()] == ["Aside"]
        assert freshness.watch_freshness(at=AT + 60 * MINUTE) == 1
        assert freshness.watch_freshness(at=AT + 60 * MINUTE + dt.timedelta(seconds=1)) == 2
        assert not_measured()[1][0] == (
            "Okta is not measured, last read completely 2026-11-23 12:00 UTC: no reading has ended since"
        )


def test_why_a_system_is_not_measured_is_said_at_once_when_it_changes(acting, system, directory):
    with acting():
        freshness.watch_freshness(at=AT)
    directory.bend = lambda asked, document: (401, {})
    finish(begin(acting, system))
    with acting():
        freshness.watch_freshness(at=AT + MINUTE)
        assert not_measured()[0][0].endswith(": its server answered 401: the token is not accepted.")
        connections.pause(connection=Connection.objects.get(), reason="x", at=AT + MINUTE)
        freshness.watch_freshness(at=AT + 2 * MINUTE)
        assert not_measured()[0][0].endswith("paused since 2026-11-23 12:01 UTC")
        systems.end_system(system=system, reason="x", at=AT + 3 * MINUTE)
        assert freshness.watch_freshness(at=AT + 3 * MINUTE) == 0
        assert not_measured() == []


def test_a_failed_or_incomplete_reading_leaves_the_system_not_measured(acting, system, directory):
    directory.delete(system.ids["canary"])
    finish(begin(acting, system))
    with acting():
        assert freshness.watch_freshness(at=AT + MINUTE) == 1
        assert "not proven that the canary was seen" in not_measured()[0][0]
