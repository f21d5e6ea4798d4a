"""Systems, and who administers them: the only writer of System.

Whoever makes a system, touches its connection, makes its token or changes its policy is written down with it: for 30
days they count as having asked for what that system asks for, and can't approve it. How a system is read stands in
`connections`, how it authenticates itself to us in `tokens`.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from accounts import exceptions
from accounts.models.exception import ExceptionKind
from accounts.models.system import ReactivationPolicy, System, SystemAdministrator, SystemKind
from audit.cause import current
from audit.journal import Subject, record
from provisioning.models.connection import Connection, SystemToken
from provisioning.states import Event

Because = SystemAdministrator.Because

# How long somebody counts as a requester after they administered a system (`domain.md`, invariant 6).
COUNTS_FOR = timedelta(days=30)
MOST_GRACE = 720  # hours


class BadSystem(ValueError):
    """What was asked for a system, connection or token can't be so; the message says what to do."""


def _subject(system: System) -> Subject:
    return Subject("system", str(system.pk), system.name)


def note(system: System, *, event: Event, sentence: str) -> None:
    """One entry of the journal about a system, by whoever acts."""
    record(event=event, sentence=f"{current().actor}: {system.name}: {sentence}", subjects=[_subject(system)])


def administered(
    system: System, *, because: Because, who: UUID | None, at: datetime, until: datetime | None = None
) -> None:
    """Write down that somebody administered it. Setup has no identity, and can't approve anything either."""
    identity = who or current().identity_id
    if identity is not None:
        SystemAdministrator.objects.create(
            tenant_id=system.tenant_id, system=system, identity_id=identity, because=because, since=at, until=until
        )


def every_administered(*, because: Because, at: datetime, event: Event, sentence: str) -> None:
    """The same for every living system, with one entry that names them all: what was changed counts for each."""
    living = list(System.objects.filter(ended_at__isnull=True).order_by("name"))
    identity, actor = current().identity_id, current().actor
    if identity is not None:
        SystemAdministrator.objects.bulk_create(
            SystemAdministrator(tenant_id=one.tenant_id, system=one, identity_id=identity, because=because, since=at)
            for one in living
        )
    record(event=event, sentence=f"{actor}: every system: {sentence}", subjects=[_subject(one) for one in living])


def make_system(
    *,
    tenant_id: UUID,
    name: str,
    kind: SystemKind,
    made_by: UUID | None,
    at: datetime,
    policy: ReactivationPolicy = ReactivationPolicy.APPROVAL,
    grace_hours: int = 24,
) -> System:
    """A new system; `made_by` administers it. A policy other than `approval` takes effect only with an exception."""
    name = name.strip()
    if not name:
        raise BadSystem(_("A system needs a name."))
    _check_grace(grace_hours)
    with transaction.atomic():
        same = System.objects.filter(name__iexact=name).first()
        if same is not None:
            raise BadSystem(_("There is a system %(name)s already: choose another name.") % {"name": same.name})
        made: System = System.objects.create(
            tenant_id=tenant_id, name=name, kind=kind, reactivation_policy=policy, grace_hours=grace_hours, made_at=at
        )
        administered(made, because=Because.ADMINISTERS, who=made_by, at=at)
        note(made, event=Event.SYSTEM_MADE, sentence=f"made, {made.get_kind_display()}")
    return made


def end_system(*, system: System, reason: str, at: datetime) -> System:
    """Nothing is taken from it nor read in it any more: its tokens end, and its connection pauses."""
    with transaction.atomic():
        found = _locked(system)
        if found.ended_at is not None:
            return found
        found.ended_at = at
        found.save(update_fields=["ended_at"])
        tokens = SystemToken.objects.filter(
            Q(ended_at__isnull=True) | Q(ended_at__gt=at), system=found, expires_at__gt=at
        )
        tokens.update(ended_at=at)
        Connection.objects.filter(system=found, paused_at__isnull=True).update(paused_at=at)
        administered(found, because=Because.ADMINISTERS, who=None, at=at, until=at)
        note(found, event=Event.SYSTEM_ENDED, sentence=f"ended with its tokens. {reason}")
    return found


def add_administrator(*, system: System, identity: UUID, at: datetime, reason: str = "") -> None:
    """Somebody administers it from now on. Who does already is left as they are. Raises `BadSystem` for an ended one."""
    with transaction.atomic():
        found = living(system)
        live = SystemAdministrator.objects.filter(
            system=found, identity=identity, because=Because.ADMINISTERS, until__isnull=True
        )
        if not live.exists():
            administered(found, because=Because.ADMINISTERS, who=identity, at=at)
            note(found, event=Event.ADMINISTRATORS_CHANGED, sentence=f"one more administers it. {reason}".strip())


