"""What happens at Halyard: some leave, some are asked for again, some changes get lost, and one directory breaks down.

Each part leaves a file in the data folder and does nothing when called again.
"""

import dataclasses
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from demo.client import Client, Endpoint, ScimError
from demo.files import read_object, write_json
from demo.nouns import Company, DirectorySpec
from demo.push import IdMap
from demo.work import Progress


@dataclasses.dataclass(frozen=True)
class Losses:
    """How much one directory loses: deactivations of people and of machines, removals from and additions to groups."""

    people: int = 0
    machines: int = 0
    removals: int = 0
    additions: int = 0


# The brake trips on more than 20 changes, or on more than 5 that are more than 2 % of the accounts. Seven reductions of
# 352 people stay below, four of 96 at the labs too, and 26 of the cloud platform's trip it. The old CRM's are never read.
LOSSES = {
    "workforce": Losses(people=5, removals=2, additions=1),
    "cloud": Losses(machines=26),
    "labs": Losses(people=2, machines=1, removals=1, additions=1),
    "crm": Losses(people=2),
}

OUTAGES = {"crm": {"after_start_index": 1, "status": 503}}


@dataclasses.dataclass(frozen=True)
class LostDeactivation:
    """An account that is off in its directory, and Rollcall was not told."""

    system: str
    user_name: str
    directory_id: str


@dataclasses.dataclass(frozen=True)
class LostMembership:
    """A membership that was "removed" or "added" in its directory, and Rollcall was not told."""

    system: str
    group: str
    user_name: str
    change: str
    group_id: str
    directory_id: str


@dataclasses.dataclass(frozen=True)
class Lost:
    """All that was lost, exactly."""

    deactivations: tuple[LostDeactivation, ...]
    memberships: tuple[LostMembership, ...]


@dataclasses.dataclass(frozen=True)
class Asked:
    """What Rollcall was told about an account, and whether it answered that the account is active now."""

    system: str
    user_name: str
    is_active: bool


def begin_outage(*, data: Path) -> None:
    """The old CRM answers 503 from its second page on, at once and until DIR/outages.json is deleted.

    Only after `push`, which has to read that directory itself.
    """
    write_json(data / "outages.json", OUTAGES)


# -- Told to Rollcall ----------------------------------------------------------------------------------------------


def leave(
    *,
    company: Company,
    directories: Mapping[str, Endpoint],
    targets: Mapping[str, Endpoint],
    data: Path,
    progress: Progress = print,
) -> tuple[Asked, ...]:
    """The leavers, who own machines, are ended in their directory and in Rollcall."""
    leavers = [person.user_name for person in company.people if person.leaves]
    told = _Told(slug="cloud", file=data / "left.json", directories=directories, targets=targets, data=data)
    asked = told.to_all(leavers, (False,))
    progress(f"{len(asked)} people have left")
    return asked


def ask_back(
    *,
    company: Company,
    directories: Mapping[str, Endpoint],
    targets: Mapping[str, Endpoint],
    data: Path,
    progress: Progress = print,
) -> tuple[Asked, ...]:
    """Two people and a service account are ended, and then asked for again: reactivations that wait for people.

    The owner of the service account must have accepted before; otherwise it was never active, and nothing has to wait.
    """
    told = _Told(slug="cloud", file=data / "asked.json", directories=directories, targets=targets, data=data)
    asked = told.to_all(company.asked_back, (False, True))
    progress(f"{len(asked)} accounts were ended and asked for again")
    return asked


class _Told:
    """Changes of `active` that reach both the directory and Rollcall, each account once."""

    def __init__(
        self,
        *,
        slug: str,
        file: Path,
        directories: Mapping[str, Endpoint],
        targets: Mapping[str, Endpoint],
        data: Path,
    ) -> None:
        self._slug, self._file = slug, file
        self._directory, self._target = directories[slug], targets[slug]
        self._ids = IdMap(data=data, slug=slug).ids

    def to_all(self, user_names: Sequence[str], values: Sequence[bool]) -> tuple[Asked, ...]:
        """Set `active` to each of the values in turn, first in the directory, then in Rollcall."""
        answers: dict[str, Any] = read_object(self._file) or {}
        with Client(self._directory) as directory, Client(self._target) as target:
            for user_name in user_names:
                if user_name in answers:
                    continue
                resource = _known(directory, "Users", "userName", user_name)
                answer: dict[str, Any] = {}
                for value in values:
                    directory.patch(f"Users/{resource['id']}", _active(value=value))
                    answer = target.patch(f"Users/{self._target_id(resource)}", _active(value=value))
                answers[user_name] = answer.get("active") is True
                write_json(self._file, answers)
        return tuple(Asked(system=self._slug, user_name=name, is_active=answers[name]) for name in user_names)

    def _target_id(self, resource: dict[str, Any]) -> str:
        try:
            return self._ids[resource["id"]]
        except KeyError as error:
            raise ScimError(f"{self._slug}: {resource['userName']} was not provisioned; call push() first") from error


# -- Lost on the way -----------------------------------------------------------------------------------------------


