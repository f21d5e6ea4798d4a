"""A range is replayed exchange by exchange: each once, resumed after a kill, stopped and gone on with."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from accounts.models import RoleName
from accounts.rules import Refused
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import replay, replaying, tasks
from provisioning.models.replay import Replay, ReplayKind
from provisioning.replaying import BadRange, Range
from tests.conftest import a_cause
from tests.factories.governance import staff
from tests.factories.replays import a_patch, active, now, parked, title
from tests.factories.scim import Idp, connect

if TYPE_CHECKING:
    from accounts.models import Tenant, User
    from provisioning.models.exchange import Exchange

pytestmark = pytest.mark.django_db

PARKED = Range(kind=ReplayKind.PARKED)


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant, "Okta")


@pytest.fixture
def chen(tenant: Tenant) -> User:
    with scope(tenant=tenant.pk, cause=a_cause()):
        return staff(tenant, "l.chen", RoleName.SECURITY, at=now())


def begin(tenant: Tenant, asked: Range, by: User, reason: str = "INC-7") -> Replay:
    cause = a_cause(actor=str(by), user_id=by.pk, identity_id=by.identity_id)
    with scope(tenant=tenant.pk, cause=cause):
        return replaying.begin(asked, by=by, reason=reason, at=now())


def advance(tenant: Tenant, row: Replay, *, most: int = 100) -> bool:
    left = iter([True] * (most - 1))
    return replaying.advance(tenant=tenant.pk, replay_id=row.pk, clock=now, go_on=lambda: next(left, False))


def as_it_is(row: Replay) -> Replay:
    with scope(tenant=row.tenant_id):
        return Replay.objects.get(pk=row.pk)


def three_lost(idp: Idp) -> list[str]:
    users = [idp.user(f"u{n}@example.com", title="Ops") for n in range(3)]
    for user in users:
        parked(idp, "PATCH", f"/Users/{user}", a_patch(active(False)), intent="disable")
    return users


def states(idp: Idp, users: list[str]) -> list[str]:
    return [idp.shadow(user).account.state for user in users]


def replays(idp: Idp) -> list[Exchange]:
    return [one for one in idp.exchanges() if one.replays is not None]


def preview(tenant: Tenant, asked: Range, most: int = 100) -> replaying.Preview:
    with scope(tenant=tenant.pk):
        return replaying.preview(asked, at=now(), go_on=lambda: True, most=most)


def test_all_that_is_parked_is_replayed_once_and_then_none_is_left(tenant, idp, chen):
    users = three_lost(idp)
    seen = preview(tenant, PARKED)
    assert (seen.total, seen.looked_at, seen.would_change, seen.would_ask) == (3, 3, 3, 0)
    assert states(idp, users) == ["active"] * 3
    row = begin(tenant, PARKED, chen)
    assert advance(tenant, row)
    row = as_it_is(row)
    assert (row.state, row.counts, row.total, row.done) == ("done", {"applied": 3}, 3, 3)
    assert states(idp, users) == ["deprovisioned"] * 3
    assert preview(tenant, PARKED).total == 0
    with pytest.raises(BadRange, match="No exchange is in this range"):
        begin(tenant, PARKED, chen)


def test_the_journal_says_who_replayed_what_and_why(tenant, idp, chen):
    three_lost(idp)
    advance(tenant, begin(tenant, PARKED, chen))
    with scope(tenant=tenant.pk):
        events = JournalEntry.objects.filter(event__in=["replay.begun", "exchange.replayed", "replay.ended"])
        found = list(events.order_by("id").values_list("event", "sentence"))
    assert [event for event, _ in found] == ["replay.begun", *["exchange.replayed"] * 3, "replay.ended"]
    assert all(sentence.startswith("l.chen: ") and sentence.endswith("INC-7") for _, sentence in found)


def test_one_that_is_cut_off_goes_on_where_it_stands_and_does_nothing_twice(tenant, idp, chen, monkeypatch):
    users = three_lost(idp)
    row = begin(tenant, PARKED, chen)
    real = replaying._count

    def dies(*args: Any) -> None:
        real(*args)
        if args[0].done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(replaying, "_count", dies)
    with pytest.raises(KeyboardInterrupt):
        advance(tenant, row)
    assert (as_it_is(row).done, len(replays(idp)), states(idp, users)) == (1, 1, ["deprovisioned", "active", "active"])
    monkeypatch.setattr(replaying, "_count", real)
    assert advance(tenant, row)
    assert (as_it_is(row).counts, len(replays(idp))) == ({"applied": 3}, 3)
    assert advance(tenant, row)
    assert len(replays(idp)) == 3


def test_a_slice_ends_and_the_next_goes_on(tenant, idp, chen):
    three_lost(idp)
    row = begin(tenant, PARKED, chen)
    assert advance(tenant, row, most=2) is False
    assert as_it_is(row).done == 2
    tasks.replay_due()
    assert (as_it_is(row).state, as_it_is(row).done) == ("done", 3)


def test_one_that_is_stopped_stays_where_it_is_until_somebody_goes_on(tenant, idp, chen):
    three_lost(idp)
    row = begin(tenant, PARKED, chen)
    advance(tenant, row, most=1)
    with scope(tenant=tenant.pk, cause=a_cause()):
        assert replaying.stop(row=row, by=chen, reason="wrong range", at=now())
        assert not replaying.stop(row=row, by=chen, reason="wrong range", at=now())
    tasks.replay_due()
    assert (as_it_is(row).state, as_it_is(row).done) == ("stopped", 1)
    with scope(tenant=tenant.pk, cause=a_cause()):
        assert replaying.resume(row=row, by=chen, reason="it was right", at=now())
    tasks.replay_due()
    assert (as_it_is(row).state, as_it_is(row).done) == ("done", 3)
    with scope(tenant=tenant.pk, cause=a_cause()), pytest.raises(BadRange, match="It is done"):
        replaying.resume(row=row, by=chen, reason="again", at=now())


def test_what_can_not_be_replayed_is_named_and_stops_nothing(tenant, idp, chen, monkeypatch):
    users = three_lost(idp)
    gone = parked(idp, "PATCH", f"/Users/{users[0]}", None)
    broken = parked(idp, "PATCH", f"/Users/{users[1]}", a_patch(title("x")))
    real = replay.apply

    def fails(**values: Any) -> Any:
        if values["exchange"].pk == broken.pk:
            raise ZeroDivisionError
        return real(**values)

    monkeypatch.setattr(replay, "apply", fails)
    row = begin(tenant, PARKED, chen)
    assert advance(tenant, row)
    row = as_it_is(row)
    assert row.counts == {"applied": 3, "in_the_way": 1, "failed": 1}
    assert [(one["exchange"], one["because"]) for one in row.in_the_way] == [
        (str(gone.pk), "its body is not kept: it was too long, or is gone"), (str(broken.pk), "ZeroDivisionError"),
    ]  # fmt: skip


def test_an_outage_of_the_database_is_no_failure_of_the_exchange_which_is_the_next_one_still(
    tenant, idp, chen, monkeypatch
):
    users = three_lost(idp)
    row = begin(tenant, PARKED, chen)

    def away(**_values: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(replay, "apply", away)
        with pytest.raises(OperationalError):
            advance(tenant, row)
    assert (as_it_is(row).state, as_it_is(row).counts, as_it_is(row).position) == ("running", {}, None)
    assert advance(tenant, row)
    assert (as_it_is(row).counts, states(idp, users)) == ({"applied": 3}, ["deprovisioned"] * 3)


def test_who_waits_for_a_resource_is_due_again_and_counts_nothing(tenant, idp, chen, monkeypatch):
    three_lost(idp)
    row = begin(tenant, PARKED, chen)

    def busy(**_values: Any) -> Any:
        raise replay.Busy("just now")

    monkeypatch.setattr(replay, "apply", busy)
    assert advance(tenant, row)
    assert (as_it_is(row).state, as_it_is(row).done) == ("running", 0)


def test_a_range_is_of_one_system_between_two_instants_and_knows_no_replay(tenant, idp, chen):
    other = connect(tenant, "Entra")
    other.user("eve@example.com")
    first = idp.user("ada@example.com")
    middle = now()
    idp.patch(f"/Users/{first}", title("Ops"))
    idp.post("/Users", {"schemas": []})
    asked = Range(kind=ReplayKind.RANGE, system=idp.system, first_id=replaying.since(middle - dt.timedelta(hours=1)))
    with scope(tenant=tenant.pk):
        assert [(e.method, e.outcome) for e in asked.exchanges()] == [("POST", "applied"), ("PATCH", "applied")]
        ends = Range(kind=ReplayKind.RANGE, system=idp.system, last_id=replaying.until(middle))
        assert [e.method for e in ends.exchanges()] == ["POST"]
    row = begin(tenant, asked, chen)
    advance(tenant, row)
    assert as_it_is(row).counts == {"same": 1, "superseded": 1}
    with scope(tenant=tenant.pk):
        assert asked.exchanges().count() == 2


def test_all_of_one_resource_and_one_exchange(tenant, idp, chen):
    ada, bob = idp.user("ada@example.com"), idp.user("bob@example.com")
    idp.patch(f"/Users/{ada}", title("Ops"))
    with scope(tenant=tenant.pk):
        mine = Range(kind=ReplayKind.RESOURCE, resource_id=idp.shadow(ada).pk)
        assert mine.exchanges().count() == 2
    row = begin(tenant, Range(kind=ReplayKind.EXCHANGE, exchange_id=idp.exchanges()[1].pk), chen)
    advance(tenant, row)
    assert (as_it_is(row).counts, replays(idp)[0].resource_id) == ({"same": 1}, idp.shadow(bob).pk)


def test_owners_and_auditors_replay_nothing(tenant, idp):
    three_lost(idp)
    with scope(tenant=tenant.pk, cause=a_cause()):
        people = [
            staff(tenant, name, role, at=now()) for name, role in (("o", RoleName.OWNER), ("a", RoleName.AUDITOR))
        ]
    for person in people:
        with pytest.raises(Refused, match="Replaying the ledger needs one of these roles"):
            begin(tenant, PARKED, person)


def test_a_replay_says_why(tenant, idp, chen):
    three_lost(idp)
    with pytest.raises(BadRange, match="Say why"):
        begin(tenant, PARKED, chen, reason="  ")
    idp.post("/Users", {"schemas": []})
    with pytest.raises(BadRange, match="It can't be replayed: it was refused"):
        begin(tenant, Range(kind=ReplayKind.EXCHANGE, exchange_id=idp.last().pk), chen)


def test_a_preview_looks_at_so_many_and_says_so(tenant, idp):
    three_lost(idp)
    seen = preview(tenant, PARKED, most=2)
    assert (seen.total, seen.looked_at, seen.would_change) == (3, 2, 2)


@pytest.mark.parametrize("before", [1, 3])
def test_a_step_costs_the_same_however_much_was_done_before(tenant, idp, chen, before, django_assert_num_queries):
    for number in range(before + 1):
        user = idp.user(f"q{number}@example.com", title="Ops")
        parked(idp, "PATCH", f"/Users/{user}", a_patch(title("SRE")))
    row = begin(tenant, PARKED, chen)
    advance(tenant, row, most=before)
    with scope(tenant=tenant.pk, cause=a_cause()), django_assert_num_queries(25):
        replaying.step(replay_id=row.pk, at=now())
