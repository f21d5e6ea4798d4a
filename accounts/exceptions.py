"""Policy exceptions: departures that somebody asked for, somebody else approved, and that always end."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from accounts.models.exception import ExceptionKind, PolicyException
from accounts.models.system import ReactivationPolicy, System
from accounts.states import Event
from audit.cause import current
from audit.journal import Subject, record


def live(*, kind: ExceptionKind, system: UUID, at: datetime) -> PolicyException | None:
    """The exception of that kind in force for a system, if there is one; the one that ends last."""
    return (
        PolicyException.objects.filter(
            Q(ended_at__isnull=True) | Q(ended_at__gt=at), kind=kind, system=system, starts_at__lte=at, until__gt=at
        )
        .order_by("-until")
        .first()
    )


def make_for_setup(
    *, kind: ExceptionKind, system: System, reason: str, until: datetime, at: datetime
) -> PolicyException:
    """An exception that the command line makes with a system, such as the sandbox's. It ends like any other."""
    made = PolicyException.objects.create(
        tenant_id=system.tenant_id,
        kind=kind,
        system=system,
        reason=reason,
        made_by_setup=True,
        starts_at=at,
        until=until,
    )
    _record_made(made, system)
    return made


def make(
    *,
    kind: ExceptionKind,
    system: System,
    reason: str,
    asked_by: UUID,
    approved_by: UUID,
    until: datetime,
    at: datetime,
) -> PolicyException:
    """An exception between two people. The database refuses one who approves what they asked for."""
    made = PolicyException.objects.create(
        tenant_id=system.tenant_id,
        kind=kind,
        system=system,
        reason=reason,
        asked_by_id=asked_by,
        approved_by_id=approved_by,
        starts_at=at,
        until=until,
    )
    _record_made(made, system)
    return made


def _record_made(made: PolicyException, system: System) -> None:
    record(
        event=Event.EXCEPTION_MADE,
        sentence=f"{current().actor}: {made.get_kind_display()} at {system}, until {made.until:%Y-%m-%d}. {made.reason}",
        subjects=[Subject("system", str(system.pk), system.name), Subject("exception", str(made.pk), str(made))],
    )


def excuses_approval(*, system: System, ended_at: datetime | None, at: datetime) -> PolicyException | None:
    """The live exception under which this system's accounts come back without approval, if there is one.

    A policy of `grace` counts only within its hours after the ending; a policy alone, without an exception, never.
    """
    if system.reactivation_policy == ReactivationPolicy.APPROVAL:
        return None
    if system.reactivation_policy == ReactivationPolicy.GRACE and (
        ended_at is None or at - ended_at > timedelta(hours=system.grace_hours)
    ):
        return None
    return live(kind=ExceptionKind.REACTIVATION, system=system.pk, at=at)
