"""Which attributes and which page an answer has."""

from typing import Any

import pytest

from provisioning.scim.errors import ScimError
from provisioning.scim.filters.grammar import parse_filter
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, GROUP, NHI_URN, USER, USER_URN
from provisioning.scim.projection import (
    SEARCH_REQUEST_URN,
    Page,
    read_listings,
    read_page,
    read_projection,
    read_search,
    read_sort,
)

pytestmark = pytest.mark.unit
ALICE: dict[str, Any] = {
    "schemas": [USER_URN, ENTERPRISE_URN],
    "id": "1",
    "userName": "alice",
    "active": False,
    "name": {"givenName": "A", "familyName": "S"},
    "emails": [{"value": "a@b", "type": "work"}, {"type": "home"}],
    ENTERPRISE_URN: {"department": "X", "manager": {"value": "2", "displayName": "Boss"}},
    NHI_URN: {"kind": "person"},
    "meta": {"resourceType": "User", "version": "1"},
    "password": "never",
}
ALWAYS = {"schemas": ALICE["schemas"], "id": "1"}
PUBLIC = {name: value for name, value in ALICE.items() if name != "password"}


def shown(**parameters: Any) -> dict[str, Any]:
    return read_projection(parameters, USER).apply(ALICE)


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in PUBLIC.items() if name not in names}


def refused(read: Any, *arguments: Any) -> tuple[int, str | None]:
    with pytest.raises(ScimError) as caught:
        read(*arguments)
    return caught.value.status, caught.value.scim_type


def test_everything_but_what_is_never_returned_is_shown_unless_asked() -> None:
    assert shown() == PUBLIC
    assert shown(attributes="") == PUBLIC
    assert shown(attributes="password") == ALWAYS


@pytest.mark.parametrize(
    ("attributes", "more"),
    [
        ("userName", {"userName": "alice"}),
        ("USERNAME, active", {"userName": "alice", "active": False}),
        (["userName", "active"], {"userName": "alice", "active": False}),
        (f"{USER_URN}:userName", {"userName": "alice"}),
        ("name.givenName", {"name": {"givenName": "A"}}),
        ("name.givenName,name", {"name": PUBLIC["name"]}),
        ("name.middleName", {}),
        ("emails.value", {"emails": [{"value": "a@b"}]}),
        ("emails.display", {}),
        (f"{ENTERPRISE_URN}:manager.value", {ENTERPRISE_URN: {"manager": {"value": "2"}}}),
        (ENTERPRISE_URN.lower(), {ENTERPRISE_URN: PUBLIC[ENTERPRISE_URN]}),
        ("meta.version", {"meta": {"version": "1"}}),
        ("id", {}),
        ("nothing", {}),
    ],
)
def test_only_what_is_asked_for_and_what_is_always_returned_is_shown(attributes: Any, more: dict[str, Any]) -> None:
    assert shown(attributes=attributes) == {**ALWAYS, **more}


@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        ("emails", without("emails")),
        ("EMAILS,name", without("emails", "name")),
        ("name.givenName", {**PUBLIC, "name": {"familyName": "S"}}),
        ("emails.type", {**PUBLIC, "emails": [{"value": "a@b"}]}),
        (ENTERPRISE_URN, without(ENTERPRISE_URN)),
        (f"{ENTERPRISE_URN}:department", {**PUBLIC, ENTERPRISE_URN: {"manager": ALICE[ENTERPRISE_URN]["manager"]}}),
        (f"{NHI_URN}:kind", without(NHI_URN)),
        ("meta", without("meta")),
        ("id,schemas", PUBLIC),
        ("nothing", PUBLIC),
    ],
)
def test_what_is_excluded_is_not_shown_unless_it_always_is(excluded: str, expected: dict[str, Any]) -> None:
    assert shown(excludedAttributes=excluded) == expected


def test_both_at_once_are_refused() -> None:
    parameters = {"attributes": "userName", "excludedattributes": "emails"}
    assert refused(read_projection, parameters, USER) == (400, "invalidValue")
    assert shown(attributes="userName", excludedAttributes="") == {**ALWAYS, "userName": "alice"}


@pytest.mark.parametrize("value", [5, [1], {"a": 1}, True, ",".join(["a"] * 201)])
def test_names_that_are_none_or_too_many_are_refused(value: Any) -> None:
    assert refused(read_projection, {"attributes": value}, USER) == (400, "invalidValue")


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ({}, True),
        ({"excludedAttributes": "members"}, False),
        ({"excludedattributes": "MEMBERS"}, False),
        ({"excludedAttributes": "urn:ietf:params:scim:schemas:core:2.0:Group:members"}, False),
        ({"excludedAttributes": "members.display"}, True),
        ({"excludedAttributes": "displayName"}, True),
        ({"attributes": "displayName"}, False),
        ({"attributes": "members"}, True),
        ({"attributes": "members.value"}, True),
        ({"attributes": "nothing"}, False),
    ],
)
def test_members_are_wanted_only_if_they_are_shown(parameters: dict[str, str], wanted: bool) -> None:
    assert read_projection(parameters, GROUP).wants("members") is wanted


