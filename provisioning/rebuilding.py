"""The ledger replayed from empty: folded into tables of its own, exchange by exchange, and compared with the roll.

It touches no account and no resource. A batch and the position are one transaction, so that it goes on after a kill
where it stands; what is younger than a few minutes waits for the next time, since its order may not be settled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from accounts.findings import Wrong, open_or_raise, resolve
from accounts.memberships import as_array
from accounts.models.finding import FindingKind, Severity
from audit import crashpoints
from audit.journal import record
from audit.keys import uuid7_floor
from audit.models import Cause, CauseKind
from audit.scope import scope
from audit.transitions import move
from provisioning import authority, bodies, rebuilt
from provisioning.bodies import Bodies
from provisioning.changes import ACCOUNT_TYPES, CATALOGUE_TYPES, GROUP_TYPE, Intent
from provisioning.folding import AT_ONCE, Told, folded
from provisioning.models.authority import FieldAuthority
from provisioning.models.exchange import Exchange
from provisioning.models.rebuild import Rebuild, RebuildState, Rebuilt, RebuiltMember
from provisioning.newer import ACCEPTED
from provisioning.rebuilt import Compared
from provisioning.shadows import digest
from provisioning.states import REBUILD, Event
from provisioning.steps import Net

Clock = Callable[[], datetime]

FOLDED = crashpoints.point("rebuild.folded", where="a batch of the ledger is folded, with the position, not committed")
COMPARED = crashpoints.point("rebuild.compared", where="what the comparison showed is written, not committed")

BATCH = 500
EMPTIED = 20_000
# A key is made when a request begins: after this long, none that is older can still appear in the ledger.
SETTLED = timedelta(minutes=5)
# A request that was acknowledged before it was applied has an old key: each night looks back this far for such ones.
LOOKS_BACK = timedelta(days=1)
# The hour, in UTC, at which it is due each night; and after how long it begins from empty.
NIGHT = 3
FROM_EMPTY_AFTER = timedelta(days=7)
_TOLD = (
    "resource_type", "label", "document", "digest", "wants_active", "is_ended", "unclear", "members_unclear",
    "exchange_id", "said_at",
)  # fmt: skip


def due(*, at: datetime) -> bool:
    """Whether the tenant's ledger is to be folded on: never compared, cut off, or not compared since last night."""
    row = Rebuild.objects.first()
    if row is None or row.state != RebuildState.COMPARED or row.compared_at is None:
        return True
    night = at.astimezone(UTC).replace(hour=NIGHT, minute=0, second=0, microsecond=0)
    return row.compared_at < (night if night <= at else night - timedelta(days=1))


def advance(
    *, tenant: UUID, clock: Clock, go_on: Callable[[], bool], from_empty: bool = False, settled: timedelta = SETTLED
) -> bool:
    """Go on while `go_on` says so. True when it is compared. Opens its own scopes; safe to run twice at once."""
    with scope(tenant=tenant):
        _begin(tenant, at=clock(), from_empty=from_empty)
    while True:
        at = clock()
        with scope(tenant=tenant):
            is_folded = _step(until=at - settled)
        if is_folded:
            cause = Cause(kind=CauseKind.TASK, actor="sweep", reason="does the ledger give today's roll?")
            with scope(tenant=tenant, cause=cause):
                compare(until=at - settled, at=at)
            return True
        if not go_on():
            return False


def _begin(tenant: UUID, *, at: datetime, from_empty: bool) -> None:
    row, is_new = Rebuild.objects.select_for_update().get_or_create(tenant_id=tenant, defaults={"emptied_at": at})
    is_old = row.state == RebuildState.COMPARED and at - row.emptied_at >= FROM_EMPTY_AFTER
    if not is_new and (from_empty or is_old):
        move(row, RebuildState.EMPTYING, by=REBUILD)
        row.position, row.folded, row.emptied_at = None, 0, at
    elif row.state == RebuildState.COMPARED:
        move(row, RebuildState.FOLDING, by=REBUILD)
        if row.position is not None and row.until_at is not None:
            row.position = min(row.position, _floor(row.until_at - LOOKS_BACK))
    row.save()


