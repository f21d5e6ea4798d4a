"""The alarm clock: each tenant in its own scope, idle ticks without a trace, one failing tenant stopping no other."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.core import mail
from django.db import OperationalError

from accounts.models.account import Account, AccountState
from accounts.models.finding import FindingKind
from accounts.models.user import RoleName
from audit.models import Cause, CauseKind
from audit.scope import scope
from governance import approvals, campaigns, tasks
from governance.lines import Query
from governance.models.approval import Approval
from governance.models.campaign import Campaign, CampaignState, Review, Silence
from governance.models.notice import Notice
from provisioning import plans
from provisioning.models.plan import Plan
from provisioning.models.readback import ReadResult
from tests.conftest import a_cause
from tests.factories.governance import (
    a_connection,
    a_finding,
    a_person,
    a_readback,
    a_service,
    a_shadow,
    a_system,
    a_user,
    asked_back,
    now,
    staff,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accounts.models import Tenant

NAMES = ("certify", "open_approvals", "lapse_approvals", "settle_campaigns", "write_notices", "send_notices")


@contextmanager
def inside(tenant: Tenant) -> Iterator[None]:
    """The scope of a tenant, to prepare and to look."""
    with scope(tenant=tenant.pk, cause=a_cause()):
        yield


def causes(tenant: Tenant) -> list[str]:
    """Who acted in a tenant, as tasks."""
    with scope(tenant=tenant.pk):
        return list(Cause.objects.filter(kind=CauseKind.TASK).order_by("id").values_list("actor", flat=True))


def test_the_schedule_names_exactly_the_tasks_of_this_floor() -> None:
    scheduled = {n for n in settings.CELERY_BEAT_SCHEDULE if n.startswith("governance.")}
    assert scheduled == {f"governance.tasks.{name}" for name in NAMES}
    assert {getattr(tasks, name).name for name in NAMES} == scheduled


@pytest.mark.parametrize("name", NAMES)
def test_an_idle_tick_leaves_no_row(make_tenant: Callable[..., Tenant], name: str) -> None:
    tenant = make_tenant(made_at=now())
    getattr(tasks, name)()
    assert causes(tenant) == []


def test_questions_are_opened_and_lapse_in_every_tenant(make_tenant: Callable[..., Tenant]) -> None:
    tenants = [make_tenant("acme"), make_tenant("globex")]
    at = now()
    for tenant in tenants:
        with inside(tenant):
            asked_back(a_person(tenant, "k.osei", at=at), a_system(tenant, at=at), at=at)
    tasks.open_approvals()
    tasks.open_approvals()
    for tenant in tenants:
        with inside(tenant):
            assert Approval.objects.count() == 1
        assert causes(tenant) == ["approvals opener"]
        with inside(tenant):
            plans.lapse(plan=Plan.objects.get(), because="a newer reading", at=at)
    tasks.lapse_approvals()
    for tenant in tenants:
        with inside(tenant):
            assert Approval.objects.get().state == "void"


def test_one_tenant_that_fails_stops_no_other_and_the_task_says_so(
    make_tenant: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    at = now()
    for tenant in (acme, globex):
        with inside(tenant):
            asked_back(a_person(tenant, "k.osei", at=at), a_system(tenant, at=at), at=at)
    opened = approvals.open_for_plans

    def fails(*, at: dt.datetime) -> int:
        if plans.waiting().filter(tenant=acme).exists():
            raise ZeroDivisionError
        return opened(at=at)

    monkeypatch.setattr(approvals, "open_for_plans", fails)
    with pytest.raises(tasks.TenantsFailed, match="open_approvals failed for acme; see the log"):
        tasks.open_approvals()
    with inside(globex):
        assert Approval.objects.count() == 1
    with inside(acme):
        assert not Approval.objects.exists()


def test_a_campaign_is_settled_and_closed_by_the_clock_alone(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    at = now()
    deadline = at + dt.timedelta(days=5)
    with inside(tenant):
        chen = staff(tenant, "l.chen", RoleName.SECURITY, at=at)
        owner = a_person(tenant, "a.ruiz", at=at)
        a_user(owner, RoleName.OWNER, at=at)
        system = a_system(tenant, at=at)
        a_connection(system, read_at=at)
        accounts = [a_service(tenant, f"svc-{n}", at=at, owner=owner) for n in range(3)]
        for account in accounts:
            a_shadow(system, account, at=at)
        draft = campaigns.draft(
            tenant=tenant, user=chen, name="Q4", query=Query(text="svc-"), deadline=deadline,
            silence=Silence.SUSPEND, at=at,
        )  # fmt: skip
        campaigns.launch(campaign=draft, user=chen, at=at)
    tasks.settle_campaigns()
    assert causes(tenant) == []

    monkeypatch.setattr(tasks, "_now", lambda: deadline)
    tasks.settle_campaigns()
    with inside(tenant):
        assert set(Review.objects.values_list("state", flat=True)) == {"silent"}
        assert set(Account.objects.filter(kind="service").values_list("state", flat=True)) == {AccountState.SUSPENDED}
        for account in accounts:
            a_readback(account, system, ReadResult.INACTIVE, at=deadline)
    tasks.settle_campaigns()
    with inside(tenant):
        assert Campaign.objects.get().state == CampaignState.CLOSED
    before = len(causes(tenant))
    tasks.settle_campaigns()
    assert len(causes(tenant)) == before


def test_notices_are_written_and_sent(tenant: Tenant) -> None:
    at = now()
    with inside(tenant):
        staff(tenant, "l.chen", RoleName.SECURITY, at=at)
        a_finding(FindingKind.NOT_MEASURED, "grey", title="Okta is not measured", at=at)
    tasks.write_notices()
    tasks.write_notices()
    tasks.send_notices()
    tasks.send_notices()
    assert [(m.to, m.subject) for m in mail.outbox] == [(["l.chen@acme.example"], "[Acme] Okta is not measured")]
    with inside(tenant):
        assert Notice.objects.get().sent_at is not None
    # The writer needs a second slice to see that nothing is left; the sender too.
    assert causes(tenant) == ["notice writer", "notice writer", "mail sender", "mail sender"]


def test_work_of_one_tenant_ends_when_its_time_is_over(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 60.0])
    monkeypatch.setattr(tasks, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    done: list[Any] = []

    def endless(at: dt.datetime) -> bool:
        done.append(at)
        return True

    tasks._slices("test", tenant, endless)
    assert len(done) == 1


def test_a_database_that_is_away_ends_the_tick_before_the_next_tenant(
    make_tenant: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tenant("acme"), make_tenant("globex")
    tried = []

    def away(tenant: Tenant) -> None:
        tried.append(tenant.slug)
        raise OperationalError("server closed the connection unexpectedly")

    with pytest.raises(OperationalError):
        tasks.each_tenant("a task", away)
    assert tried == ["acme"]
