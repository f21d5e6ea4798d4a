"""The brake: by count, by percent, over ten minutes, and always when nothing was read."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from provisioning import brake, execution
from tests.factories import governance as make
from tests.factories.plans import a_member, end_of, ended, made_up, read
from tests.factories.words import in_the_ledger

if TYPE_CHECKING:
    from accounts.models import System, Tenant

MINUTE = dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    ("count", "total", "nothing", "reasons"),
    [
        (20, 10_000, False, []),
        (21, 10_000, False, ["21 changes are more than 20"]),
        (5, 10, False, []),
        (6, 300, False, []),
        (6, 299, False, ["2.0 % of 299 is more than 2 %"]),
        (6, 100, False, ["6.0 % of 100 is more than 2 %"]),
        (6, 0, False, ["100.0 % of 0 is more than 2 %"]),
        (1, 10_000, True, ["the reading shows nothing at all"]),
        (30, 40, True, [
            "the reading shows nothing at all", "30 changes are more than 20", "75.0 % of 40 is more than 2 %",
        ]),
    ],
)  # fmt: skip
def test_the_brake_trips_on_more_than_20_or_more_than_2_percent_and_5_or_nothing_read(
    system: System, now: dt.datetime, count: int, total: int, nothing: bool, reasons: list[str]
) -> None:
    judged = brake.judge(system=system, wanted=made_up(count), total=total, read_nothing=nothing, at=now)
    assert judged["because"] == reasons
    assert (judged["count"], judged["of"], judged["just_before"]) == (count, total, 0)


def test_the_total_rolls_over_ten_minutes_and_counts_events_and_plans_together(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    other = make.a_system(tenant, "Entra", at=now)
    in_the_ledger(system, 3, at=now - 9 * MINUTE)
    in_the_ledger(system, 2, at=now - 8 * MINUTE, intent="delete")
    in_the_ledger(system, 7, at=now - 11 * MINUTE)
    in_the_ledger(system, 7, at=now - 7 * MINUTE, intent="update")
    in_the_ledger(other, 7, at=now - 6 * MINUTE)
    plan = read(system, end_of(*(a_member(system, f"p{n}", now) for n in range(4))), now)
    assert brake.recent_reductions(system=system, at=now) == 5
    execution.execute(plan_id=plan.pk, at=now)
    assert brake.recent_reductions(system=system, at=now) == 9
    assert brake.recent_reductions(system=system, at=now + 11 * MINUTE) == 0

    def because(count: int) -> list[str]:
        judged = brake.judge(system=system, wanted=made_up(count), total=10_000, read_nothing=False, at=now)
        return list(judged["because"])

    assert because(11) == []
    assert because(12) == ["21 changes are more than 20 (9 just before)"]


def test_the_brake_counts_privileged_accounts_and_owners_who_would_lose_all(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    grace, edsger = (make.a_person(tenant, name, at=now) for name in ("grace", "edsger"))
    only = make.a_service(tenant, "only", at=now, owner=grace, is_privileged=True)
    one, two = (make.a_service(tenant, name, at=now, owner=edsger) for name in ("one", "two"))
    ended(make.a_service(tenant, "gone", at=now, owner=grace), now)
    judged = brake.judge(system=system, wanted=end_of(only, one), total=10_000, read_nothing=False, at=now)
    assert (judged["privileged"], judged["owners_losing_all"]) == (1, 1)
    assert two.state == "active"
