"""Every ending is read back in time; still active is a finding until it is off, and not read is one as well."""

import datetime as dt

import pytest

from accounts import lifecycle
from accounts.models import Account, Finding, HoldKind
from audit import crashpoints
from provisioning import connections, readback
from provisioning.models import Connection, Readback, Shadow
from tests.conftest import AT
from tests.fakes.directories import a_system, known, serving

BEFORE = AT - dt.timedelta(days=1)
MINUTE = dt.timedelta(minutes=1)
DUE = AT + 5 * MINUTE


@pytest.fixture
def system(tenant, acting, directory):
    with acting():
        return a_system(tenant, at=BEFORE, directory=directory)


def sweep(tenant, at, *, once=False):
    return readback.read_due(tenant=tenant.pk, clock=lambda: at, go_on=lambda: not once)


def ended(acting, system, directory, name="ann", *, there=True, by_id=True, at=AT, **more):
    """Ended here; in the directory active, inactive, or (None) absent."""
    remote = directory.user(name, active=bool(there))
    if there is None:
        directory.delete(remote)
    with acting():
        account = known(system, name, at=BEFORE, remote_id=remote if by_id else "", **more)
        lifecycle.deprovision(accounts=[account.pk], reason="left", at=at)
    account.remote = remote
    return account


def reads(acting):
    with acting():
        return [(r.account.user_name, r.result) for r in Readback.objects.order_by("at", "account__user_name")]


def due_at(acting, account):
    with acting():
        return Account.objects.get(pk=account.pk).read_due_at


def findings(acting):
    with acting():
        return sorted(Finding.objects.filter(state="open").values_list("kind", "title"))


STILL = [("still_active", "ann: ended here, still active at Okta")]


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize("case", [(False, "inactive", []), (None, "absent", []), (True, "active", STILL)])
def test_an_ending_is_read_by_id_or_by_name_and_kept_as_a_row(acting, system, directory, by_id, case):
    there, result, found = case
    account = ended(acting, system, directory, there=there, by_id=by_id)
    assert sweep(system.tenant, DUE) == 1
    assert reads(acting) == [("ann", result)]
    assert findings(acting) == found
    assert due_at(acting, account) == (DUE + 15 * MINUTE if there else None)
    # A targeted read: the system is not listed.
    assert [query for query in directory.asked if "startIndex" in query.query and "filter" not in query.query] == []


def test_it_is_read_within_five_minutes_and_not_at_once(tenant, acting, system, directory):
    ended(acting, system, directory)
    assert sweep(tenant, AT + 4 * MINUTE) == 0
    assert sweep(tenant, DUE - readback.AHEAD) == 1


def test_absent_by_id_is_proved_by_name_since_an_external_id_need_not_be_an_id(tenant, acting, system, directory):
    account = ended(acting, system, directory)
    with acting():
        Shadow.objects.filter(account=account).update(external_id="hr-0815")
    sweep(tenant, DUE)
    assert reads(acting) == [("ann", "active")]


def test_a_suspension_is_read_back_as_well(tenant, acting, system, directory):
    remote = directory.user("ann")
    with acting():
        ann = known(system, "ann", at=BEFORE, remote_id=remote, is_privileged=True)
        lifecycle.suspend(accounts=[ann.pk], kind=HoldKind.CAMPAIGN, reason="revoked", at=AT)
    sweep(tenant, DUE)
    assert findings(acting) == [("still_active", "ann: suspended here, still active at Okta")]
    with acting():
        found = Finding.objects.get()
        assert (found.severity, found.controls) == (4, ["NHI1:2025 Improper Offboarding", "PR.AA-05"])
        assert found.due_at == AT + dt.timedelta(days=1)


def test_still_active_is_read_again_with_longer_and_longer_pauses_until_it_is_off(tenant, acting, system, directory):
    account = ended(acting, system, directory)
    at, waits = DUE, []
    for _ in range(7):
        sweep(tenant, at)
        following = due_at(acting, account)
        waits.append(int((following - at) / MINUTE))
        at = following
    assert waits == [15, 30, 60, 120, 240, 240, 240]
    assert len(findings(acting)) == 1
    directory.change(account.remote, active=False)
    sweep(tenant, at)
    assert (findings(acting), due_at(acting, account)) == ([], None)
    with acting():
        assert Finding.objects.get().resolution == "read back: it is off there"


def test_what_can_not_be_read_in_time_is_a_finding_and_is_tried_soon_again(tenant, acting, system, directory):
    account = ended(acting, system, directory, there=False)
    directory.bend = lambda asked, document: (500, {})
    sweep(tenant, DUE - readback.AHEAD)
    assert (reads(acting), findings(acting)) == ([("ann", "failed")], [])
    at, waits = due_at(acting, account), []
    assert at == DUE - readback.AHEAD + MINUTE
    for _ in range(5):
        sweep(tenant, at)
        waits.append(int((due_at(acting, account) - at) / MINUTE))
        at = due_at(acting, account)
    assert waits == [2, 4, 8, 15, 15]
    assert findings(acting) == [("not_read_back", "ann: ended here, and Okta could not be read to see it")]
    with acting():
        evidence = Finding.objects.get().evidence
        assert evidence["detail"] == f"{directory.url} answered 500: a reading should be answered with 200."
    directory.bend = lambda asked, document: document
    sweep(tenant, at)
    assert (findings(acting), due_at(acting, account)) == ([], None)


