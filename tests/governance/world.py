"""A system on pages: connected, read, with one token; and what a page says."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import TYPE_CHECKING, Any, NamedTuple

from django.urls import reverse

from audit.scope import scope
from provisioning import tokens
from tests.conftest import a_cause
from tests.factories.governance import a_connection, a_system, now

if TYPE_CHECKING:
    from django.http import HttpResponse

    from accounts.models import System, Tenant
    from provisioning.models.connection import Connection, SystemToken


class World(NamedTuple):
    """A system that is read and has one token."""

    tenant: Tenant
    system: System
    connection: Connection
    token: SystemToken
    text: str

    def url(self, name: str) -> str:
        """The address of a page about it."""
        path = reverse(name, kwargs=self.arguments(name))
        return f"/t/{self.tenant.slug}{path}"

    def arguments(self, name: str) -> dict[str, Any]:
        """What the address names."""
        if name in {"systems", "system-new"}:
            return {}
        if name in {"system-token-rotate", "system-token-end"}:
            return {"pk": self.system.pk, "token": self.token.pk}
        return {"pk": self.system.pk}


def make_world(tenant: Tenant, name: str = "Okta") -> World:
    at = now()
    with scope(tenant=tenant.pk, cause=a_cause()):
        system = a_system(tenant, name, at=at)
        connection = a_connection(system, read_at=at - dt.timedelta(minutes=5))
        token, text = tokens.make_token(
            system=system, label="provisioning tab", may=["read", "write"], made_by=None, at=at,
            expires_at=at + dt.timedelta(days=100),
        )  # fmt: skip
    return World(tenant, system, connection, token, text)


def text_of(answer: HttpResponse) -> str:
    """What a page says, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())
