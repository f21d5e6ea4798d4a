"""The only writer of seals: batch after batch of what was written, each batch signed and chained to the one before it.

What is sealed is finished: a batch ends below the oldest transaction that still runs, so that nothing can come into it
later. Sealing writes no cause of its own, since that would want to be sealed in its turn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.db import connection

from audit import merkle, witness
from audit.layouts import Shape, entries, layout_of, leaf_digests, sealed_models
from audit.leaves import NEVER, Batch, digests, reach_of
from audit.models import Cause, Seal, Witnessed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from django.db.models import QuerySet

    from audit.seal_keys import SigningKey

# How long what was written may wait for its seal before somebody should look.
PATIENCE = timedelta(minutes=15)
# Causes of one seal, where a backlog is worked off.
MOST = 10_000
# Seals that are written to the witness in one go.
_LINES = 500
VERSION = 1


@dataclass(frozen=True)
class Stretch:
    """From where to where the next seal may reach."""

    after: int
    low: int
    high: int


def seal(*, tenant: UUID | None, key: SigningKey, at: datetime, most: int = MOST) -> Seal | None:
    """Seal what is finished and not sealed yet, at most about `most` causes of it. Returns nothing where there is none.

    Called inside the tenant's scope. Whoever comes while another is sealing the same chain leaves it to them.
    """
    if not _has_turn(tenant):
        return None
    last = seals(tenant).defer("leaves", "shape").first()
    for stretch in _stretches(last, horizon=_horizon()):
        end = _end(tenant, stretch, most)
        if end is not None:
            batch = Batch(tenant, (stretch.low,), end, after=stretch.after)
            return _make(batch, last=last, key=key, at=at)
    return None


def seals(tenant: UUID | None) -> QuerySet[Seal]:
    """The chain of a tenant, newest first."""
    return Seal.objects.filter(**_whose(tenant))


def _whose(tenant: UUID | None) -> dict[str, Any]:
    return {"tenant_id": tenant} if tenant else {"tenant_id__isnull": True}


def _has_turn(tenant: UUID | None) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('audit_seal ' || %s, 0))", [str(tenant)])
        (got,) = cursor.fetchone()
    return bool(got)


def _horizon() -> int:
    """Every transaction with a smaller number has ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        (number,) = cursor.fetchone()
    return int(number)


def _stretches(last: Seal | None, *, horizon: int) -> Iterator[Stretch]:
    """Where the chain goes on. Twice, where the database counts its transactions anew, as it does from a dump.

    What the dump brought along unsealed has numbers above the last seal's; what came after it has small ones, which are
    told from old ones by the causes' ids: those go on.
    """
    if last is None:
        yield Stretch(0, 0, horizon)
    elif horizon >= last.to_xid:
        yield Stretch(last.after_id, last.to_xid, horizon)
    else:
        yield Stretch(last.after_id, last.to_xid, NEVER)
        yield Stretch(last.last_id, 0, horizon)


def _end(tenant: UUID | None, stretch: Stretch, most: int) -> int | None:
    """Before which transaction the seal ends. Nothing, where the stretch has no cause."""
    numbers = _pending(tenant, stretch).values_list("xid", flat=True)
    first = numbers.first()
    if first is None:
        return None
    beyond: int | None = next(iter(numbers[most : most + 1]), None)
    if beyond is None:
        return stretch.high
    # One transaction is sealed whole, however many causes it has.
    return max(beyond, first + 1)


def _pending(tenant: UUID | None, stretch: Stretch) -> QuerySet[Cause]:
    of_tenant = Cause.objects.filter(**_whose(tenant))
    return of_tenant.filter(id__gt=stretch.after, xid__gte=stretch.low, xid__lt=stretch.high).order_by("xid")


