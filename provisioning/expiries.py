"""Until when an account lives that names no end, or comes back."""

from datetime import datetime, timedelta

from accounts.lifecycle import LONGEST
from accounts.models.account import Account


def new_expiry(account: Account, *, at: datetime) -> datetime | None:
    """The expiry with which an account comes back: the tenant's default for an NHI, none for a person."""
    if not account.is_nhi:
        return None if account.expires_at is None or account.expires_at <= at else account.expires_at
    return default_expiry(days=account.tenant.nhi_days, at=at)


def default_expiry(*, days: int, at: datetime) -> datetime:
    """The end of an account that names none: whole seconds, so that a directory that sends it back changes nothing."""
    return at.replace(microsecond=0) + timedelta(days=days)


def longest_expiry(*, at: datetime) -> datetime:
    """The latest end that a directory can give: as on our pages, every end is looked at again."""
    return at.replace(microsecond=0) + LONGEST
