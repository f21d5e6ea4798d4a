"""Who is in a group, by whose word: a row for each that comes or goes, and none for those who stay."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from accounts import memberships
from accounts.memberships import Changed, Member
from accounts.models import Group, Membership
from audit.models import history_of
from tests.conftest import AT
from tests.factories import governance as make
from tests.factories.words import written_from_here

if TYPE_CHECKING:
    from accounts.models import System, Tenant
    from audit.models import Cause

LATER = AT + dt.timedelta(hours=1)


@pytest.fixture
def system(tenant: Tenant, because: Cause) -> System:
    return make.a_system(tenant, at=AT)


@pytest.fixture
def group(tenant: Tenant, because: Cause) -> Group:
    return a_group(tenant)


@pytest.fixture
def members(tenant: Tenant, because: Cause) -> list[Member]:
    return [Member(ref=uuid4(), account=make.a_person(tenant, name, at=AT).pk) for name in ("ada", "bob", "cyd")]


def a_group(tenant: Tenant, name: str = "Staff") -> Group:
    return memberships.create_group(
        tenant_id=tenant.pk, display_name=name, display_name_key=name.lower(), document={"displayName": name}, at=AT
    )


def inside(group: Group) -> set[UUID | None]:
    return set(Membership.objects.filter(group=group, ended_at__isnull=True).values_list("origin_ref", flat=True))


def rows() -> int:
    return history_of(Membership).objects.count()


def test_a_group_is_made_renamed_and_left_alone_with_one_entry_for_each_change(tenant: Tenant, because: Cause) -> None:
    written = written_from_here(Group)
    group = a_group(tenant)
    same = {"display_name": "Staff", "display_name_key": "staff", "document": {"displayName": "Staff"}}
    assert memberships.change_group(group=group, **same) is False
    assert memberships.change_group(group=group, **same | {"display_name": "People", "display_name_key": "people"})
    group.refresh_from_db()
    assert (group.display_name, group.display_name_key) == ("People", "people")
    assert written.history(Group) == {"Group": 2}
    assert written.sentences() == ["a test: group Staff made", "a test: group Staff is People now"]
    assert written.subjects("group") == {str(group.pk)}


def test_who_is_in_already_stays_without_a_row(group: Group, system: System, members: list[Member]) -> None:
    assert memberships.add(group=group, system=system, members=members[:2], at=AT) == 2
    before = rows()
    assert memberships.add(group=group, system=system, members=[*members, members[2]], at=LATER) == 1
    assert memberships.add(group=group, system=system, members=members, at=LATER) == 0
    assert memberships.add(group=group, system=system, members=[], at=LATER) == 0
    assert rows() == before + 1
    assert {m.origin_ref: (m.account_id, m.origin, m.since) for m in Membership.objects.all()} == {
        members[0].ref: (members[0].account, "system", AT),
        members[1].ref: (members[1].account, "system", AT),
        members[2].ref: (members[2].account, "system", LATER),
    }


def test_an_ended_membership_begins_again_as_a_row_of_its_own(
    group: Group, system: System, members: list[Member]
) -> None:
    memberships.add(group=group, system=system, members=members[:1], at=AT)
    assert memberships.remove(group=group, system=system, refs=[members[0].ref], at=LATER) == 1
    assert memberships.remove(group=group, system=system, refs=[members[0].ref, uuid4()], at=LATER) == 0
    assert memberships.remove(group=group, system=system, refs=[], at=LATER) == 0
    assert memberships.add(group=group, system=system, members=members[:1], at=LATER) == 1
    ends = Membership.objects.order_by("since").values_list("since", "ended_at")
    assert list(ends) == [(AT, LATER), (LATER, None)]
    assert rows() == 3


def test_a_replacement_writes_the_difference_alone(group: Group, system: System, members: list[Member]) -> None:
    ada, bob, cyd = members
    memberships.add(group=group, system=system, members=[ada, bob], at=AT)
    before = rows()
    assert memberships.replace(group=group, system=system, members=[bob, cyd], at=LATER) == Changed(added=1, ended=1)
    assert inside(group) == {bob.ref, cyd.ref}
    assert rows() == before + 2
    again = memberships.replace(group=group, system=system, members=[cyd, bob], at=LATER)
    assert (again, bool(again)) == (Changed(added=0, ended=0), False)
    assert rows() == before + 2
    assert memberships.replace(group=group, system=system, members=[], at=LATER) == Changed(added=0, ended=2)


def test_a_system_takes_back_its_own_reason_and_no_other(
    tenant: Tenant, group: Group, system: System, members: list[Member]
) -> None:
    other = make.a_system(tenant, "Entra", at=AT)
    for one in (system, other):
        memberships.add(group=group, system=one, members=members[:1], at=AT)
    local = Membership.objects.create(
        tenant=tenant, group=group, account_id=members[0].account, origin="local", since=AT
    )
    assert memberships.remove_all(group=group, system=system, at=LATER) == 1
    left = Membership.objects.filter(ended_at__isnull=True)
    assert {(m.origin, m.system_id) for m in left} == {("system", other.pk), ("local", None)}
    assert memberships.end_of_accounts(accounts=[members[0].account], system=other, at=LATER) == 1
    assert memberships.end_of_accounts(accounts=[members[0].account], system=None, at=LATER) == 1
    local.refresh_from_db()
    assert local.ended_at == LATER


def test_an_ended_group_has_no_members_and_is_in_no_group(
    tenant: Tenant, group: Group, system: System, members: list[Member]
) -> None:
    outer = a_group(tenant, "All")
    memberships.add(group=group, system=system, members=members, at=AT)
    memberships.add(group=outer, system=system, members=[Member(ref=uuid4(), group=group.pk), members[0]], at=AT)
    written = written_from_here(Group, Membership)
    assert memberships.end_group(group=group, at=LATER) == 4
    assert inside(group) == set()
    assert inside(outer) == {members[0].ref}
    assert written.history(Group, Membership) == {"Group": 1, "Membership": 4}
    assert written.sentences() == ["a test: group Staff ended with 4 memberships"]
    assert memberships.end_group(group=group, at=LATER + dt.timedelta(hours=1)) == 0
    assert written.entries() == ["group.ended"]
    group.refresh_from_db()
    assert group.ended_at == LATER


def test_one_entry_names_the_group_and_at_most_a_hundred_accounts(group: Group) -> None:
    written = written_from_here()
    who = [Member(ref=uuid4(), account=uuid4()) for _ in range(120)] + [Member(ref=uuid4(), group=uuid4())]
    memberships.journal(group=group, changed=Changed(added=121, ended=0), who=who, note="from a reading")
    assert written.sentences() == ["a test: Staff: 121 added, 0 ended. from a reading"]
    assert written.subjects("group") == {str(group.pk)}
    assert written.subjects("account") == {str(m.account) for m in who[:100]}
