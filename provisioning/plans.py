"""Plans: what is wanted and not yet done. Frozen, hashed, judged by the brake, executed against permits, verified.

A reactivation that a directory asks for is a plan of one, and waits for people. What a reading showed as reduced is a
plan of many: it clears by itself below the brake, and above it waits for people too. Nothing here decides for them:
`governance` opens a question for every plan that waits, and comes back with a permit.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.models import QuerySet

from accounts import lifecycle, memberships, permits, rules
from accounts.exceptions import excuses_approval
from accounts.models.account import Account, AccountState
from accounts.models.group import Group
from accounts.models.ownership import Ownership, OwnershipState
from accounts.models.permit import Permit, PermitAct
from accounts.models.system import System
from audit import crashpoints
from audit.cause import current
from audit.journal import Subject, record
from audit.keys import uuid7_floor
from audit.transitions import move
from provisioning.models.exchange import Exchange
from provisioning.models.plan import ChangeAct, Plan, PlanKind, PlannedChange, PlanState
from provisioning.models.run import Run
from provisioning.models.shadow import Shadow
from provisioning.states import PLAN, PLAN_LIVE, PLAN_WAITS

RETURN_LASTS = timedelta(hours=8)
TRIPPED_LASTS = timedelta(hours=4)
# The brake: more than 20 changes; or more than 2 % and more than 5; always when nothing at all was read.
MOST = 20
MOST_PERCENT = 2.0
LEAST_FOR_PERCENT = 5
# Plans and explicit events count together over this time.
ROLLING = timedelta(minutes=10)
BATCH = 100
BEFORE_BATCH = crashpoints.point("plan.batch_begins", where="a plan is executing, the next batch has not begun")
AFTER_BATCH = crashpoints.point("plan.batch_written", where="a batch of a plan is written, not committed")
AFTER_EXECUTION = crashpoints.point("plan.executed", where="every batch is committed, the plan is not closed")


class Event(StrEnum):
    """What the journal says of plans."""

    ASKED = "plan.asked"
    FROZEN = "plan.frozen"
    TRIPPED = "plan.tripped"
    APPROVED = "plan.approved"
    REJECTED = "plan.rejected"
    LAPSED = "plan.lapsed"
    EXECUTED = "plan.executed"


class PlanChanged(ValueError):
    """The plan is no longer what was decided about; nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One change that a plan is to hold."""

    act: ChangeAct
    label: str
    account: UUID | None = None
    group: UUID | None = None
    member_ref: UUID | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    is_privileged: bool = False


def _subjects(plan: Plan) -> list[Subject]:
    found = [Subject("plan", str(plan.pk), str(plan)), Subject("system", str(plan.system_id), plan.system.name)]
    if plan.account is not None:
        found.append(Subject("account", str(plan.account_id), plan.account.user_name))
    return found


def digest_of(plan: Plan, changes: Iterable[PlannedChange]) -> str:
    """The hash that a decision is bound to: what would be written, where, and in which order."""
    lines = [
        [c.position, str(c.act), str(c.account_id), str(c.group_id), str(c.member_ref), c.label]
        for c in sorted(changes, key=lambda c: c.position)
    ]
    head = [str(plan.pk), str(plan.kind), str(plan.system_id), plan.epoch]
    return hashlib.sha256(json.dumps([head, lines], separators=(",", ":")).encode()).hexdigest()


def waiting() -> QuerySet[Plan]:
    """Plans that wait for people, the one with the least time first."""
    return Plan.objects.filter(state__in=PLAN_WAITS).order_by("until")


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
        account = Account.objects.select_for_update(of=("self",)).get(pk=account.pk)
        if account.state != AccountState.DEPROVISIONED:
            raise lifecycle.CantReturn(f"{account.user_name} has not ended: it is {account.get_state_display()}")
        live = Plan.objects.filter(
            kind=PlanKind.REACTIVATION, account=account, epoch=account.epoch, state__in=PLAN_LIVE
        ).first()
        if live is not None and live.state == PlanState.WAITING and live.until is not None and live.until <= at:
            # Its time is over and no sweep has said so yet: this is a new wish.
            lapse(plan=live, because="nobody answered in time", at=at)
        elif live is not None:
            return _repeat(live, account, requesters=requesters, at=at)
        plan = _freeze(
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
            subjects=_subjects(plan),
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
    return execute(plan_id=grant(plan=plan, permit=permit, at=at).pk, at=at)


# -- a plan of many: what a reading showed as reduced


def freeze_reading(
    *, system: System, run: Run, wanted: Sequence[Wanted], total: int, read_nothing: bool, at: datetime
) -> Plan | None:
    """Freeze what a complete reading showed as reduced, and judge it. None when there is nothing to do.

    An earlier plan of the same system that has not begun lapses: a newer reading says it better.
    """
    with transaction.atomic():
        for older in Plan.objects.select_for_update(of=("self",)).filter(
            system=system, kind=PlanKind.READING, state__in=["cleared", *PLAN_WAITS]
        ):
            if _same_wishes(older, wanted):
                return older
            lapse(plan=older, because="a newer reading", at=at)
        if not wanted:
            return None
        plan = _freeze(
            kind=PlanKind.READING, system=system, wanted=wanted, at=at, run=run, asked_by=f"reading of {system.name}"
        )
        plan.brake = judge(system=system, wanted=wanted, total=total, read_nothing=read_nothing, at=at)
        tripped = bool(plan.brake["because"])
        move(plan, PlanState.TRIPPED if tripped else PlanState.CLEARED, by=PLAN)
        plan.until = at + TRIPPED_LASTS
        plan.save()
        word = f"the brake stops it: {'; '.join(plan.brake['because'])}" if tripped else "below the brake"
        record(
            event=Event.TRIPPED if tripped else Event.FROZEN,
            sentence=f"{system.name}: {len(wanted)} reductions wanted by a reading; {word}",
            subjects=_subjects(plan),
            facts=plan.brake,
        )
    return plan


def _same_wishes(plan: Plan, wanted: Sequence[Wanted]) -> bool:
    """Whether a waiting plan wants exactly this already: its question and its clock then go on."""
    have = {(c.act, c.account_id, c.group_id, c.member_ref) for c in plan.changes.all()}
    return have == {(str(w.act), w.account, w.group, w.member_ref) for w in wanted}


def _freeze(*, kind: PlanKind, system: System, wanted: Sequence[Wanted], at: datetime, **values: Any) -> Plan:
    plan: Plan = Plan.objects.create(tenant_id=system.tenant_id, kind=kind, system=system, asked_at=at, **values)
    changes = [
        PlannedChange(
            tenant_id=system.tenant_id,
            plan=plan,
            position=position,
            act=w.act,
            account_id=w.account,
            group_id=w.group,
            member_ref=w.member_ref,
            label=w.label[:400],
            before=dict(w.before),
            is_privileged=w.is_privileged,
        )
        for position, w in enumerate(wanted, start=1)
    ]
    PlannedChange.objects.bulk_create(changes, batch_size=500)
    plan.digest = digest_of(plan, changes)
    move(plan, PlanState.EVALUATED, by=PLAN)
    return plan


def recent_reductions(*, system: System, at: datetime) -> int:
    """Reductions at a system in the last ten minutes: explicit events, and the done changes of plans."""
    # By the key, which begins with the time: an index range in one or two partitions, however long the ledger is.
    since = uuid7_floor(int((at - ROLLING).timestamp() * 1000))
    events = Exchange.objects.filter(
        system=system, id__gte=since, outcome="applied", intent__in=["disable", "delete"]
    ).count()
    plans = PlannedChange.objects.filter(plan__system=system, result="done", done_at__gt=at - ROLLING).exclude(
        act__in=[ChangeAct.REACTIVATE, ChangeAct.ADD_MEMBER]
    )
    return events + plans.count()


def judge(*, system: System, wanted: Sequence[Wanted], total: int, read_nothing: bool, at: datetime) -> dict[str, Any]:
    """The brake's judgement, with its reasons in words; none means that the plan is cleared."""
    count = len(wanted)
    rolling = recent_reductions(system=system, at=at)
    because = ["the reading shows nothing at all"] if read_nothing else []
    because += over_the_limits(count=count, rolling=rolling, total=total)
    return {
        "count": count,
        "of": total,
        "percent": _percent(count + rolling, of=total),
        "just_before": rolling,
        "privileged": sum(w.is_privileged for w in wanted),
        "owners_losing_all": _owners_losing_all(wanted),
        "limits": {"changes": MOST, "percent": MOST_PERCENT, "least": LEAST_FOR_PERCENT},
        "because": because,
    }


