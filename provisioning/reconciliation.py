"""A run: one system is read, compared with what is here, and what may be repaired becomes a plan.

listing → verifying (→ confirming) → comparing → planning → closed. Each step is one transaction (a page each while
listing, a missing account each while confirming), so a run that was killed anywhere goes on where it stood. Whoever works
on it holds its lease; one that was thought dead can't write any more. No scope may be open around `advance`: it waits for
the network in between.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.findings import resolve
from accounts.models.system import System
from audit import crashpoints
from audit.cause import current
from audit.journal import record
from audit.outages import is_outage
from audit.scope import scope
from audit.transitions import move
from provisioning import absence, comparison, connections, proofs, simulation, snapshot
from provisioning.closing import Outcome, finish, subjects
from provisioning.connectors.egress import EgressError
from provisioning.connectors.scim import BusyError
from provisioning.models.connection import Connection, Connector
from provisioning.models.plan import Plan
from provisioning.models.run import Run, RunState
from provisioning.models.snapshot import Snapshot, SnapshotState
from provisioning.snapshot import LeaseLost, StopAsked, Work
from provisioning.states import SNAPSHOT, Event

# Longer than a slice and the page at its end can take. Whoever outlives it is fenced off by the next lease.
LEASE = timedelta(minutes=3)
SLICE = 45.0  # seconds in which a slice may begin another page or step
# A busy server is left alone as long as it asks for, a few times.
BUSY_TIMES = 3
BUSY_MOST = timedelta(minutes=10)
# How often an unexpected error of our own may break a run before it fails.
ERRORS_MOST = 3
Clock = Callable[[], datetime]
Told = Callable[[simulation.Simulated], None]

CLAIMED = crashpoints.point("run.claimed", where="a run is claimed, nothing is done yet")
LISTED = crashpoints.point("run.listed", where="every page is staged, the run does not say so yet")
VERIFIED = crashpoints.point("run.verified", where="the proofs are committed, nothing is compared")
CONFIRMED = crashpoints.point("run.confirmed", where="what was missing is asked for and judged, nothing is compared")
COMPARED = crashpoints.point("run.compared", where="the findings are committed, nothing is planned")
PLANNED = crashpoints.point("run.planned", where="the plan is committed, the run is not closed")


class CantRead(ValueError):
    """The system can't be read now; the message says why and what to do."""


def start(*, system: System, started_by: str, at: datetime, simulated: bool = False) -> Run:
    """Begin to read a system; one that is being read already is returned. Raises `CantRead`.

    A `simulated` run ends with what it would have found and wanted; beside the run, its snapshot and the journal, it
    leaves nothing. No other can go on meanwhile: two readings of one system would only slow each other down.
    """
    with transaction.atomic():
        connection = (
            Connection.objects.select_for_update(of=("self",)).select_related("system").filter(system=system).first()
        )
        if connection is None or connection.connector == Connector.NONE:
            raise CantRead(f"{system.name} is not connected: say where it is read first")
        if connection.system.ended_at is not None:
            raise CantRead(f"{system.name} has ended")
        if connection.paused_at is not None:
            raise CantRead(f"{system.name} is paused: resume its connection first")
        running = Run.objects.select_related("system").filter(system=system, state=RunState.RUNNING).first()
        if running is not None:
            return _joined(running, simulated=simulated)
        run: Run = Run.objects.create(
            tenant_id=system.tenant_id, system=system, started_by=started_by, started_at=at, is_simulated=simulated
        )
        snapshot.begin(run=run, at=at)
        if not simulated:
            connections.reading_begins(connection=connection, at=at)
        what = "is read, only to say what that would find" if simulated else "is read"
        record(event=Event.RUN_STARTED, sentence=f"{started_by}: {system.name} {what}", subjects=subjects(run))
    return run


