"""One reading of a whole system, page by page, and what proves that it is whole.

A page is read outside of any transaction; what it showed and where to go on are written in one, so a crash at any
place costs a page and nothing else. Whoever works on a run holds its lease: one who was replaced meanwhile can read,
but no longer write. Absence means nothing unless every proof holds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import structlog
from django.db import connection as database
from django.db.models import Count, QuerySet

from audit import crashpoints
from audit.models import Cause, CauseKind
from audit.redaction import redact_text
from audit.scope import scope
from audit.transitions import move
from provisioning import authority, connections
from provisioning.changes import fold, user_name_key
from provisioning.connectors.readings import BadAnswer, GroupReading, Reading, attribute
from provisioning.connectors.scim import Directory, Page, ResourceType
from provisioning.models.authority import FieldAuthority
from provisioning.models.connection import Connection
from provisioning.models.run import Run, RunState
from provisioning.models.snapshot import Snapshot, SnapshotProof, SnapshotState, StagedMember, StagedResource
from provisioning.states import SNAPSHOT

log = structlog.get_logger("rollcall.readings")

Word = SnapshotProof.Word
ENDPOINTS: Mapping[str, ResourceType] = {"User": "Users", "Group": "Groups"}
_NEXT = {"User": "Group", "Group": None}
# By these a server says that it has no such endpoint (RFC 7644, 3.12).
ABSENT = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.NOT_IMPLEMENTED})
# How long one page may wait for a server that says that it is busy, in seconds; past that the slice ends.
PATIENCE = 5.0
LONGEST = 400  # characters of an id or a name, as the columns'
PAGE_READ = crashpoints.point("snapshot.page_read", where="a page is read, nothing of it is written")
PAGE_STAGED = crashpoints.point("snapshot.page_staged", where="a page and its cursor are written, not committed")
PAGE_WRITTEN = crashpoints.point("snapshot.page_written", where="a page and its cursor are committed")


class LeaseLost(RuntimeError):
    """Somebody else works on this run now, or it has ended: nothing was written."""


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


@dataclass(frozen=True)
class _Unreadable:
    """There is nothing of this kind to be read, and why."""

    reason: str


@dataclass(frozen=True)
class _Place:
    """Where a reading goes on."""

    resource_type: str
    index: int


def begin(*, run: Run, at: datetime) -> Snapshot:
    """The reading of a run, with nothing read yet."""
    made: Snapshot = Snapshot.objects.create(tenant_id=run.tenant_id, run=run, system=run.system, started_at=at)
    return made


# -- listing


def read_pages(*, work: Work, go_on: Callable[[], bool]) -> bool:
    """Read and stage pages, at least one, while `go_on` says so. True when the last page is staged; safe to call again at any time.

    Opens its own scopes, and none while it waits for the network. Raises an `EgressError` with a sentence for people,
    `LeaseLost`, or `StopAsked`.
    """
    with scope(tenant=work.tenant):
        snapshot = Snapshot.objects.get(run=work.run)
        connection = Connection.objects.get(system=snapshot.system_id)
    if snapshot.state != SnapshotState.LISTING:
        return True
    place: _Place | None = _Place(snapshot.resource_type, snapshot.next_index)
    with connections.reader(connection) as client:
        directory = Directory(client, max_wait_seconds=PATIENCE)
        while place is not None:
            page = _read_page(directory, place, count=connection.page_size)
            crashpoints.here(PAGE_READ)
            place = _keep(work, place, page)
            crashpoints.here(PAGE_WRITTEN)
            if not go_on():
                break
    return place is None


def _read_page(directory: Directory, place: _Place, *, count: int) -> Page | _Unreadable:
    """One page; or that there are no groups to be read there, which says nothing about its accounts."""
    endpoint = ENDPOINTS[place.resource_type]
    try:
        return next(directory.pages(endpoint, count=count, start_index=place.index))
    except BadAnswer as error:
        # A server need not have groups (RFC 7644, 4). What has begun to be listed must be listed to its end.
        if place.resource_type == "User" or place.index > 1:
            raise
        if error.status not in ABSENT and directory.offers(endpoint) is not False:
            raise
        return _Unreadable(error.reason)


def _keep(work: Work, place: _Place, page: Page | _Unreadable) -> _Place | None:
    """Stage one page and move the cursor, in one transaction. Returns where to go on, or None after the last page."""
    with work.writing() as run:
        snapshot = Snapshot.objects.select_for_update().get(run=run)
        if (snapshot.resource_type, snapshot.next_index) != (place.resource_type, place.index):
            raise LeaseLost("the cursor has moved since this page was asked for")
        if isinstance(page, _Unreadable):
            snapshot.unreadable = snapshot.unreadable | {place.resource_type: redact_text(page.reason)}
            following = _next_type(place)
        else:
            _stage(snapshot, page, authority.rules_for(run.system))
            following = _after(place, page)
            snapshot.first_totals = {place.resource_type: page.total_results} | snapshot.first_totals
            snapshot.last_totals = snapshot.last_totals | {place.resource_type: page.total_results}
            snapshot.pages += 1
            snapshot.next_index = place.index + page.items_per_page
        if following is None:
            move(snapshot, SnapshotState.VERIFYING, by=SNAPSHOT)
        else:
            snapshot.resource_type, snapshot.next_index = following.resource_type, following.index
        snapshot.save()
        crashpoints.here(PAGE_STAGED)
    if run.stop_asked_at is not None:
        raise StopAsked
    return following


def _after(place: _Place, page: Page) -> _Place | None:
    index = place.index + page.items_per_page
    if index <= page.total_results:
        return _Place(place.resource_type, index)
    return _next_type(place)


def _next_type(place: _Place) -> _Place | None:
    following = _NEXT[place.resource_type]
    return _Place(following, 1) if following else None


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
