"""A directory that speaks SCIM to us: a system with a token, and a client that sends what identity providers send."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.test import Client

from accounts.models.system import ReactivationPolicy, SystemKind
from audit.scope import scope
from provisioning import bodies, systems, tokens
from provisioning.models.exchange import Exchange
from provisioning.models.shadow import Shadow
from provisioning.scim.metadata.catalogue import GROUP_URN, USER_URN
from tests.conftest import a_cause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpResponse

    from accounts.models import Tenant
    from accounts.models.system import System

BASE = "/scim/v2"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


@dataclass(frozen=True)
class Reply:
    """One answer: status, JSON body (None without content), headers."""

    status: int
    body: Any
    headers: dict[str, str] = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    @classmethod
    def of(cls, response: HttpResponse, *, is_bodiless: bool = False) -> Reply:
        """The answer, which must be SCIM, never HTML, and never empty if it refuses."""
        content = b"".join(response.streaming_content) if response.streaming else response.content
        assert response.headers["Content-Type"] == "application/scim+json", response.headers
        body = json.loads(content) if content else None
        assert is_bodiless or response.status_code < 400 or body["status"] == str(response.status_code)
        return cls(response.status_code, body, dict(response.headers))


@dataclass
class Idp:
    """One system with one token."""

    tenant: Tenant
    system: System
    token: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=True))

    def call(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Reply:
        """One request. Header names use underscores; `Content_Type` and `Authorization` can be replaced."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content_type = named.pop("Content-Type", "application/scim+json")
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.token}", **named}
        answer = self.client.generic(method, f"{BASE}{path}", data, content_type=content_type, headers=sent)
        return Reply.of(answer, is_bodiless=method == "HEAD")

    def get(self, path: str, **headers: str) -> Reply:
        """Read."""
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        """Make."""
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Reply:
        """Replace."""
        return self.call("PUT", path, body, **headers)

    def patch(self, path: str, *operations: Any, **headers: str) -> Reply:
        """Change by these operations."""
        return self.call("PATCH", path, {"schemas": [PATCH_URN], "Operations": list(operations)}, **headers)

    def delete(self, path: str, **headers: str) -> Reply:
        """End."""
        return self.call("DELETE", path, **headers)

    def user(self, user_name: str = "ada@example.com", /, **attributes: Any) -> str:
        """Make a user; its id."""
        made = self.post("/Users", a_user(user_name, **attributes))
        assert made.status == 201, made
        return str(made["id"])

    def group(self, name: str = "Staff", *members: str, **attributes: Any) -> str:
        """Make a group; its id."""
        made = self.post("/Groups", a_group(name, *members, **attributes))
        assert made.status == 201, made
        return str(made["id"])

    def members(self, group: str) -> set[str]:
        """Who is in a group, by id."""
        return {member["value"] for member in self.get(f"/Groups/{group}").body.get("members", [])}

    def exchanges(self) -> list[Exchange]:
        """The ledger of this system, oldest first, each with its bodies in clear."""
        with scope(tenant=self.tenant.pk):
            return opened(Exchange.objects.filter(system=self.system).order_by("id"))

    def last(self) -> Exchange:
        """The latest exchange."""
        return self.exchanges()[-1]

    def shadow(self, id: str) -> Shadow:  # noqa: A002  SCIM's word
        """A resource's row, with its account and group."""
        with scope(tenant=self.tenant.pk):
            return Shadow.objects.select_related("account", "group").get(pk=id)


def opened(exchanges: Iterable[Exchange]) -> list[Exchange]:
    """Exchanges as who may read them is shown them: what was sent and answered stands in `request` and `answer`."""
    rows = list(exchanges)
    kept = bodies.shown_all(rows)
    for one in rows:
        assert not kept[one.pk].problem
        one.request, one.answer = kept[one.pk].request, kept[one.pk].answer
    return rows


def connect(
    tenant: Tenant,
    name: str = "Entra",
    *,
    may: Iterable[str] = ("read", "write"),
    policy: ReactivationPolicy = ReactivationPolicy.APPROVAL,
    of: System | None = None,
) -> Idp:
    """A directory of that tenant, or `of` one that is there, with a token that is good for a year."""
    now = dt.datetime.now(dt.UTC)
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = of or systems.make_system(
            tenant_id=tenant.pk, name=name, kind=SystemKind.DIRECTORY, made_by=None, at=now, policy=policy
        )
        _, text = tokens.make_token(
            system=system, label="test", may=list(may), expires_at=now + dt.timedelta(days=365), made_by=None, at=now
        )
    return Idp(tenant=tenant, system=system, token=text)


def a_user(user_name: str = "ada@example.com", /, **attributes: Any) -> dict[str, Any]:
    """A User body as providers send it."""
    return {"schemas": [USER_URN], "userName": user_name, "active": True, **attributes}


def a_group(name: str = "Staff", *members: str, **attributes: Any) -> dict[str, Any]:
    """A Group body as providers send it."""
    listed = {"members": [{"value": member} for member in members]} if members else {}
    return {"schemas": [GROUP_URN], "displayName": name, **listed, **attributes}
