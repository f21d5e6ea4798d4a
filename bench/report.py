"""What people read of a run: one table of pieces, one of the database alone, one of targets, and the machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from bench.contestants import ALL, ROLLCALL
from bench.course import CLIENTS, PIECES
from bench.measuring import ratio
from bench.targets import TARGETS
from bench.works import why_half

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.measuring import Summary, Target
    from bench.scim import Run

_MS = 1_000
_AT_ONCE = (
    ("create_at_once", f"Create, {CLIENTS} clients at once"),
    ("deactivate_at_once", f"Deactivate, {CLIENTS} clients at once"),
    ("create_at_once_as_shipped", f"Create, {CLIENTS} clients at once, 2 processes as shipped"),
    ("deactivate_at_once_as_shipped", f"Deactivate, {CLIENTS} clients at once, 2 processes as shipped"),
)
_SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")


def machine(url: str) -> list[str]:
    """Where it was measured."""
    with psycopg.connect(url) as connection:
        told = {name: connection.execute(f"SHOW {name}").fetchone() for name in _SETTINGS}
    server = ", ".join(f"{name} {value[0]}" for name, value in told.items() if value)
    return [
        f"Machine: {os.cpu_count()} CPUs, {_model()}, {_memory()}, {platform.system()} {platform.machine()}",
        f"PostgreSQL {server.removeprefix('server_version ')}",
        f"Python {platform.python_version()}; gunicorn gthread, 1 process x 4 threads, for each contestant",
    ]


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown model"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown model"


def _memory() -> str:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return "unknown memory"
    return f"{total / 2**30:.0f} GiB of memory"


def write(run: Run, measured: Mapping[str, float]) -> None:
    """Everything, on standard output."""
    print("\n".join(run.about))
    if run.floor is not None:
        print(f"Floor: GET /healthz of Rollcall {_times(run.floor)} ms: client, loopback, web server, nothing else")
    print()
    print(f"{'':58} {'people':>9} {'n':>4} {'median':>9} {'p5 - p95, ms':>19}  of Rollcall's")
    for name, title in [(piece.name, piece.title) for piece in PIECES] + list(_AT_ONCE):
        _piece(run, name, title)
    _inside(run)
    _weights(run)
    _targets(run, measured)


def _times(one: Summary) -> str:
    return f"{one.median * _MS:9.1f} {f'{one.p5 * _MS:.1f} - {one.p95 * _MS:.1f}':>19}"


def _piece(run: Run, name: str, title: str) -> None:
    found = run.results.found
    rows = [(who, company.people) for company in run.companies for who in ALL]
    rows = [(who, n) for who, n in rows if (name, who, n) in found or (name, who, n) in run.results.unable]
    if rows:
        print(title)
    for who, people in rows:
        one = found.get((name, who, people))
        if one is None:
            print(f"  {who:<56} {people:>9,}    can't: {run.results.unable[name, who, people]}")
            continue
        beside = ratio(one, found.get((name, ROLLCALL, people)))
        half = f"  half of the work: {why_half(who)}" if name == "put_group_1000" and why_half(who) else ""
        print(f"  {who:<56} {people:>9,} {one.n:>4} {_times(one)}  {f'{beside:.2f} x' if beside else ''}{half}")


def _inside(run: Run) -> None:
    for people, found in run.inside.items():
        print(f"\nIn the database alone, {people:,} people: milliseconds, median (p5 - p95)")
        for name, piece in found["pieces"].items():
            for what, told in piece.items():
                print(f"  {name:<20} {what:<12} {_told(told)}")
        print(f"\nStatements of one request, {people:,} people: how many, in the database, in all (ms)")
        for name, told in found["requests"].items():
            times = f"{told['database'] * _MS:9.1f} {told['seconds'] * _MS:9.1f}"
            print(f"  {name:<20} {told['status']:>4} {told['statements']:>4} {times}")


def _told(told: Any) -> str:
    if isinstance(told, dict):
        return f"{told['median'] * _MS:9.2f} ({told['p5'] * _MS:.2f} - {told['p95'] * _MS:.2f}), n {told['n']}"
    return "not measured" if told is None else f"{told:9.1f}"


def _weights(run: Run) -> None:
    print("\nResident megabytes of Rollcall's worker: start, middle, end; climb for 1,000 requests at the end")
    for title, weight in run.results.weights.items():
        start, middle, end = weight.start_middle_end()
        print(f"  {title:<40} {start:7.1f} {middle:7.1f} {end:7.1f} {weight.climb():7.2f}")
    for (name, who, people), reason in run.results.unable.items():
        if name == "weight" or name.startswith("peak_"):
            print(f"  {who}, {people:,}: not weighed: {reason}")
    for (who, size), grew in sorted(run.results.peaks.items()):
        print(f"  {who}: grew by {grew:.1f} at most while it answered with a group of {size:,}")


def _targets(run: Run, measured: Mapping[str, float]) -> None:
    width = max(len(target.name) for target in TARGETS)
    print(f"\n{'Target':<{width}} {'measured':>10} {'wanted':>18}")
    for target in TARGETS:
        print(f"{target.name:<{width}} {verdict(target, measured.get(target.name), largest=run.largest)}")


def verdict(target: Target, value: float | None, *, largest: int) -> str:
    """What was measured, what was wanted, and whether it was reached."""
    wanted = f"{target.bound} {target.value:g} {target.unit}".strip()
    if target.people > largest:
        return f"{'':>10} {wanted:>18}  not asked for: needs {target.people:,}"
    told = "-" if value is None else f"{value:.2f}"
    word = "reached" if target.reached(value) else "NOT MEASURED" if value is None else "NOT REACHED"
    return f"{told:>10} {wanted:>18}  {word}"
