"""PATCH on a document: every operation and path form of RFC 7644 section 3.5.2, and the forms of real clients."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.scim.errors import ScimError
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, NHI_URN, USER, USER_URN
from provisioning.scim.patch.engine import PatchResult, apply
from provisioning.scim.patch.operations import PATCH_URN, read_patch

pytestmark = pytest.mark.unit
ONE, TWO = "0193b0c4-0000-7000-8000-000000000001", "0193b0c4-0000-7000-8000-000000000002"
WORK, HOME = {"type": "work", "value": "w@x", "primary": True}, {"type": "home", "value": "h@x"}
BASE: dict[str, Any] = {
    "userName": "alice",
    "active": True,
    "title": "Boss",
    "name": {"givenName": "Alice", "familyName": "Smith"},
    "emails": [WORK, HOME],
    ENTERPRISE_URN: {"department": "R&D", "manager": {"value": ONE, "$ref": "../Users/1"}},
    NHI_URN: {"kind": "service"},
}
MANAGER = f"{ENTERPRISE_URN}:manager"


def patched(*operations: Any, document: dict[str, Any] = BASE) -> PatchResult:
    before = copy.deepcopy(document)
    result = apply(document, read_patch({"schemas": [PATCH_URN], "Operations": list(operations)}, USER), USER)
    assert document == before
    return result


def after(*operations: Any, document: dict[str, Any] = BASE) -> dict[str, Any]:
    return patched(*operations, document=document).document


def changed(**more: Any) -> dict[str, Any]:
    result = {**BASE, **more}
    return {name: value for name, value in result.items() if value is not None}


def refused(*operations: Any, document: dict[str, Any] = BASE) -> str | None:
    before = copy.deepcopy(document)
    with pytest.raises(ScimError) as caught:
        apply(document, read_patch({"schemas": [PATCH_URN], "Operations": list(operations)}, USER), USER)
    assert document == before
    assert caught.value.status == 400
    return caught.value.scim_type


def op(name: str, path: str | None = None, **more: Any) -> dict[str, Any]:
    return {"op": name, **({} if path is None else {"path": path}), **more}


# Single values


@pytest.mark.parametrize("name", ["add", "replace", "Add", "REPLACE"])
@pytest.mark.parametrize("path", ["title", "TITLE", f"{USER_URN}:title", f" {USER_URN.lower()}:Title "])
def test_a_single_value_is_set_by_any_spelling(name: str, path: str) -> None:
    result = patched(op(name, path, value="Chief"))
    assert (result.document, result.said) == (changed(title="Chief"), {"title"})


def test_a_missing_attribute_is_added_by_replace() -> None:
    assert after(op("replace", "nickName", value="Al")) == changed(nickName="Al")


@pytest.mark.parametrize("nothing", [None, "", " ", []])
def test_an_unassigned_value_takes_the_attribute_away(nothing: Any) -> None:
    assert after(op("replace", "title", value=nothing)) == changed(title=None)


def test_a_single_value_is_removed_and_removing_it_again_changes_nothing() -> None:
    gone = after(op("remove", "title"))
    assert gone == changed(title=None)
    assert after(op("remove", "title"), document=gone) == gone


def test_a_part_of_a_complex_value_is_set_and_removed() -> None:
    assert after(op("replace", "name.givenName", value="Eve")) == changed(
        name={"givenName": "Eve", "familyName": "Smith"}
    )
    assert after(op("add", "name.middleName", value="M"))["name"] == {**BASE["name"], "middleName": "M"}
    assert after(op("remove", "name.givenName")) == changed(name={"familyName": "Smith"})
    assert after(op("remove", "name.givenName"), op("remove", "name.familyName")) == changed(name=None)


@pytest.mark.parametrize("name", ["add", "replace"])
def test_a_complex_value_takes_the_parts_that_are_given_and_keeps_the_others(name: str) -> None:
    sent = {"GIVENNAME": "Eve", "formatted": "Eve Smith"}
    assert after(op(name, "name", value=sent)) == changed(
        name={"givenName": "Eve", "familyName": "Smith", "formatted": "Eve Smith"}
    )
    assert after(op(name, "name", value={"givenName": None})) == changed(name={"familyName": "Smith"})


def test_a_complex_value_is_removed_whole() -> None:
    assert after(op("remove", "name")) == changed(name=None)
    assert after(op("replace", "name", value=None)) == changed(name=None)


# Extensions


def test_an_extension_attribute_is_reached_by_its_urn() -> None:
    result = patched(op("replace", f"{ENTERPRISE_URN}:department", value="Sales"))
    assert result.document[ENTERPRISE_URN] == {**BASE[ENTERPRISE_URN], "department": "Sales"}
    assert result.said == {f"{ENTERPRISE_URN}:department"}


def test_a_bare_extension_urn_stands_for_its_attributes() -> None:
    result = patched(op("add", ENTERPRISE_URN, value={"DIVISION": "North", "department": None}))
    assert result.document[ENTERPRISE_URN] == {"manager": BASE[ENTERPRISE_URN]["manager"], "division": "North"}
    assert result.said == {f"{ENTERPRISE_URN}:division", f"{ENTERPRISE_URN}:department"}
    assert after(op("remove", ENTERPRISE_URN)) == changed(**{ENTERPRISE_URN: None})
    assert after(op("replace", ENTERPRISE_URN, value=None)) == changed(**{ENTERPRISE_URN: None})


def test_schemas_inside_of_an_extension_are_ignored() -> None:
    value = {"schemas": [ENTERPRISE_URN], "division": "N"}
    assert after(op("add", ENTERPRISE_URN, value=value))[ENTERPRISE_URN] == {**BASE[ENTERPRISE_URN], "division": "N"}


def test_an_extension_that_is_not_there_yet_is_made() -> None:
    assert after(op("add", f"{ENTERPRISE_URN}:division", value="N"), document={"userName": "a"}) == {
        "userName": "a",
        ENTERPRISE_URN: {"division": "N"},
    }


def test_the_last_attribute_of_an_extension_takes_the_extension_along() -> None:
    document = {"userName": "a", ENTERPRISE_URN: {"division": "N"}}
    assert after(op("remove", f"{ENTERPRISE_URN}:division"), document=document) == {"userName": "a"}


@pytest.mark.parametrize("value", [TWO, {"value": TWO}, {"VALUE": TWO}, [{"value": TWO}], f'{{"value": "{TWO}"}}'])
@pytest.mark.parametrize("path", [MANAGER, "manager"])
@pytest.mark.parametrize("name", ["Add", "Replace"])
def test_a_manager_is_set_in_all_forms_of_entra_and_loses_the_old_reference(name: str, path: str, value: Any) -> None:
    assert after(op(name, path, value=value))[ENTERPRISE_URN]["manager"] == {"value": TWO}


@pytest.mark.parametrize("value", ["", None, {"value": ""}, {"value": None}, {}])
@pytest.mark.parametrize("name", ["Add", "Replace"])
def test_an_empty_manager_is_cleared(name: str, value: Any) -> None:
    assert after(op(name, MANAGER, value=value))[ENTERPRISE_URN] == {"department": "R&D"}


def test_the_part_of_a_manager_is_set_and_cleared() -> None:
    assert after(op("replace", f"{MANAGER}.value", value=TWO))[ENTERPRISE_URN]["manager"] == {"value": TWO}
    assert after(op("replace", "manager.value", value=ONE)) == BASE
    assert after(op("remove", f"{MANAGER}"))[ENTERPRISE_URN] == {"department": "R&D"}


# Several values


def test_a_value_is_added_beside_the_others() -> None:
    other = {"type": "other", "value": "o@x"}
    assert after(op("add", "emails", value=[other])) == changed(emails=[WORK, HOME, other])
    assert after(op("add", "emails", value=other)) == changed(emails=[WORK, HOME, other])


def test_a_value_that_is_there_is_not_added_twice() -> None:
    assert after(op("add", "emails", value=[WORK])) == BASE
    assert after(op("add", "emails", value=[{"type": "WORK", "value": "W@X"}]))["emails"] == [
        {"type": "WORK", "value": "W@X", "primary": True},
        HOME,
    ]
    assert after(op("add", "emails", value=[{**HOME, "display": "Home"}])) == changed(
        emails=[WORK, {**HOME, "display": "Home"}]
    )


def test_replace_sets_the_whole_list() -> None:
    assert after(op("replace", "emails", value=[{"value": "n@x"}])) == changed(emails=[{"value": "n@x"}])
    assert after(op("replace", "emails", value={"value": "n@x", "primary": "True"})) == changed(
        emails=[{"value": "n@x", "primary": True}]
    )
    assert after(op("replace", "emails", value=[])) == changed(emails=None)


def test_a_new_primary_value_makes_the_others_secondary() -> None:
    new = {"value": "n@x", "primary": True}
    assert after(op("add", "emails", value=[new])) == changed(emails=[{**WORK, "primary": False}, HOME, new])
    assert after(op("replace", 'emails[type eq "home"].primary', value=True)) == changed(
        emails=[{**WORK, "primary": False}, {**HOME, "primary": True}]
    )
    assert after(op("add", "emails", value=[WORK])) == BASE


def test_two_primary_values_at_once_are_refused() -> None:
    two = [{"value": "a", "primary": True}, {"value": "b", "primary": True}]
    assert refused(op("add", "emails", value=two)) == "invalidValue"
    assert refused(op("replace", "emails", value=two)) == "invalidValue"
    assert refused(op("replace", "emails.primary", value=True)) == "invalidValue"
    assert refused(op("replace", 'emails[value co "@x"].primary', value=True)) == "invalidValue"


def test_all_values_are_removed_without_a_filter_and_only_the_matching_ones_with_one() -> None:
    assert after(op("remove", "emails")) == changed(emails=None)
    assert after(op("remove", 'emails[type eq "home"]')) == changed(emails=[WORK])
    assert after(op("remove", 'emails[type eq "work" and value ew "@x"]')) == changed(emails=[HOME])
    assert after(op("remove", 'emails[value co "@"]')) == changed(emails=None)


def test_removing_what_does_not_match_changes_nothing() -> None:
    assert after(op("remove", 'emails[type eq "other"]')) == BASE
    assert after(op("remove", "phoneNumbers")) == BASE
    assert after(op("remove", 'phoneNumbers[type eq "work"].value')) == BASE


def test_a_remove_with_values_removes_only_those() -> None:
    result = patched(op("Remove", "emails", value=[{"value": "H@X", "display": None}]))
    assert result.document == changed(emails=[WORK])
    assert "remove_by_value" in [one.rule for one in result.coercions]
    assert after(op("remove", "emails", value=[])) == BASE
    assert after(op("remove", "emails", value=[{"value": "nobody@x"}])) == BASE
    assert refused(op("remove", "emails", value=[{}])) == "invalidValue"
    assert refused(op("remove", "emails", value=None)) == "invalidValue"


def test_a_part_of_matching_values_is_removed_and_an_empty_value_with_it() -> None:
    assert after(op("remove", 'emails[type eq "work"].primary')) == changed(
        emails=[{"type": "work", "value": "w@x"}, HOME]
    )
    assert after(op("remove", 'emails[type eq "work"].value')) == changed(emails=[HOME])
    assert after(op("replace", 'emails[type eq "work"].value', value="")) == changed(emails=[HOME])
    assert after(op("remove", "emails.primary"))["emails"] == [{"type": "work", "value": "w@x"}, HOME]


def test_a_part_of_a_matching_value_is_replaced_and_its_siblings_stay() -> None:
    assert after(op("Replace", 'emails[type eq "work"].value', value="new@x")) == changed(
        emails=[{**WORK, "value": "new@x"}, HOME]
    )


def test_a_matching_value_is_replaced_whole() -> None:
    new = {"type": "home", "value": "n@x"}
    assert after(op("replace", 'emails[type eq "work"]', value=new)) == changed(emails=[new, HOME])


def test_adding_to_a_matching_value_keeps_the_rest_of_it() -> None:
    assert after(op("add", 'emails[type eq "work"]', value={"display": "W"})) == changed(
        emails=[{**WORK, "display": "W"}, HOME]
    )


def test_a_part_of_all_values_is_set_without_a_filter() -> None:
    assert after(op("replace", "emails.display", value="A"))["emails"] == [
        {**WORK, "display": "A"},
        {**HOME, "display": "A"},
    ]
    assert after(op("add", "phoneNumbers.value", value="1"))["phoneNumbers"] == [{"value": "1"}]


def test_replacing_what_does_not_match_is_no_target_unless_the_filter_says_what_to_make() -> None:
    assert refused(op("replace", 'emails[type eq "other"]', value={"value": "o@x"})) == "noTarget"
    assert refused(op("replace", 'emails[type ne "work" and type ne "home"].value', value="o@x")) == "noTarget"
    assert refused(op("replace", 'emails[value sw "zz"].value', value="o@x")) == "noTarget"


@pytest.mark.parametrize("name", ["Add", "Replace"])
def test_entra_makes_a_value_from_the_terms_of_the_filter(name: str) -> None:
    result = patched(op(name, 'emails[type eq "other"].value', value="o@x"))
    assert result.document == changed(emails=[WORK, HOME, {"type": "other", "value": "o@x"}])
    assert [one.rule for one in result.coercions] == ["op_case", "create_from_filter"]


def test_several_operations_build_one_value() -> None:
    assert after(
        op("Replace", 'addresses[type eq "work"].streetAddress', value="100 Enterprise Blvd"),
        op("Replace", 'addresses[type eq "work"].postalCode', value="94105"),
    )["addresses"] == [{"type": "work", "streetAddress": "100 Enterprise Blvd", "postalCode": "94105"}]


def test_the_primary_role_of_entra_is_made_and_then_changed() -> None:
    result = after(
        op("Add", 'roles[primary eq "True"].value', value="V"),
        op("Add", 'roles[primary eq "True"].display', value="D"),
        op("Replace", 'roles[primary eq "True"].value', value="W"),
    )
    assert result["roles"] == [{"primary": True, "value": "W", "display": "D"}]


def test_clearing_a_value_that_is_not_there_makes_none() -> None:
    assert after(op("replace", 'phoneNumbers[type eq "fax"].value', value="")) == BASE


# Without a path


def test_a_value_without_a_path_sets_each_of_its_attributes() -> None:
    result = patched(op("replace", value={"title": "Chief", "NAME": {"givenName": "Eve"}, "active": "False"}))
    assert result.document == changed(title="Chief", active=False, name={"givenName": "Eve", "familyName": "Smith"})
    assert result.said == {"title", "name", "active"}
    assert [(one.rule, one.sent, one.read_as) for one in result.coercions] == [("boolean_text", "False", "false")]


def test_names_in_a_value_without_a_path_can_be_paths() -> None:
    result = patched(
        op(
            "replace",
            value={
                "name.givenName": "Eve",
                f"{ENTERPRISE_URN}:department": "Sales",
                'emails[type eq "work"].value': "n@x",
                ENTERPRISE_URN: {"division": "N"},
            },
        )
    )
    assert result.document == changed(
        name={"givenName": "Eve", "familyName": "Smith"},
        emails=[{**WORK, "value": "n@x"}, HOME],
        **{ENTERPRISE_URN: {**BASE[ENTERPRISE_URN], "department": "Sales", "division": "N"}},
    )


def test_read_only_names_and_foreign_schemas_in_a_value_are_ignored() -> None:
    value = {"id": "x", "schemas": [USER_URN], "meta": {}, "groups": [], "urn:x:y:Z": {"a": 1}, "title": "Chief"}
    result = patched(op("replace", value=value))
    assert (result.document, result.said) == (changed(title="Chief"), {"title"})
    assert [one.rule for one in result.coercions] == [*["read_only_in_value"] * 4, "unknown_schema"]


@pytest.mark.parametrize(
    "value", ['{"active": false}', ['{"active": "False"}'], [{"active": False}], ' {"active": "false"} ']
)
def test_an_object_in_a_text_or_alone_in_a_list_is_read(value: Any) -> None:
    assert after(op("replace", value=value)) == changed(active=False)


@pytest.mark.parametrize("value", ['["active"]', '{"active": false', "[]", '{"title": 1, "title": 2}'])
def test_a_text_that_holds_no_object_is_refused(value: str) -> None:
    assert refused(op("replace", value=value)) == "invalidValue"


@pytest.mark.parametrize("value", [False, "False", "false", ["false"]])
def test_active_is_read_in_its_known_spellings(value: Any) -> None:
    result = patched(op("Replace", "active", value=value))
    assert (result.document["active"], result.said) == (False, {"active"})


@pytest.mark.parametrize("value", ["invalid", "FALSE", "0", 0, 1, ["true", "false"], {"active": True}])
def test_active_in_another_spelling_is_refused(value: Any) -> None:
    assert refused(op("replace", "active", value=value)) == "invalidValue"


@pytest.mark.parametrize("nothing", [None, [], {}, ""])
def test_an_unassigned_active_is_absent_and_never_true(nothing: Any) -> None:
    result = patched(op("replace", "active", value=nothing))
    assert "active" not in result.document
    assert result.said == {"active"}


# Refusals


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"path": "title", "value": "x"}, "invalidSyntax"),
        ({"op": None, "path": "title", "value": "x"}, "invalidSyntax"),
        ({"op": "move", "path": "title", "value": "x"}, "invalidSyntax"),
        ({"op": 5, "path": "title", "value": "x"}, "invalidSyntax"),
        ("remove", "invalidSyntax"),
        (op("remove"), "noTarget"),
        (op("remove", ""), "noTarget"),
        (op("remove", value={"title": "x"}), "noTarget"),
        (op("add", "title"), "invalidValue"),
        (op("replace"), "invalidValue"),
        (op("replace", value="x"), "invalidValue"),
        (op("replace", value=[{"title": "a"}, {"title": "b"}]), "invalidValue"),
        ({"op": "replace", "path": 5, "value": "x"}, "invalidPath"),
        (op("replace", "blahblah", value=False), "invalidPath"),
        (op("replace", value={"blahblah": False}), "invalidPath"),
        (op("replace", "emails[broken", value="x"), "invalidPath"),
        (op("replace", 'emails[type eq "work"', value="x"), "invalidPath"),
        (op("replace", 'emails[type eq "work"]value', value="x"), "invalidPath"),
        (op("replace", 'emails[type eq "work"].', value="x"), "invalidPath"),
        (op("replace", 'emails[type eq "work"].foo', value="x"), "invalidPath"),
        (op("replace", 'emails[foo eq "work"].value', value="x"), "invalidPath"),
        (op("replace", 'emails.value[type eq "x"]', value="x"), "invalidPath"),
        (op("replace", 'title[value eq "x"]', value="x"), "invalidPath"),
        (op("replace", "name.", value="x"), "invalidPath"),
        (op("replace", "name.foo", value="x"), "invalidPath"),
        (op("replace", "urn:x:y:title", value="x"), "invalidPath"),
        (op("replace", 'emails[type eq "work"] or title', value="x"), "invalidPath"),
        (op("replace", "id", value="x"), "mutability"),
        (op("add", "meta.created", value="x"), "mutability"),
        (op("remove", "groups"), "mutability"),
        (op("replace", f"{NHI_URN}:pending", value={}), "mutability"),
        (op("replace", "manager.displayName", value="x"), "mutability"),
        (op("remove", "userName"), "mutability"),
        (op("replace", "userName", value=None), "invalidValue"),
        (op("replace", "userName", value=" "), "invalidValue"),
        (op("replace", f"{NHI_URN}:kind", value="person"), "mutability"),
        (op("remove", f"{NHI_URN}:kind"), "mutability"),
        (op("remove", NHI_URN), "mutability"),
        (op("add", f"{NHI_URN}:kind", value="robot"), "invalidValue"),
        (op("replace", "title", value=5), "invalidValue"),
        (op("replace", "title", value={"a": 1}), "invalidValue"),
        (op("replace", "title", value="a\u202eb"), "invalidValue"),
        (op("replace", "name", value="x"), "invalidValue"),
        (op("replace", "name", value={"foo": "x"}), "invalidSyntax"),
        (op("replace", "emails", value=7), "invalidValue"),
        (op("replace", "emails", value=[7]), "invalidValue"),
        (op("replace", "addresses", value="x"), "invalidValue"),
        (op("add", 'emails[type eq "work"]', value=7), "invalidValue"),
        (op("add", 'emails[type eq "new"]', value=7), "invalidValue"),
        (op("replace", ENTERPRISE_URN, value="x"), "invalidValue"),
        (op("replace", ENTERPRISE_URN, value={"foo": "x"}), "invalidSyntax"),
        (op("add", 'emails[type eq "a\u0007b"].value', value="x"), "invalidPath"),
        (op("add", 'emails[type eq "a\\u0007b"].value', value="x"), "invalidValue"),
    ],
)
def test_a_wrong_operation_is_refused_and_nothing_of_the_request_is_done(operation: Any, scim_type: str) -> None:
    assert refused(op("replace", "title", value="Half"), operation) == scim_type


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"schemas": [PATCH_URN]},
        {"schemas": [PATCH_URN], "Operations": []},
        {"schemas": [PATCH_URN], "Operations": {"op": "remove", "path": "title"}},
        {"schemas": [USER_URN], "Operations": [op("remove", "title")]},
        {"schemas": [PATCH_URN], "Operations": [op("remove", "title")], "operations": []},
    ],
)
def test_what_is_no_patch_is_invalid_syntax(body: dict[str, Any]) -> None:
    with pytest.raises(ScimError) as caught:
        read_patch(body, USER)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidSyntax")


def test_a_patch_without_schemas_is_tolerated_with_a_note() -> None:
    patch = read_patch({"operations": [{"OP": "remove", "Path": "title"}]}, USER)
    assert [one.rule for one in patch.coercions] == ["schemas_missing"]
    assert apply(BASE, patch, USER).document == changed(title=None)


def test_a_thousand_operations_are_done_and_one_more_is_413() -> None:
    body = {"schemas": [PATCH_URN], "Operations": [op("replace", "title", value=str(n)) for n in range(1000)]}
    assert apply(BASE, read_patch(body, USER), USER).document["title"] == "999"
    body["Operations"].append(op("remove", "title"))
    with pytest.raises(ScimError) as caught:
        read_patch(body, USER)
    assert caught.value.status == 413


def test_an_immutable_value_can_be_added_once_and_repeated() -> None:
    document = {"userName": "a"}
    assert after(op("add", f"{NHI_URN}:kind", value="Agent"), document=document)[NHI_URN] == {"kind": "agent"}
    assert after(op("replace", f"{NHI_URN}:kind", value="service")) == BASE


def test_a_password_is_dropped_and_its_text_is_nowhere() -> None:
    result = patched(op("replace", "password", value="hunter2"), op("replace", value={"password": "hunter2"}))
    assert (result.document, result.said) == (BASE, frozenset())
    assert "hunter2" not in repr(result)
    assert [one.rule for one in result.coercions] == ["password_dropped"] * 2


def test_owners_are_replaced_and_removed_by_their_ids() -> None:
    owners = f"{NHI_URN}:owners"
    two = after(op("add", owners, value=[{"value": ONE}]), op("add", "owners", value=[TWO, {"value": ONE}]))
    assert two[NHI_URN]["owners"] == [{"value": ONE}, {"value": TWO}]
    one = after(op("remove", f'{owners}[value eq "{ONE}"]'), document=two)
    assert one[NHI_URN]["owners"] == [{"value": TWO}]
    assert refused(op("remove", f"{owners}.value"), document=two) == "mutability"


def test_the_sequence_of_the_validator_of_azure_ends_with_one_primary_address() -> None:
    document = {"userName": "u", "emails": [{"value": "u@x", "type": "work", "primary": True}]}
    result = after(
        op("replace", 'emails[type eq "work"].value', value="oren@white.com"),
        op("add", 'emails[type eq "home"].value', value="angelita@mante.us"),
        op("add", 'emails[type eq "other"].value', value="yasmine@braun.us"),
        op("replace", 'emails[type eq "work"].display', value="W"),
        op("replace", 'emails[type eq "home"].display', value="H"),
        op("replace", 'emails[type eq "other"].display', value="O"),
        op("add", 'emails[type eq "work"].primary', value=False),
        op("replace", 'emails[type eq "home"].primary', value=True),
        document=document,
    )
    assert result["emails"] == [
        {"value": "oren@white.com", "type": "work", "primary": False, "display": "W"},
        {"type": "home", "value": "angelita@mante.us", "display": "H", "primary": True},
        {"type": "other", "value": "yasmine@braun.us", "display": "O"},
    ]


# Laws

PATHS = (
    "title", "name", "name.givenName", "emails", "emails.display", 'emails[type eq "work"]', 'emails[type eq "work"].value',
    'emails[value co "x"].display', "emails.primary", "active", ENTERPRISE_URN, MANAGER, f"{MANAGER}.value", "userName",
    f"{NHI_URN}:kind", "schemas", "password", "x", 'emails[primary eq "True"].value', "members", "id", "",
)  # fmt: skip
leaves = st.sampled_from(["x", "", "True", "work", ONE, None, True, False, 5, "person"])
names = st.sampled_from(
    ["value", "type", "primary", "display", "givenName", "title", "department", "manager", "emails"]
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3), max_leaves=5
)
operations = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "Replace", "move"])},
        optional={"path": st.sampled_from(PATHS), "value": values},
    ),
    max_size=4,
)


@given(operations)
def test_a_patch_never_changes_its_input_and_gives_a_document_or_a_scim_error(sent: list[dict[str, Any]]) -> None:
    document, body = copy.deepcopy(BASE), {"schemas": [PATCH_URN], "Operations": sent}
    before = copy.deepcopy(body)

    def outcome() -> int | PatchResult:
        try:
            return apply(document, read_patch(body, USER), USER)
        except ScimError as error:
            return error.status

    found = outcome()
    assert (document, body) == (BASE, before)
    assert found == 400 or isinstance(found, PatchResult)
    if isinstance(found, PatchResult):
        primaries = [item for item in found.document.get("emails", []) if item.get("primary") is True]
        assert len(primaries) <= 1
        assert found.document["userName"]
        assert None not in found.document.values()


repeatable = st.lists(
    st.one_of(
        st.builds(op, st.just("remove"), st.sampled_from([path for path in PATHS if path not in {"", "x", "members"}])),
        st.builds(
            lambda path, value: op("replace", path, value=value),
            st.sampled_from(["title", "name", "name.givenName", "emails", "emails.display", "active", MANAGER]),
            values,
        ),
    ),
    min_size=1,
    max_size=3,
)


@given(repeatable)
def test_a_patch_that_replaces_and_removes_gives_the_same_when_it_comes_again(sent: list[dict[str, Any]]) -> None:
    patch = read_patch({"schemas": [PATCH_URN], "Operations": sent}, USER)

    def run(document: dict[str, Any]) -> dict[str, Any] | str | None:
        try:
            return apply(document, patch, USER).document
        except ScimError as error:
            return error.scim_type

    once = run(BASE)
    assert once in ("mutability", "invalidValue", "invalidSyntax") or run(once) == once  # type: ignore[arg-type]
