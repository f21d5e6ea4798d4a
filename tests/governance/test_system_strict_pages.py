"""Strict or tolerant, on the page of a system; and a removal that was parked, on the page of its finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts.models import RoleName, User
from accounts.models.finding import Finding
from audit.models import JournalEntry
from audit.scope import scope
from governance.admin.coercions import SENTENCES
from provisioning import systems
from provisioning.scim.dialects.rules import RULES
from tests.factories.governance import now
from tests.factories.scim import Idp
from tests.governance.shell import a_user, enter
from tests.governance.world import World, make_world, text_of

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]


@pytest.fixture
def world(tenant: Tenant) -> World:
    return make_world(tenant)


@pytest.fixture
def idp(world: World) -> Idp:
    return Idp(tenant=world.tenant, system=world.system, token=world.text)


@pytest.fixture
def administrator(tenant: Tenant) -> User:
    return a_user("m.ito", RoleName.ADMINISTRATOR, tenant=tenant)


@pytest.fixture
def admin(client: Client, administrator: User) -> Client:
    return enter(client, administrator)


def test_it_is_made_strict_with_a_reason_and_tolerant_again_and_both_are_said(
    admin: Client, administrator: User, world: World, idp: Idp
) -> None:
    idp.user("ada@example.com", active="True")
    page = text_of(admin.get(world.url("system")))
    assert "What is not plain SCIM is read as it is meant, and noted" in page
    assert "Make it strict" in page
    asked = text_of(admin.get(world.url("system-strictness")))
    assert "Refuse what Okta sends that is not plain SCIM?" in asked
    assert "boolean_text (1)" in asked
    assert "nothing of it is done: endings too" in asked

    answer = admin.post(world.url("system-strictness"), {"reason": "CHG-12"}, follow=True)
    assert "Okta is strict: what is not plain SCIM is refused." in text_of(answer)
    assert "What is not plain SCIM is refused: it is strict" in text_of(answer)
    assert idp.post("/Users", {"userName": "bo@example.com", "active": "True"}).status == 400

    assert "Read what Okta sends as it is meant?" in text_of(admin.get(world.url("system-strictness")))
    answer = admin.post(world.url("system-strictness"), {"reason": "CHG-13"}, follow=True)
    assert "Okta is tolerant: what it means is read, and each departure is noted." in text_of(answer)
    with scope(tenant=world.tenant.pk):
        said = JournalEntry.objects.filter(event="system.strictness_changed").order_by("id")
        assert [one.sentence for one in said] == [
            "m.ito: Okta: now strict: what is not plain SCIM is refused. CHG-12",
            "m.ito: Okta: now tolerant: what is meant is read. CHG-13",
        ]
        assert administrator.identity_id in systems.requesters(system=world.system, at=now())


def test_without_a_reason_nothing_is_changed(admin: Client, world: World) -> None:
    assert admin.post(world.url("system-strictness"), {"reason": ""}).status_code == 422
    with scope(tenant=world.tenant.pk):
        assert not type(world.system).objects.get(pk=world.system.pk).is_strict


def test_each_rule_has_its_sentence_and_it_stands_on_the_exchange(admin: Client, world: World, idp: Idp) -> None:
    assert set(SENTENCES) == set(RULES)
    assert all(str(sentence).endswith(".") for sentence in SENTENCES.values())
    idp.user("ada@example.com", active="True")
    page = text_of(admin.get(f"/t/{world.tenant.slug}/admin/ledger/{idp.last().pk}/"))
    assert "active True › true known from Entra, Keycloak Yes or no came as a word in quotation marks." in page


def test_a_parked_removal_is_followed_from_its_finding_to_its_exchange_and_settled_by_a_person(
    client: Client, tenant: Tenant, world: World, idp: Idp
) -> None:
    security = enter(client, a_user("l.chen", RoleName.SECURITY, tenant=tenant))
    user = idp.user("ada@example.com")
    group = idp.group("Staff", user)
    idp.patch(f"/Groups/{group}", {"op": "remove", "path": "members", "value": ["Ada"]})
    exchange = idp.last()
    with scope(tenant=tenant.pk):
        finding = Finding.objects.get(kind="members_unresolved")
    page = f"/t/acme/admin/findings/{finding.pk}/"
    answer = security.get(page)
    assert "Okta: a removal of members of Staff could not be read." in text_of(answer)
    assert f"/t/acme/admin/ledger/{exchange.pk}/" in answer.content.decode()
    parked = text_of(security.get(f"/t/acme/admin/ledger/{exchange.pk}/"))
    assert "Okta asked to remove members from Staff: parked, nothing was changed." in parked
    assert "Done nothing: it is parked" in parked

    settled = security.post(f"{page}settle/", {"reason": "taken out by hand"}, follow=True)
    assert "Resolved" in text_of(settled)
    with scope(tenant=tenant.pk):
        finding.refresh_from_db()
        assert (finding.state, finding.resolution) == ("resolved", "taken out by hand")
    idp.patch(f"/Groups/{group}", {"op": "remove", "path": "members", "value": ["Ada"]})
    with scope(tenant=tenant.pk):
        assert Finding.objects.filter(kind="members_unresolved", state="open").count() == 1
