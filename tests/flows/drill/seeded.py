"""One round of the drill: processes are killed by chance while clients write and the schedule works; then all is counted.

The seed decides who is killed after how much work, and what each client does; when a process is where, it can't decide.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from accounts.models import Account, ReactivationPolicy
from audit.scope import scope
from governance.models.approval import Approval
from provisioning.models import Connection, Run
from provisioning.models.plan import Plan
from provisioning.states import PLAN
from tests.factories import governance as make
from tests.factories.permits import an_exception
from tests.factories.scim import a_group, connect
from tests.fakes import directories
from tests.flows.drill import comparison
from tests.flows.drill.client import Books, Client
from tests.flows.drill.place import LOSSES, Place
from tests.flows.drill.sender import Sender, raw
from tests.flows.drill.stories import a_tenant, acting, is_settled, make_campaign, time_passes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID

    from django.db.models import QuerySet

    from accounts.models import Tenant
    from tests.factories.scim import Idp
    from tests.flows.drill.installation import Installation, Running

TASKS = (
    "provisioning.tasks.reconcile_due",
    "provisioning.tasks.execute_cleared_plans",
    "provisioning.tasks.read_back_due",
    "accounts.tasks.sweep_expiry",
    "governance.tasks.settle_campaigns",
    "governance.tasks.open_approvals",
    "governance.tasks.lapse_approvals",
    "governance.tasks.write_notices",
)
# Who is killed how often: one of gunicorn's or Celery's workers, or the process that looks after them.
TARGETS = {("web", "worker"): 4, ("web", "master"): 1, ("worker", "child"): 4, ("worker", "master"): 1}
CLIENTS = (("Okta", False), ("Okta", False), ("Sandbox", True))
SHARED = "Everyone"  # a group into which every client of a system puts people
LATE, LINES = 24, 12
EXPIRE_WITHIN = 30.0  # seconds
MOST_PATIENT = 15.0  # seconds from one kill to the next, if there is no work to interrupt


@dataclass
class Counts:
    """What happened, for people to read."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    repeats: int = 0
    runs: int = 0
    leases: int = 0
    plans: int = 0
    seconds: float = 0.0
    rounds: int = 0

    def add(self, other: Counts) -> None:
        """Count another round too."""
        self.kills += other.kills
        self.statuses += other.statuses
        self.writes += other.writes
        self.repeats += other.repeats
        self.runs += other.runs
        self.leases += other.leases
        self.plans += other.plans
        self.seconds += other.seconds
        self.rounds += 1

    def __str__(self) -> str:
        killed = ", ".join(f"{times} {who}" for who, times in sorted(self.kills.items()))
        said = ", ".join(f"{times} {status}" for status, times in sorted(self.statuses.items()))
        return (
            f"seed {self.seed}: {self.kills.total()} kills ({killed}) in {self.seconds:.0f} s;"
            f" {self.writes} writes acknowledged, {self.repeats} of them sent more than once; answers: {said};"
            f" {self.runs} readings under {self.leases} leases, {self.plans} plans"
        )


