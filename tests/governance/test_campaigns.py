"""A campaign: drafted, checked, launched with frozen evidence, settled, closed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.db import DatabaseError

from accounts import lifecycle, memberships, ownership
from accounts.models.account import Account, AccountKind, AccountState, Environment
from accounts.models.exception import PolicyException
from accounts.models.finding import Finding, FindingKind
from accounts.models.hold import Hold, HoldKind
from accounts.models.user import RoleName
from accounts.rules import Refused
from audit.models import JournalEntry
from governance import approvals, campaigns, reviews, settling
from governance.lines import BadQuery, Query, matching, query_from
from governance.models.approval import Approval
from governance.models.campaign import Campaign, CampaignState, Review, ReviewDecision, ReviewState, Silence
from governance.models.notice import Notice
from provisioning.models.readback import ReadResult
from tests.factories.governance import (
    a_connection,
    a_person,
    a_readback,
    a_service,
    a_shadow,
    a_system,
    a_user,
    line_of,
    now,
    staff,
)

if TYPE_CHECKING:
    from accounts.models import Tenant
    from audit.models import Cause

SERVICES = Query(kinds=(AccountKind.SERVICE,))


@pytest.fixture
def at() -> dt.datetime:
    """The database's clock is compared with: these tests happen now."""
    return now()


class Stage:
    """A tenant with security, an owner who signs in, and a directory that is read."""

    def __init__(self, tenant: Tenant, at: dt.datetime) -> None:
        self.tenant, self.at = tenant, at
        self.deadline = at + dt.timedelta(days=14)
        self.chen = staff(tenant, "l.chen", RoleName.SECURITY, at=at)
        self.owner = a_person(tenant, "a.ruiz", at=at)
        self.ruiz = a_user(self.owner, RoleName.OWNER, at=at)
        self.system = a_system(tenant, at=at)
        a_connection(self.system, read_at=at)

    def service(self, name: str, **more: Any) -> Account:
        """A service account of a.ruiz in Okta."""
        account = a_service(self.tenant, name, at=self.at, owner=self.owner, **more)
        a_shadow(self.system, account, at=self.at)
        return account

    def draft(self, name: str = "Q4", *, query: Query = SERVICES, silence: Silence = Silence.SUSPEND) -> Campaign:
        """A draft by security."""
        return campaigns.draft(
            tenant=self.tenant, user=self.chen, name=name, query=query, deadline=self.deadline, silence=silence,
            at=self.at,
        )  # fmt: skip

    def launch(self, **more: Any) -> Campaign:
        """A running campaign."""
        return campaigns.launch(campaign=self.draft(**more), user=self.chen, at=self.at)

    def line(self, account: Account) -> Review:
        """The line of an account."""
        return Review.objects.get(account=account)


@pytest.fixture
def stage(tenant: Tenant, because: Cause, at: dt.datetime) -> Stage:
    return Stage(tenant, at)


def settle_all(campaign: Campaign, *, at: dt.datetime, limit: int = 100) -> settling.Settled:
    """One round, slice after slice."""
    done = settling.settle(campaign=campaign, at=at, limit=limit)
    while done.next is not None:
        done = settling.settle(campaign=campaign, at=at, after=done.next, limit=limit)
    return done


def problems(campaign: Campaign, at: dt.datetime) -> dict[str, tuple[int, tuple[str, ...], bool]]:
    """What stands against a launch, by word."""
    found = campaigns.preflight(campaign, at=at)
    return {p.word: (p.count, p.names, p.is_blocking) for p in found.problems}


# -- drafting


def test_a_filter_is_kept_and_read_back_as_it_was() -> None:
    query = Query(
        kinds=(AccountKind.SERVICE, AccountKind.AGENT), environment=Environment.PRODUCTION, system=uuid4(),
        privileged=False, never_certified=True, text=" deploy ",
    )  # fmt: skip
    assert query_from(query.as_json()) == Query(**{**query.__dict__, "text": "deploy"})
    assert query_from({}) == Query()
    assert Query().as_json() == {}


@pytest.mark.parametrize("data", [{"colour": "red"}, {"kinds": ["robot"]}, {"system": "not-an-id"}])
def test_a_filter_that_makes_no_sense_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(BadQuery):
        query_from(data)


