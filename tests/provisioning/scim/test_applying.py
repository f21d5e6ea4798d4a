"""What was acknowledged goes through the same door as a request, whatever happens on the way."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from accounts.models.finding import Finding
from audit.models import Cause, JournalEntry
from audit.scope import scope
from provisioning import intake, systems, tasks
from provisioning import received as queue
from provisioning.models.plan import Plan
from provisioning.models.received import Received
from provisioning.models.shadow import Shadow
from provisioning.scim import applying, effects, recording
from provisioning.scim.metadata.catalogue import USER_URN
from tests.conftest import a_cause
from tests.factories.scim import a_group, a_user, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Tenant
    from tests.factories.scim import Idp, Reply

pytestmark = pytest.mark.flow

LATER = "respond-async"
MINUTE = dt.timedelta(minutes=1)
TITLE = {"op": "replace", "path": "title", "value": "Lead"}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is woken: each test applies by itself."""
    monkeypatch.setattr(tasks, "apply_soon", lambda: None)


def soon(minutes: int = 0) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes, seconds=1)


def apply(idp: Idp, *, at: dt.datetime | None = None) -> bool:
    moment = at or soon()
    return applying.apply_next(tenant=idp.tenant.pk, clock=lambda: moment)


def rows(idp: Idp) -> list[Received]:
    with scope(tenant=idp.tenant.pk):
        return list(Received.objects.order_by("received_at", "id"))


def states(idp: Idp) -> list[str]:
    return [one.state for one in rows(idp)]


def take_in(monkeypatch: pytest.MonkeyPatch, create: Any) -> None:
    door = effects._DOORS["account"]
    monkeypatch.setitem(effects._DOORS, "account", dataclasses.replace(door, create=create))


def test_nothing_is_due_where_nothing_was_received(idp: Idp) -> None:
    assert not apply(idp)


def test_every_kind_of_change_is_applied_as_it_would_have_been_at_once(
    idp: Idp, make_tenant: Callable[..., Tenant]
) -> None:
    def told(one: Idp, **headers: str) -> list[Any]:
        ids = {name: one.user(name) for name in ("ada", "bob")}
        ids["Staff"] = one.group("Staff", ids["ada"])
        one.post("/Users", a_user("eve", title="x"), **headers)
        one.put(f"/Users/{ids['ada']}", a_user("ada", displayName="Ada"), **headers)
        one.patch(f"/Users/{ids['bob']}", {"op": "Replace", "path": "active", "value": "False"}, **headers)
        one.patch(f"/Groups/{ids['Staff']}", {"op": "remove", "path": f'members[value eq "{ids["ada"]}"]'}, **headers)
        one.put(f"/Groups/{ids['Staff']}", a_group("Crew", ids["bob"]), **headers)
        one.post("/Groups", a_group("Night", ids["ada"]), **headers)
        one.delete(f"/Users/{ids['ada']}", **headers)
        one.post("/Roles", {"value": "admin", "display": "Admin"}, **headers)
        while apply(one):
            pass
        return sorted(
            (e.method, e.resource_label, e.intent, e.outcome, e.status, [c["rule"] for c in e.coercions], e.error)
            for e in one.exchanges()
        )

    later = told(idp, Prefer=LATER)
    assert set(states(idp)) == {"applied"}
    assert len(rows(idp)) == 8
    assert later == told(connect(make_tenant("two")))


def test_its_cause_and_its_journal_are_those_of_an_exchange(idp: Idp) -> None:
    idp.post("/Users", a_user("ada"), Prefer=LATER)
    apply(idp)
    exchange = idp.last()
    with scope(tenant=idp.tenant.pk):
        cause = Cause.objects.get(pk=exchange.cause_id)
        account = Account.objects.get()
        assert [one.cause_id for one in account.history.all()] == [cause.pk]
        assert JournalEntry.objects.filter(cause_id=cause.pk).count() == 1
    assert (cause.kind, cause.actor, cause.subject) == ("exchange", "Entra", f"exchange {exchange.pk}")


def test_a_way_back_is_a_question_to_people_whose_askers_are_known(idp: Idp) -> None:
    ada = idp.user("ada")
    idp.patch(f"/Users/{ada}", {"op": "replace", "path": "active", "value": False})
    idp.patch(f"/Users/{ada}", {"op": "replace", "path": "active", "value": True}, Prefer=LATER)
    apply(idp)
    exchange = idp.last()
    with scope(tenant=idp.tenant.pk):
        plan = Plan.objects.get()
        assert (plan.exchange_id, plan.pk) == (exchange.pk, exchange.plan_id)
        assert set(plan.requesters) == systems.requesters(system=idp.system, at=soon())
    assert (exchange.outcome, exchange.intent) == ("held", "enable")


