"""The non-human identities of the fictional company: who owns each, and when it ends, relative to a given moment."""

import datetime as dt
import random
from collections.abc import Iterator, Sequence
from itertools import cycle

from demo.machines import CLOUD_MACHINES, LABS_MACHINES, MachinePlan
from demo.nouns import Machine, Person
from demo.people import HALYARD, LABS, of_team

RESTORE = "svc-restore"
OWNER_TEAM = "Integrations"
_OWNER_SHARE = 8

# Hours from now for what is due within 1, 7, 14 and 30 days, and for what has passed. Away from the limits, so that a
# demo that takes an hour to look at still shows the same bands.
_BANDS = {
    "past": (-20 * 24, -2 * 24),
    "1": (20, 22),
    "7": (2 * 24, 6 * 24),
    "14": (9 * 24, 13 * 24),
    "30": (17 * 24, 29 * 24),
    "far": (60 * 24, 400 * 24),
}
_CLOUD_BANDS = ("past", "past", "1", "7", "14", "14", "14", "30", "30", "30")
_LABS_BANDS = ("past", "1", "7", "14", "30", "30")
_OWNER_BANDS = {"svc-edi-outbound-staging": "30", "svc-customs-gateway-development": "7"}


class _Draft:
    """A machine whose owner and end are still to be decided."""

    def __init__(self, *, plan: MachinePlan, environment: str) -> None:
        suffix = "" if environment == plan.environments[0] else f"-{environment}"
        self.user_name = f"{plan.name}{suffix}"
        self.plan = plan
        self.environment = environment
        self.owner: str | None = None
        self.band = "far"


def _drafts(plans: Sequence[MachinePlan]) -> list[_Draft]:
    return [_Draft(plan=plan, environment=environment) for plan in plans for environment in plan.environments]


def _give_owners(drafts: Sequence[_Draft], people: Sequence[Person]) -> None:
    """Each team's machines go round among its lead and the next two."""
    turns: dict[str, Iterator[Person]] = {}
    for draft in drafts:
        team = draft.plan.team
        turns.setdefault(team, cycle(list(of_team(people, team))[:3]))
        draft.owner = next(turns[team]).key


def _finish(drafts: Sequence[_Draft], *, tenant: str, now: dt.datetime, dice: random.Random) -> tuple[Machine, ...]:
    hour = now.astimezone(dt.UTC).replace(minute=0, second=0, microsecond=0)
    return tuple(
        Machine(
            user_name=draft.user_name,
            tenant=tenant,
            kind=draft.plan.kind,
            purpose=draft.plan.purpose,
            environment=draft.environment,
            team=draft.plan.team,
            expires_at=hour + dt.timedelta(hours=dice.randint(*_BANDS[draft.band])),
            is_due=draft.band != "far",
            owner=draft.owner,
        )
        for draft in drafts
    )


def cloud_machines(people: Sequence[Person], contractors: Sequence[Person], *, now: dt.datetime) -> tuple[Machine, ...]:
    """What runs on the cloud platform: eight machines of the owner who signs in, four that nobody owns, three that
    leavers own, two of contractors who stay, and the rest with their teams."""
    dice = random.Random("halyard fleet")
    drafts = _drafts(CLOUD_MACHINES)
    _give_owners(drafts, people)
    lead, deputy = list(of_team(people, OWNER_TEAM))[:2]
    portfolio = [draft for draft in drafts if draft.plan.team == OWNER_TEAM]
    for draft in portfolio[_OWNER_SHARE:]:
        draft.owner = deputy.key
    del portfolio[_OWNER_SHARE:]
    for draft in portfolio:
        draft.owner = lead.key
        draft.band = _OWNER_BANDS.get(draft.user_name, "far")
    rest = [draft for draft in drafts if draft not in portfolio and draft.user_name != RESTORE]
    dice.shuffle(rest)
    pool = iter(rest)
    for _ in range(4):
        next(pool).owner = None
    leavers = [person for person in contractors if person.leaves]
    staying = [person for person in contractors if not person.leaves]
    for person in (leavers[0], leavers[1], leavers[0], staying[0], staying[1]):
        next(pool).owner = person.key
    for band in _CLOUD_BANDS:
        next(pool).band = band
    return _finish(drafts, tenant=HALYARD, now=now, dice=dice)


def labs_machines(people: Sequence[Person], *, now: dt.datetime) -> tuple[Machine, ...]:
    """What runs at Halyard Labs: two machines that nobody owns, the rest with their teams."""
    dice = random.Random("labs fleet")
    drafts = _drafts(LABS_MACHINES)
    _give_owners(drafts, people)
    rest = list(drafts)
    dice.shuffle(rest)
    pool = iter(rest)
    for _ in range(2):
        next(pool).owner = None
    for band in _LABS_BANDS:
        next(pool).band = band
    return _finish(drafts, tenant=LABS, now=now, dice=dice)
