"""Every kind of resource is a full citizen, and what /Schemas says of it comes back as it was written."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from audit.models import JournalEntry
from audit.scope import scope
from provisioning.changes import Outcome
from provisioning.scim.metadata.catalogue import (
    AGENT_URN,
    APPLICATION_URN,
    BY_NAME,
    ENTITLEMENT_URN,
    NHI_URN,
    RESOURCE_TYPES,
    ROLE_URN,
)
from provisioning.scim.resources import SMALL
from tests.factories.scim import SEARCH_URN, a_user

if TYPE_CHECKING:
    from tests.factories.scim import Idp

pytestmark = pytest.mark.face

BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
NAMES = [one.name for one in RESOURCE_TYPES]
NEW = {
    "Agent": {"schemas": [AGENT_URN], "name": "Clippy", "displayName": "Clippy 2"},
    "AgenticApplication": {"schemas": [APPLICATION_URN], "name": "Clippy", "displayName": "Clippy 2"},
    "Role": {"schemas": [ROLE_URN], "value": "Clippy", "display": "Clippy 2", "supported": True},
    "Entitlement": {"schemas": [ENTITLEMENT_URN], "value": "Clippy", "display": "Clippy 2"},
}
HANDLE = {"Agent": "name", "AgenticApplication": "name", "Role": "value", "Entitlement": "value"}


def replaces(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def at(name: str) -> str:
    return BY_NAME[name].endpoint


def made(idp: Idp, name: str, /, **attributes: Any) -> str:
    answer = idp.post(at(name), NEW[name] | attributes)
    assert answer.status == 201, answer
    return str(answer["id"])


# -- each of the new kinds


@pytest.mark.parametrize("name", NEW)
def test_it_is_made_read_replaced_patched_and_ended(idp: Idp, name: str) -> None:
    handle, new = HANDLE[name], NEW[name]
    answer = idp.post(at(name), {**new, "externalId": "e-1"})
    assert (answer.status, answer[handle], answer["externalId"]) == (201, "Clippy", "e-1")
    assert answer["meta"]["resourceType"] == name
    assert answer["schemas"][0] == new["schemas"][0]
    path = f"{at(name)}/{answer['id']}"
    assert answer.headers["Location"] == answer["meta"]["location"] == f"http://testserver/scim/v2{path}"
    assert answer.headers["ETag"] == answer["meta"]["version"]

    assert idp.get(path, If_None_Match=answer.headers["ETag"]).status == 304
    assert idp.put(path, {**new, handle: "Bonzi"}, If_Match='W/"0"').status == 412
    replaced = idp.put(path, {**new, handle: "Bonzi"}, If_Match=answer.headers["ETag"])
    assert (replaced.status, replaced[handle], "externalId" in replaced.body) == (200, "Bonzi", False)
    assert replaced["meta"]["version"] != answer["meta"]["version"]

    patched = idp.patch(path, replaces("externalId", "e-2"))
    assert (patched.status, patched["externalId"]) == (200, "e-2")
    same = idp.patch(path, replaces("externalId", "e-2"))
    assert (same["meta"], idp.last().outcome) == (patched["meta"], Outcome.DUPLICATE)
    assert idp.get(path).body == same.body

    assert idp.delete(path).status == 204
    assert idp.get(path).status == 404
    assert [(one.resource_type, one.intent, one.outcome) for one in idp.exchanges()] == [
        (name, "create", "held" if name == "Agent" else "applied"),
        (name, "unknown", "rejected"),
        (name, "update", "applied"),
        (name, "update", "applied"),
        (name, "update", "duplicate"),
        (name, "delete", "applied"),
    ]


@pytest.mark.parametrize("name", NEW)
def test_its_name_is_one_in_any_case_and_free_when_it_ended(idp: Idp, other: Idp, name: str) -> None:
    handle = HANDLE[name]
    first = made(idp, name, externalId="e-1")
    for clash in ({handle: "CLIPPY"}, {handle: "other", "externalId": "e-1"}):
        refused = idp.post(at(name), NEW[name] | clash)
        assert (refused.status, refused["scimType"]) == (409, "uniqueness")
    second = made(idp, name, **{handle: "other"})
    refused = idp.patch(f"{at(name)}/{second}", replaces(handle, "clippy"))
    assert (refused.status, refused["scimType"]) == (409, "uniqueness")
    made(other, name)
    idp.delete(f"{at(name)}/{first}")
    assert made(idp, name) != first


@pytest.mark.parametrize("name", NEW)
def test_without_a_name_or_with_a_word_that_is_none_of_its_schema_it_is_refused(idp: Idp, name: str) -> None:
    nameless = {key: value for key, value in NEW[name].items() if key != HANDLE[name]}
    for body, scim_type in (
        (nameless, "invalidValue"),
        (nameless | {HANDLE[name]: "\u200b"}, "invalidValue"),
        (NEW[name] | {HANDLE[name]: 7}, "invalidValue"),
        (NEW[name] | {HANDLE[name]: "x" * 401}, "invalidValue"),
        (NEW[name] | {"favouriteColour": "red"}, "invalidSyntax"),
        (NEW[name] | {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"]}, "invalidSyntax"),
    ):
        refused = idp.post(at(name), body)
        assert (refused.status, refused["scimType"]) == (400, scim_type), refused
    assert idp.get(at(name))["totalResults"] == 0


@pytest.mark.parametrize("name", NEW)
def test_its_list_is_filtered_sorted_paged_and_searched(idp: Idp, name: str) -> None:
    handle = HANDLE[name]
    ids = {word: made(idp, name, **{handle: word, "externalId": f"e-{word}"}) for word in ("delta", "Alpha", "charlie")}

    def found(query: str) -> list[str]:
        answer = idp.get(f"{at(name)}?{query}")
        assert answer.status == 200, answer
        return [one[handle] for one in answer["Resources"]]

    assert found(f'filter={handle} eq "ALPHA"') == ["Alpha"]
    assert found(f'filter={handle} sw "d" or externalId eq "e-charlie"') == ["delta", "charlie"]
    assert found(f'filter=id eq "{ids["delta"]}"') == ["delta"]
    assert found(f'filter={handle} ne "delta" and meta.resourceType eq "{name}"') == ["Alpha", "charlie"]
    assert found(f"sortBy={handle}") == ["Alpha", "charlie", "delta"]
    assert found(f"sortBy={handle}&sortOrder=descending&startIndex=2&count=1") == ["charlie"]
    first = idp.get(f"{at(name)}?cursor=&count=2")
    assert [one[handle] for one in first["Resources"]] == ["delta", "Alpha"]
    assert found(f"cursor={first['nextCursor']}&count=2") == ["charlie"]
    shown = idp.get(f"{at(name)}?attributes={handle}&count=1")["Resources"]
    schemas = [NEW[name]["schemas"][0], *([NHI_URN] if name == "Agent" else [])]
    assert shown == [{"schemas": schemas, "id": ids["delta"], handle: "delta"}]
    searched = idp.post(f"{at(name)}/.search", {"schemas": [SEARCH_URN], "filter": f'{handle} eq "alpha"'})
    assert [one["id"] for one in searched["Resources"]] == [ids["Alpha"]]
    refused = idp.get(f"{at(name)}?filter=favouriteColour eq 1")
    assert (refused.status, refused["scimType"]) == (400, "invalidFilter")
    assert idp.get("/")["totalResults"] == 3


def test_a_bulk_request_makes_each_kind_and_refers_from_one_to_another(idp: Idp) -> None:
    operations = [
        {"method": "POST", "path": at(name), "bulkId": name, "data": body | {"name": "b"} if "name" in body else body}
        for name, body in NEW.items()
    ]
    operations[0]["data"] |= {"applications": [{"value": "bulkId:AgenticApplication"}]}
    answer = idp.post("/Bulk", {"schemas": [BULK_URN], "Operations": operations})
    assert [one["status"] for one in answer["Operations"]] == ["201"] * 4
    agent, application, *_ = (one["location"].rpartition("/")[2] for one in answer["Operations"])
    assert idp.get(f"/Agents/{agent}")["applications"] == [{"value": application}]


def test_another_system_sees_none_of_them(idp: Idp, other: Idp) -> None:
    for name in NEW:
        path = f"{at(name)}/{made(idp, name)}"
        assert other.get(path).status == 404
        assert other.delete(path).status == 404
        assert other.get(at(name))["totalResults"] == 0


def test_what_is_done_to_a_catalogue_stands_in_the_journal(idp: Idp) -> None:
    role = made(idp, "Role")
    idp.patch(f"/Roles/{role}", replaces("value", "Bonzi"))
    idp.patch(f"/Roles/{role}", replaces("value", "Bonzi"))
    idp.delete(f"/Roles/{role}")
    with scope(tenant=idp.tenant.pk):
        told = (
            JournalEntry.objects.filter(event__startswith="catalogue.").order_by("id").values_list("event", "sentence")
        )
        assert list(told) == [
            ("catalogue.entry_made", "Entra: Role Clippy made"),
            ("catalogue.entry_changed", "Entra: Role Bonzi changed"),
            ("catalogue.entry_ended", "Entra: Role Bonzi ended"),
        ]


# -- agents


def test_both_drafts_of_an_agent_are_taken_and_each_is_answered_in_its_own_words(idp: Idp) -> None:
    named = idp.post("/Agents", {"schemas": [AGENT_URN], "name": "one"})
    handled = idp.post("/Agents", {"schemas": [AGENT_URN], "agentUserName": "two"})
    assert (named["name"], "agentUserName" in named.body) == ("one", False)
    assert (handled["agentUserName"], "name" in handled.body) == ("two", False)
    assert [idp.shadow(one["id"]).account.user_name for one in (named, handled)] == ["one", "two"]
    for query, ids in (
        ('name eq "ONE"', [named["id"]]),
        ('agentUserName eq "Two"', [handled["id"]]),
        ('name eq "two"', []),
        ("name pr", [named["id"]]),
    ):
        assert [one["id"] for one in idp.get(f"/Agents?filter={query}")["Resources"]] == ids
    clash = idp.post("/Agents", {"schemas": [AGENT_URN], "agentUserName": "ONE"})
    assert (clash.status, clash["scimType"]) == (409, "uniqueness")


def test_an_agent_is_an_account_that_needs_a_purpose_an_owner_and_an_expiry(idp: Idp) -> None:
    ada = idp.user("ada")
    group = idp.group("Staff")
    body = NEW["Agent"] | {"active": True, "owners": [{"value": ada}, {"value": group}]}
    answer = idp.post("/Agents", body)
    assert (answer["active"], idp.last().outcome) == (False, Outcome.HELD)
    pending = answer[NHI_URN]["pending"]
    assert (pending["state"], pending["heldBy"]) == ("pending", ["an owner who accepts", "a purpose"])
    assert answer["owners"] == body["owners"]
    account = idp.shadow(answer["id"]).account
    assert (account.kind, account.state, account.purpose) == ("agent", "pending", "")
    assert (account.expires_at - account.made_at).days in {179, 180}
    with scope(tenant=idp.tenant.pk):
        offered = list(account.ownerships.values_list("owner_id", "state"))
    assert offered == [(idp.shadow(ada).account_id, "offered")]
    assert "Staff is a Group: only a person can answer" in [one["read_as"] for one in idp.last().coercions]

    described = idp.patch(f"/Agents/{answer['id']}", replaces("description", "answers letters"))
    assert described[NHI_URN]["pending"]["heldBy"] == ["an owner who accepts"]
    idp.patch(f"/Agents/{answer['id']}", replaces(f"{NHI_URN}:purpose", "answers letters and calls"))
    assert idp.shadow(answer["id"]).account.purpose == "answers letters and calls"
    idp.patch(f"/Agents/{answer['id']}", {"op": "remove", "path": "description"})
    assert idp.shadow(answer["id"]).account.purpose == "answers letters and calls"


@pytest.mark.parametrize(
    ("more", "scim_type"),
    [
        ({"owners": [{"value": "ada"}]}, "invalidValue"),
        ({"owners": [{"value": "00000000-0000-7000-8000-000000000000"}]}, "invalidValue"),
        ({"owners": [{"display": "Ada"}]}, "invalidValue"),
        ({NHI_URN: {"kind": "service"}}, "invalidValue"),
        ({NHI_URN: {"kind": "robot"}}, "invalidValue"),
    ],
)
def test_an_agent_with_an_owner_or_a_kind_that_can_not_be_is_refused(idp: Idp, more: Any, scim_type: str) -> None:
    refused = idp.post("/Agents", NEW["Agent"] | more)
    assert (refused.status, refused["scimType"]) == (400, scim_type)
    assert idp.get("/Agents")["totalResults"] == 0


def test_an_agent_is_in_groups_and_is_told_so(idp: Idp) -> None:
    agent, ada = made(idp, "Agent"), idp.user("ada")
    group = idp.group("Bots", agent, ada)
    listed = {one["value"]: one for one in idp.get(f"/Groups/{group}")["members"]}
    assert listed[agent] == {"value": agent, "type": "Agent", "$ref": f"http://testserver/scim/v2/Agents/{agent}"}
    assert listed[ada]["type"] == "User"
    shown = idp.get(f"/Agents/{agent}")["groups"]
    assert [(one["value"], one["display"], one["type"]) for one in shown] == [(group, "Bots", "direct")]
    assert idp.get(f'/Agents?filter=groups.value eq "{group}"')["totalResults"] == 1
    idp.delete(f"/Agents/{agent}")
    assert idp.members(group) == {ada}


# -- the words of others


@pytest.mark.parametrize(("name", "noun"), [("Role", "Role"), ("Entitlement", "Entitlement")])
def test_okta_s_own_schema_is_read_as_ours_and_noted(idp: Idp, name: str, noun: str) -> None:
    theirs = f"urn:okta:scim:schemas:core:1.0:{noun}"
    answer = idp.post(at(name), {"schemas": [theirs], "displayName": "Viewer", "description": "Looks."})
    assert answer.status == 201
    assert {key: answer[key] for key in ("schemas", "value", "display", "description")} == {
        "schemas": NEW[name]["schemas"], "value": "Viewer", "display": "Viewer", "description": "Looks.",
    }  # fmt: skip
    assert {one["rule"] for one in idp.last().coercions} == {"other_schema", "other_name"}
    assert idp.last().request == {"schemas": [theirs], "displayName": "Viewer", "description": "Looks."}
    assert idp.get(f'{at(name)}?filter=displayName eq "VIEWER"')["totalResults"] == 1
    assert idp.patch(f"{at(name)}/{answer['id']}", replaces("displayName", "Reader"))["display"] == "Reader"
    twice = idp.post(at(name), {"schemas": [theirs], "displayName": "a", "display": "b", "value": "c"})
    assert (twice.status, twice["scimType"]) == (400, "invalidSyntax")


def test_a_member_under_a_foreign_id_is_left_out_and_the_exchange_is_held(idp: Idp) -> None:
    ada, group = idp.user("ada"), idp.group("Staff")
    add = {"op": "add", "path": "members", "value": [{"value": "fake-member-id"}, {"value": ada}]}
    answer = idp.patch(f"/Groups/{group}", add)
    assert (answer.status, [one["value"] for one in answer["members"]]) == (200, [ada])
    assert idp.last().outcome == Outcome.HELD
    assert {(one["rule"], one["sent"], one["read_as"]) for one in idp.last().coercions} == {
        ("unknown_member", "fake-member-id", "left out"),
        ("note", "", "members that no id of ours names were left out: 1"),
    }
    for refused in (
        {"op": "add", "path": "members", "value": [{"value": "01a22c5e-dd70-7689-bb21-4e83a4878401"}]},
        {"op": "add", "path": "members", "value": [{"value": " "}]},
        {"op": "replace", "path": "members", "value": [{"value": "fake-member-id"}]},
        {"op": "remove", "path": "members", "value": [{"value": "fake-member-id"}]},
    ):
        assert idp.patch(f"/Groups/{group}", refused).status == 400
    assert idp.members(group) == {ada}


def test_the_answer_to_a_change_of_a_large_group_has_no_content(idp: Idp) -> None:
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": str(n), "data": a_user(f"u{n}")} for n in range(SMALL + 1)
    ]
    answer = idp.post("/Bulk", {"schemas": [BULK_URN], "Operations": operations})
    *members, last = (one["location"].rpartition("/")[2] for one in answer["Operations"])
    group = idp.group("Everybody", *members)
    shown = idp.patch(f"/Groups/{group}", replaces("displayName", "All"))
    assert (shown.status, len(shown["members"])) == (200, SMALL)
    quiet = idp.patch(f"/Groups/{group}", {"op": "add", "path": "members", "value": [{"value": last}]})
    assert (quiet.status, quiet.body) == (204, None)
    assert quiet.headers["ETag"] != shown.headers["ETag"]


# -- a word taken back


def test_a_system_that_takes_its_word_about_active_back_is_told_it_no_more(idp: Idp) -> None:
    ada = idp.user("ada")
    path, before = f"/Users/{ada}", idp.get(f"/Users/{ada}")
    taken = idp.patch(path, {"op": "remove", "path": "active"})
    assert (taken.status, "active" in taken.body, idp.last().outcome) == (200, False, Outcome.APPLIED)
    assert taken.headers["ETag"] != before.headers["ETag"]
    assert "active" not in idp.get(path).body
    assert idp.shadow(ada).account.state == "active"
    again = idp.patch(path, {"op": "remove", "path": "active"})
    assert (again.headers["ETag"], idp.last().outcome) == (taken.headers["ETag"], Outcome.DUPLICATE)
    for query, total in (("active eq true", 0), ("active eq false", 0), ("active pr", 0), ("active eq null", 1)):
        assert idp.get(f"/Users?filter={query}")["totalResults"] == total
    assert idp.get("/Users?filter=active ne true")["totalResults"] == 1
    assert idp.patch(path, replaces("title", "Engineer")).body.get("active") is None

    assert idp.patch(path, replaces("active", value=True))["active"] is True
    assert idp.get("/Users?filter=active eq true")["totalResults"] == 1
    assert "active" not in idp.put(path, a_user("ada") | {"active": None}).body
    assert idp.patch(path, replaces("active", value=False))["active"] is False
    assert "active" not in idp.patch(path, {"op": "remove", "path": "active"}).body
    for query, total in (("active eq true", 0), ("active eq false", 0), ("active ne false", 1), ("not (active pr)", 1)):
        assert idp.get(f"/Users?filter={query}")["totalResults"] == total


def test_an_agent_that_waits_is_told_so_although_the_word_was_taken_back(idp: Idp) -> None:
    agent = made(idp, "Agent", active=True)
    assert idp.patch(f"/Agents/{agent}", {"op": "remove", "path": "active"})["active"] is False
    assert idp.get("/Agents?filter=active eq false")["totalResults"] == 1


def test_whoever_ends_otherwise_is_told_off_although_the_word_was_taken_back(idp: Idp, other: Idp) -> None:
    number = {"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"employeeNumber": "7"}}
    ada = idp.user("ada", **number)
    idp.patch(f"/Users/{ada}", {"op": "remove", "path": "active"})
    there = other.user("ada", **number)
    assert other.shadow(there).account_id == idp.shadow(ada).account_id
    other.patch(f"/Users/{there}", replaces("active", value=False))
    assert idp.get(f"/Users/{ada}")["active"] is False
    assert idp.get("/Users?filter=active eq false")["totalResults"] == 1


# -- what /Schemas says comes back


class Writer:
    """Writes a value of its type for each attribute that discovery lets clients write."""

    def __init__(self, idp: Idp) -> None:
        self.idp = idp
        self.count = 0
        self.ada = idp.user("ada")
        self.until = (dt.datetime.now(dt.UTC) + dt.timedelta(days=90)).replace(microsecond=0).isoformat()

    def value(self, attribute: dict[str, Any]) -> Any:
        one = self.item(attribute)
        return [one] if attribute["multiValued"] else one

    def item(self, attribute: dict[str, Any]) -> Any:
        self.count += 1
        if attribute["type"] == "complex":
            return self.parts(attribute)
        word = attribute.get("canonicalValues", [f"word {self.count}"])[0]
        link = f"https://example.com/{self.count}"
        simple = {
            "boolean": True,
            "integer": self.count,
            "dateTime": self.until,
            "binary": "TWFueQ==",
            "reference": link,
        }
        return simple.get(attribute["type"], word)

    def parts(self, attribute: dict[str, Any]) -> dict[str, Any]:
        subs = [one for one in attribute["subAttributes"] if one["mutability"] != "readOnly"]
        made = {one["name"]: self.value(one) for one in subs}
        if "$ref" in made:
            # What refers to a resource names one; its address and kind are those that it has.
            made |= {"value": self.ada, "$ref": f"http://testserver/scim/v2/Users/{self.ada}"}
            made |= {"type": "User"} if attribute["name"] in {"members", "owners"} and "type" in made else {}
        return made


def writable(idp: Idp, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Paths and attributes of a kind of resource that clients may write at any time, as discovery has them."""
    kind = idp.get(f"/ResourceTypes/{name}")
    found = [("externalId", {"name": "externalId", "type": "string", "multiValued": False})]
    for urn in [kind["schema"], *(one["schema"] for one in kind.body.get("schemaExtensions", []))]:
        prefix = "" if urn == kind["schema"] else f"{urn}:"
        attributes = idp.get(f"/Schemas/{urn}")["attributes"]
        found += [(f"{prefix}{one['name']}", one) for one in attributes if one["mutability"] == "readWrite"]
    return found


