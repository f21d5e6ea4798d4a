"""Policy exceptions: departures that somebody asked for, somebody else approved, and that always end."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from accounts.models.account import Account
from accounts.models.exception import ExceptionKind, PolicyException
from accounts.models.system import ReactivationPolicy, System
from accounts.states import Event
from audit.cause import current
from audit.journal import Subject, record


class CantExcept(ValueError):
    """The exception can't be made so; the message says what is missing."""


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
    """An exception that the command line makes with a system, such as the sandbox's. It ends like any other.

    Raises `CantExcept` when its end is not ahead.
    """
    _must_end(until=until, at=at)
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
    about: System | Account,
    reason: str,
    asked_by: UUID,
    approved_by: UUID,
    until: datetime,
    at: datetime,
) -> PolicyException:
    """An exception between two people, about a system or an account.

    Raises `CantExcept`, also where somebody approves what they asked for.
    """
    _must_end(until=until, at=at)
    if asked_by == approved_by:
        raise CantExcept("an exception is asked for by one person and approved by another")
    made = PolicyException.objects.create(
        tenant_id=about.tenant_id,
        kind=kind,
        system=about if isinstance(about, System) else None,
        account=about if isinstance(about, Account) else None,
        reason=reason,
        asked_by_id=asked_by,
        approved_by_id=approved_by,
        starts_at=at,
        until=until,
    )
    _record_made(made, about)
    return made


def _must_end(*, until: datetime, at: datetime) -> None:
    if until <= at:
        raise CantExcept("an exception ends, and its end lies ahead")


def end(*, exception: PolicyException, reason: str, at: datetime) -> PolicyException:
    """End an exception before its time. One that has ended stays as it is."""
    with transaction.atomic():
        found = PolicyException.objects.select_for_update(of=("self",)).get(pk=exception.pk)
        if found.ended_at is not None or found.until <= at:
            return found
        found.ended_at = at
        found.save(update_fields=["ended_at"])
        record(
            event=Event.EXCEPTION_ENDED,
            sentence=f"{current().actor}: {found.get_kind_display()} ended. {reason}",
            subjects=[Subject("exception", str(found.pk), str(found))],
        )
    return found


def _record_made(made: PolicyException, about: System | Account) -> None:
    if isinstance(about, System):
        what, subject = f"at {about}", Subject("system", str(about.pk), about.name)
    else:
        what, subject = f"of {about.user_name}", Subject("account", str(about.pk), about.user_name)
    record(
        event=Event.EXCEPTION_MADE,
        sentence=f"{current().actor}: {made.get_kind_display()} {what}, until {made.until:%Y-%m-%d}. {made.reason}",
        subjects=[subject, Subject("exception", str(made.pk), str(made))],
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
