"""The page that says whose word counts: read by auditors, as of any day; rules for every system are made and ended there."""

from __future__ import annotations

import csv
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import RoleName
from accounts.rules import ROLES, Word
from audit.scope import scope
from provisioning import authority
from provisioning.authority import RuleKind
from tests.conftest import a_cause
from tests.factories.governance import now
from tests.factories.scim import Idp
from tests.factories.scim import a_user as a_scim_user
from tests.governance.shell import a_user, enter
from tests.governance.world import World, make_world, text_of

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Tenant
    from provisioning.models.authority import FieldAuthority

pytestmark = [pytest.mark.face, pytest.mark.django_db]

PAGE, NEW, FILE = (f"/t/acme/admin/authority/{rest}" for rest in ("", "rules/", "rules.csv"))


def a_rule(world: World, *, every: bool = False, **values: Any) -> FieldAuthority:
    given = {"kind": RuleKind.ATTRIBUTE_ENDS, "field": "title", "values": ["left"]} | values
    with scope(tenant=world.tenant.pk, cause=a_cause(actor="m.ito", reason="CHG-1")):
        return authority.make_rule(system=None if every else world.system, reason="CHG-1", at=now(), **given)


def end(world: World, rule: FieldAuthority) -> None:
    with scope(tenant=world.tenant.pk, cause=a_cause(actor="l.chen", reason="=CHG-2")):
        authority.end_rule(system=world.system, rule=rule, reason="=CHG-2", at=now())


def rules(world: World) -> list[FieldAuthority]:
    with scope(tenant=world.tenant.pk):
        return authority.rules_for(world.system)


def form(**values: Any) -> dict[str, Any]:
    return {"kind": "attribute_ends", "field": "title", "values": "left", "reason": "CHG-7"} | values


