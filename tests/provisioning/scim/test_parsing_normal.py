"""A body in canonical form, and each reason to refuse one."""

import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from provisioning.changes import MemberStep
from provisioning.scim.errors import ScimError
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, GROUP, GROUP_URN, NHI_URN, USER, USER_URN
from provisioning.scim.metadata.schema import ResourceType
from provisioning.scim.parsing.change import account_change, group_change, kept_document
from provisioning.scim.parsing.normal import Normal, check_immutable, keep_immutable, normalise
from provisioning.scim.parsing.values import read_instant

if TYPE_CHECKING:
    from provisioning.scim.parsing.notes import Notes

pytestmark = pytest.mark.unit
ONE, TWO = "0193b0c4-0000-7000-8000-000000000001", "0193b0c4-0000-7000-8000-000000000002"


def user(**more: Any) -> dict[str, Any]:
    return {"schemas": [USER_URN], "userName": "alice", **more}


def normal(document: dict[str, Any], resource_type: ResourceType = USER) -> Normal:
    return normalise(document, resource_type, [])


def refused(document: dict[str, Any], resource_type: ResourceType = USER) -> tuple[str | None, str]:
    with pytest.raises(ScimError) as caught:
        normal(document, resource_type)
    assert caught.value.status == 400
    return caught.value.scim_type, caught.value.detail


def test_names_and_urns_in_any_case_become_canonical() -> None:
    result = normal(
        {
            "SCHEMAS": [USER_URN.upper(), ENTERPRISE_URN.lower()],
            "USERNAME": "Alice",
            "Name": {"FAMILYNAME": "Smith"},
            "emails": [{"VALUE": "a@b.example", "Type": "work"}],
            ENTERPRISE_URN.lower(): {"Department": "R&D", "manager": {"$REF": "../Users/1", "value": ONE}},
        }
    )
    assert result.document == {
        "userName": "Alice",
        "name": {"familyName": "Smith"},
        "emails": [{"value": "a@b.example", "type": "work"}],
        ENTERPRISE_URN: {"department": "R&D", "manager": {"$ref": "../Users/1", "value": ONE}},
    }
    assert result.said == {
        "userName",
        "name",
        "emails",
        f"{ENTERPRISE_URN}:department",
        f"{ENTERPRISE_URN}:manager",
    }


def test_null_and_empty_are_unassigned_but_said() -> None:
    result = normal(user(title=None, emails=[], name={}, phoneNumbers=[None, {}], roles=[{"value": None}]))
    assert result.document == {"userName": "alice"}
    assert result.said == {"userName", "title", "emails", "name", "phoneNumbers", "roles"}


@pytest.mark.parametrize("nothing", [None, [], {}])
def test_an_unassigned_extension_says_all_of_its_attributes(nothing: Any) -> None:
    result = normal(user(**{NHI_URN: nothing}))
    assert result.document == {"userName": "alice"}
    names = ("kind", "purpose", "environment", "expiresAt", "owners")
    assert result.said == {"userName", *(f"{NHI_URN}:{name}" for name in names)}


def test_read_only_attributes_are_ignored_whatever_they_hold() -> None:
    result = normal(
        user(id=5, meta="x", groups=[{"value": 1}], **{NHI_URN: {"pending": "x", "kind": "service"}}),
    )
    assert result.document == {"userName": "alice", NHI_URN: {"kind": "service"}}
    assert result.said == {"userName", f"{NHI_URN}:kind"}


def test_a_read_only_part_of_a_written_attribute_is_ignored() -> None:
    result = normal(user(**{ENTERPRISE_URN: {"manager": {"value": ONE, "displayName": "Boss"}}}))
    assert result.document[ENTERPRISE_URN] == {"manager": {"value": ONE}}


def test_a_password_is_dropped_and_noted_without_its_text() -> None:
    notes: Notes = []
    result = normalise(user(password="hunter2"), USER, notes)
    assert result.document == {"userName": "alice"}
    assert "password" not in result.said
    assert [(one.rule, one.attribute, one.sent, one.read_as) for one in notes] == [
        ("password_dropped", "password", "hidden", "dropped")
    ]


def test_the_schema_uri_of_entra_is_ignored_with_a_note() -> None:
    notes: Notes = []
    adscim = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
    result = normalise(
        {"schemas": [GROUP_URN, adscim], "displayName": "g", "urn:example:other:2.0:Thing": {"x": 1}}, GROUP, notes
    )
    assert result.document == {"displayName": "g"}
    assert [(one.rule, one.sent) for one in notes] == [
        ("unknown_schema", adscim),
        ("unknown_schema", "urn:example:other:2.0:Thing"),
    ]


