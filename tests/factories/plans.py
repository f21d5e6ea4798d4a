"""Wishes and the plans that they become."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from accounts import lifecycle
from provisioning import wishes
from provisioning.models.plan import ChangeAct, PlannedChange
from provisioning.models.run import Run
from provisioning.plans import Wanted
from tests.factories import governance as make

if TYPE_CHECKING:
    from accounts.models import Account, System
    from provisioning.models.plan import Plan

HOUR = dt.timedelta(hours=1)


def a_member(system: System, name: str, now: dt.datetime, **fields: Any) -> Account:
    """A person whom the system knows."""
    account = make.a_person(system.tenant, name, at=now - HOUR, **fields)
    make.a_shadow(system, account, at=now - HOUR)
    return account


def ended(account: Account, at: dt.datetime) -> Account:
    """The account, ended."""
    lifecycle.deprovision(accounts=[account.pk], reason="left", at=at)
    account.refresh_from_db()
    return account


def ask(account: Account, system: System, now: dt.datetime, **values: Any) -> Plan:
    """The account is asked back by that system."""
    return wishes.ask_return(
        **{
            "account": account, "system": system, "requesters": [], "asked_by": system.name, "exchange_id": uuid4(),
            "at": now, **values,
        }
    )  # fmt: skip


def end_of(*accounts: Account) -> list[Wanted]:
    """Wishes that these accounts end."""
    return [
        Wanted(act=ChangeAct.DEPROVISION, label=a.user_name, account=a.pk, is_privileged=a.is_privileged)
        for a in accounts
    ]


def read(system: System, wanted: list[Wanted], now: dt.datetime, *, total: int = 10_000, nothing: bool = False) -> Any:
    """What a reading wants, frozen and judged."""
    run = Run.objects.create(
        tenant_id=system.tenant_id, system=system, started_by="test", started_at=now, state="closed", ended_at=now
    )
    return wishes.freeze_reading(system=system, run=run, wanted=wanted, total=total, read_nothing=nothing, at=now)


def made_up(count: int) -> list[Wanted]:
    """So many changes that the brake can count; it asks nothing of their accounts."""
    return [Wanted(act=ChangeAct.DEPROVISION, label=f"n{n}", account=UUID(int=n)) for n in range(count)]


def state(thing: Any) -> str:
    """The state of a row as it is kept."""
    return str(type(thing).objects.values_list("state", flat=True).get(pk=thing.pk))


def results(plan: Plan) -> dict[str, tuple[str, str]]:
    """What became of each change of a plan, by its label."""
    return {c.label: (c.result, c.detail) for c in PlannedChange.objects.filter(plan=plan)}
