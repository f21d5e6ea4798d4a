"""A strict connection: what is not plain SCIM is refused with its rule, and what the interoperability profile forbids."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from audit.scope import scope
from provisioning import systems
from provisioning.scim.dialects.rules import RULES
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN
from tests.conftest import a_cause
from tests.factories.scim import SEARCH_URN, a_user, connect

if TYPE_CHECKING:
    from accounts.models import Tenant
    from tests.factories.scim import Idp, Reply

pytestmark = pytest.mark.face


def make(idp: Idp, *, strict: bool) -> None:
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        systems.change_strictness(system=idp.system, is_strict=strict, reason="CHG-1", at=dt.datetime.now(dt.UTC))


@pytest.fixture
def strict(tenant: Tenant) -> Idp:
    idp = connect(tenant)
    make(idp, strict=True)
    return idp


def said(reply: Reply) -> tuple[int, str, str]:
    return reply.status, reply["scimType"], reply["detail"]


def test_a_coercion_is_refused_by_its_rule_and_its_attribute(strict: Idp) -> None:
    answer = strict.post("/Users", a_user(active="True"))
    assert said(answer) == (
        400, "invalidValue", "This connection is strict: active is not plain SCIM (rule boolean_text).",
    )  # fmt: skip
    assert strict.last().error == answer["detail"]
    assert strict.get("/Users")["totalResults"] == 0


@pytest.mark.parametrize(
    ("operation", "scim_type", "detail"),
    [
        ({"op": "replace", "value": {"active": False}}, "invalidSyntax", "each operation needs a path."),
        ({"op": "replace", "value": {}}, "invalidSyntax", "each operation needs a path."),
        ({"op": "add", "path": "", "value": {"title": "x"}}, "invalidSyntax", "each operation needs a path."),
        (
            {"op": "replace", "path": 'emails[type eq "work"]', "value": {"value": "a@b"}}, "invalidPath",
            "name a sub-attribute after emails[…].",
        ),
        (
            {"op": "add", "path": 'emails[type eq "work"]', "value": {"display": "x"}}, "invalidPath",
            "name a sub-attribute after emails[…].",
        ),
        ({"op": "Replace", "path": "active", "value": False}, "invalidSyntax", "op is not plain SCIM (rule op_case)."),
        (
            {"op": "replace", "path": "manager.value", "value": "7"}, "invalidPath",
            f"{ENTERPRISE_URN}:manager.value is not plain SCIM (rule unprefixed).",
        ),
        (
            {"op": "add", "path": 'emails[type eq "home"].value', "value": "h@b"}, "noTarget",
            "emails[…].value is not plain SCIM (rule create_from_filter).",
        ),
    ],
)  # fmt: skip
def test_a_patch_is_refused_for_what_the_profile_forbids_and_nothing_is_changed(
    strict: Idp, operation: dict[str, Any], scim_type: str, detail: str
) -> None:
    user = strict.user(emails=[{"value": "a@b", "type": "work"}])
    before = strict.get(f"/Users/{user}").body
    answer = strict.patch(f"/Users/{user}", {"op": "replace", "path": "title", "value": "Lead"}, operation)
    assert said(answer) == (400, scim_type, f"This connection is strict: {detail}")
    assert (strict.get(f"/Users/{user}").body, strict.last().outcome) == (before, "rejected")


def test_an_unknown_attribute_is_invalid_syntax_by_name_and_by_path(strict: Idp) -> None:
    user, tolerant = strict.user(), connect(strict.tenant, "Okta")
    unknown = {"op": "replace", "path": "favouriteColour", "value": "red"}
    assert strict.post("/Users", a_user("b@example.com", favouriteColour="red"))["scimType"] == "invalidSyntax"
    assert strict.patch(f"/Users/{user}", unknown)["scimType"] == "invalidSyntax"
    assert tolerant.patch(f"/Users/{tolerant.user()}", unknown)["scimType"] == "invalidPath"
    other = strict.post("/Users", a_user("b@example.com", **{"urn:example:2.0:User": {"a": 1}}))
    assert (other["scimType"], "unknown_schema" in other["detail"]) == ("invalidSyntax", True)


def test_plain_scim_is_taken_from_it(strict: Idp) -> None:
    user = strict.user(name={"givenName": "Ada", "familyName": "L"}, emails=[{"value": "a@b", "type": "work"}])
    group = strict.group("Staff", user)
    changed = strict.patch(
        f"/Users/{user}",
        {"op": "replace", "path": 'emails[type eq "work"].value', "value": "c@d"},
        {"op": "replace", "path": "active", "value": False},
    )
    assert (changed.status, changed["emails"][0]["value"], changed["active"]) == (200, "c@d", False)
    # The profile knows no other way to take one member out.
    assert strict.patch(f"/Groups/{group}", {"op": "remove", "path": f'members[value eq "{user}"]'}).status == 200
    assert strict.members(group) == set()
    assert all(one.coercions == [] for one in strict.exchanges())


def test_to_replace_a_complex_attribute_replaces_it_whole_where_a_tolerant_one_merges(
    strict: Idp, tenant: Tenant
) -> None:
    tolerant = connect(tenant, "Okta")
    for idp, left in ((strict, {"familyName": "B"}), (tolerant, {"givenName": "Ada", "familyName": "B"})):
        user = idp.user(name={"givenName": "Ada", "familyName": "L"})
        operation = {"op": "replace", "path": "name", "value": {"familyName": "B"}}
        assert idp.patch(f"/Users/{user}", operation)["name"] == left
        assert idp.patch(f"/Users/{user}", operation | {"op": "add"})["name"] == left


@pytest.mark.parametrize(
    ("filter_", "status"),
    [
        ('userName eq "ada@example.com" and active eq true', 200),
        ('emails[type eq "work" and value eq "a@b"]', 200),
        ('userName sw "ada"', 400),
        ('userName eq "a" or userName eq "b"', 400),
        ('not (userName eq "a")', 400),
        ("title pr", 400),
        ('emails[type co "w"]', 400),
        ('active eq "True"', 400),
        ('favouriteColour eq "red"', 400),
    ],
)
def test_it_filters_by_eq_and_and_alone(strict: Idp, filter_: str, status: int) -> None:
    body = {"schemas": [SEARCH_URN], "filter": filter_}
    for answer in (
        strict.get(f"/Users?filter={quote(filter_)}"), strict.post("/Users/.search", body),
        strict.post("/.search", body), strict.get(f"/?filter={quote(filter_)}"),
    ):  # fmt: skip
        assert answer.status == status, answer
        assert status == 200 or answer["scimType"] == "invalidFilter"


def test_discovery_says_so_of_each_connection_and_what_is_changed_counts_from_the_next_request(
    tenant: Tenant,
) -> None:
    idp, asked = connect(tenant), "/ServiceProviderConfig?attributes=interopProfileConformant"
    assert idp.get(asked)["interopProfileConformant"] is False
    make(idp, strict=True)
    assert idp.get("/ServiceProviderConfig")["interopProfileConformant"] is True
    other = connect(tenant, "Okta")
    assert other.get(asked)["interopProfileConformant"] is False
    # Who reads RFC 7643 strictly refuses a word that it does not know.
    assert "interopProfileConformant" not in other.get("/ServiceProviderConfig").body
    assert idp.post("/Users", a_user(active="False")).status == 400
    make(idp, strict=False)
    assert idp.post("/Users", a_user(active="False")).status == 201


def test_each_rule_is_refused_by_a_word_of_the_protocol() -> None:
    assert {rule.scim_type for rule in RULES.values()} == {
        "invalidSyntax", "invalidValue", "invalidPath", "invalidFilter", "noTarget",
    }  # fmt: skip
