"""Programs that we did not write, unchanged, over HTTP against a server of ours: scim2-client, scim2-tester, scim-sanity."""

from __future__ import annotations

import datetime as dt
import http.client
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.core.servers.basehttp import WSGIRequestHandler
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_models import Error, Mutability, PatchOp, PatchOperation, ScimPolicy, ScimProvider, SearchRequest
from scim2_tester import Status, check_server
from scim_sanity.probe.runner import run_probe_api

from accounts.models.system import ReactivationPolicy
from provisioning.scim.metadata.catalogue import AGENT_URN, NHI_URN, RESOURCE_TYPES
from tests.factories.scim import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = [pytest.mark.dialect, pytest.mark.once]


def over_http(connection: http.client.HTTPConnection) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """What carries the client's requests over a socket: the client's own network engine needs a package more.

    The tester deletes all that it ever made after every check, thousands of times. What the server said to be gone is
    not asked for a third time: the client is told the same again.
    """
    gone: dict[str, tuple[str, list[tuple[str, str]], bytes]] = {}

    def carry(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        deleted = environ["PATH_INFO"] if environ["REQUEST_METHOD"] == "DELETE" else ""
        if deleted in gone:
            line, told, body = gone[deleted]
            start_response(line, told)
            return [body]
        body = environ["wsgi.input"].read()
        headers = {
            name.removeprefix("HTTP_").replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_") and name != "HTTP_HOST"
        }
        headers |= {"Content-Type": environ["CONTENT_TYPE"]} if environ.get("CONTENT_TYPE") else {}
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        connection.request(environ["REQUEST_METHOD"], f"{environ['PATH_INFO']}{query}", body or None, headers)
        answer = connection.getresponse()
        line, told, body = f"{answer.status} {answer.reason}", answer.getheaders(), answer.read()
        if deleted and answer.status == 404:
            gone[deleted] = line, told, body
        start_response(line, told)
        return [body]

    return carry


@pytest.fixture
def sandbox(transactional_db: None, tenant: Tenant) -> Idp:
    """A system to try clients with."""
    return connect(tenant, "Sandbox", policy=ReactivationPolicy.AUTOMATIC)


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's server writes head and body apart; on a connection that is kept, the second waits for the first."""
    monkeypatch.setattr(WSGIRequestHandler, "disable_nagle_algorithm", True)


@pytest.fixture
def scim(transactional_db: None, live_server: Any, sandbox: Idp) -> Iterator[WSGISCIMClient]:
    """The unmodified client, which has learned from the discovery endpoints what there is."""
    with closing(http.client.HTTPConnection(urlsplit(live_server.url).netloc, timeout=30)) as connection:
        client = WSGISCIMClient(
            over_http(connection),
            base_url=f"{live_server.url}/scim/v2",
            headers={"Authorization": f"Bearer {sandbox.token}"},
        )
        client.discover()
        yield client


def test_an_unmodified_client_creates_changes_lists_and_deactivates(scim: WSGISCIMClient) -> None:
    user_type = scim.get_resource_model("User")
    made = scim.create(
        user_type(user_name="bjensen@example.com", name={"givenName": "Barbara"}, active=True, display_name="Babs")
    )
    assert made.id and made.active is True and made.meta.location.endswith(f"/scim/v2/Users/{made.id}")

    made.display_name = "Barbara"
    assert scim.replace(made).display_name == "Barbara"

    patch = PatchOp[user_type](operations=[PatchOperation(op="replace", path="title", value="Engineer")])
    assert scim.modify(user_type, made.id, patch).title == "Engineer"

    listed = scim.query(user_type, query_parameters=SearchRequest(filter='userName eq "BJENSEN@example.com"'))
    assert [one.id for one in listed.resources] == [made.id]

    patch = PatchOp[user_type](operations=[PatchOperation(op="replace", path="active", value=False)])
    assert scim.modify(user_type, made.id, patch).active is False
    assert scim.query(user_type, made.id).active is False


def test_an_unmodified_client_keeps_a_group(scim: WSGISCIMClient) -> None:
    user_type, group_type = scim.get_resource_model("User"), scim.get_resource_model("Group")
    ada, eva = (scim.create(user_type(user_name=name)) for name in ("ada", "eva"))
    group = scim.create(group_type(display_name="Staff", members=[{"value": ada.id}]))
    patch = PatchOp[group_type](operations=[PatchOperation(op="add", path="members", value=[{"value": eva.id}])])
    scim.modify(group_type, group.id, patch)
    assert {member.value for member in scim.query(group_type, group.id).members} == {ada.id, eva.id}
    scim.delete(group_type, group.id)
    gone = scim.query(group_type, group.id, raise_scim_errors=False)
    assert isinstance(gone, Error) and gone.status == 404


def prepared(client: WSGISCIMClient) -> WSGISCIMClient:
    """What the tester can't know, told to the client that it asks for models; the server is the same.

    Our own extension is not written, and in answers it is read over. The tester removes an extension whole and wants
    nothing left of it, but of an account that is no person's the server always tells its kind and its end; and it adds
    owners twice, and wants only the second ones, where RFC 7644 section 3.5.2.1 appends. For a dateTime it makes up a
    random word, which its own client refuses to send, unless the field has examples. And an agent whom nobody answers
    for is not active when it is told to be: the tester, which names nobody, is told that it can only read that.
    """
    known = client.provider
    schemas = [schema.model_copy(deep=True) for schema in known.schemas if schema.id != NHI_URN]
    (agent,) = [schema for schema in schemas if schema.id == AGENT_URN]
    (active,) = [one for one in agent.attributes or () if one.name == "active"]
    active.mutability = Mutability.read_only
    types = [
        kind.model_copy(
            update={"schema_extensions": [one for one in kind.schema_extensions or () if one.schema_ != NHI_URN]}
        )
        for kind in known.resource_types
    ]
    policy = ScimPolicy(unknown=ScimPolicy.Unknown.ignore)
    client.provider = ScimProvider.from_discovery(schemas, types, known.config, policy)
    fields: dict[str, Any] = client.get_resource_model("AgenticApplication").model_fields
    fields["last_accessed"].examples = [dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)]
    return client


