"""The course of a run over HTTP: piece after piece, all contestants in turns, and what each of them gave."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from bench import memory, works
from bench.contestants import ROLLCALL, STOCK
from bench.measuring import Entry, Summary, Unable, interleave

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.contestants import Seat
    from bench.memory import Weight

DEEP = 10_000
"""People from which on there is a depth worth paging to."""
CLIENTS = 8


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How thorough a run is.

    Rounds, seconds for each contestant and piece, people of each client at once, requests of the soak, and rounds in
    the database alone.
    """

    rounds: int
    budget: float
    each: int
    soak: int
    inside: int


THOROUGH = Pace(rounds=30, budget=12.0, each=25, soak=2_000, inside=15)
QUICK = Pace(rounds=8, budget=3.0, each=6, soak=240, inside=5)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One piece of work: its name in the results, what people read, and how a seat does it."""

    name: str
    title: str
    make: Callable[[Seat], Callable[[], float]]
    applies: Callable[[Seat], bool] = lambda _seat: True


def _is_deep(seat: Seat) -> bool:
    return seat.company.people >= DEEP


def _has(size: int) -> Callable[[Seat], bool]:
    return lambda seat: seat.company.team(size) is not None


PIECES: tuple[Piece, ...] = (
    # Large answers first: what they leave in a worker's memory is there before its middle is weighed.
    *(
        Piece(name=f"get_group_{size}", title=f"GET a group of {size:,}", applies=_has(size),
              make=partial(works.get_group, size=size))
        for size in (1_000, 10_000, 100_000)
    ),
    Piece(name="list", title="List: the first page of 100, by index", make=works.list_page),
    Piece(name="cursor_first", title="List: the first page of 100, by cursor", applies=_is_deep,
          make=partial(works.cursor_page, depth=0.0)),
    Piece(name="cursor_middle", title="List: a page of 100 in the middle, by cursor", applies=_is_deep,
          make=partial(works.cursor_page, depth=0.5)),
    Piece(name="cursor_deep", title="List: a page of 100 near the end, by cursor", applies=_is_deep,
          make=partial(works.cursor_page, depth=0.99)),
    Piece(name="filter_user_name", title="Filter: userName eq", make=works.filter_user_name),
    Piece(name="filter_external_id", title="Filter: externalId eq", make=works.filter_external_id),
    Piece(name="filter_email", title="Filter: emails.value eq", make=works.filter_email),
    Piece(name="get_user", title="GET one user", make=works.get_user),
    Piece(name="create", title="Create a user", make=works.create),
    Piece(name="deactivate", title="Deactivate a user (PATCH)", make=works.deactivate),
    *(
        Piece(name=f"add_member_{size}", title=f"Add one member to a group of {size:,} (PATCH)", applies=_has(size),
              make=partial(works.add_member, size=size))
        for size in (1_000, 10_000, 100_000)
    ),
    Piece(name="put_group_1000", title="PUT a group of 1,000, 1 % of it changed", make=partial(works.put_group, size=1_000)),
    Piece(name="patch_group_1000", title="the same change by PATCH, which stock really does", make=partial(works.patch_group, size=1_000),
        applies=lambda seat: seat.who in {ROLLCALL, STOCK}),
)  # fmt: skip


@dataclass(kw_only=True)
class Results:
    """What was measured: by piece and seat a summary, or why there is none; and what the workers weighed."""

    found: dict[tuple[str, str, int], Summary] = field(default_factory=dict)
    unable: dict[tuple[str, str, int], str] = field(default_factory=dict)
    weights: dict[str, Weight] = field(default_factory=dict)
    peaks: dict[tuple[str, int], float] = field(default_factory=dict)
    """Megabytes that a worker grew by while it answered with a group of so many."""

    def get(self, piece: str, who: str, people: int) -> Summary | None:
        """One summary, if it was measured."""
        return self.found.get((piece, who, people))


def run(
    seats: Sequence[Seat], pace: Pace, results: Results, *, look: Callable[[], None], say: Callable[[str], None]
) -> None:
    """All pieces."""
    _begin_to_weigh(seats, results)
    for piece in PIECES:
        say(piece.title)
        _piece(piece, [seat for seat in seats if piece.applies(seat)], pace, results, look)
        _weigh(seats, results)


def _piece(piece: Piece, seats: Sequence[Seat], pace: Pace, results: Results, look: Callable[[], None]) -> None:
    entries = []
    for seat in seats:
        try:
            call = piece.make(seat)
        except Unable as reason:
            results.unable[piece.name, seat.who, seat.company.people] = str(reason)
        except (OSError, http.client.HTTPException) as error:
            results.unable[piece.name, seat.who, seat.company.people] = f"no answer: {type(error).__name__}"
        else:
            entries.append((seat, Entry(name=seat.title, call=_safe(call))))
        look()
    interleave([entry for _, entry in entries], rounds=pace.rounds, budget=pace.budget, between=look)
    for seat, entry in entries:
        key = (piece.name, seat.who, seat.company.people)
        if entry.failed:
            results.unable[key] = entry.failed
        else:
            results.found[key] = Summary.of(entry.samples)


def _safe(call: Callable[[], float]) -> Callable[[], float]:
    def safely() -> float:
        try:
            return call()
        except (OSError, http.client.HTTPException) as error:
            raise Unable(f"no answer: {type(error).__name__}") from error

    return safely


def _begin_to_weigh(seats: Sequence[Seat], results: Results) -> None:
    for seat in seats:
        if seat.who == ROLLCALL:
            try:
                results.weights[seat.title] = memory.Weight(pid=memory.worker_of(seat.process.pid))
            except Unable as reason:
                results.unable["weight", seat.who, seat.company.people] = str(reason)
    _weigh(seats, results)


def _weigh(seats: Sequence[Seat], results: Results, *, is_soak: bool = False) -> None:
    """A worker that can't be weighed any more, such as one that died, has no weight at all."""
    for seat in seats:
        if seat.title in results.weights:
            try:
                results.weights[seat.title].look(seat.sent, is_soak=is_soak)
            except Unable as reason:
                results.unable["weight", seat.who, seat.company.people] = str(reason)
                del results.weights[seat.title]


