"""Keys sort by the time they were made."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from audit.keys import uuid7, uuid7_floor, uuid7_of_tomorrow

pytestmark = pytest.mark.unit


def test_a_key_has_the_version_and_variant_of_rfc_9562():
    for key in (uuid7() for _ in range(200)):
        assert (key.version, key.variant) == (7, "specified in RFC 4122")


def test_a_key_carries_the_milliseconds_in_which_it_was_made():
    before = time.time_ns() // 1_000_000
    key = uuid7()
    after = time.time_ns() // 1_000_000
    assert before <= key.int >> 80 <= after


def test_keys_of_a_later_millisecond_sort_later(monkeypatch):
    made = []
    for milliseconds in (1, 1_000, 1_763_900_000_000, 1_763_900_000_001, 2**48 - 1):
        monkeypatch.setattr("audit.keys.time.time_ns", lambda ms=milliseconds: ms * 1_000_000 + 999_999)
        made.append(uuid7())
    assert made == sorted(made)
    assert [str(k) for k in made] == sorted(str(k) for k in made)
    assert [k.int >> 80 for k in made] == [1, 1_000, 1_763_900_000_000, 1_763_900_000_001, 2**48 - 1]


def test_the_floor_is_below_every_key_of_its_millisecond_and_above_those_before(monkeypatch):
    monkeypatch.setattr("audit.keys.time.time_ns", lambda: 5_000 * 1_000_000)
    monkeypatch.setattr("audit.keys.os.urandom", lambda size: b"\x00" * size)
    assert uuid7_floor(5_000) < uuid7() < uuid7_floor(5_001)
    monkeypatch.setattr("audit.keys.os.urandom", lambda size: b"\xff" * size)
    assert uuid7_floor(5_000) < uuid7() < uuid7_floor(5_001)


def test_the_key_of_tomorrow_is_above_all_that_are_made_within_a_day(monkeypatch):
    monkeypatch.setattr("audit.keys.time.time_ns", lambda: 5_000 * 1_000_000)
    tomorrow = uuid7_of_tomorrow()
    monkeypatch.setattr("audit.keys.time.time_ns", lambda: (5_000 + 86_399_999) * 1_000_000)
    assert uuid7() < tomorrow == uuid7_floor(86_405_000)


def test_keys_of_one_process_sort_as_they_were_made_also_within_a_millisecond(monkeypatch):
    made = [uuid7() for _ in range(10_000)]
    assert made == sorted(set(made))
    monkeypatch.setattr("audit.keys.time.time_ns", lambda: 7_000 * 1_000_000)
    made = [uuid7() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {key.int >> 80 for key in made} == {7_000}
    assert {key.version for key in made} == {7}


def test_threads_never_make_one_key_twice(monkeypatch):
    monkeypatch.setattr("audit.keys.time.time_ns", lambda: 8_000 * 1_000_000)
    with ThreadPoolExecutor(max_workers=8) as pool:
        made = [key for keys in pool.map(lambda _: [uuid7() for _ in range(500)], range(8)) for key in keys]
    assert len(set(made)) == 4_000


def test_a_clock_that_was_set_back_is_believed(monkeypatch):
    for milliseconds in (9_000, 5_000, 9_000):
        monkeypatch.setattr("audit.keys.time.time_ns", lambda ms=milliseconds: ms * 1_000_000)
        assert uuid7().int >> 80 == milliseconds
