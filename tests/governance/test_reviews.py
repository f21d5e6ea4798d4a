"""What owners decide about their lines, and who may not."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts import lifecycle
from accounts.models.account import Account, AccountState
from accounts.models.finding import Finding, FindingKind
from accounts.models.hold import Hold, HoldKind
from accounts.models.user import RoleName
from accounts.rules import Refused
from governance import campaigns, reviews, settling
from governance.lines import Query
from governance.models.campaign import Campaign, Review, ReviewDecision, ReviewState, Silence
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
    from collections.abc import Callable

    from accounts.models import Tenant
    from accounts.models.user import User
    from audit.models import Cause


@pytest.fixture
def at() -> dt.datetime:
    """The database's clock is compared with: these tests happen now."""
    return now()


class Round:
    """A running campaign over what a.ruiz answers for."""

    def __init__(self, tenant: Tenant, at: dt.datetime, accounts: list[dict[str, Any]]) -> None:
        self.tenant, self.at, self.deadline = tenant, at, at + dt.timedelta(days=14)
        self.chen = staff(tenant, "l.chen", RoleName.SECURITY, at=at)
        self.owner = a_person(tenant, "a.ruiz", at=at)
        self.ruiz: User = a_user(self.owner, RoleName.OWNER, at=at)
        self.system = a_system(tenant, at=at)
        a_connection(self.system, read_at=at)
        for values in accounts:
            account = a_service(tenant, at=at, owner=self.owner, **{"last_used_at": at, **values})
            a_shadow(self.system, account, at=at)
        self.campaign: Campaign = self.launch("Q4")

    def launch(self, name: str) -> Campaign:
        """Another campaign over the same."""
        draft = campaigns.draft(
            tenant=self.tenant, user=self.chen, name=name, query=Query(text="svc-"), deadline=self.deadline,
            silence=Silence.SUSPEND, at=self.at,
        )  # fmt: skip
        return campaigns.launch(campaign=draft, user=self.chen, at=self.at)

    @property
    def line(self) -> Review:
        """The first line."""
        return self.campaign.reviews.order_by("account__user_name_key")[0]

    def account(self) -> Account:
        """Its account, as it is now."""
        return Account.objects.get(pk=self.line.account_id)


@pytest.fixture
def make_round(tenant: Tenant, because: Cause, at: dt.datetime) -> Callable[..., Round]:
    return lambda *accounts: Round(tenant, at, list(accounts) or [{"name": "svc-deploy"}])


def certify(r: Round, user: User, **more: Any) -> Review:
    """Keep the first line."""
    values: dict[str, Any] = {"review": r.line, "user": user, "reason": "in use", "at": r.at}
    return reviews.certify(**(values | more))


def revoke(r: Round, user: User, **more: Any) -> Review:
    """End the first line."""
    values: dict[str, Any] = {"review": r.line, "user": user, "reason": "replaced", "at": r.at}
    return reviews.revoke(**(values | more))


def test_an_owner_certifies_their_line(make_round: Callable[..., Round]) -> None:
    r = make_round()
    line = certify(r, r.ruiz)
    assert (line.state, line.decided_at, line.settled_at) == (ReviewState.CERTIFIED, r.at, r.at)
    decision = ReviewDecision.objects.get()
    assert (decision.word, decision.reason, decision.user, decision.actor) == ("certify", "in use", r.ruiz, "a.ruiz")
    assert r.account().state == AccountState.ACTIVE


def test_a_revoke_suspends_in_the_same_transaction_and_asks_for_a_reading(make_round: Callable[..., Round]) -> None:
    r = make_round()
    line = revoke(r, r.ruiz)
    assert (line.state, line.settled_at) == (ReviewState.REVOKED, None)
    account = r.account()
    assert account.state == AccountState.SUSPENDED
    assert account.read_due_at == r.at + lifecycle.READ_BACK_WITHIN
    hold = Hold.objects.get()
    assert (hold.kind, hold.reason) == (HoldKind.CAMPAIGN, "Q4: replaced")


def test_a_revoke_of_what_is_suspended_already_asks_for_a_reading_too(make_round: Callable[..., Round]) -> None:
    r = make_round()
    lifecycle.suspend(accounts=[r.account().pk], kind=HoldKind.MANUAL, reason="looked odd", at=r.at)
    lifecycle.was_read_back(accounts=[r.account().pk], up_to=r.at + dt.timedelta(days=1))
    revoke(r, r.ruiz)
    assert r.account().read_due_at == r.at + lifecycle.READ_BACK_WITHIN
    assert set(Hold.objects.values_list("kind", flat=True)) == {"manual", "campaign"}


