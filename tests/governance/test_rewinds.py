"""A rewind of a feed: asked by who administers its system, with its effect shown; answered by one other; done once."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from accounts.models import RoleName, Tenant, User
from accounts.rules import Refused
from audit.keys import uuid7
from audit.models import JournalEntry
from governance import approvals, rewinds
from governance.models.approval import Approval
from governance.models.notice import Notice
from provisioning import cursors, systems
from provisioning.models import Cursor, FeedEvent, Listening, Received, Run, Snapshot
from provisioning.models.exchange import Exchange, OutcomeWord
from tests.factories.governance import a_connection, a_role, a_system, now, staff

if TYPE_CHECKING:
    from accounts.models.system import System
    from audit.models import Cause

MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def at() -> dt.datetime:
    return now().replace(microsecond=0)


@pytest.fixture
def system(tenant: Tenant, because: Cause, at: dt.datetime) -> System:
    made = a_system(tenant, at=at)
    a_connection(made, read_at=at)
    return made


def position(moment: dt.datetime) -> dict[str, str]:
    return {"modified": moment.isoformat()}


def followed(system: System, at: dt.datetime, *, stream: str = "scim-delta/Users") -> Cursor:
    """One that stands where everything was heard up to `at`."""
    made = cursors.follow(system=system, stream=stream, cadence_minutes=5, at=at)
    run = Run.objects.create(tenant_id=system.tenant_id, system=system, started_by="a test", started_at=at,
                             state="closed", ended_at=at)  # fmt: skip
    read = Snapshot.objects.create(tenant_id=system.tenant_id, run=run, system=system, state="complete", started_at=at)
    cursors.go_on(made, position=position(at), reading=read, at=at)
    return made


@pytest.fixture
def cursor(system: System, at: dt.datetime) -> Cursor:
    return followed(system, at)


@pytest.fixture
def admin(tenant: Tenant, because: Cause, at: dt.datetime) -> User:
    return staff(tenant, "k.osei", RoleName.ADMINISTRATOR, at=at)


@pytest.fixture
def chen(tenant: Tenant, because: Cause, at: dt.datetime) -> User:
    return staff(tenant, "l.chen", RoleName.SECURITY, at=at)


def asked(cursor: Cursor, admin: User, at: dt.datetime, **values: Any) -> Approval:
    given = {"cursor": cursor, "to": position(at - DAY), "asked_by": admin, "reason": "a bug of ours", "at": at}
    return approvals.ask_rewind(**(given | values))


def yes(question: Approval, user: User, at: dt.datetime) -> Approval:
    return approvals.answer(approval=question, user=user, is_yes=True, reason="seen", at=at)


def stands(cursor: Cursor) -> tuple[Any, int]:
    found = Cursor.objects.get(pk=cursor.pk)
    return found.position, found.epoch


def test_one_security_person_says_yes_and_it_is_done_in_that_moment_and_once(
    cursor: Cursor, admin: User, chen: User, tenant: Tenant, at: dt.datetime
) -> None:
    other = staff(tenant, "m.ito", RoleName.SECURITY, at=at)
    cursors.fresh(cursor, {"a": at})
    question = asked(cursor, admin, at)
    assert (question.kind, question.needs, question.state, question.until) == ("rewind", 1, "open", at + 7 * DAY)
    assert question.title == (
        f"May the feed scim-delta/Users of Okta be listened to once more from {at - DAY:%Y-%m-%d %H:%M} UTC?"
    )
    assert {name: question.facts[name] for name in ("cursor", "stream", "to", "epoch")} == {
        "cursor": str(cursor.pk), "stream": "scim-delta/Users", "to": position(at - DAY), "epoch": 1,
    }  # fmt: skip
    assert stands(cursor) == (position(at), 1)
    done = yes(question, chen, at + HOUR)
    assert (done.state, done.ended_because) == (
        "approved", f"it is listened to once more from {at - DAY:%Y-%m-%d %H:%M} UTC",
    )  # fmt: skip
    assert stands(cursor) == (position(at - DAY), 2)
    assert (Listening.objects.get().due_at, FeedEvent.objects.count()) == (at + HOUR, 0)
    rewound = JournalEntry.objects.filter(event="feed.rewound").values_list("sentence", flat=True)
    assert [sentence.endswith("Asked by k.osei: a bug of ours") for sentence in rewound] == [True]
    with pytest.raises(Refused, match="the question is approved"):
        yes(question, other, at + HOUR)
    assert stands(cursor) == (position(at - DAY), 2)


def test_a_no_rejects_it_and_nothing_is_listened_to_again(
    cursor: Cursor, admin: User, chen: User, at: dt.datetime
) -> None:
    question = asked(cursor, admin, at)
    done = approvals.answer(approval=question, user=chen, is_yes=False, reason="not needed", at=at)
    assert (done.state, stands(cursor)) == ("rejected", (position(at), 1))


def test_whoever_asked_or_administers_the_system_may_not_answer_and_the_database_says_the_same(
    cursor: Cursor, system: System, admin: User, chen: User, tenant: Tenant, at: dt.datetime
) -> None:
    a_role(admin, RoleName.SECURITY, tenant, since=at - 90 * DAY)
    question = asked(cursor, admin, at)
    assert question.barred == [admin.identity_id]
    with pytest.raises(Refused, match="you asked for it"):
        yes(question, admin, at)
    systems.add_administrator(system=system, identity=chen.identity_id, at=at)
    with pytest.raises(Refused, match="you administer it"):
        yes(question, chen, at)
    with pytest.raises(IntegrityError, match="governance_answer_not_by_who_is_barred"), transaction.atomic():
        question.answers.create(
            tenant=tenant, user=chen, identity_id=chen.identity_id, is_yes=True, reason="by hand", at=at, cause_id=1
        )
    systems.end_administrator(system=system, identity=chen.identity_id, at=at)
    with pytest.raises(Refused, match="in the last 30 days"):
        yes(question, chen, at)
    late = staff(tenant, "new", RoleName.SECURITY, at=at, since=-HOUR)
    with pytest.raises(Refused, match="your role is younger than the question"):
        yes(question, late, at + 2 * HOUR)
    other = staff(tenant, "p.lind", RoleName.ADMINISTRATOR, at=at)
    with pytest.raises(Refused, match="Replaying the ledger needs"):
        yes(question, other, at)
    assert stands(cursor) == (position(at), 1)


def test_who_says_how_a_system_is_listened_to_counts_as_asking(
    system: System, cursor: Cursor, admin: User, chen: User, tenant: Tenant, at: dt.datetime
) -> None:
    assert systems.requesters(system=system, at=at) == set()
    question = asked(cursor, admin, at)
    systems.administered(system, because=cursors.Because.ADMINISTERS, who=chen.identity_id, at=at, until=at)
    with pytest.raises(Refused, match="you administer it"):
        yes(question, chen, at)


def test_what_a_question_about_a_feed_asks_never_changes(
    cursor: Cursor, admin: User, tenant: Tenant, at: dt.datetime
) -> None:
    question = asked(cursor, admin, at)
    for values in (
        {"facts": question.facts | {"to": position(at - 9 * DAY)}},
        {"system": a_system(tenant, "B", at=at)},
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            Approval.objects.filter(pk=question.pk).update(**values)


def test_of_a_system_one_rewind_is_asked_for_at_a_time_beside_an_exception(
    cursor: Cursor, system: System, admin: User, at: dt.datetime
) -> None:
    groups = followed(system, at, stream="scim-delta/Groups")
    systems.change_policy(system=system, policy="automatic", reason="lab", at=at)  # type: ignore[arg-type]
    exception = approvals.ask_returns(system=system, asked_by=admin, reason="a lab", until=at + 30 * DAY, at=at)
    first = asked(cursor, admin, at)
    assert asked(cursor, admin, at, reason="again") == first
    for values in ({"to": position(at - 2 * DAY)}, {"cursor": groups}):
        with pytest.raises(approvals.CantAsk, match="Another rewind of Okta waits"):
            asked(**({"cursor": cursor, "admin": admin, "at": at} | values))  # type: ignore[arg-type]
    assert {exception.pk, first.pk} == set(Approval.objects.values_list("pk", flat=True))


def test_what_can_not_be_asked_is_said(
    cursor: Cursor, system: System, admin: User, chen: User, at: dt.datetime
) -> None:
    with pytest.raises(Refused, match="Connecting or changing a system needs"):
        asked(cursor, chen, at)
    with pytest.raises(approvals.BadAnswer, match="write a reason"):
        asked(cursor, admin, at, reason=" ")
    for to in ({"modified": "soon"}, {"page": 3}, {"modified": "1200-01-01T00:00:00+00:00"}):
        with pytest.raises(approvals.BadAnswer, match="no time that this feed can begin at"):
            asked(cursor, admin, at, to=to)
    for to in (position(at), position(at + DAY)):
        with pytest.raises(approvals.BadAnswer, match=f"It stands at {at:%F %H:%M} UTC: choose a time before that"):
            asked(cursor, admin, at, to=to)
    cursors.lose(cursor, because="gone", at=at)
    with pytest.raises(approvals.CantAsk, match="It is not followed now"):
        asked(cursor, admin, at)
    systems.end_system(system=system, reason="gone", at=at)
    with pytest.raises(approvals.CantAsk, match="has ended"):
        asked(cursor, admin, at)
    assert not Approval.objects.exists()


@pytest.mark.parametrize("end", ["gap", "stop", "rewind"])
def test_a_question_is_void_once_its_feed_has_begun_anew(
    cursor: Cursor, admin: User, chen: User, at: dt.datetime, end: str
) -> None:
    question = asked(cursor, admin, at)
    assert (approvals.has_something_to_lapse(at=at), approvals.lapse_due(at=at)) == (False, 0)
    if end == "gap":
        cursors.lose(Cursor.objects.get(), because="gone", at=at)
    elif end == "stop":
        cursors.stop(cursor=cursor, reason="no more", at=at)
    else:
        cursors.rewind(cursor=cursor, to=position(at - HOUR), reason="another", at=at)
    before = stands(cursor)
    with pytest.raises(approvals.Stale, match=r"has begun anew since that was asked\. Nothing was written"):
        yes(question, chen, at)
    assert approvals.has_something_to_lapse(at=at) is True
    assert approvals.lapse_due(at=at) == 1
    question.refresh_from_db()
    assert (question.state, stands(cursor)) == ("void", before)
    assert approvals.lapse_due(at=at) == 0


def test_silence_for_seven_days_means_no(cursor: Cursor, admin: User, at: dt.datetime) -> None:
    question = asked(cursor, admin, at)
    assert approvals.lapse_due(at=at + 7 * DAY - MINUTE) == 0
    assert approvals.lapse_due(at=at + 7 * DAY) == 1
    question.refresh_from_db()
    assert (question.state, stands(cursor)) == ("lapsed", (position(at), 1))


def test_a_system_that_has_ended_is_not_listened_to_again(
    cursor: Cursor, system: System, admin: User, chen: User, at: dt.datetime
) -> None:
    question = asked(cursor, admin, at)
    systems.end_system(system=system, reason="gone", at=at)
    with pytest.raises(approvals.Stale, match="the system has ended; nothing was written"):
        yes(question, chen, at)


def test_whoever_may_answer_is_told_and_nobody_else(
    cursor: Cursor, admin: User, chen: User, tenant: Tenant, at: dt.datetime
) -> None:
    staff(tenant, "auditor", RoleName.AUDITOR, at=at)
    question = asked(cursor, admin, at)
    told = Notice.objects.filter(dedupe_key__startswith=f"approval:{question.pk}:open:")
    assert [(one.subject, one.to_address) for one in told] == [(f"[Acme] {question.title}", chen.email)]


def an_exchange(system: System, outcome: OutcomeWord = OutcomeWord.APPLIED) -> None:
    Exchange.objects.create(
        tenant_id=system.tenant_id, system=system, token_id=uuid7(), cause_id=1, method="POST", path="/Users",
        intent="create", outcome=outcome, request_digest="d", status=200,
    )  # fmt: skip


def a_received(cursor: Cursor, *, source: str = "feed") -> None:
    Received.objects.create(
        tenant_id=cursor.tenant_id, system=cursor.system, token_id=cursor.pk, source=source, method="FEED",
        path="/Users", resource_type="User", lane="l", request_digest="d", base="",
    )  # fmt: skip


def test_its_effect_is_counted_in_two_queries_and_up_to_a_bound(
    cursor: Cursor, system: System, tenant: Tenant, at: dt.datetime, django_assert_num_queries: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    other = a_system(tenant, "B", at=at)
    for number in (1, 3):
        while Received.objects.filter(source="feed").count() < number:
            an_exchange(system)
            a_received(cursor)
        an_exchange(system, OutcomeWord.REJECTED)
        an_exchange(other)
        a_received(cursor, source="respond-async")
        with django_assert_num_queries(2):
            found = rewinds.foreseen(cursor=cursor, to=position(at - DAY), at=at)
        assert found == rewinds.Effect(since=at - DAY, until=at, exchanges=number, received=number)
    monkeypatch.setattr(rewinds, "MOST_COUNTED", 2)
    found = rewinds.foreseen(cursor=cursor, to=position(at - DAY), at=at)
    assert [sentence.split(" of ")[0].split(" came")[0] for sentence in found.sentences()[:2]] == [
        "Since then we took in more than 2 exchanges", "more than 2 events",
    ]  # fmt: skip
