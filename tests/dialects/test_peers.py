"""Programs that we did not write, unchanged: scim2-client over HTTP against a server of ours, scim2-tester in process."""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from scim2_client.engines.wsgi import WSGISCIMClient
from scim2_models import Error, PatchOp, PatchOperation, ScimProvider, SearchRequest
from scim2_tester import Status, check_server

from accounts.models.system import ReactivationPolicy
from provisioning.scim.metadata.catalogue import NHI_URN
from tests.factories.scim import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = pytest.mark.dialect


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
def sandbox(transactional_db: None, tenant: Tenant) -> Idp:
    """A system to try clients with."""
    return connect(tenant, "Sandbox", policy=ReactivationPolicy.AUTOMATIC)


@pytest.fixture
def scim(transactional_db: None, live_server: Any, sandbox: Idp) -> WSGISCIMClient:
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


# What the tester asks for and does not get, each with the reason; anything else is a fault.
DEPARTURES = {
    # `active` answers honestly from the account: taking the attribute away neither ends it nor hides its state.
    ("check_remove_attribute", "active"),
}


def without_our_extension(client: WSGISCIMClient) -> None:
    """The tester fills every writable dateTime with a random word, which its own client then refuses to send."""
    provider = client.provider
    schemas = [schema for schema in provider.schemas if schema.id != NHI_URN]
    resource_types = [
        kind.model_copy(
            update={"schema_extensions": [one for one in kind.schema_extensions or () if one.schema_ != NHI_URN]}
        )
        for kind in provider.resource_types
    ]
    client.provider = ScimProvider.from_discovery(schemas, resource_types, provider.config, provider.policy)


@pytest.fixture
def one_connection() -> Iterator[None]:
    """Requests in this process use the connection of the test's transaction, and leave it open."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("one_connection")
def test_the_conformance_tester_finds_nothing_but_what_we_decided(tenant: Tenant) -> None:
    sandbox = connect(tenant, "Sandbox", policy=ReactivationPolicy.AUTOMATIC)
    client = WSGISCIMClient(
        get_wsgi_application(),
        base_url="http://testserver/scim/v2",
        headers={"Authorization": f"Bearer {sandbox.token}"},
    )
    client.discover()
    without_our_extension(client)
    results = check_server(client)
    faults = [one for one in results if one.status not in {Status.SUCCESS, Status.SKIPPED, Status.ACCEPTABLE}]
    named = {(one.title, found[1] if (found := re.search(r"'([^']+)'", one.reason or "")) else "") for one in faults}
    assert named == DEPARTURES, "\n".join(f"{one.title}: {one.reason}" for one in faults)
    assert sum(one.status == Status.SUCCESS for one in results) > 100
