"""A reading: page by page, resumable from anywhere, and complete only where every proof holds."""

import datetime as dt

import pytest

from audit.scope import scope
from provisioning import proofs, reconciliation, snapshot
from provisioning.connectors.readings import BadAnswer
from provisioning.models import Connection, FieldAuthority, Run, Snapshot, SnapshotProof, StagedMember, StagedResource
from tests.conftest import AT, a_cause
from tests.fakes.directories import a_system


def always():
    return True


LATER = AT + dt.timedelta(minutes=1)


@pytest.fixture
def system(tenant, directory):
    with scope(tenant=tenant.pk, cause=a_cause()):
        return a_system(tenant, at=AT, directory=directory)


def begun(tenant, system):
    with scope(tenant=tenant.pk, cause=a_cause()):
        run = reconciliation.start(system=system, started_by="a test", at=AT)
        lease = reconciliation.claim(run_id=run.pk, at=AT)
    return snapshot.Work(tenant=tenant.pk, run=run.pk, lease=lease)


def filled(directory, users=6):
    ids = [directory.user("canary"), *(directory.user(f"u{n}", displayName=f"User {n}") for n in range(users))]
    directory.group("web", *ids[1:3])
    directory.group("empty")
    return ids


def judged(tenant, work):
    """The proofs that did not hold, and the state."""
    with scope(tenant=tenant.pk, cause=a_cause()):
        reading = Snapshot.objects.get(run=work.run)
        proofs.verify(snapshot=reading)
        proofs.settle(snapshot=reading, at=LATER)
        rows = SnapshotProof.objects.filter(snapshot=reading)
        assert {p.word for p in rows} == {"drained", "total", "unique", "canary", "shrink"}
        return reading.state, {p.word: p.detail for p in rows if not p.holds}


def test_all_pages_are_read_users_first_and_a_whole_reading_is_complete(tenant, directory, system):
    ids = filled(directory)
    work = begun(tenant, system)
    assert snapshot.read_pages(work=work, go_on=always) is True
    assert directory.pages() == [("Users", 1), ("Users", 4), ("Users", 7), ("Groups", 1)]
    with scope(tenant=tenant.pk):
        rows = StagedResource.objects.filter(resource_type="User")
        assert set(rows.values_list("remote_id", flat=True)) == set(ids)
        assert rows.get(name="u3").document == {"displayName": "User 3", "displayNameKey": "user 3"}
        assert set(StagedMember.objects.values_list("member_id", flat=True)) == set(ids[1:3])
        reading = Snapshot.objects.get()
        assert (reading.state, reading.pages) == ("verifying", 4)
        assert reading.first_totals == reading.last_totals == {"User": 7, "Group": 2}
        assert snapshot.counts(reading) == {"pages": 4, "users": 7, "groups": 2, "members": 2}
    assert judged(tenant, work) == ("complete", {})
    assert snapshot.read_pages(work=work, go_on=always) is True
    assert len(directory.pages()) == 4


def test_a_slice_ends_after_its_page_and_the_next_goes_on_where_it_stood(tenant, directory, system):
    filled(directory)
    work = begun(tenant, system)
    assert [snapshot.read_pages(work=work, go_on=lambda: False) for _ in range(4)] == [False, False, False, True]
    assert directory.pages() == [("Users", 1), ("Users", 4), ("Users", 7), ("Groups", 1)]
    assert judged(tenant, work) == ("complete", {})


def test_a_page_that_was_read_by_a_worker_who_lost_the_lease_is_not_written(tenant, directory, system):
    filled(directory)
    stale = begun(tenant, system)

    def take_over(asked):
        with scope(tenant=tenant.pk, cause=a_cause()):
            Run.objects.update(lease=stale.lease + 1)

    # In this thread: while the page is on its way, another worker takes the run.
    original = snapshot._keep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "_keep", lambda *a: (take_over(None), original(*a))[1])
        with pytest.raises(snapshot.LeaseLost):
            snapshot.read_pages(work=stale, go_on=always)
    with scope(tenant=tenant.pk):
        assert StagedResource.objects.count() == 0
        assert Snapshot.objects.get().next_index == 1


def test_a_page_that_is_written_twice_is_written_once(tenant, directory, system):
    filled(directory)
    work = begun(tenant, system)
    original = snapshot._keep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "_keep", lambda *a: (original(*a), original(*a))[1])
        with pytest.raises(snapshot.LeaseLost, match="cursor has moved"):
            snapshot.read_pages(work=work, go_on=always)
    with scope(tenant=tenant.pk):
        assert StagedResource.objects.count() == 3


# -- each proof, and what removes it


def read(tenant, system):
    work = begun(tenant, system)
    assert snapshot.read_pages(work=work, go_on=always) is True
    return work