def test_a_revoke_needs_a_reason(make_round: Callable[..., Round]) -> None:
    r = make_round()
    with pytest.raises(reviews.BadDecision, match="write why"):
        revoke(r, r.ruiz, reason=" ")
    assert r.account().state == AccountState.ACTIVE


def test_a_changed_mind_releases_the_campaigns_hold_and_both_answers_are_kept(make_round: Callable[..., Round]) -> None:
    r = make_round()
    revoke(r, r.ruiz)
    line = certify(r, r.ruiz, reason="I was wrong")
    assert line.state == ReviewState.CERTIFIED
    assert r.account().state == AccountState.ACTIVE
    assert list(ReviewDecision.objects.order_by("id").values_list("word", flat=True)) == ["revoke", "certify"]
    assert revoke(r, r.ruiz).state == ReviewState.REVOKED
    assert r.account().state == AccountState.SUSPENDED
    assert ReviewDecision.objects.count() == 3


def test_what_else_holds_an_account_stays_when_it_is_certified_after_all(make_round: Callable[..., Round]) -> None:
    r = make_round()
    lifecycle.suspend(accounts=[r.account().pk], kind=HoldKind.SECURITY, reason="leaked", at=r.at)
    revoke(r, r.ruiz)
    certify(r, r.ruiz)
    assert r.account().state == AccountState.SUSPENDED
    assert list(Hold.objects.filter(released_at__isnull=True).values_list("kind", flat=True)) == ["security"]


def test_what_another_campaign_ended_stays_ended(make_round: Callable[..., Round]) -> None:
    r = make_round()
    other = r.launch("Q5")
    revoke(r, r.ruiz)
    reviews.revoke(review=other.reviews.get(), user=r.ruiz, reason="really", at=r.at)
    certify(r, r.ruiz)
    assert r.account().state == AccountState.SUSPENDED


def test_certifying_again_writes_nothing(make_round: Callable[..., Round]) -> None:
    r = make_round()
    certify(r, r.ruiz)
    certify(r, r.ruiz)
    assert ReviewDecision.objects.count() == 1


def test_a_finding_about_what_is_still_active_elsewhere_closes_when_it_is_certified(
    make_round: Callable[..., Round],
) -> None:
    r = make_round()
    revoke(r, r.ruiz)
    a_readback(r.account(), r.system, ReadResult.ACTIVE, at=r.at)
    settling.settle(campaign=r.campaign, at=r.at)
    finding = Finding.objects.get(kind=FindingKind.STILL_ACTIVE)
    assert finding.title == "svc-deploy is suspended here, still active at Okta"
    certify(r, r.ruiz)
    finding.refresh_from_db()
    assert finding.state == "resolved"


def test_a_line_that_was_read_as_off_is_final(make_round: Callable[..., Round]) -> None:
    r = make_round()
    revoke(r, r.ruiz)
    a_readback(r.account(), r.system, ReadResult.INACTIVE, at=r.at)
    settling.settle(campaign=r.campaign, at=r.at)
    assert line_of(r.line).state == ReviewState.VERIFIED_OFF
    with pytest.raises(Refused, match="nothing changes it any more"):
        certify(r, r.ruiz)


# -- the end that comes with a yes


def test_keeping_until_a_day_brings_the_end_nearer(make_round: Callable[..., Round]) -> None:
    r = make_round()
    until = r.at + dt.timedelta(days=30)
    certify(r, r.ruiz, until=until)
    assert r.account().expires_at == until
    assert ReviewDecision.objects.get().until == until


@pytest.mark.parametrize(("days", "why"), [(121, "security renews it"), (0, "must lie ahead")])
def test_a_review_never_moves_the_end_away_nor_into_the_past(
    make_round: Callable[..., Round], days: int, why: str
) -> None:
    r = make_round()
    with pytest.raises(reviews.BadDecision, match=why):
        certify(r, r.ruiz, until=r.at + dt.timedelta(days=days))
    assert line_of(r.line).state == ReviewState.WAITING
    assert r.account().expires_at == r.at + dt.timedelta(days=120)


# -- who


def test_somebody_elses_line_is_refused(make_round: Callable[..., Round]) -> None:
    r = make_round()
    other = staff(r.tenant, "k.osei", RoleName.OWNER, at=r.at)
    for act in (certify, revoke):
        with pytest.raises(Refused, match=r"a\.ruiz answers this line"):
            act(r, other)
    assert not ReviewDecision.objects.exists()


def test_security_decides_a_line_whose_reviewer_does_not(make_round: Callable[..., Round]) -> None:
    r = make_round()
    assert revoke(r, r.chen).state == ReviewState.REVOKED


def test_nobody_reviews_their_own_account(make_round: Callable[..., Round]) -> None:
    r = make_round()
    Account.objects.filter(pk=r.account().pk).update(identity=r.chen.identity_id)
    with pytest.raises(Refused, match="nobody reviews their own"):
        certify(r, r.chen)


