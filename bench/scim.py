"""How fast is the SCIM receiver? Side by side with its peers, on one PostgreSQL: `make bench-scim`.

`--quick` is for development (a thousand people, a minute or two), the full run has companies of 1,000 and 100,000, and
with `--million` one of 1,000,000 besides, in which only Rollcall takes part.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench import course, likeness_of, report, works
from bench.company import Company
from bench.contestants import ALL, ROLLCALL, open_seats, rollcall_at_full_strength
from bench.course import QUICK, THOROUGH, Results
from bench.measuring import Summary, falls_short
from bench.ratios import ratios
from bench.serving import house
from bench.targets import K, M, TARGETS
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


def _who(company: Company) -> tuple[str, ...]:
    """The largest company is for the product alone: there the question is whether it is as fast as with a thousand."""
    return (ROLLCALL,) if company.people > 100 * K else ALL


def _measure(run: Run, home: House, *, quick: bool) -> None:
    pace = QUICK if quick else THOROUGH
    run.say(f"starting everybody with {', '.join(f'{company.people:,}' for company in run.companies)} people")
    seats = open_seats(home, run.companies, _who, say=run.say)
    ours = [seat for seat in seats if seat.who == ROLLCALL]
    for seat in ours:
        likeness_of.check(home, seat)
    run.floor = Summary.of(works.floor(ours[0].port, "/healthz", times=_FLOOR))
    shared = [seat for seat in seats if seat.company.people == min(run.largest, 100 * K)]
    for seat in shared:
        for size in (1_000, 100_000):
            if seat.company.team(size) is not None:
                course.peak_of_group(seat, size, run.results)
    course.run(seats, pace, run.results, look=home.look, say=run.say)
    run.say(f"{course.CLIENTS} clients at once")
    for seat in shared:
        course.at_once(seat, pace, run.results)
    for seat in shared:
        if seat.who == ROLLCALL:
            course.soak(seat, pace, run.results, home.look)
            _at_full_strength(run, home, seat, quick=quick)
    run.say("in the database alone")
    for seat in ours:
        run.inside[seat.company.people] = _inside(home, seat, rounds=5 if quick else 15)


def _at_full_strength(run: Run, home: House, seat: Seat, *, quick: bool) -> None:
    """The same database behind as many processes as the product ships with."""
    shipped = rollcall_at_full_strength(home, seat)
    course.at_once(shipped, QUICK if quick else THOROUGH, run.results, suffix="_as_shipped")
    home.stop(shipped.process)


def _inside(home: House, seat: Seat, *, rounds: int) -> dict[str, Any]:
    facts = {**seat.facts, "people": seat.company.people}
    environment = home.for_product(str(seat.facts["database"]), port=seat.port)
    found: dict[str, Any] = json.loads(home.run(["bench.inside", json.dumps(facts), str(rounds)], environment))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0 whatever was reached, 1 where it could not run."""
    parser = argparse.ArgumentParser(prog="python -m bench.scim", description="Measure the SCIM receiver.")
    parser.add_argument("--quick", action="store_true", help="a thousand people and few rounds, for development")
    parser.add_argument("--million", action="store_true", help="a company of 1,000,000 besides")
    given = parser.parse_args(arguments)
    sizes = [K] if given.quick else [K, 100 * K]
    run = Run(companies=[Company(people=people) for people in [*sizes, *([M] if given.million else [])]])
    try:
        with house() as home:
            _measure(run, home, quick=given.quick)
            machine = report.machine(home.owner_url)
    except CannotRun as refusal:
        print(f"rollcall: {refusal}", file=sys.stderr)
        return 1
    except (StopRequested, KeyboardInterrupt):
        return 130
    measured = ratios(run.results, run.inside, run.companies)
    report.write(run, measured, machine)
    short = falls_short(TARGETS, measured, largest=run.largest)
    print(json.dumps({"bench": "scim", "ratios": {k: round(v, 3) for k, v in measured.items()}, "falls_short": short}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
