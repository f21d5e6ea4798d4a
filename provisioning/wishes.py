"""Wishes that become plans: an ended account that is asked back, members that a replay would put in, and what a
reading showed as reduced.

The first is a plan of one, and waits for people, as the second does. The third is a plan of many: it clears by itself
below the brake, and above it waits for people too.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts import lifecycle, permits
from accounts.exceptions import excuses_approval
from accounts.models.account import Account, AccountState
from accounts.models.ownership import Ownership, OwnershipState
from accounts.models.system import System
from audit.journal import record
from audit.transitions import move
from provisioning import brake, execution, plans
from provisioning.models.plan import ChangeAct, Plan, PlanKind, PlannedChange, PlanState
from provisioning.models.run import Run
from provisioning.plans import Event, Wanted
from provisioning.states import PLAN, PLAN_LIVE, PLAN_WAITS

RETURN_LASTS = timedelta(hours=8)
TRIPPED_LASTS = timedelta(hours=4)


# -- a plan of one: an ended account is asked back


def ask_return(
    *,
    account: Account,
    system: System,
    requesters: Collection[UUID],
    asked_by: str,
    exchange_id: UUID | None,
    at: datetime,
) -> Plan:
    """A wish that waits: one for each ending of an account, however often it is asked. Under a live exception it is
    granted at once. What holds it besides people is in `held_by`. Raises `lifecycle.CantReturn` for an account that has
    not ended.
    """
    with transaction.atomic():
        account = Account.objects.select_for_update(of=("self",), no_key=True).get(pk=account.pk)
        if account.state != AccountState.DEPROVISIONED:
            raise lifecycle.CantReturn(f"{account.user_name} has not ended: it is {account.get_state_display()}")
        live = Plan.objects.filter(
            kind=PlanKind.REACTIVATION, account=account, epoch=account.epoch, state__in=PLAN_LIVE
        ).first()
        if live is not None and live.state == PlanState.WAITING and live.until is not None and live.until <= at:
            # Its time is over and no sweep has said so yet: this is a new wish.
            plans.lapse(plan=live, because="nobody answered in time", at=at)
        elif live is not None:
            return _repeat(live, account, requesters=requesters, at=at)
        plan = plans.freeze(
            kind=PlanKind.REACTIVATION,
            system=system,
            wanted=[Wanted(act=ChangeAct.REACTIVATE, label=account.user_name, account=account.pk,
                           is_privileged=account.is_privileged)],
            at=at,
            account=account,
            epoch=account.epoch,
            requesters=sorted(requesters),
            asked_by=asked_by,
            exchange_id=exchange_id,
        )  # fmt: skip
        plan.until = at + RETURN_LASTS
        plan.held_by = _holding(account)
        move(plan, PlanState.WAITING, by=PLAN)
        plan.save()
        record(
            event=Event.ASKED,
            sentence=f"{asked_by}: {account.user_name} is asked back; it waits until {plan.until:%Y-%m-%d %H:%M} UTC",
            subjects=plans.subjects(plan),
        )
        return _grant_by_exception(plan, account, at=at)


def _repeat(plan: Plan, account: Account, *, requesters: Collection[UUID], at: datetime) -> Plan:
    plan.repeats += 1
    plan.requesters = sorted({*plan.requesters, *requesters})
    plan.held_by = _holding(account)
    plan.save(update_fields=["repeats", "requesters", "held_by"])
    # An exception may have begun, or a hold may be gone, since it was asked first.
    return _grant_by_exception(plan, account, at=at) if plan.state == PlanState.WAITING else plan


def _holding(account: Account) -> list[str]:
    """What people's answers alone do not lift, as words for the answer to the directory and the page."""
    held = ["approval"]
    if account.is_nhi and not Ownership.objects.filter(account=account, state=OwnershipState.ACCEPTED).exists():
        held.append("owner")
    if reason := lifecycle.blocks_return(account):
        held.append(reason)
    return held


def _grant_by_exception(plan: Plan, account: Account, *, at: datetime) -> Plan:
    exception = excuses_approval(system=plan.system, ended_at=account.state_since, at=at)
    if exception is None or lifecycle.blocks_return(account):
        return plan
    permit = permits.grant_return_by_exception(account=account, exception=exception, at=at)
    return execution.execute(plan_id=plans.grant(plan=plan, permit=permit, at=at).pk, at=at)


# -- what a replay would give: members who are to be put in again


