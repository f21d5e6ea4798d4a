"""The fictional company put together: which directory holds whom, in which groups, and who signs in.

Deterministic: two calls with the same `now` are equal, and another `now` changes only when machines end.
"""

import datetime as dt
from collections.abc import Iterable, Sequence

from demo.fleet import OWNER_TEAM, RESTORE, cloud_machines, labs_machines
from demo.nouns import Company, DirectorySpec, Login, Machine, Person, Team, TenantSpec
from demo.people import ASKED_BACK, HALYARD, LABS, contractors, employees, lead_of, of_team
from demo.teams import HALYARD_DEPARTMENTS, HALYARD_TEAMS, LABS_TEAMS

TENANTS = (
    TenantSpec(slug=HALYARD, title="Halyard Freight", time_zone="Europe/Amsterdam"),
    TenantSpec(slug=LABS, title="Halyard Labs", time_zone="America/New_York"),
)

# Resources on one page of a directory's answer. The old CRM's is small, so that its outage strikes in mid-reading.
PAGE_LIMITS = {"workforce": 200, "cloud": 200, "labs": 200, "crm": 20}

_LOGIN_TEAMS = {
    "security": "Identity and Access",
    "second security": "Security Operations",
    "owner": OWNER_TEAM,
    "auditor": "Trade Compliance",
    "administrator": "Workplace IT",
}


def _names(people: Iterable[Person | Machine]) -> tuple[str, ...]:
    return tuple(one.user_name for one in people)


def _team_groups(people: Sequence[Person], teams: Iterable[str]) -> tuple[Team, ...]:
    return tuple(Team(name=team, members=_names(of_team(people, team))) for team in teams)


def _workforce(people: Sequence[Person]) -> DirectorySpec:
    departments = tuple(
        Team(name=f"All {plan.name}", members=_names(person for person in people if person.department == plan.name))
        for plan in HALYARD_DEPARTMENTS
    )
    it, access, payroll = (list(of_team(people, team)) for team in ("Workplace IT", "Identity and Access", "Payroll"))
    privileged = (
        Team(name="Domain Administrators", members=_names(it[:3]), is_privileged=True),
        Team(name="Security Administrators", members=_names(access[:4]), is_privileged=True),
        Team(name="Payroll Approvers", members=_names(payroll[:2]), is_privileged=True),
    )
    return DirectorySpec(
        slug="workforce",
        name="Workforce",
        tenant=HALYARD,
        title="Everybody employed at Halyard Freight, and their teams",
        people=tuple(people),
        machines=(),
        groups=departments + _team_groups(people, (plan.name for plan in HALYARD_TEAMS)) + privileged,
        canary=people[0].user_name,
        page_limit=PAGE_LIMITS["workforce"],
        keeps_managers=True,
    )


def _cloud(people: Sequence[Person], partners: Sequence[Person], machines: Sequence[Machine]) -> DirectorySpec:
    platform = list(of_team(people, "Platform"))
    # Nobody who signs in to Rollcall is here: the lead of Identity and Access is one of them.
    access = list(of_team(people, "Identity and Access"))[1:]
    data = list(of_team(people, "Data"))[:3]
    groups = (
        Team(name="org-owners", members=_names([platform[0], *access[:2]]), is_privileged=True),
        Team(name="break-glass", members=_names([platform[1], access[0]]), is_privileged=True),
        Team(name="platform-admins", members=_names(platform)),
        Team(name="access-reviewers", members=_names(access)),
        Team(name="contractors", members=_names(partners)),
        Team(name="deployers", members=_names(m for m in machines if m.team == "Platform" and m.kind == "service")),
        Team(name="data-pipelines", members=_names(m for m in machines if m.team == "Data") + _names(data)),
        Team(name="partner-gateways", members=_names(m for m in machines if m.team == OWNER_TEAM)),
        Team(name="agents", members=_names(m for m in machines if m.kind == "agent")),
        Team(name="kiosks", members=_names(m for m in machines if m.kind == "shared")),
    )
    return DirectorySpec(
        slug="cloud",
        name="Cloud platform",
        tenant=HALYARD,
        title="What runs in the cloud, and the few people who administer it",
        people=(*platform, *access, *data, *partners),
        machines=tuple(machines),
        groups=groups,
        canary=platform[0].user_name,
        page_limit=PAGE_LIMITS["cloud"],
    )


def _labs(people: Sequence[Person], machines: Sequence[Machine]) -> DirectorySpec:
    platform = list(of_team(people, "Lab Platform"))
    groups = (
        *_team_groups(people, (plan.name for plan in LABS_TEAMS)),
        Team(name="lab-owners", members=_names([people[0], *platform[:2]]), is_privileged=True),
        Team(name="experiment-runners", members=_names(m for m in machines if m.kind == "workload")),
        Team(name="agents", members=_names(m for m in machines if m.kind == "agent")),
    )
    return DirectorySpec(
        slug="labs",
        name="Labs directory",
        tenant=LABS,
        title="People and machines of Halyard Labs",
        people=tuple(people),
        machines=tuple(machines),
        groups=groups,
        canary=people[0].user_name,
        page_limit=PAGE_LIMITS["labs"],
        keeps_managers=True,
    )


def _crm(people: Sequence[Person]) -> DirectorySpec:
    sales = [person for person in people if person.department == "Sales"]
    care = list(of_team(people, "Care Benelux"))
    operations = list(of_team(people, "Sales Operations"))
    groups = (
        Team(name="crm-users", members=_names([*sales, *care])),
        Team(name="crm-managers", members=_names(lead_of(people, team) for team in ("Key Accounts", "Mid Market"))),
        Team(name="crm-administrators", members=_names(operations[:2]), is_privileged=True),
    )
    return DirectorySpec(
        slug="crm",
        name="Old CRM",
        tenant=HALYARD,
        title="The customer database that is being replaced, and answers only half of the time",
        people=(*sales, *care),
        machines=(),
        groups=groups,
        canary=operations[0].user_name,
        page_limit=PAGE_LIMITS["crm"],
    )


def build_company(*, now: dt.datetime) -> Company:
    """The whole company, with machines that end relative to `now` (aware; a ValueError otherwise)."""
    if now.tzinfo is None:
        raise ValueError("now must be an aware datetime")
    staff, partners = employees(), contractors()
    freight = tuple(person for person in staff if person.tenant == HALYARD)
    labs = tuple(person for person in staff if person.tenant == LABS)
    in_cloud = cloud_machines(freight, partners, now=now)
    in_labs = labs_machines(labs, now=now)
    leads = {role: lead_of(freight, team) for role, team in _LOGIN_TEAMS.items()}
    return Company(
        tenants=TENANTS,
        people=(*freight, *partners, *labs),
        machines=(*in_cloud, *in_labs),
        directories=(_workforce(freight), _cloud(freight, partners, in_cloud), _labs(labs, in_labs), _crm(freight)),
        logins=tuple(Login(role=role, person=one.key, user_name=one.user_name) for role, one in leads.items()),
        asked_back=(*_names(partners[-ASKED_BACK:]), RESTORE),
    )
