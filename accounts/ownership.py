"""Who answers for an account: offered, accepted or declined, ended. An NHI is active only behind an acceptance."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction

from accounts import lifecycle, succession
from accounts.models.account import Account, AccountKind, AccountState
from accounts.models.ownership import Ownership, OwnershipKind, OwnershipState
from accounts.states import OWNERSHIP, Event
from audit.cause import current
from audit.journal import Subject, record
from audit.transitions import move


class CantOwn(ValueError):
    """The offer or answer can't be made; the message says why."""


def _subjects(ownership: Ownership) -> list[Subject]:
    return [
        Subject("account", str(ownership.account_id), ownership.account.user_name),
        Subject("account", str(ownership.owner_id), ownership.owner.user_name),
    ]


def offer(
    *, account: Account, owner: Account, at: datetime, kind: OwnershipKind = OwnershipKind.PRIMARY, reason: str = ""
) -> Ownership:
    """Offer an account to somebody. An offer that lives already is returned as it is. Raises `CantOwn`."""
    if owner.kind != AccountKind.PERSON:
        raise CantOwn(f"{owner.user_name} is a {owner.get_kind_display()}: only a person can answer for an account")
    if owner.state not in {AccountState.ACTIVE, AccountState.PENDING}:
        raise CantOwn(f"{owner.user_name} is {owner.get_state_display()}: offer it to somebody who is active")
    if owner.pk == account.pk:
        raise CantOwn("an account can't answer for itself")
    with transaction.atomic():
        # Whoever offers the same at the same time waits here, and finds the offer.
        Account.objects.select_for_update(of=("self",), no_key=True).get(pk=account.pk)
        live = Ownership.objects.filter(account=account, owner=owner, kind=kind, state__in=succession.LIVE).first()
        if live is not None:
            return live
        made = Ownership.objects.create(
            tenant_id=account.tenant_id, account=account, owner=owner, kind=kind, offered_at=at, reason=reason
        )
        record(
            event=Event.OWNERSHIP_OFFERED,
            sentence=f"{current().actor}: {account.user_name} offered to {owner.user_name}. {reason}".strip(),
            subjects=_subjects(made),
        )
    return made


def _answer(ownership: Ownership, to: OwnershipState, *, reason: str, at: datetime) -> Ownership:
    found = Ownership.objects.select_for_update(of=("self",)).select_related("account", "owner").get(pk=ownership.pk)
    if found.state == to:
        return found
    if not OWNERSHIP.allows(source=found.state, target=to):
        raise CantOwn(f"the offer is {found.get_state_display()}: it can't be {to.label} any more")
    move(found, to, by=OWNERSHIP)
    if to == OwnershipState.ENDED:
        found.ended_at = at
    else:
        found.answered_at = at
    found.reason = reason or found.reason
    found.save()
    record(
        event=Event.OWNERSHIP_ENDED if to == OwnershipState.ENDED else Event.OWNERSHIP_ANSWERED,
        sentence=f"{current().actor}: {found.owner.user_name} for {found.account.user_name}: {to.label}. {reason}".strip(),
        subjects=_subjects(found),
    )
    return found


def accept(*, ownership: Ownership, at: datetime, reason: str = "", wanted_active: bool = True) -> Ownership:
    """The owner answers yes: the clock of `no owner` stops, and a pending account that now lacks nothing is active.

    `wanted_active` is the last word of the account's directory: without it the account stays pending.
    """
    with transaction.atomic():
        found = _answer(ownership, OwnershipState.ACCEPTED, reason=reason, at=at)
        if not found.owner.is_active(at=at):
            raise CantOwn(f"{found.owner.user_name} is not active and can't accept")
        succession.close(accounts=[found.account_id], because=f"{found.owner.user_name} accepted", at=at)
        if wanted_active:
            lifecycle.activate(accounts=[found.account_id], at=at)
    return found


def decline(*, ownership: Ownership, reason: str, at: datetime) -> Ownership:
    """The owner answers no."""
    with transaction.atomic():
        found = _answer(ownership, OwnershipState.DECLINED, reason=reason, at=at)
        succession.open_where_alone(accounts=[found.account_id], reason=f"{found.owner.user_name} declined", at=at)
    return found


def end(*, ownership: Ownership, reason: str, at: datetime) -> Ownership:
    """Somebody no longer answers. A last owner's end opens `no owner` with a clock, in the same transaction."""
    with transaction.atomic():
        found = _answer(ownership, OwnershipState.ENDED, reason=reason, at=at)
        succession.open_where_alone(accounts=[found.account_id], reason=f"{found.owner.user_name}: {reason}", at=at)
    return found


def offers_said(*, account: Account, owners: Collection[UUID], at: datetime) -> list[str]:
    """Offers that a directory named. Returns a note for each that could not be made; none is ever an acceptance."""
    notes = []
    for owner in Account.objects.filter(pk__in=owners).order_by("pk"):
        try:
            offer(account=account, owner=owner, at=at, reason="named by its directory")
        except CantOwn as error:
            notes.append(str(error))
    return notes
