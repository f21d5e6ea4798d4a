"""What is acknowledged before it is applied: the only writer of Received.

Each resource has a lane, in which everything goes in the order of its arrival: only what has nothing open before it is
begun. What fails is tried again after a pause, and parked when that is of no use: then its lane waits for a person, and
every other goes on. What takes access away goes past whatever is stuck before it, and says so on what it went past.

A try is written down before it is made, in a transaction of its own: also what kills the process that applies it is
parked in the end, and keeps nobody else waiting.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.system import System
from accounts.states import FINDING_LIVE
from audit.cause import current
from audit.journal import Subject, record
from audit.transitions import move
from provisioning import vault
from provisioning.models.received import Received, ReceivedFrom, ReceivedState
from provisioning.states import RECEIVED, RECEIVED_OPEN, Event

MOST_OPEN = 10_000
"""How much one system may have sent ahead: more would only grow, and is refused until something is applied."""
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (2, 10, 60, 300))
"""How long what failed waits, the first time, the second, and so on; after one more try it is parked."""
MOST_TRIES = len(PAUSES) + 1
POSTPONED = timedelta(seconds=2)
LONGEST_POSTPONED = timedelta(minutes=10)
LATE_AFTER = timedelta(minutes=5)
"""How long something may wait before it is a finding."""
CLOCK, CLOCK_OF_REDUCTION = timedelta(days=1), timedelta(hours=4)
_LATE = "received_late:"
_DIED = "The process that applied it died, each time."


class Unreadable(RuntimeError):
    """The body was encrypted under a key that is no longer configured."""


class Overfull(RuntimeError):
    """The system has sent as much ahead as may wait."""


class CantRelease(ValueError):
    """It is not in a state in which that can be done; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One change as it came: what the row keeps of it, and its body, which the row keeps encrypted."""

    id: UUID
    system: System
    token_id: UUID
    method: str
    path: str
    resource_type: str
    resource_id: UUID | None
    lane: str
    reduces: bool
    body: Mapping[str, Any] | None
    key: str
    digest: str
    size: int
    if_match: str | None
    base: str
    remote: str
    source: ReceivedFrom = ReceivedFrom.RESPOND_ASYNC


def receive(*, sent: Sent) -> Received:
    """Write it down; whoever commits that may acknowledge it. Raises `Overfull`."""
    if Received.objects.filter(system=sent.system, state__in=RECEIVED_OPEN)[MOST_OPEN - 1 : MOST_OPEN].exists():
        raise Overfull
    text = "" if sent.body is None else json.dumps(sent.body)
    made: Received = Received.objects.create(
        id=sent.id, tenant_id=sent.system.tenant_id, system=sent.system, token_id=sent.token_id,
        source=sent.source, method=sent.method,
        path=sent.path[:400], resource_type=sent.resource_type, resource_id=sent.resource_id, lane=sent.lane,
        reduces=sent.reduces, sealed=vault.shut(text), key=sent.key,
        request_digest=sent.digest, request_bytes=sent.size, if_match=sent.if_match, base=sent.base,
        remote=sent.remote,
    )  # fmt: skip
    return made


def body_of(received: Received) -> dict[str, Any]:
    """The body in clear; empty where there was none. Raises `Unreadable`."""
    try:
        text = vault.opened(received.sealed)
    except vault.KeyGone:
        problem = _("The stored request can't be decrypted: put its key back into ROLLCALL_FIELD_KEYS.")
    else:
        body: dict[str, Any] = json.loads(text) if text else {}
        return body
    raise Unreadable(problem)


def known(*, system: UUID, key: str) -> Received | None:
    """What is open under a sender's key."""
    return Received.objects.filter(system_id=system, key=key, state__in=RECEIVED_OPEN).first() if key else None


# -- which one is next


_EARLIER = Q(received_at__lt=OuterRef("received_at")) | Q(
    received_at=OuterRef("received_at"), id__lt=OuterRef("id")
)  # fmt: skip


def _before() -> QuerySet[Received]:
    """What is open in the lane of the outer row, and came before it."""
    return Received.objects.filter(
        _EARLIER, system=OuterRef("system"), lane=OuterRef("lane"), state__in=sorted(RECEIVED_OPEN)
    ).order_by()


def _stuck(at: datetime) -> Q:
    """What is not being applied, and will not be soon: parked, or between two tries of which one has failed."""
    has_failed = Q(tries__gt=1) | ~Q(error="")
    return Q(state=ReceivedState.PARKED) | (has_failed & Q(next_try_at__gt=at))


def is_stuck(received: Received, *, at: datetime) -> bool:
    """The same of one row."""
    has_failed = received.tries > 1 or bool(received.error)
    return received.state == ReceivedState.PARKED or (has_failed and received.next_try_at > at)


