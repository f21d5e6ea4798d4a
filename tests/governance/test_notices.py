"""What is told to whom, once, and how it leaves."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend

from accounts import findings, ownership
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.user import RoleName
from governance import campaigns, notices, reviews, sending
from governance.lines import Query
from governance.models.campaign import Silence
from governance.models.notice import Notice
from tests.factories.governance import a_finding, a_person, a_service, a_system, a_user, now, staff

if TYPE_CHECKING:
    from accounts.models import Account, Tenant
    from audit.models import Cause
    from governance.models.campaign import Campaign


@pytest.fixture
def at() -> dt.datetime:
    """The database's clock is compared with: these tests happen now."""
    return now()


@pytest.fixture
def owner(tenant: Tenant, because: Cause, at: dt.datetime) -> Account:
    """Who answers for what these tests are about; security is l.chen."""
    staff(tenant, "l.chen", RoleName.SECURITY, at=at)
    return a_person(tenant, "a.ruiz", at=at)


def told() -> dict[str, list[str]]:
    """Subjects by address."""
    found: dict[str, list[str]] = {}
    for notice in Notice.objects.order_by("made_at", "subject"):
        found.setdefault(notice.to_address, []).append(notice.subject)
    return found


def write(at: dt.datetime) -> None:
    """Until nothing is left, without the findings that these factories open by the way."""
    findings.resolve(
        Finding.objects.filter(dedupe_key__startswith="no_owner:").values_list("dedupe_key", flat=True),
        because="not what this is about", at=at,
    )  # fmt: skip
    while notices.write_for_findings(at=at):
        pass


# -- findings


def expires(account: Account, stage: str, at: dt.datetime) -> Finding:
    """The finding of the expiry sweep, at a stage."""
    return a_finding(
        FindingKind.EXPIRES, f"expires:{account.pk}", title=f"{account.user_name} ends 2027-01-01",
        account=account.pk, stage=stage, due_at=at + dt.timedelta(days=int(stage)), at=at,
    )  # fmt: skip


def test_what_expires_is_told_to_its_owner_once_for_each_stage(tenant: Tenant, owner: Account, at: dt.datetime) -> None:
    account = a_service(tenant, "svc-deploy", at=at, owner=owner)
    expires(account, "30", at)
    write(at)
    write(at)
    assert told() == {"a.ruiz@acme.example": ["[Acme] svc-deploy ends 2027-01-01"]}
    expires(account, "14", at + dt.timedelta(hours=2))
    write(at)
    assert len(told()["a.ruiz@acme.example"]) == 2
    notice = Notice.objects.order_by("id").first()
    assert notice is not None
    assert notice.body.splitlines() == [
        "svc-deploy ends 2027-01-01.",
        f"Since: {at:%Y-%m-%d %H:%M} UTC",
        f"Due: {at + dt.timedelta(days=30):%Y-%m-%d %H:%M} UTC",
        "",
        "It is suspended when it ends, and ended 30 days after. Ask security to renew it, or let it end.",
        f"{settings.ROLLCALL_PUBLIC_URL}/t/acme/admin/accounts/{account.pk}/",
    ]


def test_what_expires_without_an_owner_is_told_to_security(tenant: Tenant, owner: Account, at: dt.datetime) -> None:
    expires(a_service(tenant, "svc-alone", at=at), "7", at)
    write(at)
    assert told() == {"l.chen@acme.example": ["[Acme] svc-alone ends 2027-01-01"]}


def test_an_offer_that_was_not_accepted_makes_no_owner(tenant: Tenant, owner: Account, at: dt.datetime) -> None:
    account = a_service(tenant, "svc-deploy", at=at)
    ownership.offer(account=account, owner=owner, at=at)
    expires(account, "7", at)
    write(at)
    assert list(told()) == ["l.chen@acme.example"]


@pytest.mark.parametrize(
    "kind", [FindingKind.MASS_REDUCTION, FindingKind.NOT_MEASURED, FindingKind.SWEEP_FAILED, FindingKind.NO_OWNER]
)
def test_what_is_wrong_with_a_system_or_a_sweep_is_told_to_security(
    tenant: Tenant, owner: Account, at: dt.datetime, kind: FindingKind
) -> None:
    system = a_system(tenant, at=at)
    a_finding(kind, f"wrong:{kind}", title="it is wrong", system=system.pk, at=at)
    write(at)
    assert told() == {"l.chen@acme.example": ["[Acme] it is wrong"]}
    assert "System: Okta" in Notice.objects.get().body