def test_a_failed_read_says_nothing_about_what_an_earlier_one_saw(tenant, acting, system, directory):
    account = ended(acting, system, directory)
    sweep(tenant, DUE)
    directory.bend = lambda asked, document: (500, {})
    sweep(tenant, due_at(acting, account))
    assert [kind for kind, _ in findings(acting)] == ["not_read_back", "still_active"]
    directory.bend = lambda asked, document: document
    sweep(tenant, due_at(acting, account))
    assert [kind for kind, _ in findings(acting)] == ["still_active"]


def test_a_system_that_can_not_be_reached_is_asked_once_for_the_whole_batch(tenant, acting, system, directory):
    for number in range(4):
        ended(acting, system, directory, f"u{number}")
    with acting():
        Connection.objects.update(base_url="http://127.0.0.1:1/v2")
    assert sweep(tenant, DUE) == 4
    assert reads(acting) == [(f"u{number}", "failed") for number in range(4)]


def test_one_answer_that_can_not_be_believed_stops_no_other(tenant, acting, system, directory):
    bad = ended(acting, system, directory, "bad")
    ended(acting, system, directory, "good")

    def bend(asked, document):
        return document | {"active": "perhaps"} if asked.path.endswith(bad.remote) else document

    directory.bend = bend
    sweep(tenant, DUE)
    assert reads(acting) == [("bad", "failed"), ("good", "active")]


def test_a_paused_system_is_not_read_and_says_so(tenant, acting, system, directory):
    ended(acting, system, directory)
    with acting():
        connections.pause(connection=Connection.objects.get(), reason="x", at=AT)
    sweep(tenant, DUE)
    assert directory.asked == []
    with acting():
        assert Readback.objects.get().detail == "Okta is paused since 2026-11-23 12:00 UTC"


def test_a_system_that_is_never_read_is_not_waited_for(tenant, acting):
    with acting():
        system = a_system(tenant, at=BEFORE)
        account = known(system, "ann", at=BEFORE)
        lifecycle.deprovision(accounts=[account.pk], reason="left", at=AT)
    assert sweep(tenant, DUE) == 0
    assert (reads(acting), findings(acting), due_at(acting, account)) == ([], [], None)


def test_each_system_that_the_account_lives_in_is_read(tenant, acting, system, directory):
    account = ended(acting, system, directory, there=False)
    with serving() as second:
        remote = second.user("ann")
        with acting():
            other = a_system(tenant, at=BEFORE, name="Entra", directory=second)
            shadow = Shadow.objects.get(account=account)
            shadow.pk, shadow.system, shadow.external_id = None, other, remote
            shadow.id = type(shadow)().id
            shadow.save(force_insert=True)
        assert sweep(tenant, DUE) == 2
    with acting():
        assert set(Readback.objects.values_list("system__name", "result")) == {
            ("Okta", "inactive"),
            ("Entra", "active"),
        }
    assert findings(acting) == [("still_active", "ann: ended here, still active at Entra")]
    assert due_at(acting, account) == DUE + 15 * MINUTE


def test_a_resource_that_was_deleted_is_read_back_too_and_one_of_long_ago_is_not(tenant, acting, system, directory):
    account = ended(acting, system, directory)
    with acting():
        Shadow.objects.update(ended_at=AT)
    sweep(tenant, DUE)
    assert reads(acting) == [("ann", "active")]
    with acting():
        Shadow.objects.update(ended_at=BEFORE)
    sweep(tenant, due_at(acting, account))
    assert len(reads(acting)) == 1


def test_what_is_on_again_is_no_longer_due_and_no_longer_wrong(tenant, acting, system, directory):
    remote = directory.user("ann")
    with acting():
        ann = known(system, "ann", at=BEFORE, remote_id=remote)
        lifecycle.suspend(accounts=[ann.pk], kind=HoldKind.MANUAL, reason="x", at=AT)
    sweep(tenant, DUE)
    assert len(findings(acting)) == 1
    with acting():
        lifecycle.release(hold=ann.holds.get(), reason="x", at=DUE)
    sweep(tenant, DUE + 15 * MINUTE)
    assert (findings(acting), due_at(acting, ann), len(reads(acting))) == ([], None, 1)


def test_what_was_decided_while_it_was_read_has_a_read_of_its_own(tenant, acting, system, directory):
    remote = directory.user("ann")
    with acting():
        ann = known(system, "ann", at=BEFORE, remote_id=remote)
        lifecycle.suspend(accounts=[ann.pk], kind=HoldKind.MANUAL, reason="x", at=AT)

    def end(seen):
        with acting():
            lifecycle.deprovision(accounts=[ann.pk], reason="left", at=DUE + MINUTE)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crashpoints, "here", end)
        sweep(tenant, DUE)
    assert reads(acting) == [("ann", "active")]
    assert (findings(acting), due_at(acting, ann)) == ([], DUE + 6 * MINUTE)


def test_a_worker_that_died_while_reading_costs_its_lease_and_nothing_else(tenant, acting, system, directory):
    class Killed(BaseException):
        pass

    account = ended(acting, system, directory, there=False)

    def die(_):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crashpoints, "here", die)
        with pytest.raises(Killed):
            sweep(tenant, DUE)
    assert (reads(acting), due_at(acting, account)) == ([], DUE + readback.LEASE)
    assert sweep(tenant, DUE + MINUTE) == 0
    assert sweep(tenant, DUE + readback.LEASE) == 1


def test_batches_go_on_until_nothing_is_due_or_the_time_is_over(tenant, acting, system, directory, monkeypatch):
    monkeypatch.setattr(readback, "BATCH", 2)
    for number in range(5):
        ended(acting, system, directory, f"u{number}", there=False)
    assert sweep(tenant, DUE, once=True) == 2
    assert sweep(tenant, DUE) == 3
    assert sweep(tenant, DUE) == 0
