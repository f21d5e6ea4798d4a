"""Directories that speak to us."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.factories.scim import connect

if TYPE_CHECKING:
    from accounts.models import Tenant
    from tests.factories.scim import Idp


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    """One directory of one tenant."""
    return connect(tenant)


@pytest.fixture
def other(tenant: Tenant) -> Idp:
    """Another directory of the same tenant."""
    return connect(tenant, "Okta")
