"""A request as it was kept: what is missing is said, and of what it speaks is known."""

from __future__ import annotations

from uuid import UUID

import pytest

from provisioning.scim.keeping import LEFT_OUT, kept_patch, kept_resource
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, GROUP, USER
from provisioning.scim.spoken import EVERYTHING, NotKept, Spoken, joined, restored, says_nothing, spoken_of, units
from tests.factories.replays import a_patch, active, joins, leaves, title

pytestmark = pytest.mark.unit

ADA, BOB = UUID(int=1 << 76 | 7 << 76), UUID("0198c2a0-0000-7000-8000-000000000002")


def test_what_the_schema_does_not_know_was_nothing_and_is_left_away():
    kept = kept_resource({"userName": "ada", "shoe": 42, "name": {"givenName": "Ada", "hat": 1}}, USER)
    assert kept[LEFT_OUT] == 1
    assert restored(kept, USER, was_taken=True) == {"userName": "ada", "name": {"givenName": "Ada"}}


def test_an_operation_that_led_nowhere_is_left_away_where_the_request_was_taken_all_the_same():
    kept = kept_patch(a_patch({"op": "add", "path": "urn:acme:shoe", "value": 1}), USER)
    assert says_nothing(restored(kept, USER, was_taken=True))
    with pytest.raises(NotKept, match="a path in it is not kept"):
        restored(kept, USER, was_taken=False)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (None, "its body is not kept"),
        ([], "its body is not kept"),
        ({"userName": "ada", "title": "***"}, "a secret in it is masked, at title"),
        ({"userName": "ada", "emails": [{"value": "***"}]}, "a secret in it is masked, at value"),
        (a_patch({"op": "replace", "path": "title", "value": "***"}), "a secret in it is masked, at title"),
        (a_patch({"op": LEFT_OUT, "path": "title", "value": "x"}), "an operation in it is not kept"),
        (a_patch("***"), "an operation in it is not kept"),
        ({"userName": LEFT_OUT}, "a part of it is left out, at userName"),
    ],
)
def test_anything_else_that_is_missing_is_said(body, says):
    with pytest.raises(NotKept, match=says):
        restored(body, USER, was_taken=True)


def test_a_password_was_never_kept_and_stays_masked():
    kept = kept_resource({"userName": "ada", "password": "hunter2"}, USER)
    assert restored(kept, USER, was_taken=True) == {"userName": "ada", "password": "***"}


@pytest.mark.parametrize(
    ("method", "body", "kind", "spoken"),
    [
        ("DELETE", None, USER, EVERYTHING),
        ("PUT", {"userName": "ada"}, USER, Spoken(names=None)),
        ("PUT", {"displayName": "Staff"}, GROUP, Spoken(names=None)),
        ("PUT", {"displayName": "Staff", "members": []}, GROUP, EVERYTHING),
        ("POST", {"displayName": "Staff"}, GROUP, EVERYTHING),
        ("PATCH", a_patch(active(False), title("x")), USER, Spoken(names=frozenset({"active", "title"}))),
        ("PATCH", a_patch({"op": "replace", "value": {"name.givenName": "A"}}), USER, Spoken(names=frozenset({"name"}))),
        (
            "PATCH", a_patch({"op": "add", "path": f"{ENTERPRISE_URN}:department", "value": "IT"}), USER,
            Spoken(names=frozenset({f"{ENTERPRISE_URN}:department"})),
        ),
        ("PATCH", a_patch(leaves(str(BOB))), GROUP, Spoken(members=frozenset({BOB}))),
        ("PATCH", a_patch(joins(str(BOB))), GROUP, Spoken(members=frozenset({BOB}))),
        ("PATCH", a_patch({"op": "remove", "path": "members"}), GROUP, Spoken(members=None)),
        ("PATCH", a_patch({"op": "replace", "path": "members", "value": []}), GROUP, Spoken(members=None)),
        ("PATCH", a_patch({"op": "replace", "path": "title", "value": "***"}), USER, EVERYTHING),
        ("PATCH", {"Operations": "none"}, USER, EVERYTHING),
    ],
)  # fmt: skip
def test_of_what_a_request_speaks(method, body, kind, spoken):
    assert spoken_of(method, body, kind) == spoken


def test_a_whole_extension_speaks_of_each_of_its_attributes():
    body = a_patch({"op": "replace", "path": ENTERPRISE_URN, "value": {"department": "IT"}})
    assert {f"{ENTERPRISE_URN}:{name}" for name in ("department", "employeeNumber")} <= spoken_of(
        "PATCH", body, USER
    ).names


def test_a_document_comes_apart_and_together_again():
    document = {"userName": "ada", "name": {"givenName": "A"}, ENTERPRISE_URN: {"department": "IT"}}
    assert units(document) == {"userName": "ada", "name": {"givenName": "A"}, f"{ENTERPRISE_URN}:department": "IT"}
    assert joined(units(document)) == document
