"""What do seals cost, and how long does it take to verify them? `python -m bench.seals [--rows 1000000]`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from bench.serving import house
from local.errors import CannotRun, StopRequested

if TYPE_CHECKING:
    from collections.abc import Sequence

_DATABASE = "seals"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0 whatever was reached, 1 where it could not run."""
    parser = argparse.ArgumentParser(prog="python -m bench.seals", description="Measure seals.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many rows are sealed")
    given = parser.parse_args(arguments)
    try:
        with house() as home:
            home.database(_DATABASE)
            home.run(["manage", "migrate", "-v0"], home.for_product(_DATABASE, as_owner=True))
            found = home.within(_DATABASE, "sealing_inside", str(given.rows))
    except (CannotRun, StopRequested) as refusal:
        print(f"rollcall: {refusal}", file=sys.stderr)
        return 1
    for name, value in found.items():
        print(f"{name:>24}  {value:,.4g}" if isinstance(value, float) else f"{name:>24}  {value:,}")
    ratios = {"verify_to_stream": found["verify / stream"], "seal_to_write": found["seal of a unit / write"]}
    targets = {"verify_to_stream": 2.0, "seal_to_write": 0.05}
    short = [name for name, most in targets.items() if ratios[name] > most]
    print(json.dumps({"bench": "seals", "ratios": {k: round(v, 3) for k, v in ratios.items()}, "falls_short": short}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