def _percent(count: int, *, of: int) -> float:
    """For people to read; the limits are compared unrounded."""
    return round(100 * count / of, 1) if of else 100.0


def over_the_limits(*, count: int, rolling: int, total: int) -> list[str]:
    """Which limits a number of reductions, with those just before it, is over, in words."""
    both = count + rolling
    before = f" ({rolling} just before)" if rolling else ""
    because = []
    if both > MOST:
        because.append(f"{both} changes are more than {MOST}{before}")
    if both > LEAST_FOR_PERCENT and 100 * both > MOST_PERCENT * total:
        because.append(f"{_percent(both, of=total)} % of {total} is more than {MOST_PERCENT:g} %{before}")
    return because


def _owners_losing_all(wanted: Sequence[Wanted]) -> int:
    """How many owners would be left with nothing that they answer for."""
    ending = {w.account for w in wanted if w.act == ChangeAct.DEPROVISION and w.account}
    live = Ownership.objects.filter(state=OwnershipState.ACCEPTED)
    hit = set(live.filter(account__in=ending).values_list("owner_id", flat=True))
    keep = set(
        live.filter(owner__in=hit)
        .exclude(account__in=ending)
        .exclude(account__state__in=[AccountState.DEPROVISIONED, AccountState.ARCHIVED])
        .values_list("owner_id", flat=True)
    )
    return len(hit - keep)


