"""Permits: how people's decisions reach the doors that expand access. Minted here, consumed by the database."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from accounts.models.account import Account
from accounts.models.exception import ExceptionKind, PolicyException
from accounts.models.permit import Permit, PermitAct
from accounts.states import Event
from audit.journal import Subject, record

# How long a permit may wait to be used: it is used at once, or something is wrong.
GOOD_FOR = timedelta(hours=8)


class CantPermit(ValueError):
    """Nobody who may has answered; the message says who it was. The database refuses such a permit too."""


def _check(answered_by: Collection[UUID], barred: Collection[UUID]) -> None:
    if not answered_by:
        raise CantPermit("a permit needs at least one person's answer")
    if set(answered_by) & set(barred):
        raise CantPermit("somebody answered who asked, is the subject, or answers for it")


def grant_return(
    *,
    account: Account,
    epoch: int,
    approval_id: UUID,
    answered_by: Collection[UUID],
    barred: Collection[UUID],
    at: datetime,
) -> Permit:
    """One account may come back, in this epoch. Raises `CantPermit` when nobody, or a barred identity, answered."""
    _check(answered_by, barred)
    permit = Permit.objects.create(
        tenant_id=account.tenant_id,
        act=PermitAct.REACTIVATE,
        account=account,
        epoch=epoch,
        approval_id=approval_id,
        answered_by=sorted(answered_by),
        barred=sorted(barred),
        granted_at=at,
        until=at + GOOD_FOR,
    )
    _record(permit, account.user_name, [Subject("account", str(account.pk), account.user_name)])
    return permit


def grant_return_by_exception(*, account: Account, exception: PolicyException, at: datetime) -> Permit:
    """A live exception lets the account come back. It counts, it is journaled, and it ends with the exception.

    Raises `CantPermit` for an exception of another kind, or one that is not in force.
    """
    if exception.kind != ExceptionKind.REACTIVATION:
        raise CantPermit("the exception is from another rule")
    if not exception.starts_at <= at < min(exception.until, exception.ended_at or exception.until):
        raise CantPermit("the exception is not in force")
    permit = Permit.objects.create(
        tenant_id=account.tenant_id,
        act=PermitAct.REACTIVATE,
        account=account,
        epoch=account.epoch,
        exception=exception,
        granted_at=at,
        until=min(at + GOOD_FOR, exception.until),
    )
    _record(permit, account.user_name, [Subject("account", str(account.pk), account.user_name)])
    return permit


def grant_plan(
    *,
    tenant_id: UUID,
    plan_id: UUID,
    plan_hash: str,
    approval_id: UUID,
    answered_by: Collection[UUID],
    barred: Collection[UUID],
    label: str,
    at: datetime,
) -> Permit:
    """One frozen plan may be executed: what its hash says, and nothing else. Raises `CantPermit` as `grant_return`."""
    _check(answered_by, barred)
    permit = Permit.objects.create(
        tenant_id=tenant_id,
        act=PermitAct.EXECUTE_PLAN,
        plan_id=plan_id,
        plan_hash=plan_hash,
        approval_id=approval_id,
        answered_by=sorted(answered_by),
        barred=sorted(barred),
        granted_at=at,
        until=at + GOOD_FOR,
    )
    _record(permit, label, [Subject("plan", str(plan_id), label)])
    return permit


def use_for_plan(*, permit: Permit, plan_id: UUID, plan_hash: str, at: datetime) -> bool:
    """Consume a permit for a plan. False when it is used, past its end, or for another hash."""
    used = Permit.objects.filter(
        pk=permit.pk, plan_id=plan_id, plan_hash=plan_hash, used_at__isnull=True, until__gt=at
    ).update(used_at=at)
    return used == 1


def _record(permit: Permit, label: str, subjects: list[Subject]) -> None:
    record(
        event=Event.PERMIT_GRANTED,
        sentence=f"{label}: {permit.get_act_display()}, until {permit.until:%Y-%m-%d %H:%M} UTC",
        subjects=[*subjects, Subject("permit", str(permit.pk), str(permit))],
    )
