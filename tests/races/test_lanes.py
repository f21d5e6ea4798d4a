"""Workers on connections of their own: a lane keeps its order, lanes go beside each other, nothing is done twice."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections
from django.test import Client

from audit.scope import scope
from provisioning import received as queue
from provisioning import tasks
from provisioning.models.received import Received
from provisioning.scim import applying, effects
from tests.conftest import a_cause
from tests.factories.scim import Idp, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Tenant

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]

LATER = "respond-async"


def clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is woken: the tests are the workers."""
    monkeypatch.setattr(tasks, "apply_soon", lambda: None)


@pytest.fixture
def idp(transactional_db: None, tenant: Tenant) -> Idp:
    """One directory, whose rows other connections see."""
    return connect(tenant)


def title(idp: Idp, user: str, value: str, **headers: str) -> int:
    return idp.patch(f"/Users/{user}", {"op": "replace", "path": "title", "value": value}, **headers).status


def together(*works: Callable[[], Any]) -> list[Any]:
    """What each gives, when all begin at once."""
    gate = threading.Barrier(len(works))

    def one(work: Callable[[], Any]) -> Any:
        gate.wait(timeout=30)
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def until_empty(idp: Idp) -> int:
    """Work until nothing is due; how many it did."""
    count = 0
    while applying.apply_next(tenant=idp.tenant.pk, clock=clock):
        count += 1
    return count


def applied(idp: Idp, user: str) -> list[str]:
    """The titles that a user was given, in the order of the history of its resource."""
    with scope(tenant=idp.tenant.pk):
        versions = idp.shadow(user).history.order_by("history_id").values_list("document", flat=True)
        return [one["title"] for one in versions if "title" in one]


def test_two_workers_apply_a_lane_in_its_order_and_nothing_twice(idp: Idp) -> None:
    ada = idp.user("ada")
    values = [f"{number:02}" for number in range(12)]
    for value in values:
        assert title(idp, ada, value, Prefer=LATER) == 202
    done = 0
    while done < len(values):
        done += sum(together(lambda: until_empty(idp), lambda: until_empty(idp)))
    assert applied(idp, ada) == values
    assert [e.request["Operations"][0]["value"] for e in idp.exchanges()[1:]] == values
    with scope(tenant=idp.tenant.pk):
        assert set(Received.objects.values_list("state", "tries")) == {("applied", 1)}


def test_a_lane_in_the_middle_of_its_work_holds_up_no_other(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = idp.user("ada"), idp.user("bob")
    for user in (ada, ada, bob):
        assert title(idp, user, f"of {user}", Prefer=LATER) == 202
    inside, go_on = threading.Event(), threading.Event()
    original = effects.patch

    def slow(asked: Any, body: Any) -> Any:
        if str(asked.id) == ada and not inside.is_set():
            inside.set()
            assert go_on.wait(timeout=30)
        return original(asked, body)

    monkeypatch.setitem(applying._EFFECTS, "PATCH", slow)

    def other() -> tuple[int, list[str]]:
        assert inside.wait(timeout=30)
        count = until_empty(idp)
        found = applied(idp, bob)
        go_on.set()
        return count, found

    mine, (theirs, seen) = together(lambda: until_empty(idp), other)
    # The second of ada's lane was not begun while the first was not done.
    assert (mine, theirs, seen) == (2, 1, [f"of {bob}"])


def test_a_request_waits_for_the_one_of_its_lane_that_is_being_applied(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = idp.user("ada")
    title(idp, ada, "first", Prefer=LATER)
    inside = threading.Event()
    original = effects.patch

    def slow(asked: Any, body: Any) -> Any:
        if not inside.is_set():
            inside.set()
            threading.Event().wait(0.5)
        return original(asked, body)

    monkeypatch.setitem(applying._EFFECTS, "PATCH", slow)

    def asking() -> int:
        assert inside.wait(timeout=30)
        own = Idp(tenant=idp.tenant, system=idp.system, token=idp.token, client=Client())
        return title(own, ada, "second")

    assert together(lambda: until_empty(idp), asking) == [1, 200]
    assert applied(idp, ada) == ["first", "second"]


def test_one_that_two_requests_would_catch_up_with_is_applied_once(idp: Idp) -> None:
    ada = idp.user("ada")
    title(idp, ada, "first", Prefer=LATER)

    def asking(value: str) -> int:
        own = Idp(tenant=idp.tenant, system=idp.system, token=idp.token, client=Client())
        return title(own, ada, value)

    answers = together(*[lambda value=value: asking(value) for value in "abc"])
    assert answers == [200, 200, 200]
    assert applied(idp, ada)[0] == "first"
    assert sorted(applied(idp, ada)[1:]) == ["a", "b", "c"]


def test_one_key_sent_at_once_is_received_once(idp: Idp) -> None:
    def asking() -> str:
        own = Idp(tenant=idp.tenant, system=idp.system, token=idp.token, client=Client())
        body = {"schemas": [], "userName": "ada"}
        return own.post("/Users", body, Prefer=LATER, Idempotency_Key="k").headers["Set-Txn"]

    assert len(set(together(*[asking] * 4))) == 1
    assert until_empty(idp) == 1
    assert sorted(one.outcome for one in idp.exchanges()) == ["applied", *["duplicate"] * 3]


def test_a_deactivation_and_a_second_try_of_what_it_goes_past_end_in_an_ended_account(idp: Idp) -> None:
    ada = idp.user("ada")
    idp.patch(f"/Users/{ada}", {"op": "replace", "path": "active", "value": True}, Prefer=LATER)
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        queue.park(received=Received.objects.get(), error="x", at=clock())

    def off() -> int:
        own = Idp(tenant=idp.tenant, system=idp.system, token=idp.token, client=Client())
        return own.patch(f"/Users/{ada}", {"op": "replace", "path": "active", "value": False}).status

    def again() -> int:
        with scope(tenant=idp.tenant.pk, cause=a_cause()):
            queue.again(received=Received.objects.get(), reason="x", at=clock() - dt.timedelta(minutes=1))
        return until_empty(idp)

    assert together(off, again)[0] == 200
    until_empty(idp)
    with scope(tenant=idp.tenant.pk):
        assert Received.objects.get().state == "applied"
    account = idp.shadow(ada).account
    assert account is not None
    assert account.state == "deprovisioned"
