"""Directories whose recorded traffic we answer."""

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