def _floor(at: datetime) -> UUID:
    return uuid7_floor(int(at.timestamp() * 1000))


def _covered(row: Rebuild) -> UUID | None:
    """Below which id the ledger was folded before, unless the fold has begun from empty since."""
    goes_on = row.compared_at is not None and row.emptied_at <= row.compared_at
    return _floor(row.until_at) if goes_on and row.until_at is not None else None


def _step(*, until: datetime) -> bool:
    """Empty or fold one batch, with the position. True when nothing is left to be folded."""
    row = Rebuild.objects.select_for_update().get()
    if row.state == RebuildState.EMPTYING:
        if not _emptied():
            move(row, RebuildState.FOLDING, by=REBUILD)
            row.save(update_fields=["state"])
        return False
    if row.state == RebuildState.COMPARED:
        return True
    batch = list(_after(row.position, until=until)[:BATCH])
    if not batch:
        return True
    row.position, row.folded = batch[-1].pk, row.folded + _fold(batch, covered=_covered(row))
    row.save(update_fields=["position", "folded"])
    crashpoints.here(FOLDED)
    return False


def _emptied() -> int:
    """How many rows were taken away."""
    members = RebuiltMember.objects.order_by("id").values_list("pk", flat=True)[:EMPTIED]
    resources = Rebuilt.objects.order_by("id").values_list("pk", flat=True)[:EMPTIED]
    gone, _of_each = RebuiltMember.objects.filter(pk__in=members).delete()
    also, _of_each = Rebuilt.objects.filter(pk__in=resources).delete()
    return gone + also


def _after(position: UUID | None, *, until: datetime) -> QuerySet[Exchange]:
    """What was accepted and is not folded yet, in the order of the ledger."""
    types = (*ACCOUNT_TYPES, GROUP_TYPE, *CATALOGUE_TYPES)
    found = Exchange.objects.filter(
        id__lt=_floor(until), outcome__in=ACCEPTED, resource_id__isnull=False,
        resource_type__in=types,
    ).exclude(intent=Intent.BULK).order_by("id")  # fmt: skip
    return found.filter(id__gt=position) if position is not None else found


@dataclass
class _Batch:
    """The resources of some exchanges, while they are folded."""

    known: dict[UUID, Rebuilt]
    rules: Sequence[FieldAuthority]
    originals: Mapping[UUID, Exchange]
    opened: Callable[[Exchange], Bodies]
    covered: UUID | None
    changed: dict[UUID, Rebuilt] = field(default_factory=dict)

    def take(self, one: Exchange) -> bool:
        """Fold one in. False for one that was folded before: the look back is over what came late alone."""
        if one.resource_id is None:
            return False
        row = self.known.get(one.resource_id)
        if row is not None and self.covered is not None and one.pk < self.covered and one.at <= row.said_at:
            return False
        said = self.originals.get(one.replays, one) if one.replays is not None else one
        rules = authority.in_force(self.rules, system=one.system_id, at=one.at)
        before = None if row is None else _told(row)
        result = folded(before, one, body=self.opened(said).request, rules=rules, was_taken=said.outcome in ACCEPTED)
        if row is None:
            row = Rebuilt(tenant_id=one.tenant_id, system_id=one.system_id, resource_id=one.resource_id)
            row.resource_type, row.said_at = one.resource_type, one.at
            self.known[one.resource_id] = row
        for name in ("document", "label", "wants_active", "is_ended", "unclear", "members_unclear"):
            setattr(row, name, getattr(result.told, name))
        if one.at < row.said_at:
            # The order of two requests that were answered at once is that of their ends, and it came too late.
            row.unclear = row.members_unclear = AT_ONCE
        row.digest, row.exchange_id, row.said_at = digest(row.document), one.pk, max(row.said_at, one.at)
        self.changed[row.resource_id] = row
        _move(row, result.members)
        return True


def _told(row: Rebuilt) -> Told:
    return Told(
        document=row.document, label=row.label, wants_active=row.wants_active, is_ended=row.is_ended,
        unclear=row.unclear, members_unclear=row.members_unclear,
    )  # fmt: skip