def lose(*, company: Company, directories: Mapping[str, Endpoint], data: Path, progress: Progress = print) -> Lost:
    """Change the directories only, and tell nobody. Returns exactly what was changed; also in DIR/lost.json."""
    file = data / "lost.json"
    kept = read_object(file)
    if kept is not None:
        return _lost_of(kept)
    deactivations: list[LostDeactivation] = []
    memberships: list[LostMembership] = []
    for slug, losses in LOSSES.items():
        directory = company.directory(slug)
        with Client(directories[slug]) as client:
            ended = choose_ended(company, directory, losses)
            deactivations += [_end(client, user_name) for user_name in ended]
            chosen = choose_memberships(company, directory, losses, ended=ended)
            memberships += [_change(client, *change) for change in chosen]
    lost = Lost(deactivations=tuple(deactivations), memberships=tuple(memberships))
    write_json(file, dataclasses.asdict(lost))
    progress(f"lost on the way: {len(deactivations)} deactivations, {len(memberships)} changes of groups")
    return lost


def planned_losses(company: Company) -> frozenset[tuple[str, str]]:
    """The system and user name of everybody whom `lose` is about, for who must leave them alone before."""
    planned = set[tuple[str, str]]()
    for slug, losses in LOSSES.items():
        directory = company.directory(slug)
        ended = choose_ended(company, directory, losses)
        moved = choose_memberships(company, directory, losses, ended=ended)
        planned |= {(slug, user_name) for user_name in (*ended, *(user_name for _, user_name, _ in moved))}
    return frozenset(planned)


def choose_ended(company: Company, directory: DirectorySpec, losses: Losses) -> tuple[str, ...]:
    """Whose deactivation this directory loses; always the same ones.

    People who are in no other directory of the tenant, except for the old CRM, which shares all of its people; machines
    with an owner who stays and an end that is far off, so that each has one thing to tell about.
    """
    others = [other for other in company.directories if directory.slug not in {other.slug, "crm"}]
    elsewhere = {user_name for other in others for user_name in other.user_names}
    people = [person.user_name for person in directory.people if person.user_name not in elsewhere]
    dice = random.Random(f"lost {directory.slug}")
    chosen = dice.sample(_free(company, people), losses.people)
    return tuple(chosen + dice.sample(_free(company, _settled_machines(company, directory)), losses.machines))


def choose_memberships(
    company: Company, directory: DirectorySpec, losses: Losses, *, ended: Iterable[str]
) -> list[tuple[str, str, str]]:
    """Which changes of groups this directory loses, as (group, user name, "removed" or "added"); always the same ones.

    None of a privileged group, and each about another person.
    """
    dice = random.Random(f"lost groups {directory.slug}")
    people = set(_free(company, [person.user_name for person in directory.people])) - set(ended)
    groups = [group for group in directory.groups if not group.is_privileged]
    dice.shuffle(groups)
    removals: list[tuple[str, str, str]] = []
    additions: list[tuple[str, str, str]] = []
    for group in groups:
        inside = sorted(people & set(group.members))
        outside = sorted(people - set(group.members))
        if len(removals) < losses.removals and inside:
            user_name = dice.choice(inside)
            removals.append((group.name, user_name, "removed"))
        elif len(additions) < losses.additions and outside:
            user_name = dice.choice(outside)
            additions.append((group.name, user_name, "added"))
        else:
            continue
        people.discard(user_name)
    return removals + additions


def _free(company: Company, user_names: Iterable[str]) -> list[str]:
    return sorted(set(user_names) - company.protected)


def _settled_machines(company: Company, directory: DirectorySpec) -> list[str]:
    return [
        machine.user_name
        for machine in directory.machines
        if machine.owner is not None and not company.person(machine.owner).leaves and not machine.is_due
    ]


def _known(client: Client, path: str, attribute: str, value: str) -> dict[str, Any]:
    found = client.find(path, attribute, value)
    if found is None:
        raise ScimError(f"{client.slug}: there is no {attribute} {value!r} at {path}; call fill() first")
    return found


def _active(*, value: bool) -> dict[str, Any]:
    return {"op": "replace", "path": "active", "value": value}


def _end(client: Client, user_name: str) -> LostDeactivation:
    found = _known(client, "Users", "userName", user_name)
    client.patch(f"Users/{found['id']}", _active(value=False))
    return LostDeactivation(system=client.slug, user_name=user_name, directory_id=found["id"])


def _change(client: Client, group: str, user_name: str, change: str) -> LostMembership:
    member = _known(client, "Users", "userName", user_name)["id"]
    found = _known(client, "Groups", "displayName", group)
    is_member = member in {one["value"] for one in found.get("members") or ()}
    # Asked first, so that a story that was cut off half-way can be told again.
    if change == "removed" and is_member:
        client.patch(f"Groups/{found['id']}", {"op": "remove", "path": f'members[value eq "{member}"]'})
    elif change == "added" and not is_member:
        value = [{"value": member, "type": "User"}]
        client.patch(f"Groups/{found['id']}", {"op": "add", "path": "members", "value": value})
    return LostMembership(
        system=client.slug,
        group=group,
        user_name=user_name,
        change=change,
        group_id=found["id"],
        directory_id=member,
    )


def _lost_of(kept: dict[str, Any]) -> Lost:
    return Lost(
        deactivations=tuple(LostDeactivation(**one) for one in kept["deactivations"]),
        memberships=tuple(LostMembership(**one) for one in kept["memberships"]),
    )
