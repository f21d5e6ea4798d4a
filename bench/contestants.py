"""Who takes part: each with a database, a web process and the company in it, and what it calls people and groups."""

from __future__ import annotations

import http.client
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import load_peers
from bench.company import Company, Person, named_uuid, user_id
from bench.serving import a_token
from bench.wire import Ask, Wire
from local import ports
from local.errors import CannotRun

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from bench.serving import House

ROLLCALL, STOCK, MEMORY, ANOTHER = "Rollcall", "stock django-scim2", "scim2-server", "django-scim2-server"
ALL = (ROLLCALL, STOCK, MEMORY, ANOTHER)
SHORT = {STOCK: "stock", MEMORY: "scim2_server", ANOTHER: "django_scim2_server"}
"""The peers, as they are called in the names of ratios."""

NO_CURSORS = "has no pagination by cursor"
DROPS_MEMBERS = "PUT answers 200 and drops the members"
_TEMPLATE = "bench_rollcall"
SHIPPED = 2
"""Processes of `gunicorn_conf.py`."""

_UNABLE: Mapping[str, Mapping[str, str]] = {
    ROLLCALL: {},
    STOCK: {
        "cursor": NO_CURSORS,
        "filter externalId": "externalId is not in its filter map: it answers an empty list",
        "filter emails": "emails.value is not in its filter map: it answers an empty list",
    },
    MEMORY: {},
    ANOTHER: {"cursor": NO_CURSORS},
}


@dataclass(kw_only=True)
class Seat:
    """One contestant with one company."""

    who: str
    company: Company
    base: str
    port: int
    token: str
    user: Callable[[int], str]
    group: Callable[[str], str]
    process: subprocess.Popen[bytes]
    facts: Mapping[str, Any] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    """The ids of people that were made and are still active."""
    next_person: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        self.wire = Wire(self.port, self.token)
        self.next_person = self.company.everybody.stop

    @property
    def title(self) -> str:
        """Its name and size."""
        return f"{self.who}, {self.company.people:,}"

    @property
    def unable(self) -> Mapping[str, str]:
        """What it can't do, and why."""
        return _UNABLE[self.who]

    def another_wire(self) -> Wire:
        """One more client."""
        return Wire(self.port, self.token)

    def somebody_new(self) -> Person:
        """A person whom nobody knows yet."""
        self.next_person += 1
        return Person(n=self.next_person - 1)

    def is_ready(self) -> bool:
        """Whether it answers."""
        if not ports.accepts(self.port):
            return False
        try:
            return self.wire.send(Ask.of("GET", f"{self.base}/ServiceProviderConfig")).status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


def _name(prefix: str, company: Company) -> str:
    return f"{prefix}_{company.people}"


def open_port(house: House) -> int:
    """A port that nobody of this house has, kept for the caller."""
    taken = frozenset(house.taken)
    port = ports.pick(taken=taken)
    house.taken.add(port)
    return port


def empty(house: House, name: str) -> None:
    """A database of the product with nothing in it."""
    if _TEMPLATE not in house.made:
        house.database(_TEMPLATE)
        house.run(["manage", "migrate", "--no-input", "-v0"], house.for_product(_TEMPLATE, as_owner=True))
        house.made.add(_TEMPLATE)
    house.database(name, template=_TEMPLATE)


def rollcall(house: House, company: Company) -> Seat:
    """The product: its own settings and role, row-level security, ledger, journal, history."""
    name, port = _name("rollcall", company), open_port(house)
    empty(house, name)
    facts = house.within(name, "load", str(company.people))
    house.tidy(name)
    process = house.serve(name, "governance.wsgi", house.for_product(name, port=port))
    return Seat(
        who=ROLLCALL, company=company, base="/scim/v2", port=port, token=facts["token"], process=process,
        user=lambda n: str(user_id(n)), group=lambda team: str(facts["groups"][team]),
        facts={**facts, "database": name},
    )  # fmt: skip


