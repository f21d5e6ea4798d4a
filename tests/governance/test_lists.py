"""Every list asks the database as often for 3,000 rows as for 3 and for 1: pages of security, of owners, the API."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from accounts import people
from accounts.models import Account, Finding, Group, Identity, Membership, Ownership, Role, RoleName, System, User
from accounts.models.finding import FindingKind, Severity
from audit.models import JournalEntry, JournalSubject
from audit.scope import scope
from governance.models import Approval, Campaign, Review
from provisioning.models import Connection, Exchange, Plan, PlannedChange, Run, Shadow, Snapshot, SnapshotProof
from provisioning.models.connection import ReadRecord
from tests.conftest import a_cause, as_setup, take_rules_away
from tests.factories.governance import a_person, a_role, now
from tests.governance.shell import enter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

MANY = 3_000
DAY = dt.timedelta(days=1)


def _made(model: Any, rows: Sequence[Any]) -> list[Any]:
    """Inserted by a few statements; the database writes each row's history."""
    found: list[Any] = model.objects.bulk_create(rows, batch_size=1_000)
    return found


class World:
    """A tenant that grows: each of its numbers is a system, an account, a finding and so on, of everything one."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant, self.at = tenant, now()
        with scope(tenant=tenant.pk, cause=a_cause()) as cause:
            self.cause = cause
            self.reader = a_person(tenant, "l.chen", at=self.at)
            self.user = people.make_user(username="l.chen", identity=self.reader.identity, at=self.at)
            for name in (RoleName.SECURITY, RoleName.ADMINISTRATOR, RoleName.OWNER):
                a_role(self.user, name, tenant, since=self.at - DAY)
            self.system = System.objects.create(tenant=tenant, name="Okta", made_at=self.at)
            self.account = Account.objects.create(
                tenant=tenant,
                kind="service",
                state_since=self.at,
                user_name="svc",
                user_name_key="svc",
                made_at=self.at,
            )
            self.shadow = self._shadows([(self.system, self.account)])[0]
            self.campaign = Campaign.objects.create(
                tenant=tenant, name="Q4", state="running", deadline=self.at + DAY, made_by=self.user, made_at=self.at
            )
            self.plan = self._plans([self.system])[0]
            self.run = self._runs([self.system])[0]
        self.size = 0

    def grow(self, size: int) -> None:
        """Up to so many of everything."""
        numbers = range(self.size, size)
        with scope(tenant=self.tenant.pk, cause=a_cause()):
            systems = _made(System, [self._of(System, name=f"S{n:04}", made_at=self.at) for n in numbers])
            self._connections(systems)
            accounts = _made(Account, [self._account(n) for n in numbers])
            self._about(accounts, systems)
            self._shadows(list(zip(systems, accounts, strict=True)))
            self._runs(systems)
            self._questions(self._plans(systems))
            self._reviews(accounts)
            self._of_the_one(accounts, numbers)
        with scope(cause=a_cause(kind="setup")):
            self._people(numbers)
        self.size = size

    def _of(self, model: Any, **values: Any) -> Any:
        return model(tenant=self.tenant, **values)

    def _account(self, number: int) -> Account:
        name = f"svc-{number:04}"
        row: Account = self._of(
            Account, kind="service", state="pending", purpose="deploys", state_since=self.at,
            user_name=name, user_name_key=name, made_at=self.at, expires_at=self.at + 5 * DAY,
        )  # fmt: skip
        return row

    def _connections(self, systems: Sequence[System]) -> None:
        read_at = [self.at, self.at - DAY]
        _made(
            Connection,
            [
                self._of(
                    Connection, system=system, connector="scim", base_url="https://x.example",
                    canary_user_name="canary", last_complete_at=read_at[n % 2],
                )
                for n, system in enumerate(systems)
            ],
        )  # fmt: skip
        _made(System, [self._of(System, name=f"E{s.name}", made_at=self.at, ended_at=self.at) for s in systems])

    def _about(self, accounts: Sequence[Account], systems: Sequence[System]) -> None:
        _made(
            Ownership,
            [
                self._of(
                    Ownership, account=one, owner=self.reader, state=state, offered_at=self.at, answered_at=answered
                )
                for n, one in enumerate(accounts)
                for state, answered in ([("accepted", self.at)] if n % 2 else [("offered", None)])
            ],
        )
        _made(
            Finding,
            [
                self._of(
                    Finding, kind=FindingKind.STATUS_DIFFERS, severity=Severity.HIGH, title="differs", account=about,
                    system=system, dedupe_key=f"{about.pk}:{account.pk}", first_seen_at=self.at, last_seen_at=self.at,
                )
                for account, system in zip(accounts, systems, strict=True)
                for about in (account, self.account)
            ],
        )  # fmt: skip

    def _shadows(self, pairs: Sequence[tuple[System, Account]]) -> list[Shadow]:
        rows = [
            self._of(
                Shadow, system=system, resource_type="User", account=account, name=account.user_name,
                name_key=account.user_name_key, made_at=self.at, changed_at=self.at,
            )
            for system, account in pairs
        ]  # fmt: skip
        return _made(Shadow, rows)

    def _runs(self, systems: Sequence[System]) -> list[Run]:
        ended = {"state": "closed", "step": "closed", "started_by": "sweep", "ended_at": self.at}
        counts = {"users": 3, "status": 2, "opened": 2, "seconds": 1.5}
        runs = _made(Run, [self._of(Run, system=s, started_at=self.at, counts=counts, **ended) for s in systems])
        read = [
            self._of(Snapshot, run=r, system=r.system, state="complete", started_at=self.at, ended_at=self.at)
            for r in runs
        ]
        proofs = [
            self._of(SnapshotProof, snapshot=one, word=word, holds=True, detail="so")
            for one in _made(Snapshot, read)
            for word in ("drained", "canary")
        ]
        _made(SnapshotProof, proofs)
        return runs

    def _plans(self, systems: Sequence[System]) -> list[Plan]:
        rows = [
            self._of(
                Plan, kind="reading", state="tripped", system=system, asked_by="x", asked_at=self.at, digest="x",
                until=self.at + DAY,
            )
            for system in systems
        ]  # fmt: skip
        return _made(Plan, rows)

    def _questions(self, plans: Sequence[Plan]) -> None:
        _made(
            Approval,
            [
                self._of(
                    Approval, kind="plan", plan_id=plan.pk, plan_digest="x", title="May it?", needs=2, asked_by="x",
                    asked_at=self.at, until=self.at + DAY,
                )
                for plan in plans
            ],
        )  # fmt: skip

    def _reviews(self, accounts: Sequence[Account]) -> None:
        _made(
            Campaign,
            [
                self._of(
                    Campaign, name=f"of {one.user_name}", state="running", deadline=self.at + DAY, made_by=self.user,
                    made_at=self.at,
                )
                for one in accounts
            ],
        )  # fmt: skip
        rows = [
            self._of(Review, campaign=self.campaign, account=one, reviewer=self.reader, state="waiting")
            for one in accounts
        ]
        _made(Review, rows)

    def _of_the_one(self, accounts: Sequence[Account], numbers: range) -> None:
        """What piles up on one account, one plan and one system."""
        names = [f"group-{n:04}" for n in numbers]
        groups = _made(
            Group, [self._of(Group, display_name=name, display_name_key=name, made_at=self.at) for name in names]
        )
        _made(
            Membership,
            [
                self._of(
                    Membership, group=group, account=self.account, origin="system", system=self.system,
                    origin_ref=self.shadow.pk, since=self.at,
                )
                for group in groups
            ],
        )  # fmt: skip
        take_rules_away(PlannedChange)  # a plan that was hashed would not grow
        _made(
            PlannedChange,
            [
                self._of(PlannedChange, plan=self.plan, position=n, act="deprovision", account=one, label=one.user_name)
                for n, one in zip(numbers, accounts, strict=True)
            ],
        )
        self._told(numbers)
        Account.objects.filter(pk=self.account.pk).update(purpose=f"changed {numbers.stop} times")

    def _told(self, numbers: range) -> None:
        """Requests of one system about one resource, and journal entries about one account."""
        common = {"system": self.system, "method": "PATCH", "path": "/Users/x"}
        digest = "0" * 64
        _made(
            Exchange,
            [
                self._of(
                    Exchange, token_id=self.system.pk, cause_id=self.cause.pk, intent="update", outcome="applied",
                    request_digest=digest, status=200, resource_id=self.shadow.pk, resource_label="svc",
                    coercions=[{"rule": "op_case", "attribute": "op", "sent": "Replace", "read_as": "replace"}],
                    **common,
                )
                for _n in numbers
            ],
        )  # fmt: skip
        _made(ReadRecord, [self._of(ReadRecord, token_id=self.system.pk, status=200, **common) for _n in numbers])
        entries = [
            JournalEntry(
                tenant_id=self.tenant.pk, cause_id=self.cause.pk, event="account.changed", sentence="a test: changed"
            )
            for _n in numbers
        ]
        subjects = [
            JournalSubject(tenant_id=self.tenant.pk, entry_id=entry.pk, kind=kind, subject_id=str(about), label="svc")
            for entry in _made(JournalEntry, entries)
            for kind, about in (("account", self.account.pk), ("run", self.run.pk))
        ]
        _made(JournalSubject, subjects)

    def _people(self, numbers: range) -> None:
        identities = _made(Identity, [Identity(made_at=self.at) for _n in numbers])
        users = _made(
            User,
            [
                User(username=f"p{n:04}", username_key=f"p{n:04}", identity=identity, made_at=self.at, password="!")
                for n, identity in zip(numbers, identities, strict=True)
            ],
        )
        roles = [Role(user=u, tenant=self.tenant, name="owner", since=self.at, made_by_setup=True) for u in users]
        with as_setup():
            _made(Role, roles)


def addresses(world: World) -> list[str]:
    """Every list, and every page that holds one, with and without its filters."""
    exchange = latest(world)
    return [
        "admin/",
        "admin/accounts/",
        f"admin/accounts/?kind=nhi&state=living&with=no_owner&q=svc&system={world.system.pk}",
        "admin/accounts/?with=ends_7&page=2",
        f"admin/accounts/{world.account.pk}/",
        f"admin/accounts/{world.account.pk}/?by=people",
        f"admin/accounts/{world.reader.pk}/",
        "admin/findings/",
        f"admin/findings/?kind=differences&system={world.system.pk}&age=day",
        f"admin/findings/?account={world.account.pk}&show=all",
        f"admin/findings/?run={world.run.pk}&what=opened",
        "admin/systems/",
        "admin/systems/?show=ended",
        f"admin/systems/{world.system.pk}/",
        f"admin/systems/{world.system.pk}/live/",
        "admin/runs/",
        f"admin/runs/?system={world.system.pk}&state=closed",
        f"admin/runs/{world.run.pk}/",
        "admin/plans/",
        f"admin/plans/{world.plan.pk}/",
        "admin/approvals/",
        "admin/campaigns/",
        f"admin/campaigns/{world.campaign.pk}/",
        f"admin/campaigns/{world.campaign.pk}/?state=waiting&reviewer={world.reader.pk}",
        "admin/ledger/",
        f"admin/ledger/?system={world.system.pk}&intent=update&coerced=1",
        f"admin/ledger/{exchange}/",
        "admin/people/",
        "admin/records/accounts/account/",
        f"admin/records/accounts/account/{world.account.pk}/history/",
        "my/",
        "api/v1/accounts/",
        f"api/v1/accounts/{world.account.pk}/",
        "api/v1/findings/",
        "api/v1/runs/",
    ]


def latest(world: World) -> UUID:
    with scope(tenant=world.tenant.pk):
        found: UUID = Exchange.objects.order_by("id").values_list("pk", flat=True)[0]
    return found


def asked(client: Client, path: str) -> int:
    """How many times the page asks the database."""
    with CaptureQueriesContext(database) as caught:
        answer = client.get(path)
    assert answer.status_code == 200, path
    return len(caught)


@pytest.mark.once
def test_every_list_asks_the_database_the_same_for_1_3_and_3000_rows(client: Client, tenant: Tenant) -> None:
    world = World(tenant)
    enter(client, world.user)
    world.grow(1)
    paths = [f"/t/{tenant.slug}/{path}" for path in addresses(world)]
    for path in paths:
        # What Django keeps for the life of a process is asked for once.
        asked(client, path)
    one = {path: asked(client, path) for path in paths}
    world.grow(3)
    assert {path: asked(client, path) for path in paths} == one
    world.grow(MANY)
    assert {path: asked(client, path) for path in paths} == one
    assert max(one.values()) < 60
    with scope(tenant=tenant.pk):
        found = [m.objects.count() for m in (System, Account, Finding, Run, Plan, Approval, Campaign, Review, Exchange)]
    assert min(found) >= MANY
