"""One exchange of the ledger, replayed: simulated, where nothing is written, or applied through the same doors.

An older word never overwrites a newer one. What it asks is taken apart by attribute and by member: whatever a newer
accepted request spoke of, or people decided about since, is kept as it is. What is left is taken by the doors that the
request itself would go through: what takes access away has effect, what gives access becomes a wish that waits for
people, asked for by who replays and by who asked first. A simulation is the same, taken back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from audit.cause import current
from audit.journal import Subject, record
from audit.keys import uuid7
from audit.models import Cause, CauseKind
from audit.scope import scope
from provisioning import authority, bodies, newer, remains, shadows
from provisioning.changes import ACTIVE, NOTE, AccountChange, GroupChange, Intent, Outcome
from provisioning.models.authority import StatusSource
from provisioning.models.exchange import Exchange
from provisioning.models.plan import Plan
from provisioning.models.shadow import Shadow
from provisioning.newer import TooMuch
from provisioning.remains import Kept, Moved, Remains
from provisioning.scim import effects
from provisioning.scim.effects import Asked, Change, TryAgain, translated
from provisioning.scim.metadata.catalogue import BY_NAME
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.projection import read_projection
from provisioning.scim.spoken import NotKept, restored, says_nothing
from provisioning.shadows import Conflict, Sender, Taken
from provisioning.states import Event

# How long a simulation waits for a resource that somebody is changing just now, and how long it may hold it.
LOCK_WAITS = "300ms"
HOLDS_FOR = "5s"
_CONFLICT = 409


class InTheWay(ValueError):
    """It can't be replayed; the message says what is in the way. Nothing was written."""


class Busy(ValueError):
    """The resource is being changed just now: nothing was written, and it can be tried again."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What becomes of an exchange that is replayed. `took` is what the ledger keeps of it."""

    outcome: Outcome
    intent: Intent
    because: str = ""
    kept: tuple[Kept, ...] = ()
    plan: Plan | None = None
    held_by: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    took: Mapping[str, Any] = field(default_factory=dict)
    shadow: Shadow | None = None
    rules: str = ""
    out: int = 0
    asked_in: int = 0

    @property
    def would_change(self) -> bool:
        """Whether something would be different."""
        return self.outcome == Outcome.APPLIED


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A simulation: what was judged, and the resource before and after."""

    judged: Judged
    before: Shadow | None
    after: Shadow | None


def original_of(exchange: Exchange) -> Exchange:
    """What an exchange replays, or itself: a replay of a replay is one of the original."""
    return exchange if exchange.replays is None else Exchange.objects.get(pk=exchange.replays)


def in_the_way(exchange: Exchange) -> str:
    """Why an exchange can't be replayed, as far as its row alone tells; empty words where nothing is in the way."""
    if exchange.intent == Intent.BULK:
        return _("it holds several operations: each is an exchange of its own, and is replayed by itself")
    if exchange.outcome == Outcome.DUPLICATE:
        return _("it repeats an earlier one: replay that one")
    if exchange.outcome == Outcome.REJECTED and exchange.status != _CONFLICT:
        return _("it was refused: %(error)s") % {"error": exchange.error or exchange.status}
    if exchange.resource_type not in BY_NAME:
        return _("its address names no kind of resource")
    return ""


def simulate(*, exchange: Exchange, at: datetime) -> Simulated:
    """What a replay would do: the doors are gone through in a transaction that is taken back. Nothing is written.

    It holds one resource, for no longer than it takes, and does not wait for whoever changes it. Raises `InTheWay`,
    `Busy`.
    """
    cause = Cause(kind=CauseKind.TASK, actor="simulation", reason="what would a replay do?")
    with scope(tenant=exchange.tenant_id, cause=cause):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
                [LOCK_WAITS, HOLDS_FOR],
            )
        before = _shadow(exchange.resource_id)
        judged = _judged(exchange, exchange_id=uuid7(), at=at)
        after = _shadow(judged.shadow.pk) if judged.shadow is not None else before
        transaction.set_rollback(True)
    return Simulated(judged=judged, before=before, after=after)


def _shadow(pk: UUID | None) -> Shadow | None:
    return Shadow.objects.select_related("account", "group").filter(pk=pk).first() if pk is not None else None