@dataclass
class Round:
    """A tenant of its own, with all that the schedule has to do while clients write."""

    tenant: Tenant
    idps: dict[str, Idp]
    shared: dict[str, str]
    place: Place
    rng: random.Random
    counts: Counts
    books: dict[str, list[Books]] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def prepared(cls, seed: int) -> Iterator[Self]:
        """The directory lives until the end of the block."""
        tenant, rng = a_tenant(f"round-{seed}"), random.Random(seed)  # noqa: S311  a drill is repeatable
        policies = {"Okta": ReactivationPolicy.APPROVAL, "Sandbox": ReactivationPolicy.AUTOMATIC}
        idps = {name: connect(tenant, name, policy=policy) for name, policy in policies.items()}
        with acting(tenant):
            an_exception(idps["Sandbox"].system, at=make.now() - dt.timedelta(hours=12))
        shared = {name: idp.group(SHARED) for name, idp in idps.items()}
        at = make.now() - dt.timedelta(days=1)
        make_campaign(tenant, lines=LINES, deadline=make.now() + dt.timedelta(seconds=20), at=at)
        with directories.serving() as directory:
            with acting(tenant):
                for number in range(LATE):
                    ends_at = make.now() + dt.timedelta(seconds=rng.uniform(0, EXPIRE_WITHIN))
                    make.a_person(tenant, f"late-{number}", at=at, expires_at=ends_at)
                place = Place.made(tenant, directory, at=at)
            yield cls(tenant, idps, shared, place, rng, Counts(seed))

    # -- while it lasts

    def run(self, running: Running, *, database: str, blows: Sequence[Callable[[], None]]) -> None:
        """Strike each blow after some work has been done since the last; then let all come to its end."""
        began = time.monotonic()
        running.until(lambda: running.answers() and bool(running.workers("worker")), what="the start")
        losses = {len(blows) * (n + 1) // (LOSSES + 1) for n in range(LOSSES)}
        with ExitStack() as stack:
            clients = [self._client(stack, running, number) for number in range(len(CLIENTS))]
            for client in clients:
                client.start()
                stack.callback(client.give_up)
            for number, strike in enumerate(blows):
                if number in losses:
                    self.place.lose()
                self._work(running, clients, database=database)
                strike()
            for client in clients:
                client.ask_stop()
            running.until(lambda: not any(c.is_alive() for c in clients), what="the last answers")
        while self.place.lost < LOSSES:
            self.place.lose()
        self._settle(running, database=database)
        self.counts.seconds = time.monotonic() - began
        for (system, _), client in zip(CLIENTS, clients, strict=True):
            if client.failed is not None:
                raise client.failed
            self.books.setdefault(system, [_made_before()]).append(client.books)
            self.counts.statuses += client.sender.statuses
            self.counts.writes += client.books.applied.total() + client.books.held.total()
            self.counts.repeats += client.books.repeats

    def _client(self, stack: ExitStack, running: Running, number: int) -> Client:
        system, is_automatic = CLIENTS[number]
        sender = stack.enter_context(Sender(running.address, self.idps[system].token))
        rng = random.Random(self.rng.random())  # noqa: S311  a drill is repeatable
        return Client(
            f"{system.lower()}-{number}", sender, rng, is_automatic=is_automatic, shared=(SHARED, self.shared[system])
        )

    def _work(self, running: Running, clients: list[Client], *, database: str) -> None:
        """Wait until the clients have had some answers since the last kill, and then a moment."""
        enough = sum(c.answered for c in clients) + self.rng.randint(8, 30)
        ends_at = time.monotonic() + MOST_PATIENT
        looked_at = 0.0

        def is_time() -> bool:
            nonlocal looked_at
            running.wake(*TASKS)
            if time.monotonic() - looked_at > 1.0:
                looked_at = time.monotonic()
                with running.installation.looking(database):
                    self._read_again()
            dead = [c for c in clients if not c.is_alive()]
            return bool(dead) or time.monotonic() > ends_at or sum(c.answered for c in clients) >= enough

        running.until(is_time, what="some work")
        pause = time.monotonic() + self.rng.uniform(0, 0.5)
        running.until(lambda: time.monotonic() > pause, what="a moment")

    def _read_again(self) -> None:
        with acting(self.tenant):
            Connection.objects.filter(due_at__gt=make.now()).update(due_at=make.now())

    def kill(self, running: Running, *, database: str) -> None:
        service, who = self.rng.choices(list(TARGETS), weights=list(TARGETS.values()))[0]

        def killed() -> bool:
            master = running.master(service)
            pids = running.workers(service) if who != "master" else [] if master is None else [master]
            if not pids:  # it is being started again
                return False
            try:
                os.kill(self.rng.choice(sorted(pids)), signal.SIGKILL)
            except ProcessLookupError:  # it has just ended by itself
                return False
            return True

        running.until(killed, what=f"a process of {service} to be killed")
        self.counts.kills[f"{service} {who}"] += 1
        if service == "worker":
            with running.installation.looking(database):
                time_passes(self.tenant)  # else a dead worker's run would rest for its lease

    # -- at the end

    def _settle(self, running: Running, *, database: str) -> None:
        """Nobody is killed any more: what was cut off goes on, and one more reading sees all that was lost."""
        installation = running.installation
        with installation.looking(database):
            time_passes(self.tenant)
            self._read_again()
        seen_at, aged_at, calm = make.now(), time.monotonic(), 0

        def is_over() -> bool:
            nonlocal aged_at, calm
            running.wake(*TASKS)
            with installation.looking(database):
                if time.monotonic() - aged_at > 5.0:
                    aged_at = time.monotonic()
                    time_passes(self.tenant)
                # A look takes a while, and what was not there at its beginning may be at its end: two of them count.
                calm = calm + 1 if self._is_calm(since=seen_at) else 0
                return calm > 1

        running.until(is_over, what="the end of all work")

    def _is_calm(self, *, since: dt.datetime) -> bool:
        with scope(tenant=self.tenant.pk):
            # Causes before what they cause: a line that is settled ends an account, which is then to be read back.
            return (
                is_settled(self.tenant)
                and Run.objects.filter(state="closed", started_at__gt=since).exists()
                and not Run.objects.filter(ended_at__isnull=True).exists()
                and not Plan.objects.exclude(state__in=[*PLAN.final, "waiting"]).exists()
                and not Account.objects.filter(user_name__startswith="late", state="active").exists()
                and _ids(Approval.objects.filter(state="open"), "plan_id") == _ids(Plan.objects.filter(state="waiting"))
                and not comparison.due_read_backs().exists()
            )

    def differences(self) -> list[str]:
        """What books and tables do not agree about, and what should not be there."""
        with scope(tenant=self.tenant.pk):
            self.counts.runs = Run.objects.count()
            self.counts.leases = sum(Run.objects.values_list("lease", flat=True))
            self.counts.plans = Plan.objects.count()
            found = [
                *(
                    one
                    for name, idp in self.idps.items()
                    for one in comparison.differences(idp.system, self.books[name])
                ),
                *comparison.leftovers(),
                *comparison.held_once([f"late-{n}" for n in range(LATE)], "expired"),
                *comparison.held_once([f"svc-{n}" for n in range(LINES)], "campaign"),
                *self.place.differences(),
            ]
        if self.counts.statuses["500"]:
            found.append(f"{self.counts.statuses['500']} answers were 500")
        return found


def _made_before() -> Books:
    """What was sent before anybody was killed."""
    return Books(applied=Counter({("POST", "/Groups", raw(a_group(SHARED))): 1}))


def _ids(rows: QuerySet[Any], name: str = "pk") -> set[UUID]:
    return set(rows.values_list(name, flat=True))


def drill(installation: Installation, *, seed: int, kills: int) -> tuple[Counts, list[str]]:
    """One round in which processes are killed: what happened, and what books and tables do not agree about."""
    with begun(installation, seed=seed) as (one, running, database):
        one.run(running, database=database, blows=[partial(one.kill, running, database=database)] * kills)
    with installation.looking(database):
        return one.counts, one.differences()


@contextmanager
def begun(
    installation: Installation, *, seed: int, besides: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[Round, Running, str]]:
    """A round in a database of its own, and the processes that work on it; their environment has `besides` too."""
    database = installation.copy()
    with ExitStack() as stack:
        with installation.looking(database):
            one = stack.enter_context(Round.prepared(seed))
        running = stack.enter_context(installation.running("web", "worker", database=database, besides=besides))
        yield one, running, database
