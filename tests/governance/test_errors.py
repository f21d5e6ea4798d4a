"""While the database is away every address says 503, in its own words; other errors are still errors of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from governance import middleware
from tests.conftest import drop_connection
from tests.governance import shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest, HttpResponse
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [
    pytest.mark.face,
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture(autouse=True)
def connection_closes(client: Client) -> Iterator[None]:
    """As at the end of each request; the tests' client leaves it out."""
    client.raise_request_exception = False
    yield
    connection.close()


def lost(*_: Any, **__: Any) -> Any:
    drop_connection()


def test_a_page_whose_session_can_not_be_read_is_503_and_says_when_to_try_again(
    client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "roles", lost)
    shell.enter(client, shell.a_user("l.chen", shell.RoleName.SECURITY, tenant=tenant))
    answer = client.get("/t/acme/admin/")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert answer["Cache-Control"] == "no-store"
    assert "<h1>Out of service for a moment</h1>" in answer.content.decode()


def test_a_page_that_loses_the_database_on_the_way_is_503_and_works_again_after(
    client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.enter(client, shell.a_user("l.chen", shell.RoleName.SECURITY, tenant=tenant))
    with monkeypatch.context() as patch:
        patch.setattr(middleware, "_ended_here", lost)
        assert client.get("/t/acme/admin/").status_code == 503
    assert client.get("/t/acme/admin/").status_code == 200


def test_the_api_says_it_in_json(client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.enter(client, shell.a_user("l.chen", shell.RoleName.SECURITY, tenant=tenant))
    monkeypatch.setattr(middleware, "_ended_here", lost)
    answer = client.get("/t/acme/api/v1/accounts/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer.json() == {"detail": "Out of service for a moment: the database is away. Try again."}


def test_scim_says_it_in_scim_also_where_no_view_ran(client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = ["tests.governance.test_errors.Lost"]
    answer = client.get("/scim/v2/Users")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert answer["Content-Type"] == "application/scim+json"
    assert answer.json()["status"] == "503"


def test_a_page_whose_address_only_begins_like_scim_is_a_page(client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = ["tests.governance.test_errors.Lost"]
    answer = client.get("/scimitar/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "<h1>Out of service for a moment</h1>" in answer.content.decode()


def test_any_other_error_is_still_a_500(client: Client, settings: Any) -> None:
    settings.MIDDLEWARE = ["tests.governance.test_errors.Broken"]
    assert client.get("/scim/v2/Users").json()["status"] == "500"
    answer = client.get("/t/acme/admin/")
    assert answer.status_code == 500
    assert "An error of ours" in answer.content.decode()


class Lost:
    """A middleware that meets a database that is away."""

    def __init__(self, _get_response: Any) -> None:
        """Nothing is handed on."""

    def __call__(self, _request: HttpRequest) -> HttpResponse:
        drop_connection()
        raise AssertionError


class Broken(Lost):
    """A middleware with a bug."""

    def __call__(self, _request: HttpRequest) -> HttpResponse:
        raise ValueError("a bug")
