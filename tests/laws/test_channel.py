"""A directory that speaks through a channel which loses, doubles, delays, reorders and fails, and is then read whole.

Whatever happened on the way: what the directory shows explicitly as reduced is reduced here, nothing that is on or in a
group here is off or out there, and every other difference has a finding. A second reading finds nothing new.

The world keeps its own books of what became of each event, and each repair and finding is attributed to that. Where the
channel leaves the same rows behind in two ways, the books allow both words (`Books.blamed` says when).
"""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models.finding import Finding
from accounts.models.group import Membership
from audit.scope import scope
from provisioning import execution, reconciliation
from provisioning.models import Plan, PlannedChange, Run
from provisioning.models.plan import ChangeAct
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
# What each kind of finding is about.
ASPECTS = {
    "status_differs": "active", "still_active": "active", "field_differs": "name", "membership_differs": "inside",
    "unknown_here": "exists", "missing_there": "exists",
}  # fmt: skip

Step = tuple[str, int, str]
HAPPEN = ("make", "rename", "disable", "enable", "delete", "join", "leave")
FATES = ("deliver", "deliver", "deliver", "wait", "wait", "lose", "double", "fail")
"""What happens there, each of which makes one event, and what the channel does with it at once; or with one of those that
wait in it, not always the first."""
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(HAPPEN), st.integers(0, USERS - 1), st.sampled_from(FATES)),
        st.tuples(st.sampled_from(HAPPEN[2:4] + HAPPEN[5:]), st.integers(0, USERS - 1), st.sampled_from(FATES)),
        st.tuples(
            st.just("channel"), st.integers(0, 20), st.sampled_from(["deliver", "deliver", "lose", "double", "fail"])
        ),
    ),
    min_size=8,
    max_size=30,
)


@dataclass(frozen=True)
class Event:
    """One thing that happened there: `value` is what became of that aspect of that resource by it."""

    remote: str
    aspect: str
    value: bool
    send: Callable[[], int | None] = field(compare=False, repr=False)
    """Answers with the status, or None where the client found nothing to send it to: then nothing was sent."""


@dataclass(frozen=True)
class Arrival:
    """One event that arrived. `is_idle`: here it was so already; `status` is what was answered."""

    event: Event
    is_idle: bool
    status: int