def test_an_auditor_decides_nothing(make_round: Callable[..., Round]) -> None:
    r = make_round()
    with pytest.raises(Refused, match="Answering a review needs"):
        certify(r, staff(r.tenant, "auditor", RoleName.AUDITOR, at=r.at))


def test_after_the_deadline_owners_change_nothing_and_security_only_what_was_silent(
    make_round: Callable[..., Round],
) -> None:
    r = make_round({"name": "svc-a"}, {"name": "svc-b"})
    revoke(r, r.ruiz)
    settling.settle(campaign=r.campaign, at=r.deadline)
    first, second = r.campaign.reviews.order_by("account__user_name_key")
    assert (first.state, second.state) == (ReviewState.REVOKED, ReviewState.SILENT)
    for line, user in ((first, r.ruiz), (second, r.ruiz), (first, r.chen)):
        with pytest.raises(Refused, match="the deadline has passed"):
            reviews.certify(review=line, user=user, reason="late", at=r.deadline)
    reviews.certify(review=second, user=r.chen, reason="they were ill", at=r.deadline)
    assert Account.objects.get(pk=second.account_id).state == AccountState.ACTIVE


def test_mine_are_the_lines_of_my_running_campaigns_riskiest_first(make_round: Callable[..., Round]) -> None:
    r = make_round({"name": "svc-a"}, {"name": "svc-root", "is_privileged": True})
    assert [line.account.user_name for line in reviews.mine(r.ruiz)] == ["svc-root", "svc-a"]
    assert list(reviews.mine(r.chen)) == []
    settling.settle(campaign=r.campaign, at=r.deadline)
    assert list(reviews.mine(r.ruiz)) == []


# -- several at once


def test_five_alike_lines_are_certified_by_one_act(make_round: Callable[..., Round]) -> None:
    r = make_round(*({"name": f"svc-{n}"} for n in range(5)))
    done = reviews.certify_alike(reviews=list(r.campaign.reviews.all()), user=r.ruiz, reason="same job", at=r.at)
    assert {line.state for line in done} == {ReviewState.CERTIFIED}
    assert ReviewDecision.objects.count() == 5


@pytest.mark.parametrize(
    ("accounts", "why"),
    [
        ([{"name": f"svc-{n}"} for n in range(6)], "at most 5 lines at once"),
        ([{"name": "svc-a"}, {"name": "svc-root", "is_privileged": True}], "svc-root is privileged"),
        ([{"name": "svc-a"}, {"name": "svc-new", "last_used_at": None}], "its use is unknown"),
        ([{"name": "svc-a"}, {"name": "svc-prod", "environment": "production"}], "are not alike"),
    ],
)
def test_more_than_five_privileged_unused_or_different_lines_are_not(
    make_round: Callable[..., Round], accounts: list[dict[str, Any]], why: str
) -> None:
    r = make_round(*accounts)
    with pytest.raises(Refused, match=why):
        reviews.certify_alike(reviews=list(r.campaign.reviews.all()), user=r.ruiz, reason="all fine", at=r.at)
    assert not ReviewDecision.objects.exists()


def test_one_refusal_among_several_keeps_none(make_round: Callable[..., Round]) -> None:
    r = make_round({"name": "svc-a"}, {"name": "svc-b"})
    second = r.campaign.reviews.order_by("account__user_name_key")[1]
    Account.objects.filter(pk=second.account_id).update(identity=r.ruiz.identity_id)
    with pytest.raises(Refused, match="nobody reviews their own"):
        reviews.certify_alike(reviews=list(r.campaign.reviews.all()), user=r.ruiz, reason="fine", at=r.at)
    assert not ReviewDecision.objects.exists()
    assert set(r.campaign.reviews.values_list("state", flat=True)) == {ReviewState.WAITING}


def test_standing_takes_two_queries_for_any_number_of_lines(
    make_round: Callable[..., Round], django_assert_num_queries: Any
) -> None:
    r = make_round(*({"name": f"svc-{n}"} for n in range(4)))
    for line in r.campaign.reviews.all():
        reviews.revoke(review=line, user=r.ruiz, reason="over", at=r.at)
    lines = list(r.campaign.reviews.select_related("account"))
    a_readback(lines[0].account, r.system, ReadResult.ABSENT, at=r.at)
    with django_assert_num_queries(2):
        found = reviews.standing(lines)
    assert [found[line.pk].is_off for line in lines] == [True, False, False, False]
    assert found[lines[0].pk].sentence == "read as off at Okta"
    assert found[lines[1].pk].sentence == "suspended here, not yet read at Okta"
