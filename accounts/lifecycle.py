"""Accounts come, change, pause, end and come back: the only writer of Account (but `retirement`) and Hold.

Each verb takes a set, locks it in one order, checks, writes once and journals once. What is already so is left as it is
and not returned. There is no other door: the database refuses the way back without a permit, whoever tries.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Greatest

from accounts import people, succession
from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.hold import Hold, HoldKind
from accounts.models.ownership import Ownership, OwnershipState
from accounts.models.permit import Permit
from accounts.states import Event
from audit.cause import current
from audit.journal import Subject, record
from audit.scope import together

# Every ending is read back in the account's systems within this time.
READ_BACK_WITHIN = timedelta(minutes=5)
# The latest expiry that people or directories can give: every end is looked at again.
LONGEST = timedelta(days=730)
# How the database refuses a way back (accounts/migrations/0002_guards.py).
NO_PERMIT = "RC003"
FIELDS = frozenset({
    "user_name", "user_name_key", "display_name", "display_name_key", "email", "employee_number", "purpose",
    "environment", "is_privileged", "expires_at", "document", "identity_id", "last_used_at",
})  # fmt: skip


class CantReturn(ValueError):
    """The account can't come back now; the message says what holds it."""


class CantRelease(ValueError):
    """The hold can't be released; the message says why."""


class CantChange(ValueError):
    """A change that the verb does not make."""


@dataclass(frozen=True)
class Missing:
    """What a pending account still needs before it is active, in words."""

    account: Account
    needs: tuple[str, ...]


def _locked(accounts: Iterable[UUID]) -> QuerySet[Account]:
    # One order for everybody, so that two sets that overlap wait for each other instead of dying.
    return Account.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=list(accounts)).order_by("pk")


def _subjects(accounts: Iterable[Account]) -> list[Subject]:
    return [Subject("account", str(a.pk), a.user_name) for a in accounts]


def _names(accounts: Collection[Account]) -> str:
    names = [a.user_name for a in accounts]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004


def create(
    *,
    tenant_id: UUID,
    kind: AccountKind,
    user_name: str,
    user_name_key: str,
    is_active: bool,
    at: datetime,
    expires_at: datetime | None = None,
    **fields: Any,
) -> Account:
    """A new account. A person who is wanted active is; an NHI is pending until its owner accepts."""
    active = is_active and kind == AccountKind.PERSON
    account = Account.objects.create(
        tenant_id=tenant_id,
        kind=kind,
        state=AccountState.ACTIVE if active else AccountState.PENDING,
        was_active=active,
        state_since=at,
        user_name=user_name,
        user_name_key=user_name_key,
        expires_at=expires_at,
        made_at=at,
        **fields,
    )
    record(
        event=Event.ACCOUNT_MADE,
        sentence=f"{current().actor}: {account.get_kind_display()} {user_name} made, {account.get_state_display()}",
        subjects=_subjects([account]),
    )
    if account.is_nhi:
        succession.open_where_alone(accounts=[account.pk], reason="made without an accepted owner", at=at)
    return account


