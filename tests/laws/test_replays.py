"""Whatever was said, in whatever order: the ledger replayed gives the roll, and a replay gives nobody anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from accounts import lifecycle
from accounts.models.account import Account
from accounts.models.group import Membership
from audit.scope import scope
from provisioning import replay
from provisioning.models.shadow import Shadow
from provisioning.replay import InTheWay
from tests.conftest import a_cause
from tests.factories.rebuilds import rebuild
from tests.factories.replays import a_patch, active, apply, joins, leaves, now, parked, simulate, title
from tests.laws.world import law

if TYPE_CHECKING:
    from collections.abc import Callable

    from provisioning.models.exchange import Exchange
    from tests.factories.scim import Idp

pytestmark = [pytest.mark.law, pytest.mark.django_db]

USERS, GROUPS = ("ada", "bob", "eve"), ("Staff", "Crew")
who = st.integers(0, len(USERS) - 1)
which = st.integers(0, len(GROUPS) - 1)
words = st.sampled_from(["Ops", "SRE", "Lead"])
# One step of a history: what is done, to whom, with which value, and whether the server could take it.
steps = st.tuples(
    st.sampled_from(["title", "nick", "active", "put", "join", "leave", "list", "rename", "end", "person"]),
    who, which, words, st.booleans(), st.booleans(),
)  # fmt: skip
histories = st.lists(steps, min_size=3, max_size=12)
_number = iter(range(10**6))


class Story:
    """A directory while a history is told."""

    def __init__(self, idp: Idp) -> None:
        self.idp = idp
        suffix = next(_number)
        self.names = [f"{name}{suffix}" for name in USERS]
        # The last one never began: no replay lets anybody begin.
        self.users = [idp.user(name, title="New", active=name != self.names[-1]) for name in self.names]
        self.groups = [idp.group(f"{name}{suffix}", self.users[0]) for name in GROUPS]

    def tell(self, history: list[tuple[Any, ...]]) -> None:
        for step in history:
            self.step(*step)

    def step(self, what: str, user: int, group: int, word: str, is_on: bool, is_lost: bool) -> None:
        someone, crowd = self.users[user], self.groups[group]
        patches = {
            "title": (f"/Users/{someone}", title(word), "update"),
            "nick": (f"/Users/{someone}", {"op": "replace", "path": "nickName", "value": word}, "update"),
            "active": (f"/Users/{someone}", active(is_on), "enable" if is_on else "disable"),
            "join": (f"/Groups/{crowd}", joins(someone), "member_add"),
            "leave": (f"/Groups/{crowd}", leaves(someone), "member_remove"),
            "list": (f"/Groups/{crowd}", {"op": "replace", "path": "members", "value": [{"value": someone}]}, "member_replace"),
            "rename": (f"/Groups/{crowd}", {"op": "replace", "path": "externalId", "value": f"{word}-{crowd}"}, "update"),
        }  # fmt: skip
        if what in patches:
            path, operation, intent = patches[what]
            if is_lost:
                parked(self.idp, "PATCH", path, a_patch(operation), intent=intent)
            else:
                self.idp.patch(path, operation)
        elif what == "put":
            body = {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": self.names[user],
                "title": word,
            }
            self.idp.put(f"/Users/{someone}", {**body, "active": is_on})
        elif what == "end":
            path = f"/Users/{someone}"
            if is_lost:
                parked(self.idp, "DELETE", path, intent="delete")
            else:
                self.idp.delete(path)
        else:
            with scope(tenant=self.idp.tenant.pk, cause=a_cause(kind="page", actor="l.chen")):
                account = self.idp.shadow(someone).account_id
                lifecycle.deprovision(accounts=[account], reason="left", at=now())


def access(idp: Idp) -> tuple[set[Any], set[Any]]:
    """Who is active, and who is in which group."""
    with scope(tenant=idp.tenant.pk):
        people = set(Account.objects.filter(state="active").values_list("pk", flat=True))
        members = set(Membership.objects.filter(ended_at__isnull=True).values_list("group", "origin_ref"))
    return people, members


def roll(idp: Idp) -> tuple[Any, ...]:
    """Everything of the roll that a replay can touch."""
    with scope(tenant=idp.tenant.pk):
        resources = list(Shadow.objects.order_by("pk").values_list("pk", "document", "wants_active", "ended_at"))
        accounts = list(Account.objects.order_by("pk").values_list("pk", "state", "epoch"))
    return resources, accounts, access(idp)


def rows(idp: Idp) -> dict[str, int]:
    """How many rows every table has."""
    found = {}
    with scope(tenant=idp.tenant.pk), connection.cursor() as cursor:
        for model in apps.get_models():
            cursor.execute(f'SELECT count(*) FROM "{model._meta.db_table}"')
            found[model._meta.db_table] = cursor.fetchone()[0]
    return found


def each(idp: Idp, most: int, data: st.DataObject) -> list[Exchange]:
    """Some exchanges that can be replayed."""
    able = [one for one in idp.exchanges() if not replay.in_the_way(one) and one.replays is None]
    return data.draw(st.lists(st.sampled_from(able[-20:]), min_size=1, max_size=most, unique_by=lambda one: one.pk))


def told(idp: Idp, law_holds: Callable[[Idp, st.DataObject], None], examples: int) -> None:
    @law(examples)
    @given(histories, st.data())
    def holds(history: list[tuple[Any, ...]], data: st.DataObject) -> None:
        Story(idp).tell(history)
        law_holds(idp, data)

    holds()


def replayed(idp: Idp, one: Exchange) -> None:
    try:
        apply(idp, one)
    except InTheWay:
        return


def test_the_ledger_replayed_from_empty_gives_the_roll(idp: Idp) -> None:
    def holds(idp: Idp, data: st.DataObject) -> None:
        for one in each(idp, 4, data):
            replayed(idp, one)
        row = rebuild(idp.tenant, from_empty=data.draw(st.booleans()))
        assert (row.differing, row.left_out) == (0, {})

    told(idp, holds, 10)


def test_a_simulation_changes_no_row(idp: Idp) -> None:
    def holds(idp: Idp, data: st.DataObject) -> None:
        before = rows(idp), roll(idp)
        for one in each(idp, 3, data):
            try:
                simulate(idp, one)
            except InTheWay:
                continue
        assert (rows(idp), roll(idp)) == before

    told(idp, holds, 6)


def test_a_replay_gives_nobody_anything_and_twice_is_once(idp: Idp) -> None:
    def holds(idp: Idp, data: st.DataObject) -> None:
        for one in each(idp, 3, data):
            before = access(idp)
            replayed(idp, one)
            after, whole = access(idp), roll(idp)
            assert after[0] <= before[0]
            assert after[1] <= before[1]
            replayed(idp, one)
            assert roll(idp) == whole

    told(idp, holds, 10)


def test_what_was_said_last_stands_whatever_is_replayed(idp: Idp) -> None:
    def holds(idp: Idp, data: st.DataObject) -> None:
        taken = [one for one in each(idp, 6, data) if one.outcome != "parked"]
        before = roll(idp)
        for one in taken:
            replayed(idp, one)
        resources, accounts, _access = roll(idp)
        # What was taken once is either so still, or something newer was said of it.
        assert resources == before[0]
        assert accounts == before[1]

    told(idp, holds, 10)