# -- what people decide about it


def barred(plan: Plan) -> set[UUID]:
    """The identities that may not answer: who asked, the subjects, and whoever answers for them."""
    accounts = Account.objects.filter(pk__in=plan.changes.filter(account__isnull=False).values("account_id"))
    subjects = rules.people_of(accounts) if plan.kind == PlanKind.REACTIVATION else set()
    return {*plan.requesters, *subjects}


def needs(plan: Plan) -> int:
    """How many people: two for an NHI, a privileged account and a stopped plan, one for the rest."""
    if plan.kind == PlanKind.REACTIVATION and plan.account is not None:
        return 2 if plan.account.is_nhi or plan.account.is_privileged else 1
    return 2


def _locked(plan_id: UUID) -> Plan:
    return Plan.objects.select_for_update(of=("self",)).select_related("system", "account").get(pk=plan_id)


def grant(*, plan: Plan, permit: Permit, at: datetime) -> Plan:
    """People said yes. Raises `PlanChanged` when the permit is for something else or the time is over."""
    with transaction.atomic():
        found = _locked(plan.pk)
        if found.state not in PLAN_WAITS:
            raise PlanChanged(f"the plan is {found.get_state_display()}; nothing was written")
        if found.until is not None and found.until <= at:
            raise PlanChanged("the plan's time is over; nothing was written")
        if permit.act == PermitAct.EXECUTE_PLAN and permit.plan_hash != found.digest:
            raise PlanChanged("the permit is for another plan; nothing was written")
        if permit.act == PermitAct.REACTIVATE and (permit.account_id, permit.epoch) != (found.account_id, found.epoch):
            raise PlanChanged("the permit is for another ending; nothing was written")
        move(found, PlanState.APPROVED, by=PLAN)
        found.permit_id = permit.pk
        found.save()
        record(event=Event.APPROVED, sentence=f"{found}: approved", subjects=_subjects(found))
    return found


def _end(plan: Plan, to: PlanState, *, event: Event, because: str, at: datetime) -> Plan:
    with transaction.atomic():
        found = _locked(plan.pk)
        if not move(found, to, by=PLAN):
            return found
        found.ended_at, found.ended_because = at, because[:400]
        found.save()
        found.changes.filter(result=PlannedChange.Result.PLANNED).update(
            result=PlannedChange.Result.REJECTED, detail=because[:400]
        )
        record(event=event, sentence=f"{found}: {found.get_state_display()}. {because}", subjects=_subjects(found))
    return found


def reject(*, plan: Plan, because: str, at: datetime) -> Plan:
    """People said no."""
    return _end(plan, PlanState.REJECTED, event=Event.REJECTED, because=because, at=at)


def lapse(*, plan: Plan, because: str, at: datetime) -> Plan:
    """Nobody answered in time, or something newer was said."""
    return _end(plan, PlanState.LAPSED, event=Event.LAPSED, because=because, at=at)


# -- execution


def execute(*, plan_id: UUID, at: datetime) -> Plan:
    """Carry out a cleared or approved plan in batches, each a transaction of its own if none is open.

    Safe to repeat and to resume: what is done is not done again. The rows that were approved, and no others: raises
    `PlanChanged` when they, or the permit, are not what was decided about.
    """
    with transaction.atomic():
        _lock_account(plan_id)
        plan = _locked(plan_id)
        if plan.state in PLAN.final or plan.state in PLAN_WAITS:
            return plan
        if digest_of(plan, plan.changes.all()) != plan.digest:
            raise PlanChanged("the plan's rows are not what was frozen; nothing more was written")
        if plan.state not in {PlanState.EXECUTING, PlanState.VERIFYING}:
            if plan.state == PlanState.CLEARED and _over_the_brake(plan, at=at):
                return lapse(plan=plan, because="too much changed just before; the next reading asks again", at=at)
            _begin(plan, at=at)
    while _one_batch(plan_id, at=at):
        crashpoints.here(BEFORE_BATCH)
    crashpoints.here(AFTER_EXECUTION)
    return _close(plan_id, at=at)


