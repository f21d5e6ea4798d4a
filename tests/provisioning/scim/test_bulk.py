"""Several operations in one request: each is one of its own, references between them resolve (RFC 7644 section 3.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from provisioning.changes import Intent, Outcome
from provisioning.scim.bulk_request import BULK_REQUEST_URN, BULK_RESPONSE_URN
from tests.factories.scim import PATCH_URN, a_group, a_user, connect

if TYPE_CHECKING:
    from accounts.models import Tenant
    from tests.factories.scim import Idp, Reply

pytestmark = pytest.mark.face


def bulk(idp: Idp, *operations: Any, key: str | None = None, **more: Any) -> Reply:
    """One bulk request."""
    headers = {"Idempotency_Key": key} if key else {}
    return idp.post("/Bulk", {"schemas": [BULK_REQUEST_URN], **more, "Operations": list(operations)}, **headers)


def make(path: str, bulk_id: str, data: Any, **more: Any) -> dict[str, Any]:
    return {"method": "POST", "path": path, "bulkId": bulk_id, "data": data, **more}


def user(bulk_id: str, name: str | None = None, **attributes: Any) -> dict[str, Any]:
    return make("/Users", bulk_id, a_user(name or bulk_id, **attributes))


def group(bulk_id: str, *members: str, **attributes: Any) -> dict[str, Any]:
    return make("/Groups", bulk_id, a_group(bulk_id, *members, **attributes))


def statuses(answer: Reply) -> list[str]:
    assert answer.status == 200, answer
    assert answer["schemas"] == [BULK_RESPONSE_URN]
    return [one["status"] for one in answer["Operations"]]


def id_of(answer: Reply, index: int) -> str:
    return str(answer["Operations"][index]["location"].rpartition("/")[2])


def test_each_operation_is_answered_with_its_status_its_location_and_its_version(idp: Idp) -> None:
    ada = idp.user("ada")
    version = idp.get(f"/Users/{ada}").headers["ETag"]
    eva = idp.user("eva")
    answer = bulk(
        idp,
        user("new"),
        {"method": "patch", "path": f"/Users/{ada}", "version": version, "data": off()},
        {"method": "DELETE", "path": f"/Users/{eva}", "bulkId": "gone"},
    )
    assert statuses(answer) == ["201", "200", "204"]
    created, changed, ended = answer["Operations"]
    assert idp.get(f"/Users/{id_of(answer, 0)}")["userName"] == "new"
    assert created == {
        "method": "POST",
        "bulkId": "new",
        "status": "201",
        "location": f"http://testserver/scim/v2/Users/{id_of(answer, 0)}",
        "version": idp.get(f"/Users/{id_of(answer, 0)}").headers["ETag"],
    }
    assert changed["location"].endswith(f"/Users/{ada}")
    assert ended == {"method": "DELETE", "bulkId": "gone", "status": "204", "location": ended["location"]}
    assert idp.get(f"/Users/{ada}")["active"] is False
    assert idp.get(f"/Users/{eva}").status == 404


def off() -> dict[str, Any]:
    return {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "path": "active", "value": False}]}


def test_an_operation_refers_to_a_later_one(idp: Idp) -> None:
    answer = bulk(idp, group("staff", "bulkId:ada"), user("ada"))
    assert statuses(answer) == ["201", "201"]
    assert idp.members(id_of(answer, 0)) == {id_of(answer, 1)}


def test_a_path_refers_to_what_was_made_in_the_same_request(idp: Idp) -> None:
    add = {"op": "add", "path": "members", "value": [{"value": "bulkId:ada"}]}
    answer = bulk(
        idp,
        {"method": "PATCH", "path": "/Groups/bulkId:staff", "data": {"schemas": [PATCH_URN], "Operations": [add]}},
        user("ada"),
        group("staff"),
    )
    assert statuses(answer) == ["200", "201", "201"] or statuses(answer) == ["204", "201", "201"]
    assert idp.members(id_of(answer, 2)) == {id_of(answer, 1)}


def test_what_refers_to_each_other_is_made_and_then_completed(idp: Idp) -> None:
    answer = bulk(idp, group("a", "bulkId:b"), group("b", "bulkId:a", "bulkId:ada"), user("ada"))
    assert statuses(answer) == ["201", "201", "201"]
    a, b, ada = (id_of(answer, index) for index in range(3))
    assert idp.members(a) == {b}
    assert idp.members(b) == {a, ada}
    shown = answer["Operations"][0]["version"]
    assert shown == idp.get(f"/Groups/{a}").headers["ETag"]


def test_a_group_that_refers_to_itself_is_made_and_says_why_it_is_not_in_itself(idp: Idp) -> None:
    answer = bulk(idp, group("a", "bulkId:a"))
    assert statuses(answer) == ["409"]
    made = idp.get('/Groups?filter=displayName eq "a"')["Resources"]
    assert [one["id"] for one in made] == [id_of(answer, 0)]
    assert idp.members(id_of(answer, 0)) == set()


def test_what_refers_to_nothing_that_was_done_is_refused(idp: Idp) -> None:
    idp.user("taken")
    answer = bulk(
        idp,
        group("one", "bulkId:nobody"),
        user("twin", "TAKEN"),
        group("two", "bulkId:twin"),
        {"method": "PATCH", "path": "/Users/bulkId:nobody", "data": off()},
    )
    assert statuses(answer) == ["409", "409", "409", "409"]
    assert answer["Operations"][1]["response"]["scimType"] == "uniqueness"
    assert "location" not in answer["Operations"][1]
    assert idp.get("/Groups")["totalResults"] == 0


def test_a_failure_stops_no_other_operation(idp: Idp) -> None:
    answer = bulk(idp, user("ada"), user("twin", "ada"), make("/Users", "bad", {"foo": 1}), user("eva"))
    assert statuses(answer) == ["201", "409", "400", "201"]
    assert idp.get("/Users")["totalResults"] == 2


def test_after_so_many_failures_the_rest_is_not_done(idp: Idp) -> None:
    operations = [user("ada"), user("twin", "ada"), user("twin2", "ada"), user("eva")]
    assert statuses(bulk(idp, *operations, failOnErrors=2)) == ["201", "409", "409"]
    assert idp.get("/Users")["totalResults"] == 1
    for wrong in (0, -1, True, "1", 1.5):
        assert bulk(idp, user("eva"), failOnErrors=wrong).status == 400
    assert idp.get("/Users")["totalResults"] == 1


@pytest.mark.parametrize(
    ("operation", "status", "scim_type"),
    [
        ("x", "400", "invalidSyntax"),
        ({}, "400", "invalidSyntax"),
        ({"method": "GET", "path": "/Users"}, "400", "invalidSyntax"),
        ({"method": "POST", "path": "/Users", "data": {}}, "400", "invalidValue"),
        ({"method": "POST", "path": "/Users/x", "bulkId": "a", "data": {}}, "400", "invalidValue"),
        ({"method": "PUT", "path": "/Users", "data": {}}, "400", "invalidValue"),
        ({"method": "PATCH", "path": "https://elsewhere.example/Users/1", "data": {}}, "400", "invalidValue"),
        ({"method": "PATCH", "path": "/Users/1?x=y", "data": {}}, "400", "invalidValue"),
        ({"method": "PATCH", "path": "/Users/1", "data": "x"}, "400", "invalidSyntax"),
        ({"method": "PATCH", "path": "/Users/1"}, "400", "invalidSyntax"),
        ({"method": "POST", "path": "/Users", "bulkId": 7, "data": {}}, "400", "invalidSyntax"),
        ({"method": "POST", "path": "/Users", "bulkId": "a", "BULKID": "b", "data": {}}, "400", "invalidSyntax"),
        ({"method": "POST", "path": "/Bulk", "bulkId": "a", "data": {}}, "404", None),
        ({"method": "DELETE", "path": "/Users/nobody"}, "404", None),
        ({"method": "DELETE", "path": "/Schemas/x"}, "404", None),
    ],
)
def test_a_wrong_operation_is_answered_in_its_place(
    idp: Idp, operation: Any, status: str, scim_type: str | None
) -> None:
    answer = bulk(idp, operation, user("ada"))
    assert statuses(answer) == [status, "201"]
    response = answer["Operations"][0]["response"]
    assert (response["status"], response.get("scimType")) == (status, scim_type)


def test_one_bulk_id_is_used_once(idp: Idp) -> None:
    assert statuses(bulk(idp, user("ada"), user("ada", "eva"))) == ["201", "400"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"schemas": [PATCH_URN], "Operations": []},
        {"schemas": [BULK_REQUEST_URN]},
        {"schemas": [BULK_REQUEST_URN], "Operations": {}},
        {"schemas": "x", "Operations": []},
    ],
)
def test_another_message_is_refused(idp: Idp, body: Any) -> None:
    refused = idp.post("/Bulk", body)
    assert (refused.status, refused["scimType"]) == (400, "invalidSyntax")
    assert idp.last().outcome == Outcome.REJECTED


def test_over_the_limit_nothing_is_done_and_the_limit_is_named(idp: Idp) -> None:
    refused = bulk(idp, *[user(f"u{number}") for number in range(1001)])
    assert refused.status == 413
    assert "1000" in refused["detail"]
    assert idp.get("/Users")["totalResults"] == 0


def test_no_operations_are_no_error(idp: Idp) -> None:
    assert statuses(bulk(idp)) == []


def test_each_operation_has_a_row_in_the_ledger_and_the_whole_has_one(idp: Idp) -> None:
    answer = bulk(idp, user("ada"), user("twin", "ada"), group("staff", "bulkId:ada"))
    rows = idp.exchanges()
    assert [(row.method, row.path, row.intent, row.outcome, row.status) for row in rows[1:]] == [
        ("POST", "/Users", Intent.CREATE, Outcome.APPLIED, 201),
        ("POST", "/Users", Intent.UNKNOWN, Outcome.REJECTED, 409),
        ("POST", "/Groups", Intent.CREATE, Outcome.APPLIED, 201),
    ]
    whole = rows[0]  # it began first
    assert (whole.path, whole.intent, whole.outcome, whole.status) == ("/Bulk", Intent.BULK, Outcome.APPLIED, 200)
    assert whole.request == {"operations": 3, "failOnErrors": None}
    assert whole.answer == {
        "operations": [
            {"method": "POST", "status": 201, "location": answer["Operations"][0]["location"]},
            {"method": "POST", "status": 409, "location": None},
            {"method": "POST", "status": 201, "location": answer["Operations"][2]["location"]},
        ]
    }
    assert bulk(idp, user("twin", "ada")).status == 200
    assert [row.outcome for row in idp.exchanges()[4:]] == [Outcome.REJECTED, Outcome.REJECTED]


def test_a_repeat_by_key_repeats_nothing_and_answers_the_same(idp: Idp) -> None:
    operations = [group("staff", "bulkId:ada"), user("ada"), user("twin", "ADA")]
    first = bulk(idp, *operations, key="job 7")
    again = bulk(idp, *operations, key="job 7")
    assert again.body == first.body
    assert idp.get("/Users")["totalResults"] == 1
    outcomes = [row.outcome for row in idp.exchanges()[4:]]
    assert outcomes == [Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.REJECTED]


def test_a_key_of_another_bulk_request_is_refused_before_anything_is_done(idp: Idp) -> None:
    bulk(idp, user("ada"), key="job 7")
    refused = bulk(idp, user("ada"), user("eva"), key="job 7")
    assert (refused.status, refused["scimType"]) == (400, "invalidValue")
    assert idp.get("/Users")["totalResults"] == 1


def test_a_stale_version_is_refused_in_its_place(idp: Idp) -> None:
    ada = idp.user("ada")
    patch = {"method": "PATCH", "path": f"/Users/{ada}", "version": 'W/"stale"', "data": off()}
    assert statuses(bulk(idp, patch)) == ["412"]
    assert idp.get(f"/Users/{ada}")["active"] is True


def test_a_token_that_may_only_read_does_nothing(tenant: Tenant) -> None:
    reader = connect(tenant, "Reader", may=["read"])
    assert bulk(reader, user("ada")).status == 403
    assert reader.get("/Users")["totalResults"] == 0


def test_a_way_back_waits_for_people_here_too(idp: Idp) -> None:
    ada = idp.user("ada")
    idp.patch(f"/Users/{ada}", {"op": "replace", "path": "active", "value": False})
    on = {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "path": "active", "value": True}]}
    assert statuses(bulk(idp, {"method": "PATCH", "path": f"/Users/{ada}", "data": on})) == ["200"]
    assert idp.get(f"/Users/{ada}")["active"] is False
    assert idp.last().outcome == Outcome.HELD


def test_a_credential_in_an_operation_refuses_the_whole(idp: Idp) -> None:
    refused = bulk(idp, user("ada"), user("eva", title=idp.token))
    assert (refused.status, refused["scimType"]) == (400, "invalidValue")
    assert idp.get("/Users")["totalResults"] == 0


def test_a_senders_own_words_are_not_kept_with_the_whole(idp: Idp) -> None:
    bulk(idp, user("SECRET-bulk-id", "ada"), {"method": "DELETE", "path": "/Users/SECRET-path", "bulkId": "SECRET"})
    for row in idp.exchanges():
        assert "SECRET" not in f"{row.request}{row.answer}{row.path}{row.error}"


def test_only_post_is_answered(idp: Idp) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        refused = idp.call(method, "/Bulk", {} if method in {"PUT", "PATCH"} else None)
        assert (refused.status, refused.headers["Allow"]) == (405, "POST")
