"""A directory asks: what identity providers send, each request cut off once before its answer."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from accounts.models import ReactivationPolicy
from tests.factories import governance as make
from tests.factories.permits import an_exception
from tests.factories.scim import PATCH_URN, a_group, a_user, connect
from tests.flows.drill.sender import Answered, Sender
from tests.flows.drill.stories import Story, a_tenant, acting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.factories.scim import Idp
    from tests.flows.drill.installation import Running

BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"


@dataclass
class Asking(Story):
    """What identity providers send, once each: with a key of their own and without, alone and in bulk.

    `answers` is what they were told in the end, request by request.
    """

    approval: Idp
    sandbox: Idp
    ids: dict[str, str]
    process: ClassVar[str] = "web"
    ending: ClassVar[dict[str, Any]] = {
        "accounts": [
            ("ada", "deprovisioned", 1, True, True),
            ("bob", "deprovisioned", 1, True, True),
            *[(name, "active", 0, True, None) for name in ("cyd", "dan", "eve", "fay")],
            ("kit", "active", 1, True, True),
        ],
        "exchanges": [
            ("DELETE", "bob", "delete", "applied", 204),
            ("PATCH", "Staff", "member_add", "applied", 200),
            ("PATCH", "ada", "disable", "applied", 200),
            ("PATCH", "kit", "disable", "applied", 200),
            ("PATCH", "kit", "enable", "applied", 200),
            ("POST", "", "bulk", "applied", 200),
            *[
                ("POST", name, "create", "applied", 201)
                for name in ("Night", "Staff", "ada", "bob", "cyd", "dan", "eve", "fay", "kit")
            ],
        ],
        "members": [("Night", "eve", None), ("Staff", "ada", None), ("Staff", "bob", True)],
        "plans": [("reactivation", "done", 0, "1 done, 0 not done")],
    }

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Self]:
        """Needs nothing that lives."""
        tenant = a_tenant("asking")
        approval = connect(tenant, "Okta")
        sandbox = connect(tenant, "Sandbox", policy=ReactivationPolicy.AUTOMATIC)
        with acting(tenant):
            an_exception(sandbox.system, at=make.now() - dt.timedelta(hours=1))
        ids = {name: approval.user(name) for name in ("ada", "bob", "cyd")}
        ids["Staff"] = approval.group("Staff", ids["bob"])
        ids["kit"] = sandbox.user("kit")
        sandbox.patch(f"/Users/{ids['kit']}", {"op": "replace", "path": "active", "value": False})
        yield cls(tenant, approval, sandbox, ids)

    def tell(self, running: Running, *, database: str, may_crash: bool = False) -> None:
        """Send each request until it is answered; with `may_crash`, somebody dies in the middle of each."""
        running.until(running.answers, what="the web process")
        self.answers.clear()
        mark = running.installation.mark
        with (
            Sender(running.address, self.approval.token, between=running.turn) as okta,
            Sender(running.address, self.sandbox.token, between=running.turn) as box,
        ):
            for sender, method, path, body, key in self._requests(okta, box):
                if may_crash:
                    mark.unlink(missing_ok=True)  # armed again
                answer = sender.send(method, path, body, key=key)
                if may_crash and not mark.exists():
                    raise AssertionError(f"{method} {path} did not pass {running.logs}")
                if answer.status == 409:
                    found = sender.send("GET", f"/Users?filter=userName eq %22{body['userName']}%22")
                    answer = Answered(201, found["Resources"][0], answer.times)
                self.answers.append((f"{method} {path}", answer.status, _told(answer.body)))

    def _requests(self, okta: Sender, box: Sender) -> list[tuple[Sender, str, str, Any, str]]:
        off, on = ({"op": "replace", "path": "active", "value": value} for value in (False, True))
        joins = {"op": "add", "path": "members", "value": [{"value": self.ids["ada"]}]}
        bulk = {
            "schemas": [BULK_URN],
            "Operations": [
                {"method": "POST", "path": "/Users", "bulkId": "1", "data": a_user("eve")},
                {"method": "POST", "path": "/Groups", "bulkId": "2", "data": a_group("Night", "bulkId:1")},
            ],
        }
        return [
            (okta, "POST", "/Users", a_user("dan"), ""),
            (okta, "POST", "/Users", a_user("fay"), "a key of the sender's own"),
            (okta, "PATCH", f"/Groups/{self.ids['Staff']}", _patch(joins), ""),
            (okta, "PATCH", f"/Users/{self.ids['ada']}", _patch(off), ""),
            (okta, "DELETE", f"/Users/{self.ids['bob']}", None, "another"),
            (box, "PATCH", f"/Users/{self.ids['kit']}", _patch(on), ""),
            (okta, "POST", "/Bulk", bulk, "a third"),
        ]


def _patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def _told(body: Any) -> Any:
    """What the sender learns of the resource, without what is made anew each time."""
    if body is None or "Operations" in body:
        return body and [(one["method"], one["status"]) for one in body["Operations"]]
    return {name: body.get(name) for name in ("userName", "displayName", "active")}
