"""A reading by a connector that promises less than SCIM: no resuming, no total, what was so some time ago."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from audit.scope import scope
from provisioning import proofs, readers, reconciliation, snapshot
from provisioning.connectors.contract import Absent, Page
from provisioning.connectors.readings import BadAnswer
from provisioning.models import Connection, Run, Snapshot, SnapshotProof, StagedMember, StagedResource
from tests.conftest import AT, a_cause
from tests.fakes.directories import FakeDirectory, a_system

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.models import System, Tenant
    from provisioning.connectors.contract import Answer, Kind

LATER = AT + dt.timedelta(minutes=1)


@dataclass
class Other:
    """A system of three pages of users and one of groups, whose reader breaks when it is told to."""

    resumes: bool = False
    total: int | None = None
    as_of: dt.datetime | None = None
    breaks_at: tuple[str, str] | None = None
    stands_still: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def opened(self, connection: Connection, *, max_wait_seconds: float) -> Iterator[Other]:
        yield self

    def page(self, kind: Kind, *, position: str, count: int) -> Page:
        self.asked.append((kind, position))
        if (kind, position) == self.breaks_at:
            raise BadAnswer("It broke.")
        if kind == "Group":
            members = [{"value": "u0"}, {"value": "u1"}]
            group = {"id": "g", "displayName": "web", "members": members}
            return Page(resources=(group,), position=None, total=self.total, as_of=self.as_of)
        n = int(position or "0")
        names = ("canary", "ada", "grace")
        user = {"id": f"u{n}", "userName": names[n], "active": True}
        position_after = str(n if self.stands_still else n + 1) if n < 2 else None
        return Page(resources=(user,), position=position_after, total=self.total, as_of=self.as_of)

    def get(self, kind: Kind, remote_id: str) -> Answer:
        return Absent()

    def named(self, kind: Kind, name: str) -> Answer:
        return Absent()


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Other:
    made = Other()
    monkeypatch.setattr(readers, "opened", made.opened)
    return made


@pytest.fixture
def system(tenant: Tenant) -> System:
    with scope(tenant=tenant.pk, cause=a_cause()):
        return a_system(tenant, at=AT, directory=FakeDirectory(url="http://127.0.0.1:1/v2"))


def begun(tenant: Tenant, system: System) -> snapshot.Work:
    with scope(tenant=tenant.pk, cause=a_cause()):
        run = reconciliation.start(system=system, started_by="a test", at=AT)
        lease = reconciliation.claim(run_id=run.pk, at=AT)
        assert lease is not None
    return snapshot.Work(tenant=tenant.pk, run=run.pk, lease=lease)


def judged(tenant: Tenant, work: snapshot.Work) -> tuple[str, dict[str, str]]:
    with scope(tenant=tenant.pk, cause=a_cause()):
        reading = Snapshot.objects.get(run=work.run)
        proofs.verify(snapshot=reading)
        proofs.settle(snapshot=reading, at=LATER)
        rows = SnapshotProof.objects.filter(snapshot=reading)
        return str(reading.state), {p.word: p.detail for p in rows}


def never() -> bool:
    return False


def test_a_listing_that_can_not_go_on_is_read_to_its_end_in_one_slice_and_keeps_its_lease(
    tenant: Tenant, system: System, other: Other
) -> None:
    prolonged: list[Any] = []
    work = begun(tenant, system)
    assert snapshot.read_pages(work=work, go_on=never, prolong=lambda run: prolonged.append(run.pk)) is True
    assert other.asked == [("User", ""), ("User", "1"), ("User", "2"), ("Group", "")]
    assert prolonged == [work.run] * 3


def test_one_that_resumes_goes_on_at_its_own_position(tenant: Tenant, system: System, other: Other) -> None:
    other.resumes = True
    work = begun(tenant, system)
    assert [snapshot.read_pages(work=work, go_on=never) for _ in range(4)] == [False, False, False, True]
    assert other.asked == [("User", ""), ("User", "1"), ("User", "2"), ("Group", "")]


@pytest.mark.parametrize(
    ("breaks_at", "kept"), [(("User", "2"), (2, 0)), (("Group", ""), (3, 0))], ids=["among users", "before groups"]
)
def test_one_that_broke_begins_its_kind_anew_and_nothing_is_staged_twice(
    tenant: Tenant, system: System, other: Other, breaks_at: tuple[str, str], kept: tuple[int, int]
) -> None:
    other.breaks_at = breaks_at
    work = begun(tenant, system)
    with pytest.raises(BadAnswer):
        snapshot.read_pages(work=work, go_on=never)
    with scope(tenant=tenant.pk):
        assert (StagedResource.objects.count(), StagedMember.objects.count()) == kept
    other.breaks_at = None
    other.asked.clear()
    assert snapshot.read_pages(work=work, go_on=never) is True
    assert other.asked[0] == (breaks_at[0], "")
    with scope(tenant=tenant.pk):
        assert (StagedResource.objects.count(), StagedMember.objects.count()) == (4, 2)
    assert judged(tenant, work)[0] == "complete"


def test_a_reading_from_before_positions_begins_its_kind_anew(tenant: Tenant, system: System, other: Other) -> None:
    other.resumes = True
    work = begun(tenant, system)
    snapshot.read_pages(work=work, go_on=never)
    with scope(tenant=tenant.pk, cause=a_cause()):
        assert Snapshot.objects.update(position="") == 1
    assert snapshot.read_pages(work=work, go_on=lambda: True) is True
    with scope(tenant=tenant.pk):
        assert StagedResource.objects.count() == 4
    assert judged(tenant, work)[0] == "complete"


def test_a_listing_that_stands_still_ends_the_reading(tenant: Tenant, system: System, other: Other) -> None:
    other.stands_still = other.resumes = True
    other.breaks_at = None
    work = begun(tenant, system)
    with pytest.raises(BadAnswer, match="never end"):
        # From its beginning to "0", and there to "0" again.
        snapshot.read_pages(work=work, go_on=lambda: True)


def test_one_that_takes_too_long_in_one_piece_lets_its_worker_go(
    tenant: Tenant, system: System, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "WITHOUT_PAUSE", -1.0)
    with pytest.raises(snapshot.TooSlow, match="can't be interrupted"):
        snapshot.read_pages(work=begun(tenant, system), go_on=never)
    assert other.asked == [("User", "")]


def test_a_system_that_says_no_total_is_proved_by_its_end(tenant: Tenant, system: System, other: Other) -> None:
    work = begun(tenant, system)
    snapshot.read_pages(work=work, go_on=never)
    state, details = judged(tenant, work)
    assert state == "complete"
    assert details["total"] == "Users: it says no total, Groups: it says no total"
    assert details["drained"] == "3 of 3 Users, 1 of 1 Groups"


def test_a_total_that_is_said_and_does_not_come_is_no_proof(tenant: Tenant, system: System, other: Other) -> None:
    other.total = 4
    work = begun(tenant, system)
    snapshot.read_pages(work=work, go_on=never)
    state, details = judged(tenant, work)
    assert (state, details["drained"]) == ("incomplete", "3 of 4 Users, 1 of 4 Groups")


def test_what_shows_something_older_is_complete_as_of_then(tenant: Tenant, system: System, other: Other) -> None:
    other.as_of = AT - dt.timedelta(hours=3)
    with scope(tenant=tenant.pk, cause=a_cause()):
        run = reconciliation.start(system=system, started_by="a test", at=AT)
    assert reconciliation.advance(tenant=tenant.pk, run_id=run.pk, clock=lambda: LATER) is True
    with scope(tenant=tenant.pk):
        assert Run.objects.get().state == "closed"
        assert Snapshot.objects.get().since == other.as_of
        assert Connection.objects.get().last_complete_at == other.as_of


def test_what_claims_to_be_newer_than_its_reading_is_as_old_as_that(
    tenant: Tenant, system: System, other: Other
) -> None:
    other.as_of = AT + dt.timedelta(hours=3)
    snapshot.read_pages(work=begun(tenant, system), go_on=never)
    with scope(tenant=tenant.pk):
        assert Snapshot.objects.get().since == AT