def test_the_filter_names_exactly_the_living_accounts_it_describes(stage: Stage) -> None:
    deploy = stage.service("svc-deploy", environment=Environment.PRODUCTION)
    root = stage.service("svc-root", is_privileged=True)
    gone = stage.service("svc-gone")
    lifecycle.deprovision(accounts=[gone.pk], reason="x", at=stage.at)
    elsewhere = a_service(stage.tenant, "svc-elsewhere", at=stage.at, owner=stage.owner)
    a_service(stage.tenant, "svc-pending", at=stage.at)

    def names(query: Query) -> list[str]:
        return [a.user_name for a in matching(query)]

    assert names(SERVICES) == ["svc-deploy", "svc-elsewhere", "svc-root"]
    assert names(Query(privileged=True)) == [root.user_name]
    assert names(Query(environment=Environment.PRODUCTION)) == [deploy.user_name]
    assert names(Query(system=stage.system.pk)) == ["svc-deploy", "svc-root"]
    assert names(Query(text="ELSE")) == [elsewhere.user_name]
    assert names(Query(kinds=(AccountKind.PERSON,))) == ["a.ruiz", "l.chen"]


def test_only_who_may_run_campaigns_drafts_one(stage: Stage) -> None:
    with pytest.raises(Refused, match="Running a campaign needs"):
        campaigns.draft(
            tenant=stage.tenant, user=stage.ruiz, name="Q4", query=SERVICES, deadline=stage.deadline,
            silence=Silence.SUSPEND, at=stage.at,
        )  # fmt: skip


def test_a_name_is_used_once_and_a_deadline_lies_ahead(stage: Stage) -> None:
    stage.draft()
    with pytest.raises(campaigns.CantLaunch, match="of that name already"):
        stage.draft()
    with pytest.raises(campaigns.CantLaunch, match="must lie ahead"):
        campaigns.draft(
            tenant=stage.tenant, user=stage.chen, name="Q1", query=SERVICES, deadline=stage.at,
            silence=Silence.SUSPEND, at=stage.at,
        )  # fmt: skip
    assert Campaign.objects.count() == 1


# -- preflight


def test_nothing_stands_against_a_campaign_whose_owners_sign_in_and_whose_systems_are_fresh(stage: Stage) -> None:
    stage.service("svc-a")
    stage.service("svc-b")
    assert campaigns.preflight(stage.draft(), at=stage.at) == campaigns.Preflight(lines=2, reviewers=1, problems=())


def test_a_filter_that_names_nothing_blocks(stage: Stage) -> None:
    assert problems(stage.draft(), stage.at) == {"empty": (0, (), True)}


def test_an_account_whose_owner_cannot_sign_in_blocks(stage: Stage) -> None:
    mute = a_person(stage.tenant, "mute", at=stage.at)
    a_shadow(stage.system, a_service(stage.tenant, "svc-mute", at=stage.at, owner=mute), at=stage.at)
    stage.service("svc-fine")
    assert problems(stage.draft(), stage.at) == {"unresolved": (1, ("svc-mute",), True)}


def test_an_account_without_an_owner_blocks(stage: Stage) -> None:
    alone = stage.service("svc-alone")
    for one in alone.ownerships.all():
        ownership.end(ownership=one, reason="left", at=stage.at)
    assert problems(stage.draft(), stage.at) == {"unresolved": (1, ("svc-alone",), True)}


def test_an_account_that_only_its_own_person_could_review_blocks(stage: Stage) -> None:
    stage.service("svc-mine", identity_id=stage.owner.identity_id)
    assert problems(stage.draft(), stage.at) == {"self_review": (1, ("svc-mine",), True)}


def test_a_second_owner_reviews_what_the_first_may_not(stage: Stage) -> None:
    mine = stage.service("svc-mine", identity_id=stage.owner.identity_id)
    osei = a_person(stage.tenant, "k.osei", at=stage.at)
    a_user(osei, RoleName.OWNER, at=stage.at)
    ownership.accept(ownership=ownership.offer(account=mine, owner=osei, at=stage.at), at=stage.at)
    stage.launch()
    assert stage.line(mine).reviewer == osei


