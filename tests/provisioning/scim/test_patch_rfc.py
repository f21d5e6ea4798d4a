"""The examples of RFC 7644 section 3.5.2, as they stand there."""

from __future__ import annotations

from typing import Any

import pytest

from provisioning.scim.errors import ScimError
from provisioning.scim.metadata.catalogue import GROUP, USER
from provisioning.scim.patch.engine import apply
from provisioning.scim.patch.groups import apply_group
from provisioning.scim.patch.operations import read_patch
from provisioning.scim.patch.path import parse_path
from tests.factories.scim import PATCH_URN

pytestmark = pytest.mark.unit

ONE, TWO = "2819c223-7f76-453a-919d-413861904646", "08e1d05d-121c-4561-8b96-473d93df9210"
BABS: dict[str, Any] = {
    "userName": "bjensen",
    "emails": [{"type": "work", "value": "bjensen@example.com", "primary": True}],
    "addresses": [
        {"type": "home", "streetAddress": "456 Hollywood Blvd", "locality": "Hollywood"},
        {"type": "work", "streetAddress": "100 Universal City Plaza", "locality": "Hollywood", "region": "CA"},
    ],
}
NEW_ADDRESS = {
    "type": "work",
    "streetAddress": "911 Universal City Plaza",
    "locality": "Hollywood",
    "region": "CA",
    "postalCode": "91608",
    "country": "US",
    "formatted": "911 Universal City Plaza\nHollywood, CA 91608 US",
    "primary": True,
}


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    return apply(BABS, read_patch({"schemas": [PATCH_URN], "Operations": list(operations)}, USER), USER).document


def steps(*operations: dict[str, Any]) -> list[tuple[str, list[str]]]:
    result = apply_group(
        {"displayName": "x"}, read_patch({"schemas": [PATCH_URN], "Operations": list(operations)}, GROUP)
    )
    return [(step.op, [str(one) for one in step.values]) for step in result.member_steps]


@pytest.mark.parametrize(
    ("path", "in_type"),
    [
        ("members", GROUP),
        ("name.familyName", USER),
        ('addresses[type eq "work"]', USER),
        (f'members[value eq "{ONE}"]', GROUP),
        ('addresses[type eq "work"].streetAddress', USER),
    ],
)
def test_the_paths_of_figure_7_are_paths(path: str, in_type: Any) -> None:
    assert parse_path(path, in_type).ref.attribute is not None


def test_adding_a_member() -> None:
    member = {"display": "Babs Jensen", "$ref": f"https://example.com/v2/Users/{ONE}", "value": ONE}
    assert steps({"op": "add", "path": "members", "value": [member]}) == [("add", [ONE])]


def test_adding_without_a_path_merges_into_the_resource() -> None:
    value = {"emails": [{"value": "babs@jensen.org", "type": "home"}], "nickname": "Babs"}
    after = patched({"op": "add", "value": value})
    assert after == {
        **BABS,
        "emails": [*BABS["emails"], {"value": "babs@jensen.org", "type": "home"}],
        "nickName": "Babs",
    }


def test_removing_members_one_all_and_by_two_terms() -> None:
    assert steps({"op": "remove", "path": f'members[value eq "{ONE}"]'}) == [("remove", [ONE])]
    assert steps({"op": "remove", "path": "members"}) == [("remove_all", [])]


def test_removing_a_value_by_a_filter_with_two_terms() -> None:
    operation = {"op": "remove", "path": 'emails[type eq "work" and value ew "example.com"]'}
    assert patched(operation) == {name: value for name, value in BABS.items() if name != "emails"}


def test_removing_one_member_and_adding_another_in_one_request() -> None:
    added = {"display": "James Smith", "$ref": f"https://example.com/v2/Users/{TWO}", "value": TWO}
    assert steps(
        {"op": "remove", "path": f'members[value eq "{ONE}"]'}, {"op": "add", "path": "members", "value": [added]}
    ) == [("remove", [ONE]), ("add", [TWO])]


def test_replacing_all_members() -> None:
    value = [{"display": "Babs Jensen", "value": ONE}, {"display": "James Smith", "value": TWO}]
    assert steps({"op": "replace", "path": "members", "value": value}) == [("replace", [ONE, TWO])]


def test_replacing_a_whole_address_by_a_filter() -> None:
    after = patched({"op": "replace", "path": 'addresses[type eq "work"]', "value": NEW_ADDRESS})
    assert after["addresses"] == [BABS["addresses"][0], NEW_ADDRESS]


def test_replacing_a_part_of_an_address() -> None:
    operation = {"op": "replace", "path": 'addresses[type eq "work"].streetAddress', "value": "1010 Broadway Ave"}
    assert patched(operation)["addresses"] == [
        BABS["addresses"][0],
        {**BABS["addresses"][1], "streetAddress": "1010 Broadway Ave"},
    ]


def test_replacing_without_a_path_sets_what_is_named() -> None:
    emails = [
        {"value": "bjensen@example.com", "type": "work", "primary": True},
        {"value": "babs@jensen.org", "type": "home"},
    ]
    assert patched({"op": "replace", "value": {"emails": emails, "nickname": "Babs"}}) == {
        **BABS, "emails": emails, "nickName": "Babs",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"op": "remove"}, "noTarget"),
        ({"op": "replace", "path": 'addresses[type eq "other"]', "value": NEW_ADDRESS}, "noTarget"),
        ({"op": "remove", "path": "userName"}, "mutability"),
        ({"op": "replace", "path": "id", "value": "x"}, "mutability"),
        ({"op": "add", "path": "addresses[", "value": "x"}, "invalidPath"),
    ],
)
def test_what_the_section_calls_an_error_is_one(operation: dict[str, Any], scim_type: str) -> None:
    with pytest.raises(ScimError) as caught:
        patched(operation)
    assert (caught.value.status, caught.value.scim_type) == (400, scim_type)
