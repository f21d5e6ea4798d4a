"""The nouns of the fictional company, all frozen: people, machines, groups, directories, and the company itself."""

import dataclasses
import datetime as dt
from functools import cached_property


@dataclasses.dataclass(frozen=True)
class TenantSpec:
    """One organisation of the company; `time_zone` is an IANA name."""

    slug: str
    title: str
    time_zone: str


@dataclasses.dataclass(frozen=True)
class Person:
    """Somebody who works for the company. `key` names them everywhere in the story, `manager` is another's key."""

    key: str
    tenant: str
    given: str
    family: str
    user_name: str
    title: str
    department: str
    team: str
    employee_number: str
    manager: str | None
    leaves: bool = False

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"


@dataclasses.dataclass(frozen=True)
class Machine:
    """A non-human identity; `owner` is the key of a person of the same tenant, or None where nobody answers for it.

    `is_due`: its end is within 30 days, or past.
    """

    user_name: str
    tenant: str
    kind: str
    purpose: str
    environment: str
    team: str
    expires_at: dt.datetime
    is_due: bool
    owner: str | None


@dataclasses.dataclass(frozen=True)
class Team:
    """A group as a directory keeps it; `members` are user names of the same directory."""

    name: str
    members: tuple[str, ...]
    is_privileged: bool = False


@dataclasses.dataclass(frozen=True)
class DirectorySpec:
    """What one identity provider holds. `canary` is the user name that every reading must show; only a system of record
    for its people `keeps_managers`."""

    slug: str
    name: str
    tenant: str
    title: str
    people: tuple[Person, ...]
    machines: tuple[Machine, ...]
    groups: tuple[Team, ...]
    canary: str
    page_limit: int
    keeps_managers: bool = False

    @property
    def base_path(self) -> str:
        return f"/{self.slug}/v2"

    @property
    def user_names(self) -> tuple[str, ...]:
        """Everybody and everything in it, people first."""
        return tuple(person.user_name for person in self.people) + tuple(m.user_name for m in self.machines)


@dataclasses.dataclass(frozen=True)
class Login:
    """Somebody of the company who signs in to Rollcall, in this role."""

    role: str
    person: str
    user_name: str


@dataclasses.dataclass(frozen=True)
class Company:
    """All of it. `asked_back` are the user names (all in "cloud") that are ended and asked for again."""

    tenants: tuple[TenantSpec, ...]
    people: tuple[Person, ...]
    machines: tuple[Machine, ...]
    directories: tuple[DirectorySpec, ...]
    logins: tuple[Login, ...]
    asked_back: tuple[str, ...]

    def person(self, key: str) -> Person:
        """The person of this key; a KeyError where there is none."""
        return self._by_key[key]

    def directory(self, slug: str) -> DirectorySpec:
        """The directory of this slug; a KeyError names the slug where there is none."""
        for directory in self.directories:
            if directory.slug == slug:
                return directory
        raise KeyError(slug)

    @cached_property
    def _by_key(self) -> dict[str, Person]:
        return {person.key: person for person in self.people}

    @cached_property
    def protected(self) -> frozenset[str]:
        """User names that the story never loses: who signs in, canaries, privileged members, owners, managers, and
        whatever another part of the story is about."""
        keys = {login.person for login in self.logins} | {machine.owner for machine in self.machines if machine.owner}
        keys |= {person.manager for person in self.people if person.manager}
        keys |= {person.key for person in self.people if person.leaves}
        names = {self.person(key).user_name for key in keys} | set(self.asked_back)
        names |= {directory.canary for directory in self.directories}
        for directory in self.directories:
            for group in directory.groups:
                names.update(group.members if group.is_privileged else ())
        owner = next(login.person for login in self.logins if login.role == "owner")
        return frozenset(names | {machine.user_name for machine in self.machines if machine.owner == owner})