def _django_peer(
    house: House, company: Company, *, package: str, fill: Callable[[str, Company], None]
) -> tuple[int, str, subprocess.Popen[bytes]]:
    name, port, token = _name(package, company), open_port(house), a_token()
    environment = house.for_peer(name, settings=f"bench.peers.{package}.settings", port=port, token=token)
    house.database(name)
    house.run(["django", "migrate", "--no-input", "--run-syncdb", "-v0"], environment)
    fill(environment["BENCH_DATABASE_URL"], company)
    house.tidy(name)
    process = house.serve(name, f"bench.peers.{package}.wsgi", environment, worker_class="gthread")
    return port, token, process


def stock(house: House, company: Company) -> Seat:
    """Stock django-scim2 with django-simple-history."""
    port, token, process = _django_peer(house, company, package="stock", fill=load_peers.stock)
    numbers = {team.name: number for number, team in enumerate(company.teams, start=1)}
    return Seat(
        who=STOCK, company=company, base="/scim/v2", port=port, token=token, process=process,
        user=str, group=lambda team: str(numbers[team]),
    )  # fmt: skip


def another(house: House, company: Company) -> Seat:
    """django-scim2-server."""
    port, token, process = _django_peer(house, company, package="another", fill=load_peers.another)
    return Seat(
        who=ANOTHER, company=company, base="/scim/v2", port=port, token=token, process=process,
        user=lambda n: str(named_uuid("user", n)), group=lambda team: str(named_uuid("group", team)),
    )  # fmt: skip


def memory(house: House, company: Company) -> Seat:
    """scim2-server with its storage in memory."""
    port, token = open_port(house), a_token()
    environment = {
        **os.environ, "BENCH_PEOPLE": str(company.people), "BENCH_TOKEN": token,
        "ROLLCALL_BIND": f"{ports.LOOPBACK}:{port}",
    }  # fmt: skip
    process = house.serve(_name("memory", company), "bench.peers.memory", environment, worker_class="gthread")
    return Seat(
        who=MEMORY, company=company, base="/v2", port=port, token=token, process=process,
        user=lambda n: named_uuid("user", n).hex, group=lambda team: named_uuid("group", team).hex,
    )  # fmt: skip


_OPEN: Mapping[str, Callable[[House, Company], Seat]] = {
    ROLLCALL: rollcall, STOCK: stock, MEMORY: memory, ANOTHER: another,
}  # fmt: skip


def rollcall_at_full_strength(house: House, seat: Seat) -> Seat:
    """The product on a company that is there already, with as many processes as it ships with."""
    name, port = f"{seat.facts['database']}_as_shipped", open_port(house)
    environment = house.for_product(str(seat.facts["database"]), port=port)
    process = house.serve(name, "governance.wsgi", environment, workers=SHIPPED)
    shipped = replace(seat, port=port, process=process, made=[])
    shipped.next_person = seat.next_person + 1_000_000
    house.wait_for(name, process, shipped.is_ready)
    return shipped


def open_seats(
    house: House, companies: list[Company], who: Callable[[Company], tuple[str, ...]], *, say: Callable[[str], None]
) -> list[Seat]:
    """All that take part, serving. Who builds its company while it starts begins first.

    A peer that can't be started is told of and left out: what was to be measured against it is then not reached.
    """
    found = []
    for company in companies:
        for name in sorted(who(company), key=lambda one: one != MEMORY):
            seat = _unless_peer(name, say, partial(_OPEN[name], house, company))
            if seat is not None:
                found.append(seat)
                say(f"{seat.title}: loaded")
            house.look()
    return [seat for seat in found if _unless_peer(seat.who, say, partial(_waited_for, house, seat))]


def _waited_for(house: House, seat: Seat) -> Seat:
    house.wait_for(_log_name(seat), seat.process, seat.is_ready)
    return seat


def _unless_peer(who: str, say: Callable[[str], None], do: Callable[[], Seat]) -> Seat | None:
    try:
        return do()
    except CannotRun as refusal:
        if who == ROLLCALL:
            raise
        say(f"{who} does not take part: {refusal}")
        return None


def _log_name(seat: Seat) -> str:
    prefix = {ROLLCALL: "rollcall", STOCK: "stock", MEMORY: "memory", ANOTHER: "another"}[seat.who]
    return _name(prefix, seat.company)
