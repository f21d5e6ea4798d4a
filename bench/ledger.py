"""What does the ledger cost, and does it bear its weight? `make bench-ledger`.

`--quick` is for development (a minute or three); the full run seals and verifies a million rows and grows a ledger to a
million, with `--ten-million` to ten. `--only` runs some parts alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench import contestants, ledger_http, ledger_sql, report
from bench.ledger_http import CLIENTS, PIECES, OverHttp
from bench.measuring import Summary, Target, Unable, falls_short, ratio
from bench.serving import house
from local.errors import CannotRun, StopRequested

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.serving import House

PARTS = ("http", "sql", "seals", "months")
M = 1_000_000
TEN = 10 * M
_MS = 1_000

TARGETS: tuple[Target, ...] = (
    Target(name="http_ledger_of_a_write", bound="at most", value=0.25),
    Target(name="sql_together_vs_effect_alone", bound="at least", value=0.5),
    Target(name="sql_together_vs_two_transactions", bound="at least", value=1.4),
    Target(name="sealing_of_a_write", bound="at most", value=0.05),
    Target(name="verify_vs_stream", bound="at most", value=2),
    # A turn of another tenant lasts a second: whoever is applied later waits for one at most.
    Target(name="disable_beside_backlog_vs_alone", bound="at most", value=1.5),
    Target(name="disable_sent_ahead_beside_backlog", bound="at most", value=2, unit="s"),
    *(
        Target(name=f"{name}_10m_vs_100k", bound="at most", value=1.3, people=TEN)
        for name in ("insert", "look_up", "page", "page_of_refused", "page_of_resource")
    ),
    Target(name="detach_10m_vs_100k", bound="at most", value=2, people=TEN),
)
# Which parts find what a target is about, by the first word of its name; all others are about a ledger that grows.
_OF_PARTS: Mapping[str, frozenset[str]] = {
    "http": frozenset({"http"}), "disable": frozenset({"http"}), "sql": frozenset({"sql"}),
    "verify": frozenset({"seals"}), "sealing": frozenset({"seals", "sql"}),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much is done of everything."""

    rounds: int
    seconds: int
    sealed: int
    backlog: int
    few: int
    many: int


QUICK = Pace(rounds=15, seconds=1, sealed=100_000, backlog=1_500, few=24_000, many=240_000)
THOROUGH = Pace(rounds=60, seconds=4, sealed=M, backlog=4_000, few=100_000, many=M)
TEN_MILLION = Pace(rounds=60, seconds=4, sealed=M, backlog=4_000, few=100_000, many=TEN)


@dataclass(kw_only=True)
class Run:
    """One run: what was asked for, and what was found."""

    pace: Pace
    parts: tuple[str, ...]
    about: list[str] = field(default_factory=list)
    http: OverHttp = field(default_factory=OverHttp)
    sql: dict[str, Summary] = field(default_factory=dict)
    seals: dict[str, Any] = field(default_factory=dict)
    months: dict[str, Any] = field(default_factory=dict)
    unable: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """One line of progress, on standard error."""
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", file=sys.stderr, flush=True)