def _make(batch: Batch, *, last: Seal | None, key: SigningKey, at: datetime) -> Seal:
    shape, parts = Shape(), []
    last_id = last.last_id if last else 0
    reach = reach_of(batch)
    for model in sealed_models():
        layout = layout_of(model)
        part = digests(model, layout, reach).get(1)
        if part is None:
            continue
        found = list(entries(part, layout.kind))
        shape.tables[layout.table] = (layout, len(found))
        parts.append(part)
        if model is Cause:
            last_id = max(last_id, int.from_bytes(found[-1][0], "big", signed=True))
    leaves = b"".join(parts)
    made = Seal(
        tenant_id=batch.tenant,
        number=last.number + 1 if last else 1,
        from_xid=batch.starts[0],
        to_xid=batch.end,
        after_id=batch.after,
        last_id=last_id,
        rows=sum(rows for _, rows in shape.tables.values()),
        root=root_of(shape, leaves).hex(),
        shape=str(shape),
        leaves=leaves,
        key_id=key.id,
        at=at,
    )
    made.statement = statement_of(made, previous=digest_of(last))
    made.signature = key.sign(made.statement)
    made.save(force_insert=True)
    return made


def root_of(shape: Shape, leaves: bytes) -> bytes:
    """The root over the rows of a seal."""
    return merkle.root_of(
        digest
        for table, part in shape.parts(leaves).items()
        for digest in leaf_digests(part, shape.tables[table][0].kind)
    )


def digest_of(seal: Seal | None) -> str:
    """By what the next seal names this one. Before the first there is nothing."""
    return sha256(seal.statement.encode()).hexdigest() if seal else ""


def statement_of(seal: Seal, *, previous: str) -> str:
    """What is signed of a seal: JSON with its members in order and without spaces, in ASCII."""
    said = {
        "after": seal.after_id,
        "at": seal.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "from": seal.from_xid,
        "key": seal.key_id,
        "last": seal.last_id,
        "leaves": sha256(seal.leaves).hexdigest(),
        "number": seal.number,
        "previous": previous,
        "root": seal.root,
        "rows": seal.rows,
        "shape": sha256(seal.shape.encode()).hexdigest(),
        "tenant": str(seal.tenant_id) if seal.tenant_id else None,
        "to": seal.to_xid,
        "version": VERSION,
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def unsealed_since(*, tenant: UUID | None) -> datetime | None:
    """Since when something waits to be sealed. Nothing, where all is sealed."""
    last = seals(tenant).only("after_id", "to_xid", "last_id").first()
    pending = [
        first
        for stretch in _stretches(last, horizon=_horizon())
        if (first := _pending(tenant, Stretch(stretch.after, stretch.low, NEVER)).first()) is not None
    ]
    return min((cause.at for cause in pending), default=None)


def falling_behind(*, at: datetime) -> str:
    """One sentence where what belongs to no tenant has waited for its seal for too long, else nothing.

    Every installation has some of it, and it is sealed by the same task as everything else.
    """
    since = unsealed_since(tenant=None)
    if since is None or at - since <= PATIENCE:
        return ""
    return (
        f"not sealed since {since:%Y-%m-%d %H:%M} UTC: do scheduler and worker run, and has the worker a key"
        " (ROLLCALL_SEAL_KEY_FILE)?"
    )


def tell_witness(*, tenant: UUID | None, path: Path, at: datetime) -> int:
    """Write the seals that the witness has not got to it, and only then note that it has. Returns how many.

    Killed in between, it writes them once more. Raises `audit.witness.NoWitness`.
    """
    if not _has_turn(tenant):
        return 0
    told = Witnessed.objects.filter(**_whose(tenant)).values_list("number", flat=True).first() or 0
    waiting = seals(tenant).filter(number__gt=told).order_by("number").defer("leaves", "shape")[:_LINES]
    found = list(waiting)
    if found:
        witness.append(path, _lines(found))
        Witnessed.objects.bulk_create(Witnessed(tenant_id=tenant, number=one.number, at=at) for one in found)
    return len(found)


def _lines(found: Iterable[Seal]) -> Iterator[witness.Line]:
    for one in found:
        tenant = str(one.tenant_id) if one.tenant_id else None
        yield witness.Line(tenant, one.number, one.statement, bytes(one.signature))
