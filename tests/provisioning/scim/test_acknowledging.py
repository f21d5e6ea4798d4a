"""`Prefer: respond-async`: committed before it is acknowledged, applied after, and asked for at its own address."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Account
from accounts.models.finding import Finding
from audit.models import history_of
from audit.scope import scope
from provisioning import received as queue
from provisioning import tasks
from provisioning.models.exchange import Exchange
from provisioning.models.received import Received
from provisioning.models.shadow import Shadow
from provisioning.scim import acknowledging
from provisioning.scim.acknowledging import wants_later
from tests.factories.scim import a_group, a_user

if TYPE_CHECKING:
    from tests.factories.scim import Idp, Reply

pytestmark = pytest.mark.face

LATER = "respond-async"
OFF = {"op": "replace", "path": "active", "value": False}
TITLE = {"op": "replace", "path": "title", "value": "Lead"}


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often a worker was woken."""
    calls: list[str] = []
    monkeypatch.setattr(tasks, "apply_soon", lambda: calls.append("woken"))
    return calls


def rows(idp: Idp, model: Any = Received) -> list[Any]:
    with scope(tenant=idp.tenant.pk):
        return list(model.objects.order_by("pk"))


def asked(idp: Idp, answer: Reply) -> Reply:
    """What its own address says of it."""
    return idp.get(answer.headers["Location"].partition("/scim/v2")[2])


@pytest.mark.unit
@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", False),
        ("respond-async", True),
        ("Respond-Async; x=1, wait=10", True),
        ("return=minimal, respond-async", True),
        ("wait=10,respond-async", True),
        ("respond-asynchronously", False),
        ('note="then, respond-async"', False),
        ('note="a \\" b, respond-async', False),
        ("x" * 8000 + '"' * 101, False),
    ],
)
def test_a_preference_is_one_by_its_name_outside_of_quotes(header: str, wanted: bool) -> None:
    assert wants_later(header) is wanted


def test_a_change_is_committed_and_acknowledged_without_a_body_and_nothing_is_done_yet(
    idp: Idp, woken: list[str]
) -> None:
    answer = idp.post("/Users", a_user("ada"), Prefer=LATER)
    (one,) = rows(idp)
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (202, None, "0")
    assert answer.headers["Set-Txn"] == str(one.pk)
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.headers["Location"] == f"http://testserver/scim/v2/Received/{one.pk}"
    assert (one.state, one.method, one.path, one.resource_type, one.reduces, one.tries) == (
        "waiting", "POST", "/Users", "User", False, 0,
    )  # fmt: skip
    assert rows(idp, Exchange) == rows(idp, Shadow) == rows(idp, Account) == []
    assert woken == ["woken"]


def test_it_is_applied_like_a_request_and_its_exchange_has_its_id(idp: Idp) -> None:
    answer = idp.post("/Users", a_user("ada", active="True"), Prefer=LATER)
    tasks.apply_received()
    (exchange,) = idp.exchanges()
    assert str(exchange.pk) == answer.headers["Set-Txn"]
    assert (exchange.outcome, exchange.intent, exchange.status, exchange.resource_label, exchange.remote) == (
        "applied", "create", 201, "ada", "127.0.0.1",
    )  # fmt: skip
    assert [one["rule"] for one in exchange.coercions] == ["boolean_text"]
    (one,) = rows(idp)
    assert (one.state, one.sealed, one.tries) == ("applied", "", 1)
    (shadow,) = rows(idp, Shadow)
    assert exchange.answer == idp.get(f"/Users/{shadow.pk}").body


