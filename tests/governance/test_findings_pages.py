"""The inbox of findings on pages: first due first, by what a count on another page counted, never all clear unseen."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from accounts import findings as door
from accounts.models import RoleName, User
from accounts.models.finding import Finding, FindingKind, Severity
from audit.keys import uuid7
from audit.scope import scope
from governance import dashboard
from provisioning.models.run import Run
from tests.conftest import a_cause
from tests.factories.governance import a_connection, a_finding, a_person, a_system, now
from tests.governance.shell import a_user, enter

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

PAGE = "/t/acme/admin/findings/"
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


@pytest.fixture
def chen(tenant: Tenant) -> User:
    return a_user("l.chen", RoleName.SECURITY, tenant=tenant)


@pytest.fixture
def security(client: Client, chen: User) -> Client:
    return enter(client, chen)


def text_of(answer: HttpResponse) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def listed(client: Client, query: str = "") -> list[str]:
    html = client.get(f"{PAGE}?{query}").content.decode()
    return re.findall(r'<th scope="row"><div class="breaks"><a [^>]*>([^<]+)</a>', html)


def test_what_is_due_first_stands_first_and_what_is_over_is_red(security: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        for title, due in (("later", 2 * DAY), ("never", None), ("overdue", -6 * DAY - HOUR), ("soon", 3 * HOUR)):
            a_finding(FindingKind.NOT_MEASURED, title, at=at, due_at=None if due is None else at + due)
        a_finding(FindingKind.NOT_MEASURED, "worse", at=at, severity=Severity.CRITICAL)
    assert listed(security) == ["overdue", "soon", "later", "worse", "never"]
    html = security.get(PAGE).content.decode()
    states = re.findall(r'<span class="state state-(\w+)"><svg.*?</svg>([^<]* (?:left|overdue))</span>', html)
    assert states == [("broken", "6 d overdue"), ("differs", "2 h left")]


def test_the_counts_by_age_of_the_front_page_are_as_long_as_their_lists(security: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        for days in (0, 2, 3, 8, 31, 40, 41):
            # An hour off each bound, so that the clock of the second request tells the same ages.
            seen = at - days * DAY - (HOUR if days else dt.timedelta())
            a_finding(FindingKind.NOT_MEASURED, f"old {days}", at=seen, due_at=at + (35 - days) * DAY)
        excepted = a_finding(FindingKind.NOT_MEASURED, "excepted", at=at)
        Finding.objects.filter(pk=excepted.pk).update(state="excepted")
        front = dashboard.front(tenant=tenant, at=at)
    counts = {"day": front.findings.day, "week": front.findings.week, "month": front.findings.month}
    counts["older"] = front.findings.older
    assert counts == {"day": 1, "week": 2, "month": 1, "older": 3}
    assert {age: len(listed(security, f"age={age}")) for age in counts} == counts
    assert len(listed(security, "show=overdue")) == front.findings.overdue == 2
    html = security.get("/t/acme/admin/").content.decode()
    assert all(f'href="{PAGE}?age={age}"' in html for age in counts)
    assert f'href="{PAGE}?show=overdue"' in html


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["differs", "expires", "mine"]),
        ("show=mine", ["mine"]),
        ("show=excepted", ["excepted"]),
        ("show=resolved", ["resolved"]),
        ("show=all", ["differs", "excepted", "expires", "mine", "resolved"]),
        ("kind=differences", ["differs"]),
        ("kind=expires", ["expires"]),
        ("show=%00&kind=x&age=old&run=1&system=a&account=b", ["differs", "expires", "mine"]),
    ],
)
def test_the_list_shows_what_its_filter_asks_for(
    security: Client, chen: User, tenant: Tenant, query: str, found: list[str]
) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_finding(FindingKind.STATUS_DIFFERS, "differs", at=now())
        a_finding(FindingKind.EXPIRES, "expires", at=now())
        door.assign(finding=a_finding(FindingKind.NO_OWNER, "mine", at=now()), to=chen)
        door.call_false(finding=a_finding(FindingKind.NO_OWNER, "resolved", at=now()), reason="x", at=now())
        excepted = a_finding(FindingKind.NO_OWNER, "excepted", at=now())
        Finding.objects.filter(pk=excepted.pk).update(state="excepted")
    assert sorted(listed(security, query)) == found


def test_findings_of_one_system_and_of_one_account(security: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        system, account = a_system(tenant, at=at), a_person(tenant, "k.osei", at=at)
        a_finding(FindingKind.STATUS_DIFFERS, "there", at=at, system=system.pk)
        a_finding(FindingKind.EXPIRES, "theirs", at=at, account=account.pk)
    assert listed(security, f"system={system.pk}") == ["there"]
    assert listed(security, f"account={account.pk}") == ["theirs"]


def test_a_run_is_told_by_what_was_open_while_it_read(security: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = a_system(tenant, at=at)
        run = Run.objects.create(
            tenant=tenant, system=system, started_by="x", started_at=at - HOUR, ended_at=at - HOUR / 2, state="closed"
        )
        for title, seen in (("before", at - 2 * DAY), ("by it", at - HOUR * 0.75), ("after", at)):
            a_finding(FindingKind.STATUS_DIFFERS, title, at=seen, system=system.pk)
        Finding.objects.filter(title="before").update(last_seen_at=at - HOUR * 1.5)
        a_finding(FindingKind.STATUS_DIFFERS, "long gone", at=at - 2 * DAY, system=system.pk)
        door.resolve(["long gone"], because="x", at=at - DAY)
        a_finding(FindingKind.STATUS_DIFFERS, "closed by it", at=at - DAY, system=system.pk)
        door.resolve(["closed by it"], because="x", at=at - HOUR * 0.75)
    assert sorted(listed(security, f"run={run.pk}")) == ["before", "by it"]
    assert listed(security, f"run={run.pk}&what=opened") == ["by it"]
    assert listed(security, f"run={run.pk}&what=closed") == ["closed by it"]
    assert "What one reading of Okta opened." in text_of(security.get(f"{PAGE}?run={run.pk}&what=opened"))


def test_no_finding_is_not_all_clear_while_a_system_is_grey(security: Client, tenant: Tenant) -> None:
    assert "No open finding , and every system is measured." in text_of(security.get(PAGE))
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_connection(a_system(tenant, at=now()), read_at=None)
    assert "No open finding ; 1 system grey , so not all clear." in text_of(security.get(PAGE))
    assert "No finding in this filter ; 1 system grey , so not all clear." in text_of(
        security.get(f"{PAGE}?kind=expires")
    )


def test_a_finding_says_what_it_is_what_closes_it_and_which_verb_is_over(security: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = a_system(tenant, at=at)
        run = Run.objects.create(
            tenant=tenant, system=system, started_by="x", started_at=at, ended_at=at, state="closed"
        )
        evidence = {"run": str(run.pk), "here": "active", "there": "inactive", "remote_id": "77", "read_since": None}
        found = a_finding(
            FindingKind.STATUS_DIFFERS, "k.osei: inactive at Okta, active here", at=at, system=system.pk,
            evidence=evidence,
        )  # fmt: skip
    url = f"{PAGE}{found.pk}/"
    page = text_of(security.get(url))
    assert "Closes when a complete reading shows both sides equal" in page
    assert "here it is active there it is inactive id there 77" in page
    assert f"Seen by {run}" in page
    assert security.post(f"{url}acknowledge/", {"reason": "looking"}).status_code == 302
    page = text_of(security.get(url))
    assert "Acknowledge : it is acknowledged, and can't become that from there" in page
    assert security.post(f"{url}take/", {"reason": "mine"}).status_code == 302
    assert "Give back" in text_of(security.get(url))


@pytest.mark.parametrize(
    ("word", "by", "says", "leads"),
    [
        ("lost_event", {}, "Never said: nothing that says so has arrived here", ""),
        (
            "refused",
            "exchange",
            "Said, and refused here: its system said so, and was refused. The exchange",
            "/ledger/{id}/",
        ),
        ("parked", "received", "What waits stands above the ledger", "/ledger/?system={system}"),
        ("mapping_change", "rule", "A rule was changed since: what its system had said", "/systems/{system}/"),
        ("local_change", "cause", "Changed here since: somebody, or a sweep of ours, changed it", ""),
    ],
)
def test_a_finding_says_why_no_event_had_told_of_it_and_leads_to_what_decided_that(
    security: Client, tenant: Tenant, word: str, by: str, says: str, leads: str
) -> None:
    at, key = now(), str(uuid7())
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = a_system(tenant, at=at)
        found = a_finding(
            FindingKind.STATUS_DIFFERS, "k.osei differs", at=at, system=system.pk, attribution=word,
            attributed_by={"kind": by, "id": key} if by else {},
        )  # fmt: skip
    answer = security.get(f"{PAGE}{found.pk}/")
    assert "Why no event had said so" in text_of(answer)
    assert says in text_of(answer)
    assert leads.format(id=key, system=system.pk) in answer.content.decode()
    assert (f"cause {key}" in text_of(answer)) == (by == "cause")


def test_a_finding_that_no_event_could_have_told_of_says_nothing_about_events(security: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        found = a_finding(FindingKind.NOT_MEASURED, "Okta was not read", at=at)
    assert "Why no event had said so" not in text_of(security.get(f"{PAGE}{found.pk}/"))
