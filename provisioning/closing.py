"""How a run ends: its counts, what its end means for the connection and its findings, and one entry in the journal."""

from dataclasses import dataclass
from datetime import datetime

from accounts.findings import resolve
from audit import crashpoints
from audit.journal import Subject, record
from audit.redaction import redact_text
from audit.transitions import move
from provisioning import absence, connections, freshness, snapshot
from provisioning.models.run import Run, RunState
from provisioning.models.snapshot import Snapshot
from provisioning.states import RUN, Event

CLOSING = crashpoints.point("run.closing", where="the run is closed, not committed")


@dataclass(frozen=True)
class Outcome:
    """How a run ends."""

    state: RunState
    problem: str = ""


def finish(run: Run, reading: Snapshot, outcome: Outcome, *, at: datetime) -> None:
    """Close a run: counts, duration, one journal entry, what it means for the connection. Staging is forgotten."""
    move(run, outcome.state, by=RUN)
    run.step, run.ended_at, run.leased_until = "closed", at, None
    run.problem = redact_text(outcome.problem)
    run.counts = {**run.counts, "seconds": round((at - run.started_at).total_seconds(), 1)}
    run.save()
    snapshot.discard(reading)
    complete = outcome.state == RunState.CLOSED
    if complete:
        # Complete as of its beginning, or of what is older: what changed there since was not necessarily seen.
        resolve([freshness.not_measured_key(run.system_id)], because="read completely", at=at)
        absence.listed_whole(run.system_id, at=at)
    if outcome.state != RunState.STOPPED and not run.is_simulated:
        connections.reading_ended(
            system=run.system, complete_at=reading.since if complete else None, problem=run.problem
        )
    record(
        event=Event.RUN_CLOSED,
        sentence=f"{run.system.name}: reading {run.get_state_display()}. {run.problem or _summary(run)}",
        subjects=subjects(run),
        facts=run.counts,
    )
    crashpoints.here(CLOSING)


def _summary(run: Run) -> str:
    counts = run.counts
    groups = f"{counts['groups']} groups" if "groups" in counts else "no groups, which it does not show,"
    would = "would be " if run.is_simulated else ""
    return (
        f"{counts.get('users', 0)} accounts and {groups} read,"
        f" {counts.get('opened', 0)} findings {would}opened, {counts.get('resolved', 0)} {would}resolved,"
        f" {counts.get('wanted', 0)} changes {would}wanted"
    )


def subjects(run: Run) -> list[Subject]:
    """Whom the journal names with a run: itself, and its system."""
    return [Subject("run", str(run.pk), str(run)), Subject("system", str(run.system_id), run.system.name)]
