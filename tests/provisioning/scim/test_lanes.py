"""What the queue knows of a change before anything is applied: its lane, and whether it takes access away."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from provisioning.scim.lanes import Reduction, is_addressed, name_in, reduction
from provisioning.scim.metadata.catalogue import GROUP, RESOURCE_TYPES, USER
from tests.factories.scim import PATCH_URN, a_group, a_user

pytestmark = pytest.mark.unit

AGENT = next(kind for kind in RESOURCE_TYPES if kind.name == "Agent")
ROLE = next(kind for kind in RESOURCE_TYPES if kind.name == "Role")
ID = UUID("0193b0c4-0000-7000-8000-000000000001")
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"


def patch(*operations: Any) -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": list(operations)}


def off(value: Any = False, *, op: str = "replace", path: str | None = "active") -> dict[str, Any]:
    return {"op": op, "value": value} | ({"path": path} if path else {})


@pytest.mark.parametrize(
    ("body", "kind", "name"),
    [
        (a_user("Ada@Example.com "), USER, "User:ada@example.com"),
        ({"USERNAME": "ada"}, USER, "User:ada"),
        ({"externalId": "E1"}, USER, "User:e1"),
        (a_group("Staff"), GROUP, "Group:staff"),
        ({"name": "bot"}, AGENT, "Agent:bot"),
        ({"userName": 7}, USER, ""),
        ({"userName": "  "}, USER, ""),
        ({}, USER, ""),
    ],
)
def test_what_is_to_be_made_goes_by_its_name_in_the_form_in_which_names_are_compared(
    body: Any, kind: Any, name: str
) -> None:
    assert name_in(body, kind) == name


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (patch(off()), Reduction.PART),
        (patch(off("False", op="Replace")), Reduction.PART),
        (patch(off("false", op="Add")), Reduction.PART),
        (patch(off({"active": False}, path=None)), Reduction.PART),
        (patch(off({CORE: {"active": "False"}}, path=None)), Reduction.PART),
        (patch(off(path=f"{CORE}:active")), Reduction.PART),
        (patch(off({"active": False, "title": "x"}, path=None)), Reduction.WHOLE),
        (patch(off(), {"op": "add", "path": "title", "value": "x"}), Reduction.WHOLE),
        (patch(off(True), off()), Reduction.PART),
        (patch(off(), off(True)), None),
        (patch(off(True)), None),
        (patch({"op": "remove", "path": "active"}), None),
        (patch({"op": "add", "path": "title", "value": "false"}), None),
        (patch({"op": "twist", "path": "active", "value": False}), None),
        (patch({"op": "replace", "path": "no such", "value": False}), None),
        ({"Operations": "none"}, None),
        ({}, None),
    ],
)
def test_a_patch_that_turns_an_account_off_is_a_reduction_however_it_is_spelled(
    body: Any, how: Reduction | None
) -> None:
    assert reduction("PATCH", body, USER) is how


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (patch({"op": "remove", "path": f'members[value eq "{ID}"]'}), Reduction.PART),
        (patch({"op": "Remove", "path": "members", "value": [{"value": str(ID)}]}), Reduction.PART),
        (patch({"op": "remove", "path": "members"}), Reduction.PART),
        (patch({"op": "add", "path": "members", "value": [{"value": str(ID)}]}), None),
        (
            patch({"op": "remove", "path": "members"}, {"op": "add", "path": "members", "value": [{"value": str(ID)}]}),
            None,
        ),
        (patch({"op": "replace", "path": "displayName", "value": "x"}), None),
    ],
)
def test_members_who_leave_a_group_are_a_reduction_and_nothing_else_of_it_is(body: Any, how: Reduction | None) -> None:
    assert reduction("PATCH", body, GROUP) is how


@pytest.mark.parametrize(
    ("method", "body", "kind", "how"),
    [
        ("DELETE", {}, USER, Reduction.WHOLE),
        ("DELETE", {}, GROUP, Reduction.WHOLE),
        ("DELETE", {}, ROLE, Reduction.WHOLE),
        ("PUT", a_user("ada", active=False), USER, Reduction.WHOLE),
        ("PUT", a_user("ada", active="False"), USER, Reduction.WHOLE),
        ("PUT", a_user("ada"), USER, None),
        ("PUT", {"active": False, "ACTIVE": True}, USER, None),
        ("PUT", a_group("Staff"), GROUP, None),
        ("POST", a_user("ada", active=False), USER, None),
        ("PATCH", patch(off()), ROLE, None),
    ],
)
def test_an_end_and_a_replacement_that_says_inactive_are_reductions_of_the_whole(
    method: str, body: Any, kind: Any, how: Reduction | None
) -> None:
    assert reduction(method, body, kind) is how


def test_what_is_to_be_made_needs_no_id_and_anything_else_does() -> None:
    assert is_addressed("POST", None)
    assert is_addressed("PATCH", ID)
    assert not is_addressed("PATCH", None)