def apply(*, exchange: Exchange, reason: str, at: datetime) -> tuple[Exchange, Judged]:
    """Replay it, as a row of the ledger of its own in the transaction of its effect. Raises `InTheWay`, `Busy`.

    Whose replay it is says the cause in force.
    """
    made_id = uuid7()
    with transaction.atomic():
        judged = _judged(exchange, exchange_id=made_id, at=at)
        made: Exchange = Exchange.objects.create(
            id=made_id, tenant_id=exchange.tenant_id, system_id=exchange.system_id, token_id=exchange.token_id,
            cause_id=current().pk, method=exchange.method, path=exchange.path, resource_type=exchange.resource_type,
            resource_id=judged.shadow.pk if judged.shadow is not None else exchange.resource_id,
            resource_label=judged.shadow.name if judged.shadow is not None else exchange.resource_label,
            intent=judged.intent, outcome=judged.outcome, request_digest=exchange.request_digest,
            coercions=[{"rule": NOTE, "attribute": "", "sent": "", "read_as": one} for one in judged.notes],
            status=_status(judged), error=judged.because[:400], replays=exchange.pk, took=judged.took,
            plan_id=judged.plan.pk if judged.plan is not None else None,
        )  # fmt: skip
        label = exchange.resource_label or exchange.path
        record(
            event=Event.REPLAYED,
            sentence=f"{current().actor}: replayed {exchange.method} {label} of {exchange.at:%Y-%m-%d %H:%M:%S}:"
            f" {judged.outcome}. {reason}",
            subjects=[
                Subject("exchange", str(exchange.pk), label),
                Subject("exchange", str(made.pk), label),
                Subject("system", str(exchange.system_id), exchange.system.name),
            ],
            facts={"kept": {one.name: str(one.by.exchange or one.by.who) for one in judged.kept}},
        )
    return made, judged


def _status(judged: Judged) -> int:
    return _CONFLICT if judged.outcome == Outcome.PARKED else 200


def _judged(exchange: Exchange, *, exchange_id: UUID, at: datetime) -> Judged:
    """Its effect, all or nothing. A refusal of a door leaves nothing, and parks it."""
    try:
        with transaction.atomic():
            return _taken(exchange, exchange_id=exchange_id, at=at)
    except (InTheWay, Busy):
        raise
    except (NotKept, TooMuch) as error:
        raise InTheWay(str(error)) from error
    except Exception as error:
        try:
            refused = translated(error)
        except TryAgain:
            raise Busy(_("its resource is being changed just now: try again")) from error
        if refused is None:
            raise
        return Judged(outcome=Outcome.PARKED, intent=Intent(exchange.intent), because=refused.record)


def _taken(exchange: Exchange, *, exchange_id: UUID, at: datetime) -> Judged:
    if because := in_the_way(exchange):
        raise InTheWay(because)
    if exchange.system.ended_at is not None:
        raise InTheWay(_("its system has ended"))
    one = _Replay(exchange=exchange, kind=BY_NAME[exchange.resource_type], exchange_id=exchange_id, at=at)
    if exchange.resource_id is None:
        return one.created()
    shadow = shadows.lock_shadow(system=exchange.system, resource_type=exchange.resource_type, id=exchange.resource_id)
    if shadow is None:
        return one.gone()
    return one.ended(shadow) if exchange.method == "DELETE" else one.changed(shadow)


