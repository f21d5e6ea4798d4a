"""PATCH of a group: members become steps, and nothing unclear ever becomes everybody."""

import copy
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.changes import MemberStep
from provisioning.scim.errors import ScimError, Unresolved
from provisioning.scim.metadata.catalogue import GROUP
from provisioning.scim.patch.groups import GroupPatchResult, apply_group, group_steps
from provisioning.scim.patch.operations import PATCH_URN, read_patch

pytestmark = pytest.mark.unit
ONE, TWO, THREE = (f"0193b0c4-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
A, B, C = UUID(ONE), UUID(TWO), UUID(THREE)
BASE: dict[str, Any] = {"displayName": "Staff", "externalId": "x"}


def patched(*operations: Any) -> GroupPatchResult:
    before = copy.deepcopy(BASE)
    result = apply_group(BASE, read_patch({"schemas": [PATCH_URN], "Operations": list(operations)}, GROUP))
    assert before == BASE
    return result


def steps(*operations: Any) -> tuple[MemberStep, ...]:
    result = patched(*operations)
    assert result.document == BASE
    assert result.said == {"members"}
    return result.member_steps


def refused(*operations: Any) -> str | None:
    with pytest.raises(ScimError) as caught:
        patched(*operations)
    assert caught.value.status == 400
    return caught.value.scim_type


def op(name: str, path: str | None = None, **more: Any) -> dict[str, Any]:
    return {"op": name, **({} if path is None else {"path": path}), **more}


@pytest.mark.parametrize(
    "operation",
    [
        op("add", "members", value=[{"value": ONE}]),
        op("Add", "MEMBERS", value=[{"$ref": None, "value": ONE}]),
        op("add", "members", value={"value": ONE}),
        op("add", value={"members": [{"display": "abc", "$ref": f"https://x/Users/{ONE}", "value": ONE}]}),
        op(
            "add", "urn:ietf:params:scim:schemas:core:2.0:Group:members", value=[{"value": ONE.upper(), "type": "User"}]
        ),
        op("add", "members", value=[{"value": ONE}, {"VALUE": ONE}]),
        op("add", "members", value=ONE),
        op("add", "members", value=[ONE]),
        op("add", "members", value=[{"value": ONE, "displayName": "new User"}]),
        op("add", "members", value=[f'{{"value": "{ONE}"}}']),
        op("add", "members", value=[{"value": None, "$ref": f"https://localhost:9443/scim2/Users/{ONE}/"}]),
    ],
)
def test_a_member_is_added_in_all_known_forms(operation: dict[str, Any]) -> None:
    assert steps(operation) == (MemberStep(op="add", values=(A,)),)


@pytest.mark.parametrize(
    ("operation", "values"),
    [
        (op("remove", f'members[value eq "{ONE}"]'), (A,)),
        (op("Remove", f'Members[VALUE EQ "{ONE}"]'), (A,)),
        (op("remove", f'members[value eq "{ONE}" or value eq "{TWO}"]'), (A, B)),
        (op("Remove", "members", value=[{"$ref": None, "value": ONE}]), (A,)),
        (op("remove", "members", value=[{"value": TWO}, {"value": ONE}]), (B, A)),
        (op("remove", "members", value={"value": ONE}), (A,)),
    ],
)
def test_members_are_removed_by_filter_or_by_list_and_no_others(
    operation: dict[str, Any], values: tuple[UUID, ...]
) -> None:
    assert steps(operation) == (MemberStep(op="remove", values=values),)


@pytest.mark.parametrize("path", ["members", "Members", "urn:ietf:params:scim:schemas:core:2.0:Group:members"])
def test_a_remove_without_a_value_empties_the_group(path: str) -> None:
    assert steps(op("remove", path)) == (MemberStep(op="remove_all"),)


def test_replace_lists_all_members() -> None:
    listed = [{"value": TWO}, {"value": ONE}, {"value": TWO}]
    assert steps(op("replace", "members", value=listed)) == (MemberStep(op="replace", values=(B, A)),)
    assert steps(op("replace", value={"members": listed})) == (MemberStep(op="replace", values=(B, A)),)
    assert steps(op("replace", "members", value=[])) == (MemberStep(op="replace"),)


def test_neighbours_of_one_kind_become_one_step_and_the_order_stays() -> None:
    assert steps(
        op("add", "members", value=[{"value": ONE}]),
        op("add", "members", value=[{"value": TWO}, {"value": ONE}]),
        op("remove", f'members[value eq "{ONE}"]'),
        op("remove", "members", value=[{"value": THREE}]),
        op("add", "members", value=[{"value": ONE}]),
        op("replace", "members", value=[]),
        op("replace", "members", value=[{"value": TWO}]),
    ) == (
        MemberStep(op="add", values=(A, B)),
        MemberStep(op="remove", values=(A, C)),
        MemberStep(op="add", values=(A,)),
        MemberStep(op="replace"),
        MemberStep(op="replace", values=(B,)),
    )


def test_a_hundred_and_one_operations_are_one_step() -> None:
    ids = [f"0193b0c4-0000-7000-8000-{n:012d}" for n in range(101)]
    found = steps(*(op("add", "members", value=[{"value": one}]) for one in ids))
    assert found == (MemberStep(op="add", values=tuple(UUID(one) for one in ids)),)


def test_a_rename_touches_no_member() -> None:
    result = patched(op("replace", value={"id": ONE, "displayName": "Renamed"}))
    assert result.document == {"displayName": "Renamed", "externalId": "x"}
    assert (result.said, result.member_steps) == ({"displayName"}, ())


def test_a_rename_and_a_member_can_stand_in_one_request() -> None:
    result = patched(
        op("Replace", "displayName", value="New"),
        op("Add", "members", value=[{"value": ONE}]),
        op("Remove", "externalId"),
    )
    assert result.document == {"displayName": "New"}
    assert result.said == {"displayName", "externalId", "members"}
    assert result.member_steps == (MemberStep(op="add", values=(A,)),)
    assert {one.rule for one in result.coercions} == {"op_case"}


def test_a_list_of_members_to_remove_is_noted() -> None:
    result = patched(op("remove", "members", value=[{"value": ONE}]))
    assert [(one.rule, one.attribute) for one in result.coercions] == [("remove_by_value", "members")]


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        (op("remove", 'members[value eq "not-there"]'), "invalidValue"),
        (op("remove", "members", value=[{"value": "7"}]), "invalidValue"),
        (op("remove", "members", value=[{"display": "Bob"}]), "invalidValue"),
        (op("remove", "members", value=[{}]), "invalidValue"),
        (op("remove", "members", value="everybody"), "invalidValue"),
        (op("remove", "members", value=None), "invalidValue"),
        (op("remove", "members", value=[None]), "invalidValue"),
        (op("remove", "members", value=[]), "invalidValue"),
        (op("remove", "members", value=["Bob"]), "invalidValue"),
        (op("remove", value={"members": [{"value": ONE}]}), "noTarget"),
        (op("remove", 'members[display eq "Bob"]'), "invalidPath"),
        (op("remove", f'members[value ne "{ONE}"]'), "invalidFilter"),
        (op("remove", f'members[not (value eq "{ONE}")]'), "invalidFilter"),
        (op("remove", f'members[value eq "{ONE}" and type eq "User"]'), "invalidFilter"),
        (op("remove", f'members[value eq "{ONE}" or type eq "User"]'), "invalidFilter"),
        (op("remove", "members[value pr]"), "invalidFilter"),
        (op("remove", 'members[value co ""]'), "invalidFilter"),
        (op("remove", "members[value eq null]"), "invalidValue"),
        (op("remove", "members[]"), "invalidPath"),
        (op("remove", f'members[value eq "{ONE}"'), "invalidPath"),
        (op("remove", f"members[value eq {ONE}]"), "invalidPath"),
        (op("remove", f'members[value eq "{ONE}"].value'), "invalidPath"),
        (op("remove", "members.value"), "invalidPath"),
        (op("replace", f'members[value eq "{ONE}"]', value={"value": TWO}), "invalidPath"),
        (op("add", f'members[value eq "{ONE}"].type', value="User"), "invalidPath"),
        (op("replace", f'members[value eq "{ONE}"].display', value="x"), "invalidPath"),
        (op("add", "members", value=None), "invalidValue"),
        (op("add", "members", value="x"), "invalidValue"),
        (op("add", "members", value=["Bob"]), "invalidValue"),
        (op("add", "members", value=[{"value": ONE, "foo": 1}]), "invalidValue"),
        (op("add", "members", value=[{"value": ONE, "operation": "delete"}]), "invalidValue"),
        (op("add", "members", value=[{"value": ONE, "VALUE": TWO}]), "invalidValue"),
        (op("add", "members", value=[{"value": f"{{{ONE}}}"}]), "invalidValue"),
        (op("add", "members", value=[{"value": f"{ONE}\n"}]), "invalidValue"),
        (op("remove", "displayName"), "mutability"),
        (op("replace", "displayName", value="\u202e"), "invalidValue"),
        (op("remove", "userName"), "invalidPath"),
    ],
)
def test_what_can_not_be_resolved_is_refused_and_never_widened(operation: dict[str, Any], scim_type: str) -> None:
    assert refused(op("add", "members", value=[{"value": TWO}]), operation) == scim_type


