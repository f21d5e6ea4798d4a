"""What a reading would find and want, without a word of it kept: proved, compared and planned, and taken back.

The same doors as a real reading, in a savepoint that is rolled back whatever they did: no finding, no plan, no proof is
left. The snapshot ends as one that proves nothing, so that no feed or plan can go on from it.
"""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from accounts.models.finding import Finding
from provisioning import absence, comparison, proofs
from provisioning.differences import KINDS
from provisioning.models.plan import Plan, PlanState
from provisioning.models.run import Run
from provisioning.models.snapshot import Snapshot, SnapshotState
from provisioning.snapshot import counts

# So many of what would be found, and of what would be wanted, are told by name; the worst first.
NAMED = 20


@dataclass(frozen=True)
class Simulated:
    """What a reading would have come to. `found` and `wanted` are the first by name, `because` why a brake stops it."""

    problem: str
    counts: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    proofs: dict[str, bool] = field(default_factory=dict)
    found: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    is_tripped: bool = False
    because: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every proof holds."""
        return not self.problem


def simulate(*, run: Run, snapshot: Snapshot, at: datetime) -> Simulated:
    """Say what this reading, all of whose pages are staged, would come to. Nothing that it writes is kept."""
    with transaction.atomic():
        found = _carried_out(run, snapshot, at=at)
        transaction.set_rollback(True)
    # The rows are as they were, and the objects in memory are not.
    snapshot.refresh_from_db()
    return found


def _carried_out(run: Run, snapshot: Snapshot, *, at: datetime) -> Simulated:
    asked = absence.question(snapshot) if proofs.verify(snapshot=snapshot) else None
    proofs.settle(snapshot=snapshot, at=at)
    is_complete = snapshot.state == SnapshotState.COMPLETE
    # Nobody is asked about a missing account here: of a few nothing would follow before that, many are the brake's.
    unasked = asked.missing if asked is not None and not asked.is_asked else 0
    compared = comparison.compare(snapshot=snapshot, at=at)
    # An incomplete reading wants nothing, which is not zero.
    wanted = (
        {"wanted": comparison.freeze_wanted(run=run, snapshot=snapshot, unasked=unasked, at=at)} if is_complete else {}
    )
    # One that was opened just now; a known one is no news.
    opened = Finding.objects.filter(system=snapshot.system, kind__in=KINDS, first_seen_at=at)
    plan = Plan.objects.filter(run=run).first()
    return Simulated(
        problem=proofs.problem(snapshot),
        counts={**counts(snapshot), **compared.counts, **wanted},
        missed=compared.missed,
        proofs={str(proof.word): proof.holds for proof in snapshot.proofs.all()},
        found=tuple(opened.order_by("-severity", "title").values_list("title", flat=True)[:NAMED]),
        wanted=tuple(str(change) for change in plan.changes.all()[:NAMED]) if plan is not None else (),
        is_tripped=plan is not None and plan.state == PlanState.TRIPPED,
        because=tuple(plan.brake.get("because", ())) if plan is not None else (),
    )