def test_a_stale_system_blocks(stage: Stage) -> None:
    stage.service("svc-a")
    assert problems(stage.draft(), stage.at + dt.timedelta(hours=2)) == {"stale": (1, ("Okta",), True)}


def test_an_account_that_no_reading_reaches_is_told_of_and_does_not_block(stage: Stage) -> None:
    a_service(stage.tenant, "svc-local", at=stage.at, owner=stage.owner)
    draft = stage.draft()
    assert problems(draft, stage.at) == {"unreadable": (1, ("svc-local",), False)}
    assert campaigns.preflight(draft, at=stage.at).may_launch


def test_what_blocks_is_refused_at_the_launch_too(stage: Stage) -> None:
    draft = stage.draft()
    with pytest.raises(campaigns.CantLaunch, match="the filter names no account"):
        campaigns.launch(campaign=draft, user=stage.chen, at=stage.at)
    draft.refresh_from_db()
    assert draft.state == CampaignState.DRAFT
    assert not Notice.objects.exists()


# -- launch


def test_a_launch_freezes_the_evidence_of_each_line(stage: Stage, because: Cause) -> None:
    account = stage.service(
        "svc-deploy", environment=Environment.PRODUCTION, last_used_at=stage.at - dt.timedelta(hours=2)
    )
    group = memberships.create_group(
        tenant_id=stage.tenant.pk, display_name="web-deploy", display_name_key="web-deploy", document={}, at=stage.at
    )
    memberships.add(
        group=group, system=stage.system, members=[memberships.Member(ref=uuid4(), account=account.pk)], at=stage.at
    )
    campaign = stage.launch()
    line = stage.line(account)
    assert (line.reviewer, line.state, line.campaign) == (stage.owner, "waiting", campaign)
    expected = {
        "user_name": "svc-deploy", "kind": "service", "environment": "production", "purpose": "deploys the shop",
        "state": "active", "is_privileged": False, "owner": "a.ruiz", "memberships": ["web-deploy"],
        "systems": ["Okta"], "findings": [], "last_certified_at": None, "changed": [],
    }  # fmt: skip
    assert {word: line.evidence[word] for word in expected} == expected
    assert line.evidence["last_used_at"] == (stage.at - dt.timedelta(hours=2)).isoformat()
    memberships.remove_all(group=group, system=stage.system, at=stage.at)
    assert line_of(line).evidence["memberships"] == ["web-deploy"]


def test_the_evidence_says_what_changed_since_the_last_certification(stage: Stage) -> None:
    account = stage.service("svc-deploy")
    stage.launch()
    reviews.certify(review=stage.line(account), user=stage.ruiz, reason="needed", at=stage.at)
    group = memberships.create_group(
        tenant_id=stage.tenant.pk, display_name="s3-write", display_name_key="s3-write", document={}, at=stage.at
    )
    memberships.add(
        group=group, system=stage.system, members=[memberships.Member(ref=uuid4(), account=account.pk)], at=stage.at
    )
    stage.launch(name="Q1")
    line = Review.objects.get(campaign__name="Q1")
    assert line.evidence["changed"] == ["+s3-write"]
    assert line.evidence["last_certified_at"] == stage.at.isoformat()
    assert [a.user_name for a in matching(Query(kinds=(AccountKind.SERVICE,), never_certified=True))] == []


def test_each_reviewer_gets_one_mail_with_their_lines(stage: Stage) -> None:
    stage.service("svc-a", last_used_at=stage.at)
    stage.service("svc-b")
    stage.launch()
    notice = Notice.objects.get()
    assert (notice.to_address, notice.to_account) == ("a.ruiz@acme.example", stage.owner)
    assert notice.subject == "[Acme] 2 accounts: still needed? (Q4)"
    assert f"- svc-a: last used {stage.at:%Y-%m-%d}\n- svc-b: last use unknown" in notice.body
    assert "No answer by then: suspend the account." in notice.body
    assert notice.body.endswith("/t/acme/my/")


def test_a_campaign_is_launched_once(stage: Stage) -> None:
    stage.service("svc-a")
    campaign = stage.launch()
    with pytest.raises(campaigns.CantLaunch, match="is running already"):
        campaigns.launch(campaign=campaign, user=stage.chen, at=stage.at)
    with pytest.raises(campaigns.CantLaunch, match="closes when every line is settled"):
        campaigns.abandon(campaign=campaign, user=stage.chen, reason="oops", at=stage.at)
    assert Review.objects.count() == 1


