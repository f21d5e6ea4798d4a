"""By what an event is known when it comes again."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from provisioning.feeds.contract import Event

AT = dt.datetime(2026, 11, 30, tzinfo=dt.UTC)
EVENT = Event(resource_type="User", remote_id="7", modified=AT, document={"userName": "ada"})


def test_without_an_id_of_its_own_an_event_is_its_resource_its_content_and_its_time():
    assert replace(EVENT).key == EVENT.key
    others = [
        replace(EVENT, remote_id="8"),
        replace(EVENT, resource_type="Group"),
        replace(EVENT, modified=AT + dt.timedelta(microseconds=1)),
        replace(EVENT, document={"userName": "grace"}),
    ]
    assert len({one.key for one in [EVENT, *others]}) == 5


def test_the_senders_own_id_alone_says_whether_an_event_is_the_same():
    one = replace(EVENT, jti="a")
    assert replace(one, document={"userName": "grace"}).key == one.key
    assert len({one.key, replace(EVENT, jti="b").key, EVENT.key}) == 3
    # Nobody can spell an id that looks like another's resource.
    assert len(one.key) == len(EVENT.key) == 64
