"""What a row of this floor can't get wrong, whoever writes it: each rule of the database, broken once."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from accounts.models import Role, User
from audit.keys import uuid7
from audit.scope import scope
from governance.models import Answer, Approval
from provisioning.models import Plan
from tests.conftest import a_cause, as_owner
from tests.house import rows
from tests.house.rows import LATER, NOW, broken_by

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def twice(make: Callable[..., Any], **values: Any) -> None:
    """The same row a second time."""
    make(**values)
    make(**values)


def twice_by_one_person() -> None:
    """Two users of one identity are one person."""
    question, identity = rows.approval(needs=2), rows.identity()
    for _ in range(2):
        rows.answer(approval=question, user=rows.approver(identity=identity))


def by_who_is_barred() -> None:
    who = rows.approver()
    rows.answer(approval=rows.approval(barred=[uuid7()]), user=asker_of(who))


def asker_of(user: User) -> User:
    """The user, whose identity is now among those who asked for every wish there is."""
    Plan.objects.update(requesters=[user.identity_id])
    return user


def with_a_role(**values: Any) -> Callable[[], Any]:
    """An answer by somebody with another role than it takes."""

    def attempt() -> None:
        who = rows.user()
        rows.role(**({"user": who} | values))
        rows.answer(user=who)

    return attempt


def by_who_was_ended() -> None:
    who = rows.approver()
    User.objects.filter(pk=who.pk).update(is_active=False)
    rows.answer(user=who)


def of_oneself() -> None:
    same = rows.account()
    rows.review(account=same, reviewer=same)


def an_exception(**values: Any) -> dict[str, Any]:
    given = {"kind": "exception", "review_id": uuid7(), "account": rows.account(), "lasts_until": LATER}
    return given | values


FACTS = {"cursor": "1", "stream": "scim-delta/Users", "to": {"modified": "2026-11-01T00:00:00+00:00"}, "epoch": 1}


def a_rewind(**values: Any) -> dict[str, Any]:
    """A question about a feed."""
    return {"kind": "rewind", "plan_id": None, "system": rows.system(), "facts": FACTS} | values


def without_a_fact(name: str) -> Callable[[], Any]:
    """A question about a feed that does not say one thing."""
    return lambda: rows.approval(**a_rewind(facts={k: v for k, v in FACTS.items() if k != name}))


def of_an_unknown_kind() -> None:
    """A kind that nobody knows has no subject either: that rule, which is asked first, is taken away for once."""
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE governance_approval DROP CONSTRAINT governance_approval_has_its_subject")
    rows.approval(kind="wedding")


# Each rule by its name, and every way to break it.
BREAKS: dict[str, tuple[Callable[[], Any], ...]] = {
    "governance_certificate_one_a_day": (lambda: twice(rows.certificate),),
    "governance_certificate_day_is_a_day": (
        lambda: rows.certificate(day="yesterday"),
        lambda: rows.certificate(day="2026-11-2"),
    ),
    "governance_certificate_is_signed": (
        lambda: rows.certificate(statement=""),
        lambda: rows.certificate(key_id=""),
        lambda: rows.certificate(signature=b""),
    ),
    "governance_approval_kind_is_known": (of_an_unknown_kind,),
    "governance_approval_state_is_known": (
        lambda: Approval.objects.filter(pk=rows.approval().pk).update(state="hm", ended_at=NOW),
    ),
    "governance_approval_needs_one_to_five": (lambda: rows.approval(needs=0), lambda: rows.approval(needs=6)),
    "governance_approval_has_its_subject": (
        lambda: rows.approval(plan_id=None),
        lambda: rows.approval(kind="plan"),
        lambda: rows.approval(kind="role"),
        lambda: rows.approval(**an_exception(review_id=None)),
        lambda: rows.approval(**an_exception(account=None)),
        lambda: rows.approval(**an_exception(lasts_until=None)),
        lambda: rows.approval(kind="returns", system=None, lasts_until=LATER),
        lambda: rows.approval(kind="returns", system=rows.system()),
        lambda: rows.approval(**a_rewind(system=None)),
        *[without_a_fact(name) for name in ("cursor", "stream", "to", "epoch")],
    ),
    "governance_approval_end_has_its_time": (
        lambda: rows.approval(ended_at=NOW),
        lambda: Approval.objects.filter(pk=rows.approval().pk).update(state="approved"),
    ),
    "governance_approval_one_open_per_plan": (lambda: twice(rows.approval, plan_id=uuid7()),),
    "governance_approval_one_open_per_line": (lambda: twice(rows.approval, **an_exception()),),
    "governance_approval_one_open_of_a_kind_per_system": (
        lambda: twice(rows.approval, kind="returns", system=rows.system(), lasts_until=LATER),
        lambda: twice(rows.approval, **a_rewind()),
    ),
    "governance_answer_once_per_person": (
        lambda: twice(rows.answer, approval=rows.approval(needs=2), user=rows.approver()),
        twice_by_one_person,
    ),
    "governance_answer_not_by_who_is_barred": (by_who_is_barred,),
    "governance_answer_by_a_role_older_than_it": (
        lambda: rows.answer(user=rows.user()),
        with_a_role(since=NOW + dt.timedelta(seconds=1)),
        with_a_role(name="owner"),
        with_a_role(name="auditor"),
        with_a_role(name="administrator"),
        with_a_role(until=NOW - dt.timedelta(seconds=1)),
        by_who_was_ended,
    ),
    "governance_answer_has_a_reason": (lambda: rows.answer(reason=""),),
    "governance_campaign_state_is_known": (lambda: rows.campaign(state="marching"),),
    "governance_campaign_silence_is_known": (lambda: rows.campaign(silence="keep"),),
    "governance_campaign_name_once": (lambda: twice(rows.campaign, name="Q4"),),
    "governance_review_state_is_known": (lambda: rows.review(state="lost"),),
    "governance_review_once": (lambda: twice(rows.review, campaign=rows.campaign(), account=rows.account()),),
    "governance_review_not_of_oneself": (of_oneself,),
    "governance_decision_word_is_known": (lambda: rows.decision(word="shrug"),),
    "governance_decision_to_end_has_a_reason": (
        lambda: rows.decision(word="revoke", reason=""),
        lambda: rows.decision(word="except", reason=""),
    ),
    "governance_notice_channel_is_known": (lambda: rows.notice(channel="smoke"),),
    "governance_notice_once": (lambda: twice(rows.notice, dedupe_key="same"),),
}


@pytest.mark.parametrize(
    ("name", "attempt"), [(name, attempt) for name, attempts in BREAKS.items() for attempt in attempts]
)
def test_each_rule_refuses_what_breaks_it(because, name, attempt):
    assert broken_by(attempt) == name


def test_a_plan_may_be_asked_about_again_when_the_last_question_has_ended(because):
    plan_id = uuid7()
    for _ in range(2):
        question = rows.approval(plan_id=plan_id)
        Approval.objects.filter(pk=question.pk).update(state="lapsed", ended_at=NOW)
    rows.approval(plan_id=plan_id)
    rows.settle()


# ── who answers, and what ───────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_shows_in_its_own_row_that_it_was_allowed(because):
    barred = rows.identity().pk
    question, who = rows.approval(), rows.approver()
    Plan.objects.filter(pk=question.plan_id).update(requesters=[barred])
    given = rows.answer(approval=question, user=who, barred=[], asked_at=None, role_since=None)
    kept = Answer.objects.get(pk=given.pk)
    assert (kept.identity_id, kept.asked_at) == (who.identity_id, NOW)
    assert barred in kept.barred
    assert kept.role_since == Role.objects.get(user=who).since


def test_an_answer_can_not_claim_another_identity_or_an_older_role(because):
    question, who, another = rows.approval(), rows.approver(), rows.identity()
    Plan.objects.filter(pk=question.plan_id).update(requesters=[who.identity_id])

    def attempt() -> None:
        Answer.objects.create(
            tenant_id=question.tenant_id, approval=question, user=who, identity=another, is_yes=True, reason="seen",
            at=NOW, cause_id=1, barred=[], asked_at=NOW, role_since=NOW - dt.timedelta(days=900),
        )  # fmt: skip

    assert broken_by(attempt) == "governance_answer_not_by_who_is_barred"


def test_an_owner_and_the_subject_itself_are_barred(because):
    account = rows.ended()
    for identity_of in (account, rows.account()):
        who = rows.approver()
        type(account).objects.filter(pk=identity_of.pk).update(identity_id=who.identity_id)
        if identity_of is not account:
            rows.ownership(account=account, owner=identity_of, state="accepted", answered_at=NOW)
        wish = rows.plan(account=account, state="waiting", digest="d" * 64, epoch=account.epoch + identity_of.epoch)
        question = rows.approval(plan_id=wish.pk, plan_digest=wish.digest, account=account)
        attempt = lambda q=question, w=who: rows.answer(approval=q, user=w)  # noqa: E731
        assert broken_by(attempt) == "governance_answer_not_by_who_is_barred"


@pytest.mark.parametrize("state", ["approved", "rejected", "lapsed", "void"])
def test_a_question_that_has_ended_takes_no_answer(because, state):
    question = rows.approval()
    Approval.objects.filter(pk=question.pk).update(state=state, ended_at=NOW)
    assert broken_by(lambda: rows.answer(approval=question)) == "RC020"


def test_a_question_past_its_end_takes_no_answer_though_no_sweep_has_run(because):
    question = rows.approval(until=NOW - dt.timedelta(seconds=1))
    assert question.state == "open"
    assert broken_by(lambda: rows.answer(approval=question)) == "RC020"


def test_a_question_of_another_tenant_takes_no_answer(make_tenant, tenant):
    with scope(tenant=make_tenant("other").pk, cause=a_cause()):
        foreign = rows.approval()
    with scope(tenant=tenant.pk, cause=a_cause()):
        assert broken_by(lambda: rows.answer(approval=foreign)) == "RC020"


def test_a_question_begins_open(because):
    assert broken_by(lambda: rows.approval(state="approved", ended_at=NOW)) == "RC022"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "plan"},
        {"plan_id": uuid7()},
        {"plan_digest": "e" * 64},
        {"account": None},
        {"review_id": uuid7()},
        {"lasts_until": LATER},
        {"needs": 2},
        {"asked_at": LATER},
        {"asked_by": "another"},
        {"until": LATER + dt.timedelta(days=1)},
        {"role_name": "security"},
        {"barred": []},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_question_asks_never_changes(because, change):
    account = rows.ended()
    type(account).objects.filter(pk=account.pk).update(identity=rows.identity())
    wish = rows.plan(account=account, state="waiting", digest="d" * 64)
    question = rows.approval(plan_id=wish.pk, plan_digest=wish.digest, account=account)
    assert broken_by(lambda: Approval.objects.filter(pk=question.pk).update(**change)) == "RC023"


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (rows.approval, {"title": "May another come back?"}),
        (rows.approval, {"facts": {"asked_by_identity": "somebody else"}}),
        (rows.review, {"evidence": {"last_used_at": "yesterday"}}),
    ],
)
def test_what_people_saw_when_they_answered_never_changes(because, make, change):
    row = make()
    assert broken_by(lambda: type(row).objects.filter(pk=row.pk).update(**change)) == "RC006"


def test_a_question_that_has_ended_stays_so(because):
    question = rows.approval()
    this = Approval.objects.filter(pk=question.pk)
    this.update(state="rejected", ended_at=NOW)
    assert broken_by(lambda: this.update(state="approved")) == "RC024"
    assert broken_by(lambda: this.update(state="open", ended_at=None)) == "RC024"


# ── what a permit says of its answers ───────────────────────────────────────────────────────────────────────────


class Asked:
    """A question about an ended account, and the answers that it got."""

    def __init__(self, *, needs: int = 1) -> None:
        self.account = rows.ended()
        self.wish = rows.plan(account=self.account, state="waiting", digest="d" * 64)
        self.question = rows.approval(
            plan_id=self.wish.pk, plan_digest=self.wish.digest, account=self.account, needs=needs
        )

    def answer(self, *, is_yes: bool = True) -> Any:
        """Somebody new answers. Returns their identity's key."""
        return rows.answer(approval=self.question, is_yes=is_yes).identity_id

    def permit(self, *answered_by: Any, **values: Any) -> Any:
        """A permit that names these answers."""
        given: dict[str, Any] = {"account": self.account, "exception": None, "approval_id": self.question.pk}
        return rows.permit(**(given | {"answered_by": list(answered_by)} | values))