def test_a_draft_is_abandoned_and_never_launched(stage: Stage) -> None:
    stage.service("svc-a")
    draft = stage.draft()
    campaigns.abandon(campaign=draft, user=stage.chen, reason="too early", at=stage.at)
    with pytest.raises(campaigns.CantLaunch, match="never launched"):
        campaigns.launch(campaign=draft, user=stage.chen, at=stage.at)


def test_evidence_takes_as_many_queries_for_one_line_as_for_thirty(
    stage: Stage, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    stage.service("svc-00")
    first = stage.draft(name="one")
    with django_assert_max_num_queries(60) as few:
        campaigns.launch(campaign=first, user=stage.chen, at=stage.at)
    for n in range(1, 30):
        stage.service(f"svc-{n:02}")
    second = stage.draft(name="many")
    with django_assert_num_queries(len(few.captured_queries)):
        campaigns.launch(campaign=second, user=stage.chen, at=stage.at)


# -- the deadline


def test_nothing_is_settled_before_there_is_anything_to_settle(stage: Stage) -> None:
    stage.service("svc-a")
    campaign = stage.launch()
    assert settling.due(at=stage.at) == []
    assert settle_all(campaign, at=stage.at) == settling.Settled()
    assert line_of(Review.objects.get()).state == ReviewState.WAITING


def test_silence_suspends_and_the_line_stays_open_until_it_is_read_as_off(stage: Stage) -> None:
    account = stage.service("svc-a")
    campaign = stage.launch()
    over = stage.deadline
    assert settling.due(at=over) == [campaign.pk]
    settle_all(campaign, at=over)
    line = stage.line(account)
    campaign.refresh_from_db()
    assert (campaign.state, line.state, line.settled_at) == (CampaignState.SETTLING, ReviewState.SILENT, None)
    account.refresh_from_db()
    assert account.state == AccountState.SUSPENDED
    assert account.read_due_at == over + lifecycle.READ_BACK_WITHIN
    assert line.note == "suspended here, not yet read at Okta"
    assert settling.due(at=over) == []

    a_readback(account, stage.system, ReadResult.ACTIVE, at=over)
    assert settling.due(at=over) == [campaign.pk]
    assert settle_all(campaign, at=over).closed is False
    assert line_of(line).note == "suspended here, still active at Okta"
    finding = Finding.objects.get(kind=FindingKind.STILL_ACTIVE)
    assert (finding.account, finding.system, finding.subject_id) == (account, stage.system, str(line.pk))
    account.refresh_from_db()
    assert account.read_due_at == over + settling.READ_AGAIN_AFTER

    a_readback(account, stage.system, ReadResult.INACTIVE, at=over + dt.timedelta(hours=1))
    done = settle_all(campaign, at=over + dt.timedelta(hours=1))
    assert (done.verified, done.closed) == (1, True)
    campaign.refresh_from_db()
    assert (campaign.state, line_of(line).state) == (CampaignState.CLOSED, ReviewState.VERIFIED_OFF)
    finding.refresh_from_db()
    assert finding.state == "resolved"
    assert [e.event for e in JournalEntry.objects.filter(event__startswith="campaign.").order_by("id")] == [
        "campaign.drafted", "campaign.launched", "campaign.settling", "campaign.closed",
    ]  # fmt: skip


def test_what_was_read_before_the_decision_settles_nothing(stage: Stage) -> None:
    account = stage.service("svc-a")
    campaign = stage.launch()
    a_readback(account, stage.system, ReadResult.INACTIVE, at=stage.deadline - dt.timedelta(seconds=1))
    settle_all(campaign, at=stage.deadline)
    assert stage.line(account).state == ReviewState.SILENT


def test_every_connected_system_must_read_as_off(stage: Stage) -> None:
    account = stage.service("svc-a")
    second = a_system(stage.tenant, "GitHub", at=stage.at)
    a_connection(second, read_at=stage.at)
    a_shadow(second, account, at=stage.at)
    campaign = stage.launch()
    settle_all(campaign, at=stage.deadline)
    a_readback(account, stage.system, ReadResult.ABSENT, at=stage.deadline)
    settle_all(campaign, at=stage.deadline)
    assert stage.line(account).note == "suspended here, not yet read at GitHub"
    a_readback(account, second, ReadResult.FAILED, at=stage.deadline)
    settle_all(campaign, at=stage.deadline)
    assert stage.line(account).state == ReviewState.SILENT
    a_readback(account, second, ReadResult.ABSENT, at=stage.deadline)
    assert settle_all(campaign, at=stage.deadline).closed is True


def test_silence_that_escalates_suspends_nothing_and_tells_security_once(stage: Stage) -> None:
    account = stage.service("svc-a")
    campaign = stage.launch(silence=Silence.ESCALATE)
    settle_all(campaign, at=stage.deadline)
    settle_all(campaign, at=stage.deadline)
    account.refresh_from_db()
    assert account.state == AccountState.ACTIVE
    assert stage.line(account).state == ReviewState.SILENT
    told = Notice.objects.filter(dedupe_key__contains=":escalated:")
    assert [(n.to_address, n.subject) for n in told] == [
        ("l.chen@acme.example", "[Acme] 1 line of Q4 had no answer"),
    ]
    a_readback(account, stage.system, ReadResult.ACTIVE, at=stage.deadline)
    settle_all(campaign, at=stage.deadline)
    assert not Finding.objects.filter(kind=FindingKind.STILL_ACTIVE).exists()
    reviews.certify(review=stage.line(account), user=stage.chen, reason="asked them", at=stage.deadline)
    assert settle_all(campaign, at=stage.deadline).closed is True


def test_security_ends_a_line_that_silence_left_open(stage: Stage) -> None:
    account = stage.service("svc-a")
    campaign = stage.launch(silence=Silence.ESCALATE)
    settle_all(campaign, at=stage.deadline)
    reviews.revoke(review=stage.line(account), user=stage.chen, reason="nobody knows it", at=stage.deadline)
    account.refresh_from_db()
    assert account.state == AccountState.SUSPENDED
    a_readback(account, stage.system, ReadResult.ABSENT, at=stage.deadline)
    assert settle_all(campaign, at=stage.deadline).closed is True


def test_a_line_that_no_system_reaches_is_settled_by_an_exception_alone(stage: Stage) -> None:
    account = a_service(stage.tenant, "svc-local", at=stage.at, owner=stage.owner)
    campaign = stage.launch()
    ito = staff(stage.tenant, "m.ito", RoleName.SECURITY, at=stage.at)
    reviews.revoke(review=stage.line(account), user=stage.ruiz, reason="replaced", at=stage.at)
    settle_all(campaign, at=stage.deadline)
    line = stage.line(account)
    assert line.note == "suspended here; no system of it can be read: only an exception settles it"
    assert settle_all(campaign, at=stage.deadline).closed is False

    until = stage.deadline + dt.timedelta(days=30)
    question = reviews.except_line(review=line, user=stage.chen, reason="removed by hand", until=until, at=stage.at)
    assert (question.kind, question.needs) == ("exception", 1)
    for user, why in ((stage.chen, "you asked for it"), (stage.ruiz, "Handling findings needs")):
        with pytest.raises(Refused, match=why):
            approvals.answer(approval=question, user=user, is_yes=True, reason="ok", at=stage.at)
    approvals.answer(approval=question, user=ito, is_yes=True, reason="seen", at=stage.at)
    made = PolicyException.objects.get()
    assert (made.account, made.until, made.kind) == (account, until, "finding")
    assert (made.asked_by_id, made.approved_by_id) == (stage.chen.identity_id, ito.identity_id)

    assert settling.due(at=stage.deadline) == [campaign.pk]
    assert settle_all(campaign, at=stage.deadline).closed is True
    assert line_of(line).state == ReviewState.EXCEPTED
    last = ReviewDecision.objects.order_by("id").last()
    assert last is not None
    assert (last.word, last.reason, last.until) == ("except", "removed by hand", until)


def test_an_owner_who_is_security_does_not_answer_the_exception_of_their_own_line(stage: Stage) -> None:
    account = stage.service("svc-a")
    stage.launch()
    reviews.revoke(review=stage.line(account), user=stage.ruiz, reason="x", at=stage.at)
    boss = a_user(stage.owner, RoleName.SECURITY, at=stage.at, username="ruiz-security")
    question = reviews.except_line(
        review=stage.line(account), user=stage.chen, reason="x", until=stage.deadline, at=stage.at
    )
    with pytest.raises(Refused, match="you answer for this account"):
        approvals.answer(approval=question, user=boss, is_yes=True, reason="ok", at=stage.at)


def test_an_exception_is_asked_for_open_endings_only_and_ends(stage: Stage) -> None:
    account = stage.service("svc-a")
    stage.launch()
    line = stage.line(account)
    with pytest.raises(approvals.CantAsk, match="nothing to except"):
        reviews.except_line(review=line, user=stage.chen, reason="x", until=stage.deadline, at=stage.at)
    with pytest.raises(approvals.BadAnswer, match="within 180 days"):
        reviews.except_line(
            review=line, user=stage.chen, reason="x", until=stage.at + dt.timedelta(days=181), at=stage.at
        )
    with pytest.raises(Refused, match="Handling findings needs"):
        reviews.except_line(review=line, user=stage.ruiz, reason="x", until=stage.deadline, at=stage.at)
    assert not Approval.objects.exists()


def test_settling_goes_on_slice_by_slice(stage: Stage) -> None:
    for n in range(5):
        stage.service(f"svc-{n}")
    campaign = stage.launch()
    first = settling.settle(campaign=campaign, at=stage.deadline, limit=2)
    assert (first.silent, first.next) == (2, Review.objects.order_by("id")[1].pk)
    assert Account.objects.filter(state=AccountState.SUSPENDED).count() == 2
    settle_all(campaign, at=stage.deadline, limit=2)
    assert set(Review.objects.values_list("state", flat=True)) == {ReviewState.SILENT}
    assert ReviewDecision.objects.filter(word="silence").count() == 5
    assert Hold.objects.filter(kind=HoldKind.CAMPAIGN, released_at__isnull=True).count() == 5
    settle_all(campaign, at=stage.deadline, limit=2)
    assert ReviewDecision.objects.count() == 5


def test_one_line_that_fails_stops_no_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = stage.service("svc-bad")
    good = stage.service("svc-good")
    campaign = stage.launch()
    suspend = lifecycle.suspend

    def failing(*, accounts: list[Any], **more: Any) -> list[Account]:
        if bad.pk in accounts:
            raise DatabaseError("broken")
        return suspend(accounts=accounts, **more)

    monkeypatch.setattr(lifecycle, "suspend", failing)
    done = settling.settle(campaign=campaign, at=stage.deadline)
    assert (done.silent, done.failed) == (1, 1)
    assert (stage.line(good).state, stage.line(bad).state) == (ReviewState.SILENT, ReviewState.WAITING)
    finding = Finding.objects.get(kind=FindingKind.SWEEP_FAILED)
    assert (finding.account, finding.evidence["error"]) == (bad, "DatabaseError")
    monkeypatch.undo()
    assert settling.settle(campaign=campaign, at=stage.deadline).silent == 1


def test_a_campaign_whose_lines_are_all_certified_closes_at_its_deadline_and_not_before(stage: Stage) -> None:
    account = stage.service("svc-a")
    campaign = stage.launch()
    reviews.certify(review=stage.line(account), user=stage.ruiz, reason="", at=stage.at)
    assert settle_all(campaign, at=stage.at).closed is False
    assert settle_all(campaign, at=stage.deadline).closed is True


def test_progress_counts_each_campaign_in_one_query(stage: Stage, django_assert_num_queries: Any) -> None:
    kept, ended = stage.service("svc-kept"), stage.service("svc-ended")
    stage.service("svc-silent")
    campaign = stage.launch()
    reviews.certify(review=stage.line(kept), user=stage.ruiz, reason="", at=stage.at)
    reviews.revoke(review=stage.line(ended), user=stage.ruiz, reason="over", at=stage.at)
    with django_assert_num_queries(1):
        found = campaigns.progress([campaign.pk])
    assert found == {
        campaign.pk: campaigns.Progress(total=3, waiting=1, certified=1, revoked=1, silent_people=1),
    }
    assert (found[campaign.pk].decided_percent, found[campaign.pk].settled) == (66, 1)
