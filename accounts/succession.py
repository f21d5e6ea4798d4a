"""What follows when an owner is gone: their ownerships end, and an account left alone gets a clock, at once."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.ownership import Ownership, OwnershipState
from accounts.states import FINDING_LIVE, Event
from audit.journal import Subject, record

# How long an account may be without an owner before it is overdue.
CLOCK = timedelta(days=7)
LIVE = (OwnershipState.OFFERED, OwnershipState.ACCEPTED)


def key(account: UUID) -> str:
    """The dedupe key of "this account has no owner"."""
    return f"no_owner:{account}"


def owners_left(*, owners: Collection[UUID], reason: str, at: datetime) -> int:
    """End what these accounts answered for. Every NHI left without an owner has a finding with a clock."""
    live = Ownership.objects.filter(owner__in=owners, state__in=LIVE)
    left = list(live.values_list("account_id", flat=True))
    if not left:
        return 0
    ended = live.update(state=OwnershipState.ENDED, ended_at=at, reason=reason)
    open_where_alone(accounts=left, reason=reason, at=at)
    record(
        event=Event.OWNERSHIP_ENDED,
        sentence=f"{ended} ownerships ended: {reason}",
        subjects=[Subject("account", str(a), "") for a in (*owners, *left)],
    )
    return ended


def open_where_alone(*, accounts: Collection[UUID], reason: str, at: datetime) -> int:
    """Open `no owner` for each of these NHIs that lives without an accepted owner. Its clock starts once."""
    answered = Ownership.objects.filter(account__in=accounts, state=OwnershipState.ACCEPTED).values("account_id")
    alone = (
        Account.objects.filter(pk__in=accounts)
        .exclude(kind=AccountKind.PERSON)
        .exclude(state__in=[AccountState.DEPROVISIONED, AccountState.ARCHIVED])
        .exclude(pk__in=answered)
    )
    running = set(
        Finding.objects.filter(dedupe_key__in=[key(a) for a in accounts], state__in=FINDING_LIVE).values_list(
            "dedupe_key", flat=True
        )
    )
    wrongs = [
        Wrong(
            kind=FindingKind.NO_OWNER,
            key=key(account.pk),
            title=f"{account.user_name} has no owner",
            severity=Severity.HIGH if account.state == AccountState.ACTIVE else Severity.MEDIUM,
            account=account.pk,
            evidence={"since": at.isoformat(), "because": reason},
            due_at=at + CLOCK,
        )
        for account in alone
        if key(account.pk) not in running
    ]
    return open_or_raise(wrongs, at=at).new


def close(*, accounts: Collection[UUID], because: str, at: datetime) -> int:
    """An owner accepted, or the account has ended: the clock stops."""
    return resolve([key(a) for a in accounts], because=because, at=at)