def read(body: dict[str, Any], path: str) -> Any:
    urn, _, name = path.rpartition(":")
    return (body.get(urn, {}) if urn else body).get(name)


def truth(name: str, path: str, value: Any) -> Any:
    """An agent whom nobody answers for is not active, whatever is wished; all else is as it was said."""
    return False if (name, path) == ("Agent", "active") else value


@pytest.mark.parametrize("name", NAMES)
def test_what_discovery_lets_clients_write_is_read_back_as_it_was_written(idp: Idp, name: str) -> None:
    writer = Writer(idp)
    schema = BY_NAME[name].schema.id
    handles = dict.fromkeys(BY_NAME[name].handles[:1], "first")
    resource = idp.post(at(name), {"schemas": [schema], **handles})
    path = f"{at(name)}/{resource['id']}"
    attributes = writable(idp, name)
    assert len(attributes) > 8 or name == "Group"

    said = {where: writer.value(attribute) for where, attribute in attributes}
    for where, value in said.items():
        answer = idp.patch(path, replaces(where, value))
        assert answer.status == 200, (where, answer)
        assert read(answer.body, where) == truth(name, where, value), where
    after = idp.get(path).body
    assert {where: read(after, where) for where in said} == {w: truth(name, w, v) for w, v in said.items()}

    anew = {where: writer.value(attribute) for where, attribute in attributes}
    body: dict[str, Any] = {"schemas": [schema]}
    for where, value in anew.items():
        urn, _, last = where.rpartition(":")
        (body.setdefault(urn, {}) if urn else body)[last] = value
    answer = idp.put(path, body)
    assert answer.status == 200, answer
    after = idp.get(path).body
    assert {where: read(after, where) for where in anew} == {w: truth(name, w, v) for w, v in anew.items()}
    assert idp.put(path, body).headers["ETag"] == answer.headers["ETag"]
