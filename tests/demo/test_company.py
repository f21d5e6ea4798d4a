"""The fictional company: complete, consistent, and always the same."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from demo.company import build_company
from demo.names import ascii_of

if TYPE_CHECKING:
    from demo.nouns import Company

pytestmark = pytest.mark.unit

NOW = dt.datetime(2026, 11, 23, 12, 34, 56, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def test_the_company_has_about_four_hundred_people_and_one_hundred_and_twenty_machines(company: Company) -> None:
    assert Counter(person.tenant for person in company.people) == {"halyard": 358, "halyard-labs": 56}
    assert Counter(machine.tenant for machine in company.machines) == {"halyard": 80, "halyard-labs": 40}
    held = {one.slug: (one.tenant, len(one.people), len(one.machines)) for one in company.directories}
    assert held == {
        "workforce": ("halyard", 352, 0),
        "cloud": ("halyard", 24, 80),
        "labs": ("halyard-labs", 56, 40),
        "crm": ("halyard", 45, 0),
    }
    assert {machine.kind for machine in company.machines} == {"service", "workload", "agent", "shared"}
    assert {machine.environment for machine in company.machines} == {"production", "staging", "development"}


def test_the_same_moment_gives_the_same_company(company: Company) -> None:
    assert build_company(now=NOW) == company


def test_another_moment_moves_only_the_ends_of_machines(company: Company) -> None:
    later = build_company(now=NOW + 3 * DAY)
    assert later.people == company.people
    assert later.protected == company.protected
    moved = {
        after.expires_at - before.expires_at for before, after in zip(company.machines, later.machines, strict=True)
    }
    assert moved == {3 * DAY}
    assert [one.owner for one in later.machines] == [one.owner for one in company.machines]


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        build_company(now=NOW.replace(tzinfo=None))


def test_no_two_accounts_of_a_directory_share_a_user_name(company: Company) -> None:
    for directory in company.directories:
        names = [name.casefold() for name in directory.user_names]
        assert len(set(names)) == len(names), directory.slug


def test_no_two_people_share_a_key_or_an_employee_number(company: Company) -> None:
    assert len({person.key for person in company.people}) == len(company.people)
    assert len({person.employee_number for person in company.people}) == len(company.people)


def test_user_names_are_plain_and_under_example(company: Company) -> None:
    for person in company.people:
        local, _, domain = person.user_name.partition("@")
        assert local == f"{ascii_of(person.given)}.{ascii_of(person.family)}"
        assert local.isascii()
        assert domain in {"halyard.example", "halyard-labs.example", "brightwater.example"}


@pytest.mark.parametrize(
    ("name", "plain"), [("Łukasz", "lukasz"), ("Søren", "soren"), ("Moriarty-Singh", "moriarty-singh")]
)
def test_a_name_becomes_ascii(name: str, plain: str) -> None:
    assert ascii_of(name) == plain


def test_every_owner_is_somebody_of_the_same_tenant(company: Company) -> None:
    for machine in company.machines:
        if machine.owner is not None:
            assert company.person(machine.owner).tenant == machine.tenant, machine


def test_six_machines_have_no_owner_and_three_an_owner_who_leaves(company: Company) -> None:
    assert sum(machine.owner is None for machine in company.machines) == 6
    left = [one for one in company.machines if one.owner is not None and company.person(one.owner).leaves]
    assert len(left) == 3
    assert sum(person.leaves for person in company.people) == 2


def test_every_line_of_managers_ends_at_the_chief_of_the_tenant(company: Company) -> None:
    chiefs = {company.directory("workforce").people[0].key, company.directory("labs").people[0].key}
    for person in company.people:
        if person.team == "Brightwater":
            assert person.manager is None
            continue
        above = [person]
        while above[-1].manager is not None:
            above.append(company.person(above[-1].manager))
            assert len(above) <= 4
        assert above[-1].key in chiefs
        assert above[-1].tenant == person.tenant


def test_groups_hold_only_accounts_of_their_directory_and_have_a_name_of_their_own(company: Company) -> None:
    for directory in company.directories:
        assert len({group.name for group in directory.groups}) == len(directory.groups)
        for group in directory.groups:
            assert group.members, group.name
            assert len(set(group.members)) == len(group.members), group.name
            assert set(group.members) <= set(directory.user_names), group.name
        assert any(group.is_privileged for group in directory.groups)


def test_ends_cover_every_band_of_the_expiry_sweep(company: Company) -> None:
    def band(days: float) -> str:
        return next(
            (name for name, most in (("past", 0), ("1", 1), ("7", 7), ("14", 14), ("30", 30)) if days < most), "far"
        )

    bands = Counter(band((machine.expires_at - NOW) / DAY) for machine in company.machines)
    assert bands == {"past": 3, "1": 2, "7": 3, "14": 4, "30": 6, "far": 102}
    assert sum(machine.is_due for machine in company.machines) == 18


def test_who_signs_in_works_for_halyard_and_is_in_no_second_directory(company: Company) -> None:
    assert [login.role for login in company.logins] == [
        "security",
        "second security",
        "owner",
        "auditor",
        "administrator",
    ]
    names = {login.user_name for login in company.logins}
    assert len(names) == 5
    assert names <= set(company.directory("workforce").user_names)
    assert not names & set(company.directory("cloud").user_names + company.directory("crm").user_names)


def test_the_owner_who_signs_in_owns_eight_machines_and_two_end_soon(company: Company) -> None:
    owner = next(login.person for login in company.logins if login.role == "owner")
    own = [machine for machine in company.machines if machine.owner == owner]
    assert len(own) == 8
    assert {machine.user_name for machine in own if machine.is_due} == {
        "svc-edi-outbound-staging",
        "svc-customs-gateway-development",
    }


def test_every_canary_is_in_its_directory_and_protected(company: Company) -> None:
    for directory in company.directories:
        assert directory.canary in directory.user_names
        assert directory.canary in company.protected


def test_who_is_asked_back_is_in_the_cloud_platform_only(company: Company) -> None:
    elsewhere = {name for one in company.directories if one.slug != "cloud" for name in one.user_names}
    assert len(company.asked_back) == 3
    assert "svc-restore" in company.asked_back
    assert set(company.asked_back) <= set(company.directory("cloud").user_names) - elsewhere


def test_an_unknown_directory_is_a_key_error(company: Company) -> None:
    with pytest.raises(KeyError, match="nowhere"):
        company.directory("nowhere")