@dataclass
class Books:
    """What happened there, and what arrived here, each in its own order; and what we must hold by that alone."""

    happened: list[Event] = field(default_factory=list)
    arrived: list[Arrival] = field(default_factory=list)
    held: dict[tuple[str, str], bool] = field(default_factory=dict)

    def arrives(self, event: Event) -> None:
        """One request, as a client sends it."""
        status = event.send()
        if status is None:
            return
        key = (event.remote, event.aspect)
        self.arrived.append(Arrival(event, self.held.get(key) == event.value, status))
        if status < 400:
            self.held[key] = event.value
            if event.aspect == "exists":
                # One that is made again begins anew; what is made is asked to be on.
                asked = [one for one in self.happened if (one.remote, one.aspect) == (event.remote, "active")][:1]
                self.arrived += [Arrival(one, is_idle=False, status=status) for one in asked if event.value]
                self.held |= {(event.remote, "active"): event.value, (event.remote, "inside"): False}

    def blamed(self, remote: str, aspect: str) -> set[str]:
        """What went wrong with the last event about that, so that we did not know it.

        * Refused, where it arrived and the answer was so.
        * Held, where one that says the same was the last to arrive: it waits for people.
        * Late, where it arrived, did nothing, and an older one came after it. Where it had had an effect, the same
          rows would be there if one more pair had happened, the last one lost: then lost is said.
        * Lost, where it never arrived. Where an older one that says the same had arrived and done nothing, the same rows
          would be there if it had been the last one: then late is said.
        """
        last = [one for one in self.happened if (one.remote, one.aspect) == (remote, aspect)][-1]
        arrived = [one for one in self.arrived if (one.event.remote, one.event.aspect) == (remote, aspect)]
        says_so = [n for n, one in enumerate(arrived) if one.event.value == last.value]
        opposed = max((n for n, one in enumerate(arrived) if one.event.value != last.value), default=-1)
        if says_so and arrived[says_so[-1]].status == 409:
            return {"refused"}
        if says_so and says_so[-1] > opposed:
            return {"held"}
        came = [n for n in says_so if arrived[n].event is last]
        idle = [n for n in says_so if arrived[n].is_idle]
        if aspect == "exists":
            return {"late_event" if came else "lost_event"}
        if came:
            return {"late_event"} if idle else {"lost_event", "late_event"}
        return {"lost_event", "late_event"} if idle else {"lost_event"}


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
        self.waiting: list[Event] = []
        self.books = Books()
        self.canary = directory.user("canary")
        ours = self.idp.user("canary", externalId=self.canary)
        # It never leaves: a directory that shows no member of any group is not believed about members.
        self.remote_group = directory.group("staff")
        directory.members(self.remote_group, self.canary)
        self.group = self.idp.group("staff", ours, externalId=self.remote_group)
        for index in range(USERS - 1):
            self.happen("make", index)
            self.happen("join", index)
        self.late()
        # What is there from now on and not here, its system has kept from us.
        self.read(after=dt.timedelta())

    # -- there

    def happen(self, what: str, index: int) -> None:
        """One thing at the directory, if it can happen there, and the event that says so."""
        is_there = index in self.remote
        if what == "make" and not is_there:
            self.remote[index] = self.directory.user(f"u{index}")
            self.active[index] = True
            self._create(f"u{index}", self.remote[index])
        elif is_there and what == "rename":
            self.directory.change(self.remote[index], displayName=f"U {index}")
            self._patch(index, "name", {"op": "replace", "path": "displayName", "value": f"U {index}"}, value=True)
        elif is_there and what in {"disable", "enable"}:
            self.active[index] = what == "enable"
            self.directory.change(self.remote[index], active=self.active[index])
            operation = {"op": "replace", "path": "active", "value": self.active[index]}
            self._patch(index, "active", operation, value=self.active[index])
        elif is_there and what == "delete":
            self._member(index, joins=False) if index in self.inside else None
            self.directory.delete(self.remote[index])
            self._delete(self.remote.pop(index))
            del self.active[index]
        elif is_there and what in {"join", "leave"} and (index in self.inside) != (what == "join"):
            self._member(index, joins=what == "join")

    def _tell(self, remote: str, aspect: str, *, value: bool, send: Callable[[], int | None]) -> None:
        event = Event(remote, aspect, value, send)
        self.books.happened.append(event)
        self.waiting.append(event)

    def _member(self, index: int, *, joins: bool) -> None:
        (self.inside.add if joins else self.inside.discard)(index)
        inside = [self.remote[one] for one in sorted(self.inside)]
        self.directory.members(self.remote_group, self.canary, *inside)
        remote = self.remote[index]

        def send() -> int | None:
            ours = self._ours(remote)
            add = {"op": "add", "path": "members", "value": [{"value": ours}]}
            out = {"op": "remove", "path": f'members[value eq "{ours}"]'}
            return self._call("PATCH", f"/Groups/{self.group}", add if joins else out) if ours else None

        self._tell(remote, "inside", value=joins, send=send)

    # -- on the way

    def _ours(self, remote: str) -> str:
        """By which id we know it: a client asks, as they all do."""
        found = self.idp.get(f'/Users?filter=externalId eq "{remote}"').body["Resources"]
        return str(found[0]["id"]) if found else ""

    def _call(self, method: str, path: str, *operations: Any) -> int:
        body = {"schemas": [PATCH_URN], "Operations": list(operations)} if operations else None
        answer = self.idp.call(method, path, body)
        assert answer.status < 400, answer
        return answer.status

    def _create(self, name: str, remote: str) -> None:
        def send() -> int:
            schemas = ["urn:ietf:params:scim:schemas:core:2.0:User"]
            answer = self.idp.post("/Users", {"schemas": schemas, "userName": name, "externalId": remote})
            assert answer.status in {201, 409}, answer
            return answer.status

        self._tell(remote, "exists", value=True, send=send)
        # What is made without a word about it is on.
        self.books.happened.append(Event(remote, "active", value=True, send=lambda: None))

    def _patch(self, index: int, aspect: str, operation: dict[str, Any], *, value: bool) -> None:
        remote = self.remote[index]

        def send() -> int | None:
            ours = self._ours(remote)
            return self._call("PATCH", f"/Users/{ours}", operation) if ours else None

        self._tell(remote, aspect, value=value, send=send)

    def _delete(self, remote: str) -> None:
        def send() -> int | None:
            ours = self._ours(remote)
            return self._call("DELETE", f"/Users/{ours}") if ours else None

        self._tell(remote, "exists", value=False, send=send)

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
                self.books.arrives(self.waiting[place])
            case _:
                self.books.arrives(self.waiting.pop(place))

    def late(self) -> int:
        """All that is still on its way arrives. Returns how much had arrived before."""
        before = len(self.books.arrived)
        while self.waiting:
            self.books.arrives(self.waiting.pop(0))
        return before

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

    def attributed(self) -> dict[tuple[str, str], str]:
        """Of each difference ever found, by the remote id and the aspect: to what it is attributed."""
        with scope(tenant=self.tenant.pk):
            remotes = dict(Shadow.objects.filter(system=self.system).values_list("pk", "external_id"))
            found = list(Finding.objects.filter(kind__in=ASPECTS).order_by("first_seen_at"))
            of_account = dict(Shadow.objects.filter(system=self.system).values_list("account_id", "external_id"))
        words = {}
        for one in found:
            if one.kind == "membership_differs":
                remote = remotes[UUID(one.dedupe_key.rpartition(":")[2])]
            else:
                remote = of_account[one.account_id] if one.account_id else one.evidence["remote_id"]
            words[remote, ASPECTS[one.kind]] = one.attribution
        return words

    def repairs(self) -> dict[tuple[str, str], str]:
        """Of each repair, the same."""
        with scope(tenant=self.tenant.pk):
            shadows = list(Shadow.objects.filter(system=self.system).values_list("pk", "account_id", "external_id"))
            changes = list(PlannedChange.objects.filter(plan__system=self.system, plan__kind="reading"))
        of_account = {account: remote for _pk, account, remote in shadows}
        of_ref = {pk: remote for pk, _account, remote in shadows}
        return {
            (of_account[one.account_id], "exists" if one.is_absence else "active")
            if one.act == ChangeAct.DEPROVISION
            else (of_ref[one.member_ref], "inside"): one.attribution
            for one in changes
        }