def _joined(running: Run, *, simulated: bool) -> Run:
    if running.is_simulated == simulated:
        return running
    what = "read for a simulation" if running.is_simulated else "read"
    raise CantRead(
        f"{running.system.name} is being {what} since {running.started_at:%H:%M} UTC: wait for its end, or stop it"
    )


def start_due(*, system: UUID, started_by: str, at: datetime) -> Run | None:
    """Begin to read a system if it is due and nobody has begun; None otherwise."""
    due = Connection.objects.filter(
        Q(due_at__isnull=True) | Q(due_at__lte=at),
        system=system, paused_at__isnull=True, system__ended_at__isnull=True,
    ).exclude(connector=Connector.NONE)  # fmt: skip
    # The row is locked before it is judged: of two sweeps, the second finds it no longer due.
    connection = due.select_for_update(of=("self",), skip_locked=True).select_related("system").first()
    if connection is None or Run.objects.filter(system=system, state=RunState.RUNNING).exists():
        return None
    return start(system=connection.system, started_by=started_by, at=at)


def ask_stop(*, run: Run, at: datetime) -> Run:
    """Stop a run after the page at hand. What it read so far is forgotten, and nothing follows from it."""
    with transaction.atomic():
        found = Run.objects.select_for_update(of=("self",)).select_related("system").get(pk=run.pk)
        if found.state == RunState.RUNNING and found.stop_asked_at is None:
            found.stop_asked_at = at
            found.save(update_fields=["stop_asked_at"])
            record(
                event=Event.RUN_STOP_ASKED,
                sentence=f"{current().actor}: the reading of {found.system.name} stops after this page",
                subjects=subjects(found),
            )
    return found


def claim(*, run_id: UUID, at: datetime) -> int | None:
    """Take the lease of a run that nobody works on. Returns its number, or None."""
    with transaction.atomic():
        run = (
            Run.objects.select_for_update(skip_locked=True)
            .filter(Q(leased_until__isnull=True) | Q(leased_until__lte=at), pk=run_id, state=RunState.RUNNING)
            .first()
        )
        if run is None:
            return None
        run.lease += 1
        run.leased_until = at + LEASE
        run.save(update_fields=["lease", "leased_until"])
    return run.lease


def advance(*, tenant: UUID, run_id: UUID, clock: Clock, seconds: float = SLICE, told: Told | None = None) -> bool:
    """Work on a run for a while. True when it has ended, False when there is more to do or somebody else does it.

    What a simulated one comes to is `told` by name, once; of it only counts are kept.

    Takes ids alone and may be called twice, at once and after a crash anywhere. What the system answers wrong ends the
    run as failed, in words; anything else is raised, and the lease runs out.
    """
    work = _claimed(tenant, run_id, clock)
    if work is None:
        return False
    crashpoints.here(CLAIMED)
    ends_at = time.monotonic() + seconds
    try:
        return _steps(work, clock=clock, go_on=lambda: time.monotonic() < ends_at, told=told)
    except LeaseLost:
        return False
    except BusyError as busy:
        return _wait(work, busy, clock=clock)
    except (StopAsked, EgressError, connections.SecretUnreadable) as error:
        return _end(work, _outcome(error), clock=clock)
    except Exception as error:
        if not is_outage(error):
            _broke(work, error, clock=clock)
        raise


def _outcome(error: Exception) -> Outcome:
    if isinstance(error, StopAsked):
        return Outcome(RunState.STOPPED, "stopped by hand; nothing follows from what was read")
    return Outcome(RunState.FAILED, error.reason if isinstance(error, EgressError) else str(error))


def _claimed(tenant: UUID, run_id: UUID, clock: Clock) -> Work | None:
    with scope(tenant=tenant, cause=snapshot.cause(run_id)):
        lease = claim(run_id=run_id, at=clock())
    return None if lease is None else Work(tenant=tenant, run=run_id, lease=lease)


