"""Which statements a request sends to the database, and how long it waits for them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.test import Client

from bench.company import GROUP_URN, Company, Person, user_id
from local.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BASE = "/scim/v2"
_FIRST = "Block 0000"


@dataclass
class Statements:
    """What was sent to the database, and the seconds until it answered."""

    texts: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, execute: Callable[..., Any], text: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001
        """Django's wrapper around each statement."""
        started = time.perf_counter()
        try:
            return execute(text, params, many, context)
        finally:
            self.seconds += time.perf_counter() - started
            self.texts.append(text)


def _asked(facts: dict[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """One request of each kind: what it is, method, address, body. `{made}` is who was made by the one before."""
    group, person = f"{BASE}/Groups/{facts['groups'][_FIRST]}", Person(n=5)
    spare = [{"value": str(user_id(Company(people=facts["people"]).spare[0]))}]
    for attribute, value in (
        ("userName", person.user_name),
        ("externalId", person.external_id),
        ("emails.value", person.email),
    ):
        yield f"filter {attribute}", "GET", f'{BASE}/Users?filter={attribute}%20eq%20"{value}"', None
    yield "list 100", "GET", f"{BASE}/Users?count=100", None
    yield "get user", "GET", f"{BASE}/Users/{user_id(person.n)}", None
    yield "get group 1,000", "GET", group, None
    yield "create", "POST", f"{BASE}/Users", Person(n=9_000_000 + time.monotonic_ns() % 900_000).body
    off = {"op": "replace", "path": "active", "value": False}
    yield "deactivate", "PATCH", f"{BASE}/Users/{{made}}", {"Operations": [off]}
    add = {"op": "add", "path": "members", "value": spare}
    yield "add member", "PATCH", group, {"Operations": [add]}
    members = [{"value": str(user_id(n))} for n in range(1, 1_001)]
    yield "put group 1,000", "PUT", group, {"schemas": [GROUP_URN], "displayName": _FIRST, "members": members}


def requests(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Statements and seconds by kind of request, all of it: token, ledger, answer. BEGIN and COMMIT are not counted."""
    found: dict[str, dict[str, Any]] = {}
    client, made = Client(SERVER_NAME=LOOPBACK), ""
    for name, method, path, body in _asked(facts):
        statements = Statements()
        data = json.dumps(body) if body else ""
        started = time.perf_counter()
        with connection.execute_wrapper(statements):
            response: Any = client.generic(
                method, path.replace("{made}", made), data, content_type="application/scim+json",
                headers={"Authorization": f"Bearer {facts['token']}"},
            )  # fmt: skip
            content = b"".join(response.streaming_content) if response.streaming else response.content
        seconds = time.perf_counter() - started
        made = json.loads(content)["id"] if name == "create" else made
        found[name] = {
            "status": response.status_code, "statements": len(statements.texts), "seconds": seconds,
            "database": statements.seconds,
        }  # fmt: skip
    return found
