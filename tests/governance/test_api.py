"""The API: read-only, JSON whatever happens, in one tenant, for whoever may read its roll."""

from __future__ import annotations

import datetime as dt
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.db import connection as database
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts.models import RoleName, Tenant, User
from accounts.models.account import Account
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.group import Group, Membership, Origin
from accounts.rules import ROLES, Word
from audit.models import Cause
from audit.scope import scope
from governance.api.errors import not_found
from provisioning.models.run import Run, RunState
from provisioning.models.snapshot import Snapshot, SnapshotProof, SnapshotState
from tests.conftest import a_cause
from tests.factories.governance import a_finding, a_person, a_service, a_shadow, a_system, now
from tests.governance.shell import a_user, enter

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse

pytestmark = [pytest.mark.face, pytest.mark.django_db]

BASE = "/t/acme/api/v1"
LISTS = ("accounts", "findings", "runs")


@pytest.fixture
def auditor(tenant: Tenant) -> User:
    return a_user("audra", RoleName.AUDITOR, tenant=tenant)


@pytest.fixture
def api(client: Client, auditor: User) -> Client:
    return enter(client, auditor)


def a_run(tenant: Tenant, *, name: str, state: RunState = RunState.CLOSED) -> Run:
    """A reading with two proofs, one of which did not hold."""
    at = now()
    system = a_system(tenant, name, at=at)
    run = Run.objects.create(
        tenant=tenant, system=system, started_by="sweep", started_at=at, state=state, step="closed",
        ended_at=None if state == RunState.RUNNING else at, counts={"missing_there": 3},
    )  # fmt: skip
    snapshot = Snapshot.objects.create(
        tenant=tenant, run=run, system=system, state=SnapshotState.INCOMPLETE, started_at=at, ended_at=at
    )
    for word, holds in (("drained", True), ("canary", False)):
        SnapshotProof.objects.create(tenant=tenant, snapshot=snapshot, word=word, holds=holds, detail=f"{word} 14")
    return run


@pytest.fixture
def service(tenant: Tenant) -> Account:
    """A service account with an owner, a system that knows it and a group."""
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        owner = a_person(tenant, "a.ruiz", at=at)
        account = a_service(tenant, "svc-deploy", at=at, owner=owner)
        system = a_system(tenant, "Okta", at=at)
        shadow = a_shadow(system, account, at=at)
        group = Group.objects.create(
            tenant=tenant, display_name="web-deploy", display_name_key="web-deploy", is_privileged=True, made_at=at
        )
        Membership.objects.create(
            tenant=tenant, group=group, account=account, origin=Origin.SYSTEM, system=system, since=at,
            origin_ref=shadow.pk,
        )  # fmt: skip
        Membership.objects.create(
            tenant=tenant, group=group, account=account, origin=Origin.LOCAL, since=at, ended_at=at
        )
        a_finding(FindingKind.STATUS_DIFFERS, "differs", at=at, account=account.pk, system=system.pk)
    return account


