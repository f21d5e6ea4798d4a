"""Systems' words about accounts, taken in."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from accounts import ownership
from accounts.models import Account
from provisioning import intake, shadows
from provisioning.models.authority import FieldAuthority
from provisioning.models.plan import Plan
from provisioning.models.shadow import Shadow
from tests.factories import governance as make
from tests.factories.words import a_sender, a_word

if TYPE_CHECKING:
    from uuid import UUID

    from accounts.models import System, Tenant
    from provisioning.shadows import Taken

HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
ROBOT = {"kind": "service", "purpose": "deploys the shop", "environment": "prod"}


def create(system: System, now: dt.datetime, *args: Any, requesters: tuple[UUID, ...] = (), **values: Any) -> Taken:
    """A resource is made by its system."""
    return intake.create_account(sender=a_sender(system, *requesters), change=a_word(*args, **values), at=now)


def change(shadow: Shadow, now: dt.datetime, *args: Any, requesters: tuple[UUID, ...] = (), **values: Any) -> Taken:
    """A resource is replaced or patched by its system."""
    found = shadows.lock_shadow(system=shadow.system, resource_type="User", id=shadow.pk)
    assert found is not None
    sender = a_sender(shadow.system, *requesters)
    return intake.change_account(sender=sender, shadow=found, change=a_word(*args, **values), at=now)


def end(shadow: Shadow, now: dt.datetime) -> Taken:
    """A resource is deleted by its system."""
    found = shadows.lock_shadow(system=shadow.system, resource_type="User", id=shadow.pk)
    assert found is not None
    return intake.end_account(sender=a_sender(shadow.system), shadow=found, at=now)


def in_180_days(now: dt.datetime) -> dt.datetime:
    """The tenant's default for a machine, in whole seconds."""
    return now.replace(microsecond=0) + 180 * DAY


def account_of(taken: Taken) -> Account:
    """The account as it is kept."""
    assert taken.shadow.account_id is not None
    return Account.objects.get(pk=taken.shadow.account_id)


def said(taken: Taken) -> tuple[str, str, tuple[str, ...]]:
    """Outcome, intent and what holds it."""
    return taken.outcome.value, taken.intent.value, taken.held_by


def a_rule(system: System, **values: Any) -> None:
    """One rule about a field of a system."""
    FieldAuthority.objects.create(
        tenant=system.tenant, system=system,
        **{"field": "active", "direction": "expands", "authority": "authoritative", **values},
    )  # fmt: skip


def robot(tenant: Tenant, system: System, now: dt.datetime, **values: Any) -> Shadow:
    """A service account of the system that is active."""
    shadow = create(system, now, "deploy", **{**ROBOT, **values}).shadow
    assert shadow.account is not None
    offered = ownership.offer(account=shadow.account, owner=make.a_person(tenant, "grace", at=now), at=now)
    ownership.accept(ownership=offered, at=now)
    return Shadow.objects.select_related("account", "system").get(pk=shadow.pk)


def off(system: System, now: dt.datetime, name: str = "ada", **values: Any) -> Shadow:
    """An account that the system ended."""
    fields = {"email": f"{name}@acme.example", "external_id": f"id-{name}", **values}
    shadow = create(system, now, name, **fields).shadow
    return change(shadow, now, name, active=False, **fields).shadow


def the_wish(taken: Taken, *, repeats: int = 0) -> Plan:
    """The one plan of one that waits, and that the account is off."""
    (plan,) = Plan.objects.filter(kind="reactivation")
    assert taken.plan == plan
    assert (plan.state, plan.repeats, plan.account_id) == ("waiting", repeats, taken.shadow.account_id)
    assert taken.outcome.value == "held"
    assert taken.held_by[0] == "approval"
    assert account_of(taken).state == "deprovisioned"
    assert not shadows.seen_active(taken.shadow, make.now())
    return plan
