"""Requests at the same moment, each on a connection of its own: none is lost, and one wins."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from django.db import connection, connections
from django.test import Client

from accounts.models import Account, Membership
from audit.scope import scope
from provisioning import group_intake, shadows
from provisioning.models.plan import Plan
from provisioning.models.shadow import Shadow
from provisioning.states import PLAN_LIVE
from tests.conftest import a_cause
from tests.factories.governance import now
from tests.factories.scim import Idp, Reply, a_group, a_user, connect
from tests.factories.words import a_group_word, a_sender, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accounts.models import Tenant
    from provisioning.changes import MemberStep

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


def test_fifty_parallel_patches_of_one_group_lose_no_member(idp: Idp) -> None:
    users = members_of(idp, 50)
    group = idp.group("Staff")

    def adding(user: str) -> Callable[[Idp], Reply]:
        operation = {"op": "add", "path": "members", "value": [{"value": user}]}
        return lambda own: own.patch(f"/Groups/{group}", operation)

    answers = at_once(idp, *map(adding, users))
    assert {answer.status for answer in answers} == {200}
    assert idp.members(group) == set(users)
    assert idp.shadow(group).version == 51


@contextmanager
def open_change(idp: Idp, group: str, *steps: MemberStep) -> Iterator[None]:
    """A change of a group's members that is written and checked, and not committed before the block ends."""
    written, go_on = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with scope(tenant=idp.tenant.pk, cause=a_cause()):
                found = shadows.lock_shadow(system=idp.system, resource_type="Group", id=UUID(group))
                assert found is not None
                word = a_group_word(found.name, *steps)
                group_intake.change_group(sender=a_sender(idp.system), shadow=found, change=word, at=now())
                with connection.cursor() as cursor:
                    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                written.set()
                go_on.wait(timeout=120)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            written.set()
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    written.wait(timeout=120)
    try:
        yield
    finally:
        go_on.set()
        thread.join(timeout=120)
        assert failed == []


@pytest.fixture
def impatient() -> Iterator[None]:
    """Whoever waits for a lock is refused: nothing is measured but whether anybody waits."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    yield
    with connection.cursor() as cursor:
        cursor.execute("RESET lock_timeout")


def members_of(idp: Idp, count: int) -> list[str]:
    """So many users, made at once."""
    with scope(tenant=idp.tenant.pk, cause=a_cause()), connection.cursor() as cursor:
        accounts = Account.objects.bulk_create(
            Account(
                tenant_id=idp.tenant.pk, kind="person", user_name=f"m{n}", user_name_key=f"m{n}", made_at=now(),
                state="active", state_since=now(), was_active=True,
            )
            for n in range(count)
        )  # fmt: skip
        made = Shadow.objects.bulk_create(
            Shadow(
                tenant_id=idp.tenant.pk, system=idp.system, resource_type="User", account=one, name=one.user_name,
                name_key=one.user_name, document={"userName": one.user_name}, made_at=now(), changed_at=now(),
            )
            for one in accounts
        )  # fmt: skip
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return [str(one.pk) for one in made]


@pytest.mark.usefixtures("impatient")
def test_a_large_group_that_is_being_filled_holds_up_no_other_resource(idp: Idp) -> None:
    users = members_of(idp, 10_000)
    large, small = idp.group("Large"), idp.group("Small", users[0])
    with open_change(idp, large, step("replace", *map(UUID, users))):
        assert idp.get(f"/Groups/{large}").body.get("members", []) == []
        off = idp.patch(f"/Users/{users[1]}", {"op": "replace", "path": "active", "value": False})
        assert (off.status, off["active"]) == (200, False)
        renamed = idp.patch(f"/Users/{users[2]}", {"op": "add", "path": "title", "value": "Engineer"})
        assert (renamed.status, renamed["title"]) == (200, "Engineer")
        moved = [{"value": user} for user in users[1:5]]
        assert idp.patch(f"/Groups/{small}", {"op": "add", "path": "members", "value": moved}).status == 200
        assert idp.post("/Users", a_user("new")).status == 201
    assert idp.members(small) == set(users[:5])
    assert idp.members(large) == set(users)


def test_who_ends_while_a_group_takes_them_in_is_out_of_it(idp: Idp) -> None:
    ada, bob = members_of(idp, 2)
    group = idp.group("Staff")
    with ThreadPoolExecutor(1) as pool:
        with open_change(idp, group, step("add", UUID(ada), UUID(bob))):
            own = Idp(tenant=idp.tenant, system=idp.system, token=idp.token, client=Client())
            ending = pool.submit(lambda: (own.delete(f"/Users/{ada}"), connections.close_all())[0])
        assert ending.result(timeout=60).status == 204
    assert idp.members(group) == {bob}
    with scope(tenant=idp.tenant.pk):
        inside = Membership.objects.filter(ended_at__isnull=True).values_list("origin_ref", flat=True)
        assert {str(ref) for ref in inside} == {bob}


def test_a_member_that_is_gone_before_the_group_is_written_is_refused(idp: Idp) -> None:
    (ada,) = members_of(idp, 1)
    group = idp.group("Staff")
    operation = {"op": "add", "path": "members", "value": [{"value": ada}]}
    answers = at_once(
        idp, lambda own: own.delete(f"/Users/{ada}"), lambda own: own.patch(f"/Groups/{group}", operation)
    )
    assert answers[0].status == 204
    assert answers[1].status in {200, 400}
    assert idp.members(group) == set()


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