def end_administrator(*, system: System, identity: UUID, at: datetime, reason: str = "") -> None:
    """Somebody administers it no longer; for 30 days they still count."""
    with transaction.atomic():
        ended = SystemAdministrator.objects.filter(
            system=_locked(system), identity=identity, because=Because.ADMINISTERS, until__isnull=True
        ).update(until=at)
        if ended:
            note(system, event=Event.ADMINISTRATORS_CHANGED, sentence=f"one less administers it. {reason}".strip())


def change_policy(
    *, system: System, policy: ReactivationPolicy, reason: str, at: datetime, grace_hours: int | None = None
) -> System:
    """Say what a wish to come back needs. `grace` and `automatic` take effect only while an exception is live.

    Raises `BadSystem` for an ended system.
    """
    if grace_hours is not None:
        _check_grace(grace_hours)
    with transaction.atomic():
        found = living(system)
        hours = found.grace_hours if grace_hours is None else grace_hours
        if (found.reactivation_policy, found.grace_hours) == (policy, hours):
            return found
        found.reactivation_policy, found.grace_hours = policy, hours
        found.save(update_fields=["reactivation_policy", "grace_hours"])
        administered(found, because=Because.CHANGED_POLICY, who=None, at=at)
        excused = exceptions.live(kind=ExceptionKind.REACTIVATION, system=found.pk, at=at)
        effect = "" if policy == ReactivationPolicy.APPROVAL or excused else " (no effect: no exception is live)"
        label = found.get_reactivation_policy_display()
        note(found, event=Event.POLICY_CHANGED, sentence=f"policy is now “{label}”{effect}. {reason}")
    return found


def change_strictness(*, system: System, is_strict: bool, reason: str, at: datetime) -> System:
    """Say whether what is not plain SCIM is refused, or read as it was meant. Raises `BadSystem` for an ended system.

    It can make endings fail as well as pass, so whoever changes it counts as for a change of the policy.
    """
    with transaction.atomic():
        found = living(system)
        if found.is_strict == is_strict:
            return found
        found.is_strict = is_strict
        found.save(update_fields=["is_strict"])
        administered(found, because=Because.CHANGED_POLICY, who=None, at=at)
        said = "strict: what is not plain SCIM is refused" if is_strict else "tolerant: what is meant is read"
        note(found, event=Event.STRICTNESS_CHANGED, sentence=f"now {said}. {reason}")
    return found


def requesters(*, system: System, at: datetime) -> set[UUID]:
    """The identities that count as having asked for what this system asks for, and so can't approve it.

    Who administers it, and who administered it, made its token or changed its policy in the last 30 days.
    """
    since = at - COUNTS_FOR
    lately = Q(until__gt=since) | Q(until__isnull=True, since__gt=since)
    rows = SystemAdministrator.objects.filter(
        Q(because=Because.ADMINISTERS, until__isnull=True) | lately, system=system, since__lte=at
    )
    return set(rows.values_list("identity", flat=True))


def changed_lately(*, system: System, at: datetime) -> set[UUID]:
    """The identities that changed how a system is read or what its word is worth, in the last 30 days."""
    since = at - COUNTS_FOR
    lately = Q(until__gt=since) | Q(until__isnull=True, since__gt=since)
    return set(SystemAdministrator.objects.filter(lately, system=system).values_list("identity", flat=True))


def _locked(system: System) -> System:
    return System.objects.select_for_update().get(pk=system.pk)


def living(system: System) -> System:
    """The system, locked: whoever administers it waits here. Raises `BadSystem` for one that has ended."""
    found = _locked(system)
    if found.ended_at is not None:
        raise BadSystem(_("%(system)s has ended: nothing of it can be changed any more.") % {"system": found.name})
    return found


def _check_grace(hours: int) -> None:
    if not 1 <= hours <= MOST_GRACE:
        raise BadSystem(_("The hours of grace must be from 1 to %(most)s.") % {"most": MOST_GRACE})


def still_active_key(system: UUID, account: UUID) -> str:
    """The dedupe key of "off here, still active there": a whole reading and a targeted one mean the same finding."""
    return f"still_active:{system}:{account}"
