"""A directory that loses what it should have told us: only a reading can find it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from accounts.models import Account, Finding, Membership
from provisioning.models import PlannedChange
from tests.fakes import directories
from tests.flows.drill import comparison

if TYPE_CHECKING:
    import datetime as dt

    from accounts.models import System, Tenant
    from tests.fakes.directories import FakeDirectory

PEOPLE, PAGE = 30, 5
SLOW = 0.03  # seconds that it takes for an answer
LOSSES = 5  # as many as the brake lets through in ten minutes
LEAVES = "person-20"  # who is out of the group in the end


def _person(number: int) -> str:
    return f"person-{number}"


@dataclass
class Place:
    """A directory that loses what it should have told us."""

    directory: FakeDirectory
    system: System
    remote: dict[str, str]
    group: str
    members: list[str]
    lost: int = 0

    @classmethod
    def made(cls, tenant: Tenant, directory: FakeDirectory, *, at: dt.datetime) -> Self:
        """The same people and one group on both sides. Needs a scope with a cause."""
        names = ["canary", *map(_person, range(PEOPLE))]
        remote = {name: directory.user(name) for name in names}
        members = [LEAVES, "person-21", "person-22", "person-23"]
        group = directory.group("Staff", *[remote[name] for name in members])
        system = directories.a_system(tenant, at=at, name="Entra", directory=directory, page_size=PAGE)
        here = {name: directories.known(system, name, at=at, remote_id=remote[name]) for name in names}
        directories.known_group(system, "Staff", *[here[name] for name in members], at=at, remote_id=group)
        directory.before = lambda _asked: time.sleep(SLOW)
        return cls(directory, system, remote, group, members)

    def lose(self) -> None:
        """One more person is inactive there, and at the last one is out of the group, and nobody tells us."""
        if self.lost < LOSSES - 1:
            self.directory.change(self.remote[_person(self.lost)], active=False)
        elif self.lost == LOSSES - 1:
            self.members.remove(LEAVES)
            self.directory.members(self.group, *[self.remote[name] for name in self.members])
        self.lost += 1

    def differences(self) -> list[str]:
        """What the directory did not tell was found by reading it, and set right once."""
        gone = [_person(n) for n in range(LOSSES - 1)]
        people = Account.objects.filter(user_name__startswith="person-")
        states = {a.user_name: (a.state, a.epoch, comparison.told_of(a.pk, comparison.ENDED)) for a in people}
        booked = {n: ("deprovisioned", 1, 1) if n in gone else ("active", 0, 0) for n in self.remote if n != "canary"}
        done = PlannedChange.objects.filter(plan__kind="reading", result="done").values_list("act", "label")
        reductions = [("deprovision", name) for name in gone] + [("remove_member", f"{LEAVES} from Staff")]
        found = Finding.objects.filter(system=self.system).values_list("kind", "account__user_name", "state")
        wrongs = [("status_differs", name, "resolved") for name in gone]
        wrongs += [("membership_differs", LEAVES, "resolved")]
        members = Membership.objects.filter(system=self.system, ended_at__isnull=True)
        return [
            *comparison.unequal("people of the directory", booked, states),
            *comparison.unequal("reductions", sorted(reductions), sorted(done)),
            *comparison.unequal("findings", sorted(wrongs), sorted(found)),
            *comparison.unequal(
                "members", sorted(self.members), sorted(members.values_list("account__user_name", flat=True))
            ),
        ]