def lines_of(client: Client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(FILE + query)
    assert answer["Content-Disposition"].startswith('attachment; filename="authority-')
    return list(csv.DictReader(b"".join(answer.streaming_content).decode().splitlines()))  # type: ignore[attr-defined]


def test_without_rules_what_is_built_in_is_shown(client: Client, world: World) -> None:
    enter(client, a_user("auditor", RoleName.AUDITOR, tenant=world.tenant))
    shown = text_of(client.get(PAGE))
    assert "No rule was made: what is built in counts everywhere." in shown
    assert (
        "User active expands access takes effect “active: true” makes a pending account active; an ended one comes back"
        " by approval, whatever the rules counts for every system: none has a rule"
    ) in shown
    assert "No rule has ended." in shown


def test_an_auditor_reads_which_rule_wins_where_and_why_and_who_made_it(client: Client, world: World) -> None:
    enter(client, a_user("auditor", RoleName.AUDITOR, tenant=world.tenant))
    a_rule(world, every=True)
    a_rule(world, values=["gone"])
    end(world, a_rule(world, kind=RuleKind.MEMBERS_NOTED))
    other = make_world(world.tenant, "Entra")
    shown = text_of(client.get(PAGE))
    assert "counts for every system but 1, which has a rule of its own" in shown
    assert "counts it is of this system, and so wins over the rule for every system" in shown
    assert "m.ito: CHG-1" in shown
    assert "new members of groups are noted, and given nothing Okta" in shown
    assert "l.chen: =CHG-2" in shown
    here = text_of(client.get(f"{PAGE}?system={world.system.pk}"))
    assert "does not count the system has a rule of its own, which is more specific" in here
    there = text_of(client.get(f"{PAGE}?system={other.system.pk}"))
    assert "is one of: gone" not in there
    assert f'href="/t/acme/admin/systems/{world.system.pk}/"' in client.get(PAGE).content.decode()


def test_the_past_is_shown_as_it_was_and_nothing_is_done_to_it(client: Client, world: World) -> None:
    enter(client, a_user("administrator", RoleName.ADMINISTRATOR, tenant=world.tenant))
    a_rule(world)
    yesterday = (now() - dt.timedelta(days=1)).date()
    shown = text_of(client.get(f"{PAGE}?as_of={yesterday}"))
    assert f"As it was at the end of {yesterday}." in shown
    assert "No rule was made" in shown
    assert "End the rule of title" in text_of(client.get(PAGE))
    assert [row["standing"] for row in lines_of(client, f"?as_of={yesterday}")] == ["built in"] * 6


@pytest.mark.parametrize("typed", ["yesterday", "2026-13-40", "0001-01-01", "9999-12-31", "\x00"])
def test_what_is_no_day_is_said_and_shown_as_of_now(admin: Client, world: World, typed: str) -> None:
    a_rule(world)
    answer = admin.get(PAGE, {"as_of": typed, "system": "nonsense"})
    assert answer.status_code == 200
    assert "Shown as of now." in text_of(answer) or "shown as of now." in text_of(answer)
    assert "End the rule of title" in text_of(answer)


def test_the_file_holds_every_rule_with_its_life_and_no_formula(admin: Client, world: World) -> None:
    a_rule(world, every=True)
    end(world, a_rule(world, field="department", values=["=1+1"]))
    rows = lines_of(admin)[6:]
    told = [
        (r["standing"], r["system"], r["field"], r["authority"], r["status_from"], r["values"], r["made_by"],
         r["made_because"], r["ended_by"], r["ended_because"])
        for r in rows
    ]  # fmt: skip
    assert told == [
        ("in force", "every system", "title", "authoritative", "attribute", "left", "m.ito", "CHG-1", "", ""),
        ("ended", "Okta", "department", "authoritative", "attribute", "'=1+1", "m.ito", "CHG-1", "l.chen", "'=CHG-2"),
    ]  # fmt: skip


def test_a_rule_for_every_system_is_made_and_ended_on_pages(admin: Client, world: World) -> None:
    Idp(tenant=world.tenant, system=world.system, token=world.text).post(
        "/Users", a_scim_user("ada@example.com") | {"title": "left"}
    )
    asked = admin.post(NEW, form())
    assert asked.status_code == 422
    assert "1 account that is on has such a value now" in text_of(asked)
    made = text_of(admin.post(NEW, form(typed="1"), follow=True))
    assert "A rule counts for every system from now on: an account ends when title is one of: left." in made
    (rule,) = rules(world)
    url = f"{NEW}{rule.pk}/end/"
    assert "Rule an account ends when title is one of: left" in text_of(admin.get(url))
    assert "The rule has ended: what any system says" in text_of(admin.post(url, {"reason": "CHG-8"}, follow=True))
    assert rules(world) == []
    assert admin.get(url).status_code == 404


def test_what_the_verb_refuses_changes_nothing(admin: Client, world: World) -> None:
    assert admin.post(NEW, form(values="x" * 300)).status_code == 409
    assert rules(world) == []


def test_the_rule_of_one_system_is_not_ended_as_one_for_all(admin: Client, world: World) -> None:
    assert admin.get(f"{NEW}{a_rule(world).pk}/end/").status_code == 404


@pytest.mark.parametrize("role", list(RoleName))
def test_each_role_reads_makes_and_ends_by_its_words(client: Client, world: World, role: RoleName) -> None:
    rule = a_rule(world, every=True)
    enter(client, a_user("somebody", role, tenant=world.tenant))
    reads, makes = (word in ROLES[role] for word in (Word.ROLL_READ, Word.SYSTEM_MANAGE))
    for url in (PAGE, FILE):
        answer = client.get(url)
        assert answer.status_code == (200 if reads else 403)
        list(answer)
    for url in (NEW, f"{NEW}{rule.pk}/end/"):
        assert client.get(url).status_code == (200 if makes else 403)
        assert client.post(url).status_code == (422 if makes else 403)
    assert rules(world) == [rule]


def test_one_rule_and_many_cost_the_same_queries(
    admin: Client, world: World, tenant: Tenant, django_assert_max_num_queries: Any
) -> None:
    def asked() -> int:
        with django_assert_max_num_queries(100) as counted:
            assert admin.get(PAGE).status_code == 200
        return len(counted)

    a_rule(world)
    end(world, a_rule(world, field="locale"))
    one = asked()
    for field in ("nickName", "userType", "timezone"):
        end(world, a_rule(world, field=field))
        a_rule(make_world(tenant, f"System {field}"))
    assert asked() == one