def ask_members(
    *,
    system: System,
    wanted: Sequence[Wanted],
    requesters: Collection[UUID],
    asked_by: str,
    exchange_id: UUID,
    at: datetime,
) -> Plan:
    """A wish that members be put into one group, which waits for people. The same wish again is the same plan."""
    with transaction.atomic():
        about = PlannedChange.objects.filter(group=wanted[0].group).values("plan")
        waits = Plan.objects.select_for_update(of=("self",)).filter(
            system=system, kind=PlanKind.REPLAY, state__in=PLAN_WAITS, until__gt=at, pk__in=about
        )
        same = next((plan for plan in waits.order_by("asked_at") if _same_wishes(plan, wanted)), None)
        if same is not None:
            same.repeats += 1
            same.requesters = sorted({*same.requesters, *requesters})
            same.save(update_fields=["repeats", "requesters"])
            return same
        plan = plans.freeze(
            kind=PlanKind.REPLAY, system=system, wanted=wanted, at=at, requesters=sorted(requesters),
            asked_by=asked_by[:200], exchange_id=exchange_id,
        )  # fmt: skip
        plan.until = at + RETURN_LASTS
        plan.held_by = ["approval"]
        move(plan, PlanState.WAITING, by=PLAN)
        plan.save()
        record(
            event=Event.ASKED,
            sentence=f"{asked_by}: {len(wanted)} members are asked in; it waits until {plan.until:%Y-%m-%d %H:%M} UTC",
            subjects=plans.subjects(plan),
        )
    return plan


# -- a plan of many: what a reading showed as reduced


def freeze_reading(
    *,
    system: System,
    run: Run,
    wanted: Sequence[Wanted],
    total: int,
    read_nothing: bool,
    at: datetime,
    unasked: int = 0,
) -> Plan | None:
    """Freeze what a complete reading showed as reduced, and judge it. None when there is nothing to do.

    An earlier plan of the same system that has not begun lapses: a newer reading says it better. What one that has been
    decided about is still to do is not wanted twice, and what the system is read by is never wanted. `unasked` are the missing that nobody asked for one by one.
    """
    with transaction.atomic():
        under_way = _under_way(system)
        wanted = [w for w in wanted if (str(w.act), w.account, w.group, w.member_ref) not in under_way]
        spared = brake.spared(system=system, accounts={w.account for w in wanted if w.account})
        wanted = [w for w in wanted if w.account not in spared]
        for older in Plan.objects.select_for_update(of=("self",)).filter(
            system=system, kind=PlanKind.READING, state__in=["cleared", *PLAN_WAITS]
        ):
            if _same_wishes(older, wanted):
                return older
            plans.lapse(plan=older, because="a newer reading", at=at)
        if not wanted:
            return None
        plan = plans.freeze(
            kind=PlanKind.READING, system=system, wanted=wanted, at=at, run=run, asked_by=f"reading of {system.name}"
        )
        plan.brake = brake.judge(
            system=system, wanted=wanted, total=total, read_nothing=read_nothing, unasked=unasked, at=at
        )
        plan.brake["within"] += spared.values()
        tripped = bool(plan.brake["because"])
        move(plan, PlanState.TRIPPED if tripped else PlanState.CLEARED, by=PLAN)
        plan.until = at + TRIPPED_LASTS
        plan.save()
        word = f"the brake stops it: {'; '.join(plan.brake['because'])}" if tripped else "below the brake"
        record(
            event=Event.TRIPPED if tripped else Event.FROZEN,
            sentence=f"{system.name}: {len(wanted)} reductions wanted by a reading; {word}",
            subjects=plans.subjects(plan),
            facts=plan.brake,
        )
    return plan


def _under_way(system: System) -> set[tuple[str, UUID | None, UUID | None, UUID | None]]:
    """What the plans of a system that are being carried out have still to do."""
    todo = PlannedChange.objects.filter(
        plan__system=system, plan__kind=PlanKind.READING, plan__state__in=PLAN_LIVE - PLAN_WAITS - {"cleared"},
        result=PlannedChange.Result.PLANNED,
    )  # fmt: skip
    return set(todo.values_list("act", "account_id", "group_id", "member_ref"))


def _same_wishes(plan: Plan, wanted: Sequence[Wanted]) -> bool:
    """Whether a waiting plan wants exactly this already: its question and its clock then go on."""
    have = {(c.act, c.account_id, c.group_id, c.member_ref) for c in plan.changes.all()}
    return have == {(str(w.act), w.account, w.group, w.member_ref) for w in wanted}
