"""A directory that speaks through a channel which loses, doubles, delays, reorders and fails, and is then read whole.

Whatever happened on the way: what the directory shows explicitly as reduced is reduced here, nothing that is on or in a
group here is off or out there, and every other difference has a finding. A second reading finds nothing new.
"""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models.finding import Finding
from accounts.models.group import Membership
from audit.scope import scope
from provisioning import execution, reconciliation
from provisioning.models import Plan, Run
from provisioning.models.shadow import Shadow
from tests.conftest import a_cause
from tests.factories.scim import PATCH_URN, connect
from tests.fakes.directories import FakeDirectory, a_system, serving
from tests.laws.world import law

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from accounts.models import Tenant

pytestmark = [pytest.mark.law, pytest.mark.django_db]

USERS = 3
HOUR, SECOND = dt.timedelta(hours=1), dt.timedelta(seconds=1)
_number = count(1)

Step = tuple[str, int]
user = st.integers(0, USERS - 1)
"""What happens there, each of which makes one event, and what the channel does with the events that wait in it."""
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["make", "rename", "disable", "enable", "delete", "join", "leave"]), user),
        st.tuples(st.sampled_from(["deliver", "deliver", "deliver", "lose", "double", "fail"]), st.integers(0, 20)),
    ),
    min_size=6,
    max_size=26,
)


class World:
    """The directory, what is on its way, and what we hold."""

    def __init__(self, tenant: Tenant, directory: FakeDirectory) -> None:
        self.tenant, self.directory = tenant, directory
        with scope(tenant=tenant.pk, cause=a_cause()):
            self.system = a_system(tenant, at=dt.datetime.now(dt.UTC), directory=directory)
        self.idp = connect(tenant, of=self.system)
        self.remote: dict[int, str] = {}
        self.active: dict[int, bool] = {}
        self.inside: set[int] = set()
        self.waiting: list[Callable[[], None]] = []
        canary = directory.user("canary")
        self.idp.user("canary", externalId=canary)
        self.remote_group = directory.group("staff")
        self.group = self.idp.group("staff", externalId=self.remote_group)

    # -- there

    def happen(self, what: str, index: int) -> None:
        """One thing at the directory, if it can happen there, and the event that says so."""
        is_there = index in self.remote
        if what == "make" and not is_there:
            self.remote[index] = self.directory.user(f"u{index}")
            self.active[index] = True
            self.waiting.append(self._create(f"u{index}", self.remote[index]))
        elif is_there and what == "rename":
            self.directory.change(self.remote[index], displayName=f"U {index}")
            self._patch(index, {"op": "replace", "path": "displayName", "value": f"U {index}"})
        elif is_there and what in {"disable", "enable"}:
            self.active[index] = what == "enable"
            self.directory.change(self.remote[index], active=self.active[index])
            self._patch(index, {"op": "replace", "path": "active", "value": self.active[index]})
        elif is_there and what == "delete":
            self._member(index, joins=False) if index in self.inside else None
            self.directory.delete(self.remote[index])
            self.waiting.append(self._delete(self.remote.pop(index)))
            del self.active[index]
        elif is_there and what in {"join", "leave"} and (index in self.inside) != (what == "join"):
            self._member(index, joins=what == "join")

    def _member(self, index: int, *, joins: bool) -> None:
        (self.inside.add if joins else self.inside.discard)(index)
        self.directory.members(self.remote_group, *[self.remote[one] for one in sorted(self.inside)])
        remote = self.remote[index]

        def send() -> None:
            ours = self._ours(remote)
            add = {"op": "add", "path": "members", "value": [{"value": ours}]}
            out = {"op": "remove", "path": f'members[value eq "{ours}"]'}
            if ours:
                self._call("PATCH", f"/Groups/{self.group}", add if joins else out)

        self.waiting.append(send)

    # -- on the way

    def _ours(self, remote: str) -> str:
        """By which id we know it: a client asks, as they all do."""
        found = self.idp.get(f'/Users?filter=externalId eq "{remote}"').body["Resources"]
        return str(found[0]["id"]) if found else ""

    def _call(self, method: str, path: str, *operations: Any) -> None:
        body = {"schemas": [PATCH_URN], "Operations": list(operations)} if operations else None
        answer = self.idp.call(method, path, body)
        assert answer.status < 500, answer

    def _create(self, name: str, remote: str) -> Callable[[], None]:
        def send() -> None:
            schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"]
            answer = self.idp.post("/Users", {"schemas": schemas, "userName": name, "externalId": remote})
            assert answer.status in {201, 409}, answer

        return send

    def _patch(self, index: int, operation: dict[str, Any]) -> None:
        remote = self.remote[index]

        def send() -> None:
            if ours := self._ours(remote):
                self._call("PATCH", f"/Users/{ours}", operation)

        self.waiting.append(send)

    def _delete(self, remote: str) -> Callable[[], None]:
        def send() -> None:
            if ours := self._ours(remote):
                self._call("DELETE", f"/Users/{ours}")

        return send

    def channel(self, what: str, place: int) -> None:
        """What the channel does with one of those that wait: not always the first, so that they come in another order."""
        if not self.waiting:
            return
        place %= len(self.waiting)
        match what:
            case "lose":
                del self.waiting[place]
            case "double":
                self.waiting.append(self.waiting[place])
            case "fail":  # it arrived, and its sender has no answer: it will be sent again
                self.waiting[place]()
            case _:
                self.waiting.pop(place)()

    # -- read

    def read(self, *, after: dt.timedelta) -> Run:
        """A complete reading, and whatever it wants and may do."""
        now = dt.datetime.now(dt.UTC) + after
        clock: Iterator[dt.datetime] = (now + n * SECOND for n in count())
        with scope(tenant=self.tenant.pk, cause=a_cause()):
            run = reconciliation.start(system=self.system, started_by="a test", at=now)
        assert reconciliation.advance(tenant=self.tenant.pk, run_id=run.pk, clock=lambda: next(clock))
        with scope(tenant=self.tenant.pk):
            run = Run.objects.get(pk=run.pk)
            plans = list(Plan.objects.filter(run=run).values_list("pk", "state"))
        for pk, state in plans:
            assert state == "cleared"
            execution.advance(
                tenant=self.tenant.pk, plan_id=pk, clock=lambda: next(clock), go_on=lambda: True,
                then=reconciliation.after_plan,
            )  # fmt: skip
        assert run.state == "closed", run.problem
        return run

    def here(self) -> tuple[dict[str, str], set[str]]:
        """Of those whom we know by their remote ids: the state of each, and who is in the group."""
        with scope(tenant=self.tenant.pk):
            living = Shadow.objects.filter(system=self.system, resource_type="User", ended_at__isnull=True)
            known = {one.external_id: one for one in living.select_related("account").exclude(name="canary")}
            refs = Membership.objects.filter(system=self.system, ended_at__isnull=True).values_list(
                "origin_ref", flat=True
            )
            inside = set(refs)
        states = {remote: one.account.state for remote, one in known.items() if one.account}
        return states, {remote for remote, one in known.items() if one.pk in inside}

    def findings(self) -> dict[str, int]:
        """How many are open, by kind."""
        with scope(tenant=self.tenant.pk):
            open_ones = Finding.objects.filter(state="open").exclude(kind__in=["not_measured", "mass_reduction"])
            kinds = list(open_ones.values_list("kind", flat=True))
        return {kind: kinds.count(kind) for kind in set(kinds)}


