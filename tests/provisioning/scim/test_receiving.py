"""The database goes away in the middle of a request: 503, to be repeated, and a repeat that does nothing twice.

The server really ends the connection, at the place that the test names.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from django.db.backends.postgresql.base import DatabaseWrapper

from audit.scope import scope
from provisioning import received, tokens
from provisioning.models.received import Received
from provisioning.scim import applying, recording, views
from tests.conftest import drop_connection
from tests.factories.scim import SEARCH_URN, Idp, Reply, a_user, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db(transaction=True)]

ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"


@pytest.fixture
def idp(transactional_db: None, tenant: Tenant) -> Idp:
    """One directory, whose connection may be lost."""
    return connect(tenant)


@pytest.fixture
def lose(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The next call of a function finds the connection ended by the server; later ones do what they always did."""

    def arm(where: Any, name: str, *, after: bool = False) -> None:
        really = getattr(where, name)

        def lost(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(where, name, really)
            if after:
                really(*args, **kwargs)
            drop_connection()

        monkeypatch.setattr(where, name, lost)

    return arm


def assert_out_of_service(answer: Reply) -> None:
    connection.close_if_unusable_or_obsolete()  # as at the end of each request; the tests' client leaves it out
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.body == {
        "schemas": [ERROR_URN],
        "status": "503",
        "detail": "Out of service for a moment. Send the request again: what has taken effect already is not done twice.",
    }


def told(idp: Idp) -> list[tuple[str, str, int]]:
    return [(one.method, one.outcome, one.status) for one in idp.exchanges()]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/Users"),
        ("GET", "/Users/{id}"),
        ("GET", "/Groups?count=1"),
        ("GET", "/ServiceProviderConfig"),
        ("GET", "/Schemas"),
        ("GET", "/ResourceTypes"),
        ("GET", "/Received/{id}"),
        ("GET", "/Nowhere"),
        ("GET", "/Me"),
        ("POST", "/.search"),
        ("POST", "/Users"),
        ("PUT", "/Users/{id}"),
        ("PATCH", "/Users/{id}"),
        ("DELETE", "/Users/{id}"),
        ("POST", "/Bulk"),
    ],
)
def test_every_address_answers_503_when_the_token_can_not_be_looked_up(
    idp: Idp, lose: Callable[..., None], method: str, path: str
) -> None:
    id = idp.user()  # noqa: A001  SCIM's word
    lose(tokens, "find_token")
    assert_out_of_service(idp.call(method, path.format(id=id), a_user("bob") if method != "GET" else None))
    assert told(idp) == [("POST", "applied", 201)]


@pytest.mark.parametrize(
    ("where", "name", "method", "path"),
    [
        (views, "find_active", "GET", "/Users/{id}"),
        (views, "find", "GET", "/Users"),
        (views, "find", "POST", "/Users/.search"),
        (views, "gather", "GET", "/Users?filter=userName pr"),
        (tokens, "record_read", "GET", "/Users"),
        (tokens, "record_read", "GET", "/ServiceProviderConfig"),
        (tokens, "record_read", "GET", "/Users/00000000-0000-0000-0000-000000000000"),
    ],
)
def test_a_read_that_loses_the_database_on_the_way_is_503_and_the_next_is_answered(
    idp: Idp, lose: Callable[..., None], where: Any, name: str, method: str, path: str
) -> None:
    id = idp.user()  # noqa: A001  SCIM's word
    body = {"schemas": [SEARCH_URN]} if method == "POST" else None
    lose(where, name)
    assert_out_of_service(idp.call(method, path.format(id=id), body))
    assert idp.call(method, path.format(id=id), body).status in {200, 404}


@pytest.mark.parametrize(("where", "name"), [(views.effects, "create"), (recording, "insert"), (recording, "repeated")])
def test_a_write_that_loses_the_database_before_its_commit_is_503_and_leaves_nothing(
    idp: Idp, lose: Callable[..., None], where: Any, name: str
) -> None:
    lose(where, name)
    assert_out_of_service(idp.post("/Users", a_user()))
    assert told(idp) == []
    assert idp.post("/Users", a_user()).status == 201
    assert told(idp) == [("POST", "applied", 201)]


def test_a_refusal_that_loses_the_database_is_503_and_is_refused_when_it_is_repeated(
    idp: Idp, lose: Callable[..., None]
) -> None:
    lose(recording, "refuse")
    assert_out_of_service(idp.post("/Users", {"schemas": []}))
    assert told(idp) == []
    assert idp.post("/Users", {"schemas": []}).status == 400


