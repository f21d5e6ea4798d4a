"""What somebody asks to be replayed: one exchange, a resource, a range of a system, all that is parked.

The row says what is asked, by whom and why, and how far it is. Each exchange is one transaction with its effect and the
position, so that a kill between two of them loses nothing and does nothing twice; whoever stops it can go on later.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from accounts import rules
from accounts.models.system import System
from accounts.models.user import User
from accounts.rules import Word
from audit import crashpoints
from audit.cause import current
from audit.journal import Subject, record
from audit.keys import uuid7_floor
from audit.models import Cause, CauseKind
from audit.outages import is_outage
from audit.scope import scope
from audit.transitions import move
from provisioning import replay
from provisioning.changes import Intent, Outcome
from provisioning.models.exchange import Exchange
from provisioning.models.replay import Replay, ReplayKind, ReplayState
from provisioning.newer import ACCEPTED
from provisioning.replay import Busy, InTheWay
from provisioning.states import REPLAY, Event

Clock = Callable[[], datetime]

STEP_WRITTEN = crashpoints.point("replay.step_written", where="one is replayed, with the position, not committed")
STEP_COMMITTED = crashpoints.point("replay.step_committed", where="one is replayed and committed, the next not begun")
PASSED_OVER = crashpoints.point("replay.passed_over", where="what can't be replayed is counted, not committed")
CLOSING = crashpoints.point("replay.closing", where="a replay is closed, not committed")

# The outcomes of which a range is made: what was refused, or repeats another, says nothing that could be replayed.
REPLAYED = (*ACCEPTED, Outcome.SUPERSEDED, Outcome.PARKED)
MOST = 100_000
# How many of those that can't be replayed are named.
NAMED = 20
IN_THE_WAY = "in_the_way"
FAILED = "failed"
log = structlog.get_logger("rollcall.replay")


class BadRange(ValueError):
    """There is nothing to replay so; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """What is to be replayed. Of `first_id` and `last_id` the ends count in; None is the beginning, or now."""

    kind: ReplayKind
    system: System | None = None
    resource_id: UUID | None = None
    exchange_id: UUID | None = None
    first_id: UUID | None = None
    last_id: UUID | None = None

    def exchanges(self) -> QuerySet[Exchange]:
        """The exchanges, the oldest first."""
        found = Exchange.objects.select_related("system").order_by("id")
        if self.exchange_id is not None:
            return found.filter(pk=self.exchange_id)
        found = found.filter(replays__isnull=True, outcome__in=REPLAYED).exclude(intent=Intent.BULK)
        if self.kind == ReplayKind.PARKED:
            done = Exchange.objects.filter(replays=OuterRef("pk")).exclude(outcome=Outcome.PARKED)
            found = found.filter(~Exists(done), outcome=Outcome.PARKED)
        if self.system is not None:
            found = found.filter(system=self.system)
        if self.resource_id is not None:
            found = found.filter(resource_id=self.resource_id)
        if self.first_id is not None:
            found = found.filter(id__gte=self.first_id)
        return found.filter(id__lte=self.last_id) if self.last_id is not None else found


def of(row: Replay) -> Range:
    """The range of a replay that was begun."""
    ids: dict[str, UUID] = {"first_id": row.first_id, "last_id": row.last_id}
    if row.kind == ReplayKind.EXCHANGE:
        ids = {"exchange_id": row.first_id}
    return Range(kind=ReplayKind(row.kind), system=row.system, resource_id=row.resource_id, **ids)


def since(at: datetime) -> UUID:
    """The smallest id that an exchange of that instant or later has."""
    return uuid7_floor(int(at.timestamp() * 1000))


def until(at: datetime) -> UUID:
    """The greatest id that an exchange before that instant or at it can have."""
    return UUID(int=uuid7_floor(int(at.timestamp() * 1000) + 1).int - 1)


# -- what it would do


@dataclass(kw_only=True)
class Preview:
    """What a replay would do, as far as it was looked at: `looked_at` of `total`."""

    total: int
    looked_at: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    in_the_way: list[dict[str, str]] = field(default_factory=list)

    @property
    def would_change(self) -> int:
        """How many would change something."""
        return self.counts.get(Outcome.APPLIED, 0)

    @property
    def would_ask(self) -> int:
        """How many would ask people."""
        return self.counts.get(Outcome.HELD, 0)


