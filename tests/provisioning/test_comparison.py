"""Every difference is a finding, what is reduced there is wanted here, and nothing follows from what was not read."""

import datetime as dt

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from accounts import lifecycle, memberships
from accounts.models import Account, Finding, HoldKind, Membership
from provisioning import comparison, wishes
from provisioning.changes import fold, user_name_key
from provisioning.models import FieldAuthority, Run, Shadow, Snapshot, StagedMember, StagedResource
from provisioning.models.plan import ChangeAct
from provisioning.statements import set_against_set
from provisioning.systems import still_active_key
from tests.conftest import AT
from tests.fakes.directories import a_system, known, known_group

BEFORE = AT - dt.timedelta(days=1)
AFTER = AT + dt.timedelta(minutes=2)
LIVE = ["open", "acknowledged", "remediating", "reopened", "excepted"]


@pytest.fixture
def system(tenant, because):
    return a_system(tenant, at=BEFORE)


class Reading:
    """One staged reading that began at AT."""

    def __init__(self, system, *, state="complete", at=AT):
        run = Run.objects.create(
            tenant_id=system.tenant_id, system=system, state="closed", started_by="x", started_at=at, ended_at=at
        )
        self.snapshot = Snapshot.objects.create(
            tenant_id=system.tenant_id, run=run, system=system, state=state, started_at=at
        )

    def user(self, name, *, remote="", active=True, display="", means=..., because=""):
        """`means` is what the rules for the system make of it, where that is something else than it shows."""
        seen = {"displayName": display, "displayNameKey": fold(display)} if display else {}
        seen |= {"because": because} if because else {}
        means_active = active if means is ... else means
        self._row(
            "User", name, user_name_key(name), remote, active=active, means_active=means_active, document=seen
        )  # fmt: skip
        return self

    def group(self, name, *members, remote=""):
        self._row("Group", name, fold(name), remote, active=None, document={})
        for member in members:
            StagedMember.objects.create(
                tenant_id=self.snapshot.tenant_id,
                snapshot=self.snapshot,
                group_id=remote or f"g-{name}",
                member_id=member,
            )
        return self

    def _row(self, kind, name, key, remote, **values):
        prefix = "u" if kind == "User" else "g"
        StagedResource.objects.create(
            tenant_id=self.snapshot.tenant_id, snapshot=self.snapshot, resource_type=kind, name=name, name_key=key,
            remote_id=remote or f"{prefix}-{name}", digest="", **values,
        )  # fmt: skip

    def compared(self, *, at=AFTER):
        return comparison.compare(snapshot=self.snapshot, at=at).counts

    def wanted(self):
        return [(w.act, w.label, w.is_privileged) for w in comparison.wanted(snapshot=self.snapshot)]


def titles():
    return sorted(Finding.objects.filter(state__in=LIVE).values_list("kind", "title"))


def test_what_is_equal_is_no_difference(system):
    ann = known(system, "ann", at=BEFORE, remote_id="u-ann", display="Ann")
    known(system, "Bob", at=BEFORE)
    known_group(system, "Web", ann, at=BEFORE, remote_id="g-web")
    reading = Reading(system).user("ann", display="ANN").user("BOB").group("web", "u-ann")
    assert reading.compared() == {"resolved": 0}
    assert (titles(), reading.wanted()) == ([], [])


# -- status


def test_inactive_there_and_active_here_is_a_finding_and_wanted(system):
    ann = known(system, "ann", at=BEFORE, remote_id="u-ann")
    known(system, "root", at=BEFORE, is_privileged=True)
    reading = Reading(system).user("ann", active=False).user("root", active=False)
    assert reading.compared() == {"status": 2, "opened": 2, "resolved": 0}
    assert titles() == [
        ("status_differs", "ann: inactive at Okta, active here"),
        ("status_differs", "root: inactive at Okta, active here"),
    ]
    found = Finding.objects.get(account=ann)
    assert (found.severity, found.due_at, found.system_id) == (3, AFTER + dt.timedelta(days=1), system.pk)
    assert found.controls == ["NHI1:2025 Improper Offboarding", "PR.AA-05", "DE.CM-03"]
    assert found.evidence == {
        "here": "active", "there": "inactive", "remote_id": "u-ann", "run": str(reading.snapshot.run_id),
        "read_since": AT.isoformat(),
    }  # fmt: skip
    assert reading.wanted() == [(ChangeAct.DEPROVISION, "ann", False), (ChangeAct.DEPROVISION, "root", True)]


