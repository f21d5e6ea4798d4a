"""A cursor is the end of a contiguous prefix: moved by whoever holds it, with what it passes, and never over a gap."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models.finding import Finding
from audit.models import JournalEntry
from audit.scope import scope
from provisioning import cursors
from provisioning.cursors import CantFollow, Held, Stale
from provisioning.models import Connection, Cursor, FeedEvent, Listening, Run, Snapshot
from provisioning.models.cursor import CursorState
from tests.conftest import a_cause
from tests.fakes.directories import FakeDirectory, a_system

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import System, Tenant

STREAM = "scim-delta/Users"
MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)
FIRST, SECOND = {"modified": "2026-11-23T12:00:00+00:00"}, {"modified": "2026-11-23T12:05:00+00:00"}


@pytest.fixture
def system(tenant: Tenant, acting: Callable[..., Any], directory: FakeDirectory, at: dt.datetime) -> System:
    with acting():
        return a_system(tenant, at=at, directory=directory)


@pytest.fixture
def cursor(system: System, acting: Callable[..., Any], at: dt.datetime) -> Cursor:
    """One that follows from FIRST."""
    with acting():
        made = cursors.follow(system=system, stream=STREAM, cadence_minutes=5, at=at)
        cursors.go_on(made, position=FIRST, reading=read(system, at=at), at=at)
    return made


def read(system: System, *, at: dt.datetime, state: str = "complete") -> Snapshot:
    """A reading that began then and has ended."""
    run = Run.objects.create(tenant_id=system.tenant_id, system=system, started_by="a test", started_at=at,
                             state="closed", ended_at=at)  # fmt: skip
    return Snapshot.objects.create(tenant_id=system.tenant_id, run=run, system=system, state=state, started_at=at)


def taken(cursor: Cursor, *, at: dt.datetime) -> Held:
    with scope(tenant=cursor.tenant_id, cause=a_cause()):
        found = cursors.claim(tenant=cursor.tenant_id, cursor_id=cursor.pk, at=at)
    assert found is not None
    return found[0]


def again(cursor: Cursor) -> Cursor:
    with scope(tenant=cursor.tenant_id):
        return Cursor.objects.select_related("system").get(pk=cursor.pk)


def look(cursor: Cursor) -> Listening:
    with scope(tenant=cursor.tenant_id):
        return Listening.objects.get(cursor=cursor)


def events(cursor: Cursor) -> list[str]:
    with scope(tenant=cursor.tenant_id):
        return list(JournalEntry.objects.order_by("id").values_list("event", flat=True))


def open_findings(cursor: Cursor) -> list[tuple[str, str]]:
    with scope(tenant=cursor.tenant_id):
        return list(Finding.objects.order_by("id").values_list("kind", "state"))


def test_a_feed_begins_with_a_complete_reading_that_is_due_at_once(
    system: System, acting: Callable[..., Any], at: dt.datetime
) -> None:
    with acting():
        Connection.objects.update(due_at=at + HOUR)
        made = cursors.follow(system=system, stream=STREAM, cadence_minutes=5, at=at)
        assert (made.state, made.position, made.gap_at, made.epoch) == (CursorState.WAITING, None, at, 1)
        assert Connection.objects.get().due_at == at
        assert cursors.read_since(made) is None
        read(system, at=at - MINUTE)
        read(system, at=at + MINUTE, state="incomplete")
        assert cursors.read_since(made) is None
        whole = read(system, at=at + 2 * MINUTE)
        read(system, at=at + 3 * MINUTE)
        assert cursors.read_since(made) == whole
        cursors.go_on(made, position=FIRST, reading=whole, at=at + 4 * MINUTE)
    found = again(made)
    assert (found.state, found.position, found.gap_at) == (CursorState.FOLLOWING, FIRST, None)
    assert events(made)[-2:] == ["feed.followed", "feed.goes_on"]


def test_to_follow_what_is_followed_already_changes_nothing(cursor: Cursor, acting: Callable[..., Any]) -> None:
    with acting() as cause:
        same = cursors.follow(system=cursor.system, stream=STREAM, cadence_minutes=9, at=cause.at)
    assert (same.pk, same.cadence_minutes, again(cursor).position) == (cursor.pk, 5, FIRST)
    assert events(cursor).count("feed.followed") == 1


def test_a_system_that_is_not_read_can_t_be_followed(
    tenant: Tenant, acting: Callable[..., Any], at: dt.datetime
) -> None:
    with acting(), pytest.raises(CantFollow, match="Bare is not connected: say where it is read first"):
        cursors.follow(system=a_system(tenant, name="Bare", at=at), stream=STREAM, cadence_minutes=5, at=at)


def test_of_two_who_take_it_one_gets_it_until_its_lease_is_over(cursor: Cursor, at: dt.datetime) -> None:
    first = taken(cursor, at=at)
    with scope(tenant=cursor.tenant_id, cause=a_cause()):
        assert cursors.claim(tenant=cursor.tenant_id, cursor_id=cursor.pk, at=at + cursors.LEASE - MINUTE) is None
    second = taken(cursor, at=at + cursors.LEASE)
    assert (first.fence, second.fence, second.epoch) == (1, 2, again(cursor).epoch)


def test_whoever_was_thought_dead_can_move_nothing_any_more(cursor: Cursor, at: dt.datetime) -> None:
    late = taken(cursor, at=at)
    taken(cursor, at=at + cursors.LEASE)
    with pytest.raises(Stale), late.writing("a test") as held:
        cursors.move(held, to=SECOND, forget_before=None, at=at)
    assert again(cursor).position == FIRST
    cursors.heard(held=late, problem="", at=at)
    assert look(cursor).heard_at is None


def test_nor_can_whoever_took_it_before_it_began_anew(
    cursor: Cursor, acting: Callable[..., Any], at: dt.datetime
) -> None:
    late = taken(cursor, at=at)
    with acting():
        cursors.lose(again(cursor), because="the server has forgotten", at=at)
    with pytest.raises(Stale), late.writing("a test"):
        pytest.fail("nothing may be written")


def test_each_value_that_it_had_is_kept_with_its_cause_and_a_look_that_finds_nothing_keeps_none(
    cursor: Cursor, acting: Callable[..., Any], at: dt.datetime
) -> None:
    held = taken(cursor, at=at)
    with held.writing("a feed said something") as found:
        cursors.move(found, to=SECOND, forget_before=None, at=at)
        cursors.move(found, to=SECOND, forget_before=None, at=at + HOUR)
    cursors.heard(held=held, problem="", at=at)
    with acting():
        kept = cursors.values_of(again(cursor))
    assert [row.position for row in kept] == [SECOND, FIRST, None]
    assert all(row.cause_id for row in kept)
    assert (again(cursor).moved_at, look(cursor).heard_at, look(cursor).due_at) == (at, at, at + 5 * MINUTE)


def test_an_event_is_new_once_until_its_feed_can_t_show_it_any_more(
    cursor: Cursor, acting: Callable[..., Any], at: dt.datetime
) -> None:
    with acting():
        found = Cursor.objects.get(pk=cursor.pk)
        assert cursors.fresh(found, {}) == set()
        assert cursors.fresh(found, {"a": at, "b": at + MINUTE}) == {"a", "b"}
        assert cursors.fresh(found, {"a": at, "c": at}) == {"c"}
        cursors.move(found, to=SECOND, forget_before=at + MINUTE, at=at)
        assert set(FeedEvent.objects.values_list("key", flat=True)) == {"b"}


def test_a_gap_leads_to_a_complete_reading_by_itself_and_is_a_finding_until_then(
    cursor: Cursor, acting: Callable[..., Any], at: dt.datetime
) -> None:
    with acting():
        Connection.objects.update(due_at=at + HOUR)
        cursors.fresh(again(cursor), {"a": at})
        cursors.lose(again(cursor), because="token=abc is too old", at=at)
        assert Connection.objects.get().due_at == at
        assert FeedEvent.objects.count() == 0
    lost = again(cursor)
    assert (lost.state, lost.position, lost.gap_at, lost.gap_because) == ("waiting", None, at, "token=*** is too old")
    assert lost.epoch == cursor.epoch + 1
    assert open_findings(cursor) == [("feed_gap", "open")]
    with acting():
        cursors.go_on(again(cursor), position=SECOND, reading=read(cursor.system, at=at + MINUTE), at=at + HOUR)
    assert open_findings(cursor) == [("feed_gap", "resolved")]
    assert events(cursor)[-2:] == ["feed.gap", "feed.goes_on"]


def test_a_gap_within_a_gap_needs_a_reading_that_is_later_still(
    cursor: Cursor, acting: Callable[..., Any], at: dt.datetime
) -> None:
    with acting():
        cursors.lose(again(cursor), because="once", at=at)
        read(cursor.system, at=at + MINUTE)
        cursors.lose(again(cursor), because="twice", at=at + HOUR)
        assert cursors.read_since(again(cursor)) is None
        later = read(cursor.system, at=at + HOUR)
        assert cursors.read_since(again(cursor)) == later


def test_what_went_wrong_is_kept_without_secrets_and_tried_again_a_cadence_later(
    cursor: Cursor, at: dt.datetime
) -> None:
    cursors.heard(held=taken(cursor, at=at), problem="401 for password=hunter2", at=at)
    found = look(cursor)
    assert (found.problem, found.heard_at, found.due_at) == ("401 for password=***", None, at + 5 * MINUTE)
    cursors.heard(held=taken(cursor, at=at + HOUR), problem="", at=at + HOUR)
    assert (look(cursor).problem, look(cursor).heard_at) == ("", at + HOUR)


def test_a_feed_that_has_not_answered_for_longer_than_its_cadence_is_a_finding_until_it_does(
    cursor: Cursor, acting: Callable[..., Any], at: dt.datetime
) -> None:
    cursors.heard(held=taken(cursor, at=at), problem="", at=at)
    with acting():
        assert cursors.watch(at=at + 10 * MINUTE) == 0
        assert cursors.watch(at=at + 11 * MINUTE) == 1
    assert open_findings(cursor) == [("feed_silent", "open")]
    cursors.heard(held=taken(cursor, at=at + HOUR), problem="", at=at + HOUR)
    with acting():
        assert cursors.watch(at=at + HOUR) == 0
    assert open_findings(cursor) == [("feed_silent", "resolved")]


def test_watching_takes_the_same_queries_for_one_feed_and_for_three(
    cursor: Cursor, acting: Callable[..., Any], at: dt.datetime, django_assert_num_queries: Any, tenant: Tenant,
    directory: FakeDirectory,
) -> None:  # fmt: skip
    with acting():
        cursors.watch(at=at)
        with django_assert_num_queries(2):
            cursors.watch(at=at)
        for name in ("B", "C"):
            other = a_system(tenant, name=name, at=at, directory=directory)
            cursors.follow(system=other, stream=STREAM, cadence_minutes=5, at=at)
        with django_assert_num_queries(2):
            cursors.watch(at=at)


def test_a_stopped_feed_is_not_due_and_its_findings_are_over(
    cursor: Cursor, acting: Callable[..., Any], at: dt.datetime
) -> None:
    with acting():
        cursors.watch(at=at + HOUR)
        assert cursors.due(at=at + HOUR) == [cursor.pk]
        cursors.stop(cursor=cursor, reason="no longer needed", at=at + HOUR)
        cursors.stop(cursor=cursor, reason="no longer needed", at=at + HOUR)
        assert cursors.due(at=at + 2 * HOUR) == []
        assert cursors.claim(tenant=cursor.tenant_id, cursor_id=cursor.pk, at=at + 2 * HOUR) is None
    assert open_findings(cursor) == [("feed_silent", "resolved")]
    assert events(cursor).count("feed.stopped") == 1
    with acting():
        back = cursors.follow(system=cursor.system, stream=STREAM, cadence_minutes=7, at=at + 3 * HOUR)
    assert (back.pk, back.state, back.position, back.cadence_minutes) == (cursor.pk, "waiting", None, 7)


def test_a_rewind_begins_anew_from_an_earlier_position_and_forgets_what_it_knew(
    cursor: Cursor, acting: Callable[..., Any], at: dt.datetime
) -> None:
    late = taken(cursor, at=at)
    with acting():
        cursors.fresh(again(cursor), {"a": at})
        back = cursors.rewind(cursor=cursor, to={"modified": "2026-11-01T00:00:00+00:00"}, reason="a bug", at=at + HOUR)
        assert FeedEvent.objects.count() == 0
    assert (back.epoch, look(cursor).due_at, back.state) == (cursor.epoch + 1, at + HOUR, "following")
    with pytest.raises(Stale), late.writing("a test"):
        pytest.fail("nothing may be written")
    with acting():
        sentence = JournalEntry.objects.order_by("-id")[0].sentence
    assert sentence == (
        "a test: the feed scim-delta/Users of Okta is listened to once more from modified 2026-11-01T00:00:00+00:00,"
        " was modified 2026-11-23T12:00:00+00:00. a bug"
    )


def test_what_has_a_gap_can_t_be_rewound(cursor: Cursor, acting: Callable[..., Any], at: dt.datetime) -> None:
    with acting():
        cursors.lose(again(cursor), because="once", at=at)
    with acting(), pytest.raises(CantFollow, match="no position to go back from"):
        cursors.rewind(cursor=cursor, to=FIRST, reason="a bug", at=at)