def preview(asked: Range, *, at: datetime, go_on: Callable[[], bool], most: int) -> Preview:
    """Simulate up to `most` of them, each by itself, while `go_on` says so. Nothing is written."""
    found = Preview(total=asked.exchanges().order_by()[: MOST + 1].count())
    for one in asked.exchanges()[:most]:
        if not go_on():
            break
        found.looked_at += 1
        try:
            word = str(replay.simulate(exchange=one, at=at).judged.outcome)
        except (InTheWay, Busy) as error:
            word = IN_THE_WAY
            _name(found.in_the_way, one, str(error))
        found.counts[word] = found.counts.get(word, 0) + 1
    return found


def _name(known: list[dict[str, str]], one: Exchange, because: str) -> None:
    if len(known) < NAMED:
        label = one.resource_label or one.path
        known.append({"exchange": str(one.pk), "label": label[:80], "because": because[:300]})


# -- the verbs


def _demand(user: User | None, *, tenant: UUID, at: datetime) -> None:
    if user is not None:
        rules.demand(rules.may(user, Word.LEDGER_REPLAY, tenant=tenant, at=at))


def _subjects(row: Replay) -> list[Subject]:
    found = [Subject("replay", str(row.pk), str(row))]
    return [*found, Subject("system", str(row.system_id), row.system.name)] if row.system is not None else found


def begin(asked: Range, *, by: User, reason: str, at: datetime) -> Replay:
    """Write down what is to be replayed; the alarm clock does it. Raises `BadRange`, `rules.Refused`."""
    tenant = current().tenant_id
    if tenant is None:
        raise ValueError("a replay belongs to a tenant: open its scope first")
    _demand(by, tenant=tenant, at=at)
    if not reason.strip():
        raise BadRange(_("Say why: a ticket, an incident, what you saw."))
    found = asked.exchanges()
    total = found.order_by()[: MOST + 1].count()
    if not total:
        raise BadRange(_("No exchange is in this range: nothing can be replayed."))
    if total > MOST:
        raise BadRange(_("More than %(n)d exchanges are in this range: choose a shorter one.") % {"n": MOST})
    if asked.kind == ReplayKind.EXCHANGE and (because := replay.in_the_way(found[0])):
        raise BadRange(_("It can't be replayed: %(because)s.") % {"because": because})
    first, last = found.values_list("pk", flat=True)[0], found.order_by("-id").values_list("pk", flat=True)[0]
    with transaction.atomic():
        row: Replay = Replay.objects.create(
            tenant_id=tenant, kind=asked.kind, system=asked.system, resource_id=asked.resource_id,
            first_id=asked.first_id or first, last_id=asked.last_id or last, total=total,
            asked_by=current().actor, user_id=by.pk, identity_id=by.identity_id, reason=reason.strip(), made_at=at,
        )  # fmt: skip
        sentence = f"{current().actor}: {total} exchanges are to be replayed ({row.get_kind_display()}). {row.reason}"
        record(event=Event.REPLAY_BEGUN, sentence=sentence, subjects=_subjects(row))
    return row


def stop(*, row: Replay, by: User, reason: str, at: datetime) -> bool:
    """No further exchange is replayed; what is done stays done. False where it runs no more."""
    return _to(row, ReplayState.STOPPED, by=by, reason=reason, event=Event.REPLAY_STOPPED, at=at)


def resume(*, row: Replay, by: User, reason: str, at: datetime) -> bool:
    """It goes on where it stands. False where it runs already."""
    return _to(row, ReplayState.RUNNING, by=by, reason=reason, event=Event.REPLAY_RESUMED, at=at)


def _to(row: Replay, state: ReplayState, *, by: User, reason: str, event: Event, at: datetime) -> bool:
    _demand(by, tenant=row.tenant_id, at=at)
    with transaction.atomic():
        found = _locked(row.pk)
        if found.state == ReplayState.DONE:
            raise BadRange(_("It is done: there is nothing to stop or to go on with."))
        if not move(found, state, by=REPLAY):
            return False
        found.ended_at = None if state == ReplayState.RUNNING else at
        found.save(update_fields=["state", "ended_at"])
        sentence = f"{current().actor}: {found}: {found.done} of {found.total}, {found.get_state_display()}. {reason}"
        record(event=event, sentence=sentence, subjects=_subjects(found))
    return True


