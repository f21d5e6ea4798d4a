"""What one resource says, and that wrong types are refused instead of guessed at."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.connectors.readings import BadAnswer, GroupReading, Reading, attribute, references

pytestmark = pytest.mark.unit

USER = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
    "id": "u1",
    "externalId": "e1",
    "userName": "Ada@Example",
    "active": True,
    "name": {"givenName": "Ada", "familyName": "Lövelace"},
    "groups": [{"value": "g1"}],
    "password": "planted-secret",
    "meta": {"resourceType": "User", "version": "W/1"},
}


def user(**changes) -> dict[str, object]:
    return USER | changes


def test_a_user_is_read_into_its_fields_and_its_password_is_left_behind():
    reading = Reading.of(USER)
    assert (reading.id, reading.external_id, reading.user_name, reading.active) == ("u1", "e1", "Ada@Example", True)
    assert reading.document == {name: value for name, value in USER.items() if name != "password"}
    assert "planted-secret" not in repr(reading)
    assert "planted-secret" not in repr(Reading.of({**user(), "PassWord": "planted-secret"}))


def test_the_digest_is_the_sha256_of_the_canonical_description():
    canonical = (
        '{"active":true,"externalId":"e1","name":{"familyName":"Lövelace","givenName":"Ada"},"userName":"Ada@Example"}'
    )
    assert Reading.of(USER).digest == hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [{"meta": {"version": "W/2"}}, {"META": {}}, {"id": "u2"}, {"schemas": []}, {"groups": []}, {"password": "other"}],
)
def test_what_does_not_describe_the_account_leaves_the_digest_as_it_is(change):
    changed = {name: value for name, value in USER.items() if name not in {key.lower() for key in change}} | change
    assert Reading.of({"id": "u1"} | changed).digest == Reading.of(USER).digest


@pytest.mark.parametrize(
    "change", [{"active": False}, {"userName": "other"}, {"externalId": "e2"}, {"title": "x"}, {"name": {}}]
)
def test_what_describes_the_account_changes_the_digest(change):
    assert Reading.of(user(**change)).digest != Reading.of(USER).digest


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["title", "nickName", "emails", "urn:x:y"]), json_values), st.randoms())
def test_the_order_of_names_never_changes_the_digest(extra, random):
    names = list((USER | extra).items())
    random.shuffle(names)
    shuffled = json.loads(json.dumps(dict(names)))
    assert Reading.of(shuffled).digest == Reading.of(USER | extra).digest


@pytest.mark.parametrize(
    ("active", "read"),
    [(True, True), (False, False), ("True", True), ("False", False), ("true", True), ("false", False), (None, None)],
)
def test_active_is_read_in_the_spellings_that_servers_use(active, read):
    assert Reading.of(user(active=active)).active is read


def test_a_user_without_active_says_nothing_about_it():
    assert Reading.of({"id": "u1", "userName": "ada"}) == Reading(
        id="u1",
        external_id=None,
        user_name="ada",
        active=None,
        document={"id": "u1", "userName": "ada"},
        digest=hashlib.sha256(b'{"userName":"ada"}').hexdigest(),
    )


def test_names_of_attributes_are_read_in_any_case():
    reading = Reading.of({"ID": "u1", "USERNAME": "ada", "Active": "False", "externalid": "e"})
    assert (reading.id, reading.user_name, reading.active, reading.external_id) == ("u1", "ada", False, "e")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"active": 1}, "active is neither true nor false"),
        ({"active": "yes"}, "active is neither true nor false"),
        ({"active": ""}, "active is neither true nor false"),
        ({"active": []}, "active is neither true nor false"),
        ({"Active": False}, "active twice"),
        ({"userName": None}, "no userName"),
        ({"userName": ""}, "no userName"),
        ({"userName": 7}, "userName is not a string"),
        ({"userName": ["a"]}, "userName is not a string"),
        ({"externalId": 7}, "externalId is not a string"),
        ({"externalId": False}, "externalId is not a string"),
        ({"id": 7}, "id is not a string"),
        ({"id": ""}, "no id"),
        ({"title": "a\x00b"}, "NUL character"),
        ({"meta": {"x": "\x00"}}, "NUL character"),
        ({"title\x00": "a"}, "NUL character"),
        ({"title": "\ud800"}, "surrogate"),
        ({"groups": ["\udfff"]}, "surrogate"),
        ({"title": float("inf")}, "number beyond all bounds"),
    ],
)
def test_a_user_of_wrong_types_is_refused_with_the_place(change, words):
    with pytest.raises(BadAnswer, match=words):
        Reading.of(user(**change))


@pytest.mark.parametrize("title", ["a\\u0000", "\\", "\\\\u0000", "\\u0000\\"])
def test_a_backslash_that_only_looks_like_a_nul_is_accepted(title):
    assert Reading.of(user(title=title)).document["title"] == title


@pytest.mark.parametrize("title", ["\\\x00", "\\\\\x00", "\\u0000\x00"])
def test_a_nul_behind_backslashes_is_still_found(title):
    with pytest.raises(BadAnswer, match="NUL character"):
        Reading.of(user(title=title))


def test_a_user_nested_beyond_reason_is_refused():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(BadAnswer, match="nested too deeply"):
        Reading.of(user(title=deep))


def test_a_reason_never_repeats_what_the_server_sent():
    for change in ({"active": "planted"}, {"externalId": ["planted"]}, {"userName": {"planted": 1}}):
        with pytest.raises(BadAnswer) as caught:
            Reading.of(user(**change))
        assert "planted" not in caught.value.reason


GROUP = {"id": "g1", "externalId": "e", "displayName": "Deployers"}


def test_a_group_is_read_with_sorted_members_users_and_groups_apart():
    members = [{"value": "u2", "type": "User"}, {"value": "u1"}, {"value": "g9", "type": "group"}, {"VALUE": "u2"}]
    assert GroupReading.of({**GROUP, "members": members}) == GroupReading(
        id="g1", external_id="e", display_name="Deployers", member_ids=("u1", "u2"), group_ids=("g9",)
    )


@pytest.mark.parametrize("more", [{}, {"members": None}, {"members": []}])
def test_a_group_without_members_has_none(more):
    reading = GroupReading.of({**GROUP, **more})
    assert (reading.member_ids, reading.group_ids) == ((), ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"members": {"value": "u1"}}, "members are not a list of objects"),
        ({"members": "u1"}, "members are not a list of objects"),
        ({"members": ["u1"]}, "members are not a list of objects"),
        ({"members": [{"display": "Ada"}]}, "no value"),
        ({"members": [{"value": 1}]}, "value is not a string"),
        ({"members": [{"value": "u1", "type": 1}]}, "type is not a string"),
        ({"members": [{"value": "u\x00"}]}, "NUL"),
        ({"displayName": None}, "no displayName"),
        ({"displayName": 7}, "displayName is not a string"),
        ({"externalId": []}, "externalId is not a string"),
    ],
)
def test_a_group_of_wrong_types_is_refused(change, words):
    with pytest.raises(BadAnswer, match=words):
        GroupReading.of(GROUP | change)


def test_an_attribute_in_two_spellings_is_refused_since_nobody_knows_which_counts():
    assert attribute({"Active": 1}, "active") == 1
    with pytest.raises(BadAnswer, match="twice, in different spellings"):
        attribute({"Active": 1, "active": 0}, "active")


def test_every_place_where_a_resource_names_another_is_found():
    resource = {
        "meta": {"Location": "l"},
        "members": [{"value": "1", "$ref": "m"}, {"value": "2"}],
        "urn:x": {"manager": {"$REF": "b", "deep": [[{"$ref": "d"}]]}},
        "photos": [{"value": "https://elsewhere.example/p.jpg"}],
        "$ref": "",
    }
    assert sorted(references(resource)) == ["b", "d", "l", "m"]


@pytest.mark.parametrize("resource", [{"meta": {"location": 1}}, {"manager": {"$ref": 1}}])
def test_a_reference_that_is_no_string_is_refused(resource):
    with pytest.raises(BadAnswer, match="is not a string"):
        list(references(resource))
