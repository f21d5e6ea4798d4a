"""What laws are tried on: a directory whose users and groups have something of everything, and one profile for all.

The examples are chosen by a fixed seed: a law that fails here fails everywhere, and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.factories.scim import connect
from tests.laws.world import fill

if TYPE_CHECKING:
    from accounts.models import Tenant
    from tests.factories.scim import Idp


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    """One directory of one tenant."""
    return connect(tenant)


@pytest.fixture
def filled(idp: Idp) -> Idp:
    """The same, with users and groups."""
    fill(idp)
    return idp