def test_what_is_still_active_is_told_to_owner_and_security(tenant: Tenant, owner: Account, at: dt.datetime) -> None:
    account = a_service(tenant, "svc-deploy", at=at, owner=owner)
    a_finding(FindingKind.STILL_ACTIVE, "still", title="still active", account=account.pk, at=at)
    write(at)
    assert set(told()) == {"l.chen@acme.example", "a.ruiz@acme.example"}


def test_other_findings_wait_in_the_inbox_and_handled_ones_are_not_told(
    tenant: Tenant, owner: Account, at: dt.datetime
) -> None:
    a_finding(FindingKind.FIELD_DIFFERS, "field", at=at)
    handled = a_finding(FindingKind.NOT_MEASURED, "grey", at=at)
    findings.call_false(finding=handled, reason="a drill", at=at)
    write(at)
    assert told() == {}


def test_a_finding_that_comes_again_is_told_again(tenant: Tenant, owner: Account, at: dt.datetime) -> None:
    a_finding(FindingKind.NOT_MEASURED, "grey", at=at)
    write(at)
    findings.resolve(["grey"], because="read again", at=at)
    findings.open_or_raise(
        [findings.Wrong(kind=FindingKind.NOT_MEASURED, key="grey", title="grey", severity=Severity.HIGH)],
        at=at,
    )
    write(at)
    assert len(told()["l.chen@acme.example"]) == 2