def test_its_own_address_says_received_and_then_how_it_would_have_been_answered(idp: Idp) -> None:
    answer = idp.post("/Users", a_user("ada"), Prefer=LATER)
    status = asked(idp, answer)
    assert (status.status, status["state"], status["method"]) == (200, "received", "POST")
    assert status.headers["Retry-After"] == "2"
    assert "status" not in status.body
    tasks.apply_received()
    status = asked(idp, answer)
    shown = idp.get(status["location"].partition("/scim/v2")[2])
    assert (status["state"], status["outcome"], status["status"]) == ("applied", "applied", "201")
    assert (shown["userName"], status["version"]) == ("ada", shown["meta"]["version"])
    assert status["received"] <= status["applied"]
    assert "Retry-After" not in status.headers


def test_a_refusal_of_what_was_acknowledged_is_told_at_its_address_and_stands_in_the_ledger(idp: Idp) -> None:
    idp.user("ada")
    answer = idp.post("/Users", a_user("ADA"), Prefer=LATER)
    tasks.apply_received()
    status = asked(idp, answer)
    assert (status["state"], status["outcome"], status["status"]) == ("applied", "rejected", "409")
    assert (status["response"]["scimType"], status["response"]["status"]) == ("uniqueness", "409")
    assert (idp.last().outcome, idp.last().status, rows(idp)[0].state) == ("rejected", 409, "applied")


def test_nobody_else_is_told_that_there_is_such_a_thing(idp: Idp, other: Idp) -> None:
    address = idp.post("/Users", a_user("ada"), Prefer=LATER).headers["Location"].partition("/scim/v2")[2]
    unknown = "/Received/0193b0c4-0000-7000-8000-000000000001"
    answers = [other.get(address), other.get(unknown), idp.get("/Received/nothing")]
    assert [one.status for one in answers] == [404, 404, 404]
    assert len({str(one.body) for one in answers}) == 1
    assert idp.call("DELETE", address).status == 405
    assert idp.call("GET", address, Authorization="Bearer nothing").status == 401


@pytest.mark.parametrize(
    ("method", "path", "raw", "headers", "status"),
    [
        ("POST", "/Users", b'{"userName": ', {}, 400),
        ("POST", "/Users", b"[]", {}, 400),
        ("POST", "/Users", b"{}", {"Content_Type": "text/plain"}, 415),
        ("POST", "/Users", b"{}", {"Idempotency_Key": " "}, 400),
        ("PUT", "/Users/nobody", b"{}", {}, 404),
        ("PUT", "/Users", b"{}", {}, 405),
        ("POST", "/Users", b'{"userName": "rc_abcdefgh12_abcdefghijklmnopqrst"}', {}, 400),
        ("POST", "/Me", b"{}", {}, 501),
        ("POST", "/nowhere", b"{}", {}, 404),
    ],
)
def test_what_can_never_be_taken_is_refused_at_once(
    idp: Idp, method: str, path: str, raw: bytes, headers: dict[str, str], status: int
) -> None:
    answer = idp.call(method, path, raw=raw, Prefer=LATER, **headers)
    assert (answer.status, rows(idp)) == (status, [])
    assert "Set-Txn" not in answer.headers and "Preference-Applied" not in answer.headers
    assert [one.outcome for one in idp.exchanges()] == ["rejected"]


def test_who_may_only_read_is_refused_at_once(tenant: Any) -> None:
    from tests.factories.scim import connect  # noqa: PLC0415

    reader = connect(tenant, may=["read"])
    assert reader.post("/Users", a_user("ada"), Prefer=LATER).status == 403
    assert rows(reader) == []


def test_a_repeat_by_its_key_is_answered_as_the_first_time_before_and_after(idp: Idp) -> None:
    first = idp.post("/Users", a_user("ada"), Prefer=LATER, Idempotency_Key="k1")
    again = idp.post("/Users", a_user("ada"), Prefer=LATER, Idempotency_Key="k1")
    tasks.apply_received()
    third = idp.post("/Users", a_user("ada"), Prefer=LATER, Idempotency_Key="k1")
    at_once = idp.post("/Users", a_user("ada"), Idempotency_Key="k1")
    assert {one.headers["Set-Txn"] for one in (first, again, third)} == {first.headers["Set-Txn"]}
    assert [one.status for one in (first, again, third, at_once)] == [202, 202, 202, 201]
    assert len(rows(idp)) == 1
    assert sorted(one.outcome for one in idp.exchanges()) == ["applied", "duplicate", "duplicate", "duplicate"]
    other = idp.post("/Users", a_user("bob"), Prefer=LATER, Idempotency_Key="k1")
    assert (other.status, other["scimType"]) == (400, "invalidValue")


