"""What was tolerated in a system's requests, counted by rule over its newest ones."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from audit.scope import scope
from provisioning import seen
from provisioning.seen import coercions_seen
from tests.factories.scim import PATCH_URN, connect

if TYPE_CHECKING:
    import pytest

    from accounts.models import Tenant


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


def test_many_of_one_request_cost_one_query(tenant: Tenant, django_assert_num_queries: object) -> None:
    idp = connect(tenant)
    user = idp.user()
    operations = [{"op": "Replace", "path": "title", "value": f"t{n}"} for n in range(300)]
    idp.call("PATCH", f"/Users/{user}", {"schemas": [PATCH_URN], "Operations": operations})
    with scope(tenant=tenant.pk):
        with django_assert_num_queries(1):  # type: ignore[operator]
            found = coercions_seen(idp.system, None)
        assert [(one.rule, one.count) for one in found] == [("op_case", 200)]
