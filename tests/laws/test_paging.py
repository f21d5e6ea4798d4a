"""Pages, put together, are the list: by index and by cursor, in any order, of any filter, in pages of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.world import law

if TYPE_CHECKING:
    from tests.factories.scim import Idp

pytestmark = [pytest.mark.law, pytest.mark.django_db]

sorts = st.sampled_from([
    "", "sortBy=userName", "sortBy=userName&sortOrder=descending", "sortBy=title", "sortBy=title&sortOrder=descending",
    "sortBy=emails", "sortBy=externalId&sortOrder=descending", "sortBy=displayName", "sortBy=meta.lastModified", "sortBy=id",
    "sortBy=name.familyName&sortOrder=descending", "sortBy=emails.type",
])  # fmt: skip
wanted = st.sampled_from(
    ["", "active eq true", "not (title pr)", 'userName gt "a"', "emails pr or title pr", 'userName eq "x"']
)


def by_cursor(idp: Idp, query: str, size: int, between: Any = None) -> list[str]:
    """The ids of all pages; `between` is done after each."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = idp.get(f"/Users?{query}&count={size}&cursor={cursor}")
        assert page.status == 200, page
        assert len(page["Resources"]) <= size
        found += [one["id"] for one in page["Resources"]]
        cursor = page.body.get("nextCursor")
        if between is not None:
            between(found)
    return found


def test_pages_put_together_are_the_list(filled: Idp) -> None:
    @law(40)
    @given(sorts, wanted, st.integers(1, 6))
    def holds(sort: str, written: str, size: int) -> None:
        query = sort + (f"&filter={quote(written)}" if written else "")
        whole = filled.get(f"/Users?{query}")
        ids = [one["id"] for one in whole["Resources"]]
        assert len(set(ids)) == len(ids) == whole["totalResults"]
        assert by_cursor(filled, query, size) == ids, (query, size)
        by_index: list[str] = []
        while page := filled.get(f"/Users?{query}&count={size}&startIndex={len(by_index) + 1}")["Resources"]:
            by_index += [one["id"] for one in page]
        assert by_index == ids, (query, size)

    holds()


def test_what_stayed_is_in_the_pages_once_whatever_came_and_went_meanwhile(idp: Idp) -> None:
    stays = [idp.user(f"m{n}", title=f"t{n % 3}") for n in range(6)]
    number = iter(range(1000))

    @law(12)
    @given(sorts, st.integers(1, 4), st.data())
    def holds(sort: str, size: int, data: st.DataObject) -> None:
        passing = [idp.user(f"p{next(number)}", title=data.draw(st.sampled_from(["a", "t1", "z"]))) for _ in range(2)]

        def between(found: list[str]) -> None:
            if passing and data.draw(st.booleans()):
                # Also the one at which the last page ended.
                gone = found[-1] if found and found[-1] in passing and data.draw(st.booleans()) else passing[0]
                passing.remove(gone)
                assert idp.delete(f"/Users/{gone}").status == 204
            if len(passing) < 3 and data.draw(st.booleans()):
                passing.append(idp.user(f"{data.draw(st.sampled_from('az'))}{next(number)}"))

        found = by_cursor(idp, sort, size, between)
        assert len(set(found)) == len(found)
        assert sorted(one for one in found if one in stays) == sorted(stays)
        for one in passing:
            idp.delete(f"/Users/{one}")

    holds()
