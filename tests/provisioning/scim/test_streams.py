"""Answers with more members than are held at once: the same text, made by the database and sent piece by piece."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.scope import scope
from provisioning.models.connection import ReadRecord
from provisioning.scim import resources, streams
from provisioning.scim.streams import Stream
from tests.factories.scim import BASE, SEARCH_URN, Idp, a_group

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Tenant


@pytest.fixture
def users(idp: Idp) -> list[str]:
    return [idp.user(f"user{n}") for n in range(5)]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From here on two members are too many, and are sent two at a time."""

    def begin(most: int = 1, piece: int = 2) -> None:
        monkeypatch.setattr(resources, "MOST_AT_ONCE", most)
        monkeypatch.setattr(streams, "PIECE", piece)

    return begin


def begun(idp: Idp, path: str, **headers: str) -> Any:
    """An answer of which nothing has been read yet."""
    return idp.client.get(f"{BASE}{path}", headers={"Authorization": f"Bearer {idp.token}", **headers})


PATHS = (
    "/Groups/{group}",
    "/Groups/{group}?attributes=members",
    "/Groups/{group}?attributes=members.value",
    "/Groups/{group}?attributes=members.type,displayName",
    "/Groups/{group}?excludedAttributes=members.$ref",
    "/Groups/{group}?excludedAttributes=members.$ref,members.type,members.value",
    "/Groups/{group}?excludedAttributes=members",
    "/Groups",
    "/Groups?count=1&cursor=",
    "/Groups?sortBy=displayName&attributes=members",
    '/Groups?filter=displayName eq "Staff"',
    "/?count=100",
    "/?count=100&attributes=userName,members.value",
)


@pytest.mark.parametrize("path", PATHS)
def test_a_streamed_answer_is_the_answer(idp: Idp, users: list[str], short: Callable[..., None], path: str) -> None:
    inner = idp.group("Inner", *users[:2])
    group = idp.group("Staff", *users, inner)
    idp.group("Nobody")
    address = path.format(group=group)
    held = begun(idp, address)
    assert not held.streaming
    short()
    answer = begun(idp, address)
    without = {"excludedAttributes=members", "excludedAttributes=members.$ref,members.type,members.value"}
    assert answer.streaming is (path.partition("?")[2] not in without)
    text = b"".join(answer.streaming_content) if answer.streaming else answer.content
    assert json.loads(text) == json.loads(held.content)
    assert {name: answer.headers.get(name) for name in ("ETag", "Location", "Content-Type", "Cache-Control")} == {
        name: held.headers.get(name) for name in ("ETag", "Location", "Content-Type", "Cache-Control")
    }


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_every_member_is_sent_once_wherever_the_pieces_end(
    idp: Idp, users: list[str], short: Callable[..., None], size: int
) -> None:
    group = idp.group("Staff", *users[:size])
    short(0)
    pieces = list(begun(idp, f"/Groups/{group}").streaming_content)
    listed = [member["value"] for member in json.loads(b"".join(pieces))["members"]]
    assert listed == sorted(users[:size])
    assert max(piece.count(b'"value"') for piece in pieces) == min(size, 2)


def test_a_search_is_streamed_too_and_a_group_without_members_has_none(
    idp: Idp, users: list[str], short: Callable[..., None]
) -> None:
    idp.group("Staff", *users)
    idp.group("Nobody")
    short()
    found = idp.post("/Groups/.search", {"schemas": [SEARCH_URN], "sortBy": "displayName"})
    assert [len(one.get("members", [])) for one in found["Resources"]] == [0, 5]


def test_what_the_answer_shows_is_of_one_moment_the_one_in_which_it_is_sent(
    idp: Idp, users: list[str], short: Callable[..., None]
) -> None:
    group = idp.group("Staff", *users)
    short()
    answer = begun(idp, f"/Groups/{group}")
    idp.patch(f"/Groups/{group}", {"op": "remove", "path": "members"})
    body = json.loads(b"".join(answer.streaming_content))
    assert ("members" in body, body["meta"]["version"]) == (False, 'W/"2"')
    assert answer.headers["ETag"] == 'W/"1"'
    stale = idp.patch(f"/Groups/{group}", {"op": "remove", "path": "members"}, If_Match=answer.headers["ETag"])
    assert stale.status == 412


def test_a_head_has_no_body_and_a_known_version_is_not_sent_again(
    idp: Idp, users: list[str], short: Callable[..., None]
) -> None:
    group = idp.group("Staff", *users)
    short()
    head = idp.call("HEAD", f"/Groups/{group}")
    assert (head.status, head.body, head.headers["ETag"]) == (200, None, 'W/"1"')
    assert "Content-Length" not in head.headers
    assert idp.get(f"/Groups/{group}", If_None_Match='W/"1"').status == 304
    with scope(tenant=idp.tenant.pk):
        assert list(ReadRecord.objects.order_by("id").values_list("method", "status")) == [("HEAD", 200), ("GET", 304)]


