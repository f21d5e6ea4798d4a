"""Work that is under way when the power fails: each crash point is reached by one of these.

A story is prepared once, in a database that is then copied for each time that it is told. How it is told does not know
whether anything dies on the way: what is due is woken until it is done, and a request is sent until it is answered.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db.models import F

from accounts import lifecycle
from accounts.models import Account, AccountKind, HoldKind, RoleName, Tenant, TenantKind
from audit.scope import scope
from governance import campaigns
from governance.lines import Query
from governance.models.campaign import Campaign, Review, Silence
from provisioning.models import Listening, Received, Run
from provisioning.models.plan import Plan
from provisioning.states import PLAN
from tests.conftest import a_cause
from tests.factories import governance as make
from tests.fakes import directories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from accounts.models import System
    from tests.fakes.directories import FakeDirectory
    from tests.flows.drill.installation import Running

MONTH = dt.timedelta(days=30)
# Longer than any lease and any wait for a read-back.
A_WHILE = dt.timedelta(minutes=20)


def a_tenant(slug: str) -> Tenant:
    """A tenant of its own, made to be tried: only such a one is loaded with a past."""
    with scope(cause=a_cause()):
        made: Tenant = Tenant.objects.create(slug=slug, name=slug.title(), kind=TenantKind.DEMO, made_at=make.now())
    return made


def acting(tenant: Tenant) -> AbstractContextManager[Any]:
    """In the tenant, as the drill."""
    return scope(tenant=tenant.pk, cause=a_cause(actor="the drill"))


def time_passes(tenant: Tenant) -> None:
    """What was claimed by somebody who is dead is free again, and every read-back that is awaited is due."""
    with acting(tenant):
        Run.objects.filter(leased_until__isnull=False).update(leased_until=F("leased_until") - A_WHILE)
        Account.objects.filter(read_due_at__isnull=False).update(read_due_at=F("read_due_at") - A_WHILE)
        Listening.objects.filter(leased_until__isnull=False).update(leased_until=F("leased_until") - A_WHILE)
        Received.objects.filter(state="waiting").update(next_try_at=F("next_try_at") - A_WHILE)


@dataclass(frozen=True)
class Step:
    """A part of a story: what the scheduler wakes, until when. `first` is done once before it."""

    tasks: tuple[str, ...]
    is_over: Callable[[], bool]
    first: Callable[[], None] = lambda: None


@dataclass
class Story:
    """What is prepared, which process does it, and how it is told."""

    tenant: Tenant
    process: ClassVar[str] = "worker"
    ending: ClassVar[dict[str, Any]] = {}
    """What the picture of its end shows, as far as it says whether the work was done at all."""
    answers: list[tuple[str, int, Any]] = field(default_factory=list, kw_only=True)
    """What a sender was told, where there is one."""

    @classmethod
    def prepared(cls) -> AbstractContextManager[Self]:
        """The story's beginning in the database that Django looks at; what it needs lives until the end of the block."""
        raise NotImplementedError

    def steps(self) -> list[Step]:
        """The parts, in order."""
        raise NotImplementedError

    def tell(self, running: Running, *, database: str, may_crash: bool = False) -> None:
        """Wake what is due until all is done. After a crash, time passes until the dead one's claims have run out."""
        installation = running.installation
        crashed = not may_crash

        def is_over(step: Step) -> bool:
            nonlocal crashed
            if not crashed and installation.mark.exists():
                crashed = True
                running.until(lambda: running.is_killed(self.process), what="a process is dead")
                with installation.looking(database):
                    time_passes(self.tenant)
            running.wake(*step.tasks, alone=True)  # two sweeps at once end alike, but not always by the same rows
            with installation.looking(database):
                return step.is_over()

        for step in self.steps():
            with installation.looking(database):
                step.first()
            running.until(partial(is_over, step), what=f"{type(self).__name__}: {', '.join(step.tasks)}")
            running.until(running.is_quiet, what="the last tick")


# -- a directory is read; what it shows as reduced is planned, carried out, and read back