def change(*, account: Account, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Write the fields that differ. Returns their names; none means that nothing was written.

    Raises `CantChange` for a field with another door, and where an active NHI would lose its purpose or its expiry.
    """
    if unknown := fields.keys() - FIELDS:
        raise CantChange(f"{sorted(unknown)} are not changed this way")
    found = _locked([account.pk]).get()
    if found.is_nhi and found.state == AccountState.ACTIVE and _lost(fields):
        raise CantChange(f"{found.user_name} is active: it keeps a purpose and an expiry")
    differing = tuple(name for name, value in fields.items() if getattr(found, name) != value)
    if differing:
        for name in differing:
            setattr(found, name, fields[name])
        found.save(update_fields=list(differing))
    for name, value in fields.items():
        setattr(account, name, value)
    return differing


def _lost(fields: Mapping[str, Any]) -> bool:
    return any(name in fields and not fields[name] for name in ("purpose", "expires_at"))


def missing_for_activation(account: Account, *, at: datetime) -> tuple[str, ...]:
    """What a pending account lacks, in words that the answer to a directory and the page both show."""
    needs = []
    if account.is_nhi:
        if not Ownership.objects.filter(account=account, state=OwnershipState.ACCEPTED).exists():
            needs.append("an owner who accepts")
        if not account.purpose:
            needs.append("a purpose")
        if account.expires_at is None:
            needs.append("an expiry")
    if account.expires_at is not None and account.expires_at <= at:
        needs.append("an expiry that is not past")
    needs += [f"the hold “{kind}” to be released" for kind in live_holds(account)]
    return tuple(needs)


def live_holds(account: Account) -> list[str]:
    """The kinds of the holds that are alive on an account."""
    return [
        str(HoldKind(kind).label)
        for kind in Hold.objects.filter(account=account, released_at__isnull=True).values_list("kind", flat=True)
    ]


def activate(*, accounts: Collection[UUID], at: datetime) -> list[Missing]:
    """Pending accounts that lack nothing become active. Returns what the others still need."""
    with transaction.atomic():
        pending = list(_locked(accounts).filter(state=AccountState.PENDING))
        lacking = [Missing(a, missing_for_activation(a, at=at)) for a in pending]
        ready = [m.account for m in lacking if not m.needs]
        if ready:
            Account.objects.filter(pk__in=[a.pk for a in ready]).update(
                state=AccountState.ACTIVE, was_active=True, state_since=at
            )
            record(
                event=Event.ACCOUNT_ACTIVATED,
                sentence=f"{current().actor}: {_names(ready)} active",
                subjects=_subjects(ready),
            )
    return [m for m in lacking if m.needs]


def deprovision(*, accounts: Collection[UUID], reason: str, at: datetime) -> list[Account]:
    """End accounts, at once, whatever else is going on. Returns those that were not ended already.

    The next epoch begins, the authorization cutoff moves, every hold but a security hold ends, whom they answered for
    gets a succession, their sign-ins here end, and a read-back is due within five minutes.
    """
    with together():
        over = [AccountState.DEPROVISIONED, AccountState.ARCHIVED]
        ending = list(_locked(accounts).exclude(state__in=over))
        if not ending:
            return []
        ids = [a.pk for a in ending]
        # The cutoff never moves back: with two clocks, the later one counts, and the end itself is never refused.
        ended = {
            "state": AccountState.DEPROVISIONED,
            "state_since": at,
            "cutoff_at": Greatest("cutoff_at", Value(at)),
            "read_due_at": at + READ_BACK_WITHIN,
        }
        # Only what was pending all along keeps its epoch: whatever was held, or ever active, comes back by a permit.
        fresh = [a.pk for a in ending if a.state == AccountState.PENDING and a.epoch == 0 and not a.was_active]
        Account.objects.filter(pk__in=fresh).update(**ended)
        Account.objects.filter(pk__in=set(ids) - set(fresh)).update(**ended, epoch=F("epoch") + 1, permit=None)
        Hold.objects.filter(account__in=ids, released_at__isnull=True).exclude(kind=HoldKind.SECURITY).update(
            released_at=at, released_by=current().actor, release_reason="the account has ended"
        )
        succession.owners_left(owners=ids, reason=f"owner ended: {reason}", at=at)
        succession.close(accounts=ids, because="the account has ended", at=at)
        _end_sign_ins(ending, reason=reason, at=at)
        record(
            event=Event.ACCOUNT_ENDED,
            sentence=f"{current().actor}: {_names(ending)} ended. {reason}",
            subjects=_subjects(ending),
            facts={"count": len(ending)},
        )
    return ending


def _end_sign_ins(ended: Iterable[Account], *, reason: str, at: datetime) -> None:
    for identity in {a.identity_id for a in ended if a.identity_id is not None}:
        elsewhere = Account.objects.filter(identity=identity, state=AccountState.ACTIVE).exists()
        people.end_sessions(identity=identity, sign_in_too=not elsewhere, reason=reason, at=at)


def suspend(*, accounts: Collection[UUID], kind: HoldKind, reason: str, at: datetime) -> list[Account]:
    """Place a hold on each account. Returns those that had none of that kind.

    An ended account can be held only by security: that hold blocks any return while it lives.
    """
    with transaction.atomic():
        over = [AccountState.ARCHIVED] + ([] if kind == HoldKind.SECURITY else [AccountState.DEPROVISIONED])
        locked = list(_locked(accounts).exclude(state__in=over))
        # Asked under the lock: whoever places the same hold at the same time has waited, and finds it.
        live = Hold.objects.filter(account__in=[a.pk for a in locked], kind=kind, released_at__isnull=True)
        held = set(live.values_list("account_id", flat=True))
        found = [a for a in locked if a.pk not in held]
        if not found:
            return []
        Hold.objects.bulk_create(
            Hold(tenant_id=a.tenant_id, account=a, kind=kind, reason=reason, placed_at=at, placed_by=current().actor)
            for a in found
        )
        Account.objects.filter(
            pk__in=[a.pk for a in found], state__in=[AccountState.ACTIVE, AccountState.PENDING]
        ).update(state=AccountState.SUSPENDED, state_since=at, read_due_at=at + READ_BACK_WITHIN)
        for identity in {a.identity_id for a in found if a.identity_id is not None}:
            people.end_sessions(identity=identity, sign_in_too=False, reason=reason, at=at)
        record(
            event=Event.ACCOUNT_SUSPENDED,
            sentence=f"{current().actor}: {_names(found)} suspended ({HoldKind(kind).label}). {reason}",
            subjects=_subjects(found),
            facts={"count": len(found), "hold": str(kind)},
        )
    return found


def release(*, hold: Hold, reason: str, at: datetime, wanted_active: bool = False) -> Account:
    """Release one hold. When it was the last, the account is what it was: active, or pending if something is missing.

    One that was never active yet becomes active only if `wanted_active`, the last word of its directory, says so.
    Raises `CantRelease` for an expiry that is still past: `renew` sets a new one and releases it.
    """
    with transaction.atomic():
        account = _locked([hold.account_id]).get()
        found = Hold.objects.select_for_update().get(pk=hold.pk)
        if found.released_at is not None:
            return account
        expired = account.expires_at is not None and account.expires_at <= at
        if found.kind == HoldKind.EXPIRED and expired:
            raise CantRelease("it is past its expiry: renew it with a new one instead")
        found.released_at, found.released_by, found.release_reason = at, current().actor, reason
        found.save(update_fields=["released_at", "released_by", "release_reason"])
        _after_release(account, wanted_active=wanted_active, at=at)
        record(
            event=Event.ACCOUNT_RELEASED,
            sentence=f"{current().actor}: {account.user_name} released from {found.get_kind_display()}. {reason}",
            subjects=_subjects([account]),
        )
    return account


def _after_release(account: Account, *, wanted_active: bool, at: datetime) -> None:
    still = Hold.objects.filter(account=account, released_at__isnull=True).exists()
    if account.state not in {AccountState.SUSPENDED, AccountState.PENDING} or still:
        return
    # Never yet active stays pending: its first activation asks what any first activation asks.
    ready = (account.was_active or wanted_active) and not missing_for_activation(account, at=at)
    to = AccountState.ACTIVE if ready else AccountState.PENDING
    if account.state != to:
        account.state, account.state_since, account.was_active = to, at, account.was_active or ready
        account.save(update_fields=["state", "state_since", "was_active"])


def renew(*, account: Account, until: datetime, reason: str, at: datetime) -> Account:
    """Set a new expiry, and release the hold that the old one placed. Raises `CantChange` when it is not ahead.

    An account that was active, and was without only this, is active again.
    """
    if until <= at:
        raise CantChange("the new expiry must lie ahead")
    with transaction.atomic():
        found = _locked([account.pk]).get()
        if found.state in {AccountState.DEPROVISIONED, AccountState.ARCHIVED}:
            raise CantChange(f"{found.user_name} has ended: ask for it to come back instead")
        expired = Hold.objects.filter(account=found, kind=HoldKind.EXPIRED, released_at__isnull=True)
        if found.expires_at == until and not expired.exists():
            return found
        found.expires_at = until
        found.save(update_fields=["expires_at"])
        expired.update(released_at=at, released_by=current().actor, release_reason=f"renewed: {reason}")
        _after_release(found, wanted_active=False, at=at)
        record(
            event=Event.ACCOUNT_RENEWED,
            sentence=f"{current().actor}: {found.user_name} renewed until {until:%Y-%m-%d %H:%M} UTC. {reason}",
            subjects=_subjects([found]),
        )
    return found


def blocks_return(account: Account) -> str:
    """Why an ended account can't come back even with a permit, or nothing."""
    if account.state != AccountState.DEPROVISIONED:
        return f"it is {account.get_state_display()}"
    if Hold.objects.filter(account=account, kind=HoldKind.SECURITY, released_at__isnull=True).exists():
        return "a security hold is on it"
    return ""


def reactivate(*, account: Account, permit: Permit, expires_at: datetime | None, at: datetime) -> Account:
    """Bring an ended account back by consuming its permit. Raises `CantReturn` with what holds it, also where the
    database finds the permit used, past its end, or another account's.

    An NHI whose owner is gone comes back as pending: it is active once a new owner accepts. A return sets a new
    expiry; memberships and sessions do not come back by themselves.
    """
    with transaction.atomic():
        found = _locked([account.pk]).get()
        if reason := blocks_return(found):
            raise CantReturn(f"{found.user_name} can't come back: {reason}")
        if permit.epoch != found.epoch or permit.account_id != found.pk:
            raise CantReturn(f"{found.user_name} can't come back: the permit is for another ending")
        found.permit = permit
        found.expires_at = expires_at
        ready = not missing_for_activation(found, at=at)
        found.state = AccountState.ACTIVE if ready else AccountState.PENDING
        found.was_active = found.was_active or ready
        found.state_since = at
        _save_return(found)
        if found.is_nhi:
            succession.open_where_alone(accounts=[found.pk], reason="came back without an owner", at=at)
        record(
            event=Event.ACCOUNT_REACTIVATED,
            sentence=f"{current().actor}: {found.user_name} came back, {found.get_state_display()}",
            subjects=[*_subjects([found]), Subject("permit", str(permit.pk), str(permit))],
        )
    return found


def _save_return(account: Account) -> None:
    try:
        with transaction.atomic():
            account.save(update_fields=["permit", "expires_at", "state", "was_active", "state_since"])
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") != NO_PERMIT:
            raise
        raise CantReturn(f"{account.user_name} can't come back: its permit is used or past its end") from error


def never_began(account: Account) -> bool:
    """Whether an ended account was only ever pending, so that to be pending again is no return."""
    return account.state == AccountState.DEPROVISIONED and account.epoch == 0 and not account.was_active


def wait_again(*, account: Account, at: datetime) -> Account:
    """An account that ended before it was ever active is pending again: its first activation is no reactivation.

    Anything else, and one under a security hold, is returned as it is.
    """
    with transaction.atomic():
        found = _locked([account.pk]).get()
        if not never_began(found) or blocks_return(found):
            return found
        found.state, found.state_since = AccountState.PENDING, at
        found.save(update_fields=["state", "state_since"])
        record(
            event=Event.ACCOUNT_CHANGED,
            sentence=f"{current().actor}: {found.user_name} pending again; it was never active",
            subjects=_subjects([found]),
        )
        if found.is_nhi:
            succession.open_where_alone(accounts=[found.pk], reason="pending again without an owner", at=at)
    return found


def was_read_back(*, accounts: Collection[UUID], up_to: datetime) -> int:
    """The read-back that was due has been done in every system; one asked for since `up_to` stays due."""
    return Account.objects.filter(pk__in=accounts, read_due_at__lte=up_to).update(read_due_at=None)


def read_again(*, accounts: Collection[UUID], at: datetime) -> int:
    """Ask for another read-back at `at`."""
    return Account.objects.filter(Q(read_due_at__isnull=True) | Q(read_due_at__lt=at), pk__in=accounts).update(
        read_due_at=at
    )