def test_an_attribute_that_means_ended_is_off_there_whatever_active_says(system):
    for name in ("ann", "bob"):
        known(system, name, at=BEFORE)
    lifecycle.deprovision(accounts=[known(system, "eve", at=BEFORE).pk], reason="left", at=BEFORE)
    reading = Reading(system).user("bob")
    for name in ("ann", "eve"):
        reading.user(name, active=True, means=False, because="employment is Terminated")
    assert reading.compared() == {"status": 1, "opened": 1, "resolved": 0}
    assert titles() == [("status_differs", "ann: employment is Terminated at Okta, active here")]
    assert Finding.objects.get().evidence["there"] == "employment is Terminated"
    assert reading.wanted() == [(ChangeAct.DEPROVISION, "ann", False)]


def test_what_was_deleted_here_and_is_ended_there_by_an_attribute_is_off_as_it_should_be(system):
    ann = known(system, "ann", at=BEFORE)
    lifecycle.deprovision(accounts=[ann.pk], reason="left", at=BEFORE)
    Shadow.objects.update(ended_at=BEFORE)
    reading = Reading(system).user("ann", active=True, means=False, because="employment is Terminated")
    assert reading.compared() == {"resolved": 0}


def test_an_advisory_word_differs_and_ends_nobody(system):
    known(system, "ann", at=BEFORE, is_privileged=True)
    bob = known(system, "bob", at=BEFORE)
    lifecycle.deprovision(accounts=[bob.pk], reason="left", at=BEFORE)
    reading = Reading(system).user("ann", active=False, means=None).user("bob", active=False, means=None)
    assert reading.compared() == {"status": 1, "opened": 1, "resolved": 0}
    assert titles() == [("status_differs", "ann: inactive, which is advisory, at Okta, active here")]
    assert Finding.objects.get().severity == 2
    assert reading.wanted() == []


@pytest.mark.parametrize("said", [True, None])
def test_active_there_and_ended_or_suspended_here_is_a_finding_and_never_wanted(system, said):
    ann, bob = known(system, "ann", at=BEFORE), known(system, "bob", at=BEFORE)
    lifecycle.deprovision(accounts=[ann.pk], reason="left", at=BEFORE)
    lifecycle.suspend(accounts=[bob.pk], kind=HoldKind.CAMPAIGN, reason="revoked", at=BEFORE)
    reading = Reading(system).user("ann", active=said).user("bob", active=said)
    assert reading.compared() == {"still_active": 2, "opened": 2, "resolved": 0}
    assert titles() == [
        ("still_active", "ann: ended here, still active at Okta"),
        ("still_active", "bob: suspended here, still active at Okta"),
    ]
    assert reading.wanted() == []
    assert set(Finding.objects.values_list("dedupe_key", flat=True)) == {
        still_active_key(system.pk, ann.pk), still_active_key(system.pk, bob.pk)
    }  # fmt: skip


def test_an_ended_account_that_is_asked_back_says_what_it_waits_for(system):
    ann = known(system, "ann", at=BEFORE)
    lifecycle.deprovision(accounts=[ann.pk], reason="left", at=BEFORE)
    wishes.ask_return(account=ann, system=system, requesters=[], asked_by="Okta", exchange_id=None, at=BEFORE)
    Reading(system).user("ann").compared()
    assert titles() == [
        ("still_active", "ann: ended here, still active at Okta; it is asked back, and that waits for people")
    ]


@pytest.mark.parametrize(
    ("state", "there", "expected"),
    [
        ("deprovisioned", False, []),
        ("suspended", False, []),
        ("pending", False, []),
        ("pending", True, [("status_differs", "ann: active at Okta, pending here")]),
    ],
)
def test_off_on_both_sides_is_equal_and_a_lost_first_activation_is_not(system, state, there, expected):
    ann = known(system, "ann", at=BEFORE, active=state != "pending")
    if state == "deprovisioned":
        lifecycle.deprovision(accounts=[ann.pk], reason="left", at=BEFORE)
    elif state == "suspended":
        lifecycle.suspend(accounts=[ann.pk], kind=HoldKind.MANUAL, reason="x", at=BEFORE)
    reading = Reading(system).user("ann", active=there)
    reading.compared()
    assert Account.objects.get().state == state
    assert (titles(), reading.wanted()) == (expected, [])