def test_where_nobody_can_be_told_the_silence_is_on_record(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    a_finding(FindingKind.NOT_MEASURED, "grey", at=at)
    write(at)
    notice = Notice.objects.get()
    assert (notice.to_address, notice.problem) == ("", "security has no mail address: nobody was told")
    assert sending.send_due(at=at) == sending.Sent()
    assert not notices.has_something_to_tell(at=at)


def test_what_a_line_of_a_subject_can_not_hold_becomes_a_space(tenant: Tenant, owner: Account, at: dt.datetime) -> None:
    a_finding(FindingKind.NOT_MEASURED, "grey", title="grey\r\nBcc: everyone@example", at=at)
    write(at)
    assert Notice.objects.get().subject == "[Acme] grey Bcc: everyone@example"


def test_writing_takes_as_many_queries_for_three_findings_as_for_thirty(
    tenant: Tenant, owner: Account, at: dt.datetime, django_assert_num_queries: Any
) -> None:
    counts = []
    for many in (3, 30):
        for n in range(many):
            account = a_service(tenant, f"svc-{many}-{n}", at=at, owner=owner)
            expires(account, "7", at)
        with django_assert_num_queries(6) as captured:
            assert notices.write_for_findings(at=at) == many
        counts.append(len(captured))
    assert counts[0] == counts[1]


# -- campaigns


def launched(tenant: Tenant, owner: Account, at: dt.datetime, *, days: int) -> Campaign:
    """A campaign with one line of a.ruiz, that ends in so many days."""
    a_user(owner, RoleName.OWNER, at=at)
    chen = staff(tenant, "m.ito", RoleName.SECURITY, at=at)
    account = a_service(tenant, "svc-deploy", at=at, owner=owner)
    draft = campaigns.draft(
        tenant=tenant, user=chen, name="Q4", query=Query(text=account.user_name), silence=Silence.SUSPEND, at=at,
        deadline=at + dt.timedelta(days=days),
    )  # fmt: skip
    return campaigns.launch(campaign=draft, user=chen, at=at)


def test_reviewers_are_reminded_three_days_and_one_day_before_the_deadline(
    tenant: Tenant, owner: Account, at: dt.datetime
) -> None:
    campaign = launched(tenant, owner, at, days=10)
    before = {
        days: notices.remind_reviewers(at=campaign.deadline - dt.timedelta(days=days)) for days in (9, 4, 3, 2, 1, 0)
    }
    assert before == {9: 0, 4: 0, 3: 1, 2: 0, 1: 1, 0: 0}
    assert [n.dedupe_key.split(":")[2] for n in Notice.objects.order_by("id")] == ["launched", "3d", "1d"]


def test_whoever_has_answered_is_not_reminded(tenant: Tenant, owner: Account, at: dt.datetime) -> None:
    campaign = launched(tenant, owner, at, days=10)
    user = owner.identity.users.get()  # type: ignore[union-attr]
    reviews.certify(review=campaign.reviews.get(), user=user, reason="", at=at)
    assert notices.remind_reviewers(at=campaign.deadline - dt.timedelta(days=1)) == 0


def test_no_reminder_follows_the_first_mail_at_once(tenant: Tenant, owner: Account, at: dt.datetime) -> None:
    launched(tenant, owner, at, days=2)
    assert notices.remind_reviewers(at=at + dt.timedelta(hours=11)) == 0
    assert notices.has_something_to_tell(at=at + dt.timedelta(hours=11)) is False
    assert notices.has_something_to_tell(at=at + dt.timedelta(hours=12)) is True
    assert notices.remind_reviewers(at=at + dt.timedelta(hours=12)) == 1


# -- sending


def queued(tenant: Tenant, at: dt.datetime, key: str = "k", **values: Any) -> Notice:
    """A notice that is due."""
    fields: dict[str, Any] = {"to_address": "a.ruiz@acme.example", "subject": "Hello", "body": "Facts"}
    return Notice.objects.create(tenant=tenant, dedupe_key=key, made_at=at, due_at=at, **(fields | values))


def test_what_is_due_leaves_as_plain_text_once(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    notice = queued(tenant, at)
    queued(tenant, at + dt.timedelta(hours=1), key="later")
    assert sending.send_due(at=at) == sending.Sent(sent=1)
    assert sending.send_due(at=at) == sending.Sent()
    message = mail.outbox[0]
    assert (message.to, message.subject, message.body) == (["a.ruiz@acme.example"], "Hello", "Facts\n")
    assert message.content_subtype == "plain"
    assert len(mail.outbox) == 1
    notice.refresh_from_db()
    assert (notice.sent_at, notice.problem) == (at, "")


def test_several_findings_for_one_person_leave_as_one_mail(tenant: Tenant, owner: Account, at: dt.datetime) -> None:
    for n in range(3):
        expires(a_service(tenant, f"svc-{n}", at=at, owner=owner), "7", at)
    write(at)
    queued(tenant, at, to_address="a.ruiz@acme.example", subject="A question", key="question")
    assert sending.send_due(at=at).sent == 2
    assert sorted(m.subject for m in mail.outbox) == ["A question", "[Acme] 3 findings"]
    digest = next(m for m in mail.outbox if m.subject == "[Acme] 3 findings")
    assert [f"svc-{n} ends 2027-01-01." in digest.body for n in range(3)] == [True, True, True]
    assert not Notice.objects.filter(sent_at__isnull=True).exists()


class Broken(EmailBackend):
    """A mail server that refuses, quoting what it was sent."""

    def send_messages(self, messages: Any) -> int:
        """Refuse."""
        raise ConnectionRefusedError(messages[0].body)


def test_a_failure_is_tried_again_later_and_after_eight_tries_is_a_finding(
    tenant: Tenant, because: Cause, at: dt.datetime, settings: Any
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Broken"
    notice = queued(tenant, at)
    when, waits = at, []
    for n in range(1, 9):
        assert sending.send_due(at=when) == sending.Sent(failed=1, given_up=int(n == 8))
        assert sending.send_due(at=when) == sending.Sent()
        notice.refresh_from_db()
        waits.append(round((notice.due_at - when).total_seconds() / 60))
        when = notice.due_at
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128]
    assert notice.problem == "given up after 8 tries: ConnectionRefusedError"
    assert sending.send_due(at=when) == sending.Sent()
    finding = Finding.objects.get(kind=FindingKind.SWEEP_FAILED)
    assert finding.title == "mails to a.ruiz@acme.example can't be delivered"
    assert "Facts" not in str(finding.evidence)

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    queued(tenant, when, key="next")
    assert sending.send_due(at=when).sent == 1
    finding.refresh_from_db()
    assert finding.state == "resolved"


def test_one_address_that_fails_stops_no_other(
    tenant: Tenant, because: Cause, at: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued(tenant, at, key="a", to_address="bad@acme.example")
    queued(tenant, at, key="b", to_address="good@acme.example")
    send = mail.EmailMessage.send

    def fails(self: mail.EmailMessage, *args: Any, **more: Any) -> int:
        if self.to == ["bad@acme.example"]:
            raise OSError("no such mailbox")
        return send(self, *args, **more)

    monkeypatch.setattr(mail.EmailMessage, "send", fails)
    assert sending.send_due(at=at) == sending.Sent(sent=1, failed=1)
    assert [m.to for m in mail.outbox] == [["good@acme.example"]]


def test_no_more_than_twenty_mails_leave_in_one_slice(tenant: Tenant, because: Cause, at: dt.datetime) -> None:
    for n in range(25):
        queued(tenant, at, key=f"k{n}")
    assert [sending.send_due(at=at).sent for _ in range(3)] == [20, 5, 0]
