"""Resources of every type in one list (RFC 7644 section 3.4.2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from provisioning.scim.filters.evaluate import matches
from provisioning.scim.filters.grammar import parse_filter
from provisioning.scim.metadata.catalogue import GROUP, USER
from tests.factories.scim import SEARCH_URN

if TYPE_CHECKING:
    from tests.factories.scim import Idp

pytestmark = pytest.mark.face


@pytest.fixture
def both(idp: Idp) -> Idp:
    """Two users and two groups, made in turns."""
    ada = idp.user("ada", displayName="Ada", title="Boss")
    idp.group("Zebras", members=[{"value": ada}])
    idp.user("bob", displayName="Bob")
    idp.group("Bears")
    return idp


def names(answer: Any) -> list[str]:
    assert answer.status == 200, answer
    return [f"{one['meta']['resourceType']} {one['displayName']}" for one in answer["Resources"]]


def search(idp: Idp, **asked: Any) -> Any:
    return idp.post("/.search", {"schemas": [SEARCH_URN], **asked})


EVERY = ["User Ada", "Group Zebras", "User Bob", "Group Bears"]


def test_the_base_lists_resources_of_every_type(both: Idp) -> None:
    answer = both.get("/")
    assert names(answer) == names(search(both)) == EVERY
    assert (answer["totalResults"], answer["itemsPerPage"], answer["startIndex"]) == (4, 4, 1)
    zebras = answer["Resources"][1]
    assert [one["value"] for one in zebras["members"]] == [answer["Resources"][0]["id"]]
    assert zebras["schemas"] == ["urn:ietf:params:scim:schemas:core:2.0:Group"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ('displayName sw "b"', ["User Bob", "Group Bears"]),
        ('userName eq "bob"', ["User Bob"]),
        ('userName eq "bob" or displayName eq "zebras"', ["Group Zebras", "User Bob"]),
        ('not (userName eq "bob")', ["User Ada", "Group Zebras", "Group Bears"]),
        ('userName ne "bob"', ["User Ada", "Group Zebras", "Group Bears"]),
        ("title pr", ["User Ada"]),
        ("not (title pr)", ["Group Zebras", "User Bob", "Group Bears"]),
        ("userName eq null", ["Group Zebras", "Group Bears"]),
        ('emails[type eq "work"] and displayName pr', []),
        ('meta.resourceType eq "Group"', ["Group Zebras", "Group Bears"]),
    ],
)
def test_what_a_type_does_not_have_is_without_a_value(both: Idp, wanted: str, found: list[str]) -> None:
    assert names(search(both, filter=wanted)) == found


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ({"sortBy": "displayName"}, ["User Ada", "Group Bears", "User Bob", "Group Zebras"]),
        ({"sortBy": "userName"}, ["User Ada", "User Bob", "Group Zebras", "Group Bears"]),
        ({"sortBy": "title", "sortOrder": "descending"}, ["Group Zebras", "User Bob", "Group Bears", "User Ada"]),
    ],
)
def test_one_order_goes_through_all_types(both: Idp, order: dict[str, str], found: list[str]) -> None:
    assert names(search(both, **order)) == found
    first = search(both, **order, count=3, cursor="")
    assert names(first) == found[:3]
    assert names(search(both, **order, count=3, cursor=first["nextCursor"])) == found[3:]


def test_pages_and_projection_are_as_in_any_list(both: Idp) -> None:
    assert names(search(both, startIndex=2, count=2)) == EVERY[1:3]
    shown = search(both, attributes=["userName"])["Resources"]
    assert [one.keys() - {"schemas", "id"} for one in shown] == [{"userName"}, set(), {"userName"}, set()]


def test_what_no_type_has_is_refused(both: Idp) -> None:
    for asked, scim_type in (
        ({"filter": "nowhere pr"}, "invalidFilter"),
        ({"filter": "userName eq 5"}, "invalidFilter"),
        ({"sortBy": "nowhere"}, "invalidValue"),
    ):
        refused = search(both, **asked)
        assert (refused.status, refused["scimType"]) == (400, scim_type)


def test_another_directorys_resources_are_not_in_it(both: Idp, other: Idp) -> None:
    assert other.get("/")["totalResults"] == 0


def test_a_long_page_costs_as_many_queries_as_a_short_one(both: Idp) -> None:
    with CaptureQueriesContext(connection) as short:
        both.get("/?count=2")
    with CaptureQueriesContext(connection) as long:
        both.get("/?count=4")
    assert len(long) == len(short)


@pytest.mark.parametrize(
    ("wanted", "is_true"),
    [("userName pr", False), ('userName ne "x"', True), ("userName ne null", False), ('title gt "a"', False)],
)
def test_the_evaluator_agrees_about_what_is_absent(wanted: str, *, is_true: bool) -> None:
    assert matches(parse_filter(wanted, GROUP, beside=(USER,)), {"displayName": "Zebras"}) is is_true
