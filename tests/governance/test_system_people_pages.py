"""Who administers a system, on its page: written down, ended, and barred from its questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts.models import RoleName, Tenant, User
from accounts.models.system import SystemAdministrator
from accounts.rules import ROLES, Word
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import systems
from tests.conftest import a_cause
from tests.factories.governance import now
from tests.governance.shell import a_user, enter
from tests.governance.world import World, make_world, text_of

if TYPE_CHECKING:
    from django.test import Client

pytestmark = [pytest.mark.face, pytest.mark.django_db]


@pytest.fixture
def chen(tenant: Tenant) -> User:
    return a_user("l.chen", RoleName.SECURITY, tenant=tenant)


def new(world: World) -> str:
    return f"{world.url('system')}administrators/"


def row_of(world: World) -> SystemAdministrator:
    with scope(tenant=world.tenant.pk):
        return SystemAdministrator.objects.get(until__isnull=True)


def test_somebody_is_written_down_counts_at_once_and_for_thirty_days_after(
    admin: Client, world: World, chen: User
) -> None:
    answer = admin.post(new(world), {"username": " L.Chen ", "reason": "runs Okta"}, follow=True)
    shown = text_of(answer)
    assert "l.chen administers Okta." in shown
    assert "Who administers it l.chen since" in shown
    assert "End l.chen" in shown
    with scope(tenant=world.tenant.pk):
        assert chen.identity_id in systems.requesters(system=world.system, at=now())
        assert JournalEntry.objects.latest("id").sentence == "m.ito: Okta: one more administers it. runs Okta"
    end = f"{new(world)}{row_of(world).pk}/end/"
    assert "Does l.chen no longer administer Okta?" in text_of(admin.get(end))
    assert "l.chen administers Okta no longer." in text_of(admin.post(end, {"reason": "moved"}, follow=True))
    assert "in the last 30 days: l.chen." in text_of(admin.get(world.url("system")))
    assert admin.get(end).status_code == 404


@pytest.mark.parametrize("name", ["nobody", "k.osei", "gone", "\x00"])
def test_a_name_that_nobody_here_signs_in_with_is_refused(
    admin: Client, world: World, tenant: Tenant, make_tenant: object, name: str
) -> None:
    other: Tenant = make_tenant("globex")  # type: ignore[operator]
    a_user("k.osei", RoleName.ADMINISTRATOR, tenant=other)
    gone = a_user("gone", RoleName.OWNER, tenant=tenant)
    with scope(cause=a_cause()):
        User.objects.filter(pk=gone.pk).update(is_active=False)
    answer = admin.post(new(world), {"username": name, "reason": "runs Okta"})
    assert answer.status_code == 422
    assert "invite them first" in text_of(answer) or "Null characters" in text_of(answer)


@pytest.mark.parametrize("role", list(RoleName))
def test_each_role_adds_and_ends_by_its_words(client: Client, world: World, chen: User, role: RoleName) -> None:
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        systems.add_administrator(system=world.system, identity=chen.identity_id, at=now())
    enter(client, a_user("somebody", role, tenant=world.tenant))
    allowed = Word.SYSTEM_MANAGE in ROLES[role]
    for url in (new(world), f"{new(world)}{row_of(world).pk}/end/"):
        assert client.get(url).status_code == (200 if allowed else 403)
        assert client.post(url).status_code == (422 if allowed else 403)


def test_the_row_of_another_system_is_not_found_below_this_one(admin: Client, world: World, chen: User) -> None:
    other = make_world(world.tenant, "GitHub")
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        systems.add_administrator(system=other.system, identity=chen.identity_id, at=now())
    assert admin.get(f"{new(world)}{row_of(other).pk}/end/").status_code == 404
