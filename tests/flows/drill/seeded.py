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
from typing import TYPE_CHECKING, Any

from accounts.models import Account, Finding, Membership, ReactivationPolicy
from audit.scope import scope
from governance.models.approval import Approval
from provisioning.models import Connection, PlannedChange, Run
from provisioning.models.plan import Plan
from provisioning.states import PLAN
from tests.factories import governance as make
from tests.factories.permits import an_exception
from tests.factories.scim import connect
from tests.fakes import directories
from tests.flows.drill import comparison
from tests.flows.drill.client import Client
from tests.flows.drill.sender import Sender
from tests.flows.drill.stories import a_tenant, acting, is_settled, make_campaign, time_passes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from django.db.models import QuerySet

    from accounts.models import System, Tenant
    from tests.factories.scim import Idp
    from tests.fakes.directories import FakeDirectory
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
TARGETS = {("web", "worker"): 4, ("web", "master"): 2, ("worker", "child"): 4, ("worker", "master"): 2}
CLIENTS = (("Okta", False), ("Okta", False), ("Sandbox", True))
LATE, LINES, PEOPLE, PAGE = 24, 12, 30, 5
# As many as the brake lets through in ten minutes.
LOST_PEOPLE = 4
EXPIRE_WITHIN = 30.0  # seconds
SLOW = 0.03  # seconds that the directory takes for a page
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

    def __str__(self) -> str:
        killed = ", ".join(f"{times} {who}" for who, times in sorted(self.kills.items()))
        said = ", ".join(f"{times} {status}" for status, times in sorted(self.statuses.items()))
        return (
            f"seed {self.seed}: {self.kills.total()} kills ({killed}) in {self.seconds:.0f} s;"
            f" {self.writes} writes acknowledged, {self.repeats} of them sent more than once; answers: {said};"
            f" {self.runs} readings under {self.leases} leases, {self.plans} plans"
        )


@dataclass
class Place:
    """A directory that loses what it should have told us."""

    directory: FakeDirectory
    system: System
    remote: dict[str, str]
    group: str
    lost: list[str]
    members: list[str]

    def lose(self) -> None:
        """One more person is inactive there, or at the end out of the group, and nobody tells us."""
        leaving = f"person-{len(self.lost)}"
        if len(self.lost) < LOST_PEOPLE:
            self.directory.change(self.remote[leaving], active=False)
        elif len(self.lost) == LOST_PEOPLE:
            self.members.remove("person-20")
            self.directory.members(self.group, *[self.remote[name] for name in self.members])
        self.lost.append(leaving)


