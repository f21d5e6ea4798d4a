"""Not having looked is itself a finding: of each system without a complete reading inside its goal."""

import re
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Max

from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.finding import FindingKind, Severity
from accounts.models.system import System
from provisioning import differences
from provisioning.models.connection import Connection, Connector
from provisioning.models.upload import Upload

_ADDRESS = re.compile(r"https?://[^\s,]*[^\s,.:;]")


def not_measured_key(system: UUID) -> str:
    """The dedupe key of "this system is not measured"."""
    return f"not_measured:{system}"


_KEYS = (not_measured_key, differences.unread_key, differences.left_out_key)


def watch_freshness(*, at: datetime) -> int:
    """Open `not measured` for each system without a complete reading inside its goal. Returns how many are."""
    connections = {c.system_id: c for c in Connection.objects.all()}
    files = dict(Upload.objects.order_by().values_list("system").annotate(Max("made_at")))
    wrongs = [
        wrong
        for system in System.objects.filter(ended_at__isnull=True)
        if (wrong := _not_measured(system, connections.get(system.pk), files.get(system.pk), at=at)) is not None
    ]
    open_or_raise(wrongs, at=at)
    ended = System.objects.filter(ended_at__isnull=False).values_list("pk", flat=True)
    keys = [key(pk) for pk in ended for key in _KEYS]
    resolve(keys, because="the system has ended", at=at)
    return len(wrongs)


def _not_measured(
    system: System, connection: Connection | None, file_of: datetime | None, *, at: datetime
) -> Wrong | None:
    goal = timedelta(minutes=connection.freshness_minutes) if connection else timedelta(0)
    last = connection.last_complete_at if connection else None
    if connection is not None and last is not None and at - last <= goal:
        return None
    since = f"last read completely {last:%Y-%m-%d %H:%M} UTC" if last else "never read completely"
    stage, why = _why(connection, file_of, at=at)
    # An address is evidence, and no part of a title.
    short = _ADDRESS.sub("its server", why)
    return Wrong(
        kind=FindingKind.NOT_MEASURED,
        key=not_measured_key(system.pk),
        title=f"{system.name} is not measured, {since}: {short}",
        severity=Severity.MEDIUM if connection is None else Severity.HIGH,
        system=system.pk,
        evidence={"last_complete_at": last.isoformat() if last else None, "why": why},
        due_at=(last or system.made_at) + goal + timedelta(days=1),
        stage=stage,
    )


def _why(connection: Connection | None, file_of: datetime | None, *, at: datetime) -> tuple[str, str]:
    """A word that changes when the reason does, and the reason. `file_of` is when the newest file of it was made."""
    if connection is None or connection.connector == Connector.NONE:
        return "not connected", "it is not connected"
    if connection.paused_at is not None:
        return "paused", f"paused since {connection.paused_at:%Y-%m-%d %H:%M} UTC"
    if connection.connector == Connector.FILE and (old := _no_file(connection, file_of, at=at)):
        return old
    if connection.last_problem:
        return "failing", connection.last_problem
    return "waiting", "no reading has ended since" if connection.last_complete_at else "no reading has ended yet"


def _no_file(connection: Connection, file_of: datetime | None, *, at: datetime) -> tuple[str, str] | None:
    """What is wrong with the files that are sent, whatever came of reading them."""
    if file_of is None:
        return "no file", "no file of it has come yet"
    if at - file_of > timedelta(minutes=connection.freshness_minutes):
        goal = f"its goal of {connection.freshness_minutes} minutes"
        return (
            "stale file",
            f"its newest file was made {file_of:%Y-%m-%d %H:%M} UTC and is older than {goal}: send another",
        )
    return None
