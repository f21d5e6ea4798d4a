"""What every feed must keep, as tests: for a feed of your own, inherit `FeedContract` and say how its source is changed.

    class TestOurFeed(FeedContract):
        @pytest.fixture
        def source(self) -> Iterator[Source]: ...

Nothing in it knows what kind of system is behind the feed.
"""

from __future__ import annotations

import datetime as dt
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pytest

from provisioning.feeds.contract import Gap

if TYPE_CHECKING:
    from provisioning.feeds.contract import Event, Feed, Position

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Source(ABC):
    """A system whose feed is tested, and by which its content is changed. Ids are the system's own."""

    @property
    @abstractmethod
    def feed(self) -> Feed:
        """The feed as a worker would make it, with pages of at most three resources."""

    @abstractmethod
    def make(self, name: str) -> str:
        """Make a resource, and return its id."""

    @abstractmethod
    def change(self, remote_id: str, name: str) -> None:
        """Give a resource another name."""

    @abstractmethod
    def name_in(self, event: Event) -> str:
        """The name that an event says."""


def heard(feed: Feed, position: Position) -> tuple[list[Event], Position]:
    """Everything that is said from a position on, and where the next call may begin."""
    events: list[Event] = []
    for batch in feed.batches(position):
        events += batch.events
        position = batch.position if batch.position is not None else position
    return events, position


def names(source: Source, events: list[Event]) -> list[str]:
    """The names that were said, each event once, in order."""
    seen: dict[str, str] = {}
    for event in events:
        seen.setdefault(event.key, source.name_in(event))
    return list(seen.values())


class FeedContract:
    """Inherit it, with a fixture `source`."""

    def test_all_that_was_said_since_a_moment_is_heard(self, source: Source) -> None:
        made = {source.make(f"person-{n}") for n in range(7)}
        events, _position = heard(source.feed, source.feed.begins_at(LONG_AGO))
        assert {event.remote_id for event in events} == made

    def test_from_a_new_position_nothing_that_comes_later_is_missed(self, source: Source) -> None:
        position: Any = source.feed.begins_at(LONG_AGO)
        all_names: list[str] = []
        for n in range(4):
            source.make(f"person-{n}")
            events, position = heard(source.feed, position)
            all_names += names(source, events)
        assert set(all_names) == {f"person-{n}" for n in range(4)}

    def test_what_comes_again_comes_under_the_key_that_it_had(self, source: Source) -> None:
        for n in range(5):
            source.make(f"person-{n}")
        first, position = heard(source.feed, source.feed.begins_at(LONG_AGO))
        again, _ = heard(source.feed, position)
        assert {event.key for event in again} <= {event.key for event in first}
        once_more, _ = heard(source.feed, source.feed.begins_at(LONG_AGO))
        assert sorted(event.key for event in once_more) == sorted(event.key for event in first)

    def test_a_change_has_a_key_of_its_own_and_the_last_word_comes_last(self, source: Source) -> None:
        one = source.make("first")
        events, position = heard(source.feed, source.feed.begins_at(LONG_AGO))
        for name in ("second", "third"):
            source.change(one, name)
            more, position = heard(source.feed, position)
            events += more
        assert names(source, events)[-1] == "third"
        assert len({event.key for event in events}) == 3

    def test_a_position_is_plain_json_and_reads_as_it_was_written(self, source: Source) -> None:
        source.make("one")
        _events, position = heard(source.feed, source.feed.begins_at(LONG_AGO))
        kept = json.loads(json.dumps(position))
        assert kept == position
        source.make("two")
        events, _ = heard(source.feed, kept)
        assert "two" in names(source, events)

    def test_a_position_does_not_move_while_nothing_is_said(self, source: Source) -> None:
        source.make("one")
        _events, position = heard(source.feed, source.feed.begins_at(LONG_AGO))
        assert heard(source.feed, position)[1] == position

    def test_an_empty_system_says_nothing_and_has_a_position(self, source: Source) -> None:
        events, position = heard(source.feed, source.feed.begins_at(LONG_AGO))
        assert (events, position) == ([], source.feed.begins_at(LONG_AGO))

    def test_it_never_begins_elsewhere_than_it_was_told(self, source: Source) -> None:
        source.make("one")
        with pytest.raises(Gap):
            heard(source.feed, {"not": "a position of this feed"})

    def test_no_password_is_in_an_event(self, source: Source) -> None:
        source.make("one")
        events, _position = heard(source.feed, source.feed.begins_at(LONG_AGO))
        assert all("password" not in {name.casefold() for name in event.document} for event in events)