def test_the_conformance_tester_finds_no_fault_three_times_in_a_row(scim: WSGISCIMClient) -> None:
    prepared(scim)
    for _ in range(3):
        results = check_server(scim)
        faults = [one for one in results if one.status != Status.SUCCESS]
        assert faults == [], "\n".join(f"{one.status} {one.title}: {one.reason}" for one in faults)
        by_type = {(one.resource_type, one.title) for one in results if one.resource_type}
        # Made, read, listed with and without attributes, replaced, patched in three ways, ended: each kind.
        assert {name for name, title in by_type if title == "check_remove_attribute"} == {
            k.name for k in RESOURCE_TYPES
        }
        assert len(by_type) >= 10 * len(RESOURCE_TYPES)


def test_the_strict_probe_with_agents_fails_nothing_and_skips_nothing(live_server: Any, sandbox: Idp) -> None:
    found = run_probe_api(f"{live_server.url}/scim/v2", token=sandbox.token, strict=True)
    summary = found["summary"]
    unwell = [one for one in found["results"] if one["status"].lower() != "pass"]
    assert unwell == []
    assert (summary["failed"], summary["skipped"], summary["errors"], summary["warnings"]) == (0, 0, 0, 0)
    assert summary["passed"] == summary["total"] > 40
    assert {one["phase"] for one in found["results"]} >= {
        "Phase 4 — Agent CRUD Lifecycle",
        "Phase 5 — AgenticApplication CRUD Lifecycle",
        "Phase 5a — Agent Rapid Lifecycle",
    }
