"""The expiry sweep: told ahead, off at the end, ended a month later. Safe to run twice, and twice at once."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import QuerySet

from accounts import lifecycle
from accounts.findings import Wrong, open_or_raise, resolve
from accounts.models.account import Account, AccountState
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.hold import Hold, HoldKind
from accounts.states import FINDING_LIVE
from audit import crashpoints

# Days before the expiry at which the finding is opened or raised, the nearest first, with its severity.
STAGES: tuple[tuple[int, Severity], ...] = (
    (1, Severity.CRITICAL),
    (7, Severity.HIGH),
    (14, Severity.MEDIUM),
    (30, Severity.LOW),
)
END_AFTER = timedelta(days=30)
BATCH = 500
AFTER_BATCH = crashpoints.point("expiry.batch_written", where="a batch of the expiry sweep is written, not committed")


@dataclass
class Swept:
    """What one sweep of one tenant did."""

    told: int = 0
    suspended: int = 0
    ended: int = 0
    failed: int = 0


def key(account: UUID) -> str:
    """The dedupe key of "this account expires"."""
    return f"expires:{account}"


def _failed_key(account: UUID) -> str:
    return f"expiry_failed:{account}"


def stage_of(*, expires_at: datetime, at: datetime) -> tuple[int, Severity] | None:
    """The stage that an expiry is in: the smallest number of days that it lies within, or none past 30 days."""
    left = expires_at - at
    return next(((days, severity) for days, severity in STAGES if left <= timedelta(days=days)), None)


def tell(*, at: datetime) -> int:
    """Open or raise a finding for what expires within 30 days; close it where the expiry has moved away."""
    horizon = at + timedelta(days=STAGES[-1][0])
    near = Account.objects.filter(
        state__in=[AccountState.ACTIVE, AccountState.SUSPENDED, AccountState.PENDING], expires_at__lte=horizon
    ).order_by("expires_at")
    told = 0
    for wrongs in _in_batches(_expiring(near, at=at)):
        opened = open_or_raise(wrongs, at=at)
        told += opened.new + opened.raised
    over = Finding.objects.filter(kind=FindingKind.EXPIRES, state__in=FINDING_LIVE).exclude(
        account__in=near.values("pk")
    )
    resolve(over.values_list("dedupe_key", flat=True), because="renewed or ended", at=at)
    return told


def _expiring(near: QuerySet[Account], *, at: datetime) -> Iterator[Wrong]:
    for account in near.iterator(chunk_size=BATCH):
        if account.expires_at is None or (stage := stage_of(expires_at=account.expires_at, at=at)) is None:
            continue
        past = account.expires_at <= at
        yield Wrong(
            kind=FindingKind.EXPIRES,
            key=key(account.pk),
            title=f"{account.user_name} {'is past its end' if past else 'ends'} {account.expires_at:%Y-%m-%d}",
            severity=stage[1],
            account=account.pk,
            evidence={"expires_at": account.expires_at.isoformat(), "days": stage[0]},
            due_at=account.expires_at,
            stage=str(stage[0]),
        )


def _in_batches(wrongs: Iterator[Wrong]) -> Iterator[list[Wrong]]:
    batch: list[Wrong] = []
    for wrong in wrongs:
        batch.append(wrong)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _suspend_due(ids: Collection[UUID], *, at: datetime) -> int:
    return len(lifecycle.suspend(accounts=ids, kind=HoldKind.EXPIRED, reason="past its expiry", at=at))


def _end_due(ids: Collection[UUID], *, at: datetime) -> int:
    return len(lifecycle.deprovision(accounts=ids, reason="30 days past its expiry", at=at))


def claim_expired(*, at: datetime, limit: int = BATCH, besides: Collection[UUID] = ()) -> list[UUID]:
    """Accounts past their expiry that are not yet suspended for it; rows that another sweep holds are passed over."""
    held = Hold.objects.filter(kind=HoldKind.EXPIRED, released_at__isnull=True).values("account_id")
    due = (
        Account.objects.select_for_update(skip_locked=True, of=("self",), no_key=True)
        .filter(state__in=[AccountState.ACTIVE, AccountState.SUSPENDED, AccountState.PENDING], expires_at__lte=at)
        .exclude(pk__in=held)
        .exclude(pk__in=besides)
        .order_by("expires_at")
    )
    return list(due.values_list("pk", flat=True)[:limit])


def claim_over(*, at: datetime, limit: int = BATCH, besides: Collection[UUID] = ()) -> list[UUID]:
    """Accounts suspended for their expiry for 30 days; rows that another sweep holds are passed over."""
    held = Hold.objects.filter(kind=HoldKind.EXPIRED, released_at__isnull=True, placed_at__lte=at - END_AFTER)
    due = (
        Account.objects.select_for_update(skip_locked=True, of=("self",), no_key=True)
        .filter(state=AccountState.SUSPENDED, expires_at__lte=at - END_AFTER, pk__in=held.values("account_id"))
        .exclude(pk__in=besides)
        .order_by("expires_at")
    )
    return list(due.values_list("pk", flat=True)[:limit])


def work_off(
    *,
    claim: Callable[..., list[UUID]],
    act: Callable[..., int],
    at: datetime,
    failed: set[UUID],
) -> int:
    """One batch: claimed and written in one savepoint; if it fails, row by row, so that one bad row stops no other.

    Rows that fail alone are added to `failed`, with a finding each. Returns how many rows were dealt with.
    """
    ids = claim(at=at, besides=failed)
    if not ids:
        return 0
    try:
        with transaction.atomic():
            act(ids, at=at)
            crashpoints.here(AFTER_BATCH)
        return len(ids)
    except DatabaseError:
        for one in ids:
            try:
                with transaction.atomic():
                    act([one], at=at)
            except DatabaseError as error:
                failed.add(one)
                _say_failed(one, error, at=at)
        return len(ids)


def _say_failed(account: UUID, error: DatabaseError, *, at: datetime) -> None:
    name = Account.objects.values_list("user_name", flat=True).get(pk=account)
    open_or_raise(
        [
            Wrong(
                kind=FindingKind.SWEEP_FAILED,
                key=_failed_key(account),
                title=f"the expiry of {name} could not be carried out",
                severity=Severity.CRITICAL,
                account=account,
                # The class alone: a database's message may hold values of the row.
                evidence={"error": type(error.__cause__ or error).__name__},
                due_at=at + timedelta(days=1),
            )
        ],
        at=at,
    )


def suspend_batch(*, at: datetime, failed: set[UUID]) -> int:
    """Suspend one batch of what is past its expiry. Zero means that nothing is left."""
    return work_off(claim=claim_expired, act=_suspend_due, at=at, failed=failed)


def end_batch(*, at: datetime, failed: set[UUID]) -> int:
    """End one batch of what has been suspended for its expiry for 30 days. Zero means that nothing is left."""
    return work_off(claim=claim_over, act=_end_due, at=at, failed=failed)
