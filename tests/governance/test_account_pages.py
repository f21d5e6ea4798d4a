"""The roll and one account on pages: why it is, what it reaches and because of what, who changed it, what can be done."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from accounts import lifecycle
from accounts.models import RoleName
from accounts.models.account import Account, AccountState
from accounts.models.finding import FindingKind
from accounts.models.group import Group, Membership, Origin
from accounts.models.hold import Hold, HoldKind
from audit.models import CauseKind
from audit.scope import scope
from governance import dashboard
from governance.admin import account_verbs
from governance.admin.account_facts import in_systems, lines, reaches
from governance.admin.changes import Change
from provisioning.models.connection import Connection
from provisioning.models.readback import ReadResult
from tests.conftest import a_cause
from tests.factories.governance import (
    a_connection,
    a_finding,
    a_person,
    a_readback,
    a_service,
    a_shadow,
    a_system,
    asked_back,
    now,
)
from tests.factories.scim import Idp, connect
from tests.governance.shell import a_user, enter

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

HOUR = dt.timedelta(hours=1)


@pytest.fixture
def security(client: Client, tenant: Tenant) -> Client:
    return enter(client, a_user("l.chen", RoleName.SECURITY, tenant=tenant))


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant, "Okta")


def text_of(answer: HttpResponse) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def page_of(client: Client, account: Account, query: str = "") -> str:
    answer = client.get(f"/t/acme/admin/accounts/{account.pk}/{query}")
    assert answer.status_code == 200
    return text_of(answer)


def names(answer: HttpResponse) -> list[str]:
    """The accounts of a list, in its order."""
    return re.findall(r'<th scope="row"><div><a [^>]*>([^<]+)</a>', answer.content.decode())


def account_of(idp: Idp, scim_id: str) -> Account:
    found = idp.shadow(scim_id).account
    assert found is not None
    return found


# -- what it reaches


def test_each_group_is_shown_with_every_reason_numbered_and_whether_a_reading_saw_it(
    security: Client, tenant: Tenant, idp: Idp
) -> None:
    user = idp.user("ada@example.com")
    idp.group("web-deploy", user)
    account = account_of(idp, user)
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_connection(idp.system, read_at=now())
        group = Group.objects.get(display_name="web-deploy")
        Membership.objects.create(tenant=tenant, group=group, account=account, origin=Origin.LOCAL, since=now())
        _systems, measured = in_systems(account, at=now())
        (reach,) = reaches(account, measured)
        read_at = Connection.objects.get().last_complete_at
    shown = [(r.number, r.because, r.exchange, r.seen_at, r.unseen) for r in reach.reasons]
    assert shown == [
        (1, "Okta says so", idp.last().pk, read_at, ""),
        (2, "given here", None, None, "kept here alone"),
    ]
    assert reach.where == "Okta"
    page = page_of(security, account)
    assert f"1 Okta says so, exchange …{str(idp.last().pk)[-6:]}" in page
    assert "2 given here" in page


def test_a_group_is_not_called_seen_without_a_reading_since_or_against_one(tenant: Tenant, idp: Idp) -> None:
    user = idp.user("ada@example.com")
    idp.group("web-deploy", user)
    account = account_of(idp, user)

    def unseen() -> str:
        _systems, measured = in_systems(account, at=now())
        ((reason,),) = [reach.reasons for reach in reaches(account, measured)]
        assert reason.seen_at is None
        return reason.unseen

    with scope(tenant=tenant.pk, cause=a_cause()):
        assert unseen() == "not measured"
        connection = a_connection(idp.system, read_at=now() - HOUR / 2)
        assert unseen() == "not read since"
        Connection.objects.filter(pk=connection.pk).update(last_complete_at=now())
        group = Group.objects.get()
        finding = a_finding(
            FindingKind.MEMBERSHIP_DIFFERS, "differs", at=now(), account=account.pk, system=idp.system.pk,
            subject_kind="group", subject_id=str(group.pk),
        )  # fmt: skip
        assert unseen() == "not shown there"
        _systems, measured = in_systems(account, at=now())
        assert reaches(account, measured)[0].reasons[0].finding == finding.pk


def test_reaching_nothing_is_told_apart_from_not_having_looked(security: Client, tenant: Tenant, idp: Idp) -> None:
    account = account_of(idp, idp.user("ada@example.com"))
    assert "not measured No group is known here" in page_of(security, account)
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_connection(idp.system, read_at=now())
        alone = a_person(tenant, "k.osei", at=now())
    assert "Reaches nothing , measured" in page_of(security, account)
    assert "No system knows it, so it reaches nothing that we could measure." in page_of(security, alone)


def test_a_system_that_is_not_measured_turns_its_own_row_grey_alone(tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        account = a_person(tenant, "k.osei", at=at)
        for name, read_at in (("GitHub", at), ("Old CRM", at - 3 * HOUR)):
            system = a_system(tenant, name, at=at)
            a_connection(system, read_at=read_at)
            a_shadow(system, account, at=at)
            a_readback(account, system, ReadResult.ACTIVE, at=at)
        rows, _measured = in_systems(account, at=at)
    assert [(row.shadow.system.name, row.measured and row.measured.is_measured) for row in rows] == [
        ("GitHub", True),
        ("Old CRM", False),
    ]
    assert all(row.read and row.read.result == ReadResult.ACTIVE for row in rows)


# -- what changed it


def test_what_changed_is_told_by_cause_actor_first_with_the_fields(security: Client, tenant: Tenant, idp: Idp) -> None:
    user = idp.user("ada@example.com", title="Ops")
    made = idp.last()
    account = account_of(idp, user)
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "title", "value": "SRE"})
    idp.group("web-deploy", user)
    with scope(tenant=tenant.pk, cause=a_cause(kind=CauseKind.PAGE, actor="m.ito", reason="CHG-1")):
        lifecycle.suspend(accounts=[account.pk], kind=HoldKind.MANUAL, reason="on leave", at=now())
    with scope(tenant=tenant.pk):
        found = lines(account)
    assert [(line.by.name, line.by.group) for line in found] == [
        ("m.ito", "people"), ("Okta", "directory"), ("Okta", "directory"), ("Okta", "directory"),
    ]  # fmt: skip
    assert found[0].changes == [Change("status", "active", "suspended")]
    assert found[1].changes == [Change("group", None, "web-deploy")]
    assert found[2].changes == [Change("title", "Ops", "SRE")]
    assert (found[3].changes, found[3].by.exchange) == ([], made.pk)
    # The actor stands before the sentence, and not in it again.
    assert found[0].said == ["ada@example.com suspended (by hand). on leave"]
    page = page_of(security, account)
    assert "m.ito page “CHG-1” ada@example.com suspended (by hand). on leave status active › to suspended" in page
    assert f"Okta exchange …{str(made.pk)[-6:]}" in page


def test_what_changed_is_narrowed_to_people_directories_sweeps_or_us(
    security: Client, tenant: Tenant, idp: Idp
) -> None:
    account = account_of(idp, idp.user("ada@example.com"))
    for kind, actor in ((CauseKind.PAGE, "m.ito"), (CauseKind.TASK, "sweep"), (CauseKind.COMMAND, "manage.py")):
        with scope(tenant=tenant.pk, cause=a_cause(kind=kind, actor=actor)):
            lifecycle.renew(account=account, until=now() + HOUR, reason=actor, at=now())
    with scope(tenant=tenant.pk):
        found = {group: [line.by.name for line in lines(account, group=group)] for group in ("people", "sweeps", "us")}
        assert [line.by.name for line in lines(account, group="directory")] == ["Okta"]
    assert found == {"people": ["m.ito"], "sweeps": ["sweep"], "us": ["manage.py"]}
    page = page_of(security, account, "?by=sweeps")
    assert "sweep task" in page
    assert "m.ito" not in page
    assert "m.ito" in page_of(security, account, "?by=nonsense")


# -- what can be done


def account_in(tenant: Tenant, state: AccountState, name: str) -> Account:
    at = now()
    account = a_person(tenant, name, at=at - HOUR)
    if state in {AccountState.DEPROVISIONED, AccountState.ARCHIVED}:
        lifecycle.deprovision(accounts=[account.pk], reason="left", at=at)
    if state == AccountState.ARCHIVED:
        Account.objects.filter(pk=account.pk).update(state=state)
    account.refresh_from_db()
    return account


def test_each_verb_is_off_with_its_reason_where_it_can_not_be_done(tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        active, ended, archived = (
            account_in(tenant, state, state.value)
            for state in (AccountState.ACTIVE, AccountState.DEPROVISIONED, AccountState.ARCHIVED)
        )
        assert {k for k, why in account_verbs.off(active, holds=[]).items() if why} == {"ask"}
        assert account_verbs.off(ended, holds=[]) == {
            "suspend": "", "ask": "",
            "end": "it has ended already",
            "renew": "it has ended: ask for it to come back first",
            "offer": "it has ended: ask for it to come back first",
        }  # fmt: skip
        assert set(account_verbs.off(archived, holds=[]).values()) == {"it is archived: nothing changes it any more"}
        assert account_verbs.off(ended, holds=[], is_asked=True)["ask"].startswith("it is asked back already")
        assert (
            account_verbs.off(ended, holds=[], is_known=False)["ask"]
            == "no system knows it, so none could take it back"
        )
        holds = [Hold(kind=HoldKind.MANUAL), Hold(kind=HoldKind.SECURITY)]
        assert account_verbs.off(active, holds=holds[:1])["suspend"] == ""
        assert account_verbs.off(active, holds=holds)["suspend"] == "it is held already: release the hold above first"
        assert (
            account_verbs.off(ended, holds=holds[1:])["suspend"] == "it is held already: release the hold above first"
        )


def test_a_verb_that_is_off_is_refused_to_a_form_that_was_open_meanwhile(security: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        ended = account_in(tenant, AccountState.DEPROVISIONED, "p.gone")
    for verb, form in (("end", {}), ("renew", {"until": "2030-01-01"}), ("offer", {"owner": "x"})):
        answer = security.post(f"/t/acme/admin/accounts/{ended.pk}/{verb}/", {"reason": "CHG-1", **form})
        assert answer.status_code == 403, verb
        assert "Nothing was changed: it has ended" in text_of(answer)


def test_an_ended_account_is_held_by_security_alone_and_a_hold_by_hand_is_no_choice(
    security: Client, tenant: Tenant
) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        ended = account_in(tenant, AccountState.DEPROVISIONED, "p.gone")
    url = f"/t/acme/admin/accounts/{ended.pk}/suspend/"
    assert "Hold p.gone by security?" in text_of(security.get(url))
    by_hand = security.post(url, {"reason": "CHG-1", "kind": "manual"})
    assert (by_hand.status_code, "Select a valid choice" in text_of(by_hand)) == (422, True)
    assert security.post(url, {"reason": "CHG-1", "kind": "security"}).status_code == 302
    with scope(tenant=tenant.pk):
        assert [hold.kind for hold in Hold.objects.filter(account=ended)] == ["security"]
    assert security.post(url, {"reason": "CHG-1", "kind": "security"}).status_code == 403
    assert "Hold by security : it is held already: release the hold above first" in page_of(security, ended)


def test_the_question_names_the_systems_and_what_stops(security: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        owner = a_person(tenant, "a.ruiz", at=at)
        service = a_service(tenant, "svc-deploy", at=at, owner=owner)
        for name in ("GitHub", "AWS"):
            a_shadow(a_system(tenant, name, at=at), service, at=at)
    asked = text_of(security.get(f"/t/acme/admin/accounts/{service.pk}/end/"))
    assert "End svc-deploy at 2 systems?" in asked
    assert "AWS, GitHub: read back within five minutes." in asked
    assert "that it answers for" not in asked
    asked = text_of(security.get(f"/t/acme/admin/accounts/{owner.pk}/end/"))
    assert "End a.ruiz?" in asked
    assert "1 account that it answers for needs a new owner within 7 days." in asked


def test_an_auditor_sees_every_verb_off_in_plain_words(client: Client, tenant: Tenant) -> None:
    enter(client, a_user("audra", RoleName.AUDITOR, tenant=tenant))
    with scope(tenant=tenant.pk, cause=a_cause()):
        account = a_person(tenant, "k.osei", at=now())
    page = page_of(client, account)
    for what in (
        "Suspending an account",
        "Renewing an account",
        "Offering an account to an owner",
        "Ending an account",
    ):
        assert f"{what} needs one of these roles here: security." in page
    assert not re.search(r"\b(account|ownership|reactivation)\.[a-z]+\b", page.replace("k.osei", ""))


def test_a_wish_to_come_back_stands_on_the_page_with_the_time_that_is_left(security: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        account = a_person(tenant, "k.osei", at=now() - HOUR)
        system = a_system(tenant, at=now())
        a_shadow(system, account, at=now())
        asked_back(account, system, at=now())
    page = page_of(security, account)
    assert "asked back Okta asks for it to come back. Open the question 7 h left" in page
    assert "it is asked back, and that waits for people." in page
    assert "Ask back : it is asked back already" in page


# -- the list


def test_every_count_of_the_front_page_is_as_long_as_its_list(security: Client, tenant: Tenant) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        owner = a_person(tenant, "a.ruiz", at=at)
        a_service(tenant, "svc-fine", at=at, owner=owner, last_used_at=at)
        a_service(tenant, "svc-alone", at=at)
        a_service(tenant, "svc-endless", at=at, expires_at=None)
        a_service(tenant, "svc-late", at=at - 2 * HOUR, owner=owner, expires_at=at - HOUR)
        a_service(tenant, "svc-soon", at=at, owner=owner, expires_at=at + dt.timedelta(days=5))
        gone = a_service(tenant, "svc-gone", at=at - HOUR, owner=owner, expires_at=at + dt.timedelta(days=5))
        lifecycle.deprovision(accounts=[gone.pk], reason="left", at=at)
        system = a_system(tenant, at=at)
        a_connection(system, read_at=at)
        for name in ("svc-fine", "svc-gone"):
            a_shadow(system, Account.objects.get(user_name=name), at=at)
        front = dashboard.front(tenant=tenant, at=at)
    html = security.get("/t/acme/admin/").content.decode()
    links = re.findall(r'<a href="(/t/acme/admin/accounts/[^"]*)"><b><span class="number">(\d+)</span></b>', html)
    assert len(links) == 5 + len(front.ends)
    links += re.findall(r'<a href="(/t/acme/admin/accounts/\?system=[^"]*)"><span class="number">(\d+)</span>', html)
    lists = {url: len(names(security.get(unescape(url)))) for url, _count in links}
    assert lists == {url: int(count) for url, count in links}
    assert sorted(lists.values()) == [0, 1, 1, 1, 1, 1, 2, 2, 4, 5]
    assert front.systems[0].measured.accounts == 2


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=nhi", ["svc-a", "svc-b"]),
        ("kind=person", ["a.ruiz", "k.osei"]),
        ("state=living", ["a.ruiz", "svc-a", "svc-b"]),
        ("state=deprovisioned", ["k.osei"]),
        ("with=privileged", ["svc-b"]),
        ("with=no_owner&kind=nhi", ["svc-b"]),
        ("q=SVC", ["svc-a", "svc-b"]),
        ("q=%00svc-a", ["svc-a"]),
        ("kind=%00&state=nobody&with=x&system=nothing", ["a.ruiz", "k.osei", "svc-a", "svc-b"]),
    ],
)
def test_the_list_shows_what_its_filter_asks_for_and_ignores_what_there_is_not(
    security: Client, tenant: Tenant, query: str, found: list[str]
) -> None:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        owner = a_person(tenant, "a.ruiz", at=at)
        a_service(tenant, "svc-a", at=at, owner=owner)
        a_service(tenant, "svc-b", at=at, is_privileged=True)
        lifecycle.deprovision(accounts=[a_person(tenant, "k.osei", at=at).pk], reason="left", at=at)
    assert names(security.get(f"/t/acme/admin/accounts/?{query}")) == found


def test_an_empty_list_says_whether_there_is_anything_at_all(security: Client, tenant: Tenant) -> None:
    assert "No account yet. Connect a system" in text_of(security.get("/t/acme/admin/accounts/"))
    assert "No account matches." in text_of(security.get("/t/acme/admin/accounts/?q=nobody"))


def test_history_says_who_acted_where_nobody_was_signed_in(security: Client, tenant: Tenant, idp: Idp) -> None:
    user = idp.user("ada@example.com")
    account: Any = account_of(idp, user)
    with scope(tenant=tenant.pk, cause=a_cause(kind=CauseKind.TASK, actor="sweep", reason="expiries are due")):
        lifecycle.suspend(accounts=[account.pk], kind=HoldKind.EXPIRED, reason="expired", at=now())
    page = text_of(security.get(f"/t/acme/admin/records/accounts/account/{account.pk}/history/"))
    assert "nobody signed in" not in page
    assert "sweep task" in page
    assert "Okta exchange" in page
