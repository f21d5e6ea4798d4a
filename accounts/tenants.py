"""Tenants: made once, never crossed."""

from datetime import datetime
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug

from accounts.models.tenant import Tenant, TenantKind

LONGEST_NHI = 3650  # days


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
