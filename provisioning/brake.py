"""The brake: how many reductions at once are too many to be carried out without people.

It judges plans, and counts what explicit events took beside them. What it holds back is always the plan, never the event.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from accounts.models.account import AccountState
from accounts.models.ownership import Ownership, OwnershipState
from accounts.models.system import System
from audit.keys import uuid7_floor, uuid7_of_tomorrow
from provisioning.changes import ACCOUNT_TYPES, GROUP_TYPE
from provisioning.models.exchange import Exchange
from provisioning.models.plan import ChangeAct, PlannedChange
from provisioning.plans import Wanted

# More than 20 changes; or more than 2 % and more than 5; always when nothing at all was read.
MOST = 20
MOST_PERCENT = 2.0
LEAST_FOR_PERCENT = 5
# Plans and explicit events count together over this time.
ROLLING = timedelta(minutes=10)


def recent_reductions(*, system: System, at: datetime) -> int:
    """Reductions at a system in the last ten minutes: explicit events, and the done changes of plans."""
    # By kind and by the key, which begins with the time: an index range in one or two partitions, however long the
    # ledger is. What ends in a catalogue takes nothing from anybody.
    since = uuid7_floor(int((at - ROLLING).timestamp() * 1000))
    events = Exchange.objects.filter(
        system=system, id__gte=since, id__lt=uuid7_of_tomorrow(), outcome="applied", intent__in=["disable", "delete"],
        resource_type__in=["", *ACCOUNT_TYPES, GROUP_TYPE],
    )  # fmt: skip
    plans = PlannedChange.objects.filter(plan__system=system, result="done", done_at__gt=at - ROLLING).exclude(
        act__in=[ChangeAct.REACTIVATE, ChangeAct.ADD_MEMBER]
    )
    both = events.order_by().values_list("pk").union(plans.order_by().values_list("pk"), all=True)
    return both.count()


def judge(*, system: System, wanted: Sequence[Wanted], total: int, read_nothing: bool, at: datetime) -> dict[str, Any]:
    """The brake's judgement, with its reasons in words; none means that the plan is cleared."""
    count = len(wanted)
    rolling = recent_reductions(system=system, at=at)
    because = ["the reading shows nothing at all"] if read_nothing else []
    because += over_the_limits(count=count, rolling=rolling, total=total)
    return {
        "count": count,
        "of": total,
        "percent": _percent(count + rolling, of=total),
        "just_before": rolling,
        "privileged": sum(w.is_privileged for w in wanted),
        "owners_losing_all": _owners_losing_all(wanted),
        "limits": {"changes": MOST, "percent": MOST_PERCENT, "least": LEAST_FOR_PERCENT},
        "because": because,
    }


def _percent(count: int, *, of: int) -> float:
    """For people to read; the limits are compared unrounded."""
    return round(100 * count / of, 1) if of else 100.0


def over_the_limits(*, count: int, rolling: int, total: int) -> list[str]:
    """Which limits a number of reductions, with those just before it, is over, in words."""
    both = count + rolling
    before = f" ({rolling} just before)" if rolling else ""
    because = []
    if both > MOST:
        because.append(f"{both} changes are more than {MOST}{before}")
    if both > LEAST_FOR_PERCENT and 100 * both > MOST_PERCENT * total:
        because.append(f"{_percent(both, of=total)} % of {total} is more than {MOST_PERCENT:g} %{before}")
    return because


def _owners_losing_all(wanted: Sequence[Wanted]) -> int:
    """How many owners would be left with nothing that they answer for."""
    ending = {w.account for w in wanted if w.act == ChangeAct.DEPROVISION and w.account}
    live = Ownership.objects.filter(state=OwnershipState.ACCEPTED)
    hit = set(live.filter(account__in=ending).values_list("owner_id", flat=True))
    keep = set(
        live.filter(owner__in=hit)
        .exclude(account__in=ending)
        .exclude(account__state__in=[AccountState.DEPROVISIONED, AccountState.ARCHIVED])
        .values_list("owner_id", flat=True)
    )
    return len(hit - keep)