@pytest.fixture
def lose_commit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The commit that follows the row of the ledger: nobody hears whether it was done."""

    def arm(*, is_done: bool) -> None:
        insert, commit = recording.insert, DatabaseWrapper._commit

        def lost(self: DatabaseWrapper) -> None:
            monkeypatch.setattr(DatabaseWrapper, "_commit", commit)
            if is_done:
                commit(self)
            with self.wrap_database_errors:
                self.connection.execute("RESET ROLE")
                self.connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        def inserted(*args: Any, **kwargs: Any) -> None:
            insert(*args, **kwargs)
            monkeypatch.setattr(recording, "insert", insert)
            monkeypatch.setattr(DatabaseWrapper, "_commit", lost)

        monkeypatch.setattr(recording, "insert", inserted)

    return arm


@pytest.mark.parametrize(
    ("is_done", "ledger"),
    [
        (True, [("POST", "applied", 201), ("POST", "duplicate", 201)]),
        (False, [("POST", "applied", 201)]),
    ],
)
def test_whatever_became_of_a_lost_commit_a_repeat_by_key_makes_it_one(
    idp: Idp, lose_commit: Callable[..., None], is_done: bool, ledger: list[Any]
) -> None:
    lose_commit(is_done=is_done)
    assert_out_of_service(idp.post("/Users", a_user(), Idempotency_Key="one"))
    again = idp.post("/Users", a_user(), Idempotency_Key="one")
    assert again.status == 201
    assert told(idp) == ledger
    assert {str(one.resource_id) for one in idp.exchanges()} == {again["id"]}


@pytest.mark.parametrize(
    ("is_done", "ledger"),
    [
        (True, [("PATCH", "applied", 200), ("PATCH", "duplicate", 200)]),
        (False, [("PATCH", "applied", 200)]),
    ],
)
def test_whatever_became_of_a_lost_commit_the_same_change_without_a_key_is_done_once(
    idp: Idp, lose_commit: Callable[..., None], is_done: bool, ledger: list[Any]
) -> None:
    id = idp.user()  # noqa: A001  SCIM's word
    off = {"op": "replace", "path": "active", "value": False}
    lose_commit(is_done=is_done)
    assert_out_of_service(idp.patch(f"/Users/{id}", off))
    assert idp.patch(f"/Users/{id}", off).body["active"] is False
    assert told(idp)[1:] == ledger
    account = idp.shadow(id).account
    assert account is not None
    assert (account.state, account.epoch) == ("deprovisioned", 1)


def test_a_bulk_request_that_loses_the_database_is_503_as_a_whole_and_goes_on_where_it_stopped(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, names = views.effects.create, []

    def second_is_lost(asked: Any, body: Any) -> Any:
        names.append(body["userName"])
        if names == ["one", "two"]:
            drop_connection()
        return create(asked, body)

    monkeypatch.setattr(views.effects, "create", second_is_lost)
    operations = [{"method": "POST", "path": "/Users", "bulkId": n, "data": a_user(n)} for n in ("one", "two", "three")]
    asked = {"schemas": [BULK_URN], "Operations": operations}
    assert_out_of_service(idp.post("/Bulk", asked, Idempotency_Key="one"))
    assert names == ["one", "two"]  # what the rest would meet is the same
    again = idp.post("/Bulk", asked, Idempotency_Key="one")
    assert [one["status"] for one in again["Operations"]] == ["201", "201", "201"]
    assert names == ["one", "two", "two", "three"]
    assert sorted(told(idp)) == [
        ("POST", "applied", 200), *[("POST", "applied", 201)] * 3, ("POST", "duplicate", 201),
    ]  # fmt: skip


@pytest.mark.parametrize(("where", "name"), [(received, "receive"), (recording, "repeated")])
def test_a_promise_that_loses_the_database_is_503_and_is_received_once(
    idp: Idp, lose: Callable[..., None], monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    monkeypatch.setattr("provisioning.tasks.apply_soon", lambda: None)
    lose(where, name)
    sent = {"Idempotency_Key": "one", "Prefer": "respond-async"}
    assert_out_of_service(idp.post("/Users", a_user(), **sent))
    assert idp.post("/Users", a_user(), **sent).status == 202
    assert idp.post("/Users", a_user(), **sent).status == 202
    assert told(idp) == [("POST", "duplicate", 202)]


def test_an_outage_is_one_line_of_the_log_and_no_error_of_ours(
    idp: Idp, lose: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    lose(views, "find")
    assert idp.get("/Users").status == 503
    said = [(one.levelname, one.getMessage()) for one in caplog.records if one.name == "rollcall.scim"]
    assert len(said) == 1
    assert said[0][0] == "WARNING"
    assert "the database is away" in said[0][1]


def test_another_error_of_the_database_is_still_a_500_with_a_row(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    monkeypatch.setattr(views.effects, "create", broken)
    assert idp.post("/Users", a_user()).status == 500
    assert told(idp) == [("POST", "rejected", 500)]


def test_what_is_tried_when_the_database_goes_is_tried_again_without_a_failure(
    idp: Idp, lose: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioning.tasks.apply_soon", lambda: None)
    assert idp.post("/Users", a_user(), Prefer="respond-async").status == 202
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    lose(recording, "insert")
    with pytest.raises(OperationalError):
        applying.apply_next(tenant=idp.tenant.pk, clock=lambda: at)
    with scope(tenant=idp.tenant.pk):
        waiting = Received.objects.get()
        assert (waiting.state, waiting.tries, waiting.error) == ("waiting", 1, "")
    assert applying.apply_next(tenant=idp.tenant.pk, clock=lambda: waiting.next_try_at)
    assert told(idp) == [("POST", "applied", 201)]
