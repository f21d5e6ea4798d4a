"""What proves that a reading is whole: a row per proof, and absence means something only where all of them hold."""

from datetime import datetime

from django.db.models import Count

from audit.redaction import redact_text
from audit.transitions import move
from provisioning import capabilities
from provisioning.changes import user_name_key
from provisioning.connectors.contract import Kind
from provisioning.models.connection import Connection
from provisioning.models.run import Run, RunState
from provisioning.models.snapshot import Snapshot, SnapshotProof, SnapshotState
from provisioning.snapshot import KINDS, counts, staged
from provisioning.states import SNAPSHOT

Word = SnapshotProof.Word


def verify(*, snapshot: Snapshot) -> bool:
    """Write a row per proof that the reading itself gives, and say whether all of these hold."""
    proofs = [_drained(snapshot), _total(snapshot), _unique(snapshot), _canary(snapshot), _shrink(snapshot)]
    SnapshotProof.objects.bulk_create(proofs)
    return all(proof.holds for proof in proofs)


def verify_absence(*, snapshot: Snapshot, holds: bool, detail: str) -> None:
    """Write what asking for the missing one by one has shown."""
    _proof(snapshot, Word.ABSENT, holds=holds, detail=detail).save()


def settle(*, snapshot: Snapshot, at: datetime) -> bool:
    """Say whether every proof holds: then, and only then, absence means something."""
    complete = not snapshot.proofs.filter(holds=False).exists()
    move(snapshot, SnapshotState.COMPLETE if complete else SnapshotState.INCOMPLETE, by=SNAPSHOT)
    snapshot.ended_at, snapshot.dimensions = at, capabilities.shown(snapshot)
    snapshot.save(update_fields=["state", "ended_at", "dimensions"])
    return complete


def fail(*, snapshot: Snapshot, because: str, at: datetime) -> None:
    """The reading ends here: it was not drained, and says why."""
    SnapshotProof.objects.bulk_create(
        [_proof(snapshot, Word.DRAINED, holds=False, detail=because)], ignore_conflicts=True
    )
    move(snapshot, SnapshotState.FAILED, by=SNAPSHOT)
    snapshot.ended_at = at
    snapshot.save(update_fields=["state", "ended_at"])


def problem(snapshot: Snapshot) -> str:
    """Which proofs did not hold, in words; empty where all did."""
    broken = [proof for proof in snapshot.proofs.all() if not proof.holds]
    return "; ".join(f"not proven that {proof.get_word_display()}: {proof.detail}" for proof in broken)


def _proof(snapshot: Snapshot, word: Word, *, holds: bool, detail: str) -> SnapshotProof:
    return SnapshotProof(
        tenant_id=snapshot.tenant_id, snapshot=snapshot, word=word, holds=holds, detail=redact_text(detail)[:400]
    )


def _readable(snapshot: Snapshot) -> list[Kind]:
    return [kind for kind in KINDS if kind not in snapshot.unreadable]


def _drained(snapshot: Snapshot) -> SnapshotProof:
    """As many rows are staged as the last page of each kind announced; one that could not be read is missing."""
    read = counts(snapshot)
    have = {"User": read["users"], "Group": read.get("groups")}
    kinds = _readable(snapshot)
    holds = all(snapshot.last_totals.get(kind) == have[kind] for kind in kinds)
    detail = ", ".join(f"{have[kind]} of {snapshot.last_totals.get(kind, '?')} {KINDS[kind]}" for kind in kinds)
    for kind, why in snapshot.unreadable.items():
        detail += f"; {KINDS[kind]} can't be read: {why}"
    return _proof(snapshot, Word.DRAINED, holds=holds, detail=detail)


def _total(snapshot: Snapshot) -> SnapshotProof:
    first, last = snapshot.first_totals, snapshot.last_totals
    kinds = _readable(snapshot)
    # A system that says no total can't contradict itself; that it was read to its end is proved apart.
    silent = [kind for kind in kinds if kind in first and first[kind] is None]
    moved = [kind for kind in kinds if kind not in silent and first.get(kind) != last.get(kind)]
    detail = ", ".join(
        f"{KINDS[kind]}: it says no total"
        if kind in silent
        else f"{KINDS[kind]} {first.get(kind)}" + (f", then {last.get(kind)}" if kind in moved else "")
        for kind in kinds
    )
    return _proof(snapshot, Word.TOTAL, holds=not moved, detail=detail)


def _unique(snapshot: Snapshot) -> SnapshotProof:
    ids = staged(snapshot).values("resource_type", "remote_id").annotate(n=Count("pk"))
    twice = ids.filter(n__gt=1).count()
    detail = f"{twice} ids came more than once: pages shifted while they were read" if twice else "every id came once"
    return _proof(snapshot, Word.UNIQUE, holds=not twice, detail=detail)


def _canary(snapshot: Snapshot) -> SnapshotProof:
    name = Connection.objects.values_list("canary_user_name", flat=True).get(system=snapshot.system_id)
    seen = staged(snapshot).filter(resource_type="User", name_key=user_name_key(name)).exists()
    return _proof(snapshot, Word.CANARY, holds=seen, detail=f"{name} was {'' if seen else 'not '}seen")


def _shrink(snapshot: Snapshot) -> SnapshotProof:
    """Judged by accounts alone: of a handful of groups, one that is deleted would be a tenth of them."""
    limit = Connection.objects.values_list("shrink_percent", flat=True).get(system=snapshot.system_id)
    last = Run.objects.filter(system=snapshot.system_id, state=RunState.CLOSED).order_by("-started_at").first()
    before = int(last.counts.get("users", 0)) if last else 0
    now = counts(snapshot)["users"]
    holds = now > 0 and 100 * (before - now) <= limit * before
    detail = f"{now} accounts, {before} in the last complete reading; at most {limit} % fewer are believed"
    if not holds:
        detail += "; if it is right, an administrator raises that limit with a reason, on the page of the system"
    return _proof(snapshot, Word.SHRINK, holds=holds, detail=detail if now else "it shows no account at all")
