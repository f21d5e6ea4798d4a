"""The front page: is the roll complete? And the one answer to "is this system measured now?"."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from accounts import findings
from accounts.findings import Wrong, open_or_raise
from accounts.models.account import Account
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.system import System
from accounts.models.user import RoleName
from audit.scope import scope
from governance import approvals, campaigns, dashboard, freshness, reviews
from governance.freshness import Word
from governance.lines import Query
from governance.models.approval import Approval
from governance.models.campaign import Silence
from provisioning import differences, systems
from provisioning.models.connection import Connection, RefusedToken, SystemToken
from provisioning.models.plan import Plan
from provisioning.models.rebuild import Rebuild
from provisioning.models.run import Run
from provisioning.models.shadow import Shadow
from tests.conftest import a_cause
from tests.factories.governance import (
    a_connection,
    a_finding,
    a_person,
    a_reading,
    a_service,
    a_shadow,
    a_system,
    a_user,
    asked_back,
    looked,
    now,
    staff,
    tripped,
)

if TYPE_CHECKING:
    from accounts.models import Tenant
    from audit.models import Cause

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def at() -> dt.datetime:
    """The database's clock is compared with: these tests happen now."""
    return now()


def measured(
    tenant: Tenant, name: str, *, at: dt.datetime, age: dt.timedelta | None = dt.timedelta(minutes=12)
) -> System:
    """A system whose last complete reading is so old; its goal is an hour."""
    system = a_system(tenant, name, at=at - dt.timedelta(days=2))
    a_connection(system, read_at=None if age is None else at - age)
    if age is not None:
        a_reading(system, at=at - age)
    return system


# -- one system


