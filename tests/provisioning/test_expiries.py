"""Until when an account lives that comes back."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from accounts.models import Account
from provisioning import expiries

if TYPE_CHECKING:
    from accounts.models import Tenant
    from audit.models import Cause


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("person", None, None), ("person", 30, 30), ("person", -1, None), ("service", 30, 180), ("service", -1, 180)],
)
def test_a_machine_comes_back_with_the_tenants_default_and_a_person_with_what_lies_ahead(
    tenant: Tenant, because: Cause, now: dt.datetime, kind: str, before: int | None, after: int | None
) -> None:
    def days(number: int | None) -> dt.datetime | None:
        return None if number is None else now + dt.timedelta(days=number)

    now = now.replace(microsecond=0)
    account = Account(tenant=tenant, kind=kind, expires_at=days(before))
    assert expiries.new_expiry(account, at=now) == days(after)
