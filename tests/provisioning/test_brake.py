"""The brake: by count, by percent, over ten minutes, and always when nothing was read."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from audit.transitions import move
from provisioning import brake, execution, plans
from provisioning.models.plan import ChangeAct, PlanKind, PlanState
from provisioning.models.shadow import Shadow
from provisioning.plans import Wanted
from provisioning.states import PLAN
from tests.factories import governance as make
from tests.factories.governance import a_connection
from tests.factories.plans import a_member, end_of, ended, made_up, read, results, state
from tests.factories.words import in_the_ledger
from tests.fakes.directories import known_group

if TYPE_CHECKING:
    from accounts.models import Group, System, Tenant

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
            "30 accounts ended within a day are 75.0 % of 40, more than 10 % and 20",
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


def leaving(group: Group, count: int) -> list[Wanted]:
    """So many members of one group who are to leave it."""
    return [
        Wanted(act=ChangeAct.REMOVE_MEMBER, label=f"m{n}", group=group.pk, member_ref=UUID(int=n)) for n in range(count)
    ]


def judged(system: System, wanted: list[Wanted], now: dt.datetime, total: int = 10_000) -> list[str]:
    """Why the brake would stop it."""
    return list(brake.judge(system=system, wanted=wanted, total=total, read_nothing=False, at=now)["because"])


def test_every_limit_is_named_with_its_numbers_whether_it_is_reached_or_not(system: System, now: dt.datetime) -> None:
    told = brake.judge(system=system, wanted=made_up(6), total=1_000, read_nothing=False, at=now)
    assert (told["because"], told["within"]) == ([], [
        "6 changes are at most 20",
        "0.6 % of 1000 is against 2 %",
        "none is privileged",
        "no owner loses more than 50 % of what they answer for, of at least 3",
        "no group loses more than 25 % and 5 of its members",
        "6 accounts ended within a day are 0.6 % of 1000, against 10 % and 20",
    ])  # fmt: skip


def test_a_few_privileged_accounts_are_too_many_and_so_is_a_tenth_of_all(system: System, now: dt.datetime) -> None:
    roots = [a_member(system, f"root{n:02}", now, is_privileged=True) for n in range(40)]
    assert judged(system, end_of(*roots[:3]), now) == []
    assert judged(system, end_of(*roots[:4]), now) == ["4 privileged changes are more than 3"]
    ended(roots[39], now)
    for root in roots[:21]:
        ended(root, now)
    assert judged(system, end_of(*roots[21:22]), now) == []
    assert judged(system, end_of(*roots[21:23]), now) == ["2 of 18 privileged accounts is more than 10 %"]


def test_privileged_endings_by_plans_and_events_count_together(system: System, now: dt.datetime) -> None:
    roots = [a_member(system, f"root{n:02}", now, is_privileged=True) for n in range(60)]
    shadow = Shadow.objects.get(account=roots[0])
    in_the_ledger(system, 1, at=now - MINUTE, resource_type="User", resource_id=shadow.pk)
    in_the_ledger(system, 1, at=now - 2 * MINUTE, resource_type="User")
    plan = read(system, end_of(roots[1]), now)
    execution.execute(plan_id=plan.pk, at=now)
    assert judged(system, end_of(roots[2]), now) == []
    assert judged(system, end_of(*roots[2:4]), now) == ["4 privileged changes are more than 3 (2 just before)"]


def test_one_person_may_not_lose_more_than_half_of_what_they_answer_for(
    tenant: Tenant, system: System, now: dt.datetime
) -> None:
    grace = make.a_person(tenant, "grace", at=now)
    many = [make.a_service(tenant, f"svc{n}", at=now, owner=grace) for n in range(5)]
    assert judged(system, end_of(*many[:2]), now) == []
    assert judged(system, end_of(*many[:3]), now) == [
        "1 owner would lose more than 50 % of what they answer for, of at least 3: grace 3 of 5"
    ]
    more = [make.a_service(tenant, f"more{n}", at=now, owner=grace) for n in range(1)]
    assert (more[0].state, judged(system, end_of(*many[:3]), now)) == ("active", [])


def test_a_group_may_not_lose_more_than_a_quarter_of_its_members(system: System, now: dt.datetime) -> None:
    members = [a_member(system, f"p{n:02}", now) for n in range(24)]
    group = known_group(system, "eng", *members, at=now)
    assert judged(system, leaving(group, 6), now) == []
    assert judged(system, leaving(group, 7), now) == [
        "1 group would lose more than 25 % and 5 of its members: eng 7 of 24"
    ]
    small = known_group(system, "duo", *members[:5], at=now)
    assert judged(system, leaving(small, 5), now) == []


def test_a_directory_that_shrinks_a_little_all_day_is_stopped(system: System, now: dt.datetime) -> None:
    for hour in range(2, 22, 2):
        in_the_ledger(system, 2, at=now - hour * 60 * MINUTE, resource_type="User")
    in_the_ledger(system, 9, at=now - 25 * 60 * MINUTE, resource_type="User")
    in_the_ledger(system, 9, at=now - 60 * MINUTE, resource_type="Group")
    assert judged(system, made_up(1), now, total=100) == [
        "21 accounts ended within a day are 17.5 % of 120, more than 10 % and 20"
    ]
    assert judged(system, made_up(1), now, total=190) == []


def test_what_was_cleared_is_judged_by_every_limit_again_when_it_begins(system: System, now: dt.datetime) -> None:
    roots = [a_member(system, f"root{n:02}", now, is_privileged=True) for n in range(60)]
    first = read(system, end_of(*roots[:3]), now)
    late = plans.freeze(kind=PlanKind.READING, system=system, wanted=end_of(roots[3]), at=now, asked_by="a test")
    late.brake = {"of": 10_000}
    move(late, PlanState.CLEARED, by=PLAN)
    late.save()
    assert execution.execute(plan_id=first.pk, at=now).state == "done"
    assert execution.execute(plan_id=late.pk, at=now + MINUTE).state == "lapsed"
    assert (late.changes.get().result, state(roots[3])) == ("rejected", "active")


def test_what_a_system_is_read_by_is_in_no_plan_and_is_not_touched_by_one_from_before(
    system: System, now: dt.datetime
) -> None:
    canary, ada = a_member(system, "canary", now), a_member(system, "ada", now)
    before = read(system, end_of(canary), now)
    a_connection(system, read_at=now)
    assert execution.execute(plan_id=before.pk, at=now).state == "done_with_residue"
    never = "canary is never touched: it proves that a reading of Okta is whole"
    assert (results(before), state(canary)) == ({"canary": ("void", never)}, "active")
    assert read(system, end_of(canary), now) is None
    plan = read(system, end_of(canary, ada), now)
    assert [c.label for c in plan.changes.all()] == ["ada"]
    assert plan.brake["within"][-1] == never