def is_json(answer: HttpResponse, status: int) -> Any:
    """The body of an answer that has that status and is JSON."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    return json.loads(answer.content)


# -- who may


@pytest.mark.parametrize("role", list(RoleName))
def test_each_role_reads_exactly_what_its_word_allows(
    client: Client, tenant: Tenant, service: Account, role: RoleName
) -> None:
    enter(client, a_user("somebody", role, tenant=tenant))
    expected = 200 if Word.ROLL_READ in ROLES[role] else 403
    assert {r for r in RoleName if Word.ROLL_READ in ROLES[r]} == {"security", "auditor", "administrator"}
    for path in (*(f"{name}/" for name in LISTS), f"accounts/{service.pk}/"):
        body = is_json(client.get(f"{BASE}/{path}"), expected)
        if expected == 403:
            able = "security, auditor, administrator"
            said = f"Reading the roll needs one of these roles here: {able}. An administrator can ask for it for you."
            assert body == {"detail": said}


def test_nobody_reads_without_signing_in(client: Client, tenant: Tenant) -> None:
    for name in LISTS:
        body = is_json(client.get(f"{BASE}/{name}/"), 403)
        assert body == {"detail": "Sign in first: the API takes the session of a person."}


def test_somebody_of_another_tenant_finds_nothing(
    client: Client, service: Account, make_tenant: Callable[..., Tenant]
) -> None:
    enter(client, a_user("k.osei", RoleName.SECURITY, tenant=make_tenant("globex")))
    for path in (*(f"{name}/" for name in LISTS), f"accounts/{service.pk}/"):
        assert client.get(f"{BASE}/{path}").status_code == 404
    is_json(client.get(f"/t/globex/api/v1/accounts/{service.pk}/"), 404)
    for name in LISTS:
        assert is_json(client.get(f"/t/globex/api/v1/{name}/"), 200)["results"] == []
    # What they must not see is there to be seen by somebody else.
    auditor = enter(Client(), a_user("audra", RoleName.AUDITOR, tenant=service.tenant))
    assert len(auditor.get(f"{BASE}/accounts/").json()["results"]) == 2


def test_a_tenant_that_is_not_ours_is_answered_in_json(api: Client, make_tenant: Callable[..., Tenant]) -> None:
    make_tenant("globex")
    bodies = [is_json(api.get(f"/t/{slug}/api/v1/accounts/"), 404) for slug in ("globex", "nowhere")]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_written(api: Client, service: Account, method: str) -> None:
    for path in ("accounts/", f"accounts/{service.pk}/", "findings/", "runs/"):
        answer = getattr(api, method)(f"{BASE}/{path}", "{}", content_type="application/json")
        assert is_json(answer, 405)["detail"] == f'Method "{method.upper()}" not allowed.'


def test_reading_makes_no_cause(api: Client, service: Account) -> None:
    before = Cause.objects.count()
    for path in (*(f"{name}/" for name in LISTS), f"accounts/{service.pk}/"):
        api.get(f"{BASE}/{path}")
    assert Cause.objects.count() == before


# -- what it says


def test_an_account_is_whole_with_its_owner_systems_and_groups(api: Client, service: Account) -> None:
    body = is_json(api.get(f"{BASE}/accounts/{service.pk}/"), 200)
    assert set(body) == {
        "id", "kind", "state", "state_since", "user_name", "display_name", "email", "employee_number", "purpose",
        "environment", "is_privileged", "expires_at", "epoch", "cutoff_at", "last_used_at", "made_at", "owners",
        "systems", "memberships",
    }  # fmt: skip
    assert (body["id"], body["kind"], body["state"], body["user_name"]) == (
        str(service.pk), "service", "active", "svc-deploy",
    )  # fmt: skip
    assert [(o["owner"]["user_name"], o["kind"], o["state"]) for o in body["owners"]] == [
        ("a.ruiz", "primary", "accepted")
    ]
    assert [(s["system"]["name"], s["name"], s["wants_active"]) for s in body["systems"]] == [
        ("Okta", "svc-deploy", True)
    ]
    assert [(m["group"], m["is_privileged"], m["origin"], m["system"]["name"]) for m in body["memberships"]] == [
        ("web-deploy", True, "system", "Okta")
    ]


def test_a_list_of_accounts_names_owners_and_says_no_more(api: Client, service: Account) -> None:
    results = is_json(api.get(f"{BASE}/accounts/"), 200)["results"]
    assert [r["user_name"] for r in results] == ["svc-deploy", "a.ruiz"]
    assert [o["owner"]["user_name"] for o in results[0]["owners"]] == ["a.ruiz"]
    assert {"systems", "memberships", "document", "identity"} & set(results[0]) == set()


def test_a_finding_names_its_account_system_and_severity(api: Client, service: Account) -> None:
    (body,) = is_json(api.get(f"{BASE}/findings/?kind=status_differs"), 200)["results"]
    assert (body["kind"], body["severity"], body["state"]) == ("status_differs", Severity.HIGH.name.lower(), "open")
    assert body["account"] == {"id": str(service.pk), "user_name": "svc-deploy"}
    assert body["system"]["name"] == "Okta"
    assert body["attribution"] == ""


def test_a_difference_says_why_no_event_told_of_it(api: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_finding(FindingKind.FIELD_DIFFERS, "field:1", at=now(), attribution="lost_event")
        a_finding(FindingKind.FIELD_DIFFERS, "field:2", at=now(), attribution="late_event")
    (body,) = is_json(api.get(f"{BASE}/findings/?attribution=late_event"), 200)["results"]
    assert body["attribution"] == "late_event"
    assert list(is_json(api.get(f"{BASE}/findings/?attribution=guess"), 400)) == ["attribution"]


def test_a_run_shows_its_counts_and_every_proof(api: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        run = a_run(tenant, name="Okta", state=RunState.INCOMPLETE)
    (body,) = is_json(api.get(f"{BASE}/runs/"), 200)["results"]
    assert (body["id"], body["system"]["name"], body["state"], body["counts"]) == (
        str(run.pk), "Okta", "incomplete", {"missing_there": 3},
    )  # fmt: skip
    assert body["proofs"] == [
        {"word": "drained", "holds": True, "detail": "drained 14"},
        {"word": "canary", "holds": False, "detail": "canary 14"},
    ]


# -- filters and pages


def test_lists_are_narrowed_by_filters(api: Client, tenant: Tenant, service: Account) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_finding(FindingKind.NO_OWNER, "ownerless", at=now())
        a_run(tenant, name="GitHub")
        a_run(tenant, name="Jira", state=RunState.RUNNING)
        system = Run.objects.get(state="closed").system_id
    counts = {
        query: len(is_json(api.get(f"{BASE}/{query}"), 200)["results"])
        for query in (
            "accounts/?kind=service", "accounts/?state=active", "accounts/?state=archived&kind=service",
            "findings/?kind=status_differs", "findings/?state=open", f"findings/?account={service.pk}&state=open",
            f"findings/?system={uuid4()}", "runs/?state=running", f"runs/?system={system}",
        )
    }  # fmt: skip
    assert list(counts.values()) == [1, 2, 0, 1, 2, 1, 0, 1, 1]


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("accounts/?state=dead", {"state": ["must be one of: pending, active, suspended, deprovisioned, archived"]}),
        ("accounts/?colour=red", {"colour": ["there is no such filter; there are: kind, state, cursor, page_size"]}),
        ("findings/?account=me", {"account": ["me is not an id"]}),
        ("findings/?system=%00", {"system": ["\x00 is not an id"]}),
        ("runs/?state=", {"state": ["must be one of: running, closed, incomplete, failed, stopped, simulated"]}),
    ],
)
def test_a_filter_that_is_not_known_is_an_error_and_not_the_whole_list(
    api: Client, query: str, body: dict[str, Any]
) -> None:
    assert is_json(api.get(f"{BASE}/{query}"), 400) == body


def test_following_next_gives_each_row_once_though_rows_are_added_meanwhile(api: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        made = [a_person(tenant, f"p{number}", at=now()).user_name for number in range(7)]
    url, seen = f"{BASE}/accounts/?page_size=3", list[str]()
    while url:
        assert url.startswith(("/", "http://testserver/t/acme/api/v1/accounts/?"))
        body = is_json(api.get(url), 200)
        seen += [r["user_name"] for r in body["results"]]
        url = body["next"]
        with scope(tenant=tenant.pk, cause=a_cause()):
            a_person(tenant, f"late {len(seen)}", at=now())
    assert seen == made[::-1]


def cursor(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "typed",
    [
        "nonsense",
        cursor("p=nonsense"),
        cursor("p=1"),
        cursor("p=%00"),
        cursor("o=-1"),
        cursor("p=77f4ac99-8357-4c95-a60c-5e2260ab7ed7&o=x"),
    ],
)
def test_a_cursor_that_we_did_not_make_is_no_server_error(api: Client, service: Account, typed: str) -> None:
    assert set(is_json(api.get(f"{BASE}/accounts/?{urlencode({'cursor': typed})}"), 404)) == {"detail"}


def test_a_page_is_never_longer_than_five_hundred(api: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        at = now()
        Finding.objects.bulk_create(
            Finding(
                tenant=tenant, kind=FindingKind.NO_OWNER, severity=Severity.LOW, dedupe_key=str(number), title="x",
                first_seen_at=at, last_seen_at=at,
            )
            for number in range(501)
        )  # fmt: skip
    assert len(api.get(f"{BASE}/findings/?page_size=9999").json()["results"]) == 500
    assert len(api.get(f"{BASE}/findings/?page_size=many").json()["results"]) == 100


def test_lists_ask_the_database_the_same_for_one_row_and_for_many(
    api: Client, tenant: Tenant, service: Account
) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        a_run(tenant, name="GitHub")

    def queries(path: str) -> int:
        with CaptureQueriesContext(database) as caught:
            is_json(api.get(f"{BASE}/{path}"), 200)
        return len(caught)

    paths = [*(f"{name}/" for name in LISTS), f"accounts/{service.pk}/"]
    before = [queries(path) for path in paths]
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        owner = Account.objects.get(user_name="a.ruiz")
        for number in range(12):
            account = a_service(tenant, f"svc-{number}", at=at, owner=owner)
            a_shadow(a_system(tenant, f"System {number}", at=at), service, at=at)
            a_finding(FindingKind.STATUS_DIFFERS, f"differs {number}", at=at, account=account.pk)
            a_run(tenant, name=f"Run {number}")
    assert [queries(path) for path in paths] == before
    assert len(api.get(f"{BASE}/accounts/").json()["results"]) == 14


# -- what there is not


@pytest.mark.parametrize(
    "path",
    ["", "nowhere/", "accounts", "accounts/me/", "accounts/%00/", "accounts/77f4ac99-8357-4c95-a60c-5e2260ab7ed7/"],
)
def test_an_address_that_there_is_not_is_answered_in_json(api: Client, path: str) -> None:
    assert set(is_json(api.get(f"{BASE}/{path}"), 404)) == {"detail"}


def test_html_is_never_an_answer_though_a_browser_asks_for_it(api: Client, service: Account) -> None:
    answer = api.get(f"{BASE}/accounts/", headers={"Accept": "text/html"})
    assert set(is_json(answer, 406)) == {"detail"}
    is_json(api.get(f"{BASE}/accounts/", headers={"Accept": "text/html,*/*;q=0.8"}), 200)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/t/nowhere/api/v1/accounts/", "application/json"),
        ("/api/v1/accounts/", "application/json"),
        ("/t/nowhere/admin/api/", "text/html; charset=utf-8"),
        ("/nowhere/", "text/html; charset=utf-8"),
    ],
)
def test_what_is_not_found_is_json_below_the_api_and_a_page_elsewhere(path: str, kind: str) -> None:
    request = RequestFactory().get(path)
    answer = not_found(request, LookupError("nothing"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, kind)


def test_dates_are_utc(api: Client, service: Account) -> None:
    made_at = is_json(api.get(f"{BASE}/accounts/{service.pk}/"), 200)["made_at"]
    assert made_at.endswith("Z")
    assert dt.datetime.fromisoformat(made_at) == service.made_at
