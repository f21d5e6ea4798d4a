"""What an identity provider sends on: its own id as externalId, references in the other system's ids, in an order that works."""

from __future__ import annotations

import copy

import pytest

from demo.documents import ENTERPRISE, NHI, provisioned, waves

pytestmark = pytest.mark.unit


def test_a_resource_is_sent_on_with_its_id_as_external_id_and_translated_references() -> None:
    resource = {
        "id": "d-1",
        "meta": {"version": 'W/"1"'},
        "userName": "svc-a",
        ENTERPRISE: {"manager": {"value": "d-2", "$ref": "http://directory/Users/d-2"}},
        NHI: {"owners": [{"value": "d-3", "type": "primary"}]},
    }
    before = copy.deepcopy(resource)
    assert provisioned(resource, ids={"d-2": "r-2", "d-3": "r-3"}) == {
        "externalId": "d-1",
        "userName": "svc-a",
        ENTERPRISE: {"manager": {"value": "r-2"}},
        NHI: {"owners": [{"value": "r-3", "type": "primary"}]},
    }
    assert resource == before


def test_a_reference_to_nobody_known_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="d-9"):
        provisioned({"id": "d-1", "members": [{"value": "d-9"}]}, ids={})


def test_managers_come_in_an_earlier_wave_than_whom_they_manage() -> None:
    def user(name: str, manager: str | None = None) -> dict[str, object]:
        return {"id": name, "userName": name, **({ENTERPRISE: {"manager": {"value": manager}}} if manager else {})}

    resources = [user("c", "b"), user("b", "a"), user("a"), user("d", "known")]
    assert [[one["id"] for one in wave] for wave in waves(resources, known=["known"])] == [["a", "d"], ["b"], ["c"]]


def test_a_circle_is_told_instead_of_waited_for() -> None:
    circle = [
        {"id": "a", "userName": "a@halyard.example", ENTERPRISE: {"manager": {"value": "b"}}},
        {"id": "b", "userName": "b@halyard.example", ENTERPRISE: {"manager": {"value": "a"}}},
    ]
    with pytest.raises(ValueError, match=r"2 resources .* a@halyard\.example, b@halyard\.example"):
        list(waves(circle, known=[]))
