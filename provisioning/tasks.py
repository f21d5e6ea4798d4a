"""The alarm clock of this floor. Rows are the queue: each task looks for due rows, tenant by tenant, and may run twice.

A task takes ids at most and ends after about a minute; what is left is due at the next tick. A tenant or a system that
fails is logged and stops no other.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from uuid import UUID

import structlog
from celery import shared_task

from accounts import sweeps
from accounts.models.sweep import SweepName
from accounts.models.tenant import Tenant
from audit.models import Cause, CauseKind
from audit.outages import is_outage
from audit.scope import scope
from provisioning import (
    cursors,
    execution,
    freshness,
    readback,
    rebuilding,
    received,
    reconciliation,
    replaying,
    shadows,
    tokens,
)
from provisioning.feeds import following
from provisioning.models.connection import Connection
from provisioning.models.plan import Plan, PlanState
from provisioning.models.run import Run, RunState
from provisioning.plans import PlanChanged
from provisioning.scim import applying

MINUTE = 60.0
TURN = 1.0
"""Seconds that one tenant's backlog may take before another's turn."""
log = structlog.get_logger("rollcall.tasks")


def _now() -> datetime:
    return datetime.now(UTC)


def _sweep(reason: str) -> Cause:
    return Cause(kind=CauseKind.TASK, actor="sweep", reason=reason)


def _for_a_minute() -> Callable[[], bool]:
    ends_at = time.monotonic() + MINUTE
    return lambda: time.monotonic() < ends_at


def _for_a_turn() -> Callable[[], bool]:
    ends_at = time.monotonic() + TURN
    return lambda: time.monotonic() < ends_at


def _each_tenant(what: str, act: Callable[[UUID], None], *, go_on: Callable[[], bool]) -> None:
    """Do something for every tenant, in turn while there is time; one that fails stops no other."""
    tenants = list(Tenant.objects.order_by("?").values_list("pk", flat=True))
    # In any order: when time is short, it is not always the same one that waits.
    _each(what, tenants, act, go_on=go_on)


def _each(what: str, ids: Iterable[UUID], act: Callable[[UUID], None], *, go_on: Callable[[], bool]) -> None:
    for one in ids:
        if not go_on():
            return
        try:
            act(one)
        except Exception as error:
            if is_outage(error):
                raise  # the others would meet the same: the next tick goes on
            log.exception("a slice failed", what=what, id=str(one))


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def reconcile_due() -> None:
    """Begin to read what is due, and go on with every run that nobody works on."""
    go_on = _for_a_minute()

    def of_tenant(tenant: UUID) -> None:
        with scope(tenant=tenant):
            due = list(Connection.objects.order_by("due_at").values_list("system", flat=True))
        _each("start a run", due, lambda system: _start_due(tenant, system), go_on=go_on)
        with scope(tenant=tenant):
            running = list(
                Run.objects.filter(state=RunState.RUNNING).order_by("started_at").values_list("pk", flat=True)
            )
        _each("advance a run", running, lambda run: _advance(tenant, run), go_on=go_on)

    _each_tenant("reconcile", of_tenant, go_on=go_on)


def _start_due(tenant: UUID, system: UUID) -> None:
    with scope(tenant=tenant, cause=_sweep("a reading is due")):
        reconciliation.start_due(system=system, started_by="sweep", at=_now())


def _advance(tenant: UUID, run: UUID) -> None:
    reconciliation.advance(tenant=tenant, run_id=run, clock=_now)


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def read_back_due() -> None:
    """Read back every ending whose time has come."""
    go_on = _for_a_minute()
    _each_tenant("read back", lambda tenant: _read_back(tenant, go_on), go_on=go_on)


def _read_back(tenant: UUID, go_on: Callable[[], bool]) -> None:
    readback.read_due(tenant=tenant, clock=_now, go_on=go_on)


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def execute_cleared_plans() -> None:
    """Carry out plans that nobody has to decide about any more, and those that were cut off while carried out."""
    go_on = _for_a_minute()
    ready = [PlanState.CLEARED, PlanState.APPROVED, PlanState.EXECUTING, PlanState.VERIFYING]

    def of_tenant(tenant: UUID) -> None:
        with scope(tenant=tenant):
            due = list(Plan.objects.filter(state__in=ready).order_by("asked_at").values_list("pk", flat=True))
        _each("execute a plan", due, lambda plan: _execute(tenant, plan, go_on), go_on=go_on)

    _each_tenant("execute plans", of_tenant, go_on=go_on)


def _execute(tenant: UUID, plan_id: UUID, go_on: Callable[[], bool]) -> None:
    try:
        execution.advance(tenant=tenant, plan_id=plan_id, clock=_now, go_on=go_on, then=reconciliation.after_plan)
    except PlanChanged as error:
        with scope(tenant=tenant, cause=_sweep("a plan is not what was decided about")):
            execution.say_changed(plan_id=plan_id, because=str(error), at=_now())


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def apply_received() -> None:
    """Apply what was acknowledged before it was applied.

    Tenant by tenant, a few of each in turn, so that a backlog of one holds up nobody else's deactivation: also not one that
    is sent when all who could be woken are at work on that backlog. So each round asks every tenant again.
    """
    go_on = _for_a_minute()
    broken: set[UUID] = set()
    unfinished: set[UUID] = set()

    def of_tenant(tenant: UUID) -> None:
        if tenant in broken:
            return
        broken.add(tenant)  # one that fails is left to the next tick
        with scope(tenant=tenant):
            has_any = received.due(at=_now()).exists()  # a tick that finds nothing leaves no cause behind
        if has_any and _apply_some(tenant, go_on):
            unfinished.add(tenant)
        broken.remove(tenant)

    while go_on():
        unfinished.clear()
        _each_tenant("apply what was received", of_tenant, go_on=go_on)
        if not unfinished:
            return


def _apply_some(tenant: UUID, go_on: Callable[[], bool]) -> bool:
    """One turn of a tenant. Whether there may be more."""
    turn = _for_a_turn()
    while go_on():
        if not applying.apply_next(tenant=tenant, clock=_now):
            return False
        if not turn():
            return True
    return False


def apply_soon() -> None:
    """Wake the task above now. Only impatience: what nobody hears of is found by its next tick."""
    try:
        apply_received.apply_async(retry=False, expires=MINUTE)
    except Exception as error:  # noqa: BLE001  whatever the broker's trouble is, what was promised is committed
        log.warning("nobody was woken", error=type(error).__name__)


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def replay_due() -> None:
    """Go on with every replay that was asked for and is not done, one exchange after the other."""
    go_on = _for_a_minute()

    def of_tenant(tenant: UUID) -> None:
        with scope(tenant=tenant):
            due = list(replaying.running().values_list("pk", flat=True))
        _each("replay", due, lambda one: _replay(tenant, one, go_on), go_on=go_on)

    _each_tenant("replay", of_tenant, go_on=go_on)


def _replay(tenant: UUID, replay_id: UUID, go_on: Callable[[], bool]) -> None:
    replaying.advance(tenant=tenant, replay_id=replay_id, clock=_now, go_on=go_on)


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def rebuild_due() -> None:
    """Fold the ledger on where it stands, each night, and compare what it gives with the roll."""
    go_on = _for_a_minute()

    def of_tenant(tenant: UUID) -> None:
        with scope(tenant=tenant):
            is_due = rebuilding.due(at=_now())
        if is_due:
            rebuilding.advance(tenant=tenant, clock=_now, go_on=go_on)

    _each_tenant("rebuild", of_tenant, go_on=go_on)


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def watch_freshness() -> None:
    """Not having looked is itself a finding."""

    def of_tenant(tenant: UUID) -> None:
        with scope(tenant=tenant, cause=_sweep("is every system measured?")):
            freshness.watch_freshness(at=_now())
            cursors.watch(at=_now())
            received.watch_waiting(at=_now())
            sweeps.done(SweepName.WATCH, tenant=tenant, at=_now())

    _each_tenant("watch freshness", of_tenant, go_on=_for_a_minute())


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def follow_feeds() -> None:
    """Listen to every feed that is due, from its cursor on; what it says is received, and applied by `apply_received`."""
    go_on = _for_a_minute()

    def of_tenant(tenant: UUID) -> None:
        with scope(tenant=tenant):
            due = cursors.due(at=_now())
        _each("follow a feed", due, lambda cursor: _follow(tenant, cursor, go_on), go_on=go_on)

    _each_tenant("follow feeds", of_tenant, go_on=go_on)


def _follow(tenant: UUID, cursor: UUID, go_on: Callable[[], bool]) -> None:
    following.advance(tenant=tenant, cursor_id=cursor, clock=_now, go_on=go_on)


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def trim_rings() -> None:
    """Forget the oldest reads and refused requests, beside what each insert forgets."""

    def of_tenant(tenant: UUID) -> None:
        with scope(tenant=tenant, cause=_sweep("rings keep their length")):
            tokens.trim_reads()

    _each_tenant("trim reads", of_tenant, go_on=_for_a_minute())
    with scope(cause=_sweep("rings keep their length")):
        tokens.trim_refused()


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def fold_counts() -> None:
    """Put the counts of resources together that the last minute left."""

    def of_tenant(tenant: UUID) -> None:
        with scope(tenant=tenant):
            shadows.fold_counts()

    _each_tenant("fold counts", of_tenant, go_on=_for_a_minute())
