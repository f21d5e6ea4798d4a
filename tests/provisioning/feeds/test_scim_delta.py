"""The changes that a SCIM server tells by `meta.lastModified`: nothing missed where times are equal or pages shift."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from provisioning.connectors.egress import Client, Policy
from provisioning.connectors.readings import BadAnswer
from provisioning.connectors.scim import Directory
from provisioning.feeds.contract import Event, Feed, Gap
from provisioning.feeds.scim_delta import MOST, OVERLAP, ScimDelta
from tests.fakes.directories import TOKEN, FakeDirectory, serving
from tests.provisioning.feeds.kit import LONG_AGO, FeedContract, Source, heard, names

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.unit


class ScimSource(Source):
    """A real SCIM server by other authors."""

    def __init__(self, directory: FakeDirectory, client: Client) -> None:
        self.directory = directory
        self.delta = ScimDelta(Directory(client), "Users", count=3)

    @property
    def feed(self) -> Feed:
        return self.delta

    def make(self, name: str) -> str:
        return self.directory.user(name, password="Guess.me.1")

    def change(self, remote_id: str, name: str) -> None:
        self.directory.change(remote_id, userName=name)

    def name_in(self, event: Event) -> str:
        return str(event.document["userName"])


@pytest.fixture
def source() -> Iterator[ScimSource]:
    with serving() as directory:
        client = Client(directory.url, policy=Policy(allow_loopback=True), token=TOKEN)
        with client:
            yield ScimSource(directory, client)


class TestScimDelta(FeedContract):
    """It keeps what every feed must."""


def moved_to(*times: str) -> Any:
    """Answers in which the resources have these times, in order."""

    def bend(_asked: Any, document: dict[str, Any]) -> Any:
        for resource, time in zip(document.get("Resources", []), times, strict=False):
            resource["meta"]["lastModified"] = time
        return document

    return bend


def test_those_who_share_a_time_are_all_heard_over_several_pages(source: ScimSource) -> None:
    for n in range(8):
        source.make(f"person-{n}")
    source.directory.bend = moved_to(*["2026-11-30T12:00:00Z"] * 3)
    events, position = heard(source.feed, source.feed.begins_at(LONG_AGO))
    assert len({event.remote_id for event in events}) == 8
    assert position == {"modified": "2026-11-30T12:00:00+00:00"}


def test_it_asks_from_an_overlap_before_its_position_so_that_late_writes_are_seen(source: ScimSource) -> None:
    source.make("one")
    heard(source.feed, {"modified": "2026-11-30T12:00:00.123456+00:00"})
    assert dt.timedelta(minutes=2) == OVERLAP
    assert source.directory.asked[-1].query["filter"] == 'meta.lastModified ge "2026-11-30T11:58:00.123Z"'
    assert source.directory.asked[-1].query["sortBy"] == "meta.lastModified"


def test_a_page_that_shifts_while_it_is_read_leaves_the_position_where_it_was(source: ScimSource) -> None:
    ids = [source.make(f"person-{n}") for n in range(5)]
    first = source.feed.begins_at(LONG_AGO)

    def shift(asked: Any) -> None:
        if asked.start == 4:  # the first one moves to the end: whoever stood behind the page moves into it, unseen
            source.directory.before = lambda _asked: None
            source.change(ids[0], "moved")

    source.directory.before = shift
    events, position = heard(source.feed, first)
    assert position == first
    again, position = heard(source.feed, position)
    assert {event.remote_id for event in events + again} == set(ids)
    assert "moved" in names(source, events + again)
    assert position != first


def test_one_that_comes_in_between_leaves_the_position_where_it_was(source: ScimSource) -> None:
    for n in range(4):
        source.make(f"person-{n}")

    def come(asked: Any) -> None:
        if asked.start == 4:
            source.directory.before = lambda _asked: None
            source.make("late")

    source.directory.before = come
    first = source.feed.begins_at(LONG_AGO)
    _events, position = heard(source.feed, first)
    assert position == first
    again, position = heard(source.feed, position)
    assert "late" in names(source, again)
    assert position != first


@pytest.mark.parametrize("meta", [{}, {"lastModified": None}, {"lastModified": "yesterday"}, {"lastModified": 7},
                                  {"lastModified": "2026-11-30T12:00:00"}])  # fmt: skip
def test_a_resource_that_does_not_say_when_is_no_end_of_the_feed_but_an_error(source: ScimSource, meta: Any) -> None:
    source.make("one")
    source.directory.bend = lambda _asked, document: (
        document | {"Resources": [one | {"meta": meta} for one in document["Resources"]]}
    )
    with pytest.raises(BadAnswer, match=r"no meta\.lastModified that is a time"):
        heard(source.feed, source.feed.begins_at(LONG_AGO))


def test_a_server_that_ignores_the_filter_is_found_out(source: ScimSource) -> None:
    source.make("one")
    source.directory.bend = moved_to("2019-01-01T00:00:00Z")
    with pytest.raises(BadAnswer, match="ignored the filter"):
        heard(source.feed, source.feed.begins_at(LONG_AGO))


def test_when_more_has_changed_than_a_feed_is_for_it_says_that_a_complete_reading_is_due(source: ScimSource) -> None:
    source.make("one")
    source.directory.bend = lambda _asked, document: document | {"totalResults": MOST + 1}
    with pytest.raises(Gap, match="50001 resources have changed"):
        heard(source.feed, source.feed.begins_at(LONG_AGO))


def test_groups_are_followed_as_groups(source: ScimSource) -> None:
    one = source.make("one")
    group = source.directory.group("staff", one)
    feed = ScimDelta(source.delta.directory, "Groups", count=3)
    events, _position = heard(feed, feed.begins_at(LONG_AGO))
    assert [(event.resource_type, event.remote_id) for event in events] == [("Group", group)]
    assert events[0].document["members"][0]["value"] == one


def test_what_may_be_forgotten_is_older_than_anything_that_is_shown_again(source: ScimSource) -> None:
    source.make("one")
    (last,) = [batch for batch in source.feed.batches(source.feed.begins_at(LONG_AGO)) if batch.position is not None]
    assert last.position is not None
    assert last.forget_before is not None
    modified = dt.datetime.fromisoformat(last.position["modified"])
    assert last.forget_before < modified - OVERLAP - dt.timedelta(milliseconds=1)