def test_what_waits_for_its_owner_and_is_active_there_is_no_second_finding(system):
    known(system, "ann", at=BEFORE, active=False)
    Shadow.objects.update(wants_active=True)
    Reading(system).user("ann").compared()
    assert titles() == []


# -- existence


def test_missing_there_is_reported_from_a_complete_reading_and_never_wanted(system):
    ann, _, eve = (known(system, name, at=BEFORE, remote_id=f"u-{name}") for name in ("ann", "bob", "eve"))
    lifecycle.deprovision(accounts=[eve.pk], reason="left", at=BEFORE)
    known_group(system, "web", ann, at=BEFORE, remote_id="g-web")
    reading = Reading(system).user("bob", remote="another id")
    assert reading.compared()["missing_there"] == 3
    assert titles() == [
        ("missing_there", "account ann is no longer at Okta"),
        ("missing_there", "account bob is no longer at Okta"),
        ("missing_there", "group web is no longer at Okta"),
        ("unknown_here", "account bob at Okta is unknown here"),
    ]
    assert reading.wanted() == []


def test_an_incomplete_reading_infers_nothing_from_absence_wants_nothing_and_closes_nothing(system):
    ann, bob = (known(system, name, at=BEFORE) for name in ("ann", "bob"))
    known_group(system, "web", ann, bob, at=BEFORE)
    Reading(system, at=BEFORE + dt.timedelta(hours=1)).user("ann", active=False).user("bob").group(
        "web", "u-bob"
    ).compared(at=BEFORE + dt.timedelta(hours=1))
    before = titles()
    assert [kind for kind, _ in before] == ["membership_differs", "status_differs"]
    reading = Reading(system, state="incomplete").user("bob", active=False).user("new").group("web")
    assert reading.compared() == {"status": 1, "unknown_here": 1, "opened": 2}
    assert titles() == sorted(
        [
            *before,
            ("status_differs", "bob: inactive at Okta, active here"),
            ("unknown_here", "account new at Okta is unknown here"),
        ]
    )
    assert reading.wanted() == []


def test_unknown_here_is_reported_with_its_name_made_safe_to_show(system):
    reading = Reading(system).user("new").user("off\u202egnp", active=False, remote="x" * 400).group("club")
    assert reading.compared() == {"unknown_here": 3, "opened": 3, "resolved": 0}
    assert titles() == [
        ("unknown_here", "account new at Okta is unknown here"),
        ("unknown_here", "account off\ufffdgnp at Okta is unknown here"),
        ("unknown_here", "group club at Okta is unknown here"),
    ]
    assert set(Finding.objects.values_list("severity", flat=True)) == {1, 2}


@pytest.mark.parametrize("external_id", ["u-ann", ""])
def test_what_was_deleted_here_and_is_still_there_is_no_stranger(system, external_id):
    ann = known(system, "ann", at=BEFORE, remote_id=external_id)
    Shadow.objects.update(ended_at=BEFORE)
    lifecycle.deprovision(accounts=[ann.pk], reason="deleted", at=BEFORE)
    off = Reading(system).user("ann", active=False)
    assert off.compared() == {"resolved": 0}
    Reading(system).user("ann").compared()
    assert titles() == [("still_active", "ann: ended here, still active at Okta")]
    assert Finding.objects.get().account_id == ann.pk


def test_a_name_is_a_match_only_where_the_system_never_gave_an_external_id(system):
    known(system, "ann", at=BEFORE)
    known(system, "bob", at=BEFORE, remote_id="b1")
    Reading(system).user("ann", remote="a1").user("bob", remote="b2").compared()
    assert titles() == [
        ("missing_there", "account bob is no longer at Okta"),
        ("unknown_here", "account bob at Okta is unknown here"),
    ]


def test_another_system_s_resources_are_neither_missing_nor_matched(tenant, system):
    other = a_system(tenant, at=BEFORE, name="Entra")
    known(other, "ann", at=BEFORE, remote_id="u-ann")
    Reading(system).user("ann", active=False).compared()
    assert titles() == [("unknown_here", "account ann at Okta is unknown here")]


# -- fields


