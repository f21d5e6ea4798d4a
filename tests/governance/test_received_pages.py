"""Above the ledger: what was acknowledged and is not applied, and what people do about it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import RoleName
from accounts.models.finding import Finding
from audit.models import JournalEntry
from audit.scope import scope
from governance import freshness
from provisioning import received as door
from provisioning import tasks
from provisioning.models.exchange import Exchange
from provisioning.models.received import Received
from tests.conftest import a_cause
from tests.factories.scim import Idp, a_user, connect
from tests.governance.shell import a_user as somebody
from tests.governance.shell import enter
from tests.governance.world import make_world, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

PAGE = "/t/acme/admin/ledger/"
TITLE = {"op": "replace", "path": "title", "value": "Lead"}


@pytest.fixture(autouse=True)
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(tasks, "apply_soon", lambda: calls.append("woken"))
    return calls


@pytest.fixture
def security(client: Client, tenant: Tenant) -> Client:
    return enter(client, somebody("l.chen", RoleName.SECURITY, tenant=tenant))


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant, "Okta")


def later(idp: Idp, path: str, operation: Any = TITLE) -> Received:
    """A change that was acknowledged."""
    answer = idp.patch(path, operation, Prefer="respond-async")
    with scope(tenant=idp.tenant.pk):
        return Received.objects.get(pk=answer.headers["Set-Txn"])


def park(one: Received) -> Received:
    """The same, parked."""
    with scope(tenant=one.tenant_id, cause=a_cause()):
        found = Received.objects.select_related("system").get(pk=one.pk)
        door.park(received=found, error="The request could not be completed.", at=dt.datetime.now(dt.UTC))
    return found


def url(one: Received, verb: str) -> str:
    return f"{PAGE}received/{one.pk}/{verb}/"


def test_nothing_stands_above_the_ledger_where_nothing_waits(security: Client, idp: Idp) -> None:
    assert "not yet applied" not in text_of(security.get(PAGE))
    idp.user("ada@example.com")
    assert "not yet applied" not in text_of(security.get(PAGE))


def test_what_waits_stands_above_the_ledger_with_its_name_and_the_parked_one_first(security: Client, idp: Idp) -> None:
    ada, bob = idp.user("ada@example.com"), idp.user("bob@example.com")
    later(idp, f"/Users/{ada}")
    parked = park(later(idp, f"/Users/{bob}"))
    idp.post("/Users", a_user("eve@example.com"), Prefer="respond-async")
    page = text_of(security.get(PAGE))
    assert "Received, not yet applied 3" in page
    places = [page.index(text) for text in ("bob@example.com PATCH", "ada@example.com PATCH", "/Users POST")]
    assert places == sorted(places)
    assert "parked The request could not be completed." in page
    assert "eve@example.com" not in page
    html = security.get(PAGE).content.decode()
    assert [html.count(word) for word in ("Apply now", "Apply again", "Give up")] == [2, 1, 1]
    assert url(parked, "again") in html


def test_the_list_follows_the_filters_of_the_ledger(security: Client, tenant: Tenant, idp: Idp) -> None:
    ada, bob = idp.user("ada@example.com"), idp.user("bob@example.com")
    later(idp, f"/Users/{ada}")
    later(idp, f"/Users/{bob}")
    other = connect(tenant, "Entra")
    later(other, f"/Users/{other.user('kit')}")
    assert "not yet applied 3" in text_of(security.get(PAGE))
    assert "not yet applied 2" in text_of(security.get(f"{PAGE}?system={idp.system.pk}"))
    assert "not yet applied 1" in text_of(security.get(f"{PAGE}?resource_id={ada}"))


def test_the_list_costs_the_same_for_one_and_for_three(security: Client, idp: Idp) -> None:
    users = [idp.user(f"u{n}@example.com") for n in range(3)]

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert security.get(PAGE).status_code == 200
        return len(queries)

    later(idp, f"/Users/{users[0]}")
    cost()
    one = cost()
    for user in users[1:]:
        later(idp, f"/Users/{user}")
    assert cost() == one


def test_apply_now_hurries_what_waits_and_wakes_a_worker(
    security: Client, idp: Idp, woken: list[str], django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    one = later(idp, f"/Users/{idp.user('ada')}")
    woken.clear()
    with scope(tenant=idp.tenant.pk, cause=a_cause()):
        Received.objects.update(next_try_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
    assert security.get(url(one, "now")).status_code == 405
    with django_capture_on_commit_callbacks(execute=True):
        answer = security.post(url(one, "now"))
    assert (answer.status_code, answer["Location"]) == (302, f"{PAGE}?system={idp.system.pk}")
    assert woken == ["woken"]
    tasks.apply_received()
    with scope(tenant=idp.tenant.pk):
        assert Received.objects.get().state == "applied"
    assert "It is applied: there is nothing to hurry." in text_of(security.post(url(one, "now"), follow=True))


def test_what_is_parked_is_applied_again_and_its_finding_closes(security: Client, idp: Idp) -> None:
    one = park(later(idp, f"/Users/{idp.user('ada')}"))
    page = text_of(security.get(url(one, "again")))
    assert "of Okta again?" in page and "Failed with The request could not be completed." in page
    assert security.post(url(one, "again"), {"reason": ""}).status_code == 422
    assert security.post(url(one, "again"), {"reason": "mended, CHG-7"}).status_code == 302
    with scope(tenant=idp.tenant.pk):
        assert Received.objects.get().state == "waiting"
        assert Finding.objects.get().state == "open"
    tasks.apply_received()
    with scope(tenant=idp.tenant.pk):
        assert Received.objects.get().state == "applied"
        assert (Finding.objects.get().state, Finding.objects.get().resolution) == ("resolved", "it was applied")
        entry = JournalEntry.objects.get(event="received.again")
    assert entry.sentence.endswith("is applied again. mended, CHG-7")
    refused = security.post(url(one, "again"), {"reason": "once more"})
    assert refused.status_code == 409
    assert "It is applied, and no longer parked" in text_of(refused)


def test_what_is_given_up_is_never_applied_and_its_lane_goes_on(security: Client, idp: Idp) -> None:
    ada = idp.user("ada")
    one = park(later(idp, f"/Users/{ada}"))
    after = {"op": "replace", "path": "title", "value": "Head"}
    later(idp, f"/Users/{ada}", after)
    assert "Changes of the same resource that go on then: 1." in text_of(security.get(url(one, "give-up")))
    assert security.post(url(one, "give-up"), {"reason": "nobody needs it"}).status_code == 302
    tasks.apply_received()
    with scope(tenant=idp.tenant.pk):
        given_up = Received.objects.get(pk=one.pk)
        exchange = Exchange.objects.get(pk=one.pk)
        assert (given_up.state, given_up.sealed, Finding.objects.get().state) == ("given_up", "", "resolved")
        assert JournalEntry.objects.get(event="received.given_up").sentence.endswith("never applied. nobody needs it")
    assert (exchange.outcome, exchange.status) == ("parked", 500)
    assert exchange.error == "It could not be applied, and a person gave it up."
    assert idp.shadow(ada).document["title"] == "Head"
    status = idp.get(f"/Received/{one.pk}")
    assert (status["state"], status["status"]) == ("givenUp", "500")


@pytest.mark.parametrize("role", [RoleName.AUDITOR, RoleName.ADMINISTRATOR])
def test_who_may_not_handle_findings_sees_it_and_may_do_nothing_about_it(
    role: RoleName, client: Client, tenant: Tenant, idp: Idp
) -> None:
    one = park(later(idp, f"/Users/{idp.user('ada')}"))
    reader = enter(client, somebody("r.reader", role, tenant=tenant))
    page = text_of(reader.get(PAGE))
    assert "Received, not yet applied 1" in page
    assert "Handling findings needs one of these roles here: security" in page
    for verb in ("now", "again", "give-up"):
        assert reader.post(url(one, verb), {"reason": "let me in"}).status_code == 403


def test_a_system_with_what_is_parked_is_not_equal(tenant: Tenant, idp: Idp) -> None:
    world = make_world(tenant, "Entra")
    other = Idp(tenant=tenant, system=world.system, token=world.text)
    at = dt.datetime.now(dt.UTC)
    user = other.user("ada")
    with scope(tenant=tenant.pk):
        assert freshness.of(world.system, at=at).word == "equal"
    park(later(other, f"/Users/{user}"))
    with scope(tenant=tenant.pk):
        assert freshness.of(world.system, at=at).word == "differs"


def test_the_finding_leads_to_where_something_can_be_done(security: Client, idp: Idp) -> None:
    park(later(idp, f"/Users/{idp.user('ada')}"))
    with scope(tenant=idp.tenant.pk):
        found = Finding.objects.get()
    page = security.get(f"/t/acme/admin/findings/{found.pk}/")
    assert f'href="{PAGE}?system={idp.system.pk}"' in page.content.decode()
    assert "it is applied, or somebody gives it up" in text_of(page)


def test_an_exchange_that_was_acknowledged_first_says_so(security: Client, idp: Idp) -> None:
    one = later(idp, f"/Users/{idp.user('ada')}")
    made = idp.last()
    tasks.apply_received()
    assert "acknowledged then, ended" in text_of(security.get(f"{PAGE}{one.pk}/"))
    assert "acknowledged then" not in text_of(security.get(f"{PAGE}{made.pk}/"))