def test_a_stream_that_fails_ends_without_its_end(
    idp: Idp, users: list[str], short: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    group = idp.group("Staff", *users)
    short()
    whole = Stream._members

    def failing(self: Stream, inside: Any) -> Any:
        yield next(whole(self, inside))
        raise RuntimeError("the database went away")

    monkeypatch.setattr(Stream, "_members", failing)
    pieces = []
    with pytest.raises(RuntimeError):
        pieces.extend(begun(idp, f"/Groups/{group}").streaming_content)
    monkeypatch.undo()
    text = b"".join(pieces).decode()
    assert text.count('"value"') in {0, 2}
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_a_reader_who_goes_away_leaves_no_transaction_open(
    idp: Idp, users: list[str], short: Callable[..., None]
) -> None:
    group = idp.group("Staff", *users)
    short()
    answer = begun(idp, f"/Groups/{group}")
    depth = len(connection.savepoint_ids)
    next(iter(answer.streaming_content))
    assert len(connection.savepoint_ids) == depth + 1
    answer.close()
    assert len(connection.savepoint_ids) == depth


def test_a_replacement_is_answered_after_the_commit_and_kept_as_a_digest(
    idp: Idp, users: list[str], short: Callable[..., None]
) -> None:
    group = idp.group("Staff")
    short()
    body = a_group("Staff", *users)
    answer = idp.put(f"/Groups/{group}", body, Idempotency_Key="k")
    assert (answer.status, len(answer["members"]), answer.headers["ETag"]) == (200, 5, 'W/"2"')
    kept = idp.last()
    assert (kept.answer.keys(), kept.answer["id"], kept.answer["version"]) == (
        {"id", "version", "digest"},
        group,
        'W/"2"',
    )
    assert idp.put(f"/Groups/{group}", body, Idempotency_Key="k").body == answer.body
    assert [one.outcome for one in idp.exchanges()][-2:] == ["applied", "duplicate"]
    idp.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{users[0]}"]'})
    changed = idp.put(f"/Groups/{group}", a_group("Staff", *users[1:]))
    assert (changed.status, idp.last().outcome) == (200, "same")
    assert idp.last().answer["digest"] != kept.answer["digest"]


def test_a_group_is_made_with_many_members_in_bulk_too(idp: Idp, users: list[str], short: Callable[..., None]) -> None:
    short()
    made = idp.post("/Groups", a_group("Staff", *users))
    assert (made.status, len(made["members"])) == (201, 5)
    operation = {"method": "POST", "path": "/Groups", "bulkId": "g", "data": a_group("Other", *users)}
    done = idp.post(
        "/Bulk", {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [operation]}
    )
    assert [one["status"] for one in done["Operations"]] == ["201"]
    assert idp.members(done["Operations"][0]["location"].rpartition("/")[2]) == set(users)


def test_an_address_in_the_text_is_written_as_json_writes_it(tenant: Tenant, idp: Idp) -> None:
    ada = idp.user("ada")
    group = idp.shadow(idp.group("Staff", ada)).group_id
    assert group is not None
    seal, base = "seal", 'https://x/"é\\ %s'
    projection = resources.Projection(resource_type=resources.GROUP)
    made = {"a": "seal:", "members": streams.place_of(group, seal=seal)}
    stream = Stream(system=idp.system, base=base, projection=projection, seal=seal, make=lambda: made)
    assert json.loads(b"".join(stream())) == {
        "a": "seal:",
        "members": [{"value": ada, "$ref": f"{base}/Users/{ada}", "type": "User"}],
    }


@pytest.mark.parametrize("query", ["excludedAttributes=members", "attributes=displayName"])
def test_members_that_are_left_out_are_not_read(idp: Idp, users: list[str], query: str) -> None:
    group = idp.group("Staff", *users)
    for address in (f"/Groups/{group}?{query}", f"/Groups?{query}", f'/Groups?filter=displayName eq "Staff"&{query}'):
        with CaptureQueriesContext(connection) as queries:
            assert idp.get(address).status == 200
        assert not [one["sql"] for one in queries if "accounts_membership" in one["sql"]]
    operation = {"op": "replace", "path": "displayName", "value": "People"}
    with CaptureQueriesContext(connection) as queries:
        assert idp.patch(f"/Groups/{group}?{query}", operation).status == 200
    assert not [one["sql"] for one in queries if "accounts_membership" in one["sql"]]


def test_members_are_read_without_asking_who_they_are(idp: Idp, users: list[str]) -> None:
    group = idp.group("Staff", *users)
    with CaptureQueriesContext(connection) as queries:
        assert len(idp.get(f"/Groups/{group}")["members"]) == 5
    (asked,) = [one["sql"] for one in queries if "accounts_membership" in one["sql"]]
    assert "provisioning_shadow" not in asked
    assert "accounts_account" not in asked