@dataclass
class Reading(Story):
    """Two people were deactivated there, one is gone and one left a group, of which nobody told us; one joined a group."""

    directory: FakeDirectory
    system: System
    ending: ClassVar[dict[str, Any]] = {
        "changes": [
            ("deprovision", "ada", "done", ""),
            ("deprovision", "bob", "done", ""),
            ("deprovision", "gus", "done", ""),
            ("remove_member", "eve from Staff", "done", ""),
        ],
        "members": [("Staff", "cyd", None), ("Staff", "eve", True)],
        "findings": [
            ("membership_differs", "open", 2, "dan is not in Staff here; Okta shows it there"),
            ("membership_differs", "resolved", 2, "eve is still in Staff here; Okta no longer shows it"),
            ("missing_there", "resolved", 2, "account gus is no longer at Okta"),
            ("status_differs", "resolved", 3, "ada: inactive at Okta, active here"),
            ("status_differs", "resolved", 3, "bob: inactive at Okta, active here"),
        ],
        "plans": [("reading", "done", 0, "4 done, 0 not done")],
        "read back": [
            ("ada", "inactive", "active is false"),
            ("bob", "inactive", "active is false"),
            # Asked for before it was believed, and read back after it was done.
            ("gus", "absent", "neither its id nor its name is there"),
            ("gus", "absent", "neither its id nor its name is there"),
        ],
        "staged": 0,
    }

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Self]:
        """The directory lives until the end of the block."""
        tenant = a_tenant("reading")
        with directories.serving() as directory:
            with acting(tenant):
                at = make.now() - dt.timedelta(days=1)
                names = ["canary", "ada", "bob", "cyd", "dan", "eve", "fay"]
                remote = {name: directory.user(name, active=name not in {"ada", "bob"}) for name in names}
                staff = directory.group("Staff", remote["cyd"], remote["dan"])
                system = directories.a_system(tenant, at=at, directory=directory)
                here = {name: directories.known(system, name, at=at, remote_id=remote[name]) for name in names}
                directories.known(system, "gus", at=at, remote_id="gone")
                members = [here[name] for name in ("cyd", "eve")]
                directories.known_group(system, "Staff", *members, at=at, remote_id=staff)
            yield cls(tenant, directory, system)

    def steps(self) -> list[Step]:
        repair = ("provisioning.tasks.reconcile_due", "provisioning.tasks.execute_cleared_plans")
        return [
            Step(tasks=repair, is_over=self._is_repaired),
            Step(
                tasks=("provisioning.tasks.read_back_due",),
                is_over=self._is_read_back,
                first=lambda: time_passes(self.tenant),
            ),
        ]

    def _is_repaired(self) -> bool:
        with scope(tenant=self.tenant.pk):
            closed = Run.objects.filter(ended_at__isnull=False).exists()
            return closed and not Plan.objects.exclude(state__in=PLAN.final).exists()

    def _is_read_back(self) -> bool:
        with scope(tenant=self.tenant.pk):
            return not Account.objects.filter(read_due_at__isnull=False).exists()


# -- accounts pass their end


@dataclass
class Expiry(Story):
    """Six accounts are past their end, and three have been suspended for theirs for a month."""

    ending: ClassVar[dict[str, Any]] = {
        "holds": [
            *[(f"late-{number}", "expired", None) for number in range(6)],
            *[(f"over-{number}", "expired", True) for number in range(3)],
        ],
    }

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Self]:
        """Needs nothing that lives."""
        tenant = a_tenant("expiry")
        now = make.now()
        with acting(tenant):
            for number in range(6):
                make.a_person(tenant, f"late-{number}", at=now - MONTH, expires_at=now - dt.timedelta(hours=number + 1))
            over = [
                make.a_person(tenant, f"over-{n}", at=now - 4 * MONTH, expires_at=now - 2 * MONTH) for n in range(3)
            ]
            lifecycle.suspend(
                accounts=[a.pk for a in over], kind=HoldKind.EXPIRED, reason="past its expiry", at=now - 1.5 * MONTH
            )
        yield cls(tenant)

    def steps(self) -> list[Step]:
        return [Step(tasks=("accounts.tasks.sweep_expiry",), is_over=self._is_swept)]

    def _is_swept(self) -> bool:
        with scope(tenant=self.tenant.pk):
            late = Account.objects.filter(user_name__startswith="late", state="suspended").count()
            return (
                late == 6 and Account.objects.filter(user_name__startswith="over", state="deprovisioned").count() == 3
            )


# -- a campaign's deadline passes


@dataclass
class Settling(Story):
    """Eight service accounts of which nobody said that they are still needed."""

    ending: ClassVar[dict[str, Any]] = {
        "campaigns": [("Q4", "settling")],
        "holds": [(f"svc-{number}", "campaign", None) for number in range(8)],
    }

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Self]:
        """Needs nothing that lives."""
        tenant = a_tenant("settling")
        make_campaign(tenant, lines=8, deadline=make.now() - dt.timedelta(hours=1), at=make.now() - MONTH)
        yield cls(tenant)

    def steps(self) -> list[Step]:
        return [Step(tasks=("governance.tasks.settle_campaigns",), is_over=lambda: is_settled(self.tenant))]


def make_campaign(tenant: Tenant, *, lines: int, deadline: dt.datetime, at: dt.datetime) -> None:
    """A campaign over service accounts of one owner, launched at `at`; silence suspends."""
    with acting(tenant):
        chen = make.staff(tenant, "l.chen", RoleName.SECURITY, at=at)
        owner = make.a_person(tenant, "a.ruiz", at=at)
        make.a_user(owner, RoleName.OWNER, at=at)
        for number in range(lines):
            make.a_service(tenant, f"svc-{number}", at=at, owner=owner, expires_at=deadline + 4 * MONTH)
        made = campaigns.draft(
            tenant=tenant, user=chen, name="Q4", query=Query(kinds=(AccountKind.SERVICE,)), deadline=deadline,
            silence=Silence.SUSPEND, at=at,
        )  # fmt: skip
        campaigns.launch(campaign=made, user=chen, at=at)


def is_settled(tenant: Tenant) -> bool:
    """Whether the deadline has done what it does: each line silent, each account suspended."""
    with scope(tenant=tenant.pk):
        return Campaign.objects.get().state == "settling" and not Review.objects.exclude(state="silent").exists()