def test_a_key_that_was_used_for_another_change_that_waits_is_refused(idp: Idp) -> None:
    idp.post("/Users", a_user("ada"), Prefer=LATER, Idempotency_Key="k1")
    assert idp.post("/Users", a_user("bob"), Prefer=LATER, Idempotency_Key="k1").status == 400
    assert len(rows(idp)) == 1


def test_a_bulk_request_is_answered_at_once_whatever_it_prefers(idp: Idp) -> None:
    operation = {"method": "POST", "path": "/Users", "bulkId": "1", "data": a_user("ada")}
    body = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [operation]}
    answer = idp.post("/Bulk", body, Prefer=LATER)
    assert (answer.status, answer["Operations"][0]["status"]) == (200, "201")
    assert "Preference-Applied" not in answer.headers
    assert rows(idp) == []


def test_what_may_be_secret_is_in_no_row_in_clear_and_the_body_is_gone_when_it_is_applied(idp: Idp) -> None:
    secret = "Correct-Horse-7"
    body = a_user("ada@example.com", password=secret, title="Lead")
    idp.post("/Users", body, Prefer=LATER, Idempotency_Key="key-of-mine")
    with scope(tenant=idp.tenant.pk), connection.cursor() as cursor:
        found = []
        for table in (Received._meta.db_table, history_of(Received)._meta.db_table):
            cursor.execute(f"SELECT t::text FROM {table} t")
            found += [row[0] for row in cursor.fetchall()]
        (waiting,) = Received.objects.all()
        assert queue.body_of(waiting)["password"] == secret
    assert len(found) == 2
    for text in found:
        assert not any(word in text for word in (secret, "ada@", "Lead", "key-of-mine"))
    tasks.apply_received()
    assert rows(idp)[0].sealed == ""
    assert secret not in str(rows(idp, Exchange)[0].request)


def test_a_request_that_is_answered_at_once_comes_after_what_waits_for_its_resource(idp: Idp) -> None:
    ada, bob = idp.user("ada"), idp.user("bob")
    idp.patch(f"/Users/{ada}", TITLE, Prefer=LATER)
    idp.patch(f"/Users/{bob}", TITLE, Prefer=LATER)
    answer = idp.patch(f"/Users/{ada}", {"op": "replace", "path": "title", "value": "Head"})
    assert (answer.status, answer["title"]) == (200, "Head")
    # In their order in the ledger too; who is somebody else is left to the worker.
    assert [one.state for one in rows(idp)] == ["applied", "waiting"]
    assert [one.request["Operations"][0]["value"] for one in idp.exchanges()[2:]] == ["Lead", "Head"]


def test_one_that_is_made_at_once_comes_after_what_waits_under_its_name(idp: Idp) -> None:
    idp.post("/Users", a_user("ada"), Prefer=LATER)
    assert idp.post("/Users", a_user("Ada")).status == 409
    assert [one.outcome for one in idp.exchanges()] == ["applied", "rejected"]


def broken(monkeypatch: pytest.MonkeyPatch, *, value: str = "poison") -> None:
    """Let every change with that title break."""
    from provisioning import intake  # noqa: PLC0415

    fill = intake._fill

    def breaking(shadow: Any, change: Any) -> None:
        if change.document.get("title") == value:
            raise RuntimeError("S3cret-value")
        fill(shadow, change)

    monkeypatch.setattr(intake, "_fill", breaking)


