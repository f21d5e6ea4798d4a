"""How far each feed was listened to: the only writer of Cursor.

A cursor moves in the transaction in which what it passes is received, and only for whoever holds it: the number that a
worker got when it took the cursor, and the epoch it found, must still be those of the row. After a gap nothing is
followed until a complete reading has shown everything; that is asked for here, and nobody has to notice.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.finding import FindingKind, Severity
from accounts.models.system import System, SystemAdministrator
from audit.cause import current
from audit.journal import Subject, record
from audit.keys import uuid7
from audit.models import Cause, CauseKind
from audit.redaction import redact_text
from audit.scope import scope
from audit.transitions import move as move_state
from provisioning import connections, systems
from provisioning.models.connection import Connection, Connector
from provisioning.models.cursor import Cursor, CursorState, FeedEvent, Listening
from provisioning.models.snapshot import Snapshot, SnapshotState
from provisioning.states import CURSOR, Event

Because = SystemAdministrator.Because
LEASE = timedelta(minutes=5)
"""How long a worker that died keeps others from its cursor."""
SILENT_AFTER = 2
"""After how many cadences without an answer a feed counts as silent."""
GAP_CLOCK = timedelta(hours=4)


class Stale(RuntimeError):
    """Somebody else holds the cursor now, or it has begun anew: nothing was written."""


class CantFollow(ValueError):
    """The cursor is not in a state in which that can be done; the message says what to do instead."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A cursor that this process has taken; `fence` and `epoch` tell it from whoever comes after."""

    tenant: UUID
    cursor: UUID
    fence: int
    epoch: int

    @contextmanager
    def writing(self, reason: str) -> Iterator[Cursor]:
        """A scope in which the cursor is locked and still ours. Raises `Stale` before anything is written."""
        with scope(tenant=self.tenant, cause=Cause(kind=CauseKind.TASK, actor="feed", reason=reason)):
            look = Listening.objects.select_for_update().get(cursor=self.cursor)
            found = Cursor.objects.select_for_update(of=("self",)).select_related("system").get(pk=self.cursor)
            if (look.fence, found.epoch) != (self.fence, self.epoch):
                raise Stale("another worker has taken this cursor, or it has begun anew")
            yield found


def gap_key(cursor: UUID) -> str:
    """The dedupe key of "this feed has a gap"."""
    return f"feed_gap:{cursor}"


def silent_key(cursor: UUID) -> str:
    """The dedupe key of "this feed says nothing"."""
    return f"feed_silent:{cursor}"


def in_the_way(system: System, connection: Connection | None) -> str:
    """Why a system can't be followed, or nothing."""
    if system.ended_at is not None:
        return _("%(system)s has ended.") % {"system": system.name}
    if connection is None or connection.connector == Connector.NONE:
        return _("%(system)s is not connected: say where it is read first.") % {"system": system.name}
    if connection.connector != Connector.SCIM:
        return _("%(system)s is not read over SCIM: it has no stream to listen to.") % {"system": system.name}
    return ""


def follow(*, system: System, stream: str, cadence_minutes: int, at: datetime) -> Cursor:
    """Listen to a stream from now on. It begins with a complete reading. Raises `CantFollow`."""
    with transaction.atomic():
        connection = Connection.objects.select_for_update().filter(system=system).first()
        if why := in_the_way(system, connection):
            raise CantFollow(why)
        found = Cursor.objects.filter(system=system, stream=stream).first()
        if found is not None:
            found = _locked(found)
        if found is not None and found.state != CursorState.STOPPED:
            return found
        because = _("it has not been followed before now")
        values = {"cadence_minutes": cadence_minutes, "gap_at": at, "gap_because": because}
        if found is None:
            found = Cursor.objects.create(tenant_id=system.tenant_id, system=system, stream=stream, **values)
            Listening.objects.create(tenant_id=system.tenant_id, cursor=found, due_at=at)
        else:
            for name, value in values.items():
                setattr(found, name, value)
            _begin_anew(found, to=CursorState.WAITING)
            found.save()
            Listening.objects.filter(cursor=found).update(due_at=at, problem="")
        connections.read_soon(system=system, at=at)
        _administered(found, at=at)
        _note(found, Event.FEED_FOLLOWED, f"is followed every {cadence_minutes} minutes, after a complete reading")
    return found


