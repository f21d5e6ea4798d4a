"""The alarm clock of this floor: what is due in each tenant. Each task may run twice, at once, or not at all for a while.

Rows are the queue. Each slice is one transaction in the scope of one tenant; a tenant that fails stops no other, and
the task fails at its end, so that the failure is seen.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from celery import shared_task

from accounts.models.tenant import Tenant
from audit.models import Cause, CauseKind
from audit.scope import scope
from governance import approvals, notices, sending, settling
from governance.models.campaign import Campaign

log = structlog.get_logger("rollcall.tasks")

# A task works at most this long on one tenant; the next tick goes on.
SLICE_SECONDS = 50.0


class TenantsFailed(RuntimeError):
    """The work of some tenants failed. The log has a line for each, with its cause."""


def _now() -> datetime:
    return datetime.now(UTC)


def _cause(name: str) -> Cause:
    return Cause(kind=CauseKind.TASK, actor=name, reason="due")


def each_tenant(name: str, work: Callable[[Tenant], None]) -> None:
    """Do the work of every tenant, the failing ones too. Raises `TenantsFailed` at the end."""
    with scope():
        tenants = list(Tenant.objects.order_by("slug"))
    failed = []
    for tenant in tenants:
        try:
            work(tenant)
        except Exception:
            log.exception("tenant_failed", task=name, tenant=tenant.slug)
            failed.append(tenant.slug)
    if failed:
        raise TenantsFailed(f"{name} failed for {', '.join(failed)}; see the log")


def _slices(name: str, tenant: Tenant, slice_of: Callable[[datetime], bool]) -> None:
    """Slice after slice, each a transaction with its own cause, until one says that nothing is left or time is over."""
    end = time.monotonic() + SLICE_SECONDS
    more = True
    while more and time.monotonic() < end:
        with scope(tenant=tenant.pk, cause=_cause(name)):
            more = slice_of(_now())


@shared_task
def open_approvals() -> None:
    """A question for every plan that waits for people."""

    def one(tenant: Tenant) -> None:
        with scope(tenant=tenant.pk, cause=_cause("approvals opener")):
            approvals.open_for_plans(at=_now())

    each_tenant("governance.tasks.open_approvals", one)


@shared_task
def lapse_approvals() -> None:
    """Silence means no: what is past its time ends."""

    def one(tenant: Tenant) -> None:
        with scope(tenant=tenant.pk, cause=_cause("approvals clock")):
            approvals.lapse_due(at=_now())

    each_tenant("governance.tasks.lapse_approvals", one)


def _settle(tenant: Tenant) -> None:
    with scope(tenant=tenant.pk):
        campaigns = list(Campaign.objects.filter(pk__in=settling.due(at=_now())))
    for campaign in campaigns:
        done = settling.Settled()

        def one_slice(at: datetime, campaign: Campaign = campaign) -> bool:
            nonlocal done
            done = settling.settle(campaign=campaign, at=at, after=done.next)
            return done.next is not None

        _slices("campaign sweep", tenant, one_slice)


@shared_task
def settle_campaigns() -> None:
    """What the deadline of a campaign leaves, and what has been read as off since."""
    each_tenant("governance.tasks.settle_campaigns", _settle)


@shared_task
def write_notices() -> None:
    """Notices of findings that nobody was told of, and reminders of reviews."""

    def one(tenant: Tenant) -> None:
        _slices("notice writer", tenant, lambda at: notices.write_for_findings(at=at) > 0)
        _slices("notice writer", tenant, lambda at: notices.remind_reviewers(at=at) < 0)

    each_tenant("governance.tasks.write_notices", one)


@shared_task
def send_notices() -> None:
    """Mails that are due."""

    def one(tenant: Tenant) -> None:
        _slices("mail sender", tenant, lambda at: sending.send_due(at=at).sent > 0)

    each_tenant("governance.tasks.send_notices", one)
