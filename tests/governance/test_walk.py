"""Every address of a tenant's pages, walked: by each role, by nobody, and from another tenant."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from accounts.models import RoleName
from accounts.rules import ROLES, Word
from governance.admin import urls as admin_urls
from governance.portal import urls as portal_urls
from tests.governance.shell import a_user, enter

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from django.urls import URLPattern

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

NOBODYS = uuid.UUID(int=7 << 76 | 2 << 62)


def path_of(pattern: URLPattern, *, under: str) -> str:
    """The address of a page, about something that does not exist where it is about something."""
    route = str(pattern.pattern)
    for name in pattern.pattern.converters:
        route = route.replace(f"<uuid:{name}>", str(NOBODYS))
    assert "<" not in route
    return f"/{under}/{route}"


ADMIN = [(p.name, path_of(p, under="admin")) for p in admin_urls.urlpatterns]
PORTAL = [(p.name, path_of(p, under="my")) for p in portal_urls.urlpatterns]
EVERY = ADMIN + PORTAL


def test_there_is_something_to_walk() -> None:
    assert len(ADMIN) > 40
    assert len(PORTAL) > 4


def test_somebody_of_another_tenant_finds_nothing_at_any_address(
    client: Client, make_tenant: Callable[..., Tenant]
) -> None:
    mine, other = make_tenant("mine"), make_tenant("other")
    enter(client, a_user("l.chen", RoleName.SECURITY, RoleName.ADMINISTRATOR, tenant=mine))
    for name, path in EVERY:
        for answer in (client.get(f"/t/other{path}"), client.post(f"/t/other{path}", {"reason": "let me in"})):
            assert answer.status_code == 404, name
            assert other.name not in answer.content.decode()


def test_nobody_reaches_any_address_without_signing_in(client: Client, tenant: Tenant) -> None:
    for name, path in EVERY:
        answer = client.get(f"/t/{tenant.slug}{path}")
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, "/login/"), name


def test_an_owner_is_refused_at_every_address_of_security(client: Client, tenant: Tenant) -> None:
    enter(client, a_user("k.osei", RoleName.OWNER, tenant=tenant))
    for name, path in ADMIN:
        assert client.get(f"/t/{tenant.slug}{path}").status_code == 403, name


@pytest.mark.parametrize("role", [RoleName.SECURITY, RoleName.AUDITOR, RoleName.ADMINISTRATOR])
def test_whoever_reads_the_roll_gets_a_page_or_a_reason_and_never_an_error(
    role: RoleName, client: Client, tenant: Tenant
) -> None:
    enter(client, a_user("somebody", role, tenant=tenant))
    for name, path in ADMIN:
        answer = client.get(f"/t/{tenant.slug}{path}")
        assert answer.status_code in {200, 403, 404, 405}, name
        list(answer)  # a file is read to its end, as a browser does: that closes it


def test_an_auditor_may_read_the_roll_and_nothing_more() -> None:
    assert ROLES[RoleName.AUDITOR] == frozenset({Word.ROLL_READ})
