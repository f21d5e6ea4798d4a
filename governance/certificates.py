"""The daily certificate: each night, for each tenant, what was measured is signed, and kept with the evidence.

    issue(tenant=…, day=…, key=…, at=…) -> Certificate      once for a day; while the day after it lasts, and never later
    nights(tenant=…, at=…, count=…) -> list[Night]          the last nights, also those without one
    watch(tenant=…, at=…)                                   a night without one is a finding

It says what was so when it was made: nobody can make one for a night that is over. It names the last seal, and the
certificate before it by a digest, so that a file that was taken away leaves a gap. The key is that of the seals, in a file
of the worker's: no role of the database can read it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Q

from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.exception import PolicyException
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.tenant import Tenant
from accounts.states import FINDING_LIVE, FINDING_OPEN
from audit import sealing
from audit.cause import current
from audit.journal import Subject, record
from audit.seal_keys import SigningKey
from governance import coverage, freshness
from governance.models.certificate import Certificate
from governance.states import Event

VERSION = 1
KIND = "rollcall daily certificate"
# Into the next day, before a night counts as one without a certificate.
PATIENCE = timedelta(hours=6)
_DAY = timedelta(days=1)


class TooLate(ValueError):
    """There can be no certificate of that day: what was so then can't be measured now."""


@dataclass(frozen=True)
class Night:
    """The end of one day, and its certificate if there is one. `is_missing`: there will be none any more."""

    day: date
    certificate: Certificate | None
    is_missing: bool
    said: Mapping[str, Any]


def last_day(tenant: Tenant, *, at: datetime) -> date:
    """The last day of the tenant that is over."""
    return at.astimezone(tenant.zone).date() - _DAY


def first_day(tenant: Tenant) -> date:
    """The day on which the tenant was made: the first that can have a certificate."""
    return tenant.made_at.astimezone(tenant.zone).date()


def is_due(tenant: Tenant, *, at: datetime) -> bool:
    """Whether the last day that is over has no certificate yet."""
    day = last_day(tenant, at=at)
    return day >= first_day(tenant) and not Certificate.objects.filter(day=day.isoformat()).exists()


def issue(*, tenant: Tenant, day: date, key: SigningKey, at: datetime) -> Certificate:
    """The certificate of a day, made once: whoever comes second gets the first one's. Raises `TooLate`."""
    known = Certificate.objects.filter(day=day.isoformat()).first()
    if known is not None:
        return known
    if day != last_day(tenant, at=at):
        raise TooLate(f"the certificate of {day} could be made on {day + _DAY} alone")
    statement = _statement(tenant, day=day, key=key, at=at)
    made = Certificate(
        tenant=tenant, day=day.isoformat(), at=at, cause_id=current().pk, statement=statement,
        signature=key.sign(statement), key_id=key.id,
    )  # fmt: skip
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:
        return Certificate.objects.get(day=day.isoformat())
    record(
        event=Event.CERTIFIED,
        sentence=f"what was measured at the end of {day} is certified",
        subjects=[Subject("certificate", str(made.pk), made.day)],
        facts={"statement": digest_of(made)},
    )
    return made


def digest_of(certificate: Certificate | None) -> str:
    """By what the next certificate names this one. Before the first there is nothing."""
    return sha256(certificate.statement.encode()).hexdigest() if certificate else ""


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at is not None else None


def _seconds(span: timedelta | None) -> int | None:
    return int(span.total_seconds()) if span is not None else None