def due(*, at: datetime) -> QuerySet[Received]:
    """What may be begun: nothing open is before it in its lane, or it takes access away and what is there is stuck."""
    # An end refuses whoever names what has ended: it comes after all that was sent before it and may name it still.
    others = Received.objects.filter(_EARLIER, system=OuterRef("system"), state=ReceivedState.WAITING).order_by()
    too_soon = Q(method="DELETE") & Exists(others.exclude(_stuck(at)))
    passes = Q(reduces=True) & Exists(_before().filter(_stuck(at))) & ~Exists(_before().filter(reduces=True))
    waiting = Received.objects.filter(state=ReceivedState.WAITING, next_try_at__lte=at)
    return waiting.filter(~Exists(_before()) | passes).exclude(too_soon).order_by("-reduces", "received_at", "id")


def begin(*, at: datetime) -> Received | None:
    """Write down that the next one is tried, which nobody else does meanwhile. None where nothing is due.

    Reductions come first, then the oldest. Commit before it is tried. One that was tried too often comes back parked.
    """
    return _begun(due(at=at), at=at, skip_locked=True)


def first_in_lane(*, system: UUID, lane: str) -> Received | None:
    """What everything else in a lane waits for."""
    opened = Received.objects.filter(system_id=system, lane=lane, state__in=sorted(RECEIVED_OPEN))
    return opened.order_by("received_at", "id").first()


def begin_one(*, received: Received, at: datetime) -> Received | None:
    """The same as `begin` for this one as it was seen; None if it has ended, or somebody else has begun it since."""
    seen = Received.objects.filter(pk=received.pk, state=ReceivedState.WAITING, tries=received.tries)
    return _begun(seen, at=at)


def _begun(rows: QuerySet[Received], *, at: datetime, skip_locked: bool = False) -> Received | None:
    found = rows.select_for_update(of=("self",), skip_locked=skip_locked).first()
    if found is None:
        return None
    if found.tries >= MOST_TRIES:
        park(received=found, error=_DIED, at=at)
        return found
    found.tries += 1
    found.next_try_at = at + PAUSES[min(found.tries, len(PAUSES)) - 1]
    found.save(update_fields=["tries", "next_try_at"])
    return found


def locked(*, begun: Received) -> Received | None:
    """What was begun, locked until the end of the transaction. None if somebody else has begun it again, or ended it."""
    return (
        Received.objects.select_for_update(of=("self",))
        .filter(pk=begun.pk, state=ReceivedState.WAITING, tries=begun.tries)
        .first()
    )


def waits_for_others(*, received: Received) -> bool:
    """Whether something older of the same system, in whatever lane, has still to be applied."""
    older = Q(received_at__lt=received.received_at) | Q(received_at=received.received_at, id__lt=received.pk)
    return Received.objects.filter(older, system_id=received.system_id, state=ReceivedState.WAITING).exists()


# -- how it ends


def done(*, received: Received, at: datetime) -> None:
    """It is in the ledger, whatever became of it, in the same transaction; its body is kept no longer."""
    move(received, ReceivedState.APPLIED, by=RECEIVED)
    _end(received, at=at)
    if received.tries > 1 or received.error:
        resolve([key_of(received)], because=_("it was applied"), at=at)


def _end(received: Received, *, at: datetime) -> None:
    received.sealed, received.ended_at = "", at
    received.save(update_fields=["state", "sealed", "ended_at"])


def failed(*, received: Received, error: str, at: datetime) -> None:
    """It could not be applied, by a fault that is not its sender's: it is tried again, or parked."""
    if received.tries >= MOST_TRIES:
        park(received=received, error=error, at=at)
        return
    received.error = error[:400]
    received.save(update_fields=["error"])


def postpone(*, received: Received, error: str, at: datetime) -> None:
    """What it needs may be in something older that waits: that is no failure, for as long as it lasts."""
    if at - received.received_at > LONGEST_POSTPONED:
        park(received=received, error=error, at=at)
        return
    received.tries -= 1
    received.next_try_at = at + POSTPONED
    received.save(update_fields=["tries", "next_try_at"])


def park(*, received: Received, error: str, at: datetime) -> None:
    """Its lane waits for a person: a finding says so, and until when somebody should have looked."""
    move(received, ReceivedState.PARKED, by=RECEIVED)
    received.error = error[:400]
    received.save(update_fields=["state", "error"])
    system = received.system
    severity, clock = (
        (Severity.CRITICAL, CLOCK_OF_REDUCTION) if received.reduces else (Severity.HIGH, CLOCK)
    )  # fmt: skip
    wrong = Wrong(
        kind=FindingKind.NOT_APPLIED,
        key=key_of(received),
        title=f"{system.name}: {received.method} {received.path} was acknowledged and can't be applied",
        severity=severity,
        system=system.pk,
        subject_kind="received",
        subject_id=str(received.pk),
        evidence={"system": system.name, "because": received.error, "received_at": received.received_at.isoformat()},
        due_at=at + clock,
        each=True,  # what somebody acts on is why it failed last
    )
    open_or_raise([wrong], at=at)
    _note(received, Event.RECEIVED_PARKED, f"is parked after {received.tries} tries: {received.error}")


