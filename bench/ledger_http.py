"""Over HTTP: what the ledger costs of a write, and whether one tenant's backlog delays another's deactivation."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psycopg

from bench import contestants, works
from bench.company import Company
from bench.measuring import Entry, Summary, Unable, interleave
from bench.serving import with_database
from bench.wire import Ask, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.contestants import Seat
    from bench.serving import House

PEOPLE = 1_000
PIECES = ("create", "change", "deactivate")
CLIENTS = 8
# How long a change that was sent ahead is waited for before there is no number.
_PATIENCE = 90.0
_LOOK = 0.005


@dataclass(kw_only=True)
class OverHttp:
    """What was found, in seconds: each piece of work with the ledger and without; deactivations alone and beside a backlog."""

    pieces: dict[str, dict[str, Summary]] = field(default_factory=dict)
    at_once: dict[str, Summary] = field(default_factory=dict)
    alone: dict[str, Summary] = field(default_factory=dict)
    beside: dict[str, Summary] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)
    unable: list[str] = field(default_factory=list)


def measure(home: House, *, rounds: int, backlog: int, say: Callable[[str], None]) -> OverHttp:
    """Everything, on one company of a thousand."""
    found = OverHttp()
    seat = contestants.rollcall(home, Company(people=PEOPLE))
    home.wait_for(str(seat.facts["database"]), seat.process, seat.is_ready)
    bare = _without_ledger(home, seat)
    say("writes with the ledger and without")
    for name, work in (("create", works.create), ("change", _change), ("deactivate", works.deactivate)):
        entries = [Entry(name="with", call=work(seat)), Entry(name="without", call=work(bare))]
        interleave(entries, rounds=rounds, budget=30.0, between=home.look)
        found.unable += [f"{name} {entry.name} the ledger: {entry.failed}" for entry in entries if entry.failed]
        found.pieces[name] = {entry.name: Summary.of(entry.samples) for entry in entries if entry.samples}
    say(f"the same by {CLIENTS} clients at once")
    _at_once(seat, bare, found, rounds=rounds)
    home.stop(bare.process)
    say("deactivations beside another tenant's backlog")
    _beside_backlog(home, seat, found, rounds=max(rounds // 3, 5), backlog=backlog)
    home.stop(seat.process)
    return found


def _without_ledger(home: House, seat: Seat) -> Seat:
    """The same company, served by a process that keeps no ledger."""
    port = contestants.open_port(home)
    process = home.serve("unledgered", "bench.unledgered", home.for_product(str(seat.facts["database"]), port=port))
    bare = replace(seat, port=port, process=process, made=[])
    bare.next_person = seat.next_person + 1_000_000
    home.wait_for("unledgered", process, bare.is_ready)
    return bare


def _change(seat: Seat) -> Callable[[], float]:
    """Give somebody another title."""
    turns = itertools.count(seat.next_person)

    def call() -> float:
        turn = next(turns)
        who = 1 + turn % PEOPLE
        body = works.patched({"op": "replace", "path": "title", "value": f"Engineer {seat.port} {turn}"})
        return works.sent(seat, Ask.of("PATCH", f"{seat.base}/Users/{seat.user(who)}", body), well=(200, 204)).seconds

    return call


def _at_once(seat: Seat, bare: Seat, found: OverHttp, *, rounds: int) -> None:
    samples: dict[str, list[float]] = {"with": [], "without": []}
    try:
        for name, one in (("with", seat), ("without", bare), ("without", bare), ("with", seat)):
            made, ended = works.at_once(one, clients=CLIENTS, each=max(rounds // 8, 2))
            samples[name] += [*made, *ended]
    except Unable as reason:
        found.unable.append(str(reason))
        return
    found.at_once = {name: Summary.of(values) for name, values in samples.items()}


def _beside_backlog(home: House, seat: Seat, found: OverHttp, *, rounds: int, backlog: int) -> None:
    database = str(seat.facts["database"])
    facts = home.within(database, "neighbour", "settle")
    neighbour = replace(seat, token=facts["token"], facts={**facts, "database": database}, made=[])
    worker = home.work(database)
    try:
        # First through the worker, so that it has come up when the clock counts.
        _deactivations(home, neighbour, rounds=2)
        found.alone = _deactivations(home, neighbour, rounds=rounds)
        arguments = ("send_ahead", seat.facts["tenant"], seat.facts["system"], str(PEOPLE), str(backlog))
        before = home.within(database, "neighbour", *arguments)["waiting"]
        found.beside = _deactivations(home, neighbour, rounds=rounds)
        found.left = {"before": before, **home.within(database, "neighbour", "left", seat.facts["tenant"])}
    except Unable as reason:
        found.unable.append(str(reason))
    finally:
        home.stop(worker)
    if not found.left.get("waiting"):
        found.unable.append("the backlog was gone before the last deactivation: it must be larger")
        found.beside = {}


def _deactivations(home: House, seat: Seat, *, rounds: int) -> dict[str, Summary]:
    """Seconds until an account is ended: answered at once, and acknowledged and applied by the worker."""
    at_once, later = [], []
    for _ in range(rounds):
        works.make_somebody(seat)
        at_once.append(works.end_somebody(seat))
        works.make_somebody(seat)
        later.append(_ended_later(home, seat, seat.made.pop()))
        home.look()
    return {"at once": Summary.of(at_once), "sent ahead": Summary.of(later)}


def _ended_later(home: House, seat: Seat, who: str) -> float:
    body = works.patched({"op": "replace", "path": "active", "value": False})
    wire = Wire(seat.port, seat.token, prefer="respond-async")
    url = with_database(home.owner_url, str(seat.facts["database"]))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT set_config('rollcall.tenant', %s, false)", [seat.facts["tenant"]])
        started = time.perf_counter()
        reply = wire.send(Ask.of("PATCH", f"{seat.base}/Users/{who}", body))
        wire.close()
        if reply.status != 202:  # noqa: PLR2004  Accepted
            raise Unable(f"what is sent ahead is answered {reply.quoted()}")
        while time.perf_counter() - started < _PATIENCE:
            ended = connection.execute(
                "SELECT s.wants_active FROM provisioning_received r JOIN provisioning_shadow s ON s.id = r.resource_id"
                " WHERE r.resource_id = %s AND r.state = 'applied'",
                [who],
            ).fetchone()
            if ended is not None:
                if ended[0]:
                    raise Unable("it was applied, and the account is still wanted")
                return time.perf_counter() - started
            time.sleep(_LOOK)
    raise Unable(f"what was sent ahead is not applied after {_PATIENCE:.0f} s")