def stop(*, cursor: Cursor, reason: str, at: datetime) -> Cursor:
    """Listen no more. What was received is applied all the same."""
    with transaction.atomic():
        found = _locked(cursor)
        if found.state == CursorState.STOPPED:
            return found
        _begin_anew(found, to=CursorState.STOPPED)
        found.gap_at, found.gap_because = None, ""
        found.save()
        resolve([gap_key(found.pk), silent_key(found.pk)], because="the feed is not followed any more", at=at)
        _administered(found, at=at)
        _note(found, Event.FEED_STOPPED, f"is not followed any more. {reason}")
    return found


def change_cadence(*, cursor: Cursor, cadence_minutes: int, at: datetime) -> Cursor:
    """Listen more, or less often, from now on. Raises `CantFollow` for one that is not followed."""
    with transaction.atomic():
        found = _locked(cursor)
        if found.state == CursorState.STOPPED:
            raise CantFollow(_("It is stopped: follow it again, and say how often."))
        if found.cadence_minutes == cadence_minutes:
            return found
        was, found.cadence_minutes = found.cadence_minutes, cadence_minutes
        found.save(update_fields=["cadence_minutes"])
        later = at + timedelta(minutes=cadence_minutes)
        Listening.objects.filter(cursor=found, due_at__gt=later).update(due_at=later)
        _administered(found, at=at)
        _note(found, Event.FEED_CADENCE, f"is listened to every {cadence_minutes} minutes, was every {was}")
    return found


def claim(*, tenant: UUID, cursor_id: UUID, at: datetime) -> tuple[Held, Cursor] | None:
    """Take a cursor that is due and that nobody holds. Of two who try at once, one gets it."""
    free = Q(leased_until__isnull=True) | Q(leased_until__lte=at)
    rows = Listening.objects.select_for_update(skip_locked=True, of=("self",)).select_related("cursor__system")
    look = rows.filter(_due(at), free, cursor=cursor_id).exclude(cursor__state=CursorState.STOPPED).first()
    if look is None:
        return None
    look.fence += 1
    look.leased_until = at + LEASE
    look.save(update_fields=["fence", "leased_until"])
    found = look.cursor
    return Held(tenant=tenant, cursor=found.pk, fence=look.fence, epoch=found.epoch), found


def fresh(cursor: Cursor, events: Mapping[str, datetime]) -> set[str]:
    """Those of these keys (with their times) that come for the first time; they are known from now on."""
    if not events:
        return set()
    with database.cursor() as sql:
        sql.execute(
            "INSERT INTO provisioning_feedevent (id, tenant_id, cursor_id, key, modified_at)"
            " SELECT e.id, %s, %s, e.key, e.modified"
            " FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[]) AS e (id, key, modified)"
            " ON CONFLICT (tenant_id, cursor_id, key) DO NOTHING RETURNING key",
            [
                cursor.tenant_id, cursor.pk, [str(uuid7()) for _key in events], list(events),
                [modified.isoformat() for modified in events.values()],
            ],
        )  # fmt: skip
        return {key for (key,) in sql.fetchall()}


def move(cursor: Cursor, *, to: Mapping[str, Any], forget_before: datetime | None, at: datetime) -> None:
    """The position after what was received, in the transaction that received it. Where it stays, nothing is written."""
    if cursor.position == to:
        return
    cursor.position, cursor.moved_at = dict(to), at
    cursor.save(update_fields=["position", "moved_at"])
    if forget_before is not None:
        FeedEvent.objects.filter(cursor=cursor, modified_at__lt=forget_before).delete()