def _steps(work: Work, *, clock: Clock, go_on: Callable[[], bool], told: Told | None) -> bool:
    """One step after the other while there is time; at least one, so that a slow step can't starve a run."""
    with work.writing() as run:
        step, stop, is_simulated = run.step, run.stop_asked_at is not None, run.is_simulated
    if stop:
        raise StopAsked
    while True:
        if not _asked(work, step, clock=clock, go_on=go_on):
            _release(work)
            return False
        if is_simulated:
            return _simulate(work, clock, told)
        step = _STEPS[step](work, clock)
        if step == "closed":
            return True
        if not go_on():
            _release(work)
            return False


def _asked(work: Work, step: str, *, clock: Clock, go_on: Callable[[], bool]) -> bool:
    """What a step has to ask the system for, outside of any transaction. True when that is all there."""
    if step == "listing":
        whole = snapshot.read_pages(work=work, go_on=go_on, prolong=lambda run: _prolong(run, at=clock()))
        if whole:
            crashpoints.here(LISTED)
        return whole
    return step != "confirming" or absence.ask(work=work, clock=clock, go_on=go_on)


def _prolong(run: Run, *, at: datetime) -> None:
    """A listing that can't be interrupted keeps its lease from page to page."""
    run.leased_until = at + LEASE
    run.save(update_fields=["leased_until"])


def _release(work: Work) -> None:
    """The slice is over: the next one needn't wait for the lease to run out."""
    with work.writing() as run:
        run.leased_until = None
        run.save(update_fields=["leased_until"])


def _step(run: Run, step: str, *, more: Mapping[str, Any] | None = None) -> str:
    run.step = step
    run.counts = {**run.counts, **(more or {})}
    run.save(update_fields=["step", "counts"])
    return step


def _listed(work: Work, clock: Clock) -> str:  # noqa: ARG001  one signature for all steps
    with work.writing() as run:
        return _step(run, "verifying", more=snapshot.counts(Snapshot.objects.get(run=run)))


def _verify(work: Work, clock: Clock) -> str:
    with work.writing() as run:
        reading = Snapshot.objects.select_related("system").get(run=run)
        asked = absence.question(reading) if proofs.verify(snapshot=reading) else None
        if asked is not None and asked.is_asked:
            step = _step(run, "confirming", more={"missing": asked.missing})
        else:
            proofs.settle(snapshot=reading, at=clock())
            many = {"missing": asked.missing, "unasked": asked.missing} if asked is not None and asked.missing else {}
            step = _step(run, "comparing", more=many)
    crashpoints.here(VERIFIED)
    return step


def _confirm(work: Work, clock: Clock) -> str:
    """Every missing account has been asked for: the reading is judged by that too."""
    with work.writing() as run:
        reading = Snapshot.objects.select_related("system").get(run=run)
        more = absence.settle(run=run, snapshot=reading, at=clock())
        proofs.settle(snapshot=reading, at=clock())
        step = _step(run, "comparing", more=more)
    crashpoints.here(CONFIRMED)
    return step


def _compare(work: Work, clock: Clock) -> str:
    with work.writing() as run:
        reading = Snapshot.objects.select_related("system").get(run=run)
        compared = comparison.compare(snapshot=reading, at=clock())
        missed = {"missed": compared.missed} if compared.missed else {}
        step = _step(run, "planning", more={**compared.counts, **missed})
    crashpoints.here(COMPARED)
    return step


def _plan(work: Work, clock: Clock) -> str:
    with work.writing() as run:
        reading = Snapshot.objects.select_related("system").get(run=run)
        more: dict[str, Any] = {}
        if reading.state == SnapshotState.COMPLETE:
            more = {
                "wanted": comparison.freeze_wanted(
                    run=run, snapshot=reading, absent=absence.proved(run.pk),
                    unasked=int(run.counts.get("unasked", 0)), at=clock(),
                )
            }  # fmt: skip
        _step(run, "closing", more=more)
    crashpoints.here(PLANNED)
    return "closing"


