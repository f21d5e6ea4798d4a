"""`Prefer: return=…` (RFC 7240 section 4.2): how much of a resource a sender wants back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from provisioning.scim.effects import Wanted, read_preference
from tests.factories.scim import a_group, a_user

if TYPE_CHECKING:
    from tests.factories.scim import Idp, Reply

MINIMAL = "return=minimal"
TITLE = {"op": "replace", "path": "title", "value": "Lead"}


@pytest.mark.unit
@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", Wanted.WHATEVER),
        ("return=minimal", Wanted.MINIMAL),
        ('RETURN = "Minimal"; foo=1', Wanted.MINIMAL),
        ("handling=lenient, return=representation", Wanted.REPRESENTATION),
        ("return=minimal, return=representation", Wanted.MINIMAL),
        ("return=everything", Wanted.WHATEVER),
        ("respond-async", Wanted.WHATEVER),
    ],
)
def test_of_several_preferences_the_first_counts_and_unknown_ones_say_nothing(header: str, wanted: Wanted) -> None:
    assert read_preference(header) == wanted


def said(reply: Reply) -> tuple[int, object, str | None]:
    return reply.status, reply.body, reply.headers.get("Preference-Applied")


@pytest.mark.face
def test_a_minimal_answer_has_its_address_and_entity_tag_and_no_body(idp: Idp) -> None:
    made = idp.post("/Users", a_user("ada"), Prefer=MINIMAL)
    assert said(made) == (201, None, MINIMAL)
    address = made.headers["Location"].partition("/scim/v2")[2]
    shown = idp.get(address)
    assert (shown.status, shown["userName"]) == (200, "ada")
    assert made.headers["ETag"] == shown["meta"]["version"]

    changed = idp.patch(address, TITLE, Prefer=MINIMAL)
    assert said(changed) == (204, None, MINIMAL)
    assert changed.headers["ETag"] == idp.get(address)["meta"]["version"] != made.headers["ETag"]
    assert said(idp.put(address, a_user("ada", title="Lead"), Prefer=MINIMAL)) == (204, None, MINIMAL)
    assert said(idp.patch(f"{address}?attributes=title", TITLE, Prefer=MINIMAL))[0] == 200


@pytest.mark.face
def test_what_a_minimal_answer_does_not_show_is_not_read(idp: Idp) -> None:
    ada = idp.user("ada")
    group = idp.group("Staff", ada)
    with CaptureQueriesContext(connection) as queries:
        assert said(idp.put(f"/Groups/{group}", a_group("Crew"), Prefer=MINIMAL)) == (204, None, MINIMAL)
    reads = [one["sql"] for one in queries.captured_queries if one["sql"].startswith("SELECT")]
    assert not any('"origin_type"' in one for one in reads)
    assert idp.members(group) == {ada}


@pytest.mark.face
def test_a_large_group_is_shown_after_a_change_to_who_asks_for_it(idp: Idp) -> None:
    group = idp.group("Staff", *[idp.user(f"u{number}") for number in range(101)])
    one = {"op": "add", "path": "members", "value": [{"value": idp.user("eva")}]}
    assert said(idp.patch(f"/Groups/{group}", one)) == (204, None, None)
    shown = idp.patch(f"/Groups/{group}", one, Prefer="return=representation")
    assert (shown.status, len(shown["members"])) == (200, 102)
    assert shown.headers["Preference-Applied"] == "return=representation"


@pytest.mark.face
def test_a_repeat_of_what_was_made_in_silence_says_where_it_is(idp: Idp) -> None:
    first = idp.post("/Users", a_user("ada"), Prefer=MINIMAL, Idempotency_Key="k1")
    again = idp.post("/Users", a_user("ada"), Prefer=MINIMAL, Idempotency_Key="k1")
    assert (again.status, again.headers["Location"]) == (201, first.headers["Location"])
    assert idp.last().outcome == "duplicate"


@pytest.mark.face
def test_a_refusal_says_what_is_wrong_whatever_is_preferred(idp: Idp) -> None:
    refused = idp.post("/Users", a_user(""), Prefer=MINIMAL)
    assert (refused.status, refused["scimType"]) == (400, "invalidValue")
