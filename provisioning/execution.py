"""Plans carried out: in batches, against permits, exactly what was frozen and nothing twice; then verified."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from django.db import DatabaseError, transaction

from accounts import lifecycle, memberships, permits
from accounts.findings import Wrong, open_or_raise
from accounts.models.account import Account
from accounts.models.finding import FindingKind, Severity
from accounts.models.group import Group
from accounts.models.permit import Permit
from audit import crashpoints
from audit.cause import current
from audit.journal import record
from audit.models import Cause, CauseKind
from audit.scope import scope
from audit.transitions import move
from provisioning import brake, plans
from provisioning.expiries import new_expiry
from provisioning.models.exchange import Exchange
from provisioning.models.plan import ChangeAct, Plan, PlanKind, PlannedChange, PlanState
from provisioning.models.shadow import Shadow
from provisioning.plans import Event, PlanChanged
from provisioning.states import PLAN, PLAN_WAITS

Clock = Callable[[], datetime]


class Then(Protocol):
    """What follows from a plan that is over."""

    def __call__(self, *, plan: Plan, at: datetime) -> object:
        """Called once for each time that the plan is found to be over."""


BATCH = 100
BEFORE_BATCH = crashpoints.point("plan.batch_begins", where="a plan is executing, the next batch has not begun")
AFTER_BATCH = crashpoints.point("plan.batch_written", where="a batch of a plan is written, not committed")
AFTER_EXECUTION = crashpoints.point("plan.executed", where="every batch is committed, the plan is not closed")


def execute(*, plan_id: UUID, at: datetime) -> Plan:
    """Carry out a whole plan in the transaction that is open: a plan of one, with the request or the answer behind it.

    Safe to repeat and to resume, as `advance`. Raises `PlanChanged` where the rows, or the permit, are not what was
    decided about.
    """
    while not _is_over(plan := _step(plan_id, at=at)):
        crashpoints.here(BEFORE_BATCH)
    return plan


def advance(*, tenant: UUID, plan_id: UUID, clock: Clock, go_on: Callable[[], bool], then: Then) -> bool:
    """Carry out a cleared or approved plan while `go_on` says so, each batch a transaction of its own with its history.

    True when it is over; `then` is called in the transaction that closes it. The rows are the queue: what is done is not
    done again, by whoever goes on and after a crash anywhere, and two at once take turns. Opens its own scopes. Raises
    `PlanChanged`; what was committed before stays.
    """
    while True:
        at = clock()
        with scope(tenant=tenant, cause=_cause()):
            plan = _step(plan_id, at=at)
            if is_over := _is_over(plan):
                then(plan=plan, at=at)
        if is_over:
            return True
        crashpoints.here(BEFORE_BATCH)
        if not go_on():
            return False


def say_changed(*, plan_id: UUID, because: str, at: datetime) -> None:
    """A plan is not what was decided about: that is a finding, and the plan lapses unless it has begun."""
    plan = plans.locked(plan_id)
    open_or_raise(
        [
            Wrong(
                kind=FindingKind.SWEEP_FAILED,
                key=f"plan_changed:{plan.pk}",
                title=f"{plan} at {plan.system.name} is not carried out: {because}",
                severity=Severity.CRITICAL,
                system=plan.system_id,
                evidence={"plan": str(plan), "state": str(plan.state), "because": because},
                due_at=at + timedelta(days=1),
            )
        ],
        at=at,
    )
    if PLAN.allows(source=plan.state, target=PlanState.LAPSED):
        plans.lapse(plan=plan, because=because, at=at)


def _cause() -> Cause:
    return Cause(kind=CauseKind.TASK, actor="sweep", reason="a plan is ready to be carried out")


def _is_over(plan: Plan) -> bool:
    return plan.state in PLAN.final or plan.state in PLAN_WAITS


def _step(plan_id: UUID, *, at: datetime) -> Plan:
    """The next part of a plan, all or nothing: it begins, and a batch is written; or, with none left, it closes."""
    with transaction.atomic():
        _lock_account(plan_id)
        plan = plans.locked(plan_id)
        if _is_over(plan):
            return plan
        # Before each batch: between two of them the rows were anybody's.
        if not plans.is_as_frozen(plan):
            raise PlanChanged("the plan's rows are not what was frozen; nothing more was written")
        if plan.state not in {PlanState.EXECUTING, PlanState.VERIFYING}:
            if plan.state == PlanState.CLEARED and _over_the_brake(plan, at=at):
                because = "too much changed just before; the next reading asks again"
                return plans.lapse(plan=plan, because=because, at=at)
            _begin(plan, at=at)
        planned = plan.changes.filter(result=PlannedChange.Result.PLANNED).select_related("account", "group")
        if batch := list(planned.order_by("position")[:BATCH]):
            _write(plan, batch, at=at)
            return plan
        crashpoints.here(AFTER_EXECUTION)
        return _close(plan, at=at)


def _lock_account(plan_id: UUID) -> None:
    # The order of everybody who moves one account: the account, its shadow, its plan.
    subject = Plan.objects.filter(pk=plan_id).values("account_id")
    list(Account.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=subject).values_list("pk"))


def _over_the_brake(plan: Plan, *, at: datetime) -> bool:
    # Judged again at the start: the totals count what other plans and events did meanwhile.
    wanted = [
        plans.Wanted(act=ChangeAct(c.act), label=c.label, account=c.account_id, group=c.group_id,
                     member_ref=c.member_ref, is_privileged=c.is_privileged)
        for c in plan.changes.all()
    ]  # fmt: skip
    judged = brake.judge(
        system=plan.system, wanted=wanted, total=int(plan.brake.get("of", 0)), read_nothing=False, at=at
    )
    return bool(judged["because"])


def _begin(plan: Plan, *, at: datetime) -> None:
    if plan.kind != PlanKind.REACTIVATION and plan.state == PlanState.APPROVED:
        permit = _permit_of(plan)
        if not permits.use_for_plan(permit=permit, plan_id=plan.pk, plan_hash=plan.digest, at=at):
            raise PlanChanged("its permit is used or past its end; nothing was written")
    move(plan, PlanState.EXECUTING, by=PLAN)
    plan.save()


def _write(plan: Plan, batch: Sequence[PlannedChange], *, at: datetime) -> None:
    """A batch at once; if that fails, row by row, so that one bad row stops no other."""
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
    """Since when a newer word counts: since what was read is so, for what was said later was not in it."""
    if plan.run is None:
        return plan.asked_at
    reading = plan.run.snapshots.first()
    since: datetime = plan.run.started_at if reading is None else reading.since
    return since


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
    # Named as such since the plan was frozen, perhaps.
    spared = brake.spared(system=plan.system, accounts={c.account_id for c in changes if c.account_id is not None})
    for change in changes:
        if change.account_id in spared and change.account_id not in newer:
            _mark([change], PlannedChange.Result.VOID, detail=spared[change.account_id], at=at)
    todo = [c for c in changes if c.account_id not in {*newer, *spared} and c.account_id is not None]
    accounts = [c.account_id for c in todo if c.account_id is not None]
    absent = [c.account_id for c in todo if c.account_id is not None and c.is_absence]
    shown = [account for account in accounts if account not in absent]
    over = [
        *lifecycle.deprovision(accounts=shown, reason=f"{plan.system.name} shows it inactive", at=at),
        *lifecycle.deprovision(accounts=absent, reason=f"{plan.system.name} does not have it any more", at=at),
    ]
    ended = {account.pk for account in over}
    # Who is not there is in none of its groups either; of those no reading can say so.
    memberships.end_of_accounts(accounts=absent, system=plan.system, at=at)
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


def _add_members(plan: Plan, changes: list[PlannedChange], at: datetime) -> None:
    # A membership lives no longer than the resource that it is of.
    spoken = _spoken_of(plan, changes)
    _mark([c for c in changes if c.group_id in spoken], PlannedChange.Result.VOID,
          detail="its directory has spoken since", at=at)  # fmt: skip
    changes = [c for c in changes if c.group_id not in spoken]
    refs = [c.member_ref for c in changes if c.member_ref is not None]
    living = dict(
        Shadow.objects.filter(pk__in=refs, system=plan.system, ended_at__isnull=True).values_list("pk", "resource_type")
    )
    todo = [c for c in changes if c.member_ref in living]
    for change in todo:
        if change.group is not None and change.member_ref is not None:
            of_type = living[change.member_ref]
            member = memberships.Member(ref=change.member_ref, account=change.account_id, type=of_type)
            memberships.add(group=change.group, system=plan.system, members=[member], at=at)
    gone = [c for c in changes if c.member_ref not in living]
    _mark(gone, PlannedChange.Result.VOID, detail="its directory has ended it since", at=at)
    _mark(todo, PlannedChange.Result.DONE, detail="", at=at)


def _spoken_of(plan: Plan, changes: list[PlannedChange]) -> set[UUID | None]:
    """The groups of whose members their system has spoken since they were asked for by a replay."""
    if plan.kind != PlanKind.REPLAY or plan.exchange_id is None:
        return set()
    asked = {c.group_id for c in changes if c.group_id is not None}
    groups = dict(Shadow.objects.filter(system=plan.system, group__in=asked).values_list("pk", "group_id"))
    newer = Exchange.objects.filter(
        resource_id__in=groups, id__gt=plan.exchange_id, outcome__in=["applied", "same", "held"],
        intent__in=["member_add", "member_remove", "member_replace", "delete"],
    )  # fmt: skip
    return {groups[resource] for resource in newer.values_list("resource_id", flat=True) if resource is not None}


_DOERS = {
    ChangeAct.DEPROVISION: _deprovision,
    ChangeAct.REMOVE_MEMBER: _remove_members,
    ChangeAct.REACTIVATE: _reactivate,
    ChangeAct.ADD_MEMBER: _add_members,
}


def _close(plan: Plan, *, at: datetime) -> Plan:
    """Executed, then verified against our own rows. What another system shows is the next reading's to say."""
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
        subjects=plans.subjects(plan),
        facts={"done": done, "residue": residue},
    )
    return plan