def _fold(batch: Sequence[Exchange], *, covered: UUID | None) -> int:
    """How many were folded in."""
    about = {one.resource_id for one in batch if one.resource_id is not None}
    originals = Exchange.objects.in_bulk([one.replays for one in batch if one.replays is not None])
    found = _Batch(
        known={row.resource_id: row for row in Rebuilt.objects.filter(resource_id__in=about)},
        rules=authority.rules_ever({one.system_id for one in batch}),
        originals=originals,
        opened=bodies.opener([*batch, *originals.values()]),
        covered=covered,
    )
    # An exchange is inserted while its resource is locked: of one resource, the times are in the order of the effects.
    count = sum(found.take(one) for one in sorted(batch, key=lambda one: (one.at, one.pk)))
    Rebuilt.objects.bulk_create(
        found.changed.values(), batch_size=BATCH, update_conflicts=True, update_fields=_TOLD,
        unique_fields=["tenant", "resource_id"],
    )  # fmt: skip
    return count


_ADD = """
INSERT INTO provisioning_rebuiltmember (id, tenant_id, group_ref, member_ref)
SELECT gen_random_uuid(), %s, %s, w.ref FROM unnest(%s::uuid[]) AS w (ref)
ON CONFLICT (tenant_id, group_ref, member_ref) DO NOTHING
"""


def _move(row: Rebuilt, net: Net) -> None:
    """Who is in a group, after one more exchange. A resource that ended is in no group, and nobody is in it."""
    inside = RebuiltMember.objects.filter(group_ref=row.resource_id)
    if row.is_ended:
        RebuiltMember.objects.filter(member_ref=row.resource_id).delete()
        if row.resource_type == GROUP_TYPE:
            inside.delete()
        return
    if net.stays is not None:
        inside.exclude(member_ref__in=net.stays).delete()
    elif net.leaves:
        inside.filter(member_ref__in=net.leaves).delete()
    if net.joins:
        with connection.cursor() as cursor:
            cursor.execute(_ADD, [row.tenant_id, row.resource_id, as_array(net.joins)])


# -- compared


def compare(*, until: datetime, at: datetime) -> Compared | None:
    """Compare what the ledger gives with the roll, and write down what it showed: a finding where it differs.

    None where somebody began from empty meanwhile.
    """
    row = Rebuild.objects.select_for_update().get()
    if row.state == RebuildState.EMPTYING:
        return None
    shown = rebuilt.compared(until=until)
    move(row, RebuildState.COMPARED, by=REBUILD)
    row.until_at, row.compared_at = until, at
    row.equal, row.differing, row.left_out = shown.equal, shown.differing, dict(shown.left_out)
    row.save()
    key = f"ledger_differs:{row.tenant_id}"
    if shown.differing:
        open_or_raise([_wrong(key, shown, at=at)], at=at)
    else:
        resolve([key], because="the ledger replayed gives today's roll", at=at)
    left_out = sum(shown.left_out.values())
    record(
        event=Event.REBUILT,
        sentence=f"sweep: the ledger replayed until {until:%Y-%m-%d %H:%M} UTC: {shown.equal} resources equal,"
        f" {shown.differing} differ, {left_out} left out",
        facts={"equal": shown.equal, "differing": shown.differing, "left_out": dict(shown.left_out)},
    )
    crashpoints.here(COMPARED)
    return shown


def _wrong(key: str, shown: Compared, *, at: datetime) -> Wrong:
    return Wrong(
        kind=FindingKind.LEDGER_DIFFERS,
        key=key,
        title=f"The ledger replayed gives another roll: {shown.differing} resources differ",
        severity=Severity.HIGH,
        evidence={
            "differing": shown.differing,
            "of": shown.equal + shown.differing,
            "what": dict(shown.words),
            "resources": [f"{one.label} ({one.word}), {one.id}" for one in shown.examples],
        },
        due_at=at + timedelta(days=1),
        each=True,  # what differs now is what somebody looks at
    )