def _lock_account(plan_id: UUID) -> None:
    # The order of everybody who moves one account: the account, its shadow, its plan.
    subject = Plan.objects.filter(pk=plan_id).values("account_id")
    list(Account.objects.select_for_update(of=("self",)).filter(pk__in=subject).values_list("pk"))


def _over_the_brake(plan: Plan, *, at: datetime) -> bool:
    # Judged again at the start: the rolling total counts what other plans and events did meanwhile.
    rolling = recent_reductions(system=plan.system, at=at)
    return bool(over_the_limits(count=plan.changes.count(), rolling=rolling, total=int(plan.brake.get("of", 0))))


def _begin(plan: Plan, *, at: datetime) -> None:
    if plan.kind != PlanKind.REACTIVATION and plan.state == PlanState.APPROVED:
        permit = _permit_of(plan)
        if not permits.use_for_plan(permit=permit, plan_id=plan.pk, plan_hash=plan.digest, at=at):
            raise PlanChanged("its permit is used or past its end; nothing was written")
    move(plan, PlanState.EXECUTING, by=PLAN)
    plan.save()


def _one_batch(plan_id: UUID, *, at: datetime) -> bool:
    """One batch in one savepoint or transaction; if it fails, row by row. False when nothing is left."""
    with transaction.atomic():
        plan = _locked(plan_id)
        batch = list(
            plan.changes.select_related("account", "group").filter(result=PlannedChange.Result.PLANNED)[:BATCH]
        )
        if not batch:
            return False
        try:
            with transaction.atomic():
                _carry_out(plan, batch, at=at)
                crashpoints.here(AFTER_BATCH)
        except DatabaseError:
            for change in batch:
                try:
                    with transaction.atomic():
                        _carry_out(plan, [change], at=at)
                except DatabaseError as error:
                    # The class alone: a database's message may hold values of the row.
                    _mark([change], PlannedChange.Result.FAILED, detail=type(error.__cause__ or error).__name__, at=at)
    return True


def _carry_out(plan: Plan, batch: Sequence[PlannedChange], *, at: datetime) -> None:
    whole = [c for c in batch if _is_whole(c)]
    broken = [c for c in batch if not _is_whole(c)]
    _mark(broken, PlannedChange.Result.FAILED, detail="it does not name what it would change", at=at)
    for act in ChangeAct:
        if same := [c for c in whole if c.act == act]:
            _DOERS[act](plan, same, at)


def _is_whole(change: PlannedChange) -> bool:
    if change.act in {ChangeAct.DEPROVISION, ChangeAct.REACTIVATE}:
        return change.account is not None
    return change.group is not None and change.member_ref is not None


def _permit_of(plan: Plan) -> Permit:
    if plan.permit_id is None:
        raise PlanChanged("the plan has no permit; nothing was written")
    return Permit.objects.get(pk=plan.permit_id)


def _mark(changes: Collection[PlannedChange], result: PlannedChange.Result, *, detail: str, at: datetime) -> None:
    if not changes:
        return
    PlannedChange.objects.filter(pk__in=[c.pk for c in changes]).update(result=result, detail=detail[:400], done_at=at)


def _seen_at(plan: Plan) -> datetime:
    """Since when a newer word counts: the reading's begin, for what was said while it ran was not in it."""
    return plan.run.started_at if plan.run is not None else plan.asked_at


def _deprovision(plan: Plan, changes: list[PlannedChange], at: datetime) -> None:
    # Something newer was decided: the directory said otherwise since the plan was frozen.
    newer = set(
        Shadow.objects.filter(
            system=plan.system, account__in=[c.account_id for c in changes], changed_at__gt=_seen_at(plan),
            ended_at__isnull=True, wants_active=True,
        ).values_list("account_id", flat=True)
    )  # fmt: skip
    _mark([c for c in changes if c.account_id in newer], PlannedChange.Result.VOID,
          detail="its directory has spoken since", at=at)  # fmt: skip
    todo = [c for c in changes if c.account_id not in newer and c.account_id is not None]
    accounts = [c.account_id for c in todo if c.account_id is not None]
    ended = {
        a.pk for a in lifecycle.deprovision(accounts=accounts, reason=f"{plan.system.name} shows it inactive", at=at)
    }
    Shadow.objects.filter(system=plan.system, account__in=accounts, ended_at__isnull=True, wants_active=True).update(
        wants_active=False
    )
    _mark([c for c in todo if c.account_id in ended], PlannedChange.Result.DONE, detail="", at=at)
    _mark([c for c in todo if c.account_id not in ended], PlannedChange.Result.SAME, detail="ended already", at=at)


