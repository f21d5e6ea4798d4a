"""A feed is followed: what it says is received with its cursor, applied in order, and never lost, doubled or undone."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import Account
from accounts.models.finding import Finding
from audit.scope import scope
from provisioning import cursors
from provisioning.feeds import following
from provisioning.feeds.scim_delta import MOST
from provisioning.models import Connection, Cursor, Exchange, Listening, Received, Run, Shadow, Snapshot
from provisioning.scim import applying
from tests.conftest import a_cause
from tests.factories.scim import connect
from tests.fakes.directories import TOKEN, FakeDirectory, a_system

if TYPE_CHECKING:
    from accounts.models import System, Tenant

pytestmark = pytest.mark.django_db
USERS, GROUPS = "scim-delta/Users", "scim-delta/Groups"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Followed:
    """One system that is followed, and by which steps."""

    def __init__(self, tenant: Tenant, directory: FakeDirectory) -> None:
        self.tenant, self.directory, self.ticks = tenant, directory, 0
        with scope(tenant=tenant.pk, cause=a_cause()):
            self.system: System = a_system(tenant, at=now(), directory=directory, page_size=3)
            self.cursors = [
                cursors.follow(system=self.system, stream=s, cadence_minutes=5, at=now()) for s in (USERS, GROUPS)
            ]

    def read_whole(self) -> None:
        """What a complete reading leaves behind."""
        with scope(tenant=self.tenant.pk, cause=a_cause()):
            run = Run.objects.create(tenant=self.tenant, system=self.system, started_by="a test", started_at=now(),
                                     state="closed", ended_at=now())  # fmt: skip
            Snapshot.objects.create(tenant=self.tenant, run=run, system=self.system, state="complete", started_at=now())

    def listen(self, *, later: dt.timedelta | None = None) -> int:
        """Listen to both streams once, two cadences after the last time."""
        self.ticks += 1
        later = later if later is not None else self.ticks * dt.timedelta(minutes=10)
        clock = lambda: now() + later  # noqa: E731
        heard = [
            following.advance(tenant=self.tenant.pk, cursor_id=one.pk, clock=clock, go_on=lambda: True)
            for one in self.cursors
        ]
        return sum(heard)

    def apply(self) -> int:
        """Apply all that was received. How many there were."""
        count = 0
        while applying.apply_next(tenant=self.tenant.pk, clock=now):
            count += 1
        return count

    def follow(self) -> None:
        self.listen()
        self.apply()

    def rows(self, model: Any, **values: Any) -> list[Any]:
        with scope(tenant=self.tenant.pk):
            return list(model.objects.filter(**values).order_by("pk"))

    def cursor(self, stream: str = USERS) -> Cursor:
        (found,) = self.rows(Cursor, stream=stream)
        return found

    def look(self) -> Listening:
        (found,) = self.rows(Listening, cursor=self.cursor().pk)
        return found

    def living(self) -> dict[str, bool]:
        """The people whom we know of this system, and whether each is active."""
        with scope(tenant=self.tenant.pk):
            shadows = Shadow.objects.filter(system=self.system, resource_type="User", ended_at__isnull=True)
            return {one.name: one.account.state == "active" for one in shadows.select_related("account")}  # type: ignore[union-attr]

    def members(self, name: str) -> set[str]:
        with scope(tenant=self.tenant.pk):
            living = Shadow.objects.get(system=self.system, resource_type="Group", name=name)
            rows = living.group.memberships.filter(ended_at__isnull=True)  # type: ignore[union-attr]
            return set(rows.values_list("account__user_name", flat=True))


@pytest.fixture
def followed(tenant: Tenant, directory: FakeDirectory) -> Followed:
    made = Followed(tenant, directory)
    made.read_whole()
    return made


def test_nothing_is_followed_before_a_complete_reading_and_everything_since_it_began_is(
    tenant: Tenant, directory: FakeDirectory
) -> None:
    followed = Followed(tenant, directory)
    directory.user("early")
    assert followed.listen() == 0
    assert followed.cursor().state == "waiting"
    followed.read_whole()
    directory.user("late")
    followed.follow()
    assert followed.living() == {"early": True, "late": True}
    assert (followed.cursor().state, followed.look().problem) == ("following", "")


def test_what_changes_there_changes_here_and_each_has_its_exchange(followed: Followed) -> None:
    ada = followed.directory.user("ada", title="Dr")
    followed.follow()
    followed.directory.change(ada, title="Prof", active=False)
    followed.follow()
    assert followed.living() == {"ada": False}
    rows = followed.rows(Exchange)
    assert [(one.method, one.path, one.intent, one.outcome) for one in rows] == [
        ("POST", "/Users", "create", "applied"),
        ("PUT", f"/Users/{rows[0].resource_id}", "disable", "applied"),
    ]
    (shadow,) = followed.rows(Shadow)
    assert (shadow.external_id, shadow.document["title"]) == (ada, "Prof")
    assert {one.pk for one in rows} == {one.pk for one in followed.rows(Received)}
    assert all(one.state == "applied" and one.sealed == "" for one in followed.rows(Received))


def test_hearing_it_twice_applies_it_once(followed: Followed) -> None:
    for name in ("a", "b", "c", "d", "e"):
        followed.directory.user(name)
    assert followed.listen() == 5
    assert followed.listen() == 0
    assert followed.apply() == 5
    assert followed.listen() == 0
    assert len(followed.rows(Exchange)) == 5


def test_groups_are_followed_with_the_members_that_we_know(followed: Followed) -> None:
    ada, eve = followed.directory.user("ada"), followed.directory.user("eve")
    staff = followed.directory.group("staff", ada, eve)
    followed.follow()
    assert followed.members("staff") == {"ada", "eve"}
    followed.directory.members(staff, eve)
    followed.follow()
    assert followed.members("staff") == {"eve"}


def test_a_member_whom_we_don_t_know_is_left_out_and_the_change_is_held(followed: Followed) -> None:
    ada = followed.directory.user("ada")
    followed.follow()
    stranger = followed.directory.user("stranger")
    with scope(tenant=followed.tenant.pk, cause=a_cause()):
        cursors.stop(cursor=followed.cursor(), reason="a test", at=now())
    followed.directory.group("staff", ada, stranger)
    followed.follow()
    assert followed.members("staff") == {"ada"}
    (last,) = followed.rows(Exchange, resource_type="Group")
    assert last.outcome == "held"
    assert "members that no resource of ours is known by were left out: 1" in str(last.coercions)


def test_one_that_its_system_pushed_without_an_external_id_is_known_by_its_name(
    followed: Followed, tenant: Tenant
) -> None:
    idp = connect(tenant, of=followed.system)
    pushed = idp.user("ada")
    ada = followed.directory.user("ada", title="Dr")
    followed.follow()
    (shadow,) = followed.rows(Shadow)
    assert (str(shadow.pk), shadow.external_id, shadow.document["title"]) == (pushed, ada, "Dr")


def test_what_was_pushed_after_the_feed_was_heard_stands(followed: Followed, tenant: Tenant) -> None:
    idp = connect(tenant, of=followed.system)
    remote = followed.directory.user("ada", title="Dr")
    followed.follow()
    (shadow,) = followed.rows(Shadow)
    followed.directory.change(remote, title="Older")
    followed.listen()
    newer = {"op": "replace", "path": "title", "value": "Newer"}
    assert idp.patch(f"/Users/{shadow.pk}", newer).status == 200
    followed.apply()
    (shadow,) = followed.rows(Shadow)
    assert shadow.document["title"] == "Newer"
    assert [one.outcome for one in followed.rows(Exchange)] == ["applied", "superseded", "applied"]


def test_one_that_was_ended_here_comes_back_by_no_feed_without_people(followed: Followed) -> None:
    ada = followed.directory.user("ada")
    followed.follow()
    followed.directory.change(ada, active=False)
    followed.follow()
    followed.directory.change(ada, active=True)
    followed.follow()
    assert followed.living() == {"ada": False}
    assert followed.rows(Exchange)[-1].outcome == "held"


def test_a_gap_asks_for_a_complete_reading_and_the_feed_goes_on_after_it(followed: Followed) -> None:
    followed.directory.user("ada")
    followed.follow()
    epoch = followed.cursor().epoch
    followed.directory.bend = lambda _asked, document: document | {"totalResults": MOST + 1}
    followed.listen()
    lost = followed.cursor()
    assert (lost.state, lost.position, lost.epoch) == ("waiting", None, epoch + 1)
    assert lost.gap_because == f"{MOST + 1} resources have changed since: a complete reading is due instead."
    assert {one.kind for one in followed.rows(Finding, state="open")} == {"feed_gap"}
    assert followed.rows(Connection)[0].due_at <= now() + dt.timedelta(minutes=20)
    followed.directory.bend = lambda _asked, document: document
    followed.directory.user("eve")
    assert followed.listen() == 0
    with scope(tenant=followed.tenant.pk, cause=a_cause()):
        Cursor.objects.filter(state="waiting").update(gap_at=now())
    followed.read_whole()
    followed.listen()
    followed.apply()
    assert followed.living() == {"ada": True, "eve": True}
    assert {one.state for one in followed.rows(Finding)} == {"resolved"}


def test_an_answer_that_is_wrong_is_kept_with_the_cursor_which_stays_where_it_was(followed: Followed) -> None:
    followed.directory.user("ada")
    followed.follow()
    was = followed.cursor().position
    followed.directory.bend = lambda _asked, _document: (503, {"detail": "busy"})
    followed.directory.before = lambda _asked: None
    following.PATIENCE, patience = 0.01, following.PATIENCE
    try:
        followed.listen()
    finally:
        following.PATIENCE = patience
    assert followed.cursor().position == was
    assert "is busy and asks to be left alone" in followed.look().problem


def test_a_list_that_shifts_while_it_is_read_is_read_again_from_the_same_position(followed: Followed) -> None:
    ids = [followed.directory.user(name) for name in ("a", "b", "c", "d")]

    def shift(asked: Any) -> None:
        if asked.start == 4:
            followed.directory.before = lambda _asked: None
            followed.directory.change(ids[0], title="moved")

    followed.directory.before = shift
    followed.listen()
    assert followed.look().problem == "Its list changed while it was read: it is read again from the same position."
    assert followed.look().heard_at is None
    followed.follow()
    assert (followed.look().problem, followed.living()) == ("", dict.fromkeys("abcd", True))


def test_a_paused_connection_is_not_listened_to(followed: Followed) -> None:
    followed.directory.user("ada")
    with scope(tenant=followed.tenant.pk, cause=a_cause()):
        Connection.objects.update(paused_at=now())
    assert followed.listen() == 0
    assert followed.look().problem.startswith("its connection is paused since")


def test_a_key_that_is_gone_is_said(followed: Followed, settings: Any) -> None:
    from cryptography.fernet import Fernet  # noqa: PLC0415

    settings.ROLLCALL_FIELD_KEYS = [Fernet.generate_key().decode()]
    assert followed.listen() == 0
    assert "put its key back into ROLLCALL_FIELD_KEYS" in followed.look().problem
    assert TOKEN not in followed.look().problem


def test_whoever_is_not_due_or_held_by_another_is_left_alone(followed: Followed) -> None:
    followed.directory.user("ada")
    followed.listen()
    followed.directory.user("eve")
    assert followed.listen(later=dt.timedelta(0)) == 0
    with scope(tenant=followed.tenant.pk, cause=a_cause()):
        Listening.objects.update(due_at=now(), leased_until=now() + dt.timedelta(hours=2))
    assert followed.listen() == 0


def test_time_that_is_over_ends_it_after_a_batch_and_loses_nothing(followed: Followed) -> None:
    for name in "abcdefg":
        followed.directory.user(name)
    clock = lambda: now() + dt.timedelta(hours=1)  # noqa: E731
    pk = followed.cursor().pk
    assert following.advance(tenant=followed.tenant.pk, cursor_id=pk, clock=clock, go_on=lambda: False) == 3
    cut_off = followed.cursor()
    assert (cut_off.state, followed.look().problem, followed.look().due_at <= clock()) == ("following", "", True)
    assert followed.listen(later=dt.timedelta(hours=1)) == 4
    assert followed.cursor().position != cut_off.position
    followed.apply()
    assert set(followed.living()) == set("abcdefg")


def test_an_agent_s_or_person_s_password_is_received_by_nobody(followed: Followed) -> None:
    followed.directory.user("ada", password="Guess.me.1")
    followed.listen()
    from provisioning import received  # noqa: PLC0415

    with scope(tenant=followed.tenant.pk):
        bodies = [received.body_of(one) for one in Received.objects.all()]
    assert [("password" in body, body["userName"]) for body in bodies] == [(False, "ada")]
    assert followed.rows(Account) == []
