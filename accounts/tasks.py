"""The alarm clock of this floor. Rows are the queue: each task looks for due rows, tenant by tenant, and may run twice."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog
from celery import shared_task
from django.conf import settings

from accounts import expiry, sweeps
from accounts.models.sweep import SweepName
from accounts.models.tenant import Tenant
from audit import sealing
from audit.models import Cause, CauseKind
from audit.outages import is_outage
from audit.scope import scope
from audit.seal_keys import BadKey, SigningKey, read
from audit.witness import NoWitness

MINUTE = 60.0
log = structlog.get_logger("rollcall.tasks")


def _now() -> datetime:
    return datetime.now(UTC)


def _cause() -> Cause:
    return Cause(kind=CauseKind.TASK, actor="sweep", reason="expiries are due")


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def sweep_expiry() -> None:
    """Tell ahead, suspend at the expiry, end 30 days after: each batch one transaction, until nothing is left.

    After a minute the rest waits for the next tick. A tenant that fails is logged and stops no other.
    """
    ends_at = time.monotonic() + MINUTE
    # In any order: when time is short, it is not always the same tenant that waits.
    for tenant in Tenant.objects.order_by("?").values_list("pk", flat=True):
        if time.monotonic() >= ends_at:
            return
        try:
            _sweep_tenant(tenant, go_on=lambda: time.monotonic() < ends_at)
        except Exception as error:
            if is_outage(error):
                raise  # the others would meet the same: the next tick goes on
            log.exception("the expiry sweep failed", tenant=str(tenant))


def _sweep_tenant(tenant: UUID, *, go_on: Callable[[], bool]) -> expiry.Swept:
    swept = expiry.Swept()
    failed: set[UUID] = set()
    # What is past its end first: telling ahead can wait, access can't.
    swept.suspended = _batches(expiry.suspend_batch, tenant, failed, go_on=go_on)
    swept.ended = _batches(expiry.end_batch, tenant, failed, go_on=go_on)
    with scope(tenant=tenant, cause=_cause()):
        swept.told = expiry.tell(at=_now())
    swept.failed = len(failed)
    if go_on():
        with scope(tenant=tenant):
            sweeps.done(SweepName.EXPIRY, tenant=tenant, at=_now())
    return swept


def _batches(batch: Callable[..., int], tenant: UUID, failed: set[UUID], *, go_on: Callable[[], bool]) -> int:
    """Batch after batch, each in a scope of its own. Returns how many rows were dealt with."""
    total = 0
    while True:
        with scope(tenant=tenant, cause=_cause()):
            done = batch(at=_now(), failed=failed)
        total += done
        if not done or not go_on():
            return total


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def seal() -> None:
    """Seal what is finished, chain by chain, and tell the witness: each seal one transaction, until nothing is left.

    After a minute the rest waits for the next tick. Without a key nothing is sealed; `/readyz` says so.
    """
    if not settings.ROLLCALL_SEAL_KEY_FILE:
        log.warning("nothing_is_sealed", because="ROLLCALL_SEAL_KEY_FILE is not set")
        return
    try:
        key = read(Path(settings.ROLLCALL_SEAL_KEY_FILE))
    except BadKey as error:
        log.error("nothing_is_sealed", because=str(error))  # noqa: TRY400  the sentence says it all
        return
    ends_at = time.monotonic() + MINUTE
    # What has no tenant first: it is little. Then in any order, as above.
    for tenant in [None, *Tenant.objects.order_by("?").values_list("pk", flat=True)]:
        if time.monotonic() >= ends_at:
            return
        try:
            _seal_tenant(tenant, key=key, go_on=lambda: time.monotonic() < ends_at)
        except NoWitness as error:
            log.error("witness_not_told", because=str(error), tenant=str(tenant))  # noqa: TRY400
        except Exception as error:
            if is_outage(error):
                raise
            log.exception("sealing failed", tenant=str(tenant))


def _seal_tenant(tenant: UUID | None, *, key: SigningKey, go_on: Callable[[], bool]) -> None:
    """No cause is opened: a seal is about causes, and one of its own would want to be sealed in its turn."""
    is_left = True
    while is_left and go_on():
        with scope(tenant=tenant):
            is_left = sealing.seal(tenant=tenant, key=key, at=_now()) is not None
    is_left = bool(settings.ROLLCALL_SEAL_WITNESS)
    while is_left and go_on():
        with scope(tenant=tenant):
            is_left = sealing.tell_witness(tenant=tenant, path=Path(settings.ROLLCALL_SEAL_WITNESS), at=_now()) > 0