def _measure(run: Run, home: House) -> None:
    pace = run.pace
    if "http" in run.parts:
        run.http = ledger_http.measure(home, rounds=pace.rounds, backlog=pace.backlog, say=run.say)
        run.unable += run.http.unable
    if "sql" in run.parts:
        try:
            run.sql = ledger_sql.measure(home, rounds=max(pace.rounds // 10, 3), seconds=pace.seconds, say=run.say)
        except Unable as reason:
            run.unable.append(str(reason))
    if "seals" in run.parts:
        run.say(f"sealing and verifying {pace.sealed:,} rows")
        contestants.empty(home, "seals")
        run.seals = home.within("seals", "sealing_inside", str(pace.sealed))
    if "months" in run.parts:
        run.say(f"a ledger of {pace.few:,} rows, then of {pace.many:,}")
        contestants.empty(home, "months")
        run.months = home.within("months", "ledger_months", str(pace.few), str(pace.many))


def ratios(run: Run) -> dict[str, float]:
    """The numbers by the names of the targets; what was not measured has none."""
    found: dict[str, float | None] = {
        f"http_ledger_of_a_{name}": _share(run.http.pieces.get(name, {})) for name in PIECES
    }
    found |= {"http_ledger_of_a_write": _whole_share(run.http.pieces)}
    found |= {"http_ledger_of_a_write_8_clients": _share(run.http.at_once)}
    found |= {
        "sql_together_vs_effect_alone": ratio(run.sql.get("together"), run.sql.get("effect")),
        "sql_together_vs_two_transactions": ratio(run.sql.get("together"), run.sql.get("apart")),
        "sql_together_vs_two_blind_ones": ratio(run.sql.get("together"), run.sql.get("blind")),
    }
    bare = ratio(run.sql.get("together"), run.sql.get("unsealed"))
    salts = 1 - bare if bare is not None else None
    seal = run.seals.get("seal of a unit / write")
    found |= {"salts_and_indexes_of_a_write": salts, "seal_of_a_write": seal}
    # What noise makes negative costs nothing.
    found |= {"sealing_of_a_write": None if salts is None or seal is None else max(salts, 0.0) + seal}
    found |= {"verify_vs_stream": run.seals.get("verify / stream")}
    found |= {
        "disable_beside_backlog_vs_alone": ratio(run.http.beside.get("at once"), run.http.alone.get("at once")),
        "disable_sent_ahead_alone": _p95(run.http.alone.get("sent ahead")),
        "disable_sent_ahead_beside_backlog": _p95(run.http.beside.get("sent ahead")),
    }
    return {name: value for name, value in (found | _grown(run)).items() if value is not None}


def _share(piece: Mapping[str, Summary]) -> float | None:
    """Which share of a write is the ledger's."""
    over = ratio(piece.get("without"), piece.get("with"))
    return None if over is None else 1 - over


def _whole_share(pieces: Mapping[str, Mapping[str, Summary]]) -> float | None:
    """The same of one write of each kind."""
    if not all({"with", "without"} <= set(pieces.get(name, {})) for name in PIECES):
        return None
    whole = {which: sum(pieces[name][which].median for name in PIECES) for which in ("with", "without")}
    return 1 - whole["without"] / whole["with"]


def _p95(one: Summary | None) -> float | None:
    return None if one is None else one.p95


def _grown(run: Run) -> dict[str, float | None]:
    if not run.months:
        return {}
    few, many = run.months["small"], run.months["large"]
    name = f"{short(run.pace.many)}_vs_{short(run.pace.few)}"
    found: dict[str, float | None] = {
        f"{piece}_{name}": many[piece] / few[piece]
        for piece in ("insert", "look_up", "page", "page_of_refused", "page_of_resource", "detach")
    }
    return found | {"bytes_per_row": many["bytes_per_row"]}


def short(rows: int) -> str:
    """A number of rows as names have it."""
    return f"{rows // M}m" if rows >= M else f"{rows // 1_000}k"


def asked(run: Run) -> tuple[Target, ...]:
    """The targets that a run of these parts was asked for."""
    growing = frozenset({"months"})
    return tuple(one for one in TARGETS if _OF_PARTS.get(one.name.partition("_")[0], growing) <= set(run.parts))


def _write(run: Run, measured: Mapping[str, float]) -> None:
    print("\n".join(run.about))
    _write_http(run.http)
    print(f"\nIn SQL, {CLIENTS} clients: transactions a second, median (p5 - p95)")
    for name, one in run.sql.items():
        print(f"  {name:<30} {one.median:9.0f} ({one.p5:.0f} - {one.p95:.0f}), n {one.n}")
    print("\nSeals, and what they cover: seconds unless the name says otherwise")
    for name, value in run.seals.items():
        print(f"  {name:<30} {value:12,.4g}" if isinstance(value, float) else f"  {name:<30} {value:12,}")
    print("\nA ledger that grows: milliseconds, with few rows and with many")
    for name in run.months.get("small", {}):
        unit = 1 if name in {"bytes_per_row", "fill"} else _MS
        print(f"  {name:<30} {run.months['small'][name] * unit:12,.3f} {run.months['large'][name] * unit:12,.3f}")
    for reason in run.unable:
        print(f"  can't: {reason}")
    print(f"\n{'Target':<36} {'measured':>10} {'wanted':>18}")
    for target in asked(run):
        print(f"{target.name:<36} {report.verdict(target, measured.get(target.name), largest=run.pace.many)}")


def _write_http(http: OverHttp) -> None:
    print("\nOver HTTP: milliseconds, median (p5 - p95)")
    pieces = {**http.pieces, f"{CLIENTS} clients at once": http.at_once}
    pieces |= {"deactivate, alone": http.alone, "deactivate, beside a backlog": http.beside}
    for name, piece in pieces.items():
        for what, one in piece.items():
            told = f"{one.median * _MS:9.1f} ({one.p5 * _MS:.1f} - {one.p95 * _MS:.1f}), n {one.n}"
            print(f"  {name:<30} {what:<16} {told}")
    if http.left:
        print(f"  the backlog: {http.left}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0 whatever was reached, 1 where it could not run."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description="Measure the ledger.")
    parser.add_argument("--quick", action="store_true", help="few rounds and rows, for development")
    parser.add_argument("--ten-million", action="store_true", help="grow the ledger to ten million rows (15 GB)")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone; may be repeated")
    given = parser.parse_args(arguments)
    pace = QUICK if given.quick else THOROUGH
    pace = TEN_MILLION if given.ten_million else pace
    run = Run(pace=pace, parts=tuple(given.only or PARTS))
    code = 0
    try:
        with house() as home:
            run.about = report.machine(home.owner_url)
            _measure(run, home)
    except CannotRun as refusal:
        print(f"rollcall: {refusal}", file=sys.stderr)
        return 1
    except StopRequested:
        run.say("stopped before the end: what was measured until now follows, the rest counts as not reached")
        code = 130
    measured = ratios(run)
    _write(run, measured)
    missed = falls_short(asked(run), measured, largest=pace.many)
    print(
        json.dumps({"bench": "ledger", "ratios": {k: round(v, 3) for k, v in measured.items()}, "falls_short": missed})
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