def test_the_schema_uri_of_older_entra_jobs_may_stand_alone_and_one_schema_may_be_a_text() -> None:
    notes: Notes = []
    adscim = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/Group"
    assert normalise({"schemas": [adscim], "displayName": "g"}, GROUP, notes).document == {"displayName": "g"}
    assert [one.rule for one in notes] == ["schemas_missing", "unknown_schema"]
    notes.clear()
    assert normalise({"schemas": USER_URN, "userName": "a"}, USER, notes).document == {"userName": "a"}
    assert [one.rule for one in notes] == ["schemas_text"]


def test_missing_schemas_are_tolerated_with_a_note_and_wrong_ones_are_not() -> None:
    notes: Notes = []
    assert normalise({"userName": "alice"}, USER, notes).document == {"userName": "alice"}
    assert [one.rule for one in notes] == ["schemas_missing"]
    assert refused({"schemas": [GROUP_URN], "userName": "a"}) == ("invalidSyntax", f"schemas must have {USER_URN}.")
    assert refused({"schemas": GROUP_URN, "userName": "a"})[0] == "invalidSyntax"
    assert refused({"schemas": [1], "userName": "a"})[0] == "invalidSyntax"


@pytest.mark.parametrize(
    ("more", "scim_type", "names"),
    [
        ({"foo": 1}, "invalidSyntax", '"foo"'),
        ({"department": "x"}, "invalidSyntax", '"department"'),
        ({"name": {"foo": 1}}, "invalidSyntax", "name"),
        ({"emails": [{"value": "a@b", "foo": 1}]}, "invalidSyntax", "emails"),
        ({ENTERPRISE_URN: {"foo": 1}}, "invalidSyntax", '"foo"'),
        ({"USERNAME": "bob"}, "invalidSyntax", "twice"),
        ({"name": {"givenName": "a", "GIVENNAME": "b"}}, "invalidSyntax", "twice"),
        ({"userName": None}, "invalidValue", "userName"),
        ({"userName": ""}, "invalidValue", "userName"),
        ({"userName": "  "}, "invalidValue", "userName"),
        ({"userName": 5}, "invalidValue", "userName"),
        ({"userName": ["a"]}, "invalidValue", "userName"),
        ({"userName": {"a": 1}}, "invalidValue", "userName"),
        ({"userName": "x" * 321}, "invalidValue", "320"),
        ({"userName": "\ufdfa" * 20}, "invalidValue", "320"),
        ({"displayName": "x" * 401}, "invalidValue", "displayName"),
        ({"active": "maybe"}, "invalidValue", "active"),
        ({"active": "True"}, "invalidValue", "active"),
        ({"active": 1}, "invalidValue", "active"),
        ({"name": "Alice"}, "invalidValue", "name"),
        ({"name": [{"givenName": "a"}]}, "invalidValue", "name"),
        ({"name": {"givenName": 5}}, "invalidValue", "name.givenName"),
        ({"emails": "a@b"}, "invalidValue", "emails"),
        ({"emails": {"value": "a@b"}}, "invalidValue", "emails"),
        ({"emails": ["a@b"]}, "invalidValue", "emails"),
        ({"emails": [[{"value": "a"}]]}, "invalidValue", "emails"),
        ({"emails": [{"value": "a", "primary": "yes"}]}, "invalidValue", "emails.primary"),
        ({"emails": [{"value": "a", "primary": True}, {"value": "b", "primary": True}]}, "invalidValue", "primary"),
        ({"emails": [{"value": "a"}] * 1001}, "invalidValue", "1000"),
        ({"profileUrl": "not a reference"}, "invalidValue", "profileUrl"),
        ({"x509Certificates": [{"value": "no base64!"}]}, "invalidValue", "x509Certificates.value"),
        ({ENTERPRISE_URN: "x"}, "invalidValue", ENTERPRISE_URN),
        ({NHI_URN: {"kind": "robot"}}, "invalidValue", "person, service, workload, agent, shared"),
        ({NHI_URN: {"environment": "moon"}}, "invalidValue", "production, staging, development"),
        ({NHI_URN: {"expiresAt": "tomorrow"}}, "invalidValue", "expiresAt"),
        ({NHI_URN: {"expiresAt": "2030-01-01T00:00:00"}}, "invalidValue", "zone"),
        ({NHI_URN: {"expiresAt": "2030-02-30T00:00:00Z"}}, "invalidValue", "expiresAt"),
        ({NHI_URN: {"expiresAt": 5}}, "invalidValue", "expiresAt"),
        ({NHI_URN: {"owners": [{"type": "User"}]}}, "invalidValue", "owners.value"),
    ],
)
def test_bad_input_is_refused_and_named(more: dict[str, Any], scim_type: str, names: str) -> None:
    found, detail = refused(user(**more))
    assert found == scim_type
    assert names in detail


