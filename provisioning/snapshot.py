"""One reading of a whole system, page by page, and what proves that it is whole.

A page is read outside of any transaction; what it showed and where to go on are written in one, so a crash at any
place costs a page and nothing else. Whoever works on a run holds its lease: one who was replaced meanwhile can read,
but no longer write. Absence means nothing unless every proof holds.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

import structlog
from django.db import connection as database
from django.db.models import Count, QuerySet

from audit import crashpoints
from audit.models import Cause, CauseKind
from audit.redaction import redact_text
from audit.scope import scope
from audit.transitions import move
from provisioning import authority, readers
from provisioning.changes import fold, user_name_key
from provisioning.connectors.addresses import EgressError
from provisioning.connectors.contract import Kind, Page, Unreadable
from provisioning.connectors.readings import BadAnswer, GroupReading, Reading, attribute
from provisioning.models.authority import FieldAuthority
from provisioning.models.connection import Connection
from provisioning.models.run import Run, RunState
from provisioning.models.snapshot import Snapshot, SnapshotProof, SnapshotState, StagedMember, StagedResource
from provisioning.states import SNAPSHOT

log = structlog.get_logger("rollcall.readings")

Word = SnapshotProof.Word
# The kinds in the order in which they are read, and what several of each are called.
KINDS: Final[Mapping[Kind, str]] = {"User": "Users", "Group": "Groups"}
_NEXT: Final[Mapping[Kind, Kind | None]] = {"User": "Group", "Group": None}
# How long one page may wait for a server that says that it is busy, in seconds; past that the slice ends.
PATIENCE = 5.0
# How long a listing may take that can't go on in another slice, in seconds.
WITHOUT_PAUSE = 600.0
LONGEST = 400  # characters of an id or a name, as the columns'
PAGE_READ = crashpoints.point("snapshot.page_read", where="a page is read, nothing of it is written")
PAGE_STAGED = crashpoints.point("snapshot.page_staged", where="a page and its cursor are written, not committed")
PAGE_WRITTEN = crashpoints.point("snapshot.page_written", where="a page and its cursor are committed")


class LeaseLost(RuntimeError):
    """Somebody else works on this run now, or it has ended: nothing was written."""


class TooSlow(EgressError):
    """A listing that can't go on where it stood takes longer than one may hold a worker."""


class StopAsked(RuntimeError):
    """Somebody asked for the run to stop after the page at hand: it was written, no other is read."""


def cause(run: UUID) -> Cause:
    """Why a run writes. A new one for each transaction."""
    return Cause(kind=CauseKind.TASK, actor="reconciliation", subject=str(run), reason="a system is read")


@dataclass(frozen=True, kw_only=True)
class Work:
    """A run that this process has claimed; `lease` is the number it got, and tells it from whoever comes after."""

    tenant: UUID
    run: UUID
    lease: int

    @contextmanager
    def writing(self) -> Iterator[Run]:
        """A scope in which the run is locked and still ours. Raises `LeaseLost` before anything is written."""
        with scope(tenant=self.tenant, cause=cause(self.run)):
            run = Run.objects.select_for_update(of=("self",)).select_related("system").filter(pk=self.run).first()
            if run is None or run.lease != self.lease or run.state != RunState.RUNNING:
                raise LeaseLost("another worker has taken this run, or it has ended")
            yield run


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a reading goes on: at `position`, which is "" at the beginning of a kind.

    `stored` and `index` are what its row says: whoever finds another row there was overtaken.
    """

    kind: Kind
    position: str
    stored: str
    index: int


def begin(*, run: Run, at: datetime) -> Snapshot:
    """The reading of a run, with nothing read yet."""
    made: Snapshot = Snapshot.objects.create(tenant_id=run.tenant_id, run=run, system=run.system, started_at=at)
    return made


# -- listing


def read_pages(*, work: Work, go_on: Callable[[], bool], prolong: Callable[[Run], None] = lambda _run: None) -> bool:
    """Read and stage pages, at least one, while `go_on` says so. True when the last page is staged; safe to call again at any time.

    Opens its own scopes, and none while it waits for the network. Where a listing can't go on in another slice it is read
    to its end in this one, anew if it had begun, and `prolong` keeps the lease with each page. Raises an `EgressError`
    with a sentence for people, `LeaseLost`, or `StopAsked`.
    """
    with scope(tenant=work.tenant):
        snapshot = Snapshot.objects.get(run=work.run)
        connection = Connection.objects.get(system=snapshot.system_id)
    if snapshot.state != SnapshotState.LISTING:
        return True
    ends_at = time.monotonic() + WITHOUT_PAUSE
    with readers.opened(connection, max_wait_seconds=PATIENCE) as reader:
        place: _Place | None = _place(snapshot, position=snapshot.position if reader.resumes else "")
        while place is not None:
            page = reader.page(place.kind, position=place.position, count=connection.page_size)
            crashpoints.here(PAGE_READ)
            place = _keep(work, place, page)
            crashpoints.here(PAGE_WRITTEN)
            if reader.resumes and not go_on():
                break
            if not reader.resumes and place is not None:
                _hold_on(work, prolong, ends_at=ends_at)
    return place is None


def _hold_on(work: Work, prolong: Callable[[Run], None], *, ends_at: float) -> None:
    """A listing that can't go on later keeps its worker, though not for ever."""
    if time.monotonic() > ends_at:
        raise TooSlow(f"Reading it takes more than {WITHOUT_PAUSE / 60:g} minutes, and can't be interrupted.")
    with work.writing() as run:
        prolong(run)


