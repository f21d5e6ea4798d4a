"""The whole story over HTTP: filled, provisioned into a second SCIM server that stands for Rollcall, changed, and lost."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from demo.client import Client, ScimError
from demo.documents import ENTERPRISE, NHI
from demo.files import read_object, write_json
from demo.push import fill, push, wanted_owners
from demo.story import ask_back, leave, lose, planned_losses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from demo.client import Endpoint
    from demo.nouns import Company

pytestmark = pytest.mark.local

Listing = dict[str, list[dict[str, Any]]]


def listing(endpoint: Endpoint) -> Listing:
    """Everything that a server holds for one system."""
    with Client(endpoint) as client:
        return {"Users": list(client.all("Users")), "Groups": list(client.all("Groups"))}


def quiet(_: str) -> None:
    """Progress that nobody reads."""


class Story:
    """A filled and provisioned pair of servers."""

    def __init__(self, company: Company, directory: Any, target: Any) -> None:
        self.company = company
        self.data: Path = directory.data
        self.directories: dict[str, Endpoint] = directory.endpoints(company)
        self.targets: dict[str, Endpoint] = target.endpoints(company)

    def fill(self, progress: Callable[[str], None] = quiet) -> None:
        fill(company=self.company, directories=self.directories, progress=progress)

    def push(self, progress: Callable[[str], None] = quiet) -> Any:
        return push(
            company=self.company,
            directories=self.directories,
            targets=self.targets,
            data=self.data,
            progress=progress,
        )

    def all_of(self, endpoints: dict[str, Endpoint]) -> dict[str, Listing]:
        return {slug: listing(endpoint) for slug, endpoint in endpoints.items()}


@pytest.fixture
def fresh(company: Company, directory_process: Callable[[], Any]) -> Story:
    """Two empty servers."""
    return Story(company, directory_process(), directory_process())


@pytest.fixture(scope="module")
def told(company: Company, directory_process: Callable[[], Any]) -> Story:
    """Filled and provisioned once; tests that change it name what they leave behind."""
    story = Story(company, directory_process(), directory_process())
    story.fill()
    story.push()
    return story


def by(key: str, resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {one[key]: one for one in resources}
    assert len(found) == len(resources)
    return found


@pytest.mark.parametrize("slug", ["workforce", "cloud", "labs", "crm"])
def test_a_directory_holds_exactly_its_part_of_the_company(told: Story, slug: str) -> None:
    spec, held = told.company.directory(slug), listing(told.directories[slug])
    users, groups = by("userName", held["Users"]), by("displayName", held["Groups"])
    assert users.keys() == set(spec.user_names)
    names = {one["id"]: name for name, one in users.items()}
    for group in spec.groups:
        assert {names[one["value"]] for one in groups[group.name]["members"]} == set(group.members)
    for machine in spec.machines:
        extension = users[machine.user_name][NHI]
        assert extension["kind"] == machine.kind
        assert extension["purpose"] == machine.purpose
        assert extension["environment"] == machine.environment
        assert extension["expiresAt"] == f"{machine.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    for person in spec.people:
        manager = users[person.user_name][ENTERPRISE].get("manager")
        wanted = told.company.person(person.manager).user_name if person.manager and spec.keeps_managers else None
        assert (names[manager["value"]] if manager else None) == wanted


@pytest.mark.parametrize("slug", ["workforce", "labs", "crm"])
def test_the_target_holds_the_same_under_its_own_ids(company: Company, told: Story, slug: str) -> None:
    source, target = listing(told.directories[slug]), listing(told.targets[slug])
    ids = read_object(told.data / f"{slug}-map.json")
    assert ids is not None
    assert ids["complete"] is True
    for path in ("Users", "Groups"):
        sent = by("externalId", target[path])
        assert sent.keys() == {one["id"] for one in source[path]}
        for one in source[path]:
            other = sent[one["id"]]
            assert ids["ids"][one["id"]] == other["id"] != one["id"]
            for key in ("userName", "displayName", "active", "name", "emails", "title"):
                assert other.get(key) == one.get(key)
            assert [ids["ids"][ref["value"]] for ref in one.get("members", [])] == [
                ref["value"] for ref in other.get("members", [])
            ]
            for urn, key in ((ENTERPRISE, "manager"), (NHI, "owners")):
                said = one.get(urn, {}).get(key)
                assert (said is None) is (other.get(urn, {}).get(key) is None)
                if key == "manager" and said:
                    assert other[urn][key]["value"] == ids["ids"][said["value"]]
                if key == "owners" and said:
                    assert [ref["value"] for ref in other[urn][key]] == [ids["ids"][ref["value"]] for ref in said]


def test_owners_are_offered_where_they_live_and_wanted_elsewhere(told: Story) -> None:
    wanted = {(one.system, one.machine): one for one in wanted_owners(told.company)}
    owned = {(d.slug, m.user_name): m for d in told.company.directories for m in d.machines if m.owner is not None}
    assert wanted.keys() == owned.keys()
    for slug in ("cloud", "labs"):
        held = listing(told.targets[slug])
        names = {one["id"]: one["userName"] for one in held["Users"]}
        offered = {
            (slug, one["userName"]): names[one[NHI]["owners"][0]["value"]]
            for one in held["Users"]
            if one.get(NHI, {}).get("owners")
        }
        assert offered == {key: one.owner for key, one in wanted.items() if one.system == slug and one.is_offered}
    others = {one.owner_system for one in wanted.values() if not one.is_offered}
    assert others == {"workforce"}
    assert {one.owner for one in wanted.values() if one.leaves} == {
        person.user_name for person in told.company.people if person.leaves
    }


def test_a_second_time_changes_nothing(told: Story) -> None:
    before = told.all_of(told.directories), told.all_of(told.targets)
    said: list[str] = []
    told.fill(said.append)
    assert told.push(said.append) == wanted_owners(told.company)
    assert (told.all_of(told.directories), told.all_of(told.targets)) == before
    assert [line for line in said if not line.endswith("already")] == []
    assert len(said) == 8


def test_a_lost_map_is_made_again_from_what_the_target_holds(told: Story) -> None:
    before = told.all_of(told.targets)
    maps = {slug: read_object(told.data / f"{slug}-map.json") for slug in told.targets}
    for slug in told.targets:
        (told.data / f"{slug}-map.json").unlink()
    told.push()
    assert told.all_of(told.targets) == before
    assert {slug: read_object(told.data / f"{slug}-map.json") for slug in told.targets} == maps


def test_progress_is_told_every_fifty_and_an_interruption_is_gone_on_from(fresh: Story) -> None:
    said: list[str] = []

    def stop_at_150(line: str) -> None:
        said.append(line)
        if line == "Workforce: 150 of 352 accounts":
            raise KeyboardInterrupt

    fresh.fill()
    with pytest.raises(KeyboardInterrupt):
        fresh.push(stop_at_150)
    assert said == [f"Workforce: {number} of 352 accounts" for number in (50, 100, 150)]
    kept = read_object(fresh.data / "workforce-map.json")
    assert kept is not None
    assert kept["complete"] is False
    half = by("userName", listing(fresh.targets["workforce"])["Users"])
    assert 150 <= len(half) < 352
    # A kill may also lose what was not yet written to the map.
    write_json(fresh.data / "workforce-map.json", {"ids": dict(list(kept["ids"].items())[:60]), "complete": False})
    fresh.push(said.append)
    assert "Workforce: 352 of 352 accounts" in said
    assert "Workforce: 47 of 47 groups" in said
    held = fresh.all_of(fresh.targets)
    for directory in fresh.company.directories:
        users = by("userName", held[directory.slug]["Users"])
        assert users.keys() == set(directory.user_names)
        assert by("displayName", held[directory.slug]["Groups"]).keys() == {group.name for group in directory.groups}
    after = by("userName", held["workforce"]["Users"])
    assert {name: after[name]["id"] for name in half} == {name: one["id"] for name, one in half.items()}


def test_a_fill_that_was_interrupted_is_gone_on_from(fresh: Story) -> None:
    def stop(line: str) -> None:
        if ": 200 of 352" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fresh.fill(stop)
    half = by("userName", listing(fresh.directories["workforce"])["Users"])
    assert 200 <= len(half) < 352
    fresh.fill()
    after = by("userName", listing(fresh.directories["workforce"])["Users"])
    assert after.keys() == set(fresh.company.directory("workforce").user_names)
    assert {name: after[name] for name in half} == half


def test_an_account_that_is_gone_in_the_target_is_not_made_again_but_a_target_set_up_anew_is_filled(
    fresh: Story, directory_process: Callable[[], Any]
) -> None:
    fresh.fill()
    fresh.push()
    target = fresh.targets["cloud"]
    gone = listing(target)["Users"][0]["id"]
    answer = httpx.delete(
        f"{target.base_url}/Users/{gone}", headers={"Authorization": f"Bearer {target.token}"}, trust_env=False
    )
    assert answer.status_code == 204
    fresh.push()
    assert gone not in by("id", listing(target)["Users"])
    assert len(listing(target)["Users"]) == 103

    fresh.targets = directory_process().endpoints(fresh.company)
    fresh.push()
    sizes = {slug: len(held["Users"]) for slug, held in fresh.all_of(fresh.targets).items()}
    assert sizes == {"workforce": 352, "cloud": 104, "labs": 96, "crm": 45}


def test_a_refused_token_is_told_with_the_answer(fresh: Story) -> None:
    fresh.fill()
    fresh.targets["workforce"] = dataclasses.replace(fresh.targets["workforce"], token="wrong")
    with pytest.raises(ScimError, match=r"was answered 401: .*Error") as told:
        fresh.push()
    assert told.value.status == 401


def test_the_story_is_told_exactly_and_only_once(told: Story) -> None:
    """Changes the shared pair: it stands last."""
    company, data = told.company, told.data
    both: dict[str, Any] = {"company": company, "directories": told.directories, "targets": told.targets, "data": data}
    left, asked = leave(**both, progress=quiet), ask_back(**both, progress=quiet)
    assert {(one.system, one.user_name, one.is_active) for one in left} == {
        ("cloud", person.user_name, False) for person in company.people if person.leaves
    }
    assert {(one.system, one.user_name, one.is_active) for one in asked} == {
        ("cloud", name, True) for name in company.asked_back
    }
    source, target = told.all_of(told.directories), told.all_of(told.targets)
    gone = {person.user_name for person in company.people if person.leaves}
    for held in (source["cloud"], target["cloud"]):
        assert {one["userName"] for one in held["Users"] if not one["active"]} == gone

    lost = lose(company=company, directories=told.directories, data=data, progress=quiet)

    after = told.all_of(told.directories)
    assert told.all_of(told.targets) == target
    ended, joined, parted = set(), set(), set()
    for slug, held in source.items():
        names = {one["id"]: one["userName"] for one in held["Users"]}
        before, now = by("id", held["Users"]), by("id", after[slug]["Users"])
        assert before.keys() == now.keys()
        ended |= {(slug, names[key], key) for key in before if before[key]["active"] and not now[key]["active"]}
        assert all({**now[key], "active": 0, "meta": 0} == {**before[key], "active": 0, "meta": 0} for key in before)
        groups, groups_now = by("id", held["Groups"]), by("id", after[slug]["Groups"])
        assert groups.keys() == groups_now.keys()
        for key, group in groups.items():
            was = {one["value"] for one in group["members"]}
            is_now = {one["value"] for one in groups_now[key]["members"]}
            joined |= {(slug, group["displayName"], names[one], key, one) for one in is_now - was}
            parted |= {(slug, group["displayName"], names[one], key, one) for one in was - is_now}
    assert {(one.system, one.user_name, one.directory_id) for one in lost.deactivations} == ended
    changes = {
        kind: {
            (one.system, one.group, one.user_name, one.group_id, one.directory_id)
            for one in lost.memberships
            if one.change == kind
        }
        for kind in ("added", "removed")
    }
    assert changes == {"added": joined, "removed": parted}
    assert {slug: sum(one[0] == slug for one in ended) for slug in source} == {
        "workforce": 5,
        "cloud": 26,
        "labs": 3,
        "crm": 2,
    }
    assert (len(joined), len(parted)) == (2, 3)
    assert planned_losses(company) == {(slug, name) for slug, name, _ in ended} | {
        (slug, name) for slug, _, name, _, _ in joined | parted
    }

    # Once more, from the file and then from nothing: the same, and no further change.
    assert lose(company=company, directories=told.directories, data=data, progress=quiet) == lost
    (data / "lost.json").unlink()
    assert lose(company=company, directories=told.directories, data=data, progress=quiet) == lost
    assert leave(**both, progress=quiet) == left
    assert ask_back(**both, progress=quiet) == asked
    assert told.all_of(told.directories) == after
    assert told.all_of(told.targets) == target
    told.fill()
    told.push()
    assert told.all_of(told.directories) == after
    assert told.all_of(told.targets) == target


def test_a_part_of_the_story_before_its_time_says_what_to_call(fresh: Story) -> None:
    both: dict[str, Any] = {
        "company": fresh.company,
        "directories": fresh.directories,
        "data": fresh.data,
        "progress": quiet,
    }
    with pytest.raises(ScimError, match=re.escape("call fill() first")):
        lose(**both)
    fresh.fill()
    with pytest.raises(ScimError, match=re.escape("call push() first")):
        ask_back(**both, targets=fresh.targets)