def _close(work: Work, clock: Clock) -> str:
    with work.writing() as run:
        reading = Snapshot.objects.get(run=run)
        complete = reading.state == SnapshotState.COMPLETE
        outcome = Outcome(RunState.CLOSED) if complete else Outcome(RunState.INCOMPLETE, proofs.problem(reading))
        finish(run, reading, outcome, at=clock())
    return "closed"


def _simulate(work: Work, clock: Clock, told: Told | None) -> bool:
    """All the rest of a simulated run, in one transaction of which its counts alone are kept."""
    with work.writing() as run:
        reading = Snapshot.objects.select_related("system").get(run=run)
        found = simulation.simulate(run=run, snapshot=reading, at=clock())
        at = clock()
        move(reading, SnapshotState.INCOMPLETE, by=SNAPSHOT)
        reading.ended_at = at
        reading.save(update_fields=["state", "ended_at"])
        more = {"proofs": found.proofs, "tripped": int(found.is_tripped)} | (
            {"missed": found.missed} if found.missed else {}
        )
        run.counts = {**run.counts, **found.counts, **more}
        finish(run, reading, Outcome(RunState.SIMULATED, found.problem), at=at)
    if told is not None:
        told(found)
    return True


_STEPS: Mapping[str, Callable[[Work, Clock], str]] = {
    "listing": _listed,
    "verifying": _verify,
    "confirming": _confirm,
    "comparing": _compare,
    "planning": _plan,
    "closing": _close,
}


def _end(work: Work, outcome: Outcome, *, clock: Clock) -> bool:
    """The run ends before its time: nothing is inferred, closed or planned."""
    try:
        with work.writing() as run:
            reading = Snapshot.objects.get(run=run)
            at = clock()
            run.counts = {**run.counts, **snapshot.counts(reading)}
            is_listing = reading.state == SnapshotState.LISTING
            if is_listing or reading.state == SnapshotState.VERIFYING:
                proofs.fail(snapshot=reading, because=outcome.problem, at=at)
            where = f"page {reading.pages + 1}: " if is_listing and outcome.state == RunState.FAILED else ""
            finish(run, reading, Outcome(outcome.state, where + outcome.problem), at=at)
    except LeaseLost:
        return False
    return True


def _wait(work: Work, busy: BusyError, *, clock: Clock) -> bool:
    """Leave a busy server alone for as long as it asks; a few times, then the reading fails."""
    with work.writing() as run:
        times = int(run.counts.get("busy", 0)) + 1
        if times <= BUSY_TIMES:
            run.counts = {**run.counts, "busy": times}
            run.leased_until = clock() + min(timedelta(seconds=busy.retry_after), BUSY_MOST)
            run.save(update_fields=["counts", "leased_until"])
            return False
    return _end(work, Outcome(RunState.FAILED, busy.reason), clock=clock)


def _broke(work: Work, error: Exception, *, clock: Clock) -> None:
    """A fault of our own. The run is tried again when its lease has run out; one that breaks again and again fails."""
    try:
        with work.writing() as run:
            times = int(run.counts.get("errors", 0)) + 1
            run.counts = {**run.counts, "errors": times}
            run.save(update_fields=["counts"])
    except LeaseLost:
        return
    if times >= ERRORS_MOST:
        # The class alone: a database's message may hold values of a row.
        problem = f"{type(error).__name__} here, {times} times: the log says more"
        _end(work, Outcome(RunState.FAILED, problem), clock=clock)


def after_plan(*, plan: Plan, at: datetime) -> int:
    """Close the findings that a plan of a reading has repaired: the reading said how it is there, and now it is so here.

    Returns how many. In the transaction that closes the plan, or later: else the next complete reading closes them.
    """
    keys = comparison.repaired_by(plan)
    return resolve(keys, because=f"repaired by plan {str(plan.pk)[-6:]}: here it is now as it was read there", at=at)
