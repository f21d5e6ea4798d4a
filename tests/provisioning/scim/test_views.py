"""Users and Groups over SCIM: what each method answers, and what becomes of the resource."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from accounts.models import Account
from audit.scope import scope
from provisioning.models.plan import Plan
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN, GROUP_URN, NHI_URN, USER_URN
from tests.factories.scim import PATCH_URN, a_group, a_user, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = pytest.mark.face

NOBODY = "0193b0c4-0000-7000-8000-000000000001"


def replaces(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def adds(*members: str) -> dict[str, Any]:
    return {"op": "add", "path": "members", "value": [{"value": member} for member in members]}


# -- making and reading


def test_a_created_user_answers_201_with_its_location_and_meta(idp: Idp) -> None:
    made = idp.post("/Users", a_user("Ada@example.com", externalId="42", title="Engineer"))
    assert made.status == 201
    location = f"http://testserver/scim/v2/Users/{made['id']}"
    assert made.headers["Location"] == made["meta"]["location"] == location
    assert made.headers["ETag"] == made["meta"]["version"]
    assert made["meta"]["resourceType"] == "User"
    assert made["meta"]["created"] == made["meta"]["lastModified"]
    assert {name: made[name] for name in ("schemas", "userName", "externalId", "title", "active")} == {
        "schemas": [USER_URN],
        "userName": "Ada@example.com",
        "externalId": "42",
        "title": "Engineer",
        "active": True,
    }
    assert idp.get(f"/Users/{made['id']}").body == made.body


def test_everything_of_the_core_and_enterprise_schemas_is_kept(idp: Idp) -> None:
    sent = {
        "name": {"givenName": "Ada", "familyName": "King", "honorificPrefix": "Countess"},
        "emails": [{"value": "a@b.c", "type": "work", "primary": True}, {"value": "ada@home.example"}],
        "phoneNumbers": [{"value": "tel:+1-555", "type": "mobile"}],
        "addresses": [{"type": "work", "streetAddress": "1 Way\nFlat 2", "country": "GB"}],
        "preferredLanguage": "en-GB",
        "timezone": "Europe/London",
        ENTERPRISE_URN: {"employeeNumber": "7", "department": "Engines", "manager": {"value": "any"}},
    }
    made = idp.post("/Users", a_user(**sent))
    assert {name: made[name] for name in sent} == sent
    assert made["schemas"] == [USER_URN, ENTERPRISE_URN]


def test_ids_are_our_own_and_shared_by_no_user_and_group(idp: Idp) -> None:
    user = idp.user()
    group = idp.group()
    assert UUID(user).version == UUID(group).version == 7
    assert user != group
    assert idp.get(f"/Groups/{user}").status == 404
    assert idp.get(f"/Users/{group}").status == 404


def test_a_client_cannot_choose_the_id(idp: Idp) -> None:
    made = idp.post("/Users", a_user(id=NOBODY, meta={"version": "x"}))
    assert made.status == 201
    assert made["id"] != NOBODY


@pytest.mark.parametrize(
    "again",
    [a_user("ADA@example.com"), a_user("ada@EXAMPLE.com "), a_user("eva@example.com", externalId="42")],
    ids=["another case", "a blank at the end", "the same externalId"],
)
def test_a_second_resource_with_the_same_name_or_external_id_is_a_conflict(idp: Idp, again: dict[str, Any]) -> None:
    idp.user("ada@example.com", externalId="42")
    refused = idp.post("/Users", again)
    assert (refused.status, refused["scimType"]) == (409, "uniqueness")
    assert idp.get("/Users")["totalResults"] == 1


def test_a_rename_onto_a_name_in_use_is_a_conflict(idp: Idp) -> None:
    idp.user("ada")
    eva = idp.user("eva")
    refused = idp.patch(f"/Users/{eva}", replaces("userName", "ADA"))
    assert (refused.status, refused["scimType"]) == (409, "uniqueness")
    assert idp.put(f"/Users/{eva}", a_user("Ada")).status == 409
    assert idp.get(f"/Users/{eva}")["userName"] == "eva"


def test_a_group_name_is_unique_in_any_case(idp: Idp) -> None:
    idp.group("Staff")
    refused = idp.post("/Groups", a_group("sTAFF"))
    assert (refused.status, refused["scimType"]) == (409, "uniqueness")


@pytest.mark.parametrize(
    ("body", "scim_type"),
    [
        ({"foo": 1}, "invalidSyntax"),
        ({"schemas": [USER_URN]}, "invalidValue"),
        ({"schemas": [USER_URN], "userName": ""}, "invalidValue"),
        ({"schemas": [USER_URN], "userName": 7}, "invalidValue"),
        ({"schemas": [USER_URN], "userName": "x", "name": "y"}, "invalidValue"),
        ({"schemas": [GROUP_URN], "userName": "x"}, "invalidSyntax"),
        (a_user(favouriteColour="red"), "invalidSyntax"),
        (a_user(active="perhaps"), "invalidValue"),
        (a_user(**{NHI_URN: {"kind": "robot"}}), "invalidValue"),
    ],
)
def test_what_the_schema_does_not_allow_is_refused_and_makes_nobody(
    idp: Idp, body: dict[str, Any], scim_type: str
) -> None:
    refused = idp.post("/Users", body)
    assert (refused.status, refused["scimType"]) == (400, scim_type)
    assert idp.get("/Users")["totalResults"] == 0
    with scope(tenant=idp.tenant.pk):
        assert not Account.objects.exists()


def test_null_counts_as_unassigned(idp: Idp) -> None:
    made = idp.post("/Users", a_user(name=None, emails=[], title=None, externalId=None))
    assert made.status == 201
    assert made.body.keys() == {"schemas", "id", "userName", "active", "meta"}


def test_a_password_is_accepted_and_kept_nowhere(idp: Idp) -> None:
    made = idp.post("/Users", a_user(password="correct horse"))
    assert made.status == 201
    assert "password" not in made.body
    assert idp.last().request["password"] == "***"


# -- replacing


def test_put_clears_what_it_leaves_out_and_keeps_the_id(idp: Idp) -> None:
    user = idp.user("ada", title="Engineer", externalId="42")
    replaced = idp.put(f"/Users/{user}", {"schemas": [USER_URN], "userName": "ada", "nickName": "A"})
    assert replaced.status == 200
    assert replaced["id"] == user
    assert replaced["nickName"] == "A"
    assert {"title", "externalId"}.isdisjoint(replaced.body)


def test_put_that_does_not_say_active_neither_ends_nor_begins_anything(idp: Idp) -> None:
    user = idp.user("ada")
    assert idp.put(f"/Users/{user}", {"schemas": [USER_URN], "userName": "ada"})["active"] is True


def test_put_never_creates(idp: Idp) -> None:
    assert idp.put(f"/Users/{NOBODY}", a_user()).status == 404
    assert idp.get("/Users")["totalResults"] == 0


def test_put_without_a_required_attribute_is_refused(idp: Idp) -> None:
    user = idp.user("ada")
    refused = idp.put(f"/Users/{user}", {"schemas": [USER_URN], "title": "x"})
    assert (refused.status, refused["scimType"]) == (400, "invalidValue")


def test_the_kind_is_given_once(idp: Idp) -> None:
    user = idp.user("robot", **{NHI_URN: {"kind": "service", "purpose": "backup"}})
    refused = idp.put(f"/Users/{user}", a_user("robot", **{NHI_URN: {"kind": "agent"}}))
    assert (refused.status, refused["scimType"]) == (400, "mutability")
    assert idp.put(f"/Users/{user}", a_user("robot", **{NHI_URN: {"purpose": "b"}}))[NHI_URN]["kind"] == "service"


def test_a_put_that_changes_nothing_writes_nothing(idp: Idp) -> None:
    user = idp.user("ada", title="Engineer")
    before = idp.get(f"/Users/{user}").body
    assert idp.put(f"/Users/{user}", a_user("ada", title="Engineer")).body == before
    assert idp.last().outcome == "same"


# -- patching


def test_a_patch_answers_the_whole_user(idp: Idp) -> None:
    user = idp.user("ada", name={"givenName": "Ada", "familyName": "King"})
    patched = idp.patch(
        f"/Users/{user}",
        {"op": "Replace", "path": "name.familyName", "value": "Lovelace"},
        {"op": "Add", "path": f"{ENTERPRISE_URN}:department", "value": "Engines"},
        {"op": "add", "path": 'emails[type eq "work"].value', "value": "ada@example.com"},
        {"op": "remove", "path": "name.givenName"},
    )
    assert patched.status == 200
    assert patched["name"] == {"familyName": "Lovelace"}
    assert patched["emails"] == [{"type": "work", "value": "ada@example.com"}]
    assert patched[ENTERPRISE_URN] == {"department": "Engines"}
    assert idp.get(f"/Users/{user}").body == patched.body


def test_a_patch_is_all_or_nothing(idp: Idp) -> None:
    user = idp.user("ada", title="Engineer")
    before = idp.get(f"/Users/{user}").body
    refused = idp.patch(f"/Users/{user}", replaces("title", "Boss"), replaces("userName", None))
    assert refused.status == 400
    assert idp.get(f"/Users/{user}").body == before


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"path": "title", "value": "x"}, "invalidSyntax"),
        ({"op": "move", "path": "title"}, "invalidSyntax"),
        ({"op": "remove"}, "noTarget"),
        (replaces("emails[type eq", "x"), "invalidPath"),
        (replaces("favouriteColour", "x"), "invalidPath"),
        (replaces('emails[type eq "home"]', {"value": "x"}), "noTarget"),
        (replaces("id", NOBODY), "mutability"),
        ({"op": "remove", "path": "userName"}, "mutability"),
        (replaces("active", "invalid"), "invalidValue"),
        ({"op": "replace", "value": {"name": {"givenName": 7}}}, "invalidValue"),
    ],
)
def test_an_operation_that_makes_no_sense_is_refused(idp: Idp, operation: dict[str, Any], scim_type: str) -> None:
    user = idp.user("ada")
    refused = idp.patch(f"/Users/{user}", operation)
    assert (refused.status, refused["scimType"]) == (400, scim_type)


def test_a_patch_without_a_path_takes_a_complex_object(idp: Idp) -> None:
    user = idp.user("ada")
    patched = idp.patch(f"/Users/{user}", {"op": "replace", "value": {"name": {"givenName": "Ada"}, "title": "x"}})
    assert (patched["name"], patched["title"]) == ({"givenName": "Ada"}, "x")


def test_adding_what_is_there_changes_nothing(idp: Idp) -> None:
    user = idp.user("ada", title="Engineer")
    before = idp.get(f"/Users/{user}").body
    assert idp.patch(f"/Users/{user}", {"op": "add", "path": "title", "value": "Engineer"}).body == before


# -- the way out, and the way back


@pytest.mark.parametrize("value", [False, "False", "false"])
def test_a_deactivation_takes_effect_in_the_same_request(idp: Idp, value: Any) -> None:
    user = idp.user("ada")
    assert idp.patch(f"/Users/{user}", {"op": "Replace", "path": "active", "value": value})["active"] is False
    account = idp.shadow(user).account
    assert account is not None
    assert (account.state, account.epoch) == ("deprovisioned", 1)
    assert idp.last().intent == "disable"


@pytest.mark.parametrize("way", ["patch", "put", "delete and post"])
def test_a_way_back_is_a_plan_that_the_answer_names(idp: Idp, way: str) -> None:
    user = idp.user("ada", externalId="42")
    if way == "delete and post":
        idp.delete(f"/Users/{user}")
        answer = idp.post("/Users", a_user("ada", externalId="42"))
        assert answer.status == 201
    else:
        idp.patch(f"/Users/{user}", replaces("active", False))
        asked = {"patch": lambda: idp.patch(f"/Users/{user}", replaces("active", True))}
        asked["put"] = lambda: idp.put(f"/Users/{user}", a_user("ada", externalId="42"))
        answer = asked[way]()
        assert answer.status == 200
    assert answer["active"] is False
    with scope(tenant=idp.tenant.pk):
        plan = Plan.objects.get()
    pending = answer[NHI_URN]["pending"]
    assert (pending["id"], pending["state"]) == (str(plan.pk), "waiting")
    assert pending["heldBy"]
    exchange = idp.last()
    assert (exchange.outcome, exchange.plan_id) == ("held", plan.pk)
    assert idp.get(f"/Users/{answer['id']}").body == answer.body
    assert idp.get("/Users")["Resources"][0][NHI_URN]["pending"]["id"] == str(plan.pk)


def test_a_repeated_wish_finds_the_same_plan(idp: Idp) -> None:
    user = idp.user("ada")
    idp.patch(f"/Users/{user}", replaces("active", False))
    first = idp.patch(f"/Users/{user}", replaces("active", True))
    second = idp.patch(f"/Users/{user}", replaces("active", True))
    assert first[NHI_URN]["pending"]["id"] == second[NHI_URN]["pending"]["id"]
    with scope(tenant=idp.tenant.pk):
        assert Plan.objects.count() == 1


def test_a_service_account_made_by_scim_waits_for_its_owner(idp: Idp) -> None:
    owner = idp.user("ada")
    made = idp.post(
        "/Users",
        a_user("backup", **{NHI_URN: {"kind": "service", "purpose": "backups", "owners": [{"value": owner}]}}),
    )
    assert made.status == 201
    assert made["active"] is False
    assert made[NHI_URN]["kind"] == "service"
    assert made[NHI_URN]["expiresAt"].endswith("Z")
    assert made[NHI_URN]["pending"]["state"] == "pending"
    assert made[NHI_URN]["pending"]["heldBy"] == ["an owner who accepts"]
    assert idp.get(f"/Users/{made['id']}").body == made.body


def test_a_deleted_user_is_gone_and_its_account_ends(idp: Idp) -> None:
    user = idp.user("ada")
    group = idp.group("Staff", user)
    gone = idp.delete(f"/Users/{user}")
    assert (gone.status, gone.body) == (204, None)
    assert idp.get(f"/Users/{user}").status == 404
    assert idp.delete(f"/Users/{user}").status == 404
    assert idp.patch(f"/Users/{user}", replaces("title", "x")).status == 404
    assert idp.get("/Users")["totalResults"] == 0
    assert idp.members(group) == set()
    account = idp.shadow(user).account
    assert account is not None
    assert account.state == "deprovisioned"


def test_deleting_one_user_touches_no_other(idp: Idp) -> None:
    users = [idp.user(name) for name in ("ada", "eva", "ida")]
    idp.delete(f"/Users/{users[1]}")
    assert [idp.get(f"/Users/{user}").status for user in users] == [200, 404, 200]


# -- groups


def test_members_on_create_and_replace_are_stored(idp: Idp) -> None:
    ada, eva = idp.user("ada", displayName="Ada King"), idp.user("eva")
    made = idp.post("/Groups", a_group("Staff", ada))
    assert made.status == 201
    assert made["members"] == [{"value": ada, "$ref": f"http://testserver/scim/v2/Users/{ada}", "type": "User"}]
    replaced = idp.put(f"/Groups/{made['id']}", a_group("Staff", eva))
    assert [member["value"] for member in replaced["members"]] == [eva]
    assert idp.get(f"/Users/{eva}")["groups"] == [
        {
            "value": made["id"],
            "$ref": f"http://testserver/scim/v2/Groups/{made['id']}",
            "display": "Staff",
            "type": "direct",
        }
    ]
    assert "groups" not in idp.get(f"/Users/{ada}").body


def test_a_group_can_be_a_member(idp: Idp) -> None:
    inner = idp.group("Inner")
    outer = idp.post("/Groups", a_group("Outer", inner))
    assert [(one["value"], one["type"]) for one in outer["members"]] == [(inner, "Group")]
    idp.delete(f"/Groups/{inner}")
    assert idp.members(outer["id"]) == set()
    assert idp.get(f"/Groups/{outer['id']}").headers["ETag"] != outer.headers["ETag"]


def test_groups_in_a_circle_are_groups_like_any_others(idp: Idp) -> None:
    ada = idp.user("ada")
    one, two, three = idp.group("One", ada), idp.group("Two"), idp.group("Three")
    for group, inner in ((one, two), (two, three), (three, one)):
        assert idp.patch(f"/Groups/{group}", adds(inner)).status == 200
    assert idp.patch(f"/Groups/{one}", adds(one)).status == 400
    assert [idp.members(group) for group in (one, two, three)] == [{ada, two}, {three}, {one}]
    assert [(group["value"], group["type"]) for group in idp.get(f"/Users/{ada}")["groups"]] == [(one, "direct")]
    found = idp.get(f'/Groups?filter=members.value eq "{one}"')
    assert [group["id"] for group in found["Resources"]] == [three]
    assert idp.delete(f"/Groups/{two}").status == 204
    assert [idp.members(group) for group in (one, three)] == [{ada}, {one}]


def test_a_group_patch_answers_the_group_or_what_of_it_is_asked_for(idp: Idp) -> None:
    ada = idp.user("ada")
    group = idp.group("Staff")
    whole = idp.patch(f"/Groups/{group}", adds(ada))
    assert (whole.status, [one["value"] for one in whole["members"]]) == (200, [ada])
    shown = idp.patch(f"/Groups/{group}?attributes=displayName", replaces("displayName", "All"))
    assert shown.status == 200
    assert shown.body.keys() == {"schemas", "id", "displayName"}
    assert idp.members(group) == {ada}


def test_members_are_added_removed_and_replaced(idp: Idp) -> None:
    ada, eva, ida = (idp.user(name) for name in ("ada", "eva", "ida"))
    group = idp.group("Staff", ada)
    idp.patch(f"/Groups/{group}", adds(eva, ada, eva))
    assert idp.members(group) == {ada, eva}
    idp.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{ada}"]'})
    assert idp.members(group) == {eva}
    idp.patch(f"/Groups/{group}", {"op": "replace", "path": "members", "value": [{"value": ida}, {"value": ada}]})
    assert idp.members(group) == {ida, ada}
    idp.patch(f"/Groups/{group}", {"op": "Remove", "path": "members", "value": [{"value": ida}]})
    assert idp.members(group) == {ada}


def test_remove_members_without_a_value_empties_the_group(idp: Idp) -> None:
    ada, eva = idp.user("ada"), idp.user("eva")
    group = idp.group("Staff", ada, eva)
    assert idp.patch(f"/Groups/{group}", {"op": "remove", "path": "members"}).status == 200
    assert idp.members(group) == set()


def test_removing_who_is_not_a_member_succeeds_and_changes_nothing(idp: Idp) -> None:
    ada, eva = idp.user("ada"), idp.user("eva")
    group = idp.group("Staff", ada)
    before = idp.get(f"/Groups/{group}").body
    assert idp.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{eva}"]'}).status == 200
    assert idp.get(f"/Groups/{group}").body == before


def test_a_member_that_is_nobody_is_refused_and_nothing_is_stored(idp: Idp) -> None:
    ada = idp.user("ada")
    group = idp.group("Staff")
    refused = idp.patch(f"/Groups/{group}", adds(ada), adds(NOBODY))
    assert (refused.status, refused["scimType"]) == (400, "invalidValue")
    assert idp.members(group) == set()
    for value in (NOBODY, "7", "' OR 1=1"):
        assert idp.post("/Groups", a_group("Other", value)).status == 400
    assert idp.get("/Groups")["totalResults"] == 1


def test_a_renamed_group_keeps_its_members_and_shows_its_new_name_everywhere(idp: Idp) -> None:
    ada = idp.user("ada")
    group = idp.group("Staff", ada)
    idp.patch(f"/Groups/{group}", {"op": "replace", "value": {"id": group, "displayName": "All"}})
    assert idp.get(f"/Groups/{group}")["displayName"] == "All"
    assert idp.get(f"/Users/{ada}")["groups"][0]["display"] == "All"
    assert idp.get('/Groups?filter=displayName eq "all"')["totalResults"] == 1


def test_a_change_of_members_moves_the_groups_version(idp: Idp) -> None:
    ada = idp.user("ada")
    made = idp.post("/Groups", a_group())
    idp.patch(f"/Groups/{made['id']}", adds(ada))
    now = idp.get(f"/Groups/{made['id']}")["meta"]
    assert now["version"] != made["meta"]["version"]
    assert now["lastModified"] > made["meta"]["lastModified"]
    assert now["created"] == made["meta"]["created"]


# -- versions


def test_a_stale_if_match_is_refused_and_a_fresh_one_is_not(idp: Idp) -> None:
    made = idp.post("/Users", a_user("ada"))
    path, tag = f"/Users/{made['id']}", made.headers["ETag"]
    assert idp.patch(path, replaces("title", "x"), If_Match=tag).status == 200
    for call in (
        lambda: idp.patch(path, replaces("title", "y"), If_Match=tag),
        lambda: idp.put(path, a_user("ada"), If_Match=tag),
        lambda: idp.delete(path, If_Match=f'"other", {tag}'),
    ):
        assert call().status == 412
    assert idp.get(path)["title"] == "x"
    assert idp.delete(path, If_Match="*").status == 204


def test_an_unchanged_resource_is_not_sent_again(idp: Idp) -> None:
    user = idp.user("ada")
    tag = idp.get(f"/Users/{user}").headers["ETag"]
    unchanged = idp.get(f"/Users/{user}", If_None_Match=tag)
    assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, None, tag)
    idp.patch(f"/Users/{user}", replaces("active", False))
    assert idp.get(f"/Users/{user}", If_None_Match=tag).status == 200


# -- projection


def test_what_is_not_asked_for_is_not_answered(idp: Idp) -> None:
    user = idp.user("ada", name={"givenName": "Ada", "familyName": "King"}, title="x")
    assert idp.get(f"/Users/{user}?attributes=NAME.givenname").body == {
        "schemas": [USER_URN],
        "id": user,
        "name": {"givenName": "Ada"},
    }
    assert "title" not in idp.get(f"/Users/{user}?excludedAttributes=title").body
    assert idp.patch(f"/Users/{user}?attributes=title", replaces("title", "y")).body == {
        "schemas": [USER_URN],
        "id": user,
        "title": "y",
    }
    assert idp.get(f"/Users/{user}?attributes=title&excludedAttributes=name").status == 400


# -- whose is what


def test_a_system_sees_only_its_own_resources(idp: Idp, other: Idp, make_tenant: Callable[..., Tenant]) -> None:
    user, group = idp.user("ada"), idp.group("Staff")
    stranger = connect(make_tenant("globex"))
    for foreign in (other, stranger):
        for path in (f"/Users/{user}", f"/Groups/{group}"):
            assert foreign.get(path).status == 404
            assert foreign.put(path, a_user() if "Users" in path else a_group()).status == 404
            assert foreign.patch(path, replaces("displayName", "x")).status == 404
            assert foreign.delete(path).status == 404
        assert foreign.get("/Users")["totalResults"] == foreign.get("/Groups")["totalResults"] == 0
        assert foreign.get(f'/Users?filter=id eq "{user}"')["totalResults"] == 0
        assert foreign.post("/Groups", a_group("Mine", user)).status == 400
    assert idp.get(f"/Users/{user}")["active"] is True


def test_two_systems_each_have_their_own_user_of_a_name(idp: Idp, make_tenant: Callable[..., Tenant]) -> None:
    stranger = connect(make_tenant("globex"))
    assert idp.user("ada") != stranger.user("ada")


def test_a_shared_account_shows_each_system_only_its_own_groups(idp: Idp, other: Idp) -> None:
    number = {ENTERPRISE_URN: {"employeeNumber": "7"}}
    here, there = idp.user("ada", **number), other.user("ada", **number)
    assert idp.shadow(here).account_id == other.shadow(there).account_id
    idp.group("Ours", here)
    assert "groups" not in other.get(f"/Users/{there}").body
    assert len(idp.get(f"/Users/{here}")["groups"]) == 1


# -- discovery, and addresses


def test_discovery_lists_say_how_many_they_are(idp: Idp) -> None:
    for path in ("/Schemas", "/ResourceTypes"):
        found = idp.get(path)
        assert found.status == 200
        assert found["totalResults"] == found["itemsPerPage"] == len(found["Resources"]) > 1
        assert found["startIndex"] == 1
        for one in found["Resources"]:
            assert idp.get(f"{path}/{one['id']}").body == one
        assert idp.get(f"{path}/nothing").status == 404
        assert idp.get(f"{path}?filter=id eq 1").status == 403


def test_resource_types_have_relative_endpoints_and_name_their_extensions(idp: Idp) -> None:
    user = idp.get("/ResourceTypes/User")
    assert user["endpoint"] == "/Users"
    assert {one["schema"] for one in user["schemaExtensions"]} == {ENTERPRISE_URN, NHI_URN}


def test_the_configuration_says_what_is_done(idp: Idp) -> None:
    config = idp.get("/ServiceProviderConfig")
    supported = {name: config[name]["supported"] for name in ("patch", "bulk", "filter", "sort", "etag")}
    assert supported == {"patch": True, "bulk": True, "filter": True, "sort": True, "etag": True}
    assert config["authenticationSchemes"][0]["type"] == "oauthbearertoken"


@pytest.mark.parametrize(("method", "path"), [("GET", "/Me"), ("POST", "/Me")])
def test_what_is_not_done_answers_501_with_a_body(idp: Idp, method: str, path: str) -> None:
    answer = idp.call(method, path, {} if method == "POST" else None)
    assert answer.status == 501
    assert answer["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert answer["detail"]


def test_no_discovery_promises_me_since_a_token_is_a_system_s_and_no_person_s(idp: Idp) -> None:
    for path in ("/ServiceProviderConfig", "/ResourceTypes", "/Schemas"):
        endpoints = {one.get("endpoint") for one in idp.get(path).body.get("Resources", [])}
        assert "/Me" not in endpoints
        assert '"/Me' not in json.dumps(idp.get(path).body)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/Users", {"GET", "HEAD", "POST"}),
        ("DELETE", "/Groups", {"GET", "HEAD", "POST"}),
        ("POST", f"/Users/{NOBODY}", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("OPTIONS", "/Users", {"GET", "HEAD", "POST"}),
        ("POST", "/Schemas", {"GET", "HEAD"}),
        ("GET", "/Users/.search", {"POST"}),
        ("GET", "/.search", {"POST"}),
        ("POST", "/", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_answers_405_and_says_which_are_right(
    idp: Idp, method: str, path: str, allowed: set[str]
) -> None:
    answer = idp.call(method, path)
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/Users/", "/Groups/", "/Schemas/", "/ServiceProviderConfig/", "/Users/.search/"])
def test_a_slash_at_the_end_is_tolerated(idp: Idp, path: str) -> None:
    answer = (
        idp.call("POST", path, {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]})
        if ("search" in path)
        else idp.get(path)
    )
    assert answer.status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/nowhere", "/Users/a/b", "/users", "/../admin", "/Users/%00", "/%F0%28"])
def test_an_unknown_address_answers_404_in_scim(idp: Idp, method: str, path: str) -> None:
    answer = idp.call(method, path, {} if method in {"POST", "PUT", "PATCH"} else None)
    assert answer.status in ({404, 400, 405} if path == "/Users/%00" else {404})
    assert answer["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]


def test_a_head_request_is_a_read(idp: Idp) -> None:
    user = idp.user("ada")
    assert idp.call("HEAD", f"/Users/{user}").status == 200
    assert len(idp.exchanges()) == 1


def test_a_patch_body_may_come_without_schemas(idp: Idp) -> None:
    user = idp.user("ada")
    body = {"Operations": [replaces("title", "x")]}
    assert idp.call("PATCH", f"/Users/{user}", body)["title"] == "x"
    body["schemas"] = [PATCH_URN.upper()]
    assert idp.call("PATCH", f"/Users/{user}", body).status == 200