@pytest.mark.parametrize(
    ("operation", "parks"),
    [
        (op("remove", "members", value=["Bob"]), True),
        (op("remove", 'members[display eq "Bob"]'), True),
        (op("Remove", "MEMBERS[0]"), True),
        (op("remove", 'urn:ietf:params:scim:schemas:core:2.0:Group:members[value co ""]'), True),
        (op("remove", value={"members": [{"value": ONE}]}), True),
        (op("remove"), False),
        (op("remove", "membersOf[0]"), False),
        (op("remove", "displayName"), False),
        (op("add", "members", value=["Bob"]), False),
        (op("replace", "members", value=["Bob"]), False),
    ],
)
def test_only_a_removal_that_is_about_members_is_parked(operation: dict[str, Any], parks: bool) -> None:
    with pytest.raises(ScimError) as caught:
        patched(operation)
    assert isinstance(caught.value, Unresolved) is parks


def test_other_operations_are_left_to_the_document() -> None:
    patch = read_patch(
        {"Operations": [op("remove", "members"), op("replace", "displayName", value="a")]},
        GROUP,
    )
    others, found = group_steps(patch.operations)
    assert [one.path.text for one in others] == ["displayName"]
    assert found == (MemberStep(op="remove_all"),)


def apply_steps(members: frozenset[UUID], member_steps: tuple[MemberStep, ...]) -> frozenset[UUID]:
    for step in member_steps:
        match step.op:
            case "add":
                members |= set(step.values)
            case "remove":
                members -= set(step.values)
            case "replace":
                members = frozenset(step.values)
            case "remove_all":
                members = frozenset()
    return members


