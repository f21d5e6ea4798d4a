"""A removal of members that could not be read changes nothing, is parked, and is a finding until it is settled."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models.finding import Finding, Severity
from audit.scope import scope
from provisioning import parking
from tests.factories.scim import PATCH_URN, a_group

if TYPE_CHECKING:
    from uuid import UUID

    from tests.factories.scim import Idp

pytestmark = pytest.mark.face

NAMES: dict[str, Any] = {"op": "remove", "path": "members", "value": ["Kim Jackson"]}


@pytest.fixture
def users(idp: Idp) -> list[str]:
    return [idp.user("ada@example.com"), idp.user("eva@example.com")]


@pytest.fixture
def group(idp: Idp, users: list[str]) -> str:
    return idp.group("Staff", *users)


def findings(idp: Idp) -> list[Finding]:
    with scope(tenant=idp.tenant.pk):
        return list(Finding.objects.filter(kind="members_unresolved").order_by("id"))


def test_it_is_refused_and_parked_and_the_finding_names_system_group_and_exchange(
    idp: Idp, users: list[str], group: str
) -> None:
    before = dt.datetime.now(dt.UTC)
    answer = idp.patch(f"/Groups/{group}", {"op": "replace", "path": "displayName", "value": "Other"}, NAMES)
    assert (answer.status, answer["scimType"]) == (400, "invalidValue")
    assert answer["detail"] == "members.value must be the id of a resource of this server."
    assert idp.members(group) == set(users)
    assert idp.get(f"/Groups/{group}")["displayName"] == "Staff"

    exchange = idp.last()
    assert (exchange.outcome, exchange.intent, exchange.status) == ("parked", "member_remove", 400)
    assert (str(exchange.resource_id), exchange.resource_label) == (group, "Staff")
    [finding] = findings(idp)
    assert finding.title == "Entra: a removal of members of Staff could not be read"
    assert (finding.state, finding.severity, finding.system_id) == ("open", Severity.HIGH, idp.system.pk)
    assert (finding.subject_kind, finding.subject_id) == ("group", group)
    assert finding.evidence == {
        "system": "Entra", "group": "Staff", "because": answer["detail"], "exchange": str(exchange.pk),
    }  # fmt: skip
    assert finding.due_at is not None
    assert before + parking.CLOCK <= finding.due_at <= dt.datetime.now(dt.UTC) + parking.CLOCK


def test_sent_again_it_is_the_same_finding_with_the_latest_exchange_and_the_first_clock(idp: Idp, group: str) -> None:
    idp.patch(f"/Groups/{group}", NAMES)
    [first] = findings(idp)
    idp.patch(f"/Groups/{group}", {"op": "remove", "path": 'members[display eq "Kim"]'})
    [second] = findings(idp)
    assert (second.pk, second.due_at) == (first.pk, first.due_at)
    assert second.evidence["exchange"] == str(idp.last().pk) != first.evidence["exchange"]


@pytest.mark.parametrize("how", ["replace", "remove all", "put", "delete"])
def test_the_whole_membership_settles_it_and_so_does_the_end_of_the_group(
    idp: Idp, users: list[str], group: str, how: str
) -> None:
    idp.patch(f"/Groups/{group}", NAMES)
    if how == "put":
        assert idp.put(f"/Groups/{group}", a_group("Staff", users[0])).status == 200
    elif how == "delete":
        assert idp.delete(f"/Groups/{group}").status == 204
    else:
        op = {"op": how.split(maxsplit=1)[0], "path": "members"} | (
            {"value": [{"value": users[0]}]} if how == "replace" else {}
        )
        assert idp.patch(f"/Groups/{group}", op).status == 200
    [finding] = findings(idp)
    ended = "its system ended the group" if how == "delete" else "its system stated the whole membership"
    assert (finding.state, finding.resolution) == ("resolved", ended)


def test_neither_a_rename_nor_one_who_joins_or_leaves_settles_it(idp: Idp, users: list[str], group: str) -> None:
    idp.patch(f"/Groups/{group}", NAMES)
    for operation in (
        {"op": "replace", "path": "displayName", "value": "Renamed"},
        {"op": "remove", "path": f'members[value eq "{users[0]}"]'},
        {"op": "add", "path": "members", "value": [{"value": users[0]}]},
    ):
        assert idp.patch(f"/Groups/{group}", operation).status == 200
    assert [one.state for one in findings(idp)] == ["open"]


def test_who_was_never_here_is_parked_and_who_is_only_not_in_or_gone_is_out_as_wished(
    idp: Idp, other: Idp, users: list[str], group: str
) -> None:
    gone, outside = idp.user("gone@example.com"), idp.user("outside@example.com")
    assert idp.delete(f"/Users/{gone}").status == 204
    for known in (gone, outside):
        assert idp.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{known}"]'}).status == 200
        assert idp.last().outcome == "same"
    for never in ("01000000-0000-7000-8000-000000000001", other.user("theirs@example.com")):
        answer = idp.patch(f"/Groups/{group}", {"op": "remove", "path": "members", "value": [{"value": never}]})
        assert (answer.status, answer["scimType"], idp.last().outcome) == (400, "invalidValue", "parked")
        assert answer["detail"] == "members: the removal names a resource that this connection never had."
    assert idp.members(group) == set(users)


def test_an_addition_that_can_not_be_read_puts_nobody_in_and_opens_nothing(
    idp: Idp, users: list[str], group: str
) -> None:
    # Who is added under a name that is none of ours is left out, and the exchange held; a whole list with one is refused.
    for op, status, outcome in (("add", 200, "held"), ("replace", 400, "rejected")):
        assert idp.patch(f"/Groups/{group}", {**NAMES, "op": op}).status == status
        assert idp.last().outcome == outcome
    assert findings(idp) == []
    assert idp.members(group) == set(users)


def test_of_a_group_that_is_not_here_nothing_is_opened(idp: Idp, other: Idp, group: str) -> None:
    for sender, id_ in ((idp, "01000000-0000-7000-8000-000000000001"), (other, group)):
        assert sender.patch(f"/Groups/{id_}", NAMES).status in {400, 404}
        assert sender.last().outcome == "rejected"
    assert findings(idp) == []


def test_in_a_bulk_it_is_parked_alone(idp: Idp, users: list[str], group: str) -> None:
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [
            {"method": "PATCH", "path": f"/Groups/{group}", "data": {"schemas": [PATCH_URN], "Operations": [NAMES]}},
            {"method": "PATCH", "path": f"/Users/{users[0]}", "data": {"schemas": [PATCH_URN], "Operations": [
                {"op": "replace", "path": "title", "value": "Lead"},
            ]}},
        ],
    }  # fmt: skip
    answer = idp.post("/Bulk", body)
    assert [one["status"] for one in answer["Operations"]] == ["400", "200"]
    assert sorted(one.outcome for one in idp.exchanges()[-3:]) == ["applied", "applied", "parked"]
    assert len(findings(idp)) == 1


def test_an_idempotency_key_of_a_parked_request_is_free_for_the_right_one(
    idp: Idp, users: list[str], group: str
) -> None:
    right = {"op": "remove", "path": "members", "value": [{"value": users[0]}]}
    assert idp.patch(f"/Groups/{group}", NAMES, Idempotency_Key="k1").status == 400
    assert idp.patch(f"/Groups/{group}", right, Idempotency_Key="k1").status == 200
    assert idp.members(group) == {users[1]}


def test_the_refusal_of_unknown_ids_asks_nothing_where_all_are_members(
    because: Any, django_assert_num_queries: Any
) -> None:
    refs: set[UUID] = set()
    with django_assert_num_queries(0):
        parking.refuse_unknown(system=None, refs=refs)  # type: ignore[arg-type]
