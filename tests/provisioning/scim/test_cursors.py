"""Lists by cursor: every resource once, whatever the order, and no cursor where it does not belong (RFC 9865)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from provisioning.scim.cursors import cursor_after, read_cursor
from provisioning.scim.errors import ScimError
from tests.factories.scim import SEARCH_URN

if TYPE_CHECKING:
    from tests.factories.scim import Idp

LAST = UUID("01a20bb1-1fb1-770c-9488-793b8ea2d22c")


@pytest.mark.unit
def test_a_cursor_holds_the_last_id_in_unreserved_characters() -> None:
    cursor = cursor_after(LAST, of="users")
    assert re.fullmatch(r"[A-Za-z0-9_-]{38}", cursor)
    assert read_cursor(cursor, of="users") == LAST


@pytest.mark.unit
@pytest.mark.parametrize("text", ["x", "é", "=", "A" * 38, "A" * 4000, "\x00", " ", "AAAA AAAA"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ScimError) as refused:
        read_cursor(text, of="users")
    assert (refused.value.status, refused.value.scim_type) == (400, "invalidCursor")


@pytest.mark.unit
def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(ScimError):
        read_cursor(cursor_after(LAST, of="users"), of="groups")


@pytest.mark.unit
def test_a_cursor_with_another_id_is_refused() -> None:
    ours, other = cursor_after(LAST, of="users"), cursor_after(uuid4(), of="users")
    with pytest.raises(ScimError):
        read_cursor(other[:20] + ours[20:], of="users")


def walked(idp: Idp, query: str, *, count: int = 2) -> list[str]:
    """The user names of all pages, in order; each page but the last has a cursor."""
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = idp.get(f"/Users?cursor={cursor}&count={count}{query}")
        assert answer.status == 200, answer
        assert "startIndex" not in answer.body
        assert answer["itemsPerPage"] == len(answer["Resources"]) <= count
        names += [one["userName"] for one in answer["Resources"]]
        cursor = answer.body.get("nextCursor")
    return names


@pytest.fixture
def five(idp: Idp) -> Idp:
    """A directory of five, two of which have no title, and two the same one."""
    for name, more in (
        ("dora", {"title": "Boss"}),
        ("Alice", {"title": "Clerk"}),
        ("eve", {}),
        ("bob", {"title": "clerk"}),
        ("carol", {}),
    ):
        idp.user(name, **more)
    return idp


@pytest.mark.face
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["dora", "Alice", "eve", "bob", "carol"]),
        ("&filter=title%20pr", ["dora", "Alice", "bob"]),
        ("&sortBy=userName", ["Alice", "bob", "carol", "dora", "eve"]),
        ("&sortBy=userName&sortOrder=descending", ["eve", "dora", "carol", "bob", "Alice"]),
        ("&sortBy=title", ["dora", "Alice", "bob", "eve", "carol"]),
        ("&sortBy=title&sortOrder=descending", ["eve", "carol", "Alice", "bob", "dora"]),
        ("&sortBy=meta.created", ["dora", "Alice", "eve", "bob", "carol"]),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_every_page_by_cursor_together_is_the_list(five: Idp, query: str, names: list[str], count: int) -> None:
    assert walked(five, query, count=count) == names
    listed = five.get(f"/Users?{query.removeprefix('&')}")
    assert [one["userName"] for one in listed["Resources"]] == names


@pytest.mark.face
def test_what_is_made_or_ended_between_two_pages_moves_nothing(five: Idp) -> None:
    first = five.get("/Users?cursor=&count=2")
    assert [one["userName"] for one in first["Resources"]] == ["dora", "Alice"]
    five.delete(f"/Users/{first['Resources'][1]['id']}")
    five.user("frank")
    second = five.get(f"/Users?cursor={first['nextCursor']}&count=2")
    assert [one["userName"] for one in second["Resources"]] == ["eve", "bob"]
    third = five.get(f"/Users?cursor={second['nextCursor']}&count=2")
    assert [one["userName"] for one in third["Resources"]] == ["carol", "frank"]
    assert "nextCursor" not in third.body


@pytest.mark.face
def test_count_zero_by_cursor_asks_for_the_total_alone(five: Idp) -> None:
    answer = five.get("/Users?cursor=&count=0")
    assert (answer["totalResults"], answer["Resources"]) == (5, [])
    assert "nextCursor" not in answer.body


@pytest.mark.face
def test_a_cursor_works_in_a_search_too(five: Idp) -> None:
    asked: dict[str, Any] = {"schemas": [SEARCH_URN], "cursor": "", "count": 3, "sortBy": "userName"}
    first = five.post("/Users/.search", asked)
    assert [one["userName"] for one in first["Resources"]] == ["Alice", "bob", "carol"]
    second = five.post("/Users/.search", {**asked, "cursor": first["nextCursor"]})
    assert [one["userName"] for one in second["Resources"]] == ["dora", "eve"]


@pytest.mark.face
def test_a_cursor_fits_only_its_own_list(five: Idp, other: Idp) -> None:
    cursor = five.get("/Users?cursor=&count=2")["nextCursor"]
    for wrong in (
        f"/Groups?cursor={cursor}",
        f"/Users?cursor={cursor}&filter=title%20pr",
        f"/Users?cursor={cursor}&sortBy=userName",
        f"/Users?cursor={cursor}x",
    ):
        refused = five.get(wrong)
        assert (refused.status, refused["scimType"]) == (400, "invalidCursor"), wrong
    refused = other.get(f"/Users?cursor={cursor}")
    assert (refused.status, refused["scimType"]) == (400, "invalidCursor")


@pytest.mark.face
def test_a_place_in_the_list_is_said_in_one_way_only(five: Idp) -> None:
    refused = five.get("/Users?cursor=&startIndex=1")
    assert (refused.status, refused["scimType"]) == (400, "invalidValue")
    refused = five.post("/Users/.search", {"schemas": [SEARCH_URN], "cursor": 5})
    assert (refused.status, refused["scimType"]) == (400, "invalidCursor")


@pytest.mark.face
@pytest.mark.parametrize("query", ["", "&sortBy=title"])
def test_a_later_page_costs_as_many_queries_as_an_early_one(five: Idp, query: str) -> None:
    first = five.get(f"/Users?cursor=&count=1{query}")
    with CaptureQueriesContext(connection) as second:
        page = five.get(f"/Users?cursor={first['nextCursor']}&count=1{query}")
    with CaptureQueriesContext(connection) as third:
        five.get(f"/Users?cursor={page['nextCursor']}&count=3{query}")
    assert len(third) == len(second)
