"""Tenants: made once, never crossed."""

from datetime import datetime
from enum import StrEnum
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug

from accounts.models.tenant import Tenant, TenantKind
from audit.journal import Subject, record

LONGEST_NHI = 3650  # days
LONGEST_LEDGER = 1200  # months


class Event(StrEnum):
    """What the journal says of tenants."""

    LEDGER_KEPT = "tenant.ledger_kept"


class BadTenant(ValueError):
    """What was asked for can't be a tenant; the message says what to do."""


def has_demo() -> bool:
    """Whether the database holds a tenant whose logins and tokens lie in a file."""
    return Tenant.objects.filter(kind__in=[TenantKind.DEMO, TenantKind.SANDBOX]).exists()


def make(*, slug: str, name: str, time_zone: str, kind: TenantKind, at: datetime, nhi_days: int = 180) -> Tenant:
    """A new tenant. Raises `BadTenant` for a slug in use or of other characters, no name, an unknown time zone."""
    try:
        validate_slug(slug)
    except ValidationError:
        raise BadTenant(f"{slug!r} can't stand in an address: use letters, digits, hyphens and underscores") from None
    if not name.strip():
        raise BadTenant("a tenant needs a name")
    if not 1 <= nhi_days <= LONGEST_NHI:
        raise BadTenant(f"a non-human account lasts from 1 to {LONGEST_NHI} days")
    if time_zone not in available_timezones():
        raise BadTenant(f"there is no time zone {time_zone!r}: write one such as Europe/Amsterdam")
    if Tenant.objects.filter(slug=slug).exists():
        raise BadTenant(f"a tenant {slug!r} exists already")
    return Tenant.objects.create(slug=slug, name=name, time_zone=time_zone, kind=kind, nhi_days=nhi_days, made_at=at)


def keep_ledger(*, tenant: Tenant, months: int | None, by: str, reason: str) -> bool:
    """Say how long the ledger keeps what is about resources that are gone; `None` is for ever. Returns whether it changed.

    It takes nothing out: `manage.py archive` does, when somebody runs it. Raises `BadTenant`.
    """
    if months is not None and not 1 <= months <= LONGEST_LEDGER:
        raise BadTenant(f"a ledger is kept for 1 to {LONGEST_LEDGER} months, or for ever")
    found = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
    if found.ledger_months == months:
        return False
    found.ledger_months = tenant.ledger_months = months
    found.save(update_fields=["ledger_months"])
    how_long = "for ever" if months is None else f"for {months} months"
    record(
        event=Event.LEDGER_KEPT,
        sentence=f"{by}: the ledger keeps what is about resources that are gone {how_long}. {reason}",
        subjects=[Subject("tenant", str(tenant.pk), tenant.name)],
    )
    return True


def kept_since(tenant: Tenant, *, at: datetime) -> datetime | None:
    """From when on the ledger is kept whole, as a first of a month in the tenant's time zone; nothing where for ever."""
    if tenant.ledger_months is None:
        return None
    here = at.astimezone(tenant.zone)
    index = here.year * 12 + here.month - 1 - tenant.ledger_months
    return here.replace(year=index // 12, month=index % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0)
