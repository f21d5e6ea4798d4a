"""Plans: what is wanted and not yet done. Frozen and hashed before the first write, and then decided about.

Nothing here decides for people: `governance` opens a question for every plan that waits, and comes back with a permit.
How a wish becomes a plan stands in `wishes`, what stops one in `brake`, how it is carried out in `execution`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.db import transaction
from django.db.models import QuerySet

from accounts import rules
from accounts.models.account import Account
from accounts.models.permit import Permit, PermitAct
from accounts.models.system import System
from audit.journal import Subject, record
from audit.transitions import move
from provisioning.models.plan import ChangeAct, Plan, PlanKind, PlannedChange, PlanState
from provisioning.states import PLAN, PLAN_WAITS

_json = json.JSONEncoder(separators=(",", ":")).encode


class Event(StrEnum):
    """What the journal says of plans."""

    ASKED = "plan.asked"
    FROZEN = "plan.frozen"
    TRIPPED = "plan.tripped"
    APPROVED = "plan.approved"
    REJECTED = "plan.rejected"
    LAPSED = "plan.lapsed"
    EXECUTED = "plan.executed"


class PlanChanged(ValueError):
    """The plan is no longer what was decided about; nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One change that a plan is to hold."""

    act: ChangeAct
    label: str
    account: UUID | None = None
    group: UUID | None = None
    member_ref: UUID | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    is_privileged: bool = False
    attribution: str = ""
    attributed_by: Mapping[str, str] = field(default_factory=dict)


def subjects(plan: Plan) -> list[Subject]:
    """Of what the journal speaks when it speaks of a plan."""
    found = [Subject("plan", str(plan.pk), str(plan)), Subject("system", str(plan.system_id), plan.system.name)]
    if plan.account is not None:
        found.append(Subject("account", str(plan.account_id), plan.account.user_name))
    return found


def digest_of(plan: Plan, changes: Iterable[PlannedChange]) -> str:
    """The hash that a decision is bound to: what would be written, where, and in which order."""
    return _digest(plan, sorted(changes, key=lambda change: change.position))


def is_as_frozen(plan: Plan) -> bool:
    """Whether the rows of a plan are those that were hashed: none changed, none added, none gone."""
    rows = plan.changes.order_by("position").values_list(
        "position", "act", "account_id", "group_id", "member_ref", "label", named=True
    )
    return _digest(plan, rows.iterator()) == plan.digest


def _digest(plan: Plan, ordered: Iterable[Any]) -> str:
    # The hash of one JSON text, row by row: however long a plan is, no more than a row of it is held.
    head = [str(plan.pk), str(plan.kind), str(plan.system_id), plan.epoch]
    hashed = hashlib.sha256(f"[{_json(head)},[".encode())
    comma = b""
    for c in ordered:
        row = [c.position, str(c.act), str(c.account_id), str(c.group_id), str(c.member_ref), c.label]
        hashed.update(comma + _json(row).encode())
        comma = b","
    hashed.update(b"]]")
    return hashed.hexdigest()


def waiting() -> QuerySet[Plan]:
    """Plans that wait for people, the one with the least time first."""
    return Plan.objects.filter(state__in=PLAN_WAITS).order_by("until")


def freeze(*, kind: PlanKind, system: System, wanted: Sequence[Wanted], at: datetime, **values: Any) -> Plan:
    """A plan of these wishes, hashed; what it is then, waits for or is stopped by, is its caller's to say and save."""
    plan: Plan = Plan.objects.create(tenant_id=system.tenant_id, kind=kind, system=system, asked_at=at, **values)
    changes = [
        PlannedChange(
            tenant_id=system.tenant_id,
            plan=plan,
            position=position,
            act=w.act,
            account_id=w.account,
            group_id=w.group,
            member_ref=w.member_ref,
            label=w.label[:400],
            before=dict(w.before),
            is_privileged=w.is_privileged,
            attribution=w.attribution,
            attributed_by=dict(w.attributed_by),
        )
        for position, w in enumerate(wanted, start=1)
    ]
    PlannedChange.objects.bulk_create(changes, batch_size=500)
    plan.digest = digest_of(plan, changes)
    move(plan, PlanState.EVALUATED, by=PLAN)
    return plan


