"""The feeds of a system, for its page: how far each was heard, and how it goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models.system import System
from audit.models import JournalEntry, JournalSubject
from governance.asking import open_about
from governance.models.approval import Approval, ApprovalKind
from provisioning.feeds.following import STREAMS
from provisioning.feeds.scim_delta import moment_of
from provisioning.models.cursor import Cursor, CursorState, Listening
from provisioning.models.received import Received, ReceivedFrom
from provisioning.states import Event

DAY = timedelta(days=1)
# In so many of the newest gaps and rewinds of a system the last of each feed is looked for; older ones are not told.
LOOKED_BACK = 50
# Each stream as people call it.
NAMES: Mapping[str, Any] = {
    "scim-delta/Users": gettext_lazy("changes of accounts"),
    "scim-delta/Groups": gettext_lazy("changes of groups"),
}


@dataclass(frozen=True, kw_only=True)
class Begun:
    """From when on it is followed, without a gap since, and after what."""

    at: datetime
    because: str


@dataclass(frozen=True, kw_only=True)
class FeedLine:
    """One stream, followed or not."""

    stream: str
    cursor: Cursor | None = None
    look: Listening | None = None
    begun: Begun | None = None
    received: int = 0
    question: Approval | None = None

    @property
    def name(self) -> Any:
        """What people call it."""
        return NAMES.get(self.stream, self.stream)

    @property
    def shape(self) -> str:
        """The shape of its state: what is followed and did not answer last differs from what did."""
        if self.cursor is None or self.cursor.state == CursorState.STOPPED:
            return "-"
        if self.look is not None and self.look.problem:
            return "!"
        return "=" if self.cursor.state == CursorState.FOLLOWING else "~"

    @property
    def words(self) -> str:
        """Its state in words."""
        return _("not followed") if self.cursor is None else str(self.cursor.get_state_display())

    @property
    def heard_until(self) -> datetime | None:
        """By its system's own clock: everything up to then was heard."""
        return moment_of(self.cursor.position) if self.cursor is not None else None

    @property
    def is_on(self) -> bool:
        """Whether it is listened to, or waits to be."""
        return self.cursor is not None and self.cursor.state != CursorState.STOPPED


def lines(system: System, *, at: datetime) -> list[FeedLine]:
    """Each stream that can be followed, in their order. One query where none ever was, else five."""
    looks = {
        look.cursor.stream: look for look in Listening.objects.filter(cursor__system=system).select_related("cursor")
    }
    if not looks:
        return [FeedLine(stream=stream) for stream in STREAMS]
    ids = [look.cursor_id for look in looks.values()]
    begun, received, question = _begun(ids), _received(ids, at=at), open_about(system, ApprovalKind.REWIND)
    found = []
    for stream in STREAMS:
        look = looks.get(stream)
        if look is None:
            found.append(FeedLine(stream=stream))
            continue
        is_asked = question is not None and question.facts["cursor"] == str(look.cursor_id)
        found.append(
            FeedLine(
                stream=stream, cursor=look.cursor, look=look, begun=begun.get(str(look.cursor_id)),
                received=received.get(look.cursor_id, 0), question=question if is_asked else None,
            )
        )  # fmt: skip
    return found


def one(cursor: Cursor, *, at: datetime) -> FeedLine:
    """One stream that is, or was, followed."""
    return next(line for line in lines(cursor.system, at=at) if line.stream == cursor.stream)


def _received(ids: list[UUID], *, at: datetime) -> dict[UUID, int]:
    rows = Received.objects.filter(token_id__in=ids, source=ReceivedFrom.FEED, received_at__gte=at - DAY)
    return dict(rows.order_by().values_list("token_id").annotate(n=Count("pk")))


def _begun(ids: list[UUID]) -> dict[str, Begun]:
    """The newest of what each began anew by, by the id of its cursor."""
    because = {
        Event.FEED_GOES_ON.value: _("after a complete reading"),
        Event.FEED_REWOUND.value: _("after a rewind"),
    }
    subjects = JournalSubject.objects.filter(kind="cursor", subject_id__in=[str(pk) for pk in ids])
    entries = JournalEntry.objects.filter(id__in=subjects.values("entry_id"), event__in=list(because))
    entries = entries.order_by("-id")[:LOOKED_BACK]
    told = {entry.pk: Begun(at=entry.at, because=because[entry.event]) for entry in entries}
    of = subjects.filter(entry_id__in=list(told)).order_by("entry_id").values_list("subject_id", "entry_id")
    return {cursor: told[entry] for cursor, entry in of}