def test_a_resource_that_can_not_be_read_leaves_the_reading_undrained_and_stops_no_other(tenant, directory, system):
    filled(directory)

    def bend(asked, document):
        for one in document.get("Resources", []):
            if one.get("userName") == "u2":
                one["active"] = "perhaps"
        return document

    directory.bend = bend
    work = read(tenant, system)
    assert judged(tenant, work) == ("incomplete", {"drained": "6 of 7 Users, 2 of 2 Groups"})


def test_a_name_too_long_to_be_kept_leaves_the_reading_undrained(tenant, directory, system):
    filled(directory)
    directory.user("x" * 401)
    state, broken = judged(tenant, read(tenant, system))
    assert (state, set(broken)) == ("incomplete", {"drained"})


def test_a_total_that_moves_while_it_is_read_is_no_proof(tenant, directory, system):
    filled(directory, users=5)

    def one_more(asked):
        if asked.start == 4 and asked.path.endswith("Users"):
            directory.before = lambda asked: None
            directory.user("newcomer")

    directory.before = one_more
    state, broken = judged(tenant, read(tenant, system))
    assert state == "incomplete"
    assert broken["total"] == "Users 6, then 7, Groups 2"


def test_an_id_that_comes_twice_is_no_proof(tenant, directory, system):
    filled(directory)

    def bend(asked, document):
        if asked.start == 4 and asked.path.endswith("Users"):
            document["Resources"][0] = first[0]
        elif asked.start == 1 and asked.path.endswith("Users"):
            first.append(document["Resources"][-1])
        return document

    first = []
    directory.bend = bend
    state, broken = judged(tenant, read(tenant, system))
    assert state == "incomplete"
    assert broken["unique"] == "1 ids came more than once: pages shifted while they were read"


def test_a_reading_without_the_canary_is_not_complete(tenant, directory, system):
    directory.user("u1")
    assert judged(tenant, read(tenant, system)) == ("incomplete", {"canary": "canary was not seen"})


def test_the_canary_is_known_in_any_case(tenant, directory, system):
    directory.user("CANARY")
    assert judged(tenant, read(tenant, system)) == ("complete", {})


def test_no_account_at_all_is_a_fault_of_the_source_whatever_the_limit(tenant, directory, system):
    directory.group("web")
    state, broken = judged(tenant, read(tenant, system))
    assert state == "incomplete"
    assert broken == {"shrink": "it shows no account at all", "canary": "canary was not seen"}


@pytest.mark.parametrize("case", [(10, 30, True), (10, 29, False), (7, 0, True), (8, 0, False)])
def test_a_reading_may_be_smaller_by_its_limit_and_no_more(tenant, directory, system, case):
    before, limit, holds = case
    filled(directory)
    with scope(tenant=tenant.pk, cause=a_cause()):
        Run.objects.create(
            tenant_id=tenant.pk, system=system, state="closed", started_by="x", started_at=AT - dt.timedelta(hours=2),
            ended_at=AT - dt.timedelta(hours=2), counts={"users": before},
        )  # fmt: skip
        Run.objects.create(
            tenant_id=tenant.pk, system=system, state="incomplete", started_by="x", started_at=AT - dt.timedelta(hours=1),
            ended_at=AT - dt.timedelta(hours=1), counts={"users": 1000},
        )  # fmt: skip
        Connection.objects.update(shrink_percent=limit)
    state, broken = judged(tenant, read(tenant, system))
    expected = (
        f"7 accounts, {before} in the last complete reading; at most {limit} % fewer are believed; if it is right, an"
        " administrator raises that limit with a reason, on the page of the system"
    )
    assert (state, broken) == (("complete", {}) if holds else ("incomplete", {"shrink": expected}))


def test_where_the_proof_holds_nobody_is_told_to_raise_the_limit(tenant, directory, system):
    filled(directory)
    assert judged(tenant, read(tenant, system)) == ("complete", {})
    with scope(tenant=tenant.pk):
        detail = SnapshotProof.objects.get(word="shrink").detail
    assert detail == "7 accounts, 0 in the last complete reading; at most 100 % fewer are believed"


NOT_THERE = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": "404"}


def without_groups(status, *, offered=("User", "Group"), page=1):
    """A directory that answers so for its groups from that page on, and says that it offers these types."""

    def bend(asked, document):
        if asked.path.endswith("/ResourceTypes"):
            kept = [one for one in document["Resources"] if one["name"] in offered]
            return document | {"Resources": kept, "totalResults": len(kept)}
        return (status, NOT_THERE) if asked.path.endswith("/Groups") and asked.start >= page else document

    return bend