def _remove_members(plan: Plan, changes: list[PlannedChange], at: datetime) -> None:
    groups = Group.objects.in_bulk({c.group_id for c in changes if c.group_id is not None})
    for group in groups.values():
        these = [c for c in changes if c.group_id == group.pk]
        live = memberships.of_system(group=group, system=plan.system).filter(
            origin_ref__in=[c.member_ref for c in these]
        )
        since = dict(live.values_list("origin_ref", "since"))
        gone = [c for c in these if c.member_ref not in since]
        # Something newer was decided: the directory put them in since the plan was frozen.
        newer = [c for c in these if c.member_ref in since and since[c.member_ref] > _seen_at(plan)]
        todo = [c for c in these if c.member_ref in since and c not in newer]
        who = [memberships.Member(ref=c.member_ref, account=c.account_id) for c in todo if c.member_ref is not None]
        if ended := memberships.remove(group=group, system=plan.system, refs=[m.ref for m in who], at=at):
            memberships.journal(
                group=group,
                changed=memberships.Changed(added=0, ended=ended),
                who=who,
                note=f"{plan.system.name} no longer shows them",
            )
        _mark(gone, PlannedChange.Result.SAME, detail="out already", at=at)
        _mark(newer, PlannedChange.Result.VOID, detail="its directory has spoken since", at=at)
        _mark(todo, PlannedChange.Result.DONE, detail="", at=at)


def _reactivate(plan: Plan, changes: list[PlannedChange], at: datetime) -> None:
    permit = _permit_of(plan)
    for change in changes:
        account = change.account
        if account is None:
            continue
        try:
            back = lifecycle.reactivate(account=account, permit=permit, expires_at=new_expiry(account, at=at), at=at)
        except lifecycle.CantReturn as error:
            _mark([change], PlannedChange.Result.VOID, detail=str(error), at=at)
        else:
            Shadow.objects.filter(system=plan.system, account=account, ended_at__isnull=True).update(
                wants_active=True, changed_at=at
            )
            _mark([change], PlannedChange.Result.DONE, detail=f"{back.get_state_display()}", at=at)


def new_expiry(account: Account, *, at: datetime) -> datetime | None:
    """The expiry with which an account comes back: the tenant's default for an NHI, none for a person."""
    if not account.is_nhi:
        return None if account.expires_at is None or account.expires_at <= at else account.expires_at
    return default_expiry(days=account.tenant.nhi_days, at=at)


def default_expiry(*, days: int, at: datetime) -> datetime:
    """The end of an account that names none: whole seconds, so that a directory that sends it back changes nothing."""
    return at.replace(microsecond=0) + timedelta(days=days)


def _add_members(plan: Plan, changes: list[PlannedChange], at: datetime) -> None:
    for change in changes:
        if change.group is not None and change.member_ref is not None:
            member = memberships.Member(ref=change.member_ref, account=change.account_id)
            memberships.add(group=change.group, system=plan.system, members=[member], at=at)
    _mark(changes, PlannedChange.Result.DONE, detail="", at=at)


_DOERS = {
    ChangeAct.DEPROVISION: _deprovision,
    ChangeAct.REMOVE_MEMBER: _remove_members,
    ChangeAct.REACTIVATE: _reactivate,
    ChangeAct.ADD_MEMBER: _add_members,
}


def _close(plan_id: UUID, *, at: datetime) -> Plan:
    """Executed, then verified against our own rows. What another system shows is the next reading's to say."""
    with transaction.atomic():
        plan = _locked(plan_id)
        if plan.state in PLAN.final:
            return plan
        residue = plan.changes.filter(result__in=[PlannedChange.Result.FAILED, PlannedChange.Result.VOID]).count()
        done = plan.changes.filter(result=PlannedChange.Result.DONE).count()
        move(plan, PlanState.VERIFYING, by=PLAN)
        move(plan, PlanState.RESIDUE if residue else PlanState.DONE, by=PLAN)
        plan.ended_at = at
        plan.ended_because = f"{done} done, {residue} not done"
        plan.held_by = []
        plan.save()
        record(
            event=Event.EXECUTED,
            sentence=f"{current().actor}: {plan}: {plan.ended_because}",
            subjects=_subjects(plan),
            facts={"done": done, "residue": residue},
        )
    return plan
