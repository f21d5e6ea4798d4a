"""The queue: which one is next, what failure does, what goes past what, and what people can do."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models.finding import Finding
from audit.keys import uuid7
from audit.models import JournalEntry
from provisioning import received as queue
from provisioning.models.received import Received

if TYPE_CHECKING:
    from accounts.models import System, Tenant
    from audit.models import Cause

MINUTE = dt.timedelta(minutes=1)


def sent(system: System, lane: str, *, reduces: bool = False, body: Any = None, **values: Any) -> Received:
    """One that waits, in a lane."""
    given: dict[str, Any] = {
        "id": uuid7(), "system": system, "token_id": uuid7(), "method": "PATCH", "path": f"/Users/{lane}",
        "resource_type": "User", "resource_id": None, "lane": lane, "reduces": reduces, "body": body, "key": "",
        "digest": "d" * 64, "size": 2, "if_match": None, "base": "https://x/scim/v2", "remote": "192.0.2.1",
    }  # fmt: skip
    return queue.receive(sent=queue.Sent(**(given | values)))


@pytest.fixture
def at(now: dt.datetime) -> dt.datetime:
    """A moment after all of it has come."""
    return now + dt.timedelta(seconds=30)


def begin(at: dt.datetime) -> Received:
    begun = queue.begin(at=at)
    assert begun is not None
    return begun


def state(one: Received) -> tuple[str, int, str]:
    one.refresh_from_db()
    return one.state, one.tries, one.error


def failing(one: Received, *, times: int, at: dt.datetime) -> dt.datetime:
    """Fail so often; the moment after the last pause."""
    for _ in range(times):
        assert begin(at) == one
        queue.failed(received=queue.locked(begun=Received.objects.get(pk=one.pk)), error="broken", at=at)
        at += 6 * MINUTE
    return at


def test_the_body_is_readable_with_the_key_alone_and_gone_when_it_is_done(
    system: System, at: dt.datetime, settings: Any
) -> None:
    one = sent(system, "a", body={"userName": "ada", "password": "S3cret"})
    assert "S3cret" not in one.sealed and "ada" not in one.sealed
    assert queue.body_of(one) == {"userName": "ada", "password": "S3cret"}
    assert queue.body_of(sent(system, "b")) == {}
    key = settings.ROLLCALL_FIELD_KEYS
    settings.ROLLCALL_FIELD_KEYS = ["2ku4Mhg1XUI7AnHbWZZJ2XyzY7hZyp0bVOBqbcbeAXA="]
    with pytest.raises(queue.Unreadable, match="ROLLCALL_FIELD_KEYS"):
        queue.body_of(one)
    settings.ROLLCALL_FIELD_KEYS = [*settings.ROLLCALL_FIELD_KEYS, *key]
    assert queue.body_of(one)["userName"] == "ada"
    queue.done(received=one, at=at)
    assert (one.state, one.sealed, one.ended_at) == ("applied", "", at)


def test_a_lane_goes_in_its_order_and_lanes_go_beside_each_other(system: System, at: dt.datetime) -> None:
    first, second, other = sent(system, "a"), sent(system, "a"), sent(system, "b")
    assert list(queue.due(at=at)) == [first, other]
    assert begin(at) == first
    assert list(queue.due(at=at)) == [other]
    queue.done(received=Received.objects.get(pk=first.pk), at=at)
    assert list(queue.due(at=at)) == [second, other]


def test_a_lane_is_of_one_system(tenant: Tenant, system: System, at: dt.datetime) -> None:
    from tests.factories import governance as make  # noqa: PLC0415

    other = make.a_system(tenant, "Entra", at=at)
    assert list(queue.due(at=at)) == []
    one, another = sent(system, "a"), sent(other, "a")
    assert list(queue.due(at=at)) == [one, another]


def test_what_takes_access_away_is_first_among_lanes_and_keeps_the_order_of_its_own(
    system: System, at: dt.datetime
) -> None:
    sent(system, "a")
    before, off = sent(system, "b"), sent(system, "b", reduces=True)
    other_off = sent(system, "c", reduces=True)
    assert begin(at) == other_off
    assert off not in queue.due(at=at)
    Received.objects.filter(lane="a").update(next_try_at=at + MINUTE)
    assert begin(at) == before


def test_a_try_is_counted_before_it_is_made_and_what_fails_waits_longer_each_time(
    system: System, at: dt.datetime
) -> None:
    one = sent(system, "a")
    pauses = []
    for number in range(1, queue.MOST_TRIES):
        begun = begin(at)
        assert (begun.tries, queue.begin(at=at)) == (number, None)
        queue.failed(received=begun, error="broken", at=at)
        assert state(one) == ("waiting", number, "broken")
        pauses.append(one.next_try_at - at)
        at = one.next_try_at
    assert tuple(pauses) == queue.PAUSES
    queue.failed(received=begin(at), error="broken for good", at=at)
    assert state(one) == ("parked", queue.MOST_TRIES, "broken for good")


def test_what_kills_whoever_tries_it_is_parked_in_the_end(system: System, at: dt.datetime) -> None:
    one, other = sent(system, "a"), sent(system, "b")
    for _ in range(queue.MOST_TRIES):
        assert begin(at) == one
        assert begin(at) == other
        Received.objects.filter(pk=other.pk).update(tries=0, next_try_at=at)
        at += 6 * MINUTE
    assert begin(at).state == "parked"
    assert state(one) == ("parked", queue.MOST_TRIES, "The process that applied it died, each time.")
    assert begin(at) == other


def test_parking_opens_a_finding_that_is_due_sooner_for_what_takes_access_away(system: System, at: dt.datetime) -> None:
    one, off = sent(system, "a"), sent(system, "b", reduces=True)
    queue.park(received=one, error="broken", at=at)
    queue.park(received=off, error="broken", at=at)
    found = {f.dedupe_key: (f.severity, f.due_at, f.system_id) for f in Finding.objects.filter(kind="not_applied")}
    assert found == {
        f"received:{one.pk}": (3, at + dt.timedelta(days=1), system.pk),
        f"received:{off.pk}": (4, at + dt.timedelta(hours=4), system.pk),
    }
    assert JournalEntry.objects.filter(event="received.parked").count() == 2


def test_a_parked_one_blocks_its_lane_and_no_other(system: System, at: dt.datetime) -> None:
    one, _behind, other = sent(system, "a"), sent(system, "a"), sent(system, "b")
    queue.park(received=one, error="broken", at=at)
    assert list(queue.due(at=at + 60 * MINUTE)) == [other]


@pytest.mark.parametrize("how", ["parked", "between two tries", "killed twice"])
def test_a_reduction_goes_past_what_is_stuck(system: System, at: dt.datetime, how: str) -> None:
    one, behind = sent(system, "a"), sent(system, "a")
    off, second = sent(system, "a", reduces=True), sent(system, "a", reduces=True)
    assert list(queue.due(at=at)) == [one]
    if how == "parked":
        queue.park(received=one, error="broken", at=at)
    elif how == "between two tries":
        queue.failed(received=begin(at), error="broken", at=at)
    else:
        Received.objects.filter(pk=one.pk).update(tries=2, next_try_at=at + MINUTE)
    assert list(queue.due(at=at)) == [off]
    queue.done(received=Received.objects.get(pk=off.pk), at=at)
    assert list(queue.due(at=at)) == [second]
    assert behind not in queue.due(at=at)


def test_a_reduction_waits_for_what_is_only_being_applied(system: System, at: dt.datetime) -> None:
    sent(system, "a")
    sent(system, "a", reduces=True)
    begin(at)
    assert list(queue.due(at=at)) == []


def test_who_was_overtaken_by_another_try_has_lost_it(system: System, at: dt.datetime) -> None:
    one = sent(system, "a")
    first = begin(at)
    second = queue.begin_one(received=one, at=at)
    assert second is not None
    assert (queue.locked(begun=first), queue.locked(begun=second)) == (None, one)


def test_what_was_gone_past_says_by_what_and_how_much_and_never_less(system: System, at: dt.datetime) -> None:
    one, two, off, later = sent(system, "a"), sent(system, "a"), sent(system, "a", reduces=True), sent(system, "a")
    other = sent(system, "b")
    whole, part = uuid7(), uuid7()
    assert queue.overtake(system=system.pk, lane="a", by=whole, wholly=True, before=off) == 2
    assert queue.overtake(system=system.pk, lane="a", by=part, wholly=False) == 4
    marks = {r.pk: (r.overtaken_by, r.is_overtaken_wholly) for r in Received.objects.all()}
    assert marks == {
        one.pk: (part, True), two.pk: (part, True), off.pk: (part, False), later.pk: (part, False),
        other.pk: (None, False),
    }  # fmt: skip


def test_what_may_need_something_older_is_postponed_without_a_failure_and_not_for_ever(
    system: System, at: dt.datetime
) -> None:
    older, one = sent(system, "a"), sent(system, "b")
    assert queue.waits_for_others(received=one)
    assert not queue.waits_for_others(received=older)
    begun = queue.begin_one(received=one, at=at)
    assert begun is not None
    queue.postpone(received=begun, error="no such resource", at=at)
    assert state(one) == ("waiting", 0, "")
    assert one.next_try_at == at + queue.POSTPONED
    assert not queue.is_stuck(one, at=at)
    late = one.received_at + queue.LONGEST_POSTPONED + MINUTE
    begun = queue.begin_one(received=one, at=late)
    assert begun is not None
    queue.postpone(received=begun, error="no such resource", at=late)
    assert state(one) == ("parked", 1, "no such resource")
    # What is parked is waited for by nobody else.
    queue.park(received=older, error="x", at=at)
    assert not queue.waits_for_others(received=sent(system, "c"))


def test_people_apply_again_or_give_up_what_is_parked_and_hurry_what_waits(system: System, at: dt.datetime) -> None:
    one = sent(system, "a")
    for verb in (queue.again, queue.give_up):
        with pytest.raises(queue.CantRelease, match="no longer parked"):
            verb(received=one, reason="x", at=at)
    Received.objects.update(next_try_at=at + MINUTE)
    assert queue.hurry(received=one, at=at).next_try_at == at
    queue.park(received=one, error="broken", at=at)
    with pytest.raises(queue.CantRelease, match="nothing to hurry"):
        queue.hurry(received=one, at=at)
    assert queue.again(received=one, reason="mended", at=at).state == "waiting"
    assert state(one) == ("waiting", 0, "broken")
    assert list(queue.due(at=at)) == [one]
    queue.park(received=one, error="broken", at=at)
    assert queue.give_up(received=one, reason="not needed", at=at).state == "given_up"
    assert Finding.objects.get().resolution == "it was given up: not needed"
    assert JournalEntry.objects.filter(event__startswith="received.").count() == 5


def test_its_finding_closes_when_it_is_applied_after_all(system: System, at: dt.datetime) -> None:
    one = sent(system, "a")
    at = failing(one, times=queue.MOST_TRIES, at=at)
    assert Finding.objects.get().state == "open"
    queue.again(received=one, reason="mended", at=at)
    queue.done(received=begin(at), at=at)
    assert Finding.objects.get().state == "resolved"


def test_a_system_has_so_much_open_at_most_and_others_are_not_counted(
    tenant: Tenant, system: System, at: dt.datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.factories import governance as make  # noqa: PLC0415

    monkeypatch.setattr(queue, "MOST_OPEN", 2)
    other = make.a_system(tenant, "Entra", at=at)
    for lane in "ab":
        sent(system, lane)
        sent(other, lane)
    with pytest.raises(queue.Overfull):
        sent(system, "c")
    queue.done(received=begin(at), at=at)
    sent(system, "c")


def test_a_key_is_known_while_it_is_open(system: System, at: dt.datetime) -> None:
    one = sent(system, "a", key="k")
    assert queue.known(system=system.pk, key="k") == one
    assert queue.known(system=system.pk, key="") is None
    queue.done(received=begin(at), at=at)
    assert queue.known(system=system.pk, key="k") is None


def test_what_waits_too_long_is_one_finding_for_its_system_until_nothing_does(system: System, at: dt.datetime) -> None:
    one = sent(system, "a")
    sent(system, "b")
    late = at + queue.LATE_AFTER + MINUTE
    assert (queue.watch_waiting(at=at), queue.watch_waiting(at=late), queue.watch_waiting(at=late)) == (0, 1, 1)
    found = Finding.objects.get()
    assert (found.dedupe_key, found.state) == (f"received_late:{system.pk}", "open")
    assert f"waits since {one.received_at:%Y-%m-%d %H:%M} UTC" in found.title
    # Behind one that is parked it waits for a person, which is another finding.
    queue.done(received=Received.objects.get(lane="b"), at=late)
    sent(system, "a")
    queue.park(received=Received.objects.get(pk=one.pk), error="broken", at=late)
    later = late + queue.LATE_AFTER + MINUTE
    assert queue.watch_waiting(at=later) == 0
    found.refresh_from_db()
    assert (found.state, found.resolution) == ("resolved", "nothing waits that long")


def test_the_next_one_is_found_by_one_statement_however_many_wait(
    because: Cause, system: System, at: dt.datetime
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            begin(at)
        return len(queries)

    sent(system, "a")
    one = cost()
    for lane in "bcd":
        sent(system, lane)
    assert cost() == one == 2


def test_an_end_waits_for_what_was_sent_before_it_and_may_name_what_ends(system: System, at: dt.datetime) -> None:
    older = sent(system, "a")
    end, off = sent(system, "b", reduces=True, method="DELETE"), sent(system, "c", reduces=True)
    assert list(queue.due(at=at)) == [off, older]
    begun = queue.begin_one(received=older, at=at)
    assert begun is not None
    assert list(queue.due(at=at)) == [off]
    # What is stuck may take for ever, and an end does not.
    queue.failed(received=begun, error="broken", at=at)
    assert list(queue.due(at=at)) == [end, off]