def _statement(tenant: Tenant, *, day: date, key: SigningKey, at: datetime) -> str:
    """JSON with its members in order and without spaces, in ASCII. What is unknown is null, never zero."""
    measured = freshness.of_systems(at=at)
    open_now = Finding.objects.filter(state__in=sorted(FINDING_OPEN)).order_by()
    live = Q(ended_at__isnull=True) | Q(ended_at__gt=at)
    seal = sealing.seals(tenant.pk).defer("leaves", "shape").first()
    before = Certificate.objects.filter(day__lt=day.isoformat()).order_by("-day").first()
    said = {
        "kind": KIND,
        "version": VERSION,
        "tenant": str(tenant.pk),
        "name": tenant.slug,
        "day": day.isoformat(),
        "zone": tenant.time_zone,
        "at": _instant(at),
        "key": key.id,
        "previous": digest_of(before),
        "seal": {"number": seal.number, "digest": sealing.digest_of(seal)} if seal else None,
        "systems": [_of_system(one) for one in measured],
        "coverage": asdict(coverage.of_systems(measured)),
        "findings": dict(open_now.values_list("kind").annotate(Count("id"))),
        "overdue": open_now.filter(due_at__lte=at).exclude(kind=FindingKind.EXPIRES).count(),
        "exceptions": PolicyException.objects.filter(live, starts_at__lte=at, until__gt=at).count(),
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def _of_system(measured: freshness.Measured) -> dict[str, Any]:
    return {
        "id": str(measured.system),
        "name": measured.name,
        "state": measured.word.value,
        "because": measured.because,
        "read": _instant(measured.last_complete_at),
        "age": _seconds(measured.age),
        "goal": _seconds(measured.goal),
        "accounts": measured.accounts,
        "differ": measured.differ,
    }


def nights(*, tenant: Tenant, at: datetime, count: int) -> list[Night]:
    """The last so many nights, the newest first, none before the tenant was made. One query."""
    last, first = last_day(tenant, at=at), first_day(tenant)
    days = [last - _DAY * n for n in range(count) if last - _DAY * n >= first]
    found = {c.day: c for c in Certificate.objects.filter(day__in=[day.isoformat() for day in days])}
    return [_night(day, found.get(day.isoformat()), tenant, at=at) for day in days]


def _night(day: date, certificate: Certificate | None, tenant: Tenant, *, at: datetime) -> Night:
    said = json.loads(certificate.statement) if certificate is not None else {}
    return Night(day, certificate, certificate is None and day <= _last_expected(tenant, at=at), said)


def _last_expected(tenant: Tenant, *, at: datetime) -> date:
    """The last day that should have one by now: it has been over for some hours."""
    return (at - PATIENCE).astimezone(tenant.zone).date() - _DAY


def key_of(tenant: Tenant) -> str:
    """The dedupe key of "a night has no certificate"."""
    return f"not_certified:{tenant.pk}"


def has_something_to_say(*, tenant: Tenant, at: datetime) -> bool:
    """Whether `watch` would write: an idle tick opens no cause."""
    last = _last_expected(tenant, at=at)
    if last < first_day(tenant):
        return False
    is_open = Finding.objects.filter(dedupe_key=key_of(tenant), state__in=sorted(FINDING_LIVE)).exists()
    is_certified = Certificate.objects.filter(day__gte=last.isoformat()).exists()
    return is_open or not is_certified


def watch(*, tenant: Tenant, at: datetime) -> bool:
    """Open the finding where the last night that is over has no certificate; close it by the next one that has."""
    last = _last_expected(tenant, at=at)
    if last < first_day(tenant):
        return False
    newest = Certificate.objects.order_by("-day").first()
    if newest is not None and newest.day >= last.isoformat():
        resolve([key_of(tenant)], because="a night after it has its certificate", at=at)
        return False
    first_missing = date.fromisoformat(newest.day) + _DAY if newest is not None else first_day(tenant)
    day = last.isoformat()
    wrong = Wrong(
        kind=FindingKind.NOT_CERTIFIED,
        key=key_of(tenant),
        title=f"the night of {day} has no certificate: do scheduler and worker run, and has the worker its key?",
        severity=Severity.MEDIUM,
        evidence={"last_night": day, "first_night": first_missing.isoformat()},
        due_at=datetime.combine(first_missing + 2 * _DAY, time.min, tzinfo=tenant.zone),
        stage=day,
    )
    open_or_raise([wrong], at=at)
    return True