@dataclass
class Round:
    """A tenant of its own, with all that the schedule has to do while clients write."""

    tenant: Tenant
    idps: dict[str, Idp]
    shared: dict[str, str]
    place: Place
    rng: random.Random
    counts: Counts

    @classmethod
    @contextmanager
    def prepared(cls, seed: int) -> Iterator[Round]:
        """The directory lives until the end of the block."""
        tenant, rng = a_tenant(f"round-{seed}"), random.Random(seed)
        policies = {"Okta": ReactivationPolicy.APPROVAL, "Sandbox": ReactivationPolicy.AUTOMATIC}
        idps = {name: connect(tenant, name, policy=policy) for name, policy in policies.items()}
        with acting(tenant):
            an_exception(idps["Sandbox"].system, at=make.now() - dt.timedelta(hours=1))
        shared = {name: idp.group("Everyone") for name, idp in idps.items()}
        at = make.now() - dt.timedelta(days=1)
        make_campaign(tenant, lines=LINES, deadline=make.now() + dt.timedelta(seconds=20), at=at)
        with directories.serving() as directory:
            with acting(tenant):
                for number in range(LATE):
                    ends_at = make.now() + dt.timedelta(seconds=rng.uniform(0, EXPIRE_WITHIN))
                    make.a_person(tenant, f"late-{number}", at=at, expires_at=ends_at)
                place = _a_place(tenant, directory, at=at)
            directory.before = lambda _asked: time.sleep(SLOW)
            yield cls(tenant, idps, shared, place, rng, Counts(seed))

    # -- while it lasts

    def run(self, running: Running, *, database: str, kills: int) -> None:
        """Kill so many processes, each after some work has been done since the last; then let all come to its end."""
        began = time.monotonic()
        running.until(lambda: running.answers() and bool(running.workers("worker")), what="the start")
        losses = {kills * (n + 1) // (LOST_PEOPLE + 2) for n in range(LOST_PEOPLE + 1)}
        with ExitStack() as stack:
            clients = [self._client(stack, running, number) for number in range(len(CLIENTS))]
            for client in clients:
                client.start()
            for number in range(kills):
                if number in losses:
                    self.place.lose()
                self._work(running, clients, database=database)
                self._kill(running, database=database)
            for client in clients:
                client.ask_stop()
            running.until(lambda: not any(c.is_alive() for c in clients), what="the last answers")
        while len(self.place.lost) <= LOST_PEOPLE:
            self.place.lose()
        self._settle(running, database=database)
        self.counts.seconds = time.monotonic() - began
        self.books = {name: [c.books for c in clients if c.system == name] for name in self.idps}
        for client in clients:
            if client.failed is not None:
                raise client.failed
            self.counts.statuses += client.sender.statuses
            self.counts.writes += client.books.applied.total() + client.books.held.total()
            self.counts.repeats += client.books.repeats

    def _client(self, stack: ExitStack, running: Running, number: int) -> Client:
        system, is_automatic = CLIENTS[number]
        sender = stack.enter_context(Sender(running.address, self.idps[system].token))
        made = Client(
            f"{system.lower()}-{number}", sender, random.Random(self.rng.random()), is_automatic=is_automatic,
            shared=("Everyone", self.shared[system]),
        )  # fmt: skip
        made.system = system
        return made

    def _work(self, running: Running, clients: list[Client], *, database: str) -> None:
        """Wait until the clients have had some answers since the last kill, and then a moment."""
        enough = sum(c.answered for c in clients) + self.rng.randint(5, 20)
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

    def _kill(self, running: Running, *, database: str) -> None:
        service, who = self.rng.choices(list(TARGETS), weights=list(TARGETS.values()))[0]

        def targets() -> list[int]:
            if who == "master":
                return [pid for pid in [running.master(service)] if pid is not None]
            return running.workers(service)

        running.until(lambda: bool(targets()), what=f"a process of {service} to be killed")
        os.kill(self.rng.choice(sorted(targets())), signal.SIGKILL)
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
        seen_at, aged_at = make.now(), time.monotonic()

        def is_over() -> bool:
            nonlocal aged_at
            running.wake(*TASKS)
            with installation.looking(database):
                if time.monotonic() - aged_at > 5.0:
                    aged_at = time.monotonic()
                    time_passes(self.tenant)
                return self._is_calm(since=seen_at)

        running.until(is_over, what="the end of all work")

    def _is_calm(self, *, since: dt.datetime) -> bool:
        with scope(tenant=self.tenant.pk):
            return (
                Run.objects.filter(state="closed", started_at__gt=since).exists()
                and not Run.objects.filter(ended_at__isnull=True).exists()
                and not Plan.objects.exclude(state__in=[*PLAN.final, "waiting"]).exists()
                and not Account.objects.filter(read_due_at__isnull=False).exists()
                and not Account.objects.filter(user_name__startswith="late", state="active").exists()
                and _ids(Approval.objects.filter(state="open"), "plan_id") == _ids(Plan.objects.filter(state="waiting"))
            ) and is_settled(self.tenant)

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
                *self._lost(),
            ]
        if self.counts.statuses["500"]:
            found.append(f"{self.counts.statuses['500']} answers were 500")
        return found

    def _lost(self) -> list[str]:
        """What the directory did not tell was found by reading it, and set right once."""
        gone = {f"person-{n}" for n in range(LOST_PEOPLE)}
        people = Account.objects.filter(user_name__startswith="person-")
        states = {a.user_name: (a.state, a.epoch, comparison.told_of(a.pk, comparison.ENDED)) for a in people}
        booked = {
            n: ("deprovisioned", 1, 1) if n in gone else ("active", 0, 0) for n in self.place.remote if n != "canary"
        }
        done = PlannedChange.objects.filter(plan__kind="reading", result="done").values_list("act", "label")
        reductions = [("deprovision", name) for name in gone] + [("remove_member", "person-20 from Staff")]
        found = Finding.objects.filter(system=self.place.system).values_list("kind", "account__user_name", "state")
        wrongs = [("status_differs", name, "resolved") for name in gone]
        wrongs += [("membership_differs", "person-20", "resolved")]
        members = Membership.objects.filter(system=self.place.system, ended_at__isnull=True)
        return [
            *comparison.unequal("people of the directory", booked, states),
            *comparison.unequal("reductions", sorted(reductions), sorted(done)),
            *comparison.unequal("findings", sorted(wrongs), sorted(found)),
            *comparison.unequal(
                "members", sorted(self.place.members), sorted(members.values_list("account__user_name", flat=True))
            ),
        ]


def _a_place(tenant: Tenant, directory: FakeDirectory, *, at: dt.datetime) -> Place:
    names = ["canary", *[f"person-{number}" for number in range(PEOPLE)]]
    remote = {name: directory.user(name) for name in names}
    members = ["person-20", "person-21", "person-22", "person-23"]
    group = directory.group("Staff", *[remote[name] for name in members])
    system = directories.a_system(tenant, at=at, name="Entra", directory=directory, page_size=PAGE)
    here = {name: directories.known(system, name, at=at, remote_id=remote[name]) for name in names}
    directories.known_group(system, "Staff", *[here[name] for name in members], at=at, remote_id=group)
    return Place(directory, system, remote, group, [], members)


def _ids(rows: QuerySet[Any], name: str = "pk") -> set[UUID]:
    return set(rows.values_list(name, flat=True))


def drill(installation: Installation, *, seed: int, kills: int) -> tuple[Counts, list[str]]:
    """One round: what happened, and what books and tables do not agree about."""
    database = installation.copy()
    with ExitStack() as stack:
        with installation.looking(database):
            one = stack.enter_context(Round.prepared(seed))
        with installation.running("web", "worker", database=database) as running:
            one.run(running, database=database, kills=kills)
        with installation.looking(database):
            return one.counts, one.differences()
