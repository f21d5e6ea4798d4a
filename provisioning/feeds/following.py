"""A feed followed for a while: listened to outside of any transaction; what it said and its position in one.

A crash between two batches costs a batch that is asked for once more, and whose events are known by then. A worker that
was thought dead can write nothing: its number is no longer the cursor's.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from audit import crashpoints
from audit.keys import uuid7
from audit.models import Cause, CauseKind
from audit.scope import scope
from provisioning import connections, cursors, received
from provisioning.connectors.egress import EgressError
from provisioning.connectors.readings import attribute
from provisioning.connectors.scim import Directory, ResourceType
from provisioning.cursors import Held, Stale
from provisioning.feeds.contract import Batch, Event, Feed, Gap, Position
from provisioning.feeds.scim_delta import ScimDelta
from provisioning.models.connection import Connection
from provisioning.models.cursor import Cursor, CursorState
from provisioning.models.received import ReceivedFrom

Clock = Callable[[], datetime]
# What is the system's own business, and what we have our own words for.
_THEIRS = frozenset({"id", "meta", "groups", "externalid"})
PATIENCE = 5.0  # seconds for a server that is busy
STREAMS: Mapping[str, ResourceType] = {"scim-delta/Users": "Users", "scim-delta/Groups": "Groups"}

HEARD = crashpoints.point("feed-heard", where="a batch of a feed is read, nothing of it is written")
RECEIVED = crashpoints.point("feed-received", where="a batch is received and the cursor moved, not committed")
MOVED = crashpoints.point("feed-moved", where="a batch and its cursor are committed")


class Unsteady(EgressError):
    """Everything that was said is received, and it is not certain that nothing was missed: the position stays."""


def advance(*, tenant: UUID, cursor_id: UUID, clock: Clock, go_on: Callable[[], bool]) -> int:
    """Listen to one feed from its position on, while `go_on` says so. Returns how many events were new.

    Takes ids alone and may be called twice, at once and after a crash anywhere. Opens its own scopes, and none around
    the network. What the feed answers wrong is kept with the cursor.
    """
    with scope(tenant=tenant, cause=Cause(kind=CauseKind.TASK, actor="feed", reason="a feed is due")):
        taken = cursors.claim(tenant=tenant, cursor_id=cursor_id, at=clock())
        connection = Connection.objects.get(system=taken[1].system_id) if taken else None
    if taken is None or connection is None:
        return 0
    held, cursor = taken
    problem, new, is_cut = "", 0, False
    try:
        if connection.paused_at is None:
            new, is_cut = _listened(held, cursor, connection, clock=clock, go_on=go_on)
        else:
            problem = f"its connection is paused since {connection.paused_at:%Y-%m-%d %H:%M} UTC"
    except Stale:
        return new
    except Gap as gap:
        _lose(held, gap.reason, at=clock())
    except EgressError as error:
        problem = error.reason
    except connections.SecretUnreadable as error:
        problem = str(error)
    cursors.heard(held=held, problem=problem, is_cut=is_cut, at=clock())
    return new


def _listened(
    held: Held, cursor: Cursor, connection: Connection, *, clock: Clock, go_on: Callable[[], bool]
) -> tuple[int, bool]:
    """How many events were new, and whether it was cut off before the feed had said everything."""
    new = 0
    with connections.reader(connection) as client:
        directory = Directory(client, max_wait_seconds=PATIENCE)
        feed = ScimDelta(directory, STREAMS[cursor.stream], count=connection.page_size)
        position = cursor.position if cursor.state == CursorState.FOLLOWING else _begun(held, feed, at=clock())
        if position is None:
            return 0, False
        is_certain = False
        for batch in feed.batches(position):
            crashpoints.here(HEARD)
            is_certain = is_certain or batch.position is not None
            new += _keep(held, batch, position=position, at=clock())
            crashpoints.here(MOVED)
            if not go_on():
                return new, True
    if not is_certain:
        raise Unsteady("Its list changed while it was read: it is read again from the same position.")
    return new, False


def _begun(held: Held, feed: Feed, *, at: datetime) -> Position | None:
    """Where a complete reading that came after the gap began; None as long as there is none."""
    with held.writing("is a complete reading there?") as cursor:
        reading = cursors.read_since(cursor)
        if reading is None:
            return None
        position = feed.begins_at(reading.started_at)
        cursors.go_on(cursor, position=position, reading=reading, at=at)
    return position


def _keep(held: Held, batch: Batch, *, position: Position, at: datetime) -> int:
    """Receive what is new of a batch and move the cursor, in one transaction. Returns how many were new."""
    if not batch.events and batch.position == position:
        return 0
    with held.writing("a feed said something") as cursor:
        fresh = cursors.fresh(cursor, {event.key: event.modified for event in batch.events})
        for event in batch.events:
            if event.key in fresh:
                received.receive(sent=_sent(cursor, event))
        if batch.position is not None:
            cursors.move(cursor, to=batch.position, forget_before=batch.forget_before, at=at)
        crashpoints.here(RECEIVED)
    return len(fresh)


def _sent(cursor: Cursor, event: Event) -> received.Sent:
    """An event as what its system would send us: under the id by which the system calls it."""
    said = {name: value for name, value in event.document.items() if name.casefold() not in _THEIRS}
    body = {**said, "externalId": event.remote_id}
    text = json.dumps(body, sort_keys=True, ensure_ascii=True)
    active = attribute(event.document, "active")
    is_off = active is False or (isinstance(active, str) and active.casefold() == "false")
    return received.Sent(
        id=uuid7(),
        system=cursor.system,
        token_id=cursor.pk,
        source=ReceivedFrom.FEED,
        method="FEED",
        path=f"/{STREAMS[cursor.stream]}",
        resource_type=event.resource_type,
        resource_id=None,
        lane=hashlib.sha256(f"{event.resource_type}:{event.remote_id}".encode()).hexdigest(),
        reduces=is_off,
        body=body,
        key="",
        digest=event.key,
        size=len(text),
        if_match=None,
        base="",
        remote="",
    )


def _lose(held: Held, because: str, *, at: datetime) -> None:
    with held.writing("a feed has a gap") as cursor:
        cursors.lose(cursor, because=because, at=at)