def one_by_one(members: frozenset[UUID], sent: list[dict[str, Any]]) -> frozenset[UUID]:
    for operation in sent:
        listed = {UUID(item["value"]) for item in operation.get("value", [])}
        if operation["op"] == "add":
            members |= listed
        elif operation["op"] == "replace":
            members = frozenset(listed)
        else:
            members = members - listed if "value" in operation else frozenset()
    return members


ids = st.sampled_from([ONE, TWO, THREE])
lists = st.lists(ids.map(lambda one: {"value": one}), max_size=3)
named = st.lists(ids.map(lambda one: {"value": one}), min_size=1, max_size=3)
sent_operations = st.lists(
    st.one_of(
        st.builds(lambda name, value: op(name, "members", value=value), st.sampled_from(["add", "replace"]), lists),
        named.map(lambda value: op("remove", "members", value=value)),
        st.just(op("remove", "members")),
    ),
    min_size=1,
    max_size=8,
)


@given(sent_operations, st.frozensets(st.sampled_from([A, B, C])))
def test_joined_steps_end_where_the_operations_one_by_one_end(
    sent: list[dict[str, Any]], members: frozenset[UUID]
) -> None:
    patch = read_patch({"schemas": [PATCH_URN], "Operations": sent}, GROUP)
    assert apply_steps(members, group_steps(patch.operations)[1]) == one_by_one(members, sent)
