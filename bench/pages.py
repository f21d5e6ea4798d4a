"""Do the pages of staff bear a large roll? `make bench-pages`.

A million accounts in a hundred tenants, half of them in one; `--quick` is for development (20,000 in five). Every page is
asked for again and again as a member of security, in the largest tenant and in one of the smallest. No page may need more
than 300 ms at its 95th percentile, at any depth.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from bench import contestants, report
from bench.measuring import Target, falls_short
from bench.serving import house
from local.errors import CannotRun, StopRequested

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

M = 1_000_000
SIZES = {"quick": (20_000, 5), "thorough": (M, 100)}
_MS = 1_000
TARGETS: tuple[Target, ...] = (
    Target(name="slowest_page_p95", bound="at most", value=300, unit="ms"),
    # The same pages with half a million accounts and with five thousand: what grows is not the roll's to grow.
    Target(name="slowest_page_large_vs_small", bound="at most", value=3),
)


def ratios(measured: Mapping[str, Any]) -> dict[str, float]:
    """The numbers by the names of the targets."""
    large, small = measured["large"], measured["small"]
    return {
        "slowest_page_p95": max(page["p95"] for tenant in (large, small) for page in tenant.values()) * _MS,
        "slowest_page_large_vs_small": max(large[name]["median"] / small[name]["median"] for name in large),
    }


def _write(measured: Mapping[str, Any], found: Mapping[str, float]) -> None:
    print(f"{measured['accounts']:,} accounts in {measured['tenants']} tenants, filled in {measured['fill']:.0f} s")
    for tenant in ("large", "small"):
        print(f"\nThe {tenant} tenant: milliseconds, median and 95th percentile; queries; the longest of them")
        for name, page in measured[tenant].items():
            longest = float(page["slowest"][0]) * _MS if page["slowest"] else 0.0
            told = f"{page['median'] * _MS:8.1f} {page['p95'] * _MS:8.1f} {page['queries']:5} {longest:8.1f}"
            print(f"  {name:<26} {told}")
    print(f"\n{'Target':<36} {'measured':>10} {'wanted':>18}")
    for target in TARGETS:
        print(f"{target.name:<36} {report.verdict(target, found.get(target.name), largest=measured['accounts'])}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0 whatever was reached, 1 where it could not run."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description="Measure the pages of staff.")
    parser.add_argument("--quick", action="store_true", help="few accounts, for development")
    accounts, tenants = SIZES["quick" if parser.parse_args(arguments).quick else "thorough"]
    try:
        with house() as home:
            print("\n".join(report.machine(home.owner_url)))
            contestants.empty(home, "pages")
            home.run(["manage", "collectstatic", "--no-input", "-v0"], home.for_product("pages"))
            measured = home.within("pages", "pages_inside", str(accounts), str(tenants))
    except (CannotRun, StopRequested) as refusal:
        print(f"rollcall: {refusal}", file=sys.stderr)
        return 1
    found = ratios(measured)
    _write(measured, found)
    missed = falls_short(TARGETS, found, largest=accounts)
    print(json.dumps({"bench": "pages", "ratios": {k: round(v, 3) for k, v in found.items()}, "falls_short": missed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
