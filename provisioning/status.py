"""What a system's word about the status does to an account.

A reduction takes effect here and now, however many there are; a storm of them raises the alarm. What expands access
takes effect only where nothing is missing, and otherwise becomes a wish that waits for people.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts import lifecycle
from accounts.findings import Wrong, open_or_raise
from accounts.models.account import Account, AccountState
from accounts.models.finding import FindingKind, Severity
from provisioning import brake, plans, wishes
from provisioning.authority import StatusWord
from provisioning.changes import ACCOUNT_TYPES
from provisioning.models.plan import Plan, PlanKind, PlanState
from provisioning.shadows import Sender, living_count


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What the status part of a change did."""

    changed: bool = False
    plan: Plan | None = None
    held_by: tuple[str, ...] = ()


def apply(sender: Sender, account: Account, word: StatusWord, *, at: datetime, is_edge: bool) -> Effect:
    """What the word about the status does. `is_edge`: the system did not say the same before.

    `account` is as it is in the database now.
    """
    if word.active is None:
        return Effect()
    if not word.active:
        return reduce(sender, account, at=at)
    if word.needs_approval and account.state == AccountState.PENDING:
        return Effect(held_by=("approval",))
    return _expand(sender, account, at=at, is_edge=is_edge)


def reduce(sender: Sender, account: Account, *, at: datetime) -> Effect:
    """The account ends, and so does every wish that it come back."""
    if account.state == AccountState.DEPROVISIONED:  # no other has asked to come back
        for plan in Plan.objects.filter(kind=PlanKind.REACTIVATION, account=account, state__in=["waiting", "approved"]):
            plans.lapse(plan=plan, because=f"{sender.system.name} says inactive again", at=at)
        return Effect()
    ended = lifecycle.deprovision(accounts=[account.pk], reason=f"{sender.system.name} says inactive", at=at)
    if ended:
        watch_mass_reduction(sender, ended=len(ended), at=at)
    return Effect(changed=bool(ended))


def _expand(sender: Sender, account: Account, *, at: datetime, is_edge: bool) -> Effect:
    if lifecycle.never_began(account):
        account = lifecycle.wait_again(account=account, at=at)
        if security := lifecycle.live_holds(account):
            return Effect(held_by=tuple(security))
    if account.state == AccountState.PENDING:
        missing = lifecycle.activate(accounts=[account.pk], at=at)
        needs = tuple(n for m in missing for n in m.needs)
        return Effect(changed=not missing, held_by=needs)
    if account.state == AccountState.SUSPENDED:
        return Effect(held_by=tuple(lifecycle.live_holds(account)))
    if account.state == AccountState.DEPROVISIONED:
        return _ask_back(sender, account, at=at, is_edge=is_edge)
    if account.state == AccountState.ARCHIVED:
        return Effect(held_by=("the account is archived",))
    return Effect()


def _ask_back(sender: Sender, account: Account, *, at: datetime, is_edge: bool) -> Effect:
    refused = Plan.objects.filter(
        kind=PlanKind.REACTIVATION, account=account, epoch=account.epoch, state__in=[PlanState.REJECTED]
    ).exists()
    if refused and not is_edge:
        # Full synchronisations repeat `active: true` all day; people have answered that question.
        return Effect(held_by=("people said no",))
    plan = wishes.ask_return(
        account=account, system=sender.system, requesters=sender.requesters, asked_by=sender.asked_by,
        exchange_id=sender.exchange_id, at=at,
    )  # fmt: skip
    account.refresh_from_db()
    if account.is_active(at=at):
        return Effect(changed=True, plan=plan)
    return Effect(plan=plan, held_by=tuple(plan.held_by) or ("approval",))


def watch_mass_reduction(sender: Sender, *, ended: int, at: datetime) -> None:
    """Raise the alarm when explicit events pass the limits; `ended` are those of this request, which is in no ledger
    yet. They take effect all the same; what they hold back is that source's plans, which count them in.
    """
    rolling = brake.recent_reductions(system=sender.system, at=at)
    count = rolling + ended
    if count <= brake.LEAST_FOR_PERCENT:
        return
    total = living_count(system=sender.system, resource_types=ACCOUNT_TYPES)
    if not brake.over_the_limits(count=ended, rolling=rolling, total=total):
        return
    open_or_raise(
        [
            Wrong(
                kind=FindingKind.MASS_REDUCTION,
                key=f"mass_reduction:{sender.system.pk}:{at:%Y-%m-%d}",
                title=f"{sender.system.name} ended {count} accounts within ten minutes",
                severity=Severity.CRITICAL,
                system=sender.system.pk,
                evidence={
                    "count": count,
                    "of": total,
                    "until": at.isoformat(),
                    "last_exchange": str(sender.exchange_id),
                },
                due_at=at + timedelta(hours=4),
                stage=str(count // brake.MOST),
                each=True,  # what an undo gives back reaches until the last one
            )
        ],
        at=at,
    )