def _locked(pk: UUID) -> Replay:
    return Replay.objects.select_for_update(of=("self",)).select_related("system").get(pk=pk)


# -- carried out


def advance(*, tenant: UUID, replay_id: UUID, clock: Clock, go_on: Callable[[], bool]) -> bool:
    """Replay one exchange after the other while `go_on` says so. True when it is over, or was stopped.

    Opens its own scopes, one for each exchange. Safe to run twice at once: whoever comes second waits, and goes on.
    """
    while True:
        if _step(tenant, replay_id, at=clock()):
            return True
        crashpoints.here(STEP_COMMITTED)
        if not go_on():
            return False


def _step(tenant: UUID, replay_id: UUID, *, at: datetime) -> bool:
    with scope(tenant=tenant):
        row = Replay.objects.get(pk=replay_id)
    try:
        with _scope(row):
            return step(replay_id=replay_id, at=at)
    except Busy:
        # Somebody changes the resource just now: it is due again at the next tick.
        return True
    except InTheWay as error:
        return _pass_over(row, IN_THE_WAY, str(error), at=at)
    except Exception as error:
        if is_outage(error):
            raise  # no fault of the exchange: it is the next one still
        log.exception("an exchange failed to be replayed", replay=str(replay_id))
        return _pass_over(row, FAILED, type(error).__name__, at=at)


def _scope(row: Replay) -> AbstractContextManager[Any]:
    cause = Cause(
        kind=CauseKind.TASK, actor=row.asked_by, user_id=row.user_id, identity_id=row.identity_id,
        subject=f"replay {row.pk}", reason=row.reason,
    )  # fmt: skip
    return scope(tenant=row.tenant_id, cause=cause)


def step(*, replay_id: UUID, at: datetime) -> bool:
    """Replay the next exchange in the transaction that is open, with the position. True when none is left.

    Raises `InTheWay` and `Busy`, and then nothing of it may stay.
    """
    row = _locked(replay_id)
    if row.state != ReplayState.RUNNING:
        return True
    one = _next(row)
    if one is None:
        return _close(row, at=at)
    _made, judged = replay.apply(exchange=replay.original_of(one), reason=row.reason, at=at)
    _count(row, one, str(judged.outcome))
    crashpoints.here(STEP_WRITTEN)
    return False


def _next(row: Replay) -> Exchange | None:
    found = of(row).exchanges()
    return (found.filter(id__gt=row.position) if row.position is not None else found).first()


def _pass_over(row: Replay, word: str, because: str, *, at: datetime) -> bool:
    """It can't be replayed: that is written down, and the next one is due."""
    with _scope(row):
        found = _locked(row.pk)
        if found.position != row.position:
            return False  # somebody else went on meanwhile: what is next now is another one
        one = _next(found) if found.state == ReplayState.RUNNING else None
        if one is None:
            return found.state != ReplayState.RUNNING or _close(found, at=at)
        _name(found.in_the_way, one, because)
        _count(found, one, word)
        crashpoints.here(PASSED_OVER)
    return False


def _count(row: Replay, one: Exchange, word: str) -> None:
    row.counts = {**row.counts, word: int(row.counts.get(word, 0)) + 1}
    row.position = one.pk
    row.save(update_fields=["counts", "position", "in_the_way"])


def _close(row: Replay, *, at: datetime) -> bool:
    move(row, ReplayState.DONE, by=REPLAY)
    row.ended_at = at
    row.save(update_fields=["state", "ended_at"])
    counted = ", ".join(f"{count} {word}" for word, count in sorted(row.counts.items()))
    record(
        event=Event.REPLAY_ENDED,
        sentence=f"{row.asked_by}: {row}: {row.done} replayed: {counted or 'none'}. {row.reason}",
        subjects=_subjects(row), facts=row.counts,
    )  # fmt: skip
    crashpoints.here(CLOSING)
    return True


def running() -> QuerySet[Replay]:
    """What is to be gone on with, the oldest first."""
    return Replay.objects.filter(state=ReplayState.RUNNING).order_by("made_at")
