"""A real SCIM server by other authors, on loopback, whose answers a test may bend; and our own side of what it holds."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
from scim2_server.memory import InMemoryStorage
from scim2_server.testserver.application import BearerTokenApplication
from scim2_server.utils import load_default_provider

from accounts import lifecycle, memberships
from accounts.models import AccountKind, SystemKind
from provisioning import connections, systems
from provisioning.changes import fold, user_name_key
from provisioning.models import Shadow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from accounts.models import Account, Group, System, Tenant

TOKEN = "Towards-the-directory.1"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@dataclass
class Asked:
    """One request for a page, as the server saw it."""

    path: str
    query: dict[str, str]

    @property
    def start(self) -> int:
        return int(self.query.get("startIndex", "0"))


@dataclass
class FakeDirectory:
    """`before` is called for each request; `bend` may change a JSON answer, or give (status, document) in its place."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    before: Callable[[Asked], None] = lambda asked: None
    bend: Callable[[Asked, dict[str, Any]], Any] = lambda asked, document: document
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}))
    _bending: bool = False

    def user(self, user_name: str, *, active: bool | None = True, **more: Any) -> str:
        document = {"schemas": [USER], "userName": user_name, **more} | ({} if active is None else {"active": active})
        return str(self._send("POST", "/Users", document)["id"])

    def group(self, name: str, *members: str) -> str:
        document = {"schemas": [GROUP], "displayName": name, "members": [{"value": m, "type": "User"} for m in members]}
        return str(self._send("POST", "/Groups", document)["id"])

    def change(self, remote_id: str, *, path: str = "Users", **values: Any) -> None:
        document = self._send("GET", f"/{path}/{remote_id}")
        self._send("PUT", f"/{path}/{remote_id}", document | values)

    def members(self, group: str, *members: str) -> None:
        self.change(group, path="Groups", members=[{"value": one, "type": "User"} for one in members])

    def delete(self, remote_id: str, *, path: str = "Users") -> None:
        self._send("DELETE", f"/{path}/{remote_id}")

    def pages(self) -> list[tuple[str, int]]:
        return [(one.path.rpartition("/")[2], one.start) for one in self.asked if "startIndex" in one.query]

    def _send(self, method: str, path: str, document: Any = None) -> Any:
        answer = self._http.request(method, self.url + path, json=document, headers={"X-Test": "1"})
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


def _bending(directory: FakeDirectory, application: Any) -> Any:
    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("HTTP_X_TEST"):
            return application(environ, start_response)
        asked = Asked(environ["PATH_INFO"], dict(parse_qsl(environ.get("QUERY_STRING", ""))))
        directory.asked.append(asked)
        directory.before(asked)
        seen: dict[str, Any] = {}

        def remember(status: str, headers: Any, exc_info: Any = None) -> None:
            seen.update(status=status, headers=headers)

        body = b"".join(application(environ, remember))
        bent = directory.bend(asked, json.loads(body))
        if isinstance(bent, tuple):
            seen["status"], bent = f"{bent[0]} bent", bent[1]
        data = json.dumps(bent).encode()
        start_response(seen["status"], [("Content-Type", "application/scim+json"), ("Content-Length", str(len(data)))])
        return [data]

    return serve


@cache
def _provider() -> Any:
    """What the server announces; making it takes longer than a test."""
    return load_default_provider()


@contextmanager
def serving() -> Iterator[FakeDirectory]:
    """An empty directory until the end of the block."""
    directory = FakeDirectory()
    application = BearerTokenApplication(InMemoryStorage(), _provider(), bearer_tokens=[TOKEN])
    with make_server("127.0.0.1", 0, _bending(directory, application), _Threaded, _Quiet) as server:
        directory.url = f"http://127.0.0.1:{server.server_port}/v2"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield directory
        finally:
            directory._http.close()
            server.shutdown()
            thread.join()


def a_system(
    tenant: Tenant, *, at: datetime, name: str = "Okta", directory: FakeDirectory | None = None, **how: Any
) -> System:
    """A system, read from that directory if there is one. Needs a scope with a cause."""
    made = systems.make_system(tenant_id=tenant.pk, name=name, kind=SystemKind.DIRECTORY, made_by=None, at=at)
    if directory is not None:
        values = {"canary_user_name": "canary", "page_size": 3, "shrink_percent": 100} | how
        connections.connect(system=made, base_url=directory.url, secret=TOKEN, at=at, **values)
    return made


def known(
    system: System,
    user_name: str,
    *,
    at: datetime,
    remote_id: str = "",
    active: bool = True,
    display: str = "",
    **more: Any,
) -> Account:
    """A person whom the system provisioned: an account and its shadow."""
    account = lifecycle.create(
        tenant_id=system.tenant_id, kind=AccountKind.PERSON, user_name=user_name, user_name_key=user_name_key(user_name),
        is_active=active, at=at, **more,
    )  # fmt: skip
    Shadow.objects.create(
        tenant_id=system.tenant_id, system=system, resource_type="User", account=account, name=user_name,
        name_key=user_name_key(user_name), external_id=remote_id, wants_active=active, made_at=at, changed_at=at,
        document={"displayName": display} if display else {}, display_name_key=fold(display),
    )  # fmt: skip
    return account


def known_group(system: System, name: str, *members: Account, at: datetime, remote_id: str = "", **more: Any) -> Group:
    """A group that the system provisioned, with these members."""
    group = memberships.create_group(
        tenant_id=system.tenant_id, display_name=name, display_name_key=fold(name), document={}, at=at
    )
    for field_name, value in more.items():
        setattr(group, field_name, value)
    group.save()
    Shadow.objects.create(
        tenant_id=system.tenant_id, system=system, resource_type="Group", group=group, name=name, name_key=fold(name),
        external_id=remote_id, made_at=at, changed_at=at,
    )  # fmt: skip
    refs = {s.account_id: s.pk for s in Shadow.objects.filter(system=system, resource_type="User")}
    memberships.add(
        group=group, system=system, members=[memberships.Member(ref=refs[a.pk], account=a.pk) for a in members], at=at
    )
    return group
