"""Who looks at most pages of systems and people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts.models import RoleName
from tests.governance.shell import a_user, enter
from tests.governance.world import make_world

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Tenant, User
    from tests.governance.world import World


@pytest.fixture
def world(tenant: Tenant) -> World:
    """Okta, read five minutes ago, with one token."""
    return make_world(tenant)


@pytest.fixture
def administrator(tenant: Tenant) -> User:
    """Whoever connects systems and asks for roles."""
    return a_user("m.ito", RoleName.ADMINISTRATOR, tenant=tenant)


@pytest.fixture
def admin(client: Client, administrator: User) -> Client:
    """Their browser."""
    return enter(client, administrator)
