"""Every request: one log line, one tenant, one transaction, one cause."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from django.db import connection
from django.urls import get_script_prefix

from accounts.models import Account, RoleName, Tenant, User
from audit.models import Cause, JournalEntry
from audit.scope import scope
from governance.middleware import NAVIGATION, OWN_NAVIGATION, loggable
from tests.conftest import AT, a_cause
from tests.governance.shell import a_user, enter

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

pytestmark = [pytest.mark.face, pytest.mark.urls("tests.governance.shell"), pytest.mark.django_db]


@pytest.fixture
def security(tenant: Tenant) -> User:
    return a_user("l.chen", RoleName.SECURITY, tenant=tenant)


@pytest.fixture
def signed_in(client: Client, security: User) -> Client:
    return enter(client, security)


def slugs() -> set[str]:
    return set(Tenant.objects.values_list("slug", flat=True))


def test_a_page_of_a_tenant_knows_tenant_roles_and_no_prefix_and_reads_without_a_cause(
    signed_in: Client, tenant: Tenant
) -> None:
    before = Cause.objects.count()
    assert signed_in.get("/t/acme/admin/told/").json() == {
        "tenant": "acme",
        "scope": str(tenant.pk),
        "roles": ["security"],
        "path": "/t/acme/admin/told/",
        "path_info": "/admin/told/",
        "reversed": "/t/acme/admin/told/",
        "cause": None,
    }
    assert Cause.objects.count() == before
    assert get_script_prefix() == "/"


def test_a_post_has_a_cause_with_who_why_and_where(signed_in: Client, security: User) -> None:
    answer = signed_in.post("/t/acme/admin/told/", {"reason": " restore drill "}).json()
    assert answer["cause"] == ["page", "l.chen", "restore drill", "/admin/told/", str(security.pk)]
    answer = signed_in.post("/t/acme/api/v1/told/", json.dumps({"reason": "x"}), content_type="application/json").json()
    assert answer["cause"] == ["api", "l.chen", "", "/api/v1/told/", str(security.pk)]


def test_what_looks_like_a_credential_in_a_reason_is_not_kept(signed_in: Client) -> None:
    answer = signed_in.post("/t/acme/admin/told/", {"reason": "token rc_abc_0123456789abcdefXYZ\x00 leaked"}).json()
    assert answer["cause"][2] == "token *** leaked"


def test_a_nul_in_the_address_is_no_server_error(signed_in: Client) -> None:
    assert signed_in.post("/t/acme/admin/%00/").status_code == 404
    assert signed_in.get("/t/%00/admin/").status_code == 404


def test_a_cookie_with_a_nul_is_nobody(client: Client) -> None:
    client.cookies.load({"rollcall_session": "abcdefgh\x00ijkl"})
    assert client.get("/").headers["Location"] == "/login/?next=/"


@pytest.mark.parametrize(
    ("then", "status", "stays"),
    [("ok", 200, True), ("conflict", 409, True), ("error", 503, False), ("absent", 404, False)],
)
def test_a_server_error_or_an_exception_takes_the_writes_with_it(
    signed_in: Client, then: str, status: int, stays: bool
) -> None:
    assert signed_in.post(f"/t/acme/admin/write/{then}/").status_code == status
    assert (f"made-{then}" in slugs()) is stays


def test_a_refusal_is_a_page_with_its_reason_and_writes_nothing(signed_in: Client) -> None:
    answer = signed_in.post("/t/acme/admin/write/refused/")
    assert answer.status_code == 403
    assert "only the captain may" in answer.content.decode()
    assert "made-refused" not in slugs()
    answer = signed_in.post("/t/acme/api/v1/write/refused/")
    assert (answer.status_code, answer.json()) == (403, {"detail": "only the captain may"})


def test_a_database_error_ends_in_our_own_500_and_leaves_the_connection_usable(signed_in: Client) -> None:
    signed_in.raise_request_exception = False
    answer = signed_in.post("/t/acme/admin/write/broken/")
    assert answer.status_code == 500
    assert "An error of ours: nothing was changed" in answer.content.decode()
    assert "made-broken" not in slugs()


def test_a_write_of_a_get_fails_in_the_database(signed_in: Client) -> None:
    signed_in.raise_request_exception = False
    assert signed_in.get("/t/acme/admin/write/ok/").status_code == 500
    assert "made-ok" not in slugs()


def test_an_unknown_tenant_and_one_without_a_role_look_the_same(
    signed_in: Client, make_tenant: Callable[..., Tenant]
) -> None:
    make_tenant("other")
    answers = [signed_in.get(f"/t/{slug}/admin/told/") for slug in ("other", "nowhere")]
    assert [a.status_code for a in answers] == [404, 404]
    # But for the token against forged requests and for the moment, which are others in each answer.
    own = rb'name="csrfmiddlewaretoken" value="\w+"|<time datetime=.*?</time>'
    first, second = (re.sub(own, b"", a.content) for a in answers)
    assert first == second
    assert b"There is no such page" in first


def test_a_role_that_ended_opens_nothing(signed_in: Client, security: User) -> None:
    with scope(cause=a_cause()):
        security.roles.update(until=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert signed_in.get("/t/acme/admin/told/").status_code == 404


def test_who_is_not_signed_in_is_asked_to_and_comes_back(client: Client, tenant: Tenant) -> None:
    answer = client.get("/t/acme/admin/told/?a=1&b=2")
    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/t/acme/admin/told/%3Fa%3D1%26b%3D2")
    assert client.get("/t/nowhere/admin/").status_code == 302
    assert client.post("/t/acme/admin/write/ok/").status_code == 302
    assert "made-ok" not in slugs()
    assert client.get("/t/acme/api/v1/told/").status_code == 403


@pytest.mark.parametrize("path", ["/admin/", "/my/", "/admin/told/"])
def test_pages_of_a_tenant_do_not_exist_outside_of_one(signed_in: Client, path: str) -> None:
    answer = signed_in.get(path)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert signed_in.post(path).status_code == 404


def test_the_api_does_not_exist_outside_of_a_tenant(signed_in: Client) -> None:
    assert signed_in.get("/api/v1/told/").status_code == 404


@pytest.mark.parametrize("path", ["/t/acme/scim/v2/Users", "/t/acme/healthz", "/t/acme/outside/", "/t/acme/t/acme/my/"])
def test_nothing_global_is_served_below_a_tenant(signed_in: Client, path: str) -> None:
    assert signed_in.get(path).status_code == 404


def test_the_root_of_a_tenant_leads_to_its_first_page(signed_in: Client, client: Client, tenant: Tenant) -> None:
    assert signed_in.get("/t/acme")["Location"] == "/t/acme/"
    assert signed_in.get("/t/acme/")["Location"] == "/t/acme/admin/front/"
    enter(client, a_user("k.osei", RoleName.OWNER, tenant=tenant))
    assert client.get("/t/acme/")["Location"] == "/t/acme/my/"


def test_a_sign_in_page_reversed_below_a_tenant_leads_out_of_it(signed_in: Client) -> None:
    assert signed_in.get("/t/acme/password/change/")["Location"] == "/password/change/"


def test_the_receiver_is_passed_through_untouched(signed_in: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert signed_in.get("/scim/v2/Users").json() == {"tenant": None, "has_user": False}


def test_a_failing_receiver_breaks_no_transaction_of_ours(signed_in: Client) -> None:
    signed_in.raise_request_exception = False
    # These addresses lack the receiver's own, so that it fails on its way.
    assert signed_in.get("/scim/v2/Nothing").status_code == 500
    assert connection.needs_rollback is False


def test_a_page_of_no_tenant_sees_none(signed_in: Client) -> None:
    assert signed_in.get("/outside/").content == b"None"


@pytest.mark.parametrize(("state", "status"), [("active", 200), ("deprovisioned", 403), ("pending", 403)])
def test_roles_give_nothing_to_somebody_whose_account_here_is_not_active(
    signed_in: Client, security: User, tenant: Tenant, state: str, status: int
) -> None:
    with scope(tenant=tenant.pk, cause=a_cause()):
        Account.objects.create(
            tenant=tenant, user_name="l.chen", user_name_key="l.chen", identity=security.identity, state=state,
            state_since=AT, made_at=AT, was_active=state == "active",
        )  # fmt: skip
    answer = signed_in.post("/t/acme/admin/write/ok/")
    assert answer.status_code == status
    assert ("made-ok" in slugs()) is (status == 200)
    if status == 403:
        assert "your roles here give nothing" in answer.content.decode()


def test_a_page_costs_the_same_few_queries_for_many_roles(
    client: Client, make_tenant: Callable[..., Tenant], django_assert_max_num_queries: Any
) -> None:
    tenant = make_tenant("acme")
    user = a_user("many", *RoleName, tenant=tenant)
    for number in range(5):
        a_user(f"other{number}", RoleName.SECURITY, tenant=tenant)
    enter(client, user)
    with django_assert_max_num_queries(9):  # session, user, tenant, roles, savepoint, setting, accounts, release
        assert client.get("/t/acme/admin/told/").status_code == 200


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [r.msg for r in caplog.records if isinstance(r.msg, dict) and r.msg.get("event") == "request"]


def test_a_request_is_one_line_without_values_and_names_who_asked(
    signed_in: Client, security: User, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="rollcall.web"):
        answer = signed_in.post(
            "/t/acme/admin/told/?secret=hunter2",
            {"reason": "hush-hush"},
            headers={"X-Request-Id": "abcd-1234", "X-Odd": "odd"},
        )
    (line,) = lines(caplog)
    assert answer["X-Request-Id"] == "abcd-1234"
    assert {k: line[k] for k in ("method", "path", "status", "request", "user", "tenant")} == {
        "method": "POST", "path": "/t/acme/admin/told/", "status": 200, "request": "abcd-1234",
        "user": str(security.pk), "tenant": str(tenant.pk),
    }  # fmt: skip
    assert isinstance(line["ms"], int)
    assert not any(word in str(line) for word in ("hunter2", "hush-hush", "odd"))
    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.parametrize("rest", ["", "/admin", "/my", "/api"])
def test_an_address_in_a_tenant_without_its_last_slash_leads_to_the_one_with_it(signed_in: Client, rest: str) -> None:
    answer = signed_in.get(f"/t/acme{rest}")
    assert (answer.status_code, answer["Location"]) == (302, f"/t/acme{rest}/")


@pytest.mark.parametrize("sent", ['x" evil', "abcd-1234\n", "ab", "a" * 65, "hunter2-Kx9qLmZ"])
def test_a_request_id_that_could_forge_a_line_or_hold_a_secret_is_replaced(client: Client, sent: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-Id": sent})
    assert re.fullmatch("[0-9a-f]{32}", answer["X-Request-Id"])


@pytest.mark.parametrize("path", ["/welcome/rc_link_abcdefghijklmnopqrstuvwxyz/", "/welcome/short"])
def test_a_one_use_link_stands_in_no_log_line_and_no_cause(
    client: Client, db: None, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = path.split("/")[2]
    with caplog.at_level(logging.INFO):
        client.get(path)
    (line,) = lines(caplog)
    assert secret not in str(line)
    assert line["path"].startswith("/welcome/***")
    assert loggable(path) == line["path"]
    assert not Cause.objects.filter(subject__contains=secret).exists()


def test_the_navigation_shows_what_a_role_may_read(client: Client, tenant: Tenant) -> None:
    shown: dict[str, list[str]] = {}
    for role in RoleName:
        enter(client, a_user(f"some.{role}", role, tenant=tenant))
        content = client.get("/t/acme/admin/style/").content.decode()
        shown[role] = [key for _, _, key in (*NAVIGATION, *OWN_NAVIGATION) if f'data-go="{key}"' in content]
    # Only pages that exist in this urlconf: the roll, the records, one's own.
    assert shown == {
        "security": ["h", "d", "m"],
        "owner": ["m"],
        "auditor": ["h", "d"],
        "administrator": ["h", "d", "m"],
    }


def test_keys_of_the_navigation_are_each_used_once() -> None:
    keys = [key for _, _, key in (*NAVIGATION, *OWN_NAVIGATION)]
    assert len(keys) == len(set(keys))


def test_a_get_leaves_no_cause_and_no_journal_behind(signed_in: Client, tenant: Tenant) -> None:
    with scope(tenant=tenant.pk):
        causes, entries = Cause.objects.count(), JournalEntry.objects.count()
    signed_in.get("/t/acme/admin/style/")
    with scope(tenant=tenant.pk):
        assert (Cause.objects.count(), JournalEntry.objects.count()) == (causes, entries)