def key_of(received: Received) -> str:
    """The dedupe key of "this was acknowledged and can't be applied"."""
    return f"received:{received.pk}"


def overtake(*, system: UUID, lane: str, by: UUID, wholly: bool, before: Received | None = None) -> int:
    """Say on what is open in a lane (before a row of it) that this exchange went past it. Returns on how many."""
    rows = Received.objects.filter(system_id=system, lane=lane, state__in=sorted(RECEIVED_OPEN))
    if before is not None:
        earlier = Q(received_at__lt=before.received_at) | Q(received_at=before.received_at, id__lt=before.pk)
        rows = rows.filter(earlier)
    if wholly:
        return rows.update(overtaken_by=by, is_overtaken_wholly=True)
    return rows.update(overtaken_by=by)


# -- what people do about it


def hurry(*, received: Received, at: datetime) -> Received:
    """Try it now, as far as its lane allows. Raises `CantRelease` for what is not waiting."""
    with transaction.atomic():
        found = _open(received)
        if found.state != ReceivedState.WAITING:
            raise CantRelease(_("It is %(state)s: there is nothing to hurry.") % {"state": found.get_state_display()})
        if found.next_try_at > at:
            found.next_try_at = at
            found.save(update_fields=["next_try_at"])
        _note(found, Event.RECEIVED_HURRIED, "is to be applied now")
    return found


def again(*, received: Received, reason: str, at: datetime) -> Received:
    """Apply it once more, from the first try on. Raises `CantRelease` for what is not parked."""
    with transaction.atomic():
        found = _parked(received, to=ReceivedState.WAITING)
        found.tries, found.next_try_at = 0, at
        found.save(update_fields=["state", "tries", "next_try_at"])
        _note(found, Event.RECEIVED_AGAIN, f"is applied again. {reason}")
    return found


def give_up(*, received: Received, reason: str, at: datetime) -> Received:
    """It is never applied, and its lane goes on. Raises `CantRelease` for what is not parked.

    Who calls this writes its exchange: see `provisioning.scim.applying`.
    """
    with transaction.atomic():
        found = _parked(received, to=ReceivedState.GIVEN_UP)
        _end(found, at=at)
        resolve([key_of(found)], because=_("it was given up: %(reason)s") % {"reason": reason}, at=at)
        _note(found, Event.RECEIVED_GIVEN_UP, f"is given up, and never applied. {reason}")
    return found


def _open(received: Received) -> Received:
    return Received.objects.select_for_update(of=("self",)).select_related("system").get(pk=received.pk)


def _parked(received: Received, *, to: ReceivedState) -> Received:
    found = _open(received)
    if found.state != ReceivedState.PARKED:
        raise CantRelease(
            _("It is %(state)s, and no longer parked: look at it again.") % {"state": found.get_state_display()}
        )
    move(found, to, by=RECEIVED)
    return found


def _note(received: Received, event: Event, what: str) -> None:
    name = f"{received.method} {received.path}"
    record(
        event=event,
        sentence=f"{current().actor}: what {received.system.name} sent ({name}) {what}".strip(),
        subjects=[
            Subject("received", str(received.pk), name),
            Subject("system", str(received.system_id), received.system.name),
        ],
    )


# -- is anything late?


def late_key(system: UUID) -> str:
    """The dedupe key of "what this system sent waits too long"."""
    return f"{_LATE}{system}"


def watch_waiting(*, at: datetime) -> int:
    """Open a finding for each system of which something waits too long; close those of the others. How many are open."""
    # What stands behind a parked one waits for a person, and that one has a finding of its own.
    blocked = Exists(_before().filter(state=ReceivedState.PARKED))
    waiting = Received.objects.filter(~blocked, state=ReceivedState.WAITING, received_at__lte=at - LATE_AFTER)
    since = dict(waiting.order_by().values_list("system_id").annotate(Min("received_at")))
    systems = System.objects.in_bulk(list(since))
    wrongs = [
        Wrong(
            kind=FindingKind.NOT_APPLIED,
            key=late_key(pk),
            title=f"{systems[pk].name}: what it sent waits since {oldest:%Y-%m-%d %H:%M} UTC to be applied",
            severity=Severity.HIGH,
            system=pk,
            evidence={"system": systems[pk].name, "received_at": oldest.isoformat()},
            due_at=oldest + LATE_AFTER + CLOCK_OF_REDUCTION,
        )
        for pk, oldest in since.items()
    ]
    open_or_raise(wrongs, at=at)
    live = Finding.objects.filter(kind=FindingKind.NOT_APPLIED, dedupe_key__startswith=_LATE, state__in=FINDING_LIVE)
    over = set(live.values_list("dedupe_key", flat=True)) - {one.key for one in wrongs}
    resolve(over, because=_("nothing waits that long"), at=at)
    return len(wrongs)
