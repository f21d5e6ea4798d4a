"""What clients really send becomes plain SCIM, and each departure is noted by a named rule."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

import provisioning.scim
from provisioning.scim.dialects.resource import coerce_resource
from provisioning.scim.dialects.rules import RULES
from provisioning.scim.errors import ScimError
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, GROUP, GROUP_URN, NHI_URN, USER, USER_URN
from provisioning.scim.parsing.normal import normalise

pytestmark = pytest.mark.unit
ONE = "0193b0c4-0000-7000-8000-000000000001"
MANAGER = f"{ENTERPRISE_URN}:manager"


def coerced(**sent: Any) -> tuple[dict[str, Any], list[tuple[str, str, str, str]]]:
    before = copy.deepcopy(sent)
    plain, notes = coerce_resource(sent, USER)
    assert sent == before
    return plain, [(one.rule, one.attribute, one.sent, one.read_as) for one in notes]


@pytest.mark.parametrize(("sent", "value"), [("True", True), ("true", True), ("False", False), ("false", False)])
def test_active_in_four_spellings_is_a_boolean(sent: str, value: bool) -> None:
    assert coerced(active=sent) == ({"active": value}, [("boolean_text", "active", sent, str(value).lower())])


@pytest.mark.parametrize("sent", [True, False, "TRUE", "yes", "1", 1, 0])
def test_another_active_is_left_for_parsing_to_judge(sent: Any) -> None:
    plain, notes = coerced(active=sent)
    assert plain == {"active": sent}
    assert type(plain["active"]) is type(sent)
    assert notes == []


def test_booleans_inside_of_values_are_read_too() -> None:
    plain, notes = coerced(roles=[{"primary": "True", "value": "V"}])
    assert plain == {"roles": [{"primary": True, "value": "V"}]}
    assert notes == [("boolean_text", "roles.primary", "True", "true")]


def test_one_address_as_an_object_is_a_list_of_one() -> None:
    plain, notes = coerced(emails={"value": "a@b", "primary": True})
    assert plain == {"emails": [{"value": "a@b", "primary": True}]}
    assert notes == [("object_for_list", "emails", "an object", "a list of one")]


@pytest.mark.parametrize(
    ("sent", "read", "rules"),
    [
        (ONE, {"value": ONE}, ["bare_reference"]),
        ([{"value": ONE}], {"value": ONE}, ["list_for_object"]),
        ("", None, ["empty_reference"]),
        ({"value": ""}, None, ["blank_text", "empty_reference"]),
        ({"value": " "}, None, ["blank_text", "empty_reference"]),
        ([], None, ["list_for_object"]),
        (None, None, []),
        ({"value": ONE, "$ref": None}, {"value": ONE, "$ref": None}, []),
        (f'{{"value": "{ONE}"}}', {"value": ONE}, ["json_text"]),
        ([{"value": ONE}, {"value": "2"}], [{"value": ONE}, {"value": "2"}], []),
    ],
)
def test_a_manager_in_all_forms_is_a_reference_or_nothing(sent: Any, read: Any, rules: list[str]) -> None:
    plain, notes = coerced(**{ENTERPRISE_URN: {"manager": sent}})
    assert plain == {ENTERPRISE_URN: {"manager": read}}
    assert [rule for rule, *_ in notes] == rules
    assert {attribute for _, attribute, *_ in notes} <= {MANAGER, f"{MANAGER}.value"}


def test_owners_may_be_bare_ids() -> None:
    plain, notes = coerced(**{NHI_URN: {"owners": [ONE]}})
    assert plain == {NHI_URN: {"owners": [{"value": ONE}]}}
    assert [rule for rule, *_ in notes] == ["bare_reference"]


def test_an_object_in_a_text_is_read_and_broken_text_is_left() -> None:
    assert coerced(name='{"givenName": "A"}')[0] == {"name": {"givenName": "A"}}
    assert coerced(emails='[{"value": "a@b"}]')[0] == {"emails": [{"value": "a@b"}]}
    assert coerced(**{ENTERPRISE_URN: '{"department": "X"}'})[0] == {ENTERPRISE_URN: {"department": "X"}}
    for broken in ("{", '{"a": 1, "a": 2}', '{"a": "\\u0000"}', '{"a": 1}, "b": {"c": 2}', "[" * 5000):
        assert coerced(name=broken) == ({"name": broken}, [])


def test_a_text_that_happens_to_look_like_json_stays_a_text() -> None:
    assert coerced(title='{"a": 1}', userName="[x]") == ({"title": '{"a": 1}', "userName": "[x]"}, [])


def test_blank_texts_are_unassigned_but_a_required_one_is_left_to_be_refused() -> None:
    plain, notes = coerced(userName=" ", title=" ", nickName="", name={"familyName": " ", "givenName": "A"})
    assert plain == {"userName": " ", "title": None, "nickName": None, "name": {"familyName": None, "givenName": "A"}}
    assert [(rule, at, sent) for rule, at, sent, _ in notes] == [
        ("blank_text", "title", " "), ("blank_text", "nickName", '""'), ("blank_text", "name.familyName", " "),
    ]  # fmt: skip


@pytest.mark.parametrize("sent", ["a@b", ["a@b"]])
def test_texts_where_objects_belong_are_their_values_and_are_not_repeated(sent: Any) -> None:
    plain, notes = coerced(emails=sent)
    assert plain == {"emails": [{"value": "a@b"}]}
    assert notes == [("bare_value", "emails", "a text", "an object with that value")]
    assert coerced(emails="") == ({"emails": [None]}, [("blank_text", "emails", '""', "unassigned")])
    assert coerced(addresses="Main Street") == ({"addresses": "Main Street"}, [])


@pytest.mark.parametrize(
    ("sent", "read", "rules"),
    [
        ({"value": "T"}, "T", ["value_object"]),
        ([{"$ref": None, "value": "T"}], "T", ["list_for_object", "value_object"]),
        ({"Value": "T", "display": "x"}, "T", ["value_object"]),
        ({"value": "T", "VALUE": "U"}, {"value": "T", "VALUE": "U"}, []),
        ({"value": "T", "more": 1}, {"value": "T", "more": 1}, []),
        ({"value": {"value": "T"}}, {"value": {"value": "T"}}, []),
        ({"value": None}, {"value": None}, []),
        ({}, {}, []),
    ],
)
def test_a_plain_value_in_an_object_is_taken_out_where_nothing_else_is_said(
    sent: Any, read: Any, rules: list[str]
) -> None:
    plain, notes = coerced(title=sent)
    assert plain == {"title": read}
    assert [rule for rule, *_ in notes] == rules
    assert all(one != "T" for _, _, one, _ in notes)


def test_what_stands_under_the_urn_of_the_core_schema_stands_beside_it() -> None:
    plain, notes = coerced(**{USER_URN: {"title": "T", "active": "False"}, "userName": "a"})
    assert plain == {"title": "T", "active": False, "userName": "a"}
    assert [rule for rule, *_ in notes] == ["core_urn_object", "boolean_text"]
    assert coerced(**{USER_URN: "x"}) == ({USER_URN: "x"}, [])


def test_paths_as_names_are_put_where_they_belong() -> None:
    plain, notes = coerced(
        **{
            "name.givenName": "A",
            f"{ENTERPRISE_URN.lower()}:department": "X",
            f"{MANAGER}.value": ONE,
            f"{USER_URN}:title": "T",
            "Name": {"familyName": "S"},
            ENTERPRISE_URN: {"division": "N"},
        }
    )
    assert plain == {
        "Name": {"familyName": "S", "givenName": "A"},
        ENTERPRISE_URN: {"division": "N", "department": "X", "manager": {"value": ONE}},
        "title": "T",
    }
    assert {rule for rule, *_ in notes} == {"dotted_name"}


def test_a_path_into_what_is_no_object_is_refused() -> None:
    with pytest.raises(ScimError) as caught:
        coerce_resource({"name": "x", "name.givenName": "A"}, USER)
    assert caught.value.scim_type == "invalidValue"


def test_schemas_inside_of_an_extension_are_ignored() -> None:
    plain, notes = coerced(**{ENTERPRISE_URN: {"schemas": [ENTERPRISE_URN], "department": "X"}})
    assert plain == {ENTERPRISE_URN: {"department": "X"}}
    assert [rule for rule, *_ in notes] == ["schemas_in_value"]


def test_unknown_names_and_passwords_are_left_alone() -> None:
    sent = {"foo": " ", "department": "x", "password": " ", "urn:x:y": "True", "foo.bar": 1, "schemas": [USER_URN]}
    assert coerced(**sent) == (sent, [])


@pytest.mark.parametrize(
    ("sent", "read", "rules"),
    [
        ("Bob", [{"value": "Bob"}], {"bare_reference"}),
        (
            [ONE, {"value": "2", "userName": "x"}],
            [{"value": ONE}, {"value": "2"}],
            {"bare_reference", "label_in_member"},
        ),
        ([{"$ref": "../Users/7?x=1"}], [{"$ref": "../Users/7?x=1"}], set()),
        ([{"$ref": "../Users/7"}], [{"$ref": "../Users/7", "value": "7"}], {"ref_for_value"}),
        ([{"$ref": "/"}], [{"$ref": "/"}], set()),
        (['{"value": "7"}', "{"], [{"value": "7"}, {"value": "{"}], {"json_text", "bare_reference"}),
        ([{"value": "7", "operation": "delete"}], [{"value": "7", "operation": "delete"}], set()),
        ([None, 7, []], [None, 7, []], set()),
        (7, 7, set()),
        ([], [], set()),
    ],
)
def test_members_in_all_forms_are_ids_or_stay_as_they_are(sent: Any, read: Any, rules: set[str]) -> None:
    plain, notes = coerce_resource({"members": sent}, GROUP)
    assert plain == {"members": read}
    assert {one.rule for one in notes} == rules
    assert len(notes) == len(rules)


def test_members_are_left_to_the_reader_of_members() -> None:
    members = [{"value": ONE, "$ref": None}]
    plain, notes = coerce_resource({"schemas": [GROUP_URN], "displayName": "g", "members": members}, GROUP)
    assert plain["members"] == members
    assert notes == ()


def test_the_whole_user_of_entra_is_read() -> None:
    body = {
        "active": "True",
        "addresses": [{"type": "work", "formatted": "A", "postalCode": "dk0 2uz", "primary": True}],
        "displayName": "Q",
        "emails": [{"type": "work", "value": "b@parisian.com", "primary": True}],
        "externalId": "e",
        "meta": {"resourceType": "User"},
        "name": {"givenName": "Aida", "familyName": " ", "formatted": "Hyman"},
        "phoneNumbers": [{"type": "work", "value": "0-351-9540", "primary": True}, {"type": "fax", "value": "1"}],
        "profileUrl": "https://p.example/R",
        "roles": [{"primary": "True", "display": "D", "value": "V", "type": "T"}],
        "schemas": [USER_URN, ENTERPRISE_URN],
        ENTERPRISE_URN: {"employeeNumber": "LL", "manager": ONE},
        "userName": "isaias@bode.ca",
    }
    plain, _ = coerce_resource(body, USER)
    result = normalise(plain, USER, [])
    assert result.document == {
        "active": True,
        "addresses": body["addresses"],
        "displayName": "Q",
        "emails": body["emails"],
        "externalId": "e",
        "name": {"givenName": "Aida", "formatted": "Hyman"},
        "phoneNumbers": body["phoneNumbers"],
        "profileUrl": "https://p.example/R",
        "roles": [{"primary": True, "display": "D", "value": "V", "type": "T"}],
        ENTERPRISE_URN: {"employeeNumber": "LL", "manager": {"value": ONE}},
        "userName": "isaias@bode.ca",
    }


def test_every_rule_that_is_noted_is_described_and_every_described_rule_is_noted() -> None:
    room = Path(provisioning.scim.__file__).parent
    text = "\n".join(path.read_text() for path in room.rglob("*.py"))
    literal = set(re.findall(r'note\(\s*(?:self\.)?(?:notes|_?taken),\s*"(\w+)"', text))
    chosen = {"bare_reference", "empty_reference", "label_in_member", "ref_for_value"}
    assert literal | chosen == set(RULES)
    for name, rule in RULES.items():
        assert rule.name == name
        assert all((rule.clients, rule.sent, rule.read_as))
        assert rule.scim_type in {"invalidSyntax", "invalidValue", "invalidPath", "invalidFilter", "noTarget"}
