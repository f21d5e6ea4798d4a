"""The alarm clock of this floor: what is due in each tenant. Each task may run twice, at once, or not at all for a while.

Rows are the queue. Each slice is one transaction in the scope of one tenant; a tenant that fails stops no other, and
the task fails at its end, so that the failure is seen.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import structlog
from celery import shared_task
from django.conf import settings

from accounts.models.tenant import Tenant
from audit.models import Cause, CauseKind
from audit.outages import is_outage
from audit.scope import scope
from audit.seal_keys import BadKey, SigningKey, read
from governance import approvals, certificates, notices, sending, settling
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
        except Exception as error:
            if is_outage(error):
                raise  # the others would meet the same: the next tick goes on
            log.exception("tenant_failed", task=name, tenant=tenant.slug)
            failed.append(tenant.slug)
    if failed:
        raise TenantsFailed(f"{name} failed for {', '.join(failed)}; see the log")


def _once(name: str, tenant: Tenant, *, is_due: Callable[[datetime], bool], act: Callable[[datetime], object]) -> None:
    """One transaction with its own cause, if there is anything to do: an idle tick leaves no row."""
    with scope(tenant=tenant.pk):
        if not is_due(_now()):
            return
    with scope(tenant=tenant.pk, cause=_cause(name)):
        act(_now())


def _slices(name: str, tenant: Tenant, slice_of: Callable[[datetime], bool]) -> None:
    """Slice after slice, each a transaction with its own cause, until one says that nothing is left or time is over."""
    end = time.monotonic() + SLICE_SECONDS
    more = True
    while more and time.monotonic() < end:
        with scope(tenant=tenant.pk, cause=_cause(name)):
            more = slice_of(_now())


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def open_approvals() -> None:
    """A question for every plan that waits for people."""

    def one(tenant: Tenant) -> None:
        _once(
            "approvals opener",
            tenant,
            is_due=lambda at: approvals.to_ask(at=at).exists(),
            act=lambda at: approvals.open_for_plans(at=at),
        )

    each_tenant("governance.tasks.open_approvals", one)


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def lapse_approvals() -> None:
    """Silence means no: what is past its time ends."""

    def one(tenant: Tenant) -> None:
        _once(
            "approvals clock",
            tenant,
            is_due=lambda at: approvals.has_something_to_lapse(at=at),
            act=lambda at: approvals.lapse_due(at=at),
        )

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


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def settle_campaigns() -> None:
    """What the deadline of a campaign leaves, and what has been read as off since."""
    each_tenant("governance.tasks.settle_campaigns", _settle)


def _write(tenant: Tenant) -> None:
    with scope(tenant=tenant.pk):
        if not notices.has_something_to_tell(at=_now()):
            return

    def one_slice(at: datetime) -> bool:
        notices.remind_reviewers(at=at)
        return notices.write_for_findings(at=at) > 0

    _slices("notice writer", tenant, one_slice)


def _signing_key() -> SigningKey | None:
    """The key of the seals, which only workers have. Without it nothing can be certified, and a finding says so."""
    if not settings.ROLLCALL_SEAL_KEY_FILE:
        log.warning("nothing_is_certified", because="ROLLCALL_SEAL_KEY_FILE is not set")
        return None
    try:
        return read(Path(settings.ROLLCALL_SEAL_KEY_FILE))
    except BadKey as error:
        log.error("nothing_is_certified", because=str(error))  # noqa: TRY400  the sentence says it all
        return None


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def certify() -> None:
    """After midnight of each tenant, what is measured is signed; a night without a certificate is a finding."""
    key = _signing_key()

    def one(tenant: Tenant) -> None:
        def sign(at: datetime) -> object:
            return certificates.issue(
                tenant=tenant, day=certificates.last_day(tenant, at=at), key=cast("SigningKey", key), at=at
            )

        if key is not None:
            _once("certifier", tenant, is_due=lambda at: certificates.is_due(tenant, at=at), act=sign)
        _once(
            "certificate watch",
            tenant,
            is_due=lambda at: certificates.has_something_to_say(tenant=tenant, at=at),
            act=lambda at: certificates.watch(tenant=tenant, at=at),
        )

    each_tenant("governance.tasks.certify", one)


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def write_notices() -> None:
    """Notices of findings that nobody was told of, and reminders of reviews."""
    each_tenant("governance.tasks.write_notices", _write)


def _send(tenant: Tenant) -> None:
    with scope(tenant=tenant.pk):
        if not sending.due(at=_now()).exists():
            return
    _slices("mail sender", tenant, lambda at: sending.send_due(at=at).sent > 0)


@shared_task  # type: ignore[untyped-decorator]  # Celery has no types
def send_notices() -> None:
    """Mails that are due."""
    each_tenant("governance.tasks.send_notices", _send)
