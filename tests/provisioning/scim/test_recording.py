"""A repeat is known by what it asks, and only where nothing else has happened to its resource since."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts import lifecycle
from audit.scope import scope
from provisioning.scim import recording
from tests.conftest import a_cause
from tests.factories.permits import excused
from tests.factories.scim import a_user

if TYPE_CHECKING:
    from tests.factories.scim import Idp, Reply

pytestmark = pytest.mark.face


def sets(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def outcomes(idp: Idp) -> list[str]:
    return [one.outcome for one in idp.exchanges()]


def test_what_asks_the_same_again_is_a_repeat_and_is_answered_as_the_first_was(idp: Idp) -> None:
    ada = idp.user("ada")
    first = idp.patch(f"/Users/{ada}", sets("title", "Dr"))
    again = idp.patch(f"/Users/{ada}", sets("title", "Dr"))
    assert (again.status, again.body) == (first.status, first.body)
    whole = {**a_user("ada"), "title": "Prof"}
    assert idp.put(f"/Users/{ada}", whole).body == idp.put(f"/Users/{ada}", dict(reversed(whole.items()))).body
    assert outcomes(idp) == ["applied", "applied", "duplicate", "applied", "duplicate"]


def test_enable_disable_enable_is_three_events(idp: Idp) -> None:
    ada = idp.user("ada")
    for title in ("Dr", "Prof", "Dr"):
        assert idp.patch(f"/Users/{ada}", sets("title", title))["title"] == title
    assert outcomes(idp) == ["applied"] * 4


def test_what_asks_for_what_is_so_already_in_other_words_is_no_repeat(idp: Idp) -> None:
    ada = idp.user("ada", title="Dr")
    idp.patch(f"/Users/{ada}", sets("title", "Dr"))
    idp.patch(f"/Users/{ada}", {**sets("title", "Dr"), "op": "add"})
    assert outcomes(idp) == ["applied", "same", "same"]


def test_a_refused_request_between_two_makes_no_difference(idp: Idp) -> None:
    ada, _eve = idp.user("ada"), idp.user("eve")
    idp.patch(f"/Users/{ada}", sets("title", "Dr"))
    assert idp.patch(f"/Users/{ada}", sets("userName", "eve")).status == 409
    idp.patch(f"/Users/{ada}", sets("title", "Dr"))
    assert outcomes(idp)[2:] == ["applied", "rejected", "duplicate"]


def test_a_deactivation_that_is_repeated_takes_effect_again_where_people_brought_the_account_back(idp: Idp) -> None:
    ada = idp.user("ada")
    idp.patch(f"/Users/{ada}", sets("active", False))
    account = idp.shadow(ada).account
    with scope(tenant=idp.tenant.pk, cause=a_cause()) as cause:
        lifecycle.reactivate(account=account, permit=excused(account, at=cause.at), expires_at=None, at=cause.at)
    assert idp.get(f"/Users/{ada}")["active"] is True
    again = idp.patch(f"/Users/{ada}", sets("active", False))
    assert (again.status, again["active"], outcomes(idp)[-1]) == (200, False, "applied")


def test_a_request_bound_to_a_version_is_answered_again_and_not_refused_for_its_own_effect(idp: Idp) -> None:
    ada = idp.user("ada")
    version = idp.get(f"/Users/{ada}").headers["ETag"]

    def send(title: str) -> Reply:
        return idp.patch(f"/Users/{ada}", sets("title", title), If_Match=version)

    first, again, other = send("Dr"), send("Dr"), send("Prof")
    assert (first.status, again.status, other.status) == (200, 200, 412)
    assert (again.body, again.headers["ETag"]) == (first.body, first.headers["ETag"])
    assert outcomes(idp) == ["applied", "applied", "duplicate", "rejected"]


def test_it_is_refused_again_once_anything_else_has_happened(idp: Idp) -> None:
    ada = idp.user("ada")
    version = idp.get(f"/Users/{ada}").headers["ETag"]
    idp.patch(f"/Users/{ada}", sets("title", "Dr"), If_Match=version)
    idp.patch(f"/Users/{ada}", sets("title", "Prof"))
    assert idp.patch(f"/Users/{ada}", sets("title", "Dr"), If_Match=version).status == 412


def test_it_is_refused_where_people_ended_the_account_in_between(idp: Idp) -> None:
    ada = idp.user("ada")
    version = idp.get(f"/Users/{ada}").headers["ETag"]
    assert idp.patch(f"/Users/{ada}", sets("title", "Dr"), If_Match=version).status == 200
    shadow = idp.shadow(ada)
    with scope(tenant=idp.tenant.pk, cause=a_cause()) as cause:
        lifecycle.deprovision(accounts=[shadow.account_id], reason="left", at=cause.at)
    assert idp.patch(f"/Users/{ada}", sets("title", "Dr"), If_Match=version).status == 412


def test_the_same_request_bound_to_another_version_is_another_request(idp: Idp) -> None:
    ada = idp.user("ada")
    idp.patch(f"/Users/{ada}", sets("title", "Dr"))
    now = idp.get(f"/Users/{ada}").headers["ETag"]
    assert idp.patch(f"/Users/{ada}", sets("title", "Dr"), If_Match=now).status == 200
    assert outcomes(idp)[-1] == "same"


def test_a_creation_that_is_repeated_is_refused_as_the_standard_says(idp: Idp) -> None:
    assert idp.post("/Users", a_user("ada")).status == 201
    again = idp.post("/Users", a_user("ada"))
    assert (again.status, again["scimType"], outcomes(idp)[-1]) == (409, "uniqueness", "rejected")


def test_digests_of_two_tenants_can_t_be_compared(idp: Idp) -> None:
    other = idp.system.pk
    here = recording.keyed_digest("PATCH", "/Users", tenant=idp.tenant.pk)
    assert here != recording.keyed_digest("PATCH", "/Users", tenant=other)
    assert here == recording.keyed_digest("PATCH", "/Users", tenant=idp.tenant.pk)


def test_looking_for_a_repeat_reads_no_month_that_is_ahead_or_long_past(idp: Idp) -> None:
    ada = idp.user("ada")
    idp.patch(f"/Users/{ada}", sets("title", "Dr"))
    with CaptureQueriesContext(connection) as captured:
        idp.patch(f"/Users/{ada}", sets("title", "Dr"))
    looked = next(
        one["sql"] for one in captured.captured_queries if "NOT" in one["sql"] and '"outcome" IN' in one["sql"]
    )
    with scope(tenant=idp.tenant.pk), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {looked}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert 1 <= len(set(re.findall(r"on (provisioning_exchange_\w+)", plan))) <= 3