POISON = {"op": "replace", "path": "title", "value": "poison"}


def parked(idp: Idp, user: str, monkeypatch: pytest.MonkeyPatch) -> Received:
    """A change of that user that can't be applied, tried as often as it is."""
    broken(monkeypatch)
    idp.patch(f"/Users/{user}", POISON, Prefer=LATER)
    now = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    for _ in range(queue.MOST_TRIES):
        monkeypatch.setattr(tasks, "_now", lambda at=now: at)
        tasks.apply_received()
        now += dt.timedelta(minutes=6)
    monkeypatch.setattr(tasks, "_now", lambda: dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    return next(one for one in rows(idp) if one.state == "parked")


def test_poison_is_parked_with_a_finding_and_holds_up_its_own_resource_alone(
    idp: Idp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ada, bob = idp.user("ada"), idp.user("bob")
    one = parked(idp, ada, monkeypatch)
    idp.patch(f"/Users/{ada}", TITLE, Prefer=LATER)
    idp.patch(f"/Users/{bob}", TITLE, Prefer=LATER)
    tasks.apply_received()
    assert [(r.state, str(r.resource_id) == ada) for r in rows(idp)] == [
        ("parked", True), ("waiting", True), ("applied", False),
    ]  # fmt: skip
    assert one.tries == queue.MOST_TRIES
    with scope(tenant=idp.tenant.pk):
        finding = Finding.objects.get(kind="not_applied")
    assert (finding.severity, finding.system_id, finding.state) == (3, idp.system.pk, "open")
    assert finding.due_at is not None
    status = idp.get(f"/Received/{one.pk}")
    assert (status["state"], status["status"], status["response"]["status"]) == ("parked", "500", "500")
    assert "S3cret-value" not in caplog.text + str(status.body) + str(finding.evidence)


def test_a_request_behind_poison_is_told_to_come_again_and_a_deactivation_is_not(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = idp.user("ada")
    parked(idp, ada, monkeypatch)
    refused = idp.patch(f"/Users/{ada}", TITLE)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "60")
    assert (idp.last().outcome, idp.last().status) == ("rejected", 503)
    assert idp.get(f"/Users/{ada}").status == 200
    assert idp.patch(f"/Users/{ada}", OFF)["active"] is False
    off = idp.last()
    assert (off.outcome, off.intent) == ("applied", "disable")
    (one,) = rows(idp)
    assert (one.overtaken_by, one.is_overtaken_wholly) == (off.pk, False)


@pytest.mark.parametrize(
    ("waiting", "disable", "outcome", "title"),
    [
        ({"op": "replace", "path": "active", "value": True}, "PATCH", "superseded", None),
        (TITLE, "PATCH", "applied", "Lead"),
        (TITLE, "PUT", "superseded", None),
        (TITLE, "DELETE", "superseded", None),
    ],
)
def test_what_was_gone_past_is_superseded_where_it_would_give_access_or_undo_what_is_newer(
    idp: Idp, monkeypatch: pytest.MonkeyPatch, waiting: Any, disable: str, outcome: str, title: str | None
) -> None:
    ada = idp.user("ada")
    one = parked(idp, ada, monkeypatch)
    idp.patch(f"/Users/{ada}", waiting, Prefer=LATER)
    path = f"/Users/{ada}"
    if disable == "PATCH":
        assert idp.patch(path, OFF).status == 200
    elif disable == "PUT":
        assert idp.put(path, a_user("ada", active=False)).status == 200
    else:
        assert idp.delete(path).status == 204
    monkeypatch.setattr(acknowledging, "SECONDS", 0.0)
    with scope(tenant=idp.tenant.pk, cause=_cause()):
        from provisioning.scim import applying  # noqa: PLC0415

        applying.give_up(received=one, reason="poison", at=dt.datetime.now(dt.UTC))
    tasks.apply_received()
    assert [r.state for r in rows(idp)] == ["given_up", "applied"]
    last = rows(idp)[-1]
    assert next(e for e in idp.exchanges() if e.pk == last.pk).outcome == outcome
    shadow = idp.shadow(ada)
    assert shadow.document.get("title") == title
    assert shadow.account is not None and shadow.account.state == "deprovisioned"


def _cause() -> Any:
    from tests.conftest import a_cause  # noqa: PLC0415

    return a_cause()


def test_a_deactivation_that_asks_to_be_answered_later_goes_past_poison_too(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = idp.user("ada")
    parked(idp, ada, monkeypatch)
    idp.patch(f"/Users/{ada}", TITLE, Prefer=LATER)
    idp.patch(f"/Users/{ada}", OFF, Prefer=LATER)
    tasks.apply_received()
    assert [(r.state, r.overtaken_by is not None) for r in rows(idp)] == [
        ("parked", True), ("waiting", True), ("applied", False),
    ]  # fmt: skip
    account = idp.shadow(ada).account
    assert account is not None and account.state == "deprovisioned"


def test_members_leave_a_group_that_is_stuck_and_do_not_come_back_by_what_is_older(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = idp.user("ada")
    group = idp.group("Staff", ada)
    add = {"op": "add", "path": "members", "value": [{"value": ada}]}
    idp.patch(f"/Groups/{group}", add, Prefer=LATER)
    with scope(tenant=idp.tenant.pk, cause=_cause()):
        queue.park(received=Received.objects.get(), error="x", at=dt.datetime.now(dt.UTC))
    leave = {"op": "remove", "path": f'members[value eq "{ada}"]'}
    assert idp.patch(f"/Groups/{group}", leave).status == 200
    with scope(tenant=idp.tenant.pk, cause=_cause()):
        queue.again(received=Received.objects.get(), reason="try", at=dt.datetime.now(dt.UTC))
    tasks.apply_received()
    assert (rows(idp)[0].state, idp.exchanges()[2].outcome, idp.members(group)) == ("applied", "superseded", set())


def test_a_system_that_sent_too_much_ahead_is_told_to_wait(idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MOST_OPEN", 2)
    answers = [idp.post("/Users", a_user(f"u{n}"), Prefer=LATER) for n in range(3)]
    assert [one.status for one in answers] == [202, 202, 429]
    assert (answers[2].headers["Retry-After"], len(rows(idp))) == ("60", 2)


def test_acknowledging_costs_the_same_however_much_is_open(idp: Idp) -> None:
    def cost(name: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert idp.post("/Users", a_user(name), Prefer=LATER).status == 202
        return len(queries)

    first = cost("u1")
    idp.post("/Users", a_user("u2"), Prefer=LATER)
    assert cost("u3") == first


def test_a_request_pays_nothing_for_the_queue_of_others(idp: Idp, other: Idp) -> None:
    ada = idp.user("ada")

    def cost(value: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert idp.patch(f"/Users/{ada}", {"op": "replace", "path": "title", "value": value}).status == 200
        return len(queries)

    before = cost("a")
    for n in range(3):
        other.post("/Users", a_user(f"u{n}"), Prefer=LATER)
    assert cost("b") == before


def test_the_server_says_that_it_answers_later_when_asked_to(idp: Idp) -> None:
    told = idp.get("/ServiceProviderConfig?attributes=securityEvents")
    assert told["securityEvents"] == {"asyncRequest": "request", "eventUris": []}
    # Clients that know RFC 7643 alone refuse what they don't know.
    assert "securityEvents" not in idp.get("/ServiceProviderConfig").body


def test_a_worker_is_woken_by_the_first_that_waits_and_not_by_each(idp: Idp, woken: list[str]) -> None:
    for n in range(3):
        idp.post("/Groups", a_group(f"g{n}"), Prefer=LATER)
    assert woken == ["woken"]