def test_a_few_fields_are_compared_by_what_they_mean(system):
    known(system, "ann", at=BEFORE, remote_id="1", display="Ann A")
    known(system, "bob", at=BEFORE, remote_id="2", display="Bob")
    known(system, "eve", at=BEFORE, remote_id="3", display="Eve")
    known_group(system, "web", at=BEFORE, remote_id="4")
    reading = (
        Reading(system).user("Anna", remote="1", display="ann a").user("bob", remote="2", display="Robert").user("eve", remote="3")
        .group("www", remote="4")
    )  # fmt: skip
    assert reading.compared()["field"] == 3
    assert titles() == [
        ("field_differs", "ann: userName differs at Okta"),
        ("field_differs", "bob: displayName differs at Okta"),
        ("field_differs", "web: displayName differs at Okta"),
    ]
    assert Finding.objects.get(title__startswith="bob").evidence["fields"] == {"displayName": ["Bob", "Robert"]}
    assert reading.wanted() == []


def test_the_fields_of_what_has_ended_are_nobody_s_business(system):
    ann = known(system, "ann", at=BEFORE, remote_id="1")
    lifecycle.deprovision(accounts=[ann.pk], reason="left", at=BEFORE)
    assert Reading(system).user("Anna", remote="1", active=False).compared() == {"resolved": 0}


# -- memberships


def members_of(group):
    return set(
        Membership.objects.filter(group=group, ended_at__isnull=True).values_list("account__user_name", flat=True)
    )


def test_removed_there_is_wanted_and_added_there_is_only_reported(system):
    ann, bob, _ = (known(system, name, at=BEFORE, remote_id=f"u-{name}") for name in ("ann", "bob", "eve"))
    group = known_group(system, "web", ann, bob, at=BEFORE, remote_id="g-web", is_privileged=True)
    reading = Reading(system).user("ann").user("bob").user("eve").group("web", "u-bob", "u-eve", "u-stranger")
    assert reading.compared() == {"member_removed": 1, "member_added": 1, "opened": 2, "resolved": 0}
    assert titles() == [
        ("membership_differs", "ann is still in web here; Okta no longer shows it"),
        ("membership_differs", "eve is not in web here; Okta shows it there"),
    ]
    assert reading.wanted() == [(ChangeAct.REMOVE_MEMBER, "ann from web", True)]
    (one,) = comparison.wanted(snapshot=reading.snapshot)
    assert (one.account, one.group) == (ann.pk, group.pk)
    assert memberships.remove(group=group, system=system, refs=[one.member_ref], at=AFTER) == 1
    assert members_of(group) == {"bob"}


def test_groups_within_groups_are_members_too(system):
    ann = known(system, "ann", at=BEFORE)
    inner = known_group(system, "inner", ann, at=BEFORE)
    outer = known_group(system, "outer", at=BEFORE)
    ref = Shadow.objects.get(group=inner).pk
    memberships.add(group=outer, system=system, members=[memberships.Member(ref=ref, group=inner.pk)], at=BEFORE)
    reading = Reading(system).user("ann").group("inner", "u-ann").group("outer")
    reading.compared()
    assert titles() == [("membership_differs", "inner is still in outer here; Okta no longer shows it")]
    hour = dt.timedelta(hours=1)
    later = Reading(system, at=AT + hour).user("ann").group("inner", "u-ann").group("outer", "g-inner")
    assert later.compared(at=AT + 2 * hour) == {"resolved": 1}


def test_a_member_who_is_absent_there_is_missing_and_not_removed(system):
    ann, bob = known(system, "ann", at=BEFORE), known(system, "bob", at=BEFORE)
    known_group(system, "web", ann, bob, at=BEFORE)
    reading = Reading(system).user("bob").group("web", "u-bob")
    reading.compared()
    assert (titles(), reading.wanted()) == ([("missing_there", "account ann is no longer at Okta")], [])


def test_a_server_that_shows_no_member_at_all_says_nothing_about_membership(system):
    ann = known(system, "ann", at=BEFORE)
    known_group(system, "web", ann, at=BEFORE)
    reading = Reading(system).user("ann").group("web")
    assert reading.compared() == {"memberships_unread": 1, "opened": 1, "resolved": 0}
    unread = ("not_measured", "Okta: memberships are not measured: none of its groups shows a member")
    assert (titles(), reading.wanted()) == ([unread], [])
    found = Finding.objects.get()
    assert (found.severity, found.due_at, found.system_id) == (2, AFTER + dt.timedelta(days=7), system.pk)


def test_where_we_hold_no_member_a_server_that_shows_none_agrees(system):
    ann = known(system, "ann", at=BEFORE)
    known_group(system, "web", at=BEFORE)
    reading = Reading(system).user("ann").group("web")
    assert reading.compared() == {"resolved": 0}
    assert ann.state == "active"


