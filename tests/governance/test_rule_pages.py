"""Field rules on pages: made with the number of those who end, listed, ended; and what a system says then counts so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import RoleName, User
from accounts.rules import ROLES, Word
from audit.scope import scope
from governance.admin.system_forms import by_value
from provisioning import authority, systems
from provisioning.authority import RuleKind
from provisioning.scim.metadata.catalogue import ENTERPRISE_URN
from tests.conftest import a_cause
from tests.factories.governance import now
from tests.factories.scim import Idp
from tests.factories.scim import a_user as a_scim_user
from tests.governance.shell import a_user, enter
from tests.governance.world import World, make_world, text_of

if TYPE_CHECKING:
    import uuid

    from django.test import Client

    from provisioning.models.authority import FieldAuthority

pytestmark = [pytest.mark.face, pytest.mark.django_db]


def rules(world: World) -> list[FieldAuthority]:
    with scope(tenant=world.tenant.pk):
        return authority.rules_for(world.system)


def a_rule(world: World, **values: Any) -> FieldAuthority:
    given = {"kind": RuleKind.ATTRIBUTE_ENDS, "field": "title", "values": ["left"]} | values
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        return authority.make_rule(system=world.system, reason="CHG-1", at=now(), **given)


def form(**values: Any) -> dict[str, Any]:
    return {"kind": "attribute_ends", "field": "title", "values": "left\r\n gone \r\n", "reason": "CHG-7"} | values


def end_url(world: World, rule: uuid.UUID) -> str:
    return f"{world.url('system')}rules/{rule}/end/"


@pytest.fixture
def idp(world: World) -> Idp:
    return Idp(tenant=world.tenant, system=world.system, token=world.text)


def test_a_rule_made_on_the_page_ends_an_account_in_the_request_that_says_so(
    admin: Client, administrator: User, world: World, idp: Idp
) -> None:
    made = idp.post("/Users", a_scim_user("ada@example.com") | {"title": "Engineer"})
    answer = admin.post(world.url("system-rule-new"), form(), follow=True)
    assert "A rule counts for Okta from now on: an account ends when title is one of: left, gone." in text_of(answer)
    assert "an account ends when title is one of: left, gone End the rule of title" in text_of(answer)

    patch = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}
    operation = {"op": "replace", "path": "title", "value": "Left"}
    said = idp.call("PATCH", f"/Users/{made.body['id']}", patch | {"Operations": [operation]})
    assert (said.status, said.body["active"]) == (200, False)
    with scope(tenant=world.tenant.pk):
        assert administrator.identity_id in systems.requesters(system=world.system, at=now())


def test_those_who_have_such_a_value_now_are_confirmed_by_their_number(admin: Client, world: World, idp: Idp) -> None:
    for name in ("ada@example.com", "bo@example.com"):
        idp.post("/Users", a_scim_user(name) | {"title": "left"})
    url = world.url("system-rule-new")
    for typed in ("", "1", "two"):
        answer = admin.post(url, form(typed=typed))
        assert answer.status_code == 422
        assert (
            "2 accounts that are on have such a value now, and end when the system says so again. Type 2 to go on."
            in text_of(answer)
        )
    assert rules(world) == []
    assert admin.post(url, form(typed=" 2 ")).status_code == 302
    assert [r.status_values for r in rules(world)] == [["left", "gone"]]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"field": ""}, "Name the attribute."),
        ({"values": " \n"}, "Write at least one."),
        ({"kind": "group_ends", "values": ""}, "Write at least one."),
        ({"kind": "active_false_noted"}, "Select a valid choice"),
        ({"field": "employmentStatus"}, "Select a valid choice"),
        ({"values": "left\u202e"}, "Take out the invisible character U+202E."),
    ],
)
def test_what_is_missing_is_said_at_its_field(
    admin: Client, world: World, values: dict[str, str], problem: str
) -> None:
    answer = admin.post(world.url("system-rule-new"), form(**values))
    assert answer.status_code == 422
    assert problem in text_of(answer)
    assert rules(world) == []


def test_what_the_verb_refuses_stands_beside_the_form(admin: Client, world: World) -> None:
    answer = admin.post(world.url("system-rule-new"), form(values="x" * 300))
    assert answer.status_code == 409
    assert "each of at most 256 characters" in text_of(answer)


def test_a_rule_of_its_own_is_ended_and_one_for_every_system_is_not(admin: Client, world: World) -> None:
    rule = a_rule(world)
    shown = text_of(admin.get(end_url(world, rule.pk)))
    assert "Rule an account ends when title is one of: left" in shown
    assert "From the next request on, that field ends nobody any more." in shown
    assert "The rule has ended" in text_of(admin.post(end_url(world, rule.pk), {"reason": "CHG-8"}, follow=True))
    assert rules(world) == []
    assert admin.get(end_url(world, rule.pk)).status_code == 404

    noted = a_rule(world, kind=RuleKind.ACTIVE_NOTED)
    assert "From the next request on, what it says there takes effect." in text_of(admin.get(end_url(world, noted.pk)))
    other = make_world(world.tenant, "GitHub")
    assert admin.get(end_url(other, noted.pk)).status_code == 404


@pytest.mark.parametrize("role", list(RoleName))
def test_each_role_makes_and_ends_rules_by_its_words(client: Client, world: World, role: RoleName) -> None:
    rule = a_rule(world)
    enter(client, a_user("somebody", role, tenant=world.tenant))
    allowed = Word.SYSTEM_MANAGE in ROLES[role]
    for url in (world.url("system-rule-new"), end_url(world, rule.pk)):
        assert client.get(url).status_code == (200 if allowed else 403)
        assert client.post(url).status_code == (422 if allowed else 403)
    assert rules(world) == [rule]


def test_an_ended_system_gets_no_rule(admin: Client, world: World) -> None:
    rule = a_rule(world)
    with scope(tenant=world.tenant.pk, cause=a_cause()):
        systems.end_system(system=world.system, reason="gone", at=now())
    for url in (world.url("system-rule-new"), end_url(world, rule.pk)):
        assert "Okta has ended" in text_of(admin.get(url))
    assert "End the rule of title" not in text_of(admin.get(world.url("system")))


def test_the_attributes_to_choose_from_are_those_that_are_kept_of_what_arrives() -> None:
    assert [path.removeprefix(ENTERPRISE_URN) for path, _label in by_value()] == [
        "", "displayName", "nickName", "title", "userType", "preferredLanguage", "locale", "timezone",
        ":employeeNumber", ":costCenter", ":organization", ":division", ":department",
    ]  # fmt: skip


def test_an_extension_attribute_ends_an_account_too(admin: Client, world: World, idp: Idp) -> None:
    answer = admin.post(world.url("system-rule-new"), form(field=f"{ENTERPRISE_URN}:department", values="Alumni"))
    assert answer.status_code == 302
    user = a_scim_user("ada@example.com")
    made = idp.post("/Users", user | {ENTERPRISE_URN: {"department": "Sales"}})
    assert (made.status, made.body["active"]) == (201, True)
    said = idp.call("PUT", f"/Users/{made.body['id']}", user | {ENTERPRISE_URN: {"department": "alumni"}})
    assert (said.status, said.body["active"]) == (200, False)
