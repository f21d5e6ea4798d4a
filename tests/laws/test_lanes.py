"""Applied later, in whatever order the lanes allow, changes leave what they would have left at once."""

from __future__ import annotations

import datetime as dt
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models.group import Membership
from audit.scope import scope
from provisioning import received as queue
from provisioning import tasks
from provisioning.models.received import Received
from provisioning.models.shadow import Shadow
from provisioning.scim import applying
from tests.conftest import a_cause
from tests.factories.scim import PATCH_URN, a_group, a_user, connect
from tests.laws.world import law

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = [pytest.mark.law, pytest.mark.django_db]

USERS, GROUPS = 3, 2
Change = tuple[str, int, Any]
_number = count(1)

user, group = st.integers(0, USERS - 1), st.integers(0, GROUPS - 1)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("title"), user, st.sampled_from("abc")),
        st.tuples(st.just("active"), user, st.booleans()),
        st.tuples(st.just("replace"), user, st.sampled_from("abc")),
        st.tuples(st.just("end"), user, st.none()),
        st.tuples(st.just("join"), group, user),
        st.tuples(st.just("leave"), group, user),
        st.tuples(st.just("rename"), group, st.sampled_from("xyz")),
        st.tuples(st.just("disband"), group, st.none()),
    ),
    min_size=2,
    max_size=9,
)


class World:
    """One directory with the same people and groups as the other."""

    def __init__(self, idp: Idp) -> None:
        self.idp = idp
        self.users = [idp.user(f"u{number}") for number in range(USERS)]
        self.groups = [idp.group(f"g{number}", self.users[number]) for number in range(GROUPS)]

    def send(self, change: Change, **headers: str) -> None:
        """One change."""
        what, index, value = change
        path = f"/Users/{self.users[index]}" if what in {"title", "active", "replace", "end"} else ""
        path = path or f"/Groups/{self.groups[index]}"
        if what in {"end", "disband"}:
            self.idp.delete(path, **headers)
        elif what == "replace":
            self.idp.put(path, a_user(f"u{index}", title=value), **headers)
        else:
            body = {"schemas": [PATCH_URN], "Operations": [self._operation(what, index, value)]}
            self.idp.call("PATCH", path, body, **headers)

    def _operation(self, what: str, index: int, value: Any) -> dict[str, Any]:
        match what:
            case "join":
                return {"op": "add", "path": "members", "value": [{"value": self.users[value]}]}
            case "leave":
                return {"op": "remove", "path": f'members[value eq "{self.users[value]}"]'}
            case "rename":
                return {"op": "replace", "path": "displayName", "value": a_group(f"g{index} {value}")["displayName"]}
            case _:
                return {"op": "replace", "path": what, "value": value}

    def picture(self) -> Any:
        """What is so in the end, by the place of each."""
        with scope(tenant=self.idp.tenant.pk):
            rows = Shadow.objects.select_related("account").in_bulk([*self.users, *self.groups])
            found = {str(pk): row for pk, row in rows.items()}
            people = [
                (
                    one.account.state if one.account else "",
                    one.wants_active,
                    one.document.get("title"),
                    one.ended_at is None,
                )
                for one in (found[pk] for pk in self.users)
            ]
            groups = [(one.name, one.ended_at is None) for one in (found[pk] for pk in self.groups)]
            places = {str(pk): place for place, pk in enumerate(self.users)}
            members = {
                (
                    self.groups.index(str(next(pk for pk, row in rows.items() if row.group_id == group))),
                    places[str(ref)],
                )
                for group, ref in Membership.objects.filter(ended_at__isnull=True).values_list("group", "origin_ref")
            }
        return people, groups, members

    def apply_in(self, data: st.DataObject) -> None:
        """Apply what waits in an order that the lanes allow, chosen by chance."""
        at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
        tenant = self.idp.tenant.pk
        for _ in range(200):
            with scope(tenant=tenant, cause=a_cause()):
                due = list(queue.due(at=at))
                begun = queue.begin_one(received=data.draw(st.sampled_from(due)), at=at) if due else None
                is_left = Received.objects.filter(state="waiting").exists()
            if begun is not None:
                applying._Application(tenant, begun, lambda at=at: at).run()  # type: ignore[misc]
            elif not is_left:
                return
            at += dt.timedelta(seconds=1)
        raise AssertionError("it does not come to an end")


@law(15)
@given(sent=changes, data=st.data())
def test_whatever_order_the_lanes_allow_leaves_what_was_left_at_once(
    make_tenant: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch, sent: list[Change], data: st.DataObject
) -> None:
    monkeypatch.setattr(tasks, "apply_soon", lambda: None)
    number = next(_number)
    at_once, later = (World(connect(make_tenant(f"{word}-{number}"))) for word in ("now", "later"))
    for change in sent:
        at_once.send(change)
        later.send(change, Prefer="respond-async")
    later.apply_in(data)
    assert later.picture() == at_once.picture()
    with scope(tenant=later.idp.tenant.pk):
        assert set(Received.objects.values_list("state", flat=True)) == {"applied"}
