"""What is asked for every request is found by an index, as the application's role and under row-level security."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from provisioning import brake, correlation, plans
from provisioning.models import PlannedChange, Shadow
from provisioning.models.plan import ChangeAct, PlanKind
from provisioning.plans import Wanted
from tests.conftest import AT, as_owner
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


@pytest.fixture
def filled(system: System) -> System:
    """A system with 2,000 people, of whom the database knows how many there are."""
    people = Account.objects.bulk_create(
        Account(
            tenant_id=system.tenant_id, kind="person", user_name=f"u{n}", user_name_key=f"u{n}", made_at=AT,
            state="active", state_since=AT, was_active=True,
        )
        for n in range(2_000)
    )  # fmt: skip
    Shadow.objects.bulk_create(
        Shadow(
            tenant_id=system.tenant_id, system=system, resource_type="User", account=one, name=one.user_name,
            name_key=one.user_name, external_id=f"id-{one.user_name}", email_key=f"{one.user_name}@acme.example",
            more_emails=one.user_name == "u7", made_at=AT, changed_at=AT,
        )
        for one in people
    )  # fmt: skip
    with as_owner(), database.cursor() as cursor:
        cursor.execute("ANALYZE provisioning_shadow, provisioning_historicalshadow, accounts_account")
    return system


def plan_of(statement: str, parameters: Any = None) -> str:
    with database.cursor() as cursor:
        cursor.execute(f"EXPLAIN (COSTS OFF) {statement}", parameters)
        return "\n".join(row[0] for row in cursor.fetchall())


LOOK_UPS: dict[str, tuple[Callable[[System], Any], str, str]] = {
    "whose id it is or was": (
        lambda s: Shadow.objects.filter(system=s, resource_type="User", external_id="00u1"),
        "provisioning_shadow_ever", "external_id",
    ),
    "who has that address": (
        lambda s: Shadow.objects.filter(system=s, ended_at__isnull=True, email_key="ada@acme.example"),
        "provisioning_shadow_by_email", "email_key",
    ),
}  # fmt: skip


def test_whose_a_resource_is_was_or_may_be_is_found_by_an_index(filled: System) -> None:
    for what, (query, index, column) in LOOK_UPS.items():
        plan = plan_of(*query(filled).order_by().query.sql_with_params())
        assert index in plan, what
        (condition,) = [line for line in plan.splitlines() if "Index Cond" in line]
        assert f"{column})::text = " in condition, what
        assert "tenant_id = " in condition, what


def test_who_ever_had_anything_of_a_new_resource_is_found_by_indexes_in_one_statement(filled: System) -> None:
    word = a_word("nobody", external_id="00u1", email="nobody@acme.example", employee_number="17")
    with CaptureQueriesContext(database) as asked:
        assert correlation.find(change=word, system=filled) == correlation.Match()
    (found,) = [one["sql"] for one in asked.captured_queries]
    plan = plan_of(found)
    for index, looked_up in (
        ("provisioning_shadows_named", "name_key)::text = "),
        ("provisioning_shadows_called", "external_id)::text = "),
        ("provisioning_shadows_mailed", "email_key)::text = "),
        ("accounts_account_by_name", "user_name_key = "),
    ):
        assert index in plan
        condition = next(line for line in plan.partition(index)[2].splitlines() if "Index Cond" in line)
        assert looked_up in condition, index
        assert "tenant_id = " in condition, index
    assert "Seq Scan on provisioning_historicalshadow" not in plan
    assert "Seq Scan on accounts_account " not in plan


def test_what_was_ended_just_before_is_counted_in_the_months_of_now_alone(system: System) -> None:
    with CaptureQueriesContext(database) as asked:
        assert brake.recent_reductions(system=system, at=dt.datetime.now(dt.UTC)) == 0
    months = set(re.findall(r"provisioning_exchange_(\d{4}_\d\d|other)\b", plan_of(asked.captured_queries[-1]["sql"])))
    assert 1 <= len(months) <= 2


def test_documents_that_may_hold_more_addresses_are_found_by_their_index(filled: System) -> None:
    rows = Shadow.objects.filter(system=filled, ended_at__isnull=True, more_emails=True).order_by()
    assert "provisioning_shadow_emails" in plan_of(*rows.query.sql_with_params())


def test_who_is_taken_is_asked_of_the_candidates_alone(filled: System) -> None:
    with CaptureQueriesContext(database) as asked:
        match = correlation.find(change=a_word("u9", email="u9@acme.example"), system=filled)
    assert match.account is None
    (found,) = [
        one["sql"]
        for one in asked.captured_queries
        if one["sql"].startswith('SELECT "accounts_account"') and "NOT EXISTS" in one["sql"]
    ]
    plan = plan_of(found)
    assert "Anti Join" in plan
    assert "Seq Scan" not in plan
    assert "SubPlan" not in plan


def test_what_was_done_just_before_is_found_by_its_index(system: System) -> None:
    plan = plans.freeze(
        kind=PlanKind.READING, system=system, asked_by="x", at=AT,
        wanted=[Wanted(act=ChangeAct.DEPROVISION, label=f"u{n}") for n in range(1_000)],
    )  # fmt: skip
    PlannedChange.objects.filter(plan=plan).update(result="done", done_at=AT - dt.timedelta(days=1))
    with as_owner(), database.cursor() as cursor:
        cursor.execute("ANALYZE provisioning_plannedchange, provisioning_plan")
    with CaptureQueriesContext(database) as asked:
        assert brake.recent_reductions(system=system, at=AT) == 0
    assert "provisioning_change_done" in plan_of(asked.captured_queries[-1]["sql"])


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