def unreadable(system, *, at=AT):
    reading = Reading(system, at=at)
    reading.snapshot.unreadable = {"Group": "answered 404"}
    reading.snapshot.save()
    return reading


def test_of_groups_that_can_not_be_read_nothing_is_opened_wanted_or_closed(system):
    ann, bob = known(system, "ann", at=BEFORE), known(system, "bob", at=BEFORE)
    known_group(system, "web", ann, bob, at=BEFORE)
    known_group(system, "gone", at=BEFORE)
    hour = BEFORE + dt.timedelta(hours=1)
    Reading(system, at=hour).user("ann").user("bob").group("web", "u-bob").group("new").compared(at=hour)
    before = titles()
    assert [kind for kind, _ in before] == ["membership_differs", "missing_there", "unknown_here"]
    reading = unreadable(system).user("ann")
    assert reading.compared() == {"missing_there": 1, "memberships_unread": 1, "opened": 2, "resolved": 0}
    assert titles() == sorted([
        *before,
        ("missing_there", "account bob is no longer at Okta"),
        ("not_measured", "Okta: memberships are not measured: answered 404"),
    ])  # fmt: skip
    assert reading.wanted() == []


def test_memberships_that_are_read_again_are_measured_again(system):
    ann = known(system, "ann", at=BEFORE)
    known_group(system, "web", ann, at=BEFORE)
    hour = BEFORE + dt.timedelta(hours=1)
    unreadable(system, at=hour).user("ann").compared(at=hour)
    assert [kind for kind, _ in titles()] == ["not_measured"]
    Reading(system, state="incomplete").user("ann").group("web", "u-ann").compared()
    assert [kind for kind, _ in titles()] == ["not_measured"]
    Reading(system).user("ann").group("web", "u-ann").compared()
    assert titles() == []
    assert Finding.objects.get().resolution == "memberships were read"


def test_a_membership_that_is_given_here_is_not_the_system_s(system):
    ann, bob = known(system, "ann", at=BEFORE), known(system, "bob", at=BEFORE)
    group = known_group(system, "web", bob, at=BEFORE)
    Membership.objects.create(tenant_id=system.tenant_id, group=group, account=ann, origin="local", since=BEFORE)
    reading = Reading(system).user("ann").user("bob").group("web", "u-bob")
    reading.compared()
    assert (titles(), reading.wanted()) == ([], [])


def test_leaving_the_group_that_status_is_derived_from_ends_the_account(system):
    ann, bob = known(system, "ann", at=BEFORE), known(system, "bob", at=BEFORE)
    known_group(system, "Staff", ann, bob, at=BEFORE)
    FieldAuthority.objects.create(
        tenant_id=system.tenant_id, system=system, field="groups", direction="reduces", authority="authoritative",
        status_from="group", status_values=["staff"],
    )  # fmt: skip
    reading = Reading(system).user("ann").user("bob").group("staff", "u-bob")
    assert reading.wanted() == [
        (ChangeAct.DEPROVISION, "ann", False),
        (ChangeAct.REMOVE_MEMBER, "ann from Staff", False),
    ]


# -- what changed since the reading began


def test_what_changed_here_since_the_reading_began_is_not_judged(system):
    since = AT + dt.timedelta(seconds=1)
    ann, bob, eve = (known(system, name, at=BEFORE) for name in ("ann", "bob", "eve"))
    group = known_group(system, "web", ann, at=BEFORE)
    Shadow.objects.filter(account=ann).update(changed_at=since)
    lifecycle.deprovision(accounts=[bob.pk], reason="just now", at=since)
    ref = Shadow.objects.get(account=eve).pk
    memberships.add(group=group, system=system, members=[memberships.Member(ref=ref, account=eve.pk)], at=since)
    known(system, "new", at=since)
    reading = Reading(system).user("ann", active=False).user("bob").user("eve").group("web", "u-ann")
    reading.compared()
    assert (titles(), reading.wanted()) == ([], [])


def test_a_membership_that_ended_here_since_the_reading_began_was_not_added_there(system):
    ann, bob = known(system, "ann", at=BEFORE), known(system, "bob", at=BEFORE)
    group = known_group(system, "web", ann, bob, at=BEFORE)
    ref = Shadow.objects.get(account=ann).pk
    memberships.remove(group=group, system=system, refs=[ref], at=AT + dt.timedelta(seconds=1))
    Reading(system).user("ann").user("bob").group("web", "u-ann", "u-bob").compared()
    assert titles() == []


# -- what closes


