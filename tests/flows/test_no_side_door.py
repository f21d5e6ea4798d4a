"""Whoever is off stays off, whatever a directory calls them now: each way around an ending becomes a question."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from accounts import ownership
from accounts.models import Account, Hold, Ownership
from accounts.models.account import AccountState
from accounts.models.finding import Finding, FindingKind
from audit.scope import scope
from provisioning.changes import Outcome
from provisioning.models.plan import Plan, PlanKind
from provisioning.scim.metadata.catalogue import AGENT_URN, ENTERPRISE_URN, NHI_URN
from tests.conftest import a_cause
from tests.factories.scim import a_user, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import Tenant
    from tests.factories.scim import Idp

pytestmark = pytest.mark.flow


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    """A directory whose reactivations need an approval."""
    return connect(tenant)


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


OFF = replace("active", value=False)
MAIL = [{"value": "x@example.com", "type": "work", "primary": True}]
X = {"externalId": "E-1", "emails": MAIL, "displayName": "Xenia", ENTERPRISE_URN: {"employeeNumber": "77"}}


def end_and_rename(idp: Idp, x: str) -> None:
    idp.patch(f"/Users/{x}", OFF)
    idp.patch(f"/Users/{x}", replace("userName", "moved"), {"op": "remove", "path": "externalId"})
    idp.patch(f"/Users/{x}", {"op": "remove", "path": "emails"}, {"op": "remove", "path": "displayName"})
    idp.patch(f"/Users/{x}", {"op": "remove", "path": f"{ENTERPRISE_URN}:employeeNumber"})


def rename_and_end(idp: Idp, x: str) -> None:
    idp.patch(f"/Users/{x}", replace("userName", "moved"), {"op": "remove", "path": "externalId"})
    idp.patch(f"/Users/{x}", {"op": "remove", "path": "emails"}, {"op": "remove", "path": "displayName"})
    idp.patch(f"/Users/{x}", {"op": "remove", "path": f"{ENTERPRISE_URN}:employeeNumber"})
    idp.patch(f"/Users/{x}", OFF)


def rename_and_delete(idp: Idp, x: str) -> None:
    idp.patch(f"/Users/{x}", replace("userName", "moved"), {"op": "remove", "path": "externalId"})
    idp.delete(f"/Users/{x}")


def delete(idp: Idp, x: str) -> None:
    idp.delete(f"/Users/{x}")


WAYS = [end_and_rename, rename_and_end, rename_and_delete, delete]
AGAIN = {
    "the user name": a_user("x.1"),
    "the user name, with what nobody sees": a_user("x\u200b.1\u200c"),
    "the externalId": a_user("new", externalId="E-1"),
    "the employee number": a_user("new", **{ENTERPRISE_URN: {"employeeNumber": "77"}}),
    "the email": a_user("new", emails=[{"value": "X@Example.com", "type": "home"}]),
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("again", AGAIN, ids=lambda name: name.replace(" ", "-"))
def test_who_ended_is_asked_back_whatever_is_left_of_them(
    idp: Idp, way: Callable[[Idp, str], None], again: str
) -> None:
    x = idp.user("x.1", **X)
    way(idp, x)
    answer = idp.post("/Users", AGAIN[again])
    assert (answer.status, answer["active"]) == (201, False)
    assert idp.last().outcome == Outcome.HELD
    pending = answer[NHI_URN]["pending"]
    assert pending["state"] == "waiting"
    with scope(tenant=idp.tenant.pk):
        plan = Plan.objects.get(pk=pending["id"])
        assert (plan.kind, plan.account_id) == (PlanKind.REACTIVATION, idp.shadow(answer["id"]).account_id)
        assert idp.last().plan_id == plan.pk
        assert not Account.objects.filter(state=AccountState.ACTIVE).exists()
        assert not Hold.objects.filter(released_at__isnull=True).exists()


def an_active_agent(idp: Idp) -> str:
    """An agent that its owner accepted; nobody else of the tenant is active but the owner."""
    owner = idp.user("owner", emails=[{"value": "owner@example.com"}])
    body = {"schemas": [AGENT_URN], "name": "bot", "externalId": "A-1", "description": "answers", "active": True}
    agent = str(idp.post("/Agents", body | {"owners": [{"value": owner}]})["id"])
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        offered = Ownership.objects.get(account=idp.shadow(agent).account)
        ownership.accept(ownership=offered, at=dt.datetime.now(dt.UTC))
    assert idp.get(f"/Agents/{agent}")["active"] is True
    return agent


AGENT_WAYS = {
    "off, renamed": [
        ("PATCH", OFF),
        ("PATCH", replace("name", "moved")),
        ("PATCH", {"op": "remove", "path": "externalId"}),
    ],
    "renamed, off": [
        ("PATCH", replace("name", "moved")),
        ("PATCH", {"op": "remove", "path": "externalId"}),
        ("PATCH", OFF),
    ],
    "renamed, deleted": [("PATCH", replace("name", "moved")), ("DELETE", None)],
    "deleted": [("DELETE", None)],
}
AGENT_AGAIN = {
    "the name": ("/Agents", {"schemas": [AGENT_URN], "name": "BOT", "active": True}),
    "the other handle": ("/Agents", {"schemas": [AGENT_URN], "agentUserName": "bot"}),
    "the externalId": ("/Agents", {"schemas": [AGENT_URN], "name": "new", "externalId": "A-1"}),
    "a user of the kind": ("/Users", a_user("bot", **{NHI_URN: {"kind": "agent", "purpose": "answers"}})),
    "a person": ("/Users", a_user("bot")),
}


@pytest.mark.parametrize("way", AGENT_WAYS)
@pytest.mark.parametrize("again", AGENT_AGAIN)
def test_an_agent_that_ended_is_asked_back_as_whatever_it_is_made_again(idp: Idp, way: str, again: str) -> None:
    agent = an_active_agent(idp)
    for method, operation in AGENT_WAYS[way]:
        path = f"/Agents/{agent}"
        assert (idp.patch(path, operation) if method == "PATCH" else idp.delete(path)).status in {200, 204}
    path, body = AGENT_AGAIN[again]
    answer = idp.post(path, body)
    assert (answer.status, answer["active"], idp.last().outcome) == (201, False, Outcome.HELD)
    assert answer[NHI_URN]["pending"]["state"] == "waiting"
    on = idp.patch(f"{path}/{answer['id']}", replace("active", value=True))
    assert (on["active"], on[NHI_URN]["pending"]["id"]) == (False, answer[NHI_URN]["pending"]["id"])
    with scope(tenant=idp.tenant.pk):
        assert Plan.objects.count() == 1
        active = Account.objects.filter(state=AccountState.ACTIVE).values_list("user_name", flat=True)
        assert list(active) == ["owner"]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_person_who_ended_does_not_come_back_as_an_agent(idp: Idp, way: Callable[[Idp, str], None]) -> None:
    way(idp, idp.user("x.1", **X))
    answer = idp.post("/Agents", {"schemas": [AGENT_URN], "name": "x.1", "active": True, "description": "answers"})
    assert (answer.status, answer["active"], idp.last().outcome) == (201, False, Outcome.HELD)
    assert answer[NHI_URN]["pending"]["state"] == "waiting"
    with scope(tenant=idp.tenant.pk):
        assert not Account.objects.filter(state=AccountState.ACTIVE).exists()
        assert Finding.objects.filter(kind=FindingKind.CORRELATION).count() == 1


def test_an_agent_whose_directory_turns_it_off_and_on_waits_for_people(idp: Idp) -> None:
    agent = an_active_agent(idp)
    assert idp.patch(f"/Agents/{agent}", OFF)["active"] is False
    assert idp.last().intent == "disable"
    whole = {"schemas": [AGENT_URN], "name": "bot", "description": "answers", "active": True}
    on = idp.put(f"/Agents/{agent}", whole)
    assert (on["active"], on[NHI_URN]["pending"]["state"], idp.last().intent) == (False, "waiting", "enable")


def test_it_is_reported_and_whoever_answers_for_the_ended_one_counts_as_having_asked(idp: Idp) -> None:
    x = idp.user("x.1", **X)
    end_and_rename(idp, x)
    with scope(tenant=idp.tenant.pk):
        identity = idp.shadow(x).account.identity_id
    made = idp.post("/Users", a_user("x.1"))
    with scope(tenant=idp.tenant.pk):
        plan = Plan.objects.get(pk=made[NHI_URN]["pending"]["id"])
        assert identity is None or str(identity) in {str(one) for one in plan.requesters}
        finding = Finding.objects.get(kind=FindingKind.CORRELATION)
    assert finding.account_id == idp.shadow(made["id"]).account_id
    assert finding.title == "x.1 at Entra: the user name is that of moved, which is ended here"


def test_made_inactive_it_waits_for_nobody_until_it_is_wanted_active(idp: Idp) -> None:
    x = idp.user("x.1", **X)
    end_and_rename(idp, x)
    made = idp.post("/Users", a_user("x.1", active=False))
    assert made["active"] is False
    with scope(tenant=idp.tenant.pk):
        assert not Plan.objects.exists()
    on = idp.patch(f"/Users/{made['id']}", replace("active", value=True))
    assert (on["active"], on[NHI_URN]["pending"]["state"]) == (False, "waiting")


def test_a_new_person_with_nothing_in_common_is_active(idp: Idp) -> None:
    x = idp.user("x.1", **X)
    end_and_rename(idp, x)
    made = idp.post("/Users", a_user("y.2", externalId="E-2", emails=[{"value": "y@example.com"}], displayName="Xenia"))
    assert made["active"] is True
    with scope(tenant=idp.tenant.pk):
        assert not Finding.objects.filter(kind=FindingKind.CORRELATION).exists()


def test_a_service_may_share_the_address_of_an_ended_person(idp: Idp) -> None:
    x = idp.user("x.1", **X)
    idp.delete(f"/Users/{x}")
    made = idp.post("/Users", a_user("svc", emails=MAIL, **{NHI_URN: {"kind": "service", "purpose": "x"}}))
    with scope(tenant=idp.tenant.pk):
        assert idp.shadow(made["id"]).account.state == AccountState.PENDING


@pytest.mark.parametrize("way", [delete, end_and_rename], ids=lambda way: way.__name__)
def test_a_living_account_that_takes_the_name_of_an_ended_one_is_reported(
    idp: Idp, way: Callable[[Idp, str], None]
) -> None:
    x, y = idp.user("x.1", **X), idp.user("y.2")
    way(idp, x)
    taken = idp.patch(f"/Users/{y}", replace("userName", "x.1"), replace("externalId", "E-1"))
    assert (taken.status, taken["active"]) == (200, True)
    with scope(tenant=idp.tenant.pk):
        finding = Finding.objects.get(kind=FindingKind.CORRELATION)
    assert finding.account_id == idp.shadow(y).account_id
    assert finding.title.startswith("x.1 at Entra: it took another name: the user name is that of ")


def test_two_names_that_look_the_same_are_one(idp: Idp) -> None:
    idp.user("sd5")
    for twin in ("sd5\u200b", "s\u200cd5", "sd\u2060\u00ad5", "SD5\ufe0f"):
        refused = idp.post("/Users", a_user(twin))
        assert (refused.status, refused["scimType"]) == (409, "uniqueness")
    for nothing in ("\u200b", "\u2060\u200d", "\ufe0f"):
        refused = idp.post("/Users", a_user(nothing))
        assert (refused.status, refused["scimType"]) == (400, "invalidValue")
    refused = idp.post("/Groups", {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "\u200b"})
    assert (refused.status, refused["scimType"]) == (400, "invalidValue")


def test_an_end_in_a_far_century_is_brought_down_to_what_people_may_give(idp: Idp) -> None:
    made = idp.post(
        "/Users",
        a_user("svc", **{NHI_URN: {"kind": "service", "purpose": "x", "expiresAt": "9999-12-31T00:00:00Z"}}),
    )
    assert made.status == 201
    account = idp.shadow(made["id"]).account
    assert account is not None and account.expires_at is not None
    assert (account.expires_at - account.made_at).days in {729, 730}
    assert made[NHI_URN]["expiresAt"] == account.expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    again = idp.patch(f"/Users/{made['id']}", replace(f"{NHI_URN}:expiresAt", "9998-12-31T00:00:00Z"))
    assert again[NHI_URN]["expiresAt"][:4] == str(account.expires_at.year)


def test_a_group_that_lost_a_member_with_its_resource_has_another_version(idp: Idp) -> None:
    x = idp.user("x.1")
    group = idp.group("Staff", x)
    before = idp.get(f"/Groups/{group}")
    idp.delete(f"/Users/{x}")
    after = idp.get(f"/Groups/{group}", If_None_Match=before.headers["ETag"])
    assert after.status == 200
    assert "members" not in after.body
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after["meta"]["lastModified"] > before["meta"]["lastModified"]