def heard(*, held: Held, problem: str, at: datetime, is_cut: bool = False) -> None:
    """It was listened to, and answered or not; the next time is a cadence away.

    One that has begun anew, or was cut off (`is_cut`) before everything was said, stays due.
    """
    with scope(tenant=held.tenant, cause=Cause(kind=CauseKind.TASK, actor="feed", reason="a feed was listened to")):
        rows = Listening.objects.select_for_update(of=("self",)).select_related("cursor")
        look = rows.filter(cursor=held.cursor, fence=held.fence).first()
        if look is None:
            return
        if not problem:
            look.heard_at = at
        if look.cursor.epoch == held.epoch and not is_cut:
            look.due_at = at + timedelta(minutes=look.cursor.cadence_minutes)
        look.leased_until, look.problem = None, redact_text(problem)[:400]
        look.save()


def lose(cursor: Cursor, *, because: str, at: datetime) -> None:
    """What came in between is not to be had: a complete reading is due at once, and nothing is followed before it."""
    _begin_anew(cursor, to=CursorState.WAITING)
    cursor.gap_at, cursor.gap_because = at, redact_text(because)[:400]
    cursor.save()
    connections.read_soon(system=cursor.system, at=at)
    wrong = Wrong(
        kind=FindingKind.FEED_GAP,
        key=gap_key(cursor.pk),
        title=f"{cursor.system.name}: its feed has a gap, a complete reading is due",
        severity=Severity.HIGH,
        system=cursor.system_id,
        subject_kind="cursor",
        subject_id=str(cursor.pk),
        evidence={"stream": cursor.stream, "because": cursor.gap_because, "epoch": cursor.epoch},
        due_at=at + GAP_CLOCK,
        each=True,  # why it was lost last is what somebody looks into
    )
    open_or_raise([wrong], at=at)
    _note(cursor, Event.FEED_GAP, f"has a gap: {cursor.gap_because}. A complete reading is due")


def read_since(cursor: Cursor) -> Snapshot | None:
    """The complete reading that began after a gap was known, if there is one: all that was missed is in it."""
    complete = Snapshot.objects.filter(system=cursor.system_id, state=SnapshotState.COMPLETE)
    return complete.filter(started_at__gte=cursor.gap_at).order_by("started_at").first() if cursor.gap_at else None


def go_on(cursor: Cursor, *, position: Mapping[str, Any], reading: Snapshot, at: datetime) -> None:
    """Follow again, from where a complete reading began."""
    move_state(cursor, CursorState.FOLLOWING, by=CURSOR)
    cursor.position, cursor.moved_at, cursor.gap_at, cursor.gap_because = dict(position), at, None, ""
    cursor.save()
    resolve([gap_key(cursor.pk)], because="a complete reading has shown what was missed", at=at)
    _note(cursor, Event.FEED_GOES_ON, f"goes on from the reading of {reading.started_at:%Y-%m-%d %H:%M} UTC")


def no_way_back(cursor: Cursor) -> str:
    """Why a cursor can't be rewound, or nothing."""
    following = cursor.state == CursorState.FOLLOWING
    return "" if following else _("It is not followed now: there is no position to go back from.")


def rewind(*, cursor: Cursor, to: Mapping[str, Any], reason: str, at: datetime, epoch: int | None = None) -> Cursor:
    """Listen once more from an earlier position. What was received already is known by its digest, and changes nothing.

    Who may, and after whose yes, is asked above (`governance.rewinds`); with `epoch`, of the cursor as it was then.
    Raises `CantFollow`, and `Stale` for a cursor that has begun anew since.
    """
    with transaction.atomic():
        found = _locked(cursor)
        if epoch is not None and found.epoch != epoch:
            raise Stale(_("The feed has begun anew since that was asked."))
        if why := no_way_back(found):
            raise CantFollow(why)
        was = found.position
        found.epoch += 1
        found.position, found.moved_at = dict(to), at
        found.save()
        Listening.objects.filter(cursor=found).update(due_at=at)
        FeedEvent.objects.filter(cursor=found).delete()
        _note(found, Event.FEED_REWOUND, f"is listened to once more from {_told(to)}, was {_told(was)}. {reason}")
    return found


