"""A directory asks to be answered later: what it was promised is kept, whoever dies before or after the promise."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from audit.scope import scope
from provisioning import tasks
from provisioning.models import Received
from tests.factories.scim import PATCH_URN, a_group, a_user, connect
from tests.flows.drill.sender import Sender
from tests.flows.drill.stories import Step, Story, a_tenant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.factories.scim import Idp
    from tests.flows.drill.installation import Running

LATER = "respond-async"
ENDING: dict[str, Any] = {
    "accounts": [("ada", "deprovisioned", 1, True, True), ("bob", "deprovisioned", 1, True, True),
                 *[(name, "active", 0, True, None) for name in ("cyd", "dan")]],
    "exchanges": [
        ("DELETE", "bob", "delete", "applied", 204),
        ("PATCH", "Staff", "member_add", "applied", 200),
        ("PATCH", "ada", "disable", "applied", 200),
        *[("POST", name, "create", "applied", 201) for name in ("Night", "Staff", "ada", "bob", "cyd", "dan")],
    ],
    "members": [("Staff", "bob", True), ("Staff", "cyd", None)],
}  # fmt: skip


@dataclass
class Ahead(Story):
    """What a directory sends ahead, each once: with keys of its own."""

    idp: Idp
    ids: dict[str, str]
    ending: ClassVar[dict[str, Any]] = ENDING

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Self]:
        """Needs nothing that lives."""
        idp = connect(a_tenant("ahead"), "Okta")
        ids = {name: idp.user(name) for name in ("ada", "bob", "cyd")}
        ids["Staff"] = idp.group("Staff", ids["bob"])
        made = cls(idp.tenant, idp, ids)
        made.begin()
        yield made

    def begin(self) -> None:
        """What has been sent before the story is told."""

    def requests(self) -> list[tuple[str, str, Any, str]]:
        """Method, path, body and key."""
        joins = {"op": "add", "path": "members", "value": [{"value": self.ids["cyd"]}]}
        off = {"op": "replace", "path": "active", "value": False}
        return [
            ("POST", "/Users", a_user("dan"), "key 1"),
            ("PATCH", f"/Groups/{self.ids['Staff']}", _patch(joins), "key 2"),
            ("PATCH", f"/Users/{self.ids['ada']}", _patch(off), "key 3"),
            ("POST", "/Groups", a_group("Night"), "key 4"),
            ("DELETE", f"/Users/{self.ids['bob']}", None, "key 5"),
        ]

    def is_applied(self) -> bool:
        """Whether nothing waits any more."""
        with scope(tenant=self.tenant.pk):
            return not Received.objects.filter(state="waiting").exists()


class Promising(Ahead):
    """The requests; somebody dies in the middle of each. Then they are applied, by nobody who dies."""

    process: ClassVar[str] = "web"

    def tell(self, running: Running, *, database: str, may_crash: bool = False) -> None:
        """Send each until it is acknowledged."""
        running.until(running.answers, what="the web process")
        self.answers.clear()
        mark = running.installation.mark
        with Sender(running.address, self.idp.token, between=running.turn) as sender:
            for method, path, body, key in self.requests():
                if may_crash:
                    mark.unlink(missing_ok=True)  # armed again
                answer = sender.send(method, path, body, key=key, prefer=LATER)
                if may_crash and not mark.exists():
                    raise AssertionError(f"{method} {path} did not pass {running.logs}")
                self.answers.append((f"{method} {path}", answer.status, answer.body))
        with running.installation.looking(database):
            while not self.is_applied():
                tasks.apply_received()


class Applying(Ahead):
    """All of it has been acknowledged; a worker dies once while it applies it."""

    def begin(self) -> None:
        """Everything is promised."""
        for method, path, body, key in self.requests():
            assert self.idp.call(method, path, body, Idempotency_Key=key, Prefer=LATER).status == 202

    def steps(self) -> list[Step]:
        return [Step(tasks=("provisioning.tasks.apply_received",), is_over=self.is_applied)]


def _patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}