def test_an_entity_tag_that_is_no_longer_true_refuses_it(idp: Idp) -> None:
    made = idp.post("/Users", a_user("ada"))
    path, tag = f"/Users/{made['id']}", made.headers["ETag"]
    idp.patch(path, TITLE, Prefer=LATER, If_Match=tag)
    idp.patch(path, {"op": "replace", "path": "title", "value": "Head"}, Prefer=LATER, If_Match=tag)
    assert apply(idp) and apply(idp)
    assert [one.status for one in idp.exchanges()] == [201, 200, 412]
    assert states(idp) == ["applied", "applied"]


def test_a_fault_of_ours_is_no_refusal_and_is_tried_again(
    idp: Idp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    insert = recording.insert

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("S3cret-value")

    idp.post("/Users", a_user("ada"), Prefer=LATER)
    monkeypatch.setattr(recording, "insert", broken)
    at = soon()
    assert apply(idp, at=at)
    (one,) = rows(idp)
    assert (one.state, one.tries, one.next_try_at) == ("waiting", 1, at + queue.PAUSES[0])
    assert one.error == "The request could not be completed. It is recorded; trying again is safe."
    with scope(tenant=idp.tenant.pk):
        assert (Account.objects.count(), Shadow.objects.count()) == (0, 0)
    assert idp.exchanges() == []
    assert "RuntimeError" in caplog.text and "S3cret-value" not in caplog.text
    monkeypatch.setattr(recording, "insert", insert)
    assert not apply(idp, at=at)
    assert apply(idp, at=one.next_try_at)
    assert (states(idp), idp.last().outcome) == (["applied"], "applied")


def test_a_passing_problem_of_the_database_is_tried_at_once_and_then_after_a_pause(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def deadlock(**_: Any) -> Any:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute("DO $$ BEGIN RAISE 'no' USING ERRCODE = '40P01'; END $$")

    idp.post("/Users", a_user("ada"), Prefer=LATER)
    take_in(monkeypatch, deadlock)
    apply(idp)
    assert len(calls) == 3
    (one,) = rows(idp)
    assert (one.state, one.tries, one.error) == (
        "waiting", 1, "The server is busy with other changes; try again.",
    )  # fmt: skip


def test_a_broken_foreign_key_is_found_before_it_counts_as_applied(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    wish = intake.create_account

    def with_a_broken_key(**values: Any) -> Any:
        taken = wish(**values)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE provisioning_shadow SET account_id = gen_random_uuid()")
        return taken

    idp.post("/Users", a_user("ada"), Prefer=LATER)
    take_in(monkeypatch, with_a_broken_key)
    apply(idp)
    assert (idp.last().outcome, idp.last().status, states(idp)) == ("rejected", 409, ["applied"])


def test_what_may_need_something_older_waits_for_it(idp: Idp) -> None:
    ada = idp.user("ada")
    idp.patch(f"/Users/{ada}", {"op": "replace", "path": "userName", "value": "grace"}, Prefer=LATER)
    idp.post("/Users", a_user("ada"), Prefer=LATER)
    rename, create = rows(idp)
    at = soon()
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        Received.objects.filter(pk=rename.pk).update(next_try_at=at + MINUTE)
    assert apply(idp, at=at)
    assert (rows(idp)[1].state, rows(idp)[1].tries) == ("waiting", 0)
    assert not apply(idp, at=at)
    assert apply(idp, at=at + 2 * MINUTE) and apply(idp, at=at + 2 * MINUTE)
    assert [one.state for one in rows(idp)] == ["applied", "applied"]
    assert next(e for e in idp.exchanges() if e.pk == create.pk).status == 201


def test_what_needs_nothing_that_waits_is_refused_for_good(idp: Idp) -> None:
    idp.user("ada")
    idp.post("/Users", a_user("ada"), Prefer=LATER)
    idp.put("/Users/0193b0c4-0000-7000-8000-000000000001", a_user("eve"), Prefer=LATER)
    while apply(idp):
        pass
    assert [one.status for one in idp.exchanges()] == [201, 409, 404]
    assert states(idp) == ["applied", "applied"]


def test_a_removal_of_members_that_can_not_be_read_is_parked_in_the_ledger_as_ever(idp: Idp) -> None:
    group = idp.group("Staff", idp.user("ada"))
    leave = {"op": "remove", "path": 'members[value eq "0193b0c4-0000-7000-8000-000000000001"]'}
    idp.patch(f"/Groups/{group}", leave, Prefer=LATER)
    apply(idp)
    assert (idp.last().outcome, idp.last().status, states(idp)) == ("parked", 400, ["applied"])
    with scope(tenant=idp.tenant.pk):
        assert Finding.objects.get().kind == "members_unresolved"


def test_a_token_that_has_ended_since_takes_nothing_back_of_what_was_promised(idp: Idp) -> None:
    idp.post("/Users", a_user("ada"), Prefer=LATER)
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        from provisioning import tokens  # noqa: PLC0415
        from provisioning.models.connection import SystemToken  # noqa: PLC0415

        tokens.end_token(token=SystemToken.objects.get(), reason="leaked", at=soon())
    apply(idp)
    assert idp.last().outcome == "applied"


def test_a_system_that_has_ended_changes_nothing_any_more(idp: Idp) -> None:
    idp.post("/Users", a_user("ada"), Prefer=LATER)
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        systems.end_system(system=idp.system, reason="gone", at=soon())
    apply(idp)
    assert (idp.last().outcome, idp.last().status, states(idp)) == ("rejected", 403, ["applied"])


def test_a_key_that_is_lost_parks_it_and_one_that_is_put_back_applies_it(idp: Idp, settings: Any) -> None:
    idp.post("/Users", a_user("ada"), Prefer=LATER)
    key = settings.ROLLCALL_FIELD_KEYS
    settings.ROLLCALL_FIELD_KEYS = ["2ku4Mhg1XUI7AnHbWZZJ2XyzY7hZyp0bVOBqbcbeAXA="]
    for minutes in range(0, 60, 10):
        apply(idp, at=soon(minutes))
    (one,) = rows(idp)
    assert (one.state, one.error) == (
        "parked", "The stored request can't be decrypted: put its key back into ROLLCALL_FIELD_KEYS.",
    )  # fmt: skip
    settings.ROLLCALL_FIELD_KEYS = key
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        queue.again(received=one, reason="put back", at=soon(60))
    apply(idp, at=soon(61))
    assert (states(idp), idp.last().outcome) == (["applied"], "applied")


def test_what_another_try_has_taken_over_is_left_alone(idp: Idp) -> None:
    idp.post("/Users", a_user("ada"), Prefer=LATER)
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        begun = queue.begin(at=soon())
        assert begun is not None
        queue.begin_one(received=begun, at=soon())
    applying._Application(idp.tenant.pk, begun, soon).run()
    assert (idp.exchanges(), states(idp)) == ([], ["waiting"])


def test_a_lane_is_caught_up_with_until_something_is_stuck(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = idp.user("ada")
    for value in ("a", "b", "c"):
        idp.patch(f"/Users/{ada}", {"op": "replace", "path": "title", "value": value}, Prefer=LATER)
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        queue.park(received=rows(idp)[2], error="x", at=soon())

    def catch_up(**more: Any) -> Received | None:
        return applying.catch_up(
            tenant=idp.tenant.pk, system=idp.system.pk, lane=ada, clock=soon, **({"seconds": 5.0} | more)
        )

    assert catch_up(seconds=-1.0) == rows(idp)[0]
    assert catch_up() == rows(idp)[2]
    assert states(idp) == ["applied", "applied", "parked"]
    assert applying.catch_up(tenant=idp.tenant.pk, system=idp.system.pk, lane="x", clock=soon, seconds=5.0) is None


def test_one_costs_the_same_however_many_wait(idp: Idp) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert apply(idp)
        return len(queries)

    idp.post("/Users", a_user("u0"), Prefer=LATER)
    one = cost()
    for number in range(1, 4):
        idp.post("/Users", a_user(f"u{number}"), Prefer=LATER)
    assert cost() == one


def sent(answer: Reply) -> str:
    return answer.headers["Set-Txn"]


def test_what_is_kept_of_the_body_is_what_the_ledger_keeps_of_a_request(idp: Idp) -> None:
    body = {"schemas": [USER_URN], "userName": "ada", "password": "S3cret-value", "favourite": "S3cret-other"}
    key = sent(idp.post("/Users", body, Prefer=LATER))
    apply(idp)
    exchange = idp.last()
    assert str(exchange.pk) == key
    assert exchange.request == {"schemas": [USER_URN], "userName": "ada", "password": "***", "(left out)": 1}