def test_a_permit_names_the_answers_that_were_given(because):
    asked = Asked(needs=2)
    assert asked.permit(asked.answer(), asked.answer()).pk is not None


@pytest.mark.parametrize("needs", [1, 2])
def test_a_permit_without_enough_answers_is_refused(because, needs):
    asked = Asked(needs=needs)
    given = [asked.answer() for _ in range(needs - 1)]
    assert broken_by(lambda: asked.permit(*given)) == "RC021"
    assert broken_by(lambda: asked.permit(*given, rows.identity().pk)) == "RC021"


def test_one_person_named_twice_is_one_answer(because):
    asked = Asked(needs=2)
    who = asked.answer()
    assert broken_by(lambda: asked.permit(who, who)) == "RC021"


def test_a_no_is_no_yes_and_stops_the_permit_of_the_others(because):
    asked = Asked()
    said_no = asked.answer(is_yes=False)
    assert broken_by(lambda: asked.permit(said_no)) == "RC021"
    said_yes = asked.answer()
    assert broken_by(lambda: asked.permit(said_yes)) == "RC021"


def test_a_permit_can_not_forget_who_was_barred(because):
    asked = Asked()
    requester = rows.identity().pk
    Plan.objects.filter(pk=asked.wish.pk).update(requesters=[requester])
    who = asked.answer()
    assert broken_by(lambda: asked.permit(who)) == "RC021"
    assert asked.permit(who, barred=[requester]).barred == [requester]


def test_a_permit_of_an_invented_question_is_refused(because):
    asked = Asked()
    who = asked.answer()
    assert broken_by(lambda: asked.permit(who, approval_id=uuid7())) == "RC021"


def test_a_permit_is_for_what_its_question_was_about(because):
    asked = Asked()
    who = asked.answer()
    plan = {"act": "execute_plan", "plan_id": asked.wish.pk, "plan_hash": asked.wish.digest}
    for other in ({"account": rows.ended()}, {"epoch": asked.account.epoch + 1}, plan):
        assert broken_by(lambda given=other: asked.permit(who, **given)) == "RC025"
    assert asked.permit(who).pk is not None
