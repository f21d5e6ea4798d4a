"""The SCIM client against a server that misbehaves on purpose."""

from __future__ import annotations

import datetime as dt
import json
import threading
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from demo.client import Client, Endpoint, ScimError
from demo.server import bind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.unit


class Script:
    """A WSGI application that gives the prepared answers in turn, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, list[tuple[str, str]], bytes]] = []
        self.asked: list[tuple[str, str, dict[str, Any] | None]] = []
        self.authorization: set[str] = set()

    def add(self, status: str, body: Any = None, **headers: str) -> None:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.answers.append((status, [(name.replace("_", "-"), value) for name, value in headers.items()], content))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = environ["wsgi.input"].read()
        path = environ["PATH_INFO"] + ("?" + environ["QUERY_STRING"] if environ["QUERY_STRING"] else "")
        self.asked.append((environ["REQUEST_METHOD"], path, json.loads(body) if body else None))
        self.authorization.add(environ["HTTP_AUTHORIZATION"])
        status, headers, content = self.answers.pop(0)
        start_response(status, headers)
        return [content]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def client(script: Script) -> Iterator[Client]:
    server = bind("127.0.0.1", 0, script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port = server.server_address[1]
    with Client(Endpoint(slug="workforce", base_url=f"http://127.0.0.1:{port}/x/v2", token="secret-word")) as made:
        yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("demo.client.time.sleep", pauses.append)
    return pauses


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_busy_server_is_asked_again_when_it_says(
    client: Client, script: Script, slept: list[float], status: str
) -> None:
    script.add(status, Retry_After="3")
    script.add("201 Created", {"id": "1"})
    assert client.create("Users", {"userName": "a"}) == {"id": "1"}
    assert slept == [3.0]
    assert script.asked == [("POST", "/x/v2/Users", {"userName": "a"})] * 2
    assert script.authorization == {"Bearer secret-word"}


def test_a_retry_after_may_be_a_date_and_is_never_waited_for_long(
    client: Client, script: Script, slept: list[float]
) -> None:
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    future = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    for header in (format_datetime(past, usegmt=True), format_datetime(future, usegmt=True), "86400", "soon"):
        script.add("503 Service Unavailable", Retry_After=header)
    script.add("200 OK", {"id": "1"})
    assert client.get("Users/1") == {"id": "1"}
    assert slept == [0.0, 10.0, 10.0, 1.6]


def test_a_server_that_stays_busy_is_given_up_with_its_answer(
    client: Client, script: Script, slept: list[float]
) -> None:
    for _ in range(6):
        script.add("503 Service Unavailable", {"detail": "closed for stocktaking"})
    with pytest.raises(
        ScimError, match=r"GET http://.*/x/v2/Users/1 was answered 503: .*closed for stocktaking"
    ) as told:
        client.get("Users/1")
    assert told.value.status == 503
    assert len(slept) == 5


def test_an_error_quotes_the_answer_and_is_not_tried_again(client: Client, script: Script) -> None:
    script.add("409 Conflict", {"scimType": "uniqueness", "detail": "userName is taken"})
    with pytest.raises(ScimError, match="userName is taken") as told:
        client.create("Users", {})
    assert told.value.is_conflict
    assert "secret-word" not in str(told.value)
    assert len(script.asked) == 1


def test_a_server_that_is_not_there_is_told_after_some_tries(slept: list[float]) -> None:
    server = bind("127.0.0.1", 0, Script())
    port = server.server_address[1]
    server.server_close()
    with (
        Client(Endpoint(slug="crm", base_url=f"http://127.0.0.1:{port}/v2", token="t")) as client,
        pytest.raises(ScimError, match="ConnectError") as told,
    ):
        client.get("Users/1")
    assert told.value.status is None
    assert len(slept) == 5


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff"])
def test_an_answer_that_is_no_object_is_an_error(client: Client, script: Script, body: bytes) -> None:
    script.add("200 OK", body)
    with pytest.raises(ScimError, match=r"the answer is not JSON|not a JSON object"):
        client.get("Users/1")


def test_a_redirect_is_not_followed(client: Client, script: Script) -> None:
    script.add("302 Found", Location="http://127.0.0.1:1/")
    with pytest.raises(ScimError, match="was answered 302"):
        client.get("Users/1")


def test_a_search_quotes_its_value_and_wants_one_answer(client: Client, script: Script) -> None:
    script.add("200 OK", {"totalResults": 0})
    assert client.find("Groups", "displayName", 'the "A" team') is None
    assert parse_qs(script.asked[0][1].partition("?")[2]) == {"filter": [r'displayName eq "the \"A\" team"']}
    script.add("200 OK", {"totalResults": 2, "Resources": [{"id": "1"}, {"id": "2"}]})
    with pytest.raises(ScimError, match="2 resources"):
        client.find("Groups", "displayName", "A")


def test_a_listing_goes_on_where_a_short_page_ended(client: Client, script: Script) -> None:
    script.add("200 OK", {"totalResults": 3, "Resources": [{"id": "1"}, {"id": "2"}]})
    script.add("200 OK", {"totalResults": 3, "Resources": [{"id": "3"}]})
    assert [one["id"] for one in client.all("Users")] == ["1", "2", "3"]
    assert [path for _, path, _ in script.asked] == [
        "/x/v2/Users?startIndex=1&count=100",
        "/x/v2/Users?startIndex=3&count=100",
    ]


def test_a_listing_that_ends_early_is_an_error(client: Client, script: Script) -> None:
    script.add("200 OK", {"totalResults": 3, "Resources": [{"id": "1"}]})
    script.add("200 OK", {"totalResults": 3, "Resources": []})
    with pytest.raises(ScimError, match="from 2 on is empty, of 3"):
        list(client.all("Users"))


def test_a_patch_with_an_empty_answer_is_read_again(client: Client, script: Script) -> None:
    script.add("204 No Content")
    script.add("200 OK", {"id": "1", "active": False})
    operation = {"op": "replace", "path": "active", "value": False}
    assert client.patch("Users/1", operation) == {"id": "1", "active": False}
    assert script.asked == [
        (
            "PATCH",
            "/x/v2/Users/1",
            {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]},
        ),
        ("GET", "/x/v2/Users/1", None),
    ]


def test_an_endpoint_does_not_show_its_token() -> None:
    assert "secret-word" not in repr(Endpoint(slug="a", base_url="http://127.0.0.1/", token="secret-word"))
