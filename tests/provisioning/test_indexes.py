"""What is asked for every request is found by an index, as the application's role and under row-level security."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from audit.models import history_of
from provisioning import brake, correlation
from provisioning.models import Shadow
from tests.conftest import AT
from tests.factories import governance as make
from tests.factories.intakes import change, create
from tests.factories.words import a_word

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import System, Tenant
    from audit.models import Cause


@pytest.fixture
def system(tenant: Tenant, because: Cause) -> System:
    return make.a_system(tenant, at=AT)


def plan_of(statement: str, parameters: Any = None) -> str:
    """How it would be found in tables too long to be read through."""
    with database.cursor() as cursor:
        cursor.execute("SELECT set_config('enable_seqscan', 'off', true)")
        cursor.execute(f"EXPLAIN (COSTS OFF) {statement}", parameters)
        return "\n".join(row[0] for row in cursor.fetchall())


LOOK_UPS: dict[str, tuple[Callable[[System], Any], str, str]] = {
    "who ever had that name": (
        lambda s: history_of(Shadow).objects.filter(system_id=s.pk, resource_type="User", name_key="ada"),
        "provisioning_shadows_named", "name_key",
    ),
    "who ever had that id": (
        lambda s: history_of(Shadow).objects.filter(system_id=s.pk, resource_type="User", external_id="00u1"),
        "provisioning_shadows_called", "external_id",
    ),
    "who ever had that address": (
        lambda s: history_of(Shadow).objects.filter(resource_type="User", email_key="ada@acme.example"),
        "provisioning_shadows_mailed", "email_key",
    ),
    "whose id it is or was": (
        lambda s: Shadow.objects.filter(system=s, resource_type="User", external_id="00u1"),
        "provisioning_shadow_ever", "external_id",
    ),
    "who has that address": (
        lambda s: Shadow.objects.filter(system=s, ended_at__isnull=True, email_key="ada@acme.example"),
        "provisioning_shadow_by_email", "email_key",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LOOK_UPS)
def test_it_is_found_by_its_index(system: System, what: str) -> None:
    query, index, column = LOOK_UPS[what]
    plan = plan_of(*query(system).order_by().query.sql_with_params())
    assert index in plan
    (condition,) = [line for line in plan.splitlines() if "Index Cond" in line]
    assert f"{column})::text = " in condition
    assert "tenant_id = " in condition


def test_documents_that_may_hold_more_addresses_are_found_by_their_index(system: System) -> None:
    rows = Shadow.objects.filter(system=system, ended_at__isnull=True, more_emails=True).order_by()
    assert "provisioning_shadow_emails" in plan_of(*rows.query.sql_with_params())


def test_what_was_done_just_before_is_found_by_its_index(system: System) -> None:
    with CaptureQueriesContext(database) as asked:
        assert brake.recent_reductions(system=system, at=AT) == 0
    assert "provisioning_change_done" in plan_of(asked.captured_queries[-1]["sql"].replace("%", "%%"))


def test_who_is_taken_is_asked_of_the_candidates_alone(system: System) -> None:
    create(system, AT, "ada", email="ada@acme.example")
    other = make.a_system(system.tenant, "Entra", at=AT)
    with CaptureQueriesContext(database) as asked:
        assert correlation.find(change=a_word("ada", email="ada@acme.example"), system=other).account is not None
    (found,) = [one["sql"] for one in asked.captured_queries if one["sql"].startswith('SELECT "accounts_account"."id"')]
    assert "provisioning_shadow_of_account" in plan_of(found) or "provisioning_shadow_account_id" in plan_of(found)
    assert "SubPlan" not in plan_of(found)
    assert Account.objects.count() == 1


@pytest.mark.parametrize(
    ("emails", "key", "more"),
    [
        ([], "", False),
        (["Ada@acme.example"], "ada@acme.example", False),
        (["ada@acme.example", "ADA@acme.example"], "ada@acme.example", False),
        (["ada@acme.example", "ada@home.example"], "ada@acme.example", True),
    ],
)
def test_a_resource_says_whether_it_has_addresses_beside_the_one_that_is_looked_up(
    system: System, emails: list[str], key: str, more: bool
) -> None:
    word = {"email": emails[0] if emails else None, "document": {"emails": [{"value": one} for one in emails]}}
    shadow = create(system, AT, "ada", **word).shadow
    assert (shadow.email_key, shadow.more_emails) == (key, more)
    changed = change(shadow, AT, "ada", email="new@acme.example", document={"emails": [{"value": "new@acme.example"}]})
    assert (changed.shadow.email_key, changed.shadow.more_emails) == ("new@acme.example", False)