def attribute_anew(changes: Mapping[UUID, UUID], *, was: str, word: str) -> int:
    """Attribute changes of plans, by the exchange of each, to something else than was thought. Returns how many."""
    if not changes:
        return 0
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE provisioning_plannedchange p SET attribution = %s,"
            " attributed_by = jsonb_build_object('kind', 'exchange', 'id', w.exchange::text)"
            " FROM unnest(%s::uuid[], %s::uuid[]) AS w (id, exchange) WHERE p.id = w.id AND p.attribution = %s",
            [word, list(changes), list(changes.values()), was],
        )
        return int(cursor.rowcount)


# -- what people decide about it


def barred(plan: Plan) -> set[UUID]:
    """The identities that may not answer: who asked, the subjects, and whoever answers for them."""
    accounts = Account.objects.filter(pk__in=plan.changes.filter(account__isnull=False).values("account_id"))
    subjects = rules.people_of(accounts) if plan.kind in {PlanKind.REACTIVATION, PlanKind.REPLAY} else set()
    return {*plan.requesters, *subjects}


def needs(plan: Plan) -> int:
    """How many people: two for an NHI, a privileged account and a stopped plan, one for the rest."""
    if plan.kind == PlanKind.REACTIVATION and plan.account is not None:
        return 2 if plan.account.is_nhi or plan.account.is_privileged else 1
    return 2


def locked(plan_id: UUID) -> Plan:
    """A plan, locked, with its system and account."""
    return Plan.objects.select_for_update(of=("self",)).select_related("system", "account").get(pk=plan_id)


def grant(*, plan: Plan, permit: Permit, at: datetime) -> Plan:
    """People said yes. Raises `PlanChanged` when the permit is for something else or the time is over."""
    with transaction.atomic():
        found = locked(plan.pk)
        if found.state not in PLAN_WAITS:
            raise PlanChanged(f"the plan is {found.get_state_display()}; nothing was written")
        if found.until is not None and found.until <= at:
            raise PlanChanged("the plan's time is over; nothing was written")
        if permit.act == PermitAct.EXECUTE_PLAN and permit.plan_hash != found.digest:
            raise PlanChanged("the permit is for another plan; nothing was written")
        if permit.act == PermitAct.REACTIVATE and (permit.account_id, permit.epoch) != (found.account_id, found.epoch):
            raise PlanChanged("the permit is for another ending; nothing was written")
        move(found, PlanState.APPROVED, by=PLAN)
        found.permit_id = permit.pk
        found.save()
        record(event=Event.APPROVED, sentence=f"{found}: approved", subjects=subjects(found))
    return found


def _end(plan: Plan, to: PlanState, *, event: Event, because: str, at: datetime) -> Plan:
    with transaction.atomic():
        found = locked(plan.pk)
        if not move(found, to, by=PLAN):
            return found
        found.ended_at, found.ended_because = at, because[:400]
        found.save()
        found.changes.filter(result=PlannedChange.Result.PLANNED).update(
            result=PlannedChange.Result.REJECTED, detail=because[:400]
        )
        record(event=event, sentence=f"{found}: {found.get_state_display()}. {because}", subjects=subjects(found))
    return found


def reject(*, plan: Plan, because: str, at: datetime) -> Plan:
    """People said no."""
    return _end(plan, PlanState.REJECTED, event=Event.REJECTED, because=because, at=at)


def lapse(*, plan: Plan, because: str, at: datetime) -> Plan:
    """Nobody answered in time, or something newer was said."""
    return _end(plan, PlanState.LAPSED, event=Event.LAPSED, because=because, at=at)