@pytest.mark.parametrize(
    "character", ["\x01", "\t", "\n", "\x7f", "\x85", "\u202e", "\u2066", "\u200e", "\u2028", "\u061c"]
)
@pytest.mark.parametrize(
    ("attribute", "make"),
    [
        ("userName", lambda text: user(userName=text)),
        ("displayName", lambda text: user(displayName=text)),
        ("externalId", lambda text: user(externalId=text)),
        ("name.givenName", lambda text: user(name={"givenName": text})),
        ("emails.value", lambda text: user(emails=[{"value": text}])),
        (f"{NHI_URN}:purpose", lambda text: user(**{NHI_URN: {"purpose": text}})),
        ("profileUrl", lambda text: user(profileUrl=text)),
    ],
)
def test_control_and_bidirectional_characters_are_refused_with_the_attribute(
    character: str, attribute: str, make: Any
) -> None:
    assert refused(make(f"a{character}b")) == (
        "invalidValue",
        f"{attribute} has a control character or a bidirectional override.",
    )


def test_a_postal_address_may_have_lines_but_no_overrides() -> None:
    address = [{"formatted": "1 High Street\nOxford", "streetAddress": "1 High Street\r\nFlat 2"}]
    assert normal(user(addresses=address)).document["addresses"] == address
    assert refused(user(addresses=[{"formatted": "a\u202eb"}]))[0] == "invalidValue"
    assert refused(user(addresses=[{"locality": "a\nb"}]))[0] == "invalidValue"


def test_values_are_kept_as_they_were_sent() -> None:
    sent = {
        "emails": [{"value": "Alice@Example.COM", "type": "Work"}],
        "phoneNumbers": [{"value": "tel:+1-555-555-5555"}],
        "x509Certificates": [{"value": "aGVsbG8"}],
        "name": {"formatted": "  Alice  "},
    }
    assert normal(user(**copy.deepcopy(sent))).document == {"userName": "alice", **sent}


def test_a_closed_word_is_read_in_any_case() -> None:
    document = normal(user(**{NHI_URN: {"kind": "Service", "environment": "PRODUCTION"}})).document
    assert document[NHI_URN] == {"kind": "service", "environment": "production"}


def test_the_input_is_not_changed() -> None:
    sent = user(
        emails=[{"VALUE": "a@b", "primary": True}], password="x", **{ENTERPRISE_URN: {"manager": {"value": ONE}}}
    )
    before = copy.deepcopy(sent)
    normal(sent)
    assert sent == before


def test_the_members_of_a_group_are_ids_in_order_and_once() -> None:
    result = normal(
        {
            "schemas": [GROUP_URN],
            "displayName": "g",
            "members": [{"value": TWO, "$ref": None, "display": "x"}, {"VALUE": ONE}, {"value": TWO.upper()}],
        },
        GROUP,
    )
    assert result.members == (UUID(TWO), UUID(ONE))
    assert (result.document, result.said) == ({"displayName": "g"}, {"displayName", "members"})


def test_an_empty_list_of_members_is_nobody_and_null_is_not_said() -> None:
    group = {"schemas": [GROUP_URN], "displayName": "g"}
    notes: Notes = []
    assert normal({**group, "members": []}, GROUP).members == ()
    assert normal(group, GROUP).members is None
    null = normalise({**group, "members": None}, GROUP, notes)
    assert (null.members, null.said, [one.rule for one in notes]) == (None, {"displayName"}, ["null_members"])


@pytest.mark.parametrize(
    "members",
    ["x", 5, [5], [ONE], [{"value": "7"}], [{"value": None}], [{"display": "x"}], [{"value": ONE, "x": 1}], [[]]],
)
def test_members_that_can_not_be_resolved_are_refused(members: Any) -> None:
    assert refused({"schemas": [GROUP_URN], "displayName": "g", "members": members}, GROUP)[0] == "invalidValue"


def test_a_group_needs_a_name() -> None:
    assert refused({"schemas": [GROUP_URN]}, GROUP) == ("invalidValue", "displayName is required.")