@pytest.mark.parametrize(
    ("parameters", "page"),
    [
        ({}, Page(start=1, count=100)),
        ({"startIndex": "11", "count": "5"}, Page(start=11, count=5)),
        ({"startindex": "0", "COUNT": "0"}, Page(start=1, count=0)),
        ({"startIndex": "-3", "count": "-5"}, Page(start=1, count=0)),
        ({"startIndex": ["2"], "count": ["3"]}, Page(start=2, count=3)),
        ({"startIndex": 2, "count": 3}, Page(start=2, count=3)),
        ({"count": "1001"}, Page(start=1, count=1000)),
        ({"startIndex": "999999999999999999"}, Page(start=2**31 - 1, count=100)),
        ({"startIndex": None, "count": None}, Page()),
    ],
)
def test_the_page_is_read_by_the_rules_of_the_rfc(parameters: dict[str, Any], page: Page) -> None:
    assert read_page(parameters) == page


@pytest.mark.parametrize(
    "parameters",
    [
        {"startIndex": "x"},
        {"count": "1.5"},
        {"count": ""},
        {"count": " 5"},
        {"count": "\u0665"},
        {"count": "9" * 30},
        {"count": True},
        {"count": 1.5},
        {"count": {"a": 1}},
        {"count": ["1", "2"]},
        {"count": "1", "COUNT": "2"},
    ],
)
def test_what_is_no_whole_number_is_refused(parameters: dict[str, Any]) -> None:
    assert refused(read_page, parameters) == (400, "invalidValue")


def test_a_page_is_a_slice() -> None:
    rows = list(range(1, 21))
    assert rows[Page(start=11, count=5).slice] == [11, 12, 13, 14, 15]
    assert rows[Page(start=1, count=0).slice] == []
    assert rows[Page(start=19, count=5).slice] == [19, 20]


def test_the_order_is_read_and_its_attribute_known() -> None:
    sort = read_sort({"sortby": "NAME.givenname", "sortOrder": "Descending"}, USER)
    assert sort is not None
    assert (sort.ref.path, sort.descending) == ("name.givenName", True)
    assert read_sort({}, USER) is None
    ascending = read_sort({"sortBy": "userName"}, USER)
    assert ascending is not None
    assert ascending.descending is False


@pytest.mark.parametrize(
    "parameters",
    [
        {"sortBy": "foo"},
        {"sortBy": "password"},
        {"sortBy": 5},
        {"sortBy": ENTERPRISE_URN},
        {"sortBy": "title", "sortOrder": "up"},
        {"sortBy": "title", "sortOrder": 1},
    ],
)
def test_an_unknown_order_is_refused(parameters: dict[str, Any]) -> None:
    assert refused(read_sort, parameters, USER) == (400, "invalidValue")


def test_a_list_request_has_filter_page_order_and_projection() -> None:
    parameters = {
        "filter": ["(ActiVe eq true) and title pr"],
        "count": ["100"],
        "startindex": ["0"],
        "attributes": ["userName"],
        "sortBy": ["userName"],
        "unknown": ["x", "y"],
    }
    listing = read_listings(parameters, (USER,))[0]
    assert listing.filter == parse_filter("active eq true and title pr", USER)
    assert listing.page == Page(start=1, count=100)
    assert listing.projection.apply(ALICE) == {**ALWAYS, "userName": "alice"}
    assert listing.sort is not None
    assert read_listings({}, (USER,))[0].filter is None


@pytest.mark.parametrize(
    ("text", "scim_type"), [("", "invalidFilter"), (5, "invalidFilter"), (["a", "b"], "invalidValue")]
)
def test_a_filter_that_is_none_is_refused_and_never_everything(text: Any, scim_type: str) -> None:
    assert refused(read_listings, {"filter": text}, (USER,)) == (400, scim_type)


def test_a_search_has_the_same_in_its_body() -> None:
    body = {
        "schemas": [SEARCH_REQUEST_URN],
        "filter": 'userName sw "user"',
        "startIndex": 1,
        "count": 1,
        "attributes": ["userName"],
        "excludedAttributes": None,
        "sortBy": "userName",
        "sortOrder": "descending",
    }
    listing = read_search(body, (USER,))[0]
    assert listing.filter == parse_filter('userName sw "user"', USER)
    assert (listing.page, listing.sort and listing.sort.descending) == (Page(start=1, count=1), True)
    for wrong in ({**body, "schemas": [USER_URN]}, {**body, "schemas": None}, {"filter": "title pr"}):
        assert refused(read_search, wrong, (USER,)) == (400, "invalidSyntax")
