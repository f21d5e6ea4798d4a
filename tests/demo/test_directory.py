"""Real directory processes: what they answered survives a kill, and what they refuse they refuse in one line."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from demo.client import Client
from demo.files import write_json
from demo.story import begin_outage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.local

USER = "urn:ietf:params:scim:schemas:core:2.0:User"


def person(number: int) -> dict[str, Any]:
    return {"schemas": [USER], "userName": f"person-{number}@halyard.example", "active": True}


def ask(running: Any, path: str, **headers: str) -> httpx.Response:
    """One request without the client of the demo, which would try again."""
    with httpx.Client(trust_env=False) as client:
        return client.get(running.origin + path, headers={name.title(): value for name, value in headers.items()})


@pytest.fixture(scope="module")
def running(directory_process: Callable[[], Any]) -> Any:
    """A directory that holds 250 people at the labs and 45 in the old CRM, and is not changed by any test."""
    started = directory_process()
    for slug, number in (("labs", 250), ("crm", 45)):
        with Client(started.endpoint(slug)) as client:
            for one in range(number):
                client.create("Users", person(one))
    return started


def test_ids_and_dates_survive_kill_nine(directory_process: Callable[[], Any]) -> None:
    started = directory_process()
    with Client(started.endpoint("workforce")) as client:
        made = [client.create("Users", person(number)) for number in range(30)]
        client.patch(f"Users/{made[3]['id']}", {"op": "replace", "path": "active", "value": False})
        members = {"displayName": "A", "members": [{"value": made[0]["id"]}]}
        client.create("Groups", {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], **members})
        before = [list(client.all("Users")), list(client.all("Groups"))]
    origin = started.origin
    assert started.end(signal.SIGKILL) == -signal.SIGKILL
    started.start()
    with Client(started.endpoint("workforce")) as client:
        after = [list(client.all("Users")), list(client.all("Groups"))]
    assert json.loads(json.dumps(after).replace(started.origin, origin)) == before
    assert len({one["meta"]["lastModified"] for one in before[0]}) == 30


def test_a_write_torn_by_a_kill_is_as_if_never_asked(directory_process: Callable[[], Any]) -> None:
    started = directory_process()
    with Client(started.endpoint("workforce")) as client:
        first = client.create("Users", person(1))
        client.create("Users", person(2))
    started.end(signal.SIGKILL)
    file = started.data / "workforce.ndjson"
    file.write_bytes(file.read_bytes()[:-10])
    started.start()
    with Client(started.endpoint("workforce")) as client:
        assert [one["id"] for one in client.all("Users")] == [first["id"]]
        second = client.create("Users", person(2))
    started.end(signal.SIGKILL)
    started.start()
    with Client(started.endpoint("workforce")) as client:
        assert {one["id"] for one in client.all("Users")} == {first["id"], second["id"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_asked(directory_process: Callable[[], Any], number: int) -> None:
    assert directory_process().end(number) == 0


def test_a_listing_has_a_stable_order_and_the_same_total_on_every_page(running: Any) -> None:
    def drain() -> tuple[list[str], set[int], list[int]]:
        ids, totals, sizes = [], set(), []
        with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {running.tokens['labs']}"}) as client:
            for start in (1, 101, 201):
                page = client.get(f"{running.origin}/labs/v2/Users?startIndex={start}&count=100").json()
                ids += [one["id"] for one in page["Resources"]]
                totals.add(page["totalResults"])
                sizes.append(len(page["Resources"]))
        return ids, totals, sizes

    ids, totals, sizes = drain()
    assert totals == {250}
    assert sizes == [100, 100, 50]
    assert len(set(ids)) == 250
    assert drain()[0] == ids


@pytest.mark.parametrize("authorization", [None, "Bearer nonsense", "Bearer", "Basic {token}", "{token}"])
def test_a_request_without_the_token_is_refused(running: Any, authorization: str | None) -> None:
    given = {} if authorization is None else {"authorization": authorization.format(token=running.tokens["labs"])}
    answer = ask(running, "/labs/v2/Users", **given)
    assert answer.status_code == 401
    assert answer.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="SCIM"'
    assert "person-1" not in answer.text


def test_the_token_of_one_directory_opens_no_other(running: Any) -> None:
    assert ask(running, "/labs/v2/Users", authorization=f"Bearer {running.tokens['crm']}").status_code == 401
    assert ask(running, "/crm/v2/Users", authorization=f"Bearer {running.tokens['crm']}").status_code == 200


def test_a_directory_that_does_not_exist_is_not_found(running: Any) -> None:
    assert ask(running, "/elsewhere/v2/Users", authorization=f"Bearer {running.tokens['crm']}").status_code == 404
    assert ask(running, "/", authorization=f"Bearer {running.tokens['crm']}").status_code == 404


def test_the_process_says_that_it_is_well(running: Any) -> None:
    answer = ask(running, "/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "directories": {"workforce": 0, "cloud": 0, "labs": 250, "crm": 45}}


def test_the_extensions_are_announced(running: Any) -> None:
    token = {"authorization": f"Bearer {running.tokens['labs']}"}
    (user,) = (
        one for one in ask(running, "/labs/v2/ResourceTypes", **token).json()["Resources"] if one["id"] == "User"
    )
    assert {one["schema"] for one in user["schemaExtensions"]} == {
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "urn:rollcall:scim:schemas:extension:nhi:1.0:User",
    }
    schema = ask(running, "/labs/v2/Schemas/urn:rollcall:scim:schemas:extension:nhi:1.0:User", **token).json()
    assert [one["name"] for one in schema["attributes"]] == [
        "kind",
        "purpose",
        "environment",
        "expiresAt",
        "owners",
        "pending",
    ]


def test_an_outage_strikes_only_after_the_first_page_and_ends_with_its_file(running: Any) -> None:
    token = {"authorization": f"Bearer {running.tokens['crm']}"}

    def page(start: int) -> httpx.Response:
        return ask(running, f"/crm/v2/Users?startIndex={start}&count=100", **token)

    first = page(1).json()
    assert (first["totalResults"], len(first["Resources"])) == (45, 20)
    assert page(21).status_code == 200
    begin_outage(data=running.data)
    assert page(1).json()["totalResults"] == 45
    refused = page(21)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["status"] == "503"
    assert ask(running, f"/crm/v2/Users/{first['Resources'][0]['id']}", **token).status_code == 200
    assert ask(running, "/labs/v2/Users?startIndex=21", authorization=f"Bearer {running.tokens['labs']}").is_success
    (running.data / "outages.json").unlink()
    assert page(21).status_code == 200


def test_a_token_that_was_changed_counts_at_once(directory_process: Callable[[], Any]) -> None:
    started = directory_process()
    write_json(started.data / "tokens.json", {**started.tokens, "crm": "another"})
    assert ask(started, "/crm/v2/Users", authorization=f"Bearer {started.tokens['crm']}").status_code == 401
    assert ask(started, "/crm/v2/Users", authorization="Bearer another").status_code == 200


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [("Content-Length", "many", 400), ("Content-Length", str(17 * 2**20), 413), ("Transfer-Encoding", "chunked", 411)],
)
def test_a_body_that_cannot_be_read_is_refused_and_the_connection_closed(
    running: Any, header: str, value: str, status: int
) -> None:
    connection = http.client.HTTPConnection(urlsplit(running.origin).netloc, timeout=10)
    connection.putrequest("POST", "/labs/v2/Users")
    connection.putheader(header, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == status
    assert answer.headers["Connection"] == "close"
    assert json.loads(answer.read())["status"] == str(status)
    connection.close()


def test_every_request_is_one_line_without_query_or_token(running: Any) -> None:
    token = running.tokens["labs"]
    assert ask(running, "/labs/v2/Groups?filter=displayName%20eq%20%22x%22", authorization=f"Bearer {token}").is_success
    log = (running.data / "stderr.log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    last = [line for line in lines if line["path"] == "/labs/v2/Groups"][-1]
    assert (last["event"], last["method"], last["status"]) == ("request", "GET", 200)
    assert "displayName" not in log
    assert token not in log


def refused_start(*arguments: str) -> str:
    command = [sys.executable, "-m", "demo.directory", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr


def test_a_second_process_on_the_same_folder_is_refused(running: Any) -> None:
    assert "in use by another demo directory" in refused_start("--port", "0", "--data", str(running.data))


def test_a_busy_port_is_said_in_one_line(tmp_path: Path) -> None:
    write_json(tmp_path / "tokens.json", {"labs": "t"})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}" in refused_start("--port", port, "--data", str(tmp_path))


def test_missing_tokens_are_waited_for_and_then_said(tmp_path: Path) -> None:
    said = refused_start("--port", "0", "--data", str(tmp_path), "--wait", "0.3")
    assert f"{tmp_path / 'tokens.json'} is missing" in said


@pytest.mark.parametrize("content", ["{", "[]", '{"../up": "t"}'])
def test_nonsense_in_the_tokens_stops_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokens.json").write_text(content)
    assert "tokens.json" in refused_start("--port", "0", "--data", str(tmp_path))
    assert not list(tmp_path.glob("**/*.ndjson"))
