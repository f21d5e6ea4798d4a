"""Resources as systems know them: found by their own system alone, and one of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from provisioning import intake, shadows
from provisioning.models.shadow import Shadow
from provisioning.shadows import Conflict
from tests.factories import governance as make
from tests.factories.intakes import (
    create,
)

if TYPE_CHECKING:
    import datetime as dt

    from accounts.models import System, Tenant


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [("name_key", "ada", "userName"), ("external_id", "00u1", "externalId")],
)
def test_a_race_for_a_name_is_a_conflict_and_no_database_error(
    system: System, now: dt.datetime, column: str, value: str, field: str
) -> None:
    create(system, now, "ada", external_id="00u1")
    other = create(system, now, "bob").shadow
    setattr(other, column, value)
    with pytest.raises(Conflict) as raised:
        intake.save_shadow(other, is_new=False)
    assert raised.value.field == field


def test_a_race_for_one_account_is_a_conflict_and_no_database_error(system: System, now: dt.datetime) -> None:
    first = create(system, now, "ada").shadow
    second = Shadow(
        tenant_id=system.tenant_id, system=system, resource_type="User", account=first.account, name="b",
        name_key="b", made_at=now, changed_at=now,
    )  # fmt: skip
    with pytest.raises(Conflict):
        intake.save_shadow(second, is_new=True)


def test_a_resource_is_found_by_its_own_system_and_type_alone(tenant: Tenant, system: System, now: dt.datetime) -> None:
    shadow = create(system, now, "ada").shadow
    other = make.a_system(tenant, "Entra", at=now)
    assert shadows.lock_shadow(system=other, resource_type="User", id=shadow.pk) is None
    assert shadows.lock_shadow(system=system, resource_type="Group", id=shadow.pk) is None
    assert shadows.lock_shadow(system=system, resource_type="User", id=uuid4()) is None
