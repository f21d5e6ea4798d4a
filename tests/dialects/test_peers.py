"""Programs that we did not write, unchanged, over HTTP against a server of ours: scim2-client and scim2-tester."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_models import Error, PatchOp, PatchOperation, SearchRequest
from scim2_tester import Status, check_server

from accounts.models.system import ReactivationPolicy
from tests.factories.scim import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = [pytest.mark.dialect, pytest.mark.django_db(transaction=True)]


def over_http(address: str) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """What carries the client's requests over a socket: the client's own network engine needs a package more."""
    host = urlsplit(address).netloc

    def carry(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        headers = {
            name.removeprefix("HTTP_").replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_") and name != "HTTP_HOST"
        }
        headers |= {"Content-Type": environ["CONTENT_TYPE"]} if environ.get("CONTENT_TYPE") else {}
        query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request(environ["REQUEST_METHOD"], f"{environ['PATH_INFO']}{query}", body or None, headers)
            answer = connection.getresponse()
            start_response(f"{answer.status} {answer.reason}", answer.getheaders())
            return [answer.read()]
        finally:
            connection.close()

    return carry


@pytest.fixture
def sandbox(tenant: Tenant) -> Idp:
    """A system to try clients with."""
    return connect(tenant, "Sandbox", policy=ReactivationPolicy.AUTOMATIC)


@pytest.fixture
def scim(live_server: Any, sandbox: Idp) -> WSGISCIMClient:
    """The unmodified client, which has learned from the discovery endpoints what there is."""
    client = WSGISCIMClient(
        over_http(live_server.url),
        base_url=f"{live_server.url}/scim/v2",
        headers={"Authorization": f"Bearer {sandbox.token}"},
    )
    client.discover()
    return client


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


def test_the_conformance_tester_finds_no_fault(scim: WSGISCIMClient) -> None:
    results = check_server(scim)
    faults = [
        f"{result.title}: {result.reason}"
        for result in results
        if result.status not in {Status.SUCCESS, Status.SKIPPED, Status.ACCEPTABLE}
    ]
    assert faults == [], "\n".join(faults)
    assert sum(result.status == Status.SUCCESS for result in results) > 100