@law(12)
@given(taken=steps)
def test_whatever_the_channel_does_a_complete_reading_brings_it_right_or_says_what_differs(
    make_tenant: Callable[..., Tenant], taken: list[Step]
) -> None:
    with ExitStack() as stack:
        directory = stack.enter_context(serving())
        world = World(make_tenant(f"channel-{next(_number)}"), directory)
        for what, index, fate in taken:
            if what != "channel":
                before = len(world.waiting)
                world.happen(what, index)
                if fate == "wait" or len(world.waiting) == before:
                    continue
            world.channel(fate, index if what == "channel" else -1)
        # What is still on its way is late: it is read first, an hour after the last event, so that no brake counts both.
        world.read(after=HOUR)

        there = {world.remote[index]: is_active for index, is_active in world.active.items()}
        inside_there = {world.remote[index] for index in world.inside}
        states, inside_here = world.here()
        assert {
            remote for remote, is_active in there.items() if not is_active and states.get(remote) == "active"
        } == set()
        # Who is gone there was asked for, has ended here, and is in no group any more.
        assert {states[remote] for remote in states.keys() - there.keys()} <= {"deprovisioned"}
        assert inside_here <= inside_there

        wanted = {
            "unknown_here": len(there.keys() - states.keys()),
            "missing_there": 0,
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

        # Each is attributed to what the channel did, and each repair as its finding is.
        attributed, repairs = world.attributed(), world.repairs()
        assert {about: word for about, word in attributed.items() if word not in world.books.blamed(*about)} == {}
        assert {about: word for about, word in repairs.items() if attributed[about] != word} == {}

        # What was lost for this reading, and comes after all, was late; what never comes was lost.
        before = world.late()
        world.read(after=3 * HOUR)
        again_repaired = world.repairs()
        came = world.books.arrived[before:]
        for (remote, aspect), word in repairs.items():
            about = [one.event for one in came if one.event.remote == remote]
            if aspect in {"active", "exists"}:
                is_late = any(not one.value for one in about if one.aspect in {"active", "exists"})
                late = {"late_event" if is_late else "lost_event"}
            else:
                said = [one.value for one in about if one.aspect == aspect]
                # Who was put in first may be a member anew, and then leave anew.
                late = (
                    {"late_event"} if said[:1] == [False] else {"lost_event", "late_event"} if said else {"lost_event"}
                )
            assert again_repaired[remote, aspect] in (late if word == "lost_event" else {word})