@pytest.mark.parametrize(
    ("status", "offered"), [(404, ("User", "Group")), (501, ("User", "Group")), (403, ("User",)), (400, ("User",))]
)
def test_a_directory_without_groups_is_read_completely_and_its_memberships_are_not(
    tenant, directory, system, status, offered
):
    filled(directory)
    directory.bend = without_groups(status, offered=offered)
    work = read(tenant, system)
    assert judged(tenant, work) == ("complete", {})
    with scope(tenant=tenant.pk):
        reading = Snapshot.objects.get()
        assert list(reading.unreadable) == ["Group"]
        assert f"answered {status}" in reading.unreadable["Group"]
        assert snapshot.counts(reading) == {"pages": 3, "users": 7}
        detail = SnapshotProof.objects.get(word="drained").detail
        assert detail == f"7 of 7 Users; Groups can't be read: {reading.unreadable['Group']}"
        assert SnapshotProof.objects.get(word="total").detail == "Users 7"
    # It is over: whoever is late reads nothing more.
    asked = len(directory.asked)
    assert snapshot.read_pages(work=work, go_on=always) is True
    assert len(directory.asked) == asked


@pytest.mark.parametrize("status", [403, 500])
def test_groups_that_are_offered_and_not_shown_are_an_error(tenant, directory, system, status):
    filled(directory)
    directory.bend = without_groups(status)
    with pytest.raises(BadAnswer, match=f"answered {status}"):
        read(tenant, system)


def test_groups_that_were_listed_in_part_are_an_error(tenant, directory, system):
    filled(directory)
    for name in ("a", "b", "c"):
        directory.group(name)
    directory.bend = without_groups(404, page=2)
    with pytest.raises(BadAnswer, match="answered 404"):
        read(tenant, system)
    with scope(tenant=tenant.pk):
        reading = Snapshot.objects.get()
        assert (reading.state, reading.unreadable, reading.next_index) == ("listing", {}, 4)


def test_accounts_that_are_not_there_are_an_error_whatever_is_offered(tenant, directory, system):
    filled(directory)
    directory.bend = lambda asked, document: (404, NOT_THERE) if asked.path.endswith("/Users") else document
    with pytest.raises(BadAnswer, match="answered 404"):
        read(tenant, system)


def test_what_a_reading_shows_is_heard_as_a_request_would_be(tenant, directory, system):
    rule = {"tenant": tenant, "direction": "reduces", "authority": "authoritative"}
    with scope(tenant=tenant.pk, cause=a_cause()):
        elsewhere = a_system(tenant, at=AT, name="Entra")
        FieldAuthority.objects.create(
            system=system, field="Title", status_from="attribute", status_values=["retired"], **rule
        )
        FieldAuthority.objects.create(
            system=elsewhere, field="nickName", status_from="attribute", status_values=["x"], **rule
        )
        FieldAuthority.objects.create(
            system=system, field="active", direction="expands", authority="advisory", tenant=tenant
        )
    directory.user("canary")
    directory.user("gone", title="Retired", nickName="x")
    directory.user("both", title="retired", active=False)
    directory.user("off", active=False, nickName="x")
    directory.user("mute", active=None)
    work = read(tenant, system)
    with scope(tenant=tenant.pk):
        rows = StagedResource.objects.filter(snapshot__run=work.run)
        heard = {r.name: (r.active, r.means_active, r.document.get("because")) for r in rows}
    assert heard == {
        "canary": (True, None, None),
        "gone": (True, False, "Title is Retired"),
        "both": (False, False, None),
        "off": (False, False, None),
        "mute": (None, None, None),
    }


def test_an_answer_before_its_end_is_an_error_and_nothing_of_its_page_is_kept(tenant, directory, system):
    filled(directory)
    directory.bend = lambda asked, document: (document | {"Resources": []}) if asked.start == 4 else document
    work = begun(tenant, system)
    with pytest.raises(BadAnswer, match="empty at 4, before its end"):
        snapshot.read_pages(work=work, go_on=always)
    with scope(tenant=tenant.pk):
        reading = Snapshot.objects.get()
        assert (reading.state, reading.next_index, StagedResource.objects.count()) == ("listing", 4, 3)


def test_a_failed_reading_keeps_why_as_a_proof_that_does_not_hold(tenant, directory, system):
    work = begun(tenant, system)
    with work.writing() as run:
        reading = Snapshot.objects.get(run=run)
        proofs.fail(snapshot=reading, because="answered 503: Bearer abcdefghij", at=LATER)
        assert (reading.state, proofs.problem(reading)) == (
            "failed",
            "not proven that every page was read to the end: answered 503: ***",
        )


def test_a_stop_that_is_asked_for_takes_effect_after_the_page(tenant, directory, system):
    filled(directory)
    work = begun(tenant, system)
    with scope(tenant=tenant.pk, cause=a_cause()):
        reconciliation.ask_stop(run=Run.objects.get(), at=LATER)
    with pytest.raises(snapshot.StopAsked):
        snapshot.read_pages(work=work, go_on=always)
    assert directory.pages() == [("Users", 1)]


def test_staging_is_forgotten_with_its_reading_alone(tenant, directory, system):
    filled(directory)
    work = read(tenant, system)
    with scope(tenant=tenant.pk, cause=a_cause()):
        snapshot.discard(Snapshot.objects.get(run=work.run))
        assert (StagedResource.objects.count(), StagedMember.objects.count()) == (0, 0)
