"""How fast is the SCIM receiver? Side by side with its peers, on one PostgreSQL: `make bench-scim`.

`--quick` is for development (a thousand people, a minute or two), the full run has companies of 1,000 and 100,000, and
with `--million` one of 1,000,000 besides, in which only Rollcall takes part.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench import course, likeness, report, works
from bench.company import Company
from bench.contestants import ALL, ROLLCALL, open_seats, rollcall_at_full_strength
from bench.course import QUICK, THOROUGH, Pace, Results
from bench.measuring import Summary, falls_short
from bench.ratios import ratios
from bench.serving import house
from bench.targets import TARGETS, K, M
from local.errors import CannotRun, StopRequested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contestants import Seat
    from bench.serving import House

_FLOOR = 200
"""Requests that measure what client and web server cost."""


@dataclass(kw_only=True)
class Run:
    """One run: who took part, and everything that was found."""

    companies: list[Company]
    pace: Pace
    about: list[str] = field(default_factory=list)
    results: Results = field(default_factory=Results)
    inside: dict[int, dict[str, Any]] = field(default_factory=dict)
    floor: Summary | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def largest(self) -> int:
        """The largest company."""
        return max(company.people for company in self.companies)

    def say(self, text: str) -> None:
        """One line of progress, on standard error."""
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", file=sys.stderr, flush=True)


def _measure(run: Run, home: House, *, alone: bool) -> None:
    def who(company: Company) -> tuple[str, ...]:
        # In the largest company the question is whether the product is as fast as with a thousand.
        return (ROLLCALL,) if alone or company.people > 100 * K else ALL

    run.say(f"starting everybody with {', '.join(f'{company.people:,}' for company in run.companies)} people")
    seats = open_seats(home, run.companies, who, say=run.say)
    ours = [seat for seat in seats if seat.who == ROLLCALL]
    shared = [seat for seat in seats if seat.company.people == min(run.largest, 100 * K)]
    for seat in ours:
        likeness.check(home, seat)
    run.floor = Summary.of(works.floor(ours[0].port, "/healthz", times=_FLOOR))
    for seat, size in itertools.product(shared, (K, 100 * K)):
        course.peak_of_group(seat, size, run.results)
    course.run(seats, run.pace, run.results, look=home.look, say=run.say)
    for seat in shared:
        run.say(f"{course.CLIENTS} clients at once: {seat.title}")
        course.at_once(seat, run.pace, run.results)
    _at_the_end(run, home, next(seat for seat in shared if seat.who == ROLLCALL))
    for seat in ours:
        run.say(f"in the database alone: {seat.title}")
        facts = json.dumps({**seat.facts, "people": seat.company.people})
        run.inside[seat.company.people] = home.within(
            str(seat.facts["database"]), "inside", facts, str(run.pace.inside)
        )


def _at_the_end(run: Run, home: House, seat: Seat) -> None:
    """The worker's weight under the same requests again and again; then as many processes as the product ships with."""
    run.say("the same again and again, to weigh the worker")
    course.soak(seat, run.pace, run.results, home.look)
    shipped = rollcall_at_full_strength(home, seat)
    course.at_once(shipped, run.pace, run.results, suffix="_as_shipped")
    home.stop(shipped.process)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0 whatever was reached, 1 where it could not run."""
    parser = argparse.ArgumentParser(prog="python -m bench.scim", description="Measure the SCIM receiver.")
    parser.add_argument("--quick", action="store_true", help="a thousand people and few rounds, for development")
    parser.add_argument("--million", action="store_true", help="a company of 1,000,000 besides")
    parser.add_argument("--alone", action="store_true", help="without the peers, for development")
    given = parser.parse_args(arguments)
    sizes = [K] if given.quick else [K, 100 * K]
    companies = [Company(people=people) for people in [*sizes, *([M] if given.million else [])]]
    run = Run(companies=companies, pace=QUICK if given.quick else THOROUGH)
    code = 0
    try:
        with house() as home:
            run.about = report.machine(home.owner_url)
            _measure(run, home, alone=given.alone)
    except CannotRun as refusal:
        print(f"rollcall: {refusal}", file=sys.stderr)
        return 1
    except StopRequested:
        run.say("stopped before the end: what was measured until now follows, the rest counts as not reached")
        code = 130
    measured = ratios(run.results, run.inside, run.companies)
    report.write(run, measured)
    short = falls_short(TARGETS, measured, largest=run.largest)
    print(json.dumps({"bench": "scim", "ratios": {k: round(v, 3) for k, v in measured.items()}, "falls_short": short}))
    return code


if __name__ == "__main__":
    sys.exit(main())