def values_of(cursor: Cursor, *, most: int = 50) -> list[Any]:
    """The values that it had, newest first, each as its history row with its cause."""
    return list(cursor.history.order_by("-history_id")[:most])


def watch(*, at: datetime) -> int:
    """Open a finding for each feed that has not answered for longer than its cadence; close it once it does."""
    silent, speaking = [], []
    followed = Listening.objects.exclude(cursor__state=CursorState.STOPPED).select_related("cursor__system")
    for look in followed.filter(cursor__system__ended_at__isnull=True):
        cursor = look.cursor
        since = look.heard_at or cursor.gap_at or cursor.moved_at or at
        if at - since <= SILENT_AFTER * timedelta(minutes=cursor.cadence_minutes):
            speaking.append(cursor.pk)
        elif cursor.state == CursorState.FOLLOWING or look.problem:
            silent.append(_silent(look, since, at=at))
    open_or_raise(silent, at=at)
    resolve([silent_key(pk) for pk in speaking], because="it answers again", at=at)
    return len(silent)


def _silent(look: Listening, since: datetime, *, at: datetime) -> Wrong:
    cursor = look.cursor
    return Wrong(
        kind=FindingKind.FEED_SILENT,
        key=silent_key(cursor.pk),
        title=f"{cursor.system.name}: its feed has not answered since {since:%Y-%m-%d %H:%M} UTC",
        severity=Severity.HIGH,
        system=cursor.system_id,
        subject_kind="cursor",
        subject_id=str(cursor.pk),
        evidence={"stream": cursor.stream, "problem": look.problem, "cadence_minutes": cursor.cadence_minutes},
        due_at=at + GAP_CLOCK,
    )


def due(*, at: datetime) -> list[UUID]:
    """The cursors of the tenant that should be listened to now, the longest due first."""
    rows = Listening.objects.filter(_due(at), cursor__system__ended_at__isnull=True)
    rows = rows.exclude(cursor__state=CursorState.STOPPED).order_by("due_at")
    return list(rows.values_list("cursor", flat=True))


def _due(at: datetime) -> Q:
    return Q(due_at__isnull=True) | Q(due_at__lte=at)


def _begin_anew(cursor: Cursor, *, to: CursorState) -> None:
    move_state(cursor, to, by=CURSOR)
    cursor.epoch += 1
    cursor.position, cursor.moved_at = None, None
    FeedEvent.objects.filter(cursor=cursor).delete()


def _administered(cursor: Cursor, *, at: datetime) -> None:
    """Who says how a system is listened to counts as asking for what it says, for a time."""
    systems.administered(cursor.system, because=Because.ADMINISTERS, who=None, at=at, until=at)


def _locked(cursor: Cursor) -> Cursor:
    """Locked in the order in which whoever listens to it locks: otherwise each could wait for the other."""
    Listening.objects.select_for_update(of=("self",)).filter(cursor=cursor.pk).first()
    return Cursor.objects.select_for_update(of=("self",)).select_related("system").get(pk=cursor.pk)


def _told(position: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted((position or {}).items())) or "the beginning"


def _note(cursor: Cursor, event: Event, what: str) -> None:
    who = current().actor
    record(
        event=event,
        sentence=f"{who}: the feed {cursor.stream} of {cursor.system.name} {what}".strip(),
        subjects=[
            Subject("cursor", str(cursor.pk), cursor.stream),
            Subject("system", str(cursor.system_id), cursor.system.name),
        ],
    )
