"""People with roles, accounts with owners, and wishes that wait: what decisions are made about.

The database compares answers with its own clock, so these tests happen now and not at a fixed instant.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from accounts import lifecycle, ownership, people, sweeps
from accounts.findings import Wrong, open_or_raise
from accounts.models.account import Account, AccountKind
from accounts.models.finding import Finding, FindingKind, Severity
from accounts.models.sweep import SweepName
from accounts.models.system import SystemKind
from accounts.models.user import Role, RoleName
from provisioning import plans, systems, wishes
from provisioning.models.connection import Connection, Connector
from provisioning.models.plan import ChangeAct, Plan
from provisioning.models.readback import Readback, ReadResult
from provisioning.models.rebuild import Rebuild
from provisioning.models.run import Run
from provisioning.models.shadow import Shadow
from provisioning.models.snapshot import Snapshot
from tests.conftest import as_setup

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from accounts.models.system import System
    from accounts.models.tenant import Tenant
    from accounts.models.user import User
    from governance.models.campaign import Review

LONG_AGO = dt.timedelta(days=90)


def now() -> dt.datetime:
    """The instant at which these tests happen."""
    return dt.datetime.now(dt.UTC)


def a_person(tenant: Tenant, name: str, *, at: dt.datetime, **fields: Any) -> Account:
    """An active person with an identity and a mail address."""
    values: dict[str, Any] = {"email": f"{name}@acme.example", "identity_id": people.identity_for(at=at).pk}
    return lifecycle.create(
        tenant_id=tenant.pk,
        kind=AccountKind.PERSON,
        user_name=name,
        user_name_key=name,
        is_active=True,
        at=at,
        **(values | fields),
    )


def a_role(user: User, name: RoleName, tenant: Tenant | None, *, since: dt.datetime) -> Role:
    """A role that somebody has had since then, whenever that is."""
    with as_setup():
        return Role.objects.create(user=user, tenant=tenant, name=name, since=since, made_by_setup=True)


def a_user(account: Account, *names: RoleName, at: dt.datetime, since: dt.timedelta = LONG_AGO, **fields: Any) -> User:
    """A sign-in for a person, with roles in their tenant since long ago."""
    user = people.make_user(
        **({"username": account.user_name, "email": account.email, "identity": account.identity, "at": at} | fields)
    )
    for name in names:
        a_role(user, name, account.tenant, since=at - since)
    return user


def staff(tenant: Tenant, name: str, *names: RoleName, at: dt.datetime, since: dt.timedelta = LONG_AGO) -> User:
    """A person who signs in, with roles."""
    return a_user(a_person(tenant, name, at=at), *names, at=at, since=since)


def a_service(tenant: Tenant, name: str, *, at: dt.datetime, owner: Account | None = None, **fields: Any) -> Account:
    """A service account: active behind its owner, pending without one."""
    values: dict[str, Any] = {"purpose": "deploys the shop", "expires_at": at + dt.timedelta(days=120)}
    account = lifecycle.create(
        tenant_id=tenant.pk,
        kind=AccountKind.SERVICE,
        user_name=name,
        user_name_key=name,
        is_active=True,
        at=at,
        **(values | fields),
    )
    if owner is not None:
        ownership.accept(ownership=ownership.offer(account=account, owner=owner, at=at), at=at)
        account.refresh_from_db()
    return account


def a_system(tenant: Tenant, name: str = "Okta", *, at: dt.datetime, made_by: UUID | None = None) -> System:
    """A directory; nobody administers it unless said."""
    return systems.make_system(tenant_id=tenant.pk, name=name, kind=SystemKind.DIRECTORY, made_by=made_by, at=at)


def a_connection(system: System, *, read_at: dt.datetime | None) -> Connection:
    """A connection that can be read, last completely at `read_at`; its goal is an hour."""
    return Connection.objects.create(
        tenant_id=system.tenant_id,
        system=system,
        connector=Connector.SCIM,
        base_url="https://directory.example/scim/v2",
        canary_user_name="canary",
        last_complete_at=read_at,
    )


def a_reading(system: System, *, at: dt.datetime, **words: tuple[str, str]) -> Run:
    """A complete reading that began then; every dimension that it shows was proved, but for `words`."""
    run: Run = Run.objects.create(
        tenant_id=system.tenant_id, system=system, started_by="sweep", started_at=at, state="closed", ended_at=at
    )
    proved = {
        "existence": "canary_seen",
        "status": "canary_active",
        "attributes": "canary_named",
        "memberships": "canary_member",
    }
    dimensions = {name: ["proved", word] for name, word in proved.items()} | {k: list(v) for k, v in words.items()}
    Snapshot.objects.create(
        tenant_id=system.tenant_id, system=system, run=run, state="complete", started_at=at, ended_at=at,
        dimensions=dimensions,
    )  # fmt: skip
    Connection.objects.filter(system=system).update(last_complete_at=at)
    return run


def looked(tenant: Tenant, *, at: dt.datetime) -> None:
    """Every sweep has looked, and the ledger gave the roll."""
    for name in SweepName:
        sweeps.done(name, tenant=tenant.pk, at=at)
    Rebuild.objects.create(
        tenant=tenant, state="compared", emptied_at=at, until_at=at, compared_at=at, equal=3, differing=0
    )


def a_shadow(system: System, account: Account, *, at: dt.datetime) -> Shadow:
    """The account as the system knows it."""
    return Shadow.objects.create(
        tenant_id=system.tenant_id,
        system=system,
        resource_type="User",
        account=account,
        name=account.user_name,
        name_key=account.user_name_key,
        made_at=at,
        changed_at=at,
    )


def a_readback(account: Account, system: System, result: ReadResult, *, at: dt.datetime) -> Readback:
    """What a targeted read showed; the account is read, so nothing more is due."""
    lifecycle.was_read_back(accounts=[account.pk], up_to=at + dt.timedelta(days=1))
    return Readback.objects.create(tenant_id=account.tenant_id, account=account, system=system, at=at, result=result)


def asked_back(
    account: Account,
    system: System,
    *,
    at: dt.datetime,
    requesters: Collection[UUID] = (),
    by_directory: bool = True,
    asked_ago: dt.timedelta = dt.timedelta(minutes=1),
) -> Plan:
    """The account has ended and is asked back; the plan waits."""
    lifecycle.deprovision(accounts=[account.pk], reason="left", at=at - dt.timedelta(hours=1))
    account.refresh_from_db()
    return wishes.ask_return(
        account=account,
        system=system,
        requesters=requesters,
        asked_by=system.name,
        exchange_id=uuid4() if by_directory else None,
        at=at - asked_ago,
    )


def tripped(system: System, accounts: Collection[Account], *, at: dt.datetime) -> Plan:
    """A reading that shows nothing: the brake stops what it wants."""
    run = Run.objects.create(
        tenant_id=system.tenant_id, system=system, started_by="test", started_at=at, state="closed", ended_at=at
    )
    wanted = [plans.Wanted(act=ChangeAct.DEPROVISION, label=a.user_name, account=a.pk) for a in accounts]
    plan = wishes.freeze_reading(
        system=system, run=run, wanted=wanted, total=len(wanted), read_nothing=True, at=at - dt.timedelta(minutes=1)
    )
    assert plan is not None
    assert plan.state == "tripped"
    return plan


def a_finding(kind: FindingKind, key: str, *, at: dt.datetime, **values: Any) -> Finding:
    """One thing that is wrong."""
    severity = values.pop("severity", Severity.HIGH)
    open_or_raise([Wrong(kind=kind, key=key, title=values.pop("title", key), severity=severity, **values)], at=at)
    return Finding.objects.get(dedupe_key=key)


def line_of(review: Review) -> Review:
    """The line as it is now."""
    review.refresh_from_db()
    return review