@law(12)
@given(taken=steps)
def test_whatever_the_channel_does_a_complete_reading_brings_it_right_or_says_what_differs(
    make_tenant: Callable[..., Tenant], taken: list[Step]
) -> None:
    with ExitStack() as stack:
        directory = stack.enter_context(serving())
        world = World(make_tenant(f"channel-{next(_number)}"), directory)
        for what, index in taken:
            if what in {"deliver", "lose", "double", "fail"}:
                world.channel(what, index)
            else:
                world.happen(what, index)
        # What is still on its way is late: it is read first, an hour after the last event, so that no brake counts both.
        world.read(after=HOUR)

        there = {world.remote[index]: is_active for index, is_active in world.active.items()}
        inside_there = {world.remote[index] for index in world.inside}
        states, inside_here = world.here()
        assert {
            remote for remote, is_active in there.items() if not is_active and states.get(remote) == "active"
        } == set()
        assert inside_here & there.keys() <= inside_there

        wanted = {
            "unknown_here": len(there.keys() - states.keys()),
            "missing_there": len(states.keys() - there.keys()),
            # Only a word of its own gives access: a reading says that one is on there and off here.
            "still_active": sum(
                is_active and states.get(remote) == "deprovisioned" for remote, is_active in there.items()
            ),
            "membership_differs": len((inside_there & states.keys()) - inside_here),
        }
        found = world.findings()
        assert {kind: found.get(kind, 0) for kind in wanted} == wanted

        again = world.read(after=2 * HOUR)
        assert {name: again.counts.get(name, 0) for name in ("opened", "wanted")} == {"opened": 0, "wanted": 0}
        assert again.counts["users"] == len(there) + 1
        assert world.findings() == found
        assert world.here() == (states, inside_here)
