"""The arithmetic of a bench: samples, their middle and spread, ratios, and which targets are reached."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LEAST = 3
"""Samples that every contestant gives, however slow it is."""


class Unable(Exception):
    """A contestant can't do a piece of work; the text says why. Never a number."""


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of all lie, with a straight line between neighbours."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values, no quantile")
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What is printed of one contestant's samples, in seconds."""

    n: int
    median: float
    p5: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Of these samples, at least one."""
        return cls(
            n=len(values), median=statistics.median(values), p5=quantile(values, 0.05), p95=quantile(values, 0.95)
        )


@dataclass(kw_only=True)
class Entry:
    """One contestant at one piece of work: a call that does it once and returns the seconds it took."""

    name: str
    call: Callable[[], float]
    samples: list[float] = field(default_factory=list)
    spent: float = 0.0
    failed: str = ""


def interleave(
    entries: Sequence[Entry], *, rounds: int, budget: float, between: Callable[[], None] = lambda: None
) -> None:
    """Let all do their work in turns, the first of a round being another one each time; the first call is for warmth.

    Who has spent `budget` seconds stops after `LEAST` samples, and after three budgets with what there is: nobody waits
    for hours for a peer's tenth sample. Who can't go on (`Unable`) stops at once and keeps no number.
    """
    for entry in entries:
        _once(entry, is_warm_up=True)
        # One call of this length is not made faster by warmth.
        if entry.spent > budget / LEAST:
            entry.samples.append(entry.spent)
        else:
            entry.spent = 0.0
    for turn in range(rounds):
        first = turn % max(len(entries), 1)
        for entry in [*entries[first:], *entries[:first]]:
            if not entry.failed and _goes_on(entry, budget):
                _once(entry, is_warm_up=False)
        between()


def _goes_on(entry: Entry, budget: float) -> bool:
    return entry.spent < (budget if len(entry.samples) >= LEAST else LEAST * budget)


def _once(entry: Entry, *, is_warm_up: bool) -> None:
    try:
        seconds = entry.call()
    except Unable as reason:
        entry.failed = str(reason)
        entry.samples.clear()
        entry.spent = 0.0
        return
    entry.spent += seconds
    if not is_warm_up:
        entry.samples.append(seconds)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the straight line that lies nearest to these points (least squares); 0 where there is none."""
    if len({x for x, _ in points}) <= 1:
        return 0.0
    fitted, _ = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return fitted


@dataclass(frozen=True, kw_only=True)
class Target:
    """What shall be reached: `ratio` at least, or at most, this. `of` names a number of the run."""

    name: str
    bound: Literal["at least", "at most"]
    value: float
    unit: str = "x"
    people: int = 0
    """The company it is about: where a run was not asked for one of that size, it is not asked for the target."""

    def reached(self, measured: float | None) -> bool:
        """Whether it is. What could not be measured is not."""
        if measured is None:
            return False
        return measured >= self.value if self.bound == "at least" else measured <= self.value


def falls_short(targets: Sequence[Target], measured: Mapping[str, float], *, largest: int) -> list[str]:
    """The names of the targets that a run was asked for and did not reach, in their order."""
    asked = [target for target in targets if target.people <= largest]
    return [target.name for target in asked if not target.reached(measured.get(target.name))]


def ratio(over: Summary | None, under: Summary | None) -> float | None:
    """How many times the median of one is that of the other; None unless both were measured."""
    if over is None or under is None or under.median <= 0:
        return None
    return over.median / under.median
