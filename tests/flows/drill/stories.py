"""Work that is under way when the power fails: each crash point is reached by one of these.

A story is prepared once, in a database that is then copied for each time that it is told. How it is told does not know
whether anything dies on the way: what is due is woken until it is done, and a request is sent until it is answered.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import F

from accounts import lifecycle
from accounts.models import Account, AccountKind, HoldKind, ReactivationPolicy, RoleName, Tenant
from audit.scope import scope
from governance import campaigns
from governance.lines import Query
from governance.models.campaign import Campaign, Review, Silence
from provisioning.models import Run
from provisioning.models.plan import Plan
from provisioning.states import PLAN
from tests.conftest import a_cause
from tests.factories import governance as make
from tests.factories.permits import an_exception
from tests.factories.scim import PATCH_URN, a_group, a_user, connect
from tests.fakes import directories
from tests.flows.drill.sender import Answered, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from accounts.models import System
    from tests.factories.scim import Idp
    from tests.fakes.directories import FakeDirectory
    from tests.flows.drill.installation import Running

BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
MONTH = dt.timedelta(days=30)
# Longer than any lease and any wait for a read-back.
A_WHILE = dt.timedelta(minutes=20)


def a_tenant(slug: str) -> Tenant:
    """A tenant of its own."""
    with scope(cause=a_cause()):
        made: Tenant = Tenant.objects.create(slug=slug, name=slug.title(), made_at=make.now())
    return made


def acting(tenant: Tenant) -> AbstractContextManager[Any]:
    """In the tenant, as the drill."""
    return scope(tenant=tenant.pk, cause=a_cause(actor="the drill"))


def time_passes(tenant: Tenant) -> None:
    """What was claimed by somebody who is dead is free again, and every read-back that is awaited is due."""
    with acting(tenant):
        Run.objects.filter(leased_until__isnull=False).update(leased_until=F("leased_until") - A_WHILE)
        Account.objects.filter(read_due_at__isnull=False).update(read_due_at=F("read_due_at") - A_WHILE)


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
            running.until(lambda step=step: is_over(step), what=f"{type(self).__name__}: {', '.join(step.tasks)}")
            running.until(running.is_quiet, what="the last tick")


# -- a directory is read; what it shows as reduced is planned, carried out, and read back


@dataclass
class Reading(Story):
    """Two people were deactivated there and one left a group, of which nobody told us; one joined a group."""

    directory: FakeDirectory
    system: System

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Reading]:
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

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Expiry]:
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

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Settling]:
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


# -- a directory asks


@dataclass
class Asking(Story):
    """What identity providers send, once each: with a key of their own and without, alone and in bulk."""

    approval: Idp
    sandbox: Idp
    ids: dict[str, str]
    answers: list[tuple[str, int, Any]] = field(default_factory=list)
    process: ClassVar[str] = "web"

    @classmethod
    @contextmanager
    def prepared(cls) -> Iterator[Asking]:
        """Needs nothing that lives."""
        tenant = a_tenant("asking")
        approval = connect(tenant, "Okta")
        sandbox = connect(tenant, "Sandbox", policy=ReactivationPolicy.AUTOMATIC)
        with acting(tenant):
            an_exception(sandbox.system, at=make.now() - dt.timedelta(hours=1))
        ids = {name: approval.user(name) for name in ("ada", "bob", "cyd")}
        ids["Staff"] = approval.group("Staff", ids["bob"])
        ids["kit"] = sandbox.user("kit")
        sandbox.patch(f"/Users/{ids['kit']}", {"op": "replace", "path": "active", "value": False})
        yield cls(tenant, approval, sandbox, ids)

    def tell(self, running: Running, *, database: str, may_crash: bool = False) -> None:
        """Send each request until it is answered; with `may_crash`, somebody dies in the middle of each."""
        running.until(running.answers, what="the web process")
        self.answers.clear()
        mark = running.installation.mark
        with (
            Sender(running.address, self.approval.token, between=running.turn) as okta,
            Sender(running.address, self.sandbox.token, between=running.turn) as box,
        ):
            for sender, method, path, body, key in self._requests(okta, box):
                if may_crash:
                    mark.unlink(missing_ok=True)  # armed again
                answer = sender.send(method, path, body, key=key)
                if may_crash and not mark.exists():
                    raise AssertionError(f"{method} {path} did not pass {running.logs}")
                if answer.status == 409:
                    found = sender.send("GET", f"/Users?filter=userName eq %22{body['userName']}%22")
                    answer = Answered(201, found["Resources"][0], answer.times)
                self.answers.append((f"{method} {path}", answer.status, _told(answer.body)))

    def _requests(self, okta: Sender, box: Sender) -> list[tuple[Sender, str, str, Any, str]]:
        off, on = ({"op": "replace", "path": "active", "value": value} for value in (False, True))
        joins = {"op": "add", "path": "members", "value": [{"value": self.ids["ada"]}]}
        bulk = {
            "schemas": [BULK_URN],
            "Operations": [
                {"method": "POST", "path": "/Users", "bulkId": "1", "data": a_user("eve")},
                {"method": "POST", "path": "/Groups", "bulkId": "2", "data": a_group("Night", "bulkId:1")},
            ],
        }
        return [
            (okta, "POST", "/Users", a_user("dan"), ""),
            (okta, "POST", "/Users", a_user("fay"), "a key of the sender's own"),
            (okta, "PATCH", f"/Groups/{self.ids['Staff']}", _patch(joins), ""),
            (okta, "PATCH", f"/Users/{self.ids['ada']}", _patch(off), ""),
            (okta, "DELETE", f"/Users/{self.ids['bob']}", None, "another"),
            (box, "PATCH", f"/Users/{self.ids['kit']}", _patch(on), ""),
            (okta, "POST", "/Bulk", bulk, "a third"),
        ]


def _patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def _told(body: Any) -> Any:
    """What the sender learns of the resource, without what is made anew each time."""
    if body is None or "Operations" in body:
        return body and [(one["method"], one["status"]) for one in body["Operations"]]
    return {name: body.get(name) for name in ("userName", "displayName", "active")}
