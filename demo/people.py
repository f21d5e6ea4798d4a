"""The people of the fictional company: heads, leads and members of each team, with managers and employee numbers."""

import random
from collections.abc import Iterator, Sequence

from demo.names import FAMILY, GIVEN, ascii_of
from demo.nouns import Person
from demo.teams import (
    HALYARD_DEPARTMENTS,
    HALYARD_TEAMS,
    LABS_DEPARTMENTS,
    LABS_TEAMS,
    DepartmentPlan,
    TeamPlan,
)

HALYARD, LABS = "halyard", "halyard-labs"
LEAVERS, ASKED_BACK = 2, 2
_CONTRACTORS = 6


class _Names:
    """Draws full names, each once, also as user names: nobody shares one."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._taken: set[str] = set()

    def draw(self, domain: str) -> tuple[str, str, str]:
        """A given name, a family name and the user name `given.family@domain`."""
        while True:
            given, family = self._random.choice(GIVEN), self._random.choice(FAMILY)
            local = f"{ascii_of(given)}.{ascii_of(family)}"
            if local not in self._taken:
                self._taken.add(local)
                return given, family, f"{local}@{domain}"


class _Staff:
    """Hires the people of one tenant, numbering them as they come."""

    def __init__(self, *, names: _Names, tenant: str, domain: str, prefix: str) -> None:
        self._names, self._tenant, self._domain, self._prefix = names, tenant, domain, prefix
        self.hired: list[Person] = []

    def hire(self, *, title: str, department: str, team: str, manager: Person | None, leaves: bool = False) -> Person:
        given, family, user_name = self._names.draw(self._domain)
        number = len(self.hired) + 1
        person = Person(
            key=f"{self._prefix.lower()}{number:03}",
            tenant=self._tenant,
            given=given,
            family=family,
            user_name=user_name,
            title=title,
            department=department,
            team=team,
            employee_number=f"{self._prefix}{10_000 + number * 7}",
            manager=manager.key if manager else None,
            leaves=leaves,
        )
        self.hired.append(person)
        return person


def _organisation(
    staff: _Staff, *, chief_title: str, departments: Sequence[DepartmentPlan], teams: Sequence[TeamPlan], seed: str
) -> None:
    """One chief, a head for each department, and each team with its lead first."""
    titles = random.Random(seed)
    chief = staff.hire(title=chief_title, department="Executive", team="Executive", manager=None)
    heads = {
        plan.name: staff.hire(title=plan.head_title, department=plan.name, team="Executive", manager=chief)
        for plan in departments
    }
    for plan in teams:
        lead = staff.hire(
            title=f"{plan.name} Lead", department=plan.department, team=plan.name, manager=heads[plan.department]
        )
        for _ in range(plan.size - 1):
            title = titles.choice(plan.titles)
            staff.hire(title=title, department=plan.department, team=plan.name, manager=lead)


def employees() -> tuple[Person, ...]:
    """Everybody on the payroll of both tenants, the chief of each tenant first."""
    names = _Names("halyard names")
    freight = _Staff(names=names, tenant=HALYARD, domain="halyard.example", prefix="H")
    _organisation(
        freight,
        chief_title="Chief Executive Officer",
        departments=HALYARD_DEPARTMENTS,
        teams=HALYARD_TEAMS,
        seed="halyard titles",
    )
    labs = _Staff(names=names, tenant=LABS, domain="halyard-labs.example", prefix="L")
    _organisation(
        labs,
        chief_title="Managing Director",
        departments=LABS_DEPARTMENTS,
        teams=LABS_TEAMS,
        seed="labs titles",
    )
    return tuple(freight.hired + labs.hired)


def contractors() -> tuple[Person, ...]:
    """People of a partner who exist in the cloud platform only.

    The first LEAVERS leave and own machines, the last ASKED_BACK are ended and asked for again: events about them
    reach only the system whose plan trips anyway, and so push no other plan over the brake.
    """
    staff = _Staff(names=_Names("brightwater names"), tenant=HALYARD, domain="brightwater.example", prefix="C")
    for index in range(_CONTRACTORS):
        staff.hire(
            title="Migration Consultant",
            department="Engineering",
            team="Brightwater",
            manager=None,
            leaves=index < LEAVERS,
        )
    return tuple(staff.hired)


def of_team(people: Sequence[Person], team: str) -> Iterator[Person]:
    """The people of a team, its lead first."""
    return (person for person in people if person.team == team)


def lead_of(people: Sequence[Person], team: str) -> Person:
    """The lead of a team."""
    return next(of_team(people, team))