def test_a_later_complete_reading_closes_by_evidence_what_it_no_longer_shows(system):
    hour = dt.timedelta(hours=1)
    ann = known(system, "ann", at=BEFORE)
    known(system, "bob", at=BEFORE)
    Reading(system, at=AT - hour).user("ann", active=False).user("bob", active=False).user("new").compared(at=AT - hour)
    assert Finding.objects.filter(state="open").count() == 3
    assert Reading(system).user("ann").user("bob", active=False).compared() == {"status": 1, "opened": 0, "resolved": 2}
    assert titles() == [("status_differs", "bob: inactive at Okta, active here")]
    closed = Finding.objects.get(account=ann)
    assert (closed.state, closed.resolved_at) == ("resolved", AFTER)
    assert closed.resolution == "a complete reading begun 2026-11-23 12:00 UTC no longer shows it"


def test_seeing_it_again_keeps_its_due_date(system):
    ann = known(system, "ann", at=BEFORE)
    Reading(system).user("ann", active=False).compared()
    Reading(system, at=AT + dt.timedelta(hours=5)).user("ann", active=False).compared(at=AT + dt.timedelta(hours=6))
    found = Finding.objects.get(account=ann)
    assert (found.due_at, found.last_seen_at) == (AFTER + dt.timedelta(days=1), AT + dt.timedelta(hours=6))


def test_a_reading_closes_no_finding_that_is_newer_than_its_beginning(system):
    hour = dt.timedelta(hours=1)
    ann, bob, _ = (known(system, name, at=BEFORE) for name in ("ann", "bob", "eve"))
    Reading(system, at=AT - hour).user("ann", active=False).user("bob", active=False).user("eve").compared(at=AT - hour)
    # A targeted read has seen bob since, and eve has changed.
    Finding.objects.filter(account=bob).update(last_seen_at=AT + dt.timedelta(seconds=1))
    Shadow.objects.filter(account=ann).update(changed_at=AT + dt.timedelta(seconds=1))
    assert Reading(system).user("ann").user("bob").user("eve").compared() == {"resolved": 0}
    assert Finding.objects.filter(state="open").count() == 2


def test_another_system_s_findings_stay(tenant, system):
    other = a_system(tenant, at=BEFORE, name="Entra")
    Reading(other, at=BEFORE).user("new").compared(at=BEFORE)
    assert Reading(system).user("canary").compared()["resolved"] == 0
    assert Finding.objects.filter(system=other, state="open").count() == 1


# -- cost


def populated(tenant, name, size):
    system = a_system(tenant, at=BEFORE, name=name)
    reading = Reading(system)
    people = [known(system, f"{name}-{n}", at=BEFORE) for n in range(size)]
    known_group(system, f"{name}-all", *people, at=BEFORE)
    for n in range(size):
        reading.user(f"{name}-{n}")
    reading.group(f"{name}-all", *[f"u-{name}-{n}" for n in range(size)])
    known(system, f"{name}-gone", at=BEFORE)
    reading.user(f"{name}-gone", active=False)
    return reading


def queries(act):
    with CaptureQueriesContext(database) as captured:
        act()
    return len(captured)


def test_the_number_of_queries_is_the_same_for_three_accounts_and_for_three_hundred(tenant, because):
    small, large = populated(tenant, "small", 3), populated(tenant, "large", 300)
    cost = queries(small.compared)
    assert queries(large.compared) == cost
    cost = queries(small.wanted)
    assert queries(large.wanted) == cost
    assert Finding.objects.count() == 2


def test_the_planner_is_free_again_after_a_comparison(system):
    Reading(system).user("x").compared()
    with database.cursor() as cursor:
        names = ("enable_nestloop", "enable_mergejoin", "jit")
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
        before = cursor.fetchone()
        with set_against_set():
            cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
            assert cursor.fetchone() == ("off", "off", "off")
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
        assert cursor.fetchone() == before == ("on", "on", "on")


@pytest.mark.parametrize("name", ["status", "fields", "unknown", "missing", "removed", "added"])
def test_no_comparison_pairs_each_with_each(system, name):
    """Fresh staging has no statistics, so a plan for one row must be one that bears a million."""
    reading = Reading(system).user("x")
    with set_against_set(), database.cursor() as cursor:
        cursor.execute("EXPLAIN " + comparison._SQL[name], comparison._parameters(reading.snapshot))
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Nested Loop" not in plan
    assert "Merge" not in plan
    assert "Hash" in plan
