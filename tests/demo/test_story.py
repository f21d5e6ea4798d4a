"""Who is chosen to be lost: always the same, never somebody whom another part of the story needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo.story import LOSSES, choose_ended, choose_memberships

if TYPE_CHECKING:
    from demo.nouns import Company

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("slug", sorted(LOSSES))
def test_as_many_are_ended_as_planned_and_none_is_protected(company: Company, slug: str) -> None:
    directory, losses = company.directory(slug), LOSSES[slug]
    ended = choose_ended(company, directory, losses)
    assert ended == choose_ended(company, directory, losses)
    assert len(set(ended)) == len(ended)
    people = {person.user_name for person in directory.people}
    assert len(people & set(ended)) == losses.people
    assert len({machine.user_name for machine in directory.machines} & set(ended)) == losses.machines
    assert not set(ended) & company.protected


def test_a_machine_is_lost_only_with_an_owner_who_stays_and_an_end_far_off(company: Company) -> None:
    machines = {machine.user_name: machine for machine in company.directory("cloud").machines}
    for user_name in choose_ended(company, company.directory("cloud"), LOSSES["cloud"]):
        machine = machines[user_name]
        assert machine.owner is not None
        assert not company.person(machine.owner).leaves
        assert not machine.is_due


def test_nobody_is_lost_twice_in_a_tenant(company: Company) -> None:
    ended = [
        (directory.tenant, name)
        for directory in company.directories
        for name in choose_ended(company, directory, LOSSES[directory.slug])
    ]
    assert len(set(ended)) == len(ended) == 36


@pytest.mark.parametrize("slug", sorted(LOSSES))
def test_changes_of_groups_are_real_changes_of_unprivileged_groups(company: Company, slug: str) -> None:
    directory, losses = company.directory(slug), LOSSES[slug]
    ended = choose_ended(company, directory, losses)
    chosen = choose_memberships(company, directory, losses, ended=ended)
    groups = {group.name: group for group in directory.groups}
    changes = [change for _, _, change in chosen]
    assert changes == ["removed"] * losses.removals + ["added"] * losses.additions
    for name, user_name, change in chosen:
        assert not groups[name].is_privileged
        assert (user_name in groups[name].members) is (change == "removed")
        assert user_name not in company.protected | set(ended)
    assert len({user_name for _, user_name, _ in chosen}) == len(chosen)


def test_only_the_cloud_platform_loses_enough_to_trip_the_brake(company: Company) -> None:
    for slug in ("workforce", "labs"):
        losses = LOSSES[slug]
        accounts = len(company.directory(slug).user_names)
        reductions = losses.people + losses.machines + losses.removals
        assert reductions <= max(5, accounts * 2 // 100), slug
    assert LOSSES["cloud"].machines > 20