def _place(snapshot: Snapshot, *, position: str) -> _Place:
    return _Place(
        kind=cast("Kind", snapshot.resource_type),
        position=position,
        stored=snapshot.position,
        index=snapshot.next_index,
    )


def _keep(work: Work, place: _Place, page: Page | Unreadable) -> _Place | None:
    """Stage one page and move the cursor, in one transaction. Returns where to go on, or None after the last page."""
    with work.writing() as run:
        snapshot = Snapshot.objects.select_for_update().get(run=run)
        if snapshot.state != SnapshotState.LISTING or _place(snapshot, position=place.position) != place:
            raise LeaseLost("the cursor has moved since this page was asked for")
        if isinstance(page, Unreadable):
            snapshot.unreadable = snapshot.unreadable | {place.kind: redact_text(page.reason)}
        else:
            _keep_page(snapshot, place, page, authority.rules_for(run.system))
        if isinstance(page, Unreadable) or page.position is None:
            _next_kind(snapshot, after=place.kind)
        snapshot.save()
        crashpoints.here(PAGE_STAGED)
    if run.stop_asked_at is not None:
        raise StopAsked
    return _place(snapshot, position=snapshot.position) if snapshot.state == SnapshotState.LISTING else None


def _next_kind(snapshot: Snapshot, *, after: Kind) -> None:
    following = _NEXT[after]
    if following is None:
        move(snapshot, SnapshotState.VERIFYING, by=SNAPSHOT)
    else:
        snapshot.resource_type, snapshot.next_index, snapshot.position = following, 1, ""


def _keep_page(snapshot: Snapshot, place: _Place, page: Page, rules: Sequence[FieldAuthority]) -> None:
    """What the page shows, and where the next one begins."""
    if page.position is not None and page.position == place.position:
        raise BadAnswer("A listing goes on where it stood: it would never end.")
    if place.position == "" and place.index > 1:
        # The listing of this kind begins anew: what it had shown so far it shows again.
        _empty(snapshot)
        snapshot.next_index = 1
    is_first = place.position == ""
    _stage(snapshot, page, rules)
    snapshot.next_index += len(page.resources)
    # Where nothing is said, as many as came are all that there are: that it was read to its end is another proof.
    total = snapshot.next_index - 1 if page.total is None else page.total
    if is_first:
        snapshot.first_totals = snapshot.first_totals | {place.kind: page.total}
    snapshot.last_totals = snapshot.last_totals | {place.kind: total}
    snapshot.pages += 1
    snapshot.position = page.position or ""
    if page.as_of is not None:
        snapshot.dated_at = page.as_of if snapshot.dated_at is None else min(page.as_of, snapshot.dated_at)


def _empty(snapshot: Snapshot) -> None:
    staged(snapshot).filter(resource_type=snapshot.resource_type).delete()
    if snapshot.resource_type == "Group":
        StagedMember.objects.filter(snapshot=snapshot).delete()


