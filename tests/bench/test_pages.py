"""What the bench of pages makes of what it measured."""

from __future__ import annotations

import pytest

from bench.measuring import falls_short
from bench.pages import TARGETS, ratios


def test_the_slowest_page_counts_and_the_one_that_grows_most_with_the_roll():
    large = {"front": {"median": 0.2, "p95": 0.25}, "accounts": {"median": 0.1, "p95": 0.31}}
    small = {"front": {"median": 0.1, "p95": 0.12}, "accounts": {"median": 0.02, "p95": 0.03}}
    found = ratios({"large": large, "small": small})
    assert found == {"slowest_page_p95": pytest.approx(310), "slowest_page_large_vs_small": pytest.approx(5)}
    assert falls_short(TARGETS, found, largest=1_000_000) == ["slowest_page_p95", "slowest_page_large_vs_small"]
    same = {"large": small, "small": small}
    assert falls_short(TARGETS, ratios(same), largest=1_000_000) == []