def peak_of_group(seat: Seat, size: int, results: Results) -> None:
    """How much a worker's memory grows while it answers with a group, if there is one of that size."""
    if seat.company.team(size) is None:
        return
    try:
        call = works.get_group(seat, size)
        pid = memory.worker_of(seat.process.pid)
        memory.forget_peak(pid)
        before = memory.rss(pid)
        call()
        results.peaks[seat.who, size] = memory.peak(pid) - before
    except Unable as reason:
        results.unable[f"peak_{size}", seat.who, seat.company.people] = str(reason)


def at_once(seat: Seat, pace: Pace, results: Results, *, suffix: str = "") -> None:
    """Creations and deactivations by several clients at once."""
    names = (f"create_at_once{suffix}", f"deactivate_at_once{suffix}")
    try:
        works.at_once(seat, clients=CLIENTS, each=2)
        found: Mapping[str, list[float]] = dict(
            zip(names, works.at_once(seat, clients=CLIENTS, each=pace.each), strict=True)
        )
    except Unable as reason:
        results.unable |= {(name, seat.who, seat.company.people): str(reason) for name in names}
        return
    results.found |= {(name, seat.who, seat.company.people): Summary.of(values) for name, values in found.items()}


def soak(seat: Seat, pace: Pace, results: Results, look: Callable[[], None]) -> None:
    """The same mix of requests again and again, at the end, while the worker is weighed."""
    try:
        calls = [
            works.list_page(seat), works.filter_user_name(seat), works.get_user(seat), works.create(seat),
            works.deactivate(seat), works.patch_group(seat, 1_000),
        ]  # fmt: skip
        turns = max(pace.soak // len(calls), 1)
        for turn in range(turns):
            for call in calls:
                call()
            if turn % max(turns // 40, 1) == 0:
                _weigh([seat], results, is_soak=True)
                look()
    except Unable as reason:
        results.unable["weight", seat.who, seat.company.people] = str(reason)
        results.weights.pop(seat.title, None)
