"""What a reading leaves out is asked for by itself before anything follows from it; of many, people decide."""

import pytest

from accounts.models import Account, Finding
from audit import crashpoints
from audit.models import JournalEntry
from provisioning import brake, execution, reconciliation
from provisioning.models import FieldAuthority, Plan, Readback, Run, SnapshotProof
from tests.conftest import AT
from tests.factories.plans import made_up
from tests.fakes.directories import a_system, known, known_group
from tests.provisioning.test_reconciliation import BEFORE, MINUTE, Clock, Killed, begin, finish, state

NAMES = ("canary", "u1", "u2", "u3", "u4")


@pytest.fixture
def system(tenant, acting, directory):
    """Five people, all of whom are there; two of them in a group."""
    with acting():
        made = a_system(tenant, at=BEFORE, directory=directory, page_size=100)
        ids = {name: directory.user(name) for name in NAMES}
        people = {name: known(made, name, at=BEFORE, remote_id=remote) for name, remote in ids.items()}
        remote = directory.group("web", ids["u1"], ids["u2"])
        known_group(made, "web", people["u1"], people["u2"], at=BEFORE, remote_id=remote)
    made.ids = ids
    return made


def leaving_out(*names):
    """An answer that lists everybody but these, as if there were no more of them."""

    def bend(asked, document):
        if not asked.path.endswith("/Users") or "startIndex" not in asked.query or "filter" in asked.query:
            return document
        kept = [one for one in document.get("Resources", []) if one["userName"] not in names]
        return document | {"Resources": kept, "totalResults": len(NAMES) - len(names), "itemsPerPage": len(kept)}

    return bend


def wanted():
    return [
        (plan.state, change.act, change.label, change.is_absence)
        for plan in Plan.objects.order_by("asked_at")
        for change in plan.changes.order_by("position")
    ]


def asked():
    return list(Readback.objects.order_by("account__user_name").values_list("account__user_name", "result"))


def absent_proof(run):
    return SnapshotProof.objects.filter(snapshot__run=run, word="absent").values_list("holds", "detail").first()


def missing_findings():
    return sorted(Finding.objects.filter(state="open").values_list("kind", "title"))


def test_who_is_not_there_when_asked_for_either_is_wanted_ended_and_leaves_its_groups(acting, system, directory):
    directory.delete(system.ids["u1"])
    run = begin(acting, system)
    finish(run)
    assert state(acting, run) == ("closed", "closed", "")
    with acting():
        run.refresh_from_db()
        assert {k: run.counts[k] for k in ("missing", "asked", "proved_absent", "could_not_be_asked", "wanted")} == {
            "missing": 1, "asked": 1, "proved_absent": 1, "could_not_be_asked": 0, "wanted": 1,
        }  # fmt: skip
        assert asked() == [("u1", "absent")]
        assert Readback.objects.get().run_id == run.pk
        assert absent_proof(run) == (True, "1 of 1 that were asked for one by one is not there")
        assert wanted() == [("cleared", "deprovision", "u1", True)]
        plan = execution.execute(plan_id=Plan.objects.get().pk, at=AT + MINUTE)
        assert reconciliation.after_plan(plan=plan, at=AT + MINUTE) == 1
        gone = Account.objects.get(user_name="u1")
        assert (plan.state, gone.state) == ("done", "deprovisioned")
        assert list(gone.memberships.filter(ended_at__isnull=True)) == []
        assert JournalEntry.objects.get(event="account.ended").sentence.endswith(
            "u1 ended. Okta does not have it any more"
        )
        assert missing_findings() == []
    finish(begin(acting, system, at=AT + 16 * MINUTE), Clock(AT + 16 * MINUTE))
    with acting():
        assert (Plan.objects.count(), Readback.objects.count(), missing_findings()) == (1, 1, [])


def test_who_is_there_when_asked_for_shows_that_the_listing_is_at_fault_and_nothing_follows(acting, system, directory):
    directory.delete(system.ids["u2"])
    directory.bend = leaving_out("u1", "u2")
    run = begin(acting, system)
    finish(run)
    detail = "1 of 2 that were asked for one by one is not there; left out and there: u1"
    assert state(acting, run) == ("incomplete", "closed", f"not proven that what it left out is not there: {detail}")
    with acting():
        assert asked() == [("u1", "active"), ("u2", "absent")]
        assert absent_proof(run) == (False, detail)
        assert wanted() == []
        left_out = ("not_measured", "Okta: its listing leaves out 1 account that is there: u1")
        assert missing_findings() == [left_out]
        assert Account.objects.filter(state="active").count() == 5
    directory.bend = lambda asked, document: document
    finish(begin(acting, system, at=AT + 16 * MINUTE), Clock(AT + 16 * MINUTE))
    with acting():
        # Read whole at last: the listing leaves nothing out, and u2 is gone for sure.
        assert left_out not in missing_findings()
        assert wanted() == [("cleared", "deprovision", "u2", True)]