@dataclass(frozen=True, kw_only=True)
class _Replay:
    """One exchange while it is replayed."""

    exchange: Exchange
    kind: ResourceType
    exchange_id: UUID
    at: datetime

    @property
    def intent(self) -> Intent:
        return Intent(self.exchange.intent)

    @property
    def asked_by(self) -> str:
        return f"{self.exchange.system.name}, replayed by {current().actor}"[:200]

    def body(self) -> dict[str, Any]:
        was_taken = self.exchange.outcome in newer.ACCEPTED
        return restored(bodies.opened(self.exchange).request, self.kind, was_taken=was_taken)

    def asked(self, *, decides_status: bool = True) -> Asked:
        system = self.exchange.system
        rules = remains.cautious(authority.rules_for(system), exchange=self.exchange)
        if not decides_status:
            rules = [rule for rule in rules if rule.status_from == StatusSource.NONE]
        sender = Sender(
            system=system, asked_by=self.asked_by, exchange_id=self.exchange_id, rules=rules,
            requesters=remains.requesters(self.exchange, at=self.at),
        )  # fmt: skip
        return Asked(
            sender=sender, resource_type=self.kind, at=self.at, base="", id=self.exchange.resource_id,
            projection=read_projection({}, self.kind),
        )  # fmt: skip

    def gone(self) -> Judged:
        """Its resource is no more: the newer word is what ended it."""
        shadow = _shadow(self.exchange.resource_id)
        if shadow is None or shadow.system_id != self.exchange.system_id:
            raise InTheWay(_("its resource was never made"))
        if self.exchange.method == "DELETE":
            return Judged(outcome=Outcome.SAME, intent=self.intent, shadow=shadow)
        by = next((one.by for one in reversed(newer.said_since(self.exchange)) if one.method == "DELETE"), None)
        if by is None:
            raise InTheWay(_("its resource has ended"))
        kept = (Kept(name="id", by=by),)
        return Judged(outcome=Outcome.SUPERSEDED, intent=self.intent, shadow=shadow, kept=kept)

    def ended(self, shadow: Shadow) -> Judged:
        """A resource that lives is ended, unless its system, or people, have spoken of it since."""
        later = newer.said_since(self.exchange)
        by = later[-1].by if later else None
        if by is None and shadow.account is not None:
            by = newer.decided_since(shadow.account, self.exchange).returned
        if by is not None:
            kept = (Kept(name="id", by=by),)
            return Judged(outcome=Outcome.SUPERSEDED, intent=Intent.DELETE, shadow=shadow, kept=kept)
        return self.judged(effects.take_end(self.asked(), shadow), took={"ended": True})

    def created(self) -> Judged:
        """A request that made nothing: the resource is made, and whoever would come to life by it waits for people."""
        if self.exchange.method != "POST":
            raise InTheWay(_("it names no resource that we know"))
        asked = self.asked()
        change, _coercions = effects.made(asked, self.body())
        if (by := remains.made_since(self.exchange, change)) is not None:
            kept = (Kept(name=shadows.HANDLES[self.kind.name], by=by),)
            return Judged(outcome=Outcome.SUPERSEDED, intent=Intent.CREATE, kept=kept)
        steps = change.member_steps if isinstance(change, GroupChange) else ()
        if isinstance(change, GroupChange):
            change = replace(change, member_steps=())
        try:
            taken = effects.take_new(asked, change)
        except Conflict as error:
            raise InTheWay(_("another resource has its %(name)s") % {"name": error.field}) from error
        moved = remains.of_members(self.exchange, taken.shadow, steps, later=())
        return self.judged(taken, took={"made": True}, moved=moved)

    def changed(self, shadow: Shadow) -> Judged:
        """A living resource: by attribute and by member, only what nobody spoke of since."""
        body = self.body()
        if says_nothing(body):
            return Judged(outcome=Outcome.SAME, intent=self.intent, shadow=shadow)
        read = effects.patched if self.exchange.method == "PATCH" else effects.replaced
        change, _coercions = read(self.asked(), shadow, body)
        later = newer.said_since(self.exchange)
        left, moved = self._left(shadow, change, later)
        kept = left.kept + moved.kept
        if not left.names and not moved:
            outcome = Outcome.SUPERSEDED if kept else Outcome.SAME
            return Judged(
                outcome=outcome, intent=self.intent, shadow=shadow, kept=kept, rules=left.rules, notes=moved.notes
            )
        asked = self.asked(decides_status=left.decides_status)
        taken = effects.take(asked, shadow, self._wanted(change, left, moved))
        took: dict[str, Any] = {"names": sorted(left.names)}
        if moved.steps:
            took["out"] = [str(ref) for step in moved.steps for ref in step.values]
        return self.judged(taken, took=took, left=left, moved=moved)

    def _left(self, shadow: Shadow, change: Change, later: list[newer.Later]) -> tuple[Remains, Moved]:
        if isinstance(change, AccountChange) and shadow.account is not None:
            decided = newer.decided_since(shadow.account, self.exchange)
            return remains.of_account(self.exchange, shadow, change, later=later, decided=decided), Moved()
        left = remains.of_document(shadow.document, change.document, later=later, decided=newer.Decided())
        steps = change.member_steps if isinstance(change, GroupChange) else ()
        return left, remains.of_members(self.exchange, shadow, steps, later=later)

    def _wanted(self, change: Change, left: Remains, moved: Moved) -> Change:
        """The change with what is left of it."""
        if isinstance(change, GroupChange):
            said = change.said - {one.name for one in left.kept}
            return effects.change_to(self.kind, left.document, said=said, member_steps=moved.steps)
        if not isinstance(change, AccountChange):
            return effects.change_to(self.kind, left.document, said=frozenset())
        said = change.said - {one.name for one in left.kept} - {ACTIVE}
        document = dict(left.document)
        if left.says_active:
            said |= {ACTIVE}
            document |= {ACTIVE: change.active} if change.active is not None else {}
        return effects.change_to(self.kind, document, said=said)

    def judged(
        self, taken: Taken, *, took: Mapping[str, Any], left: Remains | None = None, moved: Moved | None = None
    ) -> Judged:
        """What the doors said, and the wish for members beside it."""
        moved = moved or Moved()
        kept = (left.kept if left is not None else ()) + moved.kept
        plan = taken.plan
        if moved.joining:
            plan = remains.ask(
                self.exchange, taken.shadow, moved, exchange_id=self.exchange_id, asked_by=self.asked_by, at=self.at
            )
        outcome = taken.outcome
        if moved.joining or moved.is_held:
            outcome = Outcome.HELD
        elif outcome == Outcome.SAME and kept:
            outcome = Outcome.SUPERSEDED
        if taken.shadow.account is not None:
            took = {**took, "wants_active": taken.shadow.wants_active}
        return Judged(
            outcome=outcome, intent=taken.intent, kept=kept, plan=plan, held_by=taken.held_by or moved.notes,
            notes=(*taken.notes, *moved.notes), took=took, shadow=taken.shadow, out=moved.out,
            asked_in=len(moved.joining), rules=left.rules if left is not None else "",
        )  # fmt: skip
