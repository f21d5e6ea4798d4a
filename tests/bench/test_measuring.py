"""The arithmetic of a bench: what is printed of samples, and which targets count as reached."""

from __future__ import annotations

import pytest

from bench.measuring import Entry, Summary, Target, Unable, falls_short, interleave, quantile, ratio, slope

pytestmark = pytest.mark.unit


def test_a_quantile_lies_on_the_line_between_two_neighbours():
    assert quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.5
    assert quantile([1.0, 2.0], 0.95) == pytest.approx(1.95)
    assert quantile([7.0], 0.05) == 7.0


def test_there_is_no_quantile_of_nothing():
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_a_summary_is_count_median_and_spread():
    summary = Summary.of([float(n) for n in range(101)])
    assert summary == Summary(n=101, median=50.0, p5=5.0, p95=95.0)


def test_a_ratio_is_of_medians_and_there_is_none_where_one_side_was_not_measured():
    ten, two = Summary.of([10.0, 10.0, 90.0]), Summary.of([2.0])
    assert ratio(ten, two) == 5.0
    assert ratio(None, two) is None
    assert ratio(ten, None) is None
    assert ratio(ten, Summary.of([0.0])) is None


def test_the_slope_of_a_line_is_found_and_points_above_each_other_have_none():
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) == pytest.approx(2.0)
    assert slope([(1.0, 3.0), (1.0, 5.0)]) == 0.0
    assert slope([]) == 0.0


def test_a_target_is_reached_on_its_bound_and_never_without_a_number():
    at_least = Target(name="faster", bound="at least", value=10)
    at_most = Target(name="lighter", bound="at most", value=1.5)
    assert [at_least.reached(value) for value in (9.99, 10.0, 11.0, None)] == [False, True, True, False]
    assert [at_most.reached(value) for value in (1.49, 1.5, 1.51, None)] == [True, True, False, False]


def test_what_was_not_measured_falls_short_and_what_was_not_asked_for_does_not():
    targets = (
        Target(name="reached", bound="at least", value=2),
        Target(name="missed", bound="at least", value=2),
        Target(name="never measured", bound="at most", value=2),
        Target(name="for a larger company", bound="at most", value=2, people=1_000_000),
    )
    measured = {"reached": 2.5, "missed": 1.5}
    assert falls_short(targets, measured, largest=1_000) == ["missed", "never measured"]
    assert falls_short(targets, measured, largest=1_000_000) == ["missed", "never measured", "for a larger company"]


def _counting(name: str, seconds: float, order: list[str]) -> Entry:
    def call() -> float:
        order.append(name)
        return seconds

    return Entry(name=name, call=call)


def test_each_round_begins_with_another_contestant_after_one_call_each_for_warmth():
    order: list[str] = []
    entries = [_counting(name, 0.001, order) for name in "abc"]
    interleave(entries, rounds=3, budget=10.0)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"
    assert [entry.samples for entry in entries] == [[0.001] * 3] * 3


def test_who_has_spent_the_budget_stops_after_three_samples_and_others_go_on():
    order: list[str] = []
    slow, quick = _counting("slow", 3.0, order), _counting("quick", 0.1, order)
    interleave([slow, quick], rounds=8, budget=10.0)
    assert (len(slow.samples), len(quick.samples)) == (4, 8)


def test_who_is_very_slow_stops_with_what_there_is_and_the_first_call_counts():
    order: list[str] = []
    endless = _counting("endless", 20.0, order)
    interleave([endless], rounds=8, budget=10.0)
    assert endless.samples == [20.0, 20.0]


def test_who_cannot_go_on_keeps_no_number_and_says_why():
    answers = iter([0.1, 0.1])

    def call() -> float:
        try:
            return next(answers)
        except StopIteration:
            raise Unable("it answers 500") from None

    entry = Entry(name="broken", call=call)
    interleave([entry], rounds=5, budget=10.0)
    assert entry.samples == []
    assert entry.failed == "it answers 500"
