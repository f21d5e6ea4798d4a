"""The brake: how many reductions at once are too many to be carried out without people.

It judges plans, and counts what explicit events took beside them. What it holds back is always the plan, never the event.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from accounts.models.account import AccountState
from accounts.models.group import Membership
from accounts.models.ownership import Ownership, OwnershipState
from accounts.models.system import System
from audit.keys import uuid7_floor, uuid7_of_tomorrow
from provisioning.changes import ACCOUNT_TYPES, GROUP_TYPE, user_name_key
from provisioning.models.connection import Connection
from provisioning.models.exchange import Exchange
from provisioning.models.plan import ChangeAct, PlannedChange
from provisioning.models.shadow import Shadow
from provisioning.plans import Wanted

# More than 20 changes; or more than 2 % and more than 5; always when nothing at all was read.
MOST = 20
MOST_PERCENT = 2.0
LEAST_FOR_PERCENT = 5
# Plans and explicit events count together over this time.
ROLLING = timedelta(minutes=10)
# Of privileged accounts: more than 3; or more than a tenth of those that the system has and more than one.
MOST_PRIVILEGED = 3
PRIVILEGED_PERCENT = 10.0
# More than half of what one person answers for, where that is at least so many.
OWNER_PERCENT = 50.0
LEAST_OF_OWNER = 3
# More than a quarter of one group's members, and more than 5.
GROUP_PERCENT = 25.0
LEAST_OF_GROUP = 5
# Below the limits each time, a directory could shrink all day.
A_DAY = timedelta(days=1)
DAY_PERCENT = 10.0
NAMED = 3  # owners and groups that a sentence names
LIVING = (AccountState.ACTIVE, AccountState.SUSPENDED, AccountState.PENDING)


@dataclass(frozen=True)
class Line:
    """One limit, and what was found against it, in words."""

    is_over: bool
    said: str


def _events(system: System, *, since: datetime, types: Collection[str]) -> QuerySet[Exchange]:
    # By kind and by the key, which begins with the time: an index range in one or two partitions, however long the
    # ledger is. What ends in a catalogue takes nothing from anybody.
    return Exchange.objects.filter(
        system=system, id__gte=uuid7_floor(int(since.timestamp() * 1000)), id__lt=uuid7_of_tomorrow(),
        outcome="applied", intent__in=["disable", "delete"], resource_type__in=types,
    )  # fmt: skip


def _done(system: System, *, since: datetime) -> QuerySet[PlannedChange]:
    return PlannedChange.objects.filter(plan__system=system, result="done", done_at__gt=since).exclude(
        act__in=[ChangeAct.REACTIVATE, ChangeAct.ADD_MEMBER]
    )


def _counted(events: QuerySet[Exchange], plans: QuerySet[PlannedChange]) -> int:
    both = events.order_by().values_list("pk").union(plans.order_by().values_list("pk"), all=True)
    return both.count()


def recent_reductions(*, system: System, at: datetime) -> int:
    """Reductions at a system in the last ten minutes: explicit events, and the done changes of plans."""
    since = at - ROLLING
    events = _events(system, since=since, types=["", *ACCOUNT_TYPES, GROUP_TYPE])
    return _counted(events, _done(system, since=since))


def _recent_privileged(system: System, *, at: datetime) -> int:
    since = at - ROLLING
    shadows = Shadow.objects.filter(system=system, account__is_privileged=True).values("pk")
    events = _events(system, since=since, types=ACCOUNT_TYPES).filter(resource_id__in=shadows)
    return _counted(events, _done(system, since=since).filter(is_privileged=True))


def judge(
    *, system: System, wanted: Sequence[Wanted], total: int, read_nothing: bool, at: datetime, unasked: int = 0
) -> dict[str, Any]:
    """The brake's judgement, each limit in words; no reason in `because` means that the plan is cleared.

    `unasked` are accounts that a reading left out and that were too many to be asked for one by one.
    """
    count = len(wanted)
    rolling = recent_reductions(system=system, at=at)
    lines = [
        *([Line(is_over=True, said="the reading shows nothing at all")] if read_nothing else []),
        *([Line(is_over=True, said=f"{unasked} accounts are missing there, too many to ask for one by one")]
          if unasked else []),
        *_by_count(count=count, rolling=rolling, total=total),
        *_by_privilege(system, wanted, at=at),
        *_by_owner(wanted),
        *_by_group(system, wanted),
        _by_day(system, wanted, total=total, at=at),
    ]  # fmt: skip
    return {
        "count": count,
        "of": total,
        "percent": _percent(count + rolling, of=total),
        "just_before": rolling,
        "privileged": sum(w.is_privileged for w in wanted),
        "owners_losing_all": _owners_losing_all(wanted),
        "limits": {"changes": MOST, "percent": MOST_PERCENT, "least": LEAST_FOR_PERCENT},
        "because": [line.said for line in lines if line.is_over],
        "within": [line.said for line in lines if not line.is_over],
    }


def spared(*, system: System, accounts: Collection[UUID]) -> dict[UUID, str]:
    """Which of these accounts no plan may touch, each with why: without them the system could not be read any more."""
    connection = Connection.objects.filter(system=system).first()
    if connection is None or not connection.canary_user_name:
        return {}
    ours = Shadow.objects.filter(
        system=system, resource_type="User", name_key=user_name_key(connection.canary_user_name),
        ended_at__isnull=True, account__in=accounts,
    )  # fmt: skip
    return {
        account: f"{name} is never touched: it proves that a reading of {system.name} is whole"
        for account, name in ours.values_list("account_id", "name")
    }  # fmt: skip


def _percent(count: int, *, of: int) -> float:
    """For people to read; the limits are compared unrounded."""
    return round(100 * count / of, 1) if of else 100.0


def over_the_limits(*, count: int, rolling: int, total: int) -> list[str]:
    """Which limits a number of reductions, with those just before it, is over, in words."""
    return [line.said for line in _by_count(count=count, rolling=rolling, total=total) if line.is_over]


def _by_count(*, count: int, rolling: int, total: int) -> list[Line]:
    both = count + rolling
    before = f" ({rolling} just before)" if rolling else ""
    many = both > MOST
    share = both > LEAST_FOR_PERCENT and 100 * both > MOST_PERCENT * total
    few = "" if both > LEAST_FOR_PERCENT else f", and {both} are at most {LEAST_FOR_PERCENT}"
    percent = f"{_percent(both, of=total)} % of {total} is"
    return [
        Line(many, f"{both} changes are {'more than' if many else 'at most'} {MOST}{before}"),
        Line(share, f"{percent} more than {MOST_PERCENT:g} %{before}") if share
        else Line(share, f"{percent} against {MOST_PERCENT:g} %{few}{before}"),
    ]  # fmt: skip


def _by_privilege(system: System, wanted: Sequence[Wanted], *, at: datetime) -> list[Line]:
    count = sum(w.is_privileged for w in wanted)
    if not count:
        return [Line(is_over=False, said="none is privileged")]
    before = _recent_privileged(system, at=at)
    both = count + before
    said = f" ({before} just before)" if before else ""
    have = Shadow.objects.filter(
        system=system, ended_at__isnull=True, account__is_privileged=True, account__state__in=LIVING
    ).count()  # fmt: skip
    many = both > MOST_PRIVILEGED
    share = both > 1 and 100 * both > PRIVILEGED_PERCENT * have
    return [
        Line(many, f"{both} privileged changes are {'more than' if many else 'at most'} {MOST_PRIVILEGED}{said}"),
        Line(share, f"{both} of {have} privileged accounts is {'more than' if share else 'against'}"
                    f" {PRIVILEGED_PERCENT:g} %{said}"),
    ]  # fmt: skip


def _ending(wanted: Sequence[Wanted]) -> set[UUID]:
    return {w.account for w in wanted if w.act == ChangeAct.DEPROVISION and w.account}


def _by_owner(wanted: Sequence[Wanted]) -> list[Line]:
    """Whose accounts would end: more than half of what one person answers for."""
    ending = _ending(wanted)
    live = Ownership.objects.filter(state=OwnershipState.ACCEPTED, account__state__in=LIVING)
    owners = live.filter(account__in=ending).values("owner_id")
    rows = (
        live.filter(owner__in=owners)
        .order_by()
        .values_list("owner__user_name")
        .annotate(
            all=Count("account", distinct=True), ending=Count("account", distinct=True, filter=Q(account__in=ending))
        )
    )
    hit = [
        f"{owner} {lost} of {have}" for owner, have, lost in rows.order_by("owner__user_name")
        if lost >= LEAST_OF_OWNER and 100 * lost > OWNER_PERCENT * have
    ] if ending else []  # fmt: skip
    limit = f"{OWNER_PERCENT:g} % of what they answer for, of at least {LEAST_OF_OWNER}"
    if hit:
        return [Line(is_over=True, said=f"{_some('owner', hit)} lose more than {limit}: {_named(hit)}")]
    return [Line(is_over=False, said=f"no owner loses more than {limit}")]


def _by_group(system: System, wanted: Sequence[Wanted]) -> list[Line]:
    """Which groups would shrink by more than a quarter."""
    leaving = Counter(w.group for w in wanted if w.act == ChangeAct.REMOVE_MEMBER and w.group is not None)
    large = [group for group, lost in leaving.items() if lost > LEAST_OF_GROUP]
    live = Membership.objects.filter(group__in=large, system=system, ended_at__isnull=True)
    rows = live.order_by().values_list("group_id", "group__display_name").annotate(n=Count("pk"))
    hit = [
        f"{name} {leaving[group]} of {have}" for group, name, have in rows.order_by("group__display_name")
        if 100 * leaving[group] > GROUP_PERCENT * have
    ] if large else []  # fmt: skip
    limit = f"{GROUP_PERCENT:g} % and {LEAST_OF_GROUP} of its members"
    if hit:
        return [Line(is_over=True, said=f"{_some('group', hit)} lose more than {limit}: {_named(hit)}")]
    return [Line(is_over=False, said=f"no group loses more than {limit}")]


def _by_day(system: System, wanted: Sequence[Wanted], *, total: int, at: datetime) -> Line:
    """How much the system shrinks within a day, however small each step is."""
    since = at - A_DAY
    before = _counted(
        _events(system, since=since, types=ACCOUNT_TYPES),
        _done(system, since=since).filter(act=ChangeAct.DEPROVISION),
    )
    ending = len(_ending(wanted)) + before
    is_over = ending > MOST and 100 * ending > DAY_PERCENT * (total + before)
    word = "more than" if is_over else "against"
    return Line(
        is_over,
        f"{ending} accounts ended within a day are {_percent(ending, of=total + before) if ending else 0.0} % of"
        f" {total + before}, {word} {DAY_PERCENT:g} % and {MOST}",
    )


def _some(noun: str, hit: Sequence[str]) -> str:
    return f"1 {noun} would" if len(hit) == 1 else f"{len(hit)} {noun}s would"


def _named(hit: Sequence[str]) -> str:
    return ", ".join(hit[:NAMED]) + (f" and {len(hit) - NAMED} more" if len(hit) > NAMED else "")


def _owners_losing_all(wanted: Sequence[Wanted]) -> int:
    """How many owners would be left with nothing that they answer for."""
    ending = _ending(wanted)
    live = Ownership.objects.filter(state=OwnershipState.ACCEPTED)
    hit = set(live.filter(account__in=ending).values_list("owner_id", flat=True))
    keep = set(
        live.filter(owner__in=hit)
        .exclude(account__in=ending)
        .exclude(account__state__in=[AccountState.DEPROVISIONED, AccountState.ARCHIVED])
        .values_list("owner_id", flat=True)
    )
    return len(hit - keep)