def test_an_account_change_has_everything_and_keeps_what_is_ours_out_of_the_document() -> None:
    result = normal(
        user(
            externalId="e1",
            displayName="Alice",
            active=False,
            emails=[{"value": "home@x", "type": "home"}, {"value": "w@x", "type": "work"}],
            **{
                ENTERPRISE_URN: {"employeeNumber": "0042"},
                NHI_URN: {
                    "kind": "agent",
                    "purpose": "answers letters",
                    "environment": "staging",
                    "expiresAt": "2030-01-31T12:00:00.1234567+02:00",
                    "owners": [{"value": ONE}, {"value": TWO}, {"value": ONE}],
                },
            },
        )
    )
    change = account_change(result.document, said=result.said)
    assert (change.user_name, change.external_id, change.display_name, change.active) == ("alice", "e1", "Alice", False)
    assert (change.kind, change.purpose, change.environment) == ("agent", "answers letters", "staging")
    assert change.expires_at == datetime(2030, 1, 31, 10, 0, 0, 123456, tzinfo=UTC)
    assert change.owners == (UUID(ONE), UUID(TWO))
    assert (change.employee_number, change.email) == ("0042", "w@x")
    assert set(change.document) == {"userName", "externalId", "displayName", "emails", ENTERPRISE_URN, NHI_URN}
    assert change.said == result.said


def test_what_was_not_said_can_not_enable_or_disown() -> None:
    change = account_change(
        {"userName": "alice", "active": True, NHI_URN: {"owners": [{"value": ONE}]}}, said=frozenset({"title"})
    )
    assert (change.active, change.owners) == (None, None)
    said = frozenset({"active", f"{NHI_URN}:owners"})
    unassigned = account_change({"userName": "alice"}, said=said)
    assert (unassigned.active, unassigned.owners) == (None, ())


def test_an_owner_that_is_no_id_is_refused() -> None:
    with pytest.raises(ScimError) as caught:
        account_change(
            {"userName": "a", NHI_URN: {"owners": [{"value": "bob"}]}}, said=frozenset({f"{NHI_URN}:owners"})
        )
    assert caught.value.scim_type == "invalidValue"


def test_the_primary_address_is_the_e_mail() -> None:
    emails = [{"value": "w@x", "type": "work"}, {"value": "p@x", "primary": True}, {"type": "other"}]
    assert account_change({"userName": "a", "emails": emails}, said=frozenset()).email == "p@x"
    assert account_change({"userName": "a", "emails": [{"type": "work"}]}, said=frozenset()).email is None


def test_a_group_change_replaces_members_by_those_listed_and_touches_none_otherwise() -> None:
    listed = group_change({"displayName": "g", "externalId": "x"}, said=frozenset({"members"}), members=(UUID(ONE),))
    assert listed.member_steps == (MemberStep(op="replace", values=(UUID(ONE),)),)
    assert (listed.display_name, listed.external_id) == ("g", "x")
    assert listed.document == {"displayName": "g", "externalId": "x"}
    assert group_change({"displayName": "g"}, said=frozenset()).member_steps == ()


def test_the_kept_document_has_nothing_that_the_server_computes() -> None:
    document = {
        "schemas": [USER_URN],
        "id": ONE,
        "meta": {"version": "1"},
        "groups": [{"value": TWO}],
        "active": True,
        "password": "x",
        "userName": "alice",
        NHI_URN: {"pending": {"id": "p"}},
        "urn:unknown": {"x": 1},
    }
    assert kept_document(document, USER) == {"userName": "alice"}


def test_an_immutable_value_may_be_given_once_and_left_out() -> None:
    old, same = {"userName": "a", NHI_URN: {"kind": "service"}}, {"userName": "b", NHI_URN: {"kind": "service"}}
    check_immutable(old, same, USER)
    check_immutable(old, {"userName": "b"}, USER)
    check_immutable({"userName": "a"}, same, USER)
    with pytest.raises(ScimError) as caught:
        check_immutable(old, {"userName": "a", NHI_URN: {"kind": "person"}}, USER)
    assert (caught.value.status, caught.value.scim_type) == (400, "mutability")
    assert keep_immutable(old, {"userName": "b"}, USER) == {"userName": "b", NHI_URN: {"kind": "service"}}
    assert keep_immutable({"userName": "a"}, {"userName": "b"}, USER) == {"userName": "b"}


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2021-09-23T19:35:41.8420572Z", datetime(2021, 9, 23, 19, 35, 41, 842057, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("2030-01-01T00:00:00-05:30", datetime(2030, 1, 1, 5, 30, tzinfo=UTC)),
        ("0001-01-01T00:00:00+02:00", None),
        ("2030-01-01T00:00:00", None),
        ("2030-01-01", None),
        ("2030-01-01 00:00:00Z", None),
        ("2030-13-01T00:00:00Z", None),
        ("2030-01-01T00:00:60Z", None),
        ("2030-01-01T00:00:00+99:00", None),
        ("\u0662030-01-01T00:00:00Z", None),
    ],
)
def test_an_instant_is_read_exactly_or_not_at_all(text: str, instant: datetime | None) -> None:
    assert read_instant(text) == instant


def test_an_instant_without_a_zone_can_be_given_one() -> None:
    assert read_instant("2030-01-01T00:00:00", default_zone="+00:00") == datetime(2030, 1, 1, tzinfo=UTC)