def test_a_system_is_equal_when_it_was_read_within_its_goal_and_nothing_differs(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    system = measured(tenant, "Okta", at=at)
    a_shadow(system, a_person(tenant, "k.osei", at=at), at=at)
    found = freshness.of(system, at=at)
    assert (found.word, found.accounts, found.differ, found.because) == (Word.EQUAL, 1, 0, "")
    assert (found.age, found.goal, found.since) == (dt.timedelta(minutes=12), HOUR, None)


@pytest.mark.parametrize("kind", freshness.DIFFERENCES)
def test_a_system_differs_while_a_difference_is_open(
    tenant: Tenant, because: Cause, at: dt.datetime, kind: FindingKind
) -> None:
    system = measured(tenant, "Okta", at=at)
    a_finding(kind, "differs", system=system.pk, at=at)
    a_finding(FindingKind.CORRELATION, "another matter", system=system.pk, at=at)
    found = freshness.of(system, at=at)
    assert (found.word, found.differ) == (Word.DIFFERS, 1)


def test_the_front_page_tells_coverage_with_what_is_excepted_apart(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    system = measured(tenant, "Okta", at=at)
    for name in ("ada", "bo", "cy", "di"):
        account = a_person(tenant, name, at=at)
        a_shadow(system, account, at=at)
        if name in {"ada", "bo"}:
            a_finding(FindingKind.FIELD_DIFFERS, name, system=system.pk, account=account.pk, at=at)
    Finding.objects.filter(dedupe_key="ada").update(state="excepted")
    found = dashboard.front(tenant=tenant, at=at).coverage
    assert (found.percent, found.excepted, found.differing, found.unmeasured) == (50.0, 1, 1, 0)
    later = dashboard.front(tenant=tenant, at=at + 2 * HOUR).coverage
    assert (later.percent, later.unmeasured) == (0.0, 4)


def test_memberships_that_nobody_could_read_are_no_equality(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    system = measured(tenant, "Okta", at=at)
    found = a_finding(FindingKind.NOT_MEASURED, differences.unread_key(system.pk), system=system.pk, at=at)
    assert (freshness.of(system, at=at).word, freshness.of(system, at=at).differ) == (Word.DIFFERS, 1)
    findings.call_false(finding=found, reason="it has no groups", at=at)
    assert freshness.of(system, at=at).word == Word.EQUAL


def test_grey_outranks_green_and_amber_and_what_is_unknown_is_never_zero(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    system = measured(tenant, "Okta", at=at, age=dt.timedelta(hours=3))
    a_finding(FindingKind.STATUS_DIFFERS, "differs", system=system.pk, at=at)
    found = freshness.of(system, at=at)
    assert (found.word, found.differ, found.is_measured) == (Word.NOT_MEASURED, None, False)
    assert found.since == at - dt.timedelta(hours=2)
    assert found.because == "no complete reading within its goal"


def test_a_system_turns_grey_at_the_end_of_its_goal_and_not_before(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    system = measured(tenant, "Okta", at=at, age=dt.timedelta())
    assert freshness.of(system, at=at + HOUR).word == Word.EQUAL
    assert freshness.of(system, at=at + HOUR + dt.timedelta(microseconds=1)).word == Word.NOT_MEASURED


def test_each_reason_for_grey_is_said(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    a_system(tenant, "No connection", at=at)
    measured(tenant, "Never", at=at, age=None)
    paused = measured(tenant, "Paused", at=at, age=2 * HOUR)
    Connection.objects.filter(system=paused).update(paused_at=at)
    failed = measured(tenant, "Failing", at=at, age=2 * HOUR)
    Run.objects.create(
        tenant=tenant, system=failed, started_by="x", started_at=at, state="incomplete", ended_at=at,
        problem="the canary was not seen",
    )  # fmt: skip
    measured(tenant, "Fine", at=at)
    assert {m.name: (m.because, m.problem) for m in freshness.of_systems(at=at)} == {
        "Failing": ("no complete reading within its goal", "the canary was not seen"),
        "Fine": ("", ""),
        "Never": ("never read completely", ""),
        "No connection": ("no connection reads it", ""),
        "Paused": ("reading is paused", ""),
    }


def test_what_a_reading_failed_at_stands_on_the_line_of_its_system_and_not_in_the_headline(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    problem = "page 14: https://crm.example/scim/v2/Users?startIndex=1301 answered 503"
    system = measured(tenant, "Old CRM", at=at, age=None)
    Run.objects.create(
        tenant=tenant, system=system, started_by="x", started_at=at, state="failed", ended_at=at, problem=problem
    )
    found = dashboard.front(tenant=tenant, at=at)
    assert found.sentence == ("No: 1 of 1 systems is not measured; 0 accounts unknown. Old CRM: never read completely.")
    assert found.systems[0].measured.problem == problem


def test_a_system_that_has_ended_is_not_on_the_roll(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    system = measured(tenant, "Old", at=at)
    systems.end_system(system=system, reason="replaced", at=at)
    assert freshness.of_systems(at=at) == []
    with pytest.raises(System.DoesNotExist):
        freshness.of(system, at=at)


# -- the sentence


def sentence(tenant: Tenant, at: dt.datetime) -> tuple[bool, str]:
    """The answer of the front page."""
    found = dashboard.front(tenant=tenant, at=at)
    return found.is_complete, found.sentence


def test_without_a_system_the_answer_is_no(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    assert sentence(tenant, at) == (False, "No: no system is connected yet, so nothing is measured.")


def test_with_every_system_measured_and_equal_the_answer_is_yes(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    looked(tenant, at=at)
    measured(tenant, "Okta", at=at)
    measured(tenant, "GitHub", at=at)
    assert sentence(tenant, at) == (True, "Yes: all 2 systems are measured; nothing differs.")


def test_differences_that_are_found_are_counted_in_the_yes(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    looked(tenant, at=at)
    system = measured(tenant, "Okta", at=at)
    for n in range(2):
        a_finding(FindingKind.STATUS_DIFFERS, f"differs {n}", system=system.pk, at=at)
    assert sentence(tenant, at) == (True, "Yes: 1 system is measured; 2 differences are found and open.")


def test_one_grey_system_makes_the_answer_no_with_the_worst_reason_and_the_unknown_accounts(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    measured(tenant, "Okta", at=at)
    github, crm = (
        measured(tenant, name, at=at, age=age) for name, age in (("GitHub", 2 * HOUR), ("Old CRM", 72 * HOUR))
    )
    both = a_person(tenant, "k.osei", at=at)
    for system, account in ((github, both), (crm, both), (crm, a_person(tenant, "m.ito", at=at))):
        a_shadow(system, account, at=at)
    found = dashboard.front(tenant=tenant, at=at)
    assert (found.is_complete, found.unknown_accounts) == (False, 2)
    assert found.sentence == (
        "No: 2 of 3 systems are not measured; 2 accounts unknown. Old CRM: no complete reading within its goal."
    )
    assert [row.measured.name for row in found.systems] == ["GitHub", "Old CRM", "Okta"]


# -- what else stands on it


def test_what_waits_is_listed_with_the_time_that_is_left(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    system = measured(tenant, "Okta", at=at)
    chen = staff(tenant, "l.chen", RoleName.SECURITY, at=at)
    asked_back(a_person(tenant, "root", at=at, is_privileged=True), system, at=at)
    approvals.open_for_plans(at=at)
    question = Approval.objects.get()
    approvals.answer(approval=question, user=chen, is_yes=True, reason="ok", at=at)
    tripped(system, [a_person(tenant, "p1", at=at)], at=at)
    Plan.objects.create(
        tenant=tenant, kind="replay", state="waiting", system=system, asked_by="x", asked_at=at, digest="x",
        until=at + dt.timedelta(days=7),
    )  # fmt: skip
    found = dashboard.front(tenant=tenant, at=at)
    assert [(w.title, w.approval, w.answered, w.needs, w.is_stopped) for w in found.waits] == [
        ("May a plan for Okta be carried out?", None, 0, 0, True),
        ("May root come back?", question.pk, 1, 2, False),
        # A replay asks; nothing stopped it.
        ("May a plan for Okta be carried out?", None, 0, 0, False),
    ]
    assert found.waits[0].left == dt.timedelta(hours=4) - dt.timedelta(minutes=1)
    assert found.waits_count == 3
    row = found.systems[0]
    assert (row.queue, row.queue_age) == (3, dt.timedelta(minutes=1))


def test_findings_are_counted_by_age_and_what_is_past_its_date_is_overdue(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    for days in (0, 2, 8, 31, 40):
        a_finding(
            FindingKind.NOT_MEASURED, f"old {days}", at=at - dt.timedelta(days=days),
            due_at=at + dt.timedelta(days=35 - days),
        )  # fmt: skip
    assert dashboard.front(tenant=tenant, at=at).findings == dashboard.FindingsByAge(
        day=1, week=1, month=1, older=2, overdue=1
    )


def test_the_block_of_non_human_identities(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    owner = a_person(tenant, "a.ruiz", at=at)
    a_service(tenant, "svc-fine", at=at, owner=owner, last_used_at=at)
    a_service(tenant, "svc-alone", at=at)
    a_service(tenant, "svc-endless", at=at, expires_at=None)
    late = a_service(tenant, "svc-late", at=at - 2 * HOUR, owner=owner, expires_at=at - HOUR)
    soon = a_service(tenant, "svc-soon", at=at, owner=owner, expires_at=at + dt.timedelta(days=5))
    assert late.state == soon.state == "active"
    found = dashboard.front(tenant=tenant, at=at)
    assert found.nhi == dashboard.Nhi(total=5, no_owner=2, no_end=1, past_end=1, use_unknown=4)
    assert found.ends == {1: 0, 7: 1, 14: 1, 30: 1}
    assert found.banners == ("The expiry sweep is late: 1 account is past its end and still active.",)


def test_campaigns_and_runs_are_shown_with_their_progress(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    chen = staff(tenant, "l.chen", RoleName.SECURITY, at=at)
    owner = a_person(tenant, "a.ruiz", at=at)
    ruiz = a_user(owner, RoleName.OWNER, at=at)
    for n in range(2):
        a_service(tenant, f"svc-{n}", at=at, owner=owner)
    draft = campaigns.draft(
        tenant=tenant, user=chen, name="Q4", query=Query(text="svc-"), deadline=at + dt.timedelta(days=9),
        silence=Silence.SUSPEND, at=at,
    )  # fmt: skip
    campaign = campaigns.launch(campaign=draft, user=chen, at=at)
    first = campaign.reviews.first()
    assert first is not None
    reviews.certify(review=first, user=ruiz, reason="", at=at)
    system = a_system(tenant, at=at)
    for n in range(7):
        Run.objects.create(
            tenant=tenant, system=system, started_by="x", started_at=at - n * HOUR, state="closed", ended_at=at
        )
    found = dashboard.front(tenant=tenant, at=at)
    (row,) = found.campaigns
    assert (row.name, row.left, row.progress.decided_percent, row.progress.silent_people) == (
        "Q4", dt.timedelta(days=9), 50, 1,
    )  # fmt: skip
    assert [run.started_at for run in found.runs] == [at - n * HOUR for n in range(5)]


def test_refused_tokens_are_counted_apart_and_never_those_of_another_tenant(
    tenant: Tenant, because: Cause, make_tenant: Any, at: dt.datetime
) -> None:
    ours = a_system(tenant, at=at)

    def token(system: System) -> SystemToken:
        return SystemToken.objects.create(
            tenant_id=system.tenant_id, system=system, digest="x", may=["read"], made_at=at, expires_at=at + HOUR
        )

    mine = token(ours)
    other = make_tenant("other")
    with scope(tenant=other.pk, cause=a_cause()):
        theirs = token(a_system(other, at=at))
    for known, when in ((mine, at), (mine, at - dt.timedelta(hours=25)), (theirs, at), (None, at), (None, at)):
        RefusedToken.objects.create(
            token_id=known.pk if known else None, at=when, because="wrong secret", method="GET", path="/scim/v2/Users"
        )
    RefusedToken.objects.create(token_id=uuid4(), at=at, because="no such token", method="GET", path="/")
    assert dashboard.front(tenant=tenant, at=at).refusals == dashboard.Refusals(
        systems=((ours.pk, ours.name, 1),), unknown=3
    )


def test_the_front_page_takes_as_many_queries_for_three_rows_as_for_three_hundred(
    tenant: Tenant, because: Cause, at: dt.datetime, django_assert_num_queries: Any
) -> None:
    def fill(first: int, last: int) -> None:
        """Systems, with an account, a difference, a stopped plan and a question each: all by bulk, to be quick."""
        numbers = range(first, last)
        made = System.objects.bulk_create(System(tenant=tenant, name=f"S{n:03}", made_at=at) for n in numbers)
        Connection.objects.bulk_create(
            Connection(
                tenant=tenant, system=s, connector="scim", base_url="https://x.example", canary_user_name="canary",
                last_complete_at=at - n % 3 * HOUR,
            )
            for n, s in zip(numbers, made, strict=True)
        )  # fmt: skip
        accounts = Account.objects.bulk_create(
            Account(
                tenant=tenant, kind="service", state_since=at, user_name=s.name, user_name_key=s.name, made_at=at
            )
            for s in made
        )  # fmt: skip
        both = list(zip(made, accounts, strict=True))
        Shadow.objects.bulk_create(
            Shadow(
                tenant=tenant, system=s, resource_type="User", account=a, name=a.user_name, name_key=a.user_name,
                made_at=at, changed_at=at,
            )
            for s, a in both
        )  # fmt: skip
        wrong = [
            Wrong(
                kind=FindingKind.STATUS_DIFFERS, key=f"differs:{s.pk}", title="differs", severity=Severity.LOW,
                system=s.pk, account=a.pk,
            )
            for s, a in both
        ]  # fmt: skip
        open_or_raise(wrong, at=at)
        until = at + HOUR
        stopped = Plan.objects.bulk_create(
            Plan(
                tenant=tenant, kind="reading", state="tripped", system=s, asked_by="x", asked_at=at, digest="x",
                until=until,
            )
            for s in made
        )  # fmt: skip
        Approval.objects.bulk_create(
            Approval(
                tenant=tenant, kind="plan", plan_id=p.pk, plan_digest="x", title="May it?", needs=2, asked_by="x",
                asked_at=at, until=until,
            )
            for p in stopped[::2]
        )  # fmt: skip

    fill(0, 3)
    with django_assert_num_queries(24) as few:
        dashboard.front(tenant=tenant, at=at)
    fill(3, 300)
    with django_assert_num_queries(len(few)):
        found = dashboard.front(tenant=tenant, at=at)
    assert (found.systems_count, len(found.systems)) == (300, dashboard.SYSTEMS_SHOWN)
    assert found.unknown_accounts == 100
    assert (found.waits_count, len(found.waits)) == (300, dashboard.WAITS_SHOWN)


def ledger_of(tenant: Tenant, at: dt.datetime) -> tuple[str, str, bool]:
    found = dashboard.front(tenant=tenant, at=at).ledger
    return found.shape, found.sentence, found.as_of is not None


def test_whether_the_ledger_gives_todays_roll_is_grey_until_it_is_measured(
    tenant: Tenant, because: Cause, at: dt.datetime
) -> None:
    unmeasured = ("?", "not yet measured: the ledger is replayed each night", False)
    assert ledger_of(tenant, at) == unmeasured
    row = Rebuild.objects.create(tenant=tenant, emptied_at=at)
    assert ledger_of(tenant, at) == unmeasured

    def shows(equal: int, differing: int, **left_out: int) -> tuple[str, str, bool]:
        Rebuild.objects.filter(pk=row.pk).update(
            state="compared", compared_at=at, until_at=at, equal=equal, differing=differing, left_out=left_out
        )
        return ledger_of(tenant, at)

    assert shows(12_340, 0) == ("=", "yes, 12340 resources", True)
    assert shows(1, 0, newer=3) == ("=", "yes, 1 resource", True)
    assert shows(5, 2) == ("!", "no: 2 resources differ", True)
    assert shows(0, 0, newer=3) == ("?", "not measured: no resource could be judged", True)
    shows(5, 0)
    assert ledger_of(tenant, at + dt.timedelta(hours=37)) == ("?", "not measured since, then: yes, 5 resources", True)
