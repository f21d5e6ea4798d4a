"""Resources as systems know them: found by their own system alone, and one of a name."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from django.db import connection, transaction

from provisioning import intake, shadows
from provisioning.models.shadow import Shadow, ShadowCount
from provisioning.shadows import Conflict
from tests.conftest import as_owner
from tests.factories import governance as make
from tests.factories.intakes import create, end

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


def counted(system: System) -> int:
    """What the total says, which must be what counting says."""
    living = Shadow.objects.filter(system=system, resource_type="User", ended_at__isnull=True).count()
    assert shadows.living_count(system=system, resource_types=["User"]) == living
    return living


def test_the_running_total_is_what_counting_would_say(system: System, now: dt.datetime) -> None:
    assert counted(system) == 0
    made = [create(system, now, name).shadow for name in ("ada", "bob", "eva")]
    assert counted(system) == 3
    end(made[0], now)
    assert counted(system) == 2
    with pytest.raises(Conflict), transaction.atomic():
        create(system, now, "fay")
        create(system, now, "bob")
    assert counted(system) == 2
    Shadow.objects.filter(pk=made[1].pk).update(version=7, changed_at=now)
    assert counted(system) == 2
    Shadow.objects.filter(system=system, ended_at__isnull=True).update(ended_at=now)
    assert counted(system) == 0
    assert shadows.living_count(system=system, resource_types=["Group"]) == 0


def test_folding_keeps_the_total_and_leaves_a_row_for_each_system_and_type(system: System, now: dt.datetime) -> None:
    for name in ("ada", "bob", "eva"):
        create(system, now, name)
    assert ShadowCount.objects.filter(system=system).count() == 3
    assert shadows.fold_counts() == 1
    assert ShadowCount.objects.filter(system=system).count() == 1
    assert counted(system) == 3
    assert shadows.fold_counts() == 0
    create(system, now, "fay")
    assert counted(system) == 4


def test_a_total_is_told_by_an_index_alone(system: System, now: dt.datetime) -> None:
    create(system, now, "ada")
    ShadowCount.objects.bulk_create(
        ShadowCount(tenant_id=system.tenant_id, system=system, resource_type="Group", delta=1) for _ in range(2_000)
    )
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("ANALYZE provisioning_shadowcount")
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN SELECT sum(delta) FROM provisioning_shadowcount WHERE system_id = %s AND resource_type = 'User'",
            [system.pk],
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "provisioning_shadows_counted" in plan
