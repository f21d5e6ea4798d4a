"""What arrived from a system is read kind by kind, by an index, and a refusal is read off what it asked for."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from audit.keys import uuid7
from audit.scope import scope
from provisioning import seen
from provisioning.changes import Intent
from provisioning.models.exchange import Exchange, OutcomeWord
from provisioning.seen import GROUP, USER, arrivals, coercions_seen, since_key
from tests.conftest import as_owner
from tests.factories import governance as make
from tests.factories.scim import PATCH_URN, Idp, a_user, connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from accounts.models import System, Tenant
    from audit.models import Cause

pytestmark = pytest.mark.django_db

FALSE_TEXT = {"rule": "boolean_text", "attribute": "active", "sent": "False", "read_as": "false"}


def row(system: System, **values: Any) -> Exchange:
    return Exchange(
        tenant_id=system.tenant_id, system=system, token_id=uuid7(), cause_id=1, method="PATCH", path="/Users/…",
        request_digest="0" * 64,
        **({"resource_type": USER, "intent": Intent.UPDATE, "outcome": OutcomeWord.APPLIED, "status": 200} | values),
    )  # fmt: skip


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant)


def arrived(idp: Idp, **asked: Any) -> list[tuple[str, Intent]]:
    with scope(tenant=idp.tenant.pk):
        return [(one.resource_type, one.wanted) for one in arrivals(idp.system, **asked)]


def test_the_newest_of_each_kind_is_found_newest_first(system: System) -> None:
    rows = [row(system, intent=intent) for intent in (Intent.CREATE, Intent.DISABLE, Intent.UPDATE, Intent.UPDATE)]
    Exchange.objects.bulk_create([*rows, row(system, resource_type=GROUP, intent=Intent.CREATE)])
    found = arrivals(system)
    assert [(one.resource_type, one.intent) for one in found] == [
        (GROUP, Intent.CREATE), (USER, Intent.UPDATE), (USER, Intent.DISABLE), (USER, Intent.CREATE),
    ]  # fmt: skip
    assert found[1].id == rows[3].pk
    assert len(arrivals(system, each=2)) == 5


def test_what_came_before_is_not_among_what_came_since(idp: Idp) -> None:
    idp.user("ada@example.com")
    at = idp.last().at + dt.timedelta(seconds=1)
    assert arrived(idp, since=at) == []
    assert since_key(None).int == 0
    assert arrived(idp, since=at - dt.timedelta(seconds=5)) == [(USER, Intent.CREATE)]


def test_another_systems_requests_are_not_among_them(idp: Idp) -> None:
    connect(idp.tenant, "Okta").user("ada@example.com")
    assert arrived(idp) == []


@pytest.mark.parametrize(
    ("operation", "intent"),
    [
        ({"op": "replace", "path": "active", "value": False}, Intent.DISABLE),
        ({"op": "Replace", "path": "Active", "value": "False"}, Intent.DISABLE),
        ({"op": "replace", "value": {"active": False}}, Intent.DISABLE),
        ({"op": "replace", "path": "active", "value": "True"}, Intent.ENABLE),
        ({"op": "replace", "path": "title", "value": "Lead"}, Intent.UPDATE),
        ({"op": "add", "path": "nothingOfOurs", "value": 7}, Intent.UPDATE),
    ],
)
def test_a_refused_patch_is_what_it_asked_for(idp: Idp, operation: dict[str, Any], intent: Intent) -> None:
    reply = idp.patch("/Users/01930000-0000-7000-8000-000000000000", operation)
    assert reply.status in {400, 404}
    assert arrived(idp) == [(USER, intent)]


@pytest.mark.parametrize(
    ("operation", "intent"),
    [
        ({"op": "Add", "path": "members", "value": [{"value": "x"}]}, Intent.MEMBER_ADD),
        ({"op": "remove", "path": 'members[value eq "x"]'}, Intent.MEMBER_REMOVE),
        ({"op": "replace", "path": "members", "value": []}, Intent.MEMBER_REPLACE),
        ({"op": "replace", "path": "displayName", "value": "Staff"}, Intent.UPDATE),
    ],
)
def test_a_refused_patch_of_a_group_is_what_it_asked_for(idp: Idp, operation: dict[str, Any], intent: Intent) -> None:
    assert idp.patch("/Groups/01930000-0000-7000-8000-000000000000", operation).status == 404
    assert arrived(idp) == [(GROUP, intent)]


def test_other_refused_requests_are_what_their_method_asks_for(idp: Idp) -> None:
    missing = "/Users/01930000-0000-7000-8000-000000000000"
    assert idp.put(missing, a_user("ada@example.com", active=False)).status == 404
    assert arrived(idp) == [(USER, Intent.DISABLE)]
    assert idp.delete(missing).status == 404
    assert idp.post("/Users", a_user("")).status == 400
    assert idp.call("POST", "/Users", raw=b"{").status == 400
    assert arrived(idp, each=9) == [(USER, Intent.CREATE)] * 2 + [(USER, Intent.DELETE), (USER, Intent.DISABLE)]
    with scope(tenant=idp.tenant.pk):
        assert arrivals(idp.system)[0].asked_name == ""


def test_a_refused_name_is_known_and_a_group_with_members_has_some(idp: Idp) -> None:
    user = idp.user("ada@example.com")
    idp.post("/Users", a_user("ADA@example.com"))
    idp.group("Empty")
    idp.group("Staff", user)
    with scope(tenant=idp.tenant.pk):
        found = arrivals(idp.system, each=2)
    assert [one.asked_name for one in found if one.intent == Intent.UNKNOWN] == ["ADA@example.com"]
    assert [one.has_members for one in found if one.resource_type == GROUP] == [True, False]
    assert not any(one.has_members for one in found if one.resource_type == USER)


def test_rules_are_counted_by_exchange_over_the_last_ones_alone(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = [FALSE_TEXT, FALSE_TEXT | {"rule": "op_case"}, FALSE_TEXT, {"rule": "note"}, {"rule": ""}]
    kept = [[FALSE_TEXT | {"rule": "no_path"}], twice, [], [FALSE_TEXT]]
    Exchange.objects.bulk_create(row(system, coercions=one) for one in kept)
    monkeypatch.setattr(seen, "LOOKED_AT", 3)
    assert [(one.rule, one.count) for one in coercions_seen(system, None)] == [("boolean_text", 2), ("op_case", 1)]
    monkeypatch.undo()
    assert [one.rule for one in coercions_seen(system, None)] == ["boolean_text", "no_path", "op_case"]


def test_rules_are_counted_with_the_latest_exchange_that_shows_each(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    idp, other = connect(tenant), connect(tenant, "Okta")
    user = idp.user("ada@example.com", active="True", title="")
    for value in ("True", "False"):
        idp.patch(f"/Users/{user}", {"op": "Replace", "path": "active", "value": value})
    last = idp.last()
    idp.patch(f"/Users/{user}", {"op": "replace", "path": "title", "value": "Lead"})
    other.user("bo@example.com", active="True")

    with scope(tenant=tenant.pk):
        found = coercions_seen(idp.system, None)
        assert [(one.rule, one.count) for one in found] == [("boolean_text", 3), ("op_case", 2), ("blank_text", 1)]
        assert {one.exchange for one in found if one.rule != "blank_text"} == {last.pk}
        assert {one.last_at for one in found if one.rule != "blank_text"} == {last.at}
        assert [(one.rule, one.count) for one in coercions_seen(other.system, None)] == [("boolean_text", 1)]
        assert [one.rule for one in coercions_seen(idp.system, last.at)] == ["boolean_text", "op_case"]
        assert coercions_seen(idp.system, last.at + dt.timedelta(days=1)) == []
        monkeypatch.setattr(seen, "LOOKED_AT", 2)
        assert [(one.rule, one.count) for one in coercions_seen(idp.system, None)] == [
            ("boolean_text", 1),
            ("op_case", 1),
        ]


def test_what_intake_noted_is_no_coercion(tenant: Tenant) -> None:
    number = {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "E1"}}
    connect(tenant).user("ada@example.com", **number)
    second = connect(tenant, "GitHub")
    second.user("ada@github.example", **number)
    with scope(tenant=tenant.pk):
        assert second.last().coercions != []
        assert coercions_seen(second.system, None) == []


def test_a_rule_counts_once_in_a_request_that_needs_it_often(
    tenant: Tenant, django_assert_num_queries: Callable[..., AbstractContextManager[Any]]
) -> None:
    idp = connect(tenant)
    user = idp.user()
    operations = [{"op": "Replace", "path": "title", "value": f"t{n}"} for n in range(300)]
    idp.call("PATCH", f"/Users/{user}", {"schemas": [PATCH_URN], "Operations": operations})
    with scope(tenant=tenant.pk):
        with django_assert_num_queries(1):
            found = coercions_seen(idp.system, None)
        assert [(one.rule, one.count) for one in found] == [("op_case", 1)]


def test_what_was_never_sent_is_found_without_reading_what_was(system: System, because: Cause) -> None:
    Exchange.objects.bulk_create([row(system) for _ in range(3_000)])
    with as_owner(), database.cursor() as cursor:
        cursor.execute("ANALYZE provisioning_exchange")
    with CaptureQueriesContext(database) as caught:
        arrivals(system)
    (query,) = caught
    with database.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {query['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Seq Scan on provisioning_exchange" not in plan, plan
    # A partition's index is named after its columns.
    assert "_tenant_id_system_id_resource__idx" in plan, plan
    assert "Rows Removed by Filter" not in plan, plan


def test_a_system_that_sent_nothing_has_nothing(tenant: Tenant, because: Cause) -> None:
    quiet = make.a_system(tenant, "Quiet", at=make.now())
    assert arrivals(quiet, each=20) == []
    assert coercions_seen(quiet, None) == []