def test_of_who_can_not_be_asked_for_nothing_follows_but_the_finding(acting, system, directory):
    for name in ("u1", "u2"):
        directory.delete(system.ids[name])

    def bend(asked, document):
        return (500, {}) if asked.path.endswith(system.ids["u1"]) else document

    directory.bend = bend
    run = begin(acting, system)
    finish(run)
    with acting():
        assert state(acting, run)[0] == "closed"
        assert asked() == [("u1", "failed"), ("u2", "absent")]
        assert absent_proof(run) == (
            True, "1 of 2 that were asked for one by one is not there; could not be asked for: u1"
        )  # fmt: skip
        assert wanted() == [("cleared", "deprovision", "u2", True)]
        assert missing_findings()[:2] == [
            ("missing_there", "account u1 is no longer at Okta"), ("missing_there", "account u2 is no longer at Okta")
        ]  # fmt: skip


def test_a_server_that_refuses_every_direct_read_proves_nothing(acting, system, directory):
    directory.delete(system.ids["u1"])
    directory.bend = lambda asked, document: document if "startIndex" in asked.query else (403, {})
    run = begin(acting, system)
    finish(run)
    with acting():
        run.refresh_from_db()
        assert (run.state, asked(), absent_proof(run), wanted()) == ("closed", [("u1", "failed")], None, [])
        assert run.counts["could_not_be_asked"] == 1


def test_who_is_listed_under_another_id_was_not_left_out_and_has_not_ended(acting, system, directory):
    directory.delete(system.ids["u1"])
    directory.user("u1")
    run = begin(acting, system)
    finish(run)
    with acting():
        assert state(acting, run)[0] == "closed"
        assert absent_proof(run) == (
            True, "0 of 1 that were asked for one by one are not there; there under another id: u1"
        )  # fmt: skip
        assert wanted() == []
        assert ("missing_there", "account u1 is no longer at Okta") in missing_findings()


@pytest.mark.parametrize("why", ["it is an application", "its word about active is advisory"])
def test_absence_ends_nobody_where_the_word_of_its_system_would_not(tenant, acting, system, directory, why):
    with acting():
        if why == "it is an application":
            system.kind = "application"
            system.save(update_fields=["kind"])
        else:
            FieldAuthority.objects.create(
                tenant=tenant, system=system, field="active", direction="reduces", authority="advisory"
            )
    directory.delete(system.ids["u1"])
    run = begin(acting, system)
    finish(run)
    with acting():
        assert (state(acting, run)[0], asked(), wanted()) == ("closed", [], [])
        assert ("missing_there", "account u1 is no longer at Okta") in missing_findings()


@pytest.mark.parametrize(("many", "asked"), [(20, 20), (21, 0)])
def test_twenty_are_asked_for_one_by_one_and_more_are_for_people(acting, system, directory, many, asked):
    with acting():
        for n in range(many):
            known(system, f"p{n:02}", at=BEFORE, remote_id=f"gone-{n}")
    run = begin(acting, system)
    finish(run)
    with acting():
        found = Plan.objects.get()
        assert (found.state, found.changes.count(), Readback.objects.count()) == ("tripped", many, asked)
        unasked = "21 accounts are missing there, too many to ask for one by one"
        assert (unasked in found.brake["because"]) is not bool(asked)


def test_many_that_nobody_asked_for_wait_for_people_however_few_of_them_are_left_to_do(system, acting):
    with acting():
        judged = brake.judge(system=system, wanted=made_up(1), total=10_000, read_nothing=False, unasked=21, at=AT)
        assert judged["because"] == ["21 accounts are missing there, too many to ask for one by one"]


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", ["run.verified", "run.asked", "run.confirmed", "run.compared", "run.planned"])
def test_killed_between_two_questions_it_asks_the_rest_and_nobody_twice(
    acting, system, directory, monkeypatch, point, nth
):
    for name in ("u1", "u2", "u3"):
        directory.delete(system.ids[name])
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
        clock.now += reconciliation.LEASE
        finish(run, clock, seconds=0)
    with acting():
        run.refresh_from_db()
        assert (run.state, run.counts["proved_absent"], run.counts["wanted"]) == ("closed", 3, 3)
        assert asked() == [("u1", "absent"), ("u2", "absent"), ("u3", "absent")]
        assert (Plan.objects.count(), SnapshotProof.objects.filter(snapshot__run=run, holds=True).count()) == (1, 6)


def test_a_run_that_is_stopped_while_it_asks_concludes_nothing(acting, system, directory, monkeypatch):
    for name in ("u1", "u2"):
        directory.delete(system.ids[name])
    run = begin(acting, system)

    def stop(name):
        if name == "run.asked":
            with acting():
                reconciliation.ask_stop(run=run, at=AT)

    monkeypatch.setattr(crashpoints, "here", stop)
    finish(run)
    assert state(acting, run)[0] == "stopped"
    with acting():
        assert (asked(), wanted(), missing_findings()) == ([("u1", "absent")], [], [])
        assert Run.objects.get().state == "stopped"
