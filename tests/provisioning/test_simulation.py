"""What a reading would come to, said before it counts: read, proved, compared, planned, and taken back."""

import datetime as dt

import pytest

from accounts.models import Finding
from audit.models import Cause, JournalEntry
from provisioning import reconciliation
from provisioning.models import Connection, Plan, Run, Snapshot, SnapshotProof, StagedMember, StagedResource
from provisioning.reconciliation import CantRead
from provisioning.simulation import Simulated
from tests.conftest import AT
from tests.fakes.directories import a_system, known, known_group

BEFORE = AT - dt.timedelta(days=1)


@pytest.fixture
def system(tenant, acting, directory):
    """The directory has ended u1, taken u2 out of the group and put u4 in, without telling us."""
    with acting():
        made = a_system(tenant, at=BEFORE, directory=directory)
        ids = {name: directory.user(name, active=name != "u1") for name in ("canary", "u1", "u2", "u3", "u4")}
        people = {name: known(made, name, at=BEFORE, remote_id=remote) for name, remote in ids.items()}
        remote = directory.group("web", ids["u3"], ids["u4"])
        known_group(made, "web", people["u2"], people["u3"], at=BEFORE, remote_id=remote)
    made.ids = ids
    return made


def begin(acting, system, *, simulated=True, at=AT):
    with acting():
        return reconciliation.start(system=system, started_by="a test", simulated=simulated, at=at)


def simulated(run, at=AT, **how):
    told = []
    for _ in range(20):
        if reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=lambda: at, told=told.append, **how):
            break
    return told


def rows():
    models = (Finding, Plan, SnapshotProof, StagedResource, StagedMember)
    return [model.objects.count() for model in models]


def test_it_says_what_would_be_found_and_wanted_and_keeps_its_counts_alone(acting, system):
    with acting():
        before = list(Connection.objects.values())
    run = begin(acting, system)
    (found,) = simulated(run)
    assert found == Simulated(
        problem="",
        counts={
            "pages": 3, "users": 5, "groups": 1, "members": 2, "status": 1, "member_removed": 1, "member_added": 1,
            "opened": 3, "resolved": 0, "wanted": 2,
        },
        missed={"local_change": 1, "lost_event": 2},
        proofs=dict.fromkeys(["drained", "total", "unique", "canary", "shrink"], True),
        found=(
            "u1: inactive at Okta, active here",
            "u2 is still in web here; Okta no longer shows it",
            "u4 is not in web here; Okta shows it there",
        ),
        wanted=("end the account: u1", "remove from the group: u2 from web"),
    )  # fmt: skip
    with acting():
        run.refresh_from_db()
        assert (run.state, run.step, run.problem, run.leased_until) == ("simulated", "closed", "", None)
        assert run.counts == {
            **found.counts,
            "missed": found.missed,
            "proofs": found.proofs,
            "tripped": 0,
            "seconds": 0.0,
        }
        assert rows() == [0, 0, 0, 0, 0]
        assert list(Connection.objects.values()) == before
        # It proves nothing for anybody who goes by complete readings.
        assert Snapshot.objects.get().state == "incomplete"
        assert [entry.sentence for entry in JournalEntry.objects.filter(event__startswith="run.").order_by("id")] == [
            "a test: Okta is read, only to say what that would find",
            (
                "Okta: reading simulated. 5 accounts and 1 groups read, 3 findings would be opened, 0 would be resolved,"
                " 2 changes would be wanted"
            ),
        ]


def test_what_it_said_is_what_a_reading_then_does(acting, system):
    (found,) = simulated(begin(acting, system))
    run = begin(acting, system, simulated=False)
    assert reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=lambda: AT)
    with acting():
        run.refresh_from_db()
        counts = {word: n for word, n in run.counts.items() if word not in {"seconds", "missed"}}
        assert counts == found.counts
        assert sorted(Finding.objects.values_list("title", flat=True)) == sorted(found.found)
        assert tuple(str(change) for change in Plan.objects.get().changes.all()) == found.wanted
    # A second simulation finds nothing new, and leaves what is there as it is.
    later = AT + dt.timedelta(minutes=1)
    (again,) = simulated(begin(acting, system, at=later), at=later)
    assert (again.found, again.counts["opened"], again.counts["status"]) == ((), 0, 1)
    with acting():
        assert set(Finding.objects.values_list("state", flat=True)) == {"open"}
        assert Plan.objects.get().state == "cleared"


def test_an_incomplete_reading_names_its_proof_and_wants_nothing(acting, system, directory):
    directory.delete(system.ids["canary"])
    (found,) = simulated(begin(acting, system))
    assert (found.is_complete, found.problem) == (False, "not proven that the canary was seen: canary was not seen")
    assert found.proofs["canary"] is False
    assert ("wanted" in found.counts, found.wanted) == (False, ())
    with acting():
        run = Run.objects.get()
        assert (run.state, run.problem) == ("simulated", found.problem)
        assert Connection.objects.get().last_problem == ""


def test_what_the_brake_would_stop_is_said_with_its_reasons(acting, system, directory):
    with acting():
        for number in range(21):
            name = f"many{number:02}"
            known(system, name, at=BEFORE, remote_id=directory.user(name, active=False))
    (found,) = simulated(begin(acting, system))
    assert (found.is_tripped, found.because[0]) == (True, "23 changes are more than 20")
    assert (len(found.found), len(found.wanted)) == (20, 20)
    with acting():
        assert Run.objects.get().counts["tripped"] == 1


def test_one_that_is_cut_off_goes_on_as_a_simulation(acting, system):
    run = begin(acting, system)
    assert not reconciliation.advance(tenant=run.tenant_id, run_id=run.pk, clock=lambda: AT, seconds=0)
    assert len(simulated(run, seconds=0)) == 1
    with acting():
        assert Run.objects.get().state == "simulated"
        assert rows() == [0, 0, 0, 0, 0]


def test_one_that_fails_says_so_and_the_connection_does_not_hear_of_it(acting, system, directory):
    directory.bend = lambda asked, document: (500, {})
    run = begin(acting, system)
    assert simulated(run) == []
    with acting():
        run.refresh_from_db()
        assert run.state == "failed"
        assert run.problem.startswith("page 1: ")
        assert Connection.objects.get().last_problem == ""


def test_a_reading_and_a_simulation_wait_for_each_other(acting, system):
    simulation = begin(acting, system)
    with acting():
        assert reconciliation.start(system=system, started_by="x", at=AT, simulated=True).pk == simulation.pk
        with pytest.raises(CantRead, match=r"Okta is being read for a simulation since 12:00 UTC: wait"):
            reconciliation.start(system=system, started_by="x", at=AT)
        assert reconciliation.start_due(system=system.pk, started_by="sweep", at=AT) is None
    simulated(simulation)
    real = begin(acting, system, simulated=False)
    with acting(), pytest.raises(CantRead, match=r"Okta is being read since 12:00 UTC: wait for its end, or stop it"):
        reconciliation.start(system=system, started_by="x", at=AT, simulated=True)
    assert real.is_simulated is False


def test_one_is_stopped_as_any_other(acting, system):
    run = begin(acting, system)
    with acting():
        reconciliation.ask_stop(run=run, at=AT)
    assert simulated(run) == []
    with acting():
        assert Run.objects.get().state == "stopped"
        assert rows()[3:] == [0, 0]
        assert Cause.objects.filter(actor="reconciliation").exists()
