"""Replays on pages: simulated by a link that writes nothing, done by a form with a reason, seen with their progress."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from accounts.models import RoleName
from audit.models import Cause, JournalEntry
from audit.scope import scope
from provisioning import tasks
from provisioning.models.exchange import Exchange
from provisioning.models.replay import Replay
from tests.factories.replays import a_patch, active, joins, leaves, parked, title
from tests.factories.scim import Idp, connect
from tests.governance.shell import a_user, enter
from tests.governance.world import text_of

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Tenant

pytestmark = [pytest.mark.face, pytest.mark.django_db]

LEDGER = "/t/acme/admin/ledger/"
REPLAYS = "/t/acme/admin/replays/"


@pytest.fixture
def security(client: Client, tenant: Tenant) -> Client:
    return enter(client, a_user("l.chen", RoleName.SECURITY, tenant=tenant))


@pytest.fixture
def idp(tenant: Tenant) -> Idp:
    return connect(tenant, "Okta")


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer
    return text_of(answer)


def simulated(client: Client, exchange: Exchange) -> str:
    return page(client, f"{LEDGER}{exchange.pk}/?simulate=1")


def counts(tenant: Tenant) -> tuple[int, ...]:
    with scope(tenant=tenant.pk):
        return tuple(m.objects.count() for m in (Exchange, JournalEntry, Cause, Replay))


def test_then_now_and_if_replayed_stand_beside_each_other(security: Client, idp: Idp) -> None:
    user = idp.user(title="Ops")
    idp.patch(f"/Users/{user}", title("SRE"), active(False))
    one = idp.last()
    idp.patch(f"/Users/{user}", title("Lead"))
    html = security.get(f"{LEDGER}{one.pk}/?simulate=1").content.decode()
    text = page(security, f"{LEDGER}{one.pk}/?simulate=1")
    assert "A replay would change nothing: a newer word stands." in text
    assert "status active › to ended ended same, 0 rows" in text
    assert "title Ops › to SRE Lead kept, superseded by Okta" in text
    assert f'<a href="/t/acme/admin/ledger/{idp.last().pk}/">Okta</a>' in html


def test_what_would_change_is_marked_and_nothing_is_written(security: Client, idp: Idp, tenant: Tenant) -> None:
    user = idp.user(title="Ops")
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(title("SRE"), active(False)), intent="disable")
    before = counts(tenant)
    text = simulated(security, one)
    assert "A replay would change what is marked." in text
    assert "title – Ops becomes SRE" in text
    assert "status – active becomes ended" in text
    assert counts(tenant) == before
    assert idp.shadow(user).account.state == "active"


def test_members_are_counted_and_who_would_come_in_is_asked_for(security: Client, idp: Idp) -> None:
    ada, bob = idp.user("ada"), idp.user("bob")
    group = idp.group("Staff", ada)
    one = parked(idp, "PATCH", f"/Groups/{group}", a_patch(leaves(ada), joins(bob)), intent="member_remove")
    text = simulated(security, one)
    assert "members – – 1 member leaves members – – people are asked for 1 member" in text


def test_a_wish_to_come_back_says_that_people_are_asked(security: Client, idp: Idp) -> None:
    user = idp.user()
    idp.patch(f"/Users/{user}", active(False))
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(active(True)), intent="enable")
    text = simulated(security, one)
    assert "A replay would ask people, and give nothing before they answer (approval)." in text
    assert "people are asked whether it comes back" in text


@pytest.mark.parametrize("role", [RoleName.AUDITOR, RoleName.ADMINISTRATOR])
def test_whoever_reads_the_roll_simulates_and_replays_nothing(
    client: Client, tenant: Tenant, idp: Idp, role: RoleName
) -> None:
    enter(client, a_user("somebody", role, tenant=tenant))
    user = idp.user()
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(title("SRE")))
    assert "A replay would change what is marked." in simulated(client, one)
    for path in (f"{LEDGER}{one.pk}/replay/", f"{LEDGER}replay/?outcome=parked"):
        answer = client.post(path, {"reason": "because"})
        assert answer.status_code == 403
    assert "title" not in idp.shadow(user).document


def test_what_is_in_the_way_stands_beside_the_button(security: Client, idp: Idp) -> None:
    idp.post("/Users", {"schemas": []})
    text = page(security, f"{LEDGER}{idp.last().pk}/")
    assert "it was refused:" in text
    assert security.post(f"{LEDGER}{idp.last().pk}/replay/", {"reason": "because"}).status_code == 409


def test_one_exchange_is_replayed_with_a_reason_and_linked_both_ways(
    security: Client, idp: Idp, tenant: Tenant
) -> None:
    user = idp.user(title="Ops")
    one = parked(idp, "PATCH", f"/Users/{user}", a_patch(title("SRE")))
    form = page(security, f"{LEDGER}{one.pk}/replay/")
    assert "Replay PATCH of /Users/" in form
    assert "A replay would change what is marked." in form
    assert security.post(f"{LEDGER}{one.pk}/replay/", {"reason": ""}).status_code == 422
    answer = security.post(f"{LEDGER}{one.pk}/replay/", {"reason": "INC-7"}, follow=True)
    made = idp.last()
    assert (made.replays, made.outcome) == (one.pk, "applied")
    text = text_of(answer)
    assert "Replayed: applied." in text
    assert "It is a replay of an earlier exchange" in text
    assert f"{made.pk}" in security.get(f"{LEDGER}{one.pk}/").content.decode()
    assert idp.shadow(user).document["title"] == "SRE"
    with scope(tenant=tenant.pk):
        row = Replay.objects.get()
        assert (row.state, row.asked_by, row.reason, row.counts) == ("done", "l.chen", "INC-7", {"applied": 1})


def test_all_that_is_parked_is_asked_about_with_its_counts_and_then_goes_on_by_itself(
    security: Client, idp: Idp, tenant: Tenant
) -> None:
    users = [idp.user(f"u{n}@example.com") for n in range(3)]
    for user in users:
        parked(idp, "PATCH", f"/Users/{user}", a_patch(title("SRE")))
    parked(idp, "PATCH", f"/Users/{users[0]}", None)
    form = page(security, f"{LEDGER}replay/?outcome=parked")
    assert "Replay 4: 3 would change" in form
    assert "1 can't be replayed, such as" in form
    answer = security.post(f"{LEDGER}replay/?outcome=parked", {"reason": "INC-7"}, follow=True)
    assert "l.chen replays: 0 of 4 are done." in text_of(answer)
    tasks.replay_due()
    (path,) = {url for url, _status in answer.redirect_chain}
    text = page(security, path)
    assert "l.chen replays: 4 of 4 are done." in text
    assert "1 can't be replayed" in text
    assert "3 applied" in text
    assert "its body is not kept" in text
    assert "all that is parked" in page(security, REPLAYS)


def test_a_replay_is_stopped_and_goes_on_from_its_page(security: Client, idp: Idp, tenant: Tenant) -> None:
    user = idp.user()
    parked(idp, "PATCH", f"/Users/{user}", a_patch(title("SRE")))
    security.post(f"{LEDGER}replay/?outcome=parked", {"reason": "INC-7"})
    with scope(tenant=tenant.pk):
        row = Replay.objects.get()
    path = f"{REPLAYS}{row.pk}/"
    assert "Stop after 0 of 1?" in page(security, f"{path}stop/")
    assert "Stopped." in text_of(security.post(f"{path}stop/", {"reason": "wrong one"}, follow=True))
    tasks.replay_due()
    assert "title" not in idp.shadow(user).document
    assert "It goes on" in text_of(security.post(f"{path}resume/", {"reason": "right one"}, follow=True))
    tasks.replay_due()
    assert idp.shadow(user).document["title"] == "SRE"
    assert security.post(f"{path}stop/", {"reason": "too late"}).status_code == 403


def test_a_filter_that_says_too_little_replays_nothing(security: Client, idp: Idp, tenant: Tenant) -> None:
    idp.user()
    answer = security.get(f"{LEDGER}replay/")
    assert answer.status_code == 403
    assert "Choose a system, a resource or what is parked" in text_of(answer)
    assert "choose a system, a resource, or what is parked" in page(security, LEDGER)
    answer = security.post(f"{LEDGER}replay/?outcome=parked", {"reason": "nothing there"})
    assert answer.status_code == 409
    assert "No exchange is in this range" in text_of(answer)


def test_a_range_of_a_system_is_between_two_instants_where_the_tenant_is(security: Client, idp: Idp) -> None:
    idp.user()
    system = idp.system.pk
    assert "Replay 1: 0 would change" in page(security, f"{LEDGER}replay/?system={system}&from=2026-01-01T00:00")
    past = f"system={system}&until=2026-01-01T00:00"
    assert "Replay 0: 0 would change" in page(security, f"{LEDGER}replay/?{past}")
    assert "No exchange in this filter" in page(security, f"{LEDGER}?{past}")


@pytest.mark.parametrize(
    "query", ["from=yesterday", "until=2026-13-45T99:00", "from=0001-01-01T00:00", "until=%00", "system=x"]
)
def test_an_instant_that_is_none_is_no_filter(security: Client, idp: Idp, query: str) -> None:
    idp.user("ada@example.com")
    assert "ada@example.com" in page(security, f"{LEDGER}?{query}")
    assert security.get(f"{LEDGER}replay/?outcome=parked&{query}").status_code == 200


def test_the_empty_list_says_where_to_begin(security: Client) -> None:
    assert "Nothing was replayed yet." in page(security, REPLAYS)


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_the_same_for_one_and_for_three(
    security: Client, idp: Idp, count: int, django_assert_num_queries
) -> None:
    for _ in range(count):
        one = parked(idp, "PATCH", f"/Users/{idp.user(f'{_}@example.com')}", a_patch(title("x")))
        security.post(f"{LEDGER}{one.pk}/replay/", {"reason": "INC-7"})
    security.get(REPLAYS)
    with django_assert_num_queries(10):
        html = security.get(REPLAYS).content.decode()
    assert len(re.findall(r'<th scope="row">', html)) == count
