"""Requests at the same moment, each on a connection of its own: none is lost, and one wins."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.db import connections
from django.test import Client

from accounts.models import Account
from audit.scope import scope
from provisioning.models.plan import Plan
from provisioning.models.shadow import Shadow
from provisioning.states import PLAN_LIVE
from tests.factories.scim import Idp, Reply, a_group, a_user, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Tenant

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def idp(transactional_db: None, tenant: Tenant) -> Idp:
    """One directory, whose rows other connections see."""
    return connect(tenant)


def at_once(idp: Idp, *requests: Callable[[Idp], Reply]) -> list[Reply]:
    """The answers to requests that all begin together."""
    gate = threading.Barrier(len(requests))

    def one(request: Callable[[Idp], Reply]) -> Reply:
        own = Idp(tenant=idp.tenant, system=idp.system, token=idp.token, client=Client())
        gate.wait(timeout=30)
        try:
            return request(own)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(one, requests))


def test_twenty_parallel_patches_of_one_group_lose_no_member(idp: Idp) -> None:
    users = [idp.user(f"user{number}") for number in range(20)]
    group = idp.group("Staff")

    def adding(user: str) -> Callable[[Idp], Reply]:
        operation = {"op": "add", "path": "members", "value": [{"value": user}]}
        return lambda own: own.patch(f"/Groups/{group}", operation)

    answers = at_once(idp, *map(adding, users))
    assert {answer.status for answer in answers} == {204}
    assert idp.members(group) == set(users)
    assert len(idp.get(f"/Groups/{group}")["members"]) == 20
    assert idp.shadow(group).version == 21


def test_of_parallel_creates_of_one_name_exactly_one_wins(idp: Idp) -> None:
    names = ["ada", "ADA", "Ada", "aDa", "adA"]
    answers = at_once(idp, *[lambda own, name=name: own.post("/Users", a_user(name)) for name in names])
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]
    assert {answer["scimType"] for answer in answers if answer.status == 409} == {"uniqueness"}
    with scope(tenant=idp.tenant.pk):
        assert Shadow.objects.count() == Account.objects.count() == 1
    assert sorted(one.outcome for one in idp.exchanges()) == ["applied", *["rejected"] * 4]


def test_of_parallel_creates_of_one_group_exactly_one_wins(idp: Idp) -> None:
    answers = at_once(idp, *[lambda own: own.post("/Groups", a_group("Staff"))] * 4)
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]


def test_parallel_patches_of_one_user_lose_no_attribute(idp: Idp) -> None:
    user = idp.user("ada")
    names = ["title", "nickName", "locale", "userType", "timezone", "preferredLanguage"]
    operations = [{"op": "add", "path": name, "value": name} for name in names]
    at_once(idp, *[lambda own, one=one: own.patch(f"/Users/{user}", one) for one in operations])
    assert {name: idp.get(f"/Users/{user}")[name] for name in names} == {name: name for name in names}


def test_a_request_sent_twice_at_once_with_one_key_takes_effect_once(idp: Idp) -> None:
    answers = at_once(idp, *[lambda own: own.post("/Users", a_user("ada"), Idempotency_Key="k")] * 4)
    assert {answer.status for answer in answers} == {201}
    assert len({answer["id"] for answer in answers}) == 1
    assert sorted(one.outcome for one in idp.exchanges()) == ["applied", *["duplicate"] * 3]


def test_a_stale_writer_at_the_same_moment_is_refused(idp: Idp) -> None:
    made = idp.post("/Users", a_user("ada"))
    tag, path = made.headers["ETag"], f"/Users/{made['id']}"
    answers = at_once(
        idp,
        *[
            lambda own, title=title: own.patch(path, {"op": "add", "path": "title", "value": title}, If_Match=tag)
            for title in "abc"
        ],
    )
    assert sorted(answer.status for answer in answers) == [200, 412, 412]


def test_a_deletion_and_a_change_at_once_end_in_a_deleted_user(idp: Idp) -> None:
    user = idp.user("ada")
    answers = at_once(
        idp,
        lambda own: own.delete(f"/Users/{user}"),
        lambda own: own.patch(f"/Users/{user}", {"op": "add", "path": "title", "value": "x"}),
    )
    assert answers[0].status == 204
    assert answers[1].status in {200, 404}
    assert idp.get(f"/Users/{user}").status == 404
    account = idp.shadow(user).account
    assert account is not None
    assert account.state == "deprovisioned"


def test_of_parallel_creates_of_one_external_id_exactly_one_wins(idp: Idp) -> None:
    answers = at_once(
        idp,
        *[lambda own, name=name: own.post("/Users", a_user(name, externalId="e-1")) for name in ("ada", "eva", "ida")],
    )
    assert sorted(answer.status for answer in answers) == [201, 409, 409]
    assert {answer["scimType"] for answer in answers if answer.status == 409} == {"uniqueness"}
    assert idp.get('/Users?filter=externalId eq "e-1"')["totalResults"] == 1


def test_a_name_is_free_for_one_of_those_who_ask_while_its_holder_ends(idp: Idp) -> None:
    user = idp.user("ada")
    answers = at_once(
        idp,
        lambda own: own.delete(f"/Users/{user}"),
        lambda own: own.post("/Users", a_user("ADA")),
        lambda own: own.post("/Users", a_user("Ada")),
    )
    assert answers[0].status == 204
    made = sorted(answer.status for answer in answers[1:])
    assert made in ([201, 409], [409, 409])
    assert idp.get('/Users?filter=userName eq "ada"')["totalResults"] == made.count(201)


def test_two_renames_to_one_name_at_once_leave_it_to_one(idp: Idp) -> None:
    users = [idp.user(name) for name in ("ada", "eva", "ida")]
    answers = at_once(
        idp,
        *[
            lambda own, user=user: own.patch(f"/Users/{user}", {"op": "replace", "path": "userName", "value": "zoe"})
            for user in users
        ],
    )
    assert sorted(answer.status for answer in answers) == [200, 409, 409]
    assert idp.get('/Users?filter=userName eq "zoe"')["totalResults"] == 1


def test_a_stale_replacement_and_a_stale_deletion_at_once_are_refused_but_for_one(idp: Idp) -> None:
    made = idp.post("/Users", a_user("ada"))
    tag, path = made.headers["ETag"], f"/Users/{made['id']}"
    answers = at_once(
        idp,
        lambda own: own.put(path, a_user("ada", title="x"), If_Match=tag),
        lambda own: own.patch(path, {"op": "add", "path": "title", "value": "y"}, If_Match=tag),
        lambda own: own.delete(path, If_Match=tag),
    )
    statuses = [answer.status for answer in answers]
    won = [status for status in statuses if status < 300]
    # Whoever comes after the deletion finds nobody any more.
    assert len(won) == 1 and {*statuses} - {*won} <= {412, 404}, statuses
    assert idp.get(path).status == (404 if statuses[2] == 204 else 200)
    assert idp.put(path, a_user("ada"), If_Match=tag).status in {412, 404}


def test_enabling_and_disabling_at_once_never_leave_an_account_active_without_a_permit(idp: Idp) -> None:
    user = idp.user("ada")

    def says(word: bool) -> Callable[[Idp], Reply]:
        return lambda own: own.patch(f"/Users/{user}", {"op": "replace", "path": "active", "value": word})

    answers = at_once(idp, *[says(word) for word in (False, True, False, True)])
    assert {answer.status for answer in answers} == {200}
    account = idp.shadow(user).account
    assert account is not None
    # Two of the four took it away; what gives it back waits for people.
    assert account.state == "deprovisioned"
    assert idp.get(f"/Users/{user}")["active"] is False
    with scope(tenant=idp.tenant.pk):
        assert Plan.objects.filter(account=account, state__in=PLAN_LIVE).count() <= 1


def test_parallel_changes_of_one_address_list_are_each_applied_to_what_the_other_left(idp: Idp) -> None:
    user = idp.user("ada", emails=[{"value": "a@x", "type": "work"}])
    answers = at_once(
        idp,
        *[
            lambda own, value=value: own.patch(
                f"/Users/{user}", {"op": "add", "path": "emails", "value": [{"value": value, "type": "other"}]}
            )
            for value in ("b@x", "c@x", "d@x", "e@x")
        ],
    )
    assert {answer.status for answer in answers} == {200}
    assert {one["value"] for one in idp.get(f"/Users/{user}")["emails"]} == {"a@x", "b@x", "c@x", "d@x", "e@x"}
    assert idp.shadow(user).version == 5