def _stage(snapshot: Snapshot, page: Page, rules: Sequence[FieldAuthority]) -> None:
    """One statement for the resources of a page, one for its members. What can't be read leaves no row: then the
    reading isn't drained, and says so.
    """
    is_user = snapshot.resource_type == "User"
    rows: list[StagedResource] = []
    groups: list[str] = []
    members: list[str] = []
    for resource in page.resources:
        try:
            row, of_group = _user(snapshot, resource, rules) if is_user else _group(snapshot, resource)
        except BadAnswer as error:
            log.warning("a resource could not be read", snapshot=str(snapshot.pk), reason=redact_text(error.reason))
            continue
        rows.append(row)
        groups += [row.remote_id] * len(of_group)
        members += of_group
    StagedResource.objects.bulk_create(rows)
    if members:
        with database.cursor() as cursor:
            cursor.execute(
                "INSERT INTO provisioning_stagedmember (id, tenant_id, snapshot_id, group_id, member_id)"
                " SELECT gen_random_uuid(), %s, %s, m.grp, m.member FROM unnest(%s::text[], %s::text[]) AS m (grp, member)",
                [snapshot.tenant_id, snapshot.pk, groups, members],
            )


def _user(
    snapshot: Snapshot, resource: Mapping[str, Any], rules: Sequence[FieldAuthority]
) -> tuple[StagedResource, list[str]]:
    reading = Reading.of(resource)
    shown = attribute(resource, "displayName")
    # Only what is compared is kept: the roll needs no second copy of a person's data.
    seen = {"displayName": shown, "displayNameKey": fold(shown)[:LONGEST]} if isinstance(shown, str) else {}
    # As a request that said the same would be heard.
    word = authority.status(active=reading.active, document=reading.document, rules=rules)
    if word.active is False and reading.active is not False:
        seen["because"] = word.because
    row = _row(snapshot, reading.id, reading.external_id, reading.user_name, user_name_key(reading.user_name))
    row.active, row.means_active, row.digest, row.document = reading.active, word.active, reading.digest, seen
    return row, []


def _group(snapshot: Snapshot, resource: Mapping[str, Any]) -> tuple[StagedResource, list[str]]:
    reading = GroupReading.of(resource)
    row = _row(snapshot, reading.id, reading.external_id, reading.display_name, fold(reading.display_name).strip())
    return row, [_short(one) for one in (*reading.member_ids, *reading.group_ids)]


def _row(snapshot: Snapshot, remote_id: str, external_id: str | None, name: str, name_key: str) -> StagedResource:
    return StagedResource(
        tenant_id=snapshot.tenant_id,
        snapshot=snapshot,
        resource_type=snapshot.resource_type,
        remote_id=_short(remote_id),
        external_id=_short(external_id or ""),
        name=_short(name),
        name_key=_short(name_key),
    )


def _short(text: str) -> str:
    # Cut off it could equal another one.
    if len(text) > LONGEST:
        raise BadAnswer(f"An id or a name is longer than {LONGEST} characters.")
    return text


def counts(snapshot: Snapshot) -> dict[str, int]:
    """How much was read so far."""
    kinds = dict(staged(snapshot).values_list("resource_type").annotate(n=Count("pk")))
    read = {"pages": snapshot.pages, "users": kinds.get("User", 0)}
    if "Group" in snapshot.unreadable:
        # Unknown is not zero.
        return read
    members = StagedMember.objects.filter(snapshot=snapshot).count()
    return {**read, "groups": kinds.get("Group", 0), "members": members}


@dataclass(frozen=True)
class Progress:
    """How far a reading is, as its cursor says. `of` is what the system announced so far; None: it has not said."""

    pages: int
    accounts: int
    groups: int
    accounts_of: int | None
    groups_of: int | None


def progress(snapshot: Snapshot) -> Progress:
    """By its cursor alone: what is staged is not counted, however much it is."""
    is_at_groups = snapshot.resource_type == "Group"
    here = snapshot.next_index - 1
    of = snapshot.last_totals
    is_listed = snapshot.state != SnapshotState.LISTING
    return Progress(
        pages=snapshot.pages,
        accounts=of.get("User", 0) if is_at_groups else here,
        # The last page moves no cursor.
        groups=of.get("Group", 0) if is_listed else here if is_at_groups else 0,
        accounts_of=of.get("User"),
        groups_of=of.get("Group"),
    )


def discard(snapshot: Snapshot) -> None:
    """Forget what was staged: what it showed is in findings, plans and proofs by now."""
    staged(snapshot).delete()
    StagedMember.objects.filter(snapshot=snapshot).delete()


def staged(snapshot: Snapshot) -> QuerySet[StagedResource]:
    """The resources that were read so far."""
    return StagedResource.objects.filter(snapshot=snapshot)
